"""One dropout of one library: an expression, which is both what is run and what a finding shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

import numpy as np

from ..case import Case
from ..cases import CASES
from ..foreign import Finding, Report, Target
from ..foreign.adapt import jax, keras, torch
from ..foreign.adapt.functions import seed_the_world
from ..foreign.check import check
from ..foreign.target import Call


@dataclass(frozen=True)
class LibraryRow:
    """A dropout of a library.

    library: its name; package: what is imported, and distribution: whose version counts, where they are called
        otherwise.
    operation: what it is called.  like: the variant that it is, or claims to be.
    expression: y of x (x2, x3), p, seed, training and, with JAX, key; for Keras the layer of (p, seed).
    setup: the lines before it.  arrays: what x is: "torch", "jax", "keras" or "numpy".
    documented: check -> why the library may do so: it says so itself, or it is a matter of taste.
    only: the checks that can say something here; all where it is empty.
    """

    library: str
    operation: str
    like: str | Case
    expression: str
    setup: str = ""
    arrays: str = "torch"
    package: str = ""
    distribution: str = ""
    rates: tuple[float, ...] | None = None
    stream: Callable[[int], Any] | None = None
    documented: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    only: tuple[str, ...] = ()

    @property
    def case(self) -> Case:
        """What it is held against."""
        return CASES[self.like] if isinstance(self.like, str) else self.like

    @property
    def name(self) -> str:
        return f"{self.library}: {self.operation}"

    def installed(self) -> str | None:
        """The version that is installed, None where there is none."""
        needed = [self.package or self.library, *{"torch": ["torch"], "jax": ["jax"]}.get(self.arrays, [])]
        try:
            if any(find_spec(package) is None for package in needed):
                return None
            return version(self.distribution or self.package or self.library)
        except (PackageNotFoundError, ValueError):
            return None

    def target(self) -> Target:
        """The target that the expression is. Raises what importing the library raises."""
        names: dict[str, Any] = {"np": np}
        exec(self.lines_before(), names)  # our own lines, from the modules of this package
        code = compile(self.expression, f"<{self.name}>", "eval")
        target = _BUILDERS[self.arrays](self, names, code)
        return replace(target, name=self.name, rates=self.rates, stream=self.stream)

    def lines_before(self) -> str:
        """The imports and definitions that the expression needs."""
        imports = {"torch": "import torch\n", "jax": "import jax\nimport jax.numpy as jnp\n", "keras": "import keras\n"}
        return imports.get(self.arrays, "") + self.setup

    def report(self, only: tuple[str, ...] = (), seed: int = 0) -> Report:
        """All checks, or those named."""
        return check(self.target(), self.case, only=only or self.only or None, seed=seed)

    def reproducer(self, finding: Finding) -> str:
        """Lines that show a finding: without puredrop where its call is small, else with the kit."""
        call = finding.call
        again = (
            f"from puredrop.conformance.libraries import row_named\n\n"
            f'print(row_named("{self.library}", "{self.operation}").report(only=("{finding.check}",)))\n'
        )
        if call is None or any(a.size > 64 for a in call.inputs) or "gradient" in finding.check:
            return again
        return f"{_alone(self, call)}# expected: {finding.expected}\n# got:      {finding.got}\n"


def _alone(row: LibraryRow, call: Call) -> str:
    """The call without puredrop."""
    convert = {"torch": "torch.from_numpy({})", "jax": "jnp.asarray({})"}.get(row.arrays, "{}")
    lines = ["import numpy as np", row.lines_before().rstrip()]
    for name, a in zip(("x", "x2", "x3", "x4"), call.inputs, strict=False):
        text = np.array2string(a, separator=", ", max_line_width=100_000, threshold=10_000).replace("\n", "")
        text = text.replace("nan", "np.nan").replace("inf", "np.inf")
        lines.append(f"{name} = {convert.format(f'np.array({text}, {str(a.dtype)!r})')}")
    p = {"nan": 'float("nan")'}.get(str(call.p), str(call.p))
    lines.append(f"p, seed, training = {p}, {call.seed}, {call.training}")
    lines += {"torch": ["torch.manual_seed(seed)"], "jax": ["key = jax.random.PRNGKey(seed)"]}.get(row.arrays, [])
    shown = f"({row.expression})(x, training=training)" if row.arrays == "keras" else row.expression
    return "\n".join([*filter(None, lines), f"print({shown})"]) + "\n"


def _variables(call: Call, inputs: Any, **more: Any) -> dict[str, Any]:
    given = dict(zip(("x", "x2", "x3", "x4"), inputs, strict=False))
    return {**given, "p": call.p, "seed": call.seed, "training": call.training, **more}


def _of_torch(row: LibraryRow, names: dict[str, Any], code: Any) -> Target:
    def apply(call: Call, tensors: list[Any]) -> Any:
        return eval(code, names | _variables(call, tensors))

    return torch.built(row.name, apply, None, evaluates="training" in row.expression)


def _of_jax(row: LibraryRow, names: dict[str, Any], code: Any) -> Target:
    def apply(call: Call, arrays: list[Any], key: Any) -> Any:
        return eval(code, names | _variables(call, arrays, key=key))

    return jax.built(row.name, apply, evaluates="training" in row.expression)


def _of_keras(row: LibraryRow, names: dict[str, Any], code: Any) -> Target:
    return keras.built(row.name, lambda p, seed: eval(code, names | {"p": p, "seed": seed}))


def _of_numpy(row: LibraryRow, names: dict[str, Any], code: Any) -> Target:
    def run(call: Call) -> Any:
        seed_the_world(call.seed)
        return eval(code, names | _variables(call, call.inputs))

    return Target(row.name, run, evaluates="training" in row.expression, dtypes=("float32",), in_place=False)


_BUILDERS = {"torch": _of_torch, "jax": _of_jax, "keras": _of_keras, "numpy": _of_numpy}
