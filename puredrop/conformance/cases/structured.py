"""Rows for decisions that many elements share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...random import Index
from ...variants import (
    batchwise_dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    embedding_dropout,
    locked_dropout,
    nested_dropout,
    patch_dropout,
    spatial_dropout,
    token_dropout,
    word_dropout,
)
from ..case import Arrays, Case, normal
from .elementwise import inverted

WHOLE = "x is whole numbers"
GROUP = 10  # (1 - p) GROUP is whole at every rate of the checks of chance


def with_space(*space: int) -> Callable[[int, int], Arrays]:
    """x (rows, columns, *space), where `space` shares a decision."""
    return lambda rows, columns: (normal(rows, columns, *space),)


def channels(noise: np.ndarray) -> np.ndarray:
    """One decision a channel, of a mask that has the same one all over it."""
    return noise.reshape(*noise.shape[:2], -1)[:, :, 0]


def shared_row(name: str, call: Callable[..., Any], *space: int, **more: Any) -> Case:
    """A dropout with inverted scale whose decisions are (rows, columns, 1, ...)."""
    return Case(
        name=name,
        call=call,
        inputs=with_space(*space),
        any_shape=False,
        index=lambda x: Index.whole(x.shape, shared=range(2, x.ndim)),
        noise_matrix=channels,
        formula=inverted,
        mean=lambda x, p: x,
        variance=lambda x, p: x**2 * p / (1 - p),
        **more,
    )


def lookup_inputs(rows: int, columns: int) -> Arrays:
    """A matrix with as many words as there are decisions, and ids in which the first column occurs twice."""
    ids = np.arange(rows * columns).reshape(rows, columns)
    return normal(rows * columns, 2), np.concatenate([ids, ids[:, :1]], axis=1)


def patches(xp: Any, x: Any, keep: Any, p: float) -> Any:
    """The first token, and those that are kept."""
    kept = x[:, 1:][keep].reshape(x.shape[0], int(keep.sum()) // (x.shape[0] or 1), x.shape[2])
    return xp.concatenate((x[:, :1], kept), 1)


def survival(x: np.ndarray, p: float) -> np.ndarray:
    """(1 - p)^(i - 1) for unit i = 1, 2, ..."""
    return np.broadcast_to((1 - p) ** np.arange(x.shape[-1]), x.shape)


CASES = (
    shared_row(
        "spatial_dropout",
        partial(spatial_dropout, spatial_dims=2, channel_axis=1),
        2,
        3,
        pytorch="dropout2d",
        applies_to=("conv",),
        elsewhere={
            "PyTorch": "torch.nn.Dropout2d: and Dropout1d, Dropout3d",
            "Keras": "keras.layers.SpatialDropout2D: and 1D, 3D",
            "Flax": "flax.nnx.Dropout(broadcast_dims=)",
            "Haiku": "haiku.dropout(broadcast_dims=)",
            "MXNet": "mxnet.gluon.nn.Dropout(axes=)",
        },
    ),
    shared_row(
        "dropout1d",
        dropout1d,
        3,
        pytorch="dropout1d",
        applies_to=("conv",),
        elsewhere={
            "PyTorch": "torch.nn.Dropout1d",
            "Keras": "keras.layers.SpatialDropout1D: channels last",
        },
    ),
    shared_row(
        "dropout2d",
        dropout2d,
        2,
        3,
        pytorch="dropout2d",
        applies_to=("conv",),
        elsewhere={
            "PyTorch": "torch.nn.Dropout2d: reads three axes as (N, C, L)",
            "Keras": "keras.layers.SpatialDropout2D",
        },
    ),
    shared_row(
        "dropout3d",
        dropout3d,
        2,
        1,
        2,
        pytorch="dropout3d",
        applies_to=("conv",),
        elsewhere={
            "PyTorch": "torch.nn.Dropout3d",
            "Keras": "keras.layers.SpatialDropout3D",
        },
    ),
    shared_row(
        "locked_dropout",
        partial(locked_dropout, time_axis=2),
        3,
        pytorch="dropout1d",
        applies_to=("recurrent", "embedding"),
        elsewhere={
            "Keras": "keras.layers.SpatialDropout1D: the same mask, on (N, T, D)",
            "Flax": "flax.nnx.Dropout(broadcast_dims=)",
            "fastai": "fastai.text.models.awdlstm.RNNDropout",
            "flair": "flair.nn.LockedDropout",
            "AllenNLP": "allennlp.modules.InputVariationalDropout",
            "MXNet": "mxnet.gluon.contrib.rnn.VariationalDropoutCell",
        },
    ),
    shared_row(
        "batchwise_dropout",
        partial(batchwise_dropout, batch_axis=2),
        3,
        pytorch="dropout1d",
        applies_to=("dense", "conv"),
        elsewhere={
            "Keras": "keras.layers.Dropout(noise_shape=): 1 for the batch axis",
            "Flax": "flax.nnx.Dropout(broadcast_dims=)",
        },
    ),
    shared_row(
        "token_dropout",
        token_dropout,
        3,
        pytorch="dropout1d",
        applies_to=("embedding", "recurrent", "attention"),
        elsewhere={
            "Keras": "keras.layers.Dropout(noise_shape=): 1 for the last axis",
            "Flax": "flax.nnx.Dropout(broadcast_dims=)",
            "flair": "flair.nn.WordDropout: unscaled",
        },
    ),
    Case(
        name="embedding_dropout",
        call=embedding_dropout,
        inputs=lookup_inputs,
        any_shape=False,
        index=None,
        part=lambda of, weight, ids: (weight, ids[of]),
        formula=lambda xp, weight, ids, keep, p: inverted(xp, weight[ids], keep, p),
        noise_matrix=lambda noise: noise[:, :-1, 0],
        mean=lambda weight, ids, p: weight[ids],
        variance=lambda weight, ids, p: weight[ids] ** 2 * p / (1 - p),
        evaluation=lambda xp, weight, ids, p: weight[ids],
        at_one="formula",
        applies_to=("embedding",),
        elsewhere={"fastai": "fastai.text.models.awdlstm.EmbeddingDropout"},
    ),
    Case(
        name="word_dropout",
        call=partial(word_dropout, unknown=1),
        inputs=lambda rows, columns: (2 + np.arange(rows * columns).reshape(rows, columns),),
        formula=lambda xp, ids, keep, p: xp.where(keep, ids, 1),
        mean=lambda ids, p: (1 - p) * ids + p,
        variance=lambda ids, p: p * (1 - p) * (ids - 1.0) ** 2,
        at_one="formula",
        not_applicable=dict.fromkeys(
            (
                "nonfinite",
                "signed zero",
                "all dropped",
                "gradient",
                "second gradient",
                "nonfinite gradient",
                "recomputation",
                "pytorch autograd",
            ),
            WHOLE,
        ),
        applies_to=("input", "embedding"),
        elsewhere={"fairseq": "fairseq.data.noising.WordDropout: removes words unless given a blank"},
    ),
    Case(
        name="patch_dropout",
        call=partial(patch_dropout, prefix=1),
        inputs=lambda rows, columns: (normal(rows * (columns // 4 or 1), GROUP + 1, 1),),
        any_shape=False,
        index=lambda x: Index.whole((len(x), GROUP)),
        axes=1,
        noise_matrix=lambda keep: keep[:, 0].reshape(512, -1),  # examples are independent, patches of one are not
        formula=patches,
        mean=None,
        variance=None,
        at_one="formula",
        not_applicable={"nonfinite gradient": "what is dropped is not in the result; tests/test_structured.py"},
        applies_to=("attention",),
        elsewhere={"timm": "timm.layers.PatchDropout: keeps one token at least, shuffled unless ordered=True"},
    ),
    Case(
        name="nested_dropout",
        call=nested_dropout,
        # Unit 2 of each vector of three is a decision by itself: it survives with probability 1 - p.
        inputs=lambda rows, columns: (normal(rows, columns // 2 or 1, 3),),
        any_shape=False,
        index=lambda x: Index.whole((*x.shape[:2], 2)),
        noise_matrix=lambda noise: noise[..., 1],
        formula=lambda xp, x, keep, p: xp.where(keep, x, xp.zeros_like(x)),
        mean=lambda x, p: x * survival(x, p),
        variance=lambda x, p: x**2 * survival(x, p) * (1 - survival(x, p)),
        at_one="formula",
        applies_to=("dense",),
    ),
)
