"""Rows for noise inside a recurrent cell."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import ops
from ...variants import locked_gate_dropout, memory_dropout, update_dropout, zoneout
from ..case import Arrays, Case, normal
from .elementwise import inverted


def alike(count: int) -> Any:
    """`count` inputs of one shape, with different numbers."""
    return lambda rows, columns: tuple(normal(rows, columns, seed=i) for i in range(count))


def two_gates(x: Any, p: Any, mask: Any = None, return_mask: bool = False, **options: Any) -> Any:
    """`locked_gate_dropout` for two gates, the rows of the second below those of the first."""
    mask = None if mask is None else mask.reshape(2, *x.shape)
    y, keep = locked_gate_dropout(x, p, gates=2, mask=mask, return_mask=True, **options)
    y = ops.reshape(y, shape=(-1, *x.shape[1:]))  # (2 rows, columns)
    return (y, keep.reshape(y.shape)) if return_mask else y


def one_gate_s_rows(rows: int, columns: int) -> Arrays:
    """An input whose noise for two gates is about rows x columns."""
    return (normal(max(1, rows // 2), columns),)


def cell(u: Any, c: Any, f: Any, i: Any, p: float) -> Any:
    """The memory without noise."""
    return f * c + i * u


A_SUM = {"signed zero": "y is a sum of products"}

CASES = (
    Case(
        name="locked_gate_dropout",
        call=two_gates,
        inputs=one_gate_s_rows,
        formula=lambda xp, x, keep, p: inverted(xp, xp.concatenate([x, x]), keep, p),
        mean=lambda x, p: np.concatenate([x, x]),
        variance=lambda x, p: np.concatenate([x, x]) ** 2 * p / (1 - p),
        at_one="formula",
        evaluation=lambda xp, x, p: xp.concatenate([x, x]),
        any_shape=False,
        index=None,
        not_applicable={"shard": "it takes no index"},
        applies_to=("recurrent",),
        elsewhere={"Keras": "keras.layers.LSTM(recurrent_dropout=): and GRU; no dropout at p = 1"},
    ),
    Case(
        name="update_dropout",
        call=update_dropout,
        inputs=alike(4),
        formula=lambda xp, u, c, f, i, keep, p: f * c + i * inverted(xp, u, keep, p),
        mean=cell,
        variance=lambda u, c, f, i, p: (i * u) ** 2 * p / (1 - p),
        at_one="formula",
        evaluation=lambda xp, u, c, f, i, p: cell(u, c, f, i, p),
        not_applicable=A_SUM,
        applies_to=("recurrent",),
    ),
    Case(
        name="memory_dropout",
        call=memory_dropout,
        inputs=alike(4),
        formula=lambda xp, u, c, f, i, keep, p: xp.where(keep, f * c + i * u, u * 0),
        mean=lambda u, c, f, i, p: (1 - p) * cell(u, c, f, i, p),
        variance=lambda u, c, f, i, p: p * (1 - p) * cell(u, c, f, i, p) ** 2,
        evaluation=lambda xp, u, c, f, i, p: f * c + (1 - p) * i * u,
        not_applicable=A_SUM,
        applies_to=("recurrent",),
    ),
    Case(
        name="zoneout",
        call=zoneout,
        inputs=alike(2),
        formula=lambda xp, new, old, keep, p: xp.where(keep, new, old),
        mean=lambda new, old, p: p * old + (1 - p) * new,
        variance=lambda new, old, p: p * (1 - p) * (new - old) ** 2,
        at_one="formula",
        evaluation=lambda xp, new, old, p: p * old + (1 - p) * new,
        applies_to=("recurrent",),
        elsewhere={
            "fairseq": "fairseq.modules.LSTMCellWithZoneOut: one rate for h and c",
            "MXNet": "mxnet.gluon.rnn.ZoneoutCell: the new state in evaluation",
            "Chainer": "chainer.functions.zoneout: the new state in evaluation",
        },
    ),
)
