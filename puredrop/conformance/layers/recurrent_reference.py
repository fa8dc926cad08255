"""What recurrent layers are held against: PyTorch's own where they have the option, else the papers' equations."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

L, N, D, H = 3, 2, 2, 3
P = 0.3


def parts(state: Any) -> tuple[Any, ...]:
    """(h,) or (h, c)."""
    return tuple(state) if isinstance(state, tuple) else (state,)


def flat(join: Callable[[list[Any]], Any], *arrays: Any) -> Any:
    """All numbers, one after the other."""
    return join([a.reshape(-1) for a in arrays])


def own(weights: dict[str, Any], suffix: str = "") -> dict[str, Any]:
    """The weights of the layer inside `Whole` or `Steps`, under PyTorch's names; those of one `suffix` as its only."""
    names = {name.removeprefix("layer."): w for name, w in weights.items()}
    if not suffix:
        return names
    return {name.replace(suffix, "_l0"): w for name, w in names.items() if name.endswith(suffix)}


def pytorchs(kind: str, lengths: Sequence[int] | None = None, **options: Any) -> Callable[..., Any]:
    """PyTorch's layer of that name, also on packed sequences."""

    def reference(torch: Any, w: dict[str, Any], noise: Any, x: Any, *given: Any) -> Any:
        rnn = torch.nn.utils.rnn
        layer = getattr(torch.nn, kind)(D, H, **options)
        first = options.get("batch_first", False)
        state = given if len(given) > 1 else given[0] if given else None
        if lengths is not None:
            x = rnn.pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=False)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")  # only slower
            y, state = torch.func.functional_call(layer, own(w), (x, state))
        if lengths is not None:
            y = rnn.pad_packed_sequence(y, batch_first=first, total_length=L)[0]
        return flat(torch.cat, y, *parts(state))

    return reference


def pytorchs_cell(kind: str, **options: Any) -> Callable[..., Any]:
    """PyTorch's cell of that name, in a loop."""

    def reference(torch: Any, w: dict[str, Any], noise: Any, x: Any, *given: Any) -> Any:
        cell = getattr(torch.nn, kind)(D, H, **options)
        state: Any = given if len(given) > 1 else given[0] if given else None
        states: list[Any] = []
        for step in x:
            state = torch.func.functional_call(cell, own(w), (step, state))
            states += parts(state)
        return flat(torch.cat, *states)

    return reference


