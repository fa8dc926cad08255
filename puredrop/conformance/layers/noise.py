"""What a layer draws, written down, and given to PyTorch in its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

from ...backends import Backend, on_host
from ...random import Index, Keys


class Recorder:
    """A backend that notes down every draw: masks, numbers and words, in the shape of what they are for."""

    def __init__(self, original: Backend) -> None:
        self._original = original
        self.drawn: list[np.ndarray] = []
        self.on = True
        self.backend = replace(
            original,
            keep=self._keep,
            drop=self._drop,
            words=self._plain("words"),
            uniform=self._plain("uniform"),
            normal=self._plain("normal"),
            fused={**original.fused, **self._fused()},
        )

    def _note(self, noise: Any, key: Keys, index: Index) -> None:
        if self.on:
            full = (len(key), *index.shape) if isinstance(key, tuple) else index.shape
            self.drawn.append(np.broadcast_to(on_host(noise), full))

    def _keep(self, key: Keys, index: Index, threshold: Any) -> Any:
        keep = self._original.keep(key, index, threshold)
        self._note(keep, key, index)
        return keep

    def _drop(self, x: Any, key: Keys, index: Index, threshold: Any, *rest: Any) -> Any:
        self._note(self._original.keep(key, index, threshold), key, index)
        return self._original.drop(x, key, index, threshold, *rest)

    def _plain(self, name: str) -> Any:
        def draw(key: Keys, index: Index, *what: Any) -> Any:
            noise = getattr(self._original, name)(key, index, *what)
            self._note(noise, key, index)
            return noise

        return draw

    def _fused(self) -> dict[str, Any]:
        """The kernels that draw numbers of which nobody else sees anything."""

        def noting(kernel: Any, numbers: Any, dtype: Any) -> Any:
            def apply(x: Any, key: Keys, index: Index, *what: Any) -> Any:
                y = kernel(x, key, index, *what)
                if y is not None:
                    self._note(numbers(key, index, dtype or x.dtype), key, index)
                return y

            return apply

        fused, kinds = (
            self._original.fused,
            {"times_normal": ("normal", None), "times_relaxed": ("uniform", np.float64)},
        )
        return {
            name: noting(fused[name], getattr(self._original, numbers), dtype)
            for name, (numbers, dtype) in kinds.items()
            if name in fused
        }

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, nothing is noted: a backward walk draws again what forward drew."""
        self.on = False
        try:
            yield
        finally:
            self.on = True


class Noise:
    """What was drawn, handed out in the order in which it was drawn, as tensors of PyTorch."""

    def __init__(self, torch: Any, drawn: list[np.ndarray]) -> None:
        self._torch, self._left = torch, list(drawn)

    def take(self) -> Any:
        """The next draw. Raises LookupError where there is none: the reference drops more than the layer."""
        if not self._left:
            raise LookupError("the reference asks for more draws than the layer made")
        return self._torch.tensor(np.array(self._left.pop(0)))

    def require_all_taken(self) -> None:
        """Raise LookupError where draws are left: the reference drops less than the layer."""
        if self._left:
            raise LookupError(
                f"the reference left {len(self._left)} draws unused, the next of shape {self._left[0].shape}"
            )

    def dropout(self, x: Any, p: float) -> Any:
        """Inverted dropout of x with the next draw, which has the shape of x."""
        keep = self.take()
        if keep.shape != x.shape:
            raise LookupError(f"a draw of shape {tuple(keep.shape)} for an array of shape {tuple(x.shape)}")
        return self._torch.where(keep, x / (1 - p), 0.0) if p < 1 else x * 0

    @contextmanager
    def in_place_of_pytorchs(self) -> Iterator[None]:
        """Inside, PyTorch's functions `dropout` and `scaled_dot_product_attention` use these draws.

        So do the layers that call them. PyTorch's attention drops in compiled code; it is written out here.
        """

        def dropout(x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
            return self.dropout(x, p) if training and p > 0 else x

        def attention(
            q: Any, k: Any, v: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False
        ) -> Any:
            logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5  # (..., T, S)
            if is_causal:
                attn_mask = self._torch.ones(logits.shape[-2:], dtype=self._torch.bool).tril()
            if attn_mask is not None and attn_mask.dtype == self._torch.bool:
                attn_mask = self._torch.where(attn_mask, 0.0, -np.inf)
            weights = (logits if attn_mask is None else logits + attn_mask).softmax(-1)
            return dropout(weights, dropout_p) @ v

        functional = "torch.nn.functional"
        with patch(f"{functional}.dropout", dropout), patch(f"{functional}.scaled_dot_product_attention", attention):
            yield
