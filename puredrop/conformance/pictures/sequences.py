"""Panels of decisions along sequences, words and patches."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...random import Key
from ...variants import dropout, embedding_dropout, locked_dropout, patch_dropout, token_dropout, word_dropout
from .draw import KEY, Draw, Panel, drawn, masks, words

BATCH = np.ones((3, 16, 5))  # (N, T, D)
TEXT = [
    line.split()
    for line in (
        "the cat saw the dog",
        "a dog saw the bird",
        "the bird saw a cat",
        "a cat and a bird",
        "the dog and the cat",
    )
]
WORDS = sorted({word for line in TEXT for word in line})
UNKNOWN = "?"
EACH = "N\n\neach\nD x T"


def by_time(operation: Any, **options: Any) -> Draw:
    """The mask of a batch of sequences, an example below the other, time from left to right."""
    return lambda axes: masks(axes, drawn(operation, BATCH, **options).swapaxes(1, 2)[:, None], "T", EACH)


def numbers() -> np.ndarray:
    """The words of the text as numbers: (N, T)."""
    return np.array([[WORDS.index(word) for word in line] for line in TEXT])


def rows_of_an_embedding(axes: Any) -> None:
    matrix = np.ones((len(WORDS), 2))
    _, keep = embedding_dropout(matrix, numbers(), 0.3, key=Key(5), return_mask=True)  # (N, T, 1)
    words(axes, TEXT, keep[..., 0])


def replaced_words(axes: Any) -> None:
    _, keep = word_dropout(numbers(), 0.3, unknown=0, key=KEY, return_mask=True)
    words(axes, TEXT, keep, replacement=UNKNOWN)


def removed_patches(axes: Any) -> None:
    _, keep = patch_dropout(np.ones((4, 36, 1)), 0.5, key=Key(7), return_mask=True)  # (N, P)
    masks(axes, keep.reshape(2, 2, 6, 6), "4 images of 6 x 6 patches", "")


PANELS = (
    Panel("dropout", "for comparison: a decision for each element", by_time(dropout)),
    Panel(
        "locked_dropout",
        "a decision for each feature of a sequence, the same at every step",
        by_time(locked_dropout, time_axis=1),
    ),
    Panel("token_dropout", "a decision for each step: all of its features go", by_time(token_dropout)),
    Panel("embedding_dropout", "a dropped word is dropped wherever it occurs", rows_of_an_embedding),
    Panel("word_dropout", "each place by itself; the unknown word stands there instead", replaced_words),
    Panel("patch_dropout", "the same number goes from each image, and the rest moves up", removed_patches),
)