def layered(kind: str, *drops: Sequence[str]) -> Callable[..., Any]:
    """PyTorch's layer of that name, one for each sequence of names, and around it what is dropped there, in order."""

    def reference(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
        states = []
        for k, names in enumerate(drops):
            masks = {name: noise.take() for name in names}
            weights = own(w, f"_l{k}")
            x = dropped(torch, masks, "input", x)
            weights["weight_hh_l0"] = dropped(torch, masks, "weight", weights["weight_hh_l0"])
            layer = getattr(torch.nn, kind)(x.shape[-1], H)
            x, state = torch.func.functional_call(layer, weights, (x,))
            x = dropped(torch, masks, "between", dropped(torch, masks, "output", x))
            states.append(parts(state))
        return flat(torch.cat, x, *(torch.cat(each) for each in zip(*states, strict=True)))

    return reference


def language_model(torch: Any, w: dict[str, Any], noise: Any, ids: Any) -> Any:
    """Merity et al.: rows of the embedding are dropped, then as `layered`, then the embedding once more."""
    words, place = torch.unique(ids, return_inverse=True)
    kept = noise.take()  # (words that occur, H)
    x = torch.where(kept, w["embedding"][words] / (1 - P), 0.0)[place]
    masks = {name: noise.take() for name in ("input", "weight", "output")}
    weights = own({name: each for name, each in w.items() if name.startswith("layer.")})
    weights["weight_hh_l0"] = dropped(torch, masks, "weight", weights["weight_hh_l0"])
    x = dropped(torch, masks, "input", x)
    y, _ = torch.func.functional_call(torch.nn.LSTM(x.shape[-1], H), weights, (x,))
    return dropped(torch, masks, "output", y) @ w["embedding"].T


def dropped(torch: Any, masks: dict[str, Any], name: str, x: Any) -> Any:
    """Inverted dropout of x with the mask of that name, where there is one."""
    if name not in masks:
        return x
    keep = masks[name][0] if name == "weight" else masks[name]
    return torch.where(keep, x / (1 - P), 0.0)


class Paper:
    """One direction of one layer as the papers write it: step by step, gate by gate, with the masks that were drawn.

    masks: by the name of the rate, each with an axis in front: of one (locked), of steps (fresh), or of gates (untied).
    """

    def __init__(
        self,
        torch: Any,
        kind: str,
        w: dict[str, Any],
        masks: dict[str, Any],
        suffix: str = "_l0",
        reset_after: bool = True,
    ) -> None:
        self.torch, self.w, self.masks, self.suffix = torch, own(w), masks, suffix
        self.reset_after = reset_after
        steps: dict[str, Any] = {"LSTM": self.lstm, "GRU": self.gru, "RNN": self.rnn}
        self.step, self.gates = steps[kind], {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]

    def run(self, x: Any, state: Any, reverse: bool = False) -> tuple[Any, Any]:
        """(y (L, N, H), the last state)."""
        ys: list[Any] = [None] * len(x)
        for t in reversed(range(len(x))) if reverse else range(len(x)):
            state = self.step(x[t], state, t)
            ys[t] = state[0]
        return self.torch.stack(ys), state

    def mask(self, name: str, i: int) -> Any:
        keep = self.masks[name]
        return keep[0] if len(keep) == 1 else keep[i]

    def inverted(self, name: str, x: Any, i: int) -> Any:
        return self.torch.where(self.mask(name, i), x / (1 - P), 0.0) if name in self.masks else x

    def product(self, of: str, v: Any, gate: int) -> Any:
        """Rows of the weight that belong to a gate, times v, plus that gate's bias."""
        weight, bias = self.w[f"weight_{of}{self.suffix}"], self.w.get(f"bias_{of}{self.suffix}")
        size = len(weight) // self.gates
        rows = slice(gate * size, (gate + 1) * size)
        return v @ weight[rows].T + (0 if bias is None else bias[rows])

    def both(self, x: Any, h: Any, gate: int) -> Any:
        return self.product("ih", self.inverted("input", x, gate), gate) + self.product(
            "hh", self.inverted("state", h, gate), gate
        )

    def written(self, new: Any, old: Any, forget: Any, write: Any, t: int) -> Any:
        c = forget * old + write * self.inverted("update", new, t)
        return self.torch.where(self.mask("memory", t), c, 0.0) if "memory" in self.masks else c

    def zoned(self, name: str, new: Any, old: Any, t: int) -> Any:
        return self.torch.where(self.mask(name, t), new, old) if name in self.masks else new

    def rnn(self, x: Any, state: Any, t: int) -> Any:
        (h,) = state
        return (self.zoned("zoneout", self.torch.tanh(self.both(x, h, 0)), h, t),)

    def lstm(self, x: Any, state: Any, t: int) -> Any:
        sigmoid, tanh, (h, c) = self.torch.sigmoid, self.torch.tanh, state
        i, f, o = (sigmoid(self.both(x, h, gate)) for gate in (0, 1, 3))
        new_c = self.written(tanh(self.both(x, h, 2)), c, f, i, t)
        new_h = o * tanh(new_c)
        if (projection := self.w.get(f"weight_hr{self.suffix}")) is not None:
            new_h = new_h @ projection.T
        return self.zoned("zoneout", new_h, h, t), self.zoned("zoneout_memory", new_c, c, t)

    def gru(self, x: Any, state: Any, t: int) -> Any:
        (h,) = state
        r, z = (self.torch.sigmoid(self.both(x, h, gate)) for gate in (0, 1))
        d = self.inverted("state", h, 2)
        recurrent = r * self.product("hh", d, 2) if self.reset_after else self.product("hh", r * d, 2)
        n = self.torch.tanh(self.product("ih", self.inverted("input", x, 2), 2) + recurrent)
        return (self.zoned("zoneout", self.written(n, h, z, 1 - z, t), h, t),)


def zeros(torch: Any, x: Any, kind: str, given: int = H) -> tuple[Any, ...]:
    """The first state."""
    h = torch.zeros(x.shape[1], given, dtype=x.dtype)
    return (h, torch.zeros(x.shape[1], H, dtype=x.dtype)) if kind == "LSTM" else (h,)


def papers(kind: str, *names: str, given: int = H, **options: Any) -> Callable[..., Any]:
    """One layer in one direction with these masks, in the order in which they are drawn."""

    def reference(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
        masks = {name: noise.take() for name in names}
        y, state = Paper(torch, kind, w, masks, **options).run(x, zeros(torch, x, kind, given))
        return flat(torch.cat, y, *state)

    return reference


def one_by_one(kind: str, names: Sequence[str], lengths: Sequence[int]) -> Callable[..., Any]:
    """Both directions of one layer, each sequence by itself and without padding."""

    def reference(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
        ys, states = [], []
        for suffix in ("_l0", "_l0_reverse"):
            masks = {name: noise.take() for name in names}
            y = torch.zeros(*x.shape[:2], H, dtype=x.dtype)
            last = []
            for n, length in enumerate(lengths):
                own_masks = {name: keep[:, n : n + 1] for name, keep in masks.items()}
                alone = x[:length, n : n + 1]
                given, state = Paper(torch, kind, w, own_masks, suffix).run(
                    alone, zeros(torch, alone, kind), suffix.endswith("_reverse")
                )
                y = torch.cat([y[:, :n], torch.cat([given, y[length:, n : n + 1]]), y[:, n + 1 :]], 1)
                last.append(state)
            ys.append(y)
            states.append([torch.cat(each) for each in zip(*last, strict=True)])
        return flat(torch.cat, torch.cat(ys, -1), *(torch.stack(each) for each in zip(*states, strict=True)))

    return reference


def in_pieces(
    kind: str, names: Sequence[str], pieces: int, cell: bool = False, fresh: Sequence[str] = ("zoneout",)
) -> Callable[..., Any]:
    """One run over the whole sequence with the locked masks of the first piece, and the fresh ones of all."""

    def reference(torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
        drawn = [{name: noise.take() for name in names} for _ in range(pieces)]
        masks = {name: torch.cat([d[name] for d in drawn]) if name in fresh else drawn[0][name] for name in names}
        paper, state = Paper(torch, kind, w, masks, "" if cell else "_l0"), zeros(torch, x, kind)
        if not cell:
            y, state = paper.run(x, state)
            return flat(torch.cat, y, *state)
        states: list[Any] = []
        for t, step in enumerate(x):
            state = paper.step(step, state, t)
            states += state
        return flat(torch.cat, *states)

    return reference
