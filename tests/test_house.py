"""The house rules that a machine can keep."""

import ast
import dataclasses
import importlib
import inspect
import re
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import puredrop
from puredrop.variants.asked import Asked

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "puredrop"
FILES = sorted(PACKAGE.rglob("*.py"))
# Imports run from right to left only; names in one group may see each other only in the order in which they stand.
LAYERS = (
    "random",
    "backends",
    "streams",
    "tensor",
    "gradcheck",
    "ops",
    "variants",
    "nn",
    "optim",
    "uncertainty",
    "conformance",
    "bench",
    "interop",
    "demo",
    "reproduce",
    "cli",
)
ONLY_IN = {
    "numba": ("backends/numba/",),
    "llvmlite": ("backends/numba/",),
    "cupy": (
        "backends/cupy.py",
        *(f"backends/emulation/{name}.py" for name in ("arrays", "device", "launch", "memory")),
    ),
    "pytest": ("conformance/pytest_plugin.py",),  # which only pytest imports
}


def imports(path):
    """(layer or package imported, whether at the top of the file) of a module."""
    tree = ast.parse(path.read_text())
    top = {id(node) for node in tree.body}
    parts = ("puredrop", *path.relative_to(PACKAGE).with_suffix("").parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level]) if node.level else ""
            if path.name == "__init__.py" and node.level:
                base = ".".join(parts[: len(parts) - 1 - (node.level - 1)])
            name = ".".join(filter(None, (base, node.module or "")))
            for alias in node.names:
                yield (f"{name}.{alias.name}" if name == "puredrop" else name), id(node) in top


def layer(name):
    return name.split(".")[1] if name.startswith("puredrop.") else None


def test_imports_run_one_way():
    wrong = []
    for path in FILES:
        mine = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if mine in ("__init__", "__main__"):
            continue
        for name, _ in imports(path):
            other = layer(name)
            if other and other not in ("__version__", mine) and LAYERS.index(other) > LAYERS.index(mine):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_optional_packages_are_imported_where_they_may_be():
    wrong = []
    for path in FILES:
        place = path.relative_to(PACKAGE).as_posix()
        for name, at_top in imports(path):
            package = name.split(".")[0]
            if package in ONLY_IN and not place.startswith(ONLY_IN[package]):
                wrong.append(f"{place} imports {name}")
            outside = (
                package != "puredrop" and package not in sys.stdlib_module_names and package not in ("numpy", *ONLY_IN)
            )
            if outside and at_top:
                wrong.append(f"{place} imports {name} at its top; import it where it is used")
    assert wrong == []


def test_importing_puredrop_needs_numpy_only():
    """Every optional package is blocked, and nothing but NumPy is loaded."""
    code = """
import sys
OPTIONAL = set("numba llvmlite safetensors threadpoolctl torch sklearn matplotlib rich scipy cupy".split())
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in OPTIONAL:
            raise ImportError(f"blocked: {name}")
sys.meta_path.insert(0, Block())
import puredrop
assert not {"numba", "torch", "scipy"} & set(sys.modules)
assert not {"puredrop.nn", "puredrop.uncertainty"} & set(sys.modules), "a dropout needs no layers"
later = ("nn", "optim", "uncertainty", "conformance", "bench", "diagnose")
assert set(later) <= set(dir(puredrop))
for name in later:
    getattr(puredrop, name)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_every_module_imports_alone(path):
    if path.relative_to(PACKAGE).as_posix() in ONLY_IN["cupy"]:
        pytest.importorskip("cupy", reason="CuPy is not installed: pip install cupy-cuda13x (no GPU is needed)")
    name = ".".join(("puredrop", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    assert inspect.getdoc(importlib.import_module(name)), f"{name} does not say what it is for"


def functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            doc = ast.get_docstring(node, clean=False)
            body = node.body[1:] if doc else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            yield (
                f"{path.relative_to(PACKAGE)}:{node.name}",
                lines,
                node.end_lineno - node.lineno + 1 - (len(doc.split("\n")) if doc else 0),
            )


def test_functions_are_short():
    lengths = {name: (body, whole) for path in FILES for name, body, whole in functions(path)}
    assert statistics.median(body for body, _ in lengths.values()) < 7
    assert [name for name, (_, whole) in lengths.items() if whole > 60] == []


def public_functions():
    for module in (
        puredrop,
        puredrop.nn,
        puredrop.optim,
        puredrop.streams,
        puredrop.uncertainty,
        puredrop.conformance,
        puredrop.ops,
    ):
        for name in getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")]):
            thing = getattr(module, name)
            if (inspect.isfunction(thing) or inspect.isclass(thing)) and thing.__module__.startswith("puredrop"):
                yield f"{module.__name__}.{name}", thing


def test_public_names_are_documented_and_exist():
    assert [name for name, thing in public_functions() if not inspect.getdoc(thing)] == []


@pytest.mark.parametrize("name", sorted(set(puredrop.variants.__all__)))
def test_variants_document_all_that_a_reader_needs(name):
    doc = inspect.getdoc(getattr(puredrop, name))
    for section in ("Math:", "Shapes:", "Dtypes:", "Draws:", "Raises:", "Reference:", ">>> "):
        assert section in doc, f"{name} does not say: {section}"


def test_variants_pass_on_what_they_were_asked_for():
    """`Asked` takes its fields by position: each must be the parameter of that name, or nothing."""
    wrong, seen = [], 0
    for path in sorted((PACKAGE / "variants").glob("*.py")):
        for function in (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)):
            parameters = {argument.arg for argument in function.args.kwonlyargs}
            for given in asked(function) if "training" in parameters else ():
                seen += 1
                named = {field: node.id for field, node in given.items() if isinstance(node, ast.Name)}
                named.pop("operation", None)  # a literal, or a variable that holds it
                literals = {node.value for node in ast.walk(function) if isinstance(node, ast.Constant)}
                expected = {field.name: field.name for field in dataclasses.fields(Asked) if field.name in parameters}
                if named != expected or function.name not in literals:
                    wrong.append(f"{path.name}: {function.name}")
    assert wrong == []
    assert seen >= 55


def asked(function):
    """The arguments of each `Asked(...)` in a function, by field."""
    fields = [field.name for field in dataclasses.fields(Asked)]
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Asked":
            yield dict(zip(fields, node.args, strict=False)) | {word.arg: word.value for word in node.keywords}


def test_top_level_names():
    assert set(puredrop.variants.__all__) <= set(puredrop.__all__)
    assert all(hasattr(puredrop, name) for name in puredrop.__all__)


def test_dependencies_have_no_upper_caps_and_torch_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert extras["torch"] == ["torch==2.13.0"]
    everything = [*project["dependencies"], *(d for name, ds in extras.items() if name != "torch" for d in ds)]
    assert [d for d in everything if re.search(r"<|==|~=", d)] == []
    assert project["license"] == "BSD-3-Clause"
