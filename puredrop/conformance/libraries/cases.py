"""Rows of the table for shapes that other libraries have, where puredrop's row has another."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ...random import Index
from ...variants import drop_block, locked_dropout
from ..case import Arrays, Case, normal
from ..cases import CASES


def whole_maps(keep: np.ndarray) -> np.ndarray:
    """Which maps lost nothing."""
    return np.asarray(keep.all(axis=(2, 3)))


def drop_block_on_maps(block: int, side: int, gamma_scale: float = 1.0) -> Case:
    """DropBlock on maps of side x side. Whether a map has a seed at all is one decision for each channel."""
    places = (side - block + 1) ** 2

    def any_seed(p: float) -> float:
        gamma = min(1.0, gamma_scale * p / block**2 * side**2 / places)
        return 1 - (1 - gamma) ** places

    return replace(
        CASES["drop_block"],
        call=partial(drop_block, spatial_dims=2, block_size=block, gamma_scale=gamma_scale),
        inputs=lambda rows, columns: (normal(rows, columns, side, side),),
        index=lambda x: Index.whole((*x.shape[:2], side - block + 1, side - block + 1)),
        noise_matrix=whole_maps,
        drop_rate=any_seed,
    )


def _on_sequences(x: Any, p: Any, **options: Any) -> Any:
    return locked_dropout(x, p, time_axis=1, **options)


# One mask for all time steps of (N, T, D).
SEQUENCES = replace(
    CASES["locked_dropout"],
    call=_on_sequences,
    inputs=lambda rows, columns: (normal(rows, 3, columns),),
    index=lambda x: Index.whole(x.shape, shared=1),
    noise_matrix=lambda noise: noise[:, 0],
)


def positive(rows: int, columns: int) -> Arrays:
    """What passes a relu as it is."""
    return (np.abs(normal(rows, columns)),)


# A stack of recurrent layers with relu, unit input weights and no recurrence: what lies between them is all that is
# left. Its inputs are positive.
BETWEEN_LAYERS = replace(CASES["dropout"], inputs=positive, any_shape=False)

# Rows of a matrix as the edges of a graph, whose features come back as often as their edge does.
EDGES = replace(CASES["classic_dropout"], name="drop_edge", evaluation="identity", any_shape=False)
