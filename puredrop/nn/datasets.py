"""Data in the formats it usually comes in: IDX and NPZ files of images, text files, and where they are looked for.

Nothing is downloaded. A folder is named by an argument, or by the environment variable PUREDROP_DATA.
"""

from __future__ import annotations

import gzip
import math
import os
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_PARTS = {"train": ("train-images*", "train-labels*"), "test": ("t10k-images*", "t10k-labels*")}


class Images(NamedTuple):
    """Pixels (N, 1, H, W) float32 in [0, 1] and labels (N,) int64, for training and for testing."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def data_folder(folder: str | Path | None = None) -> Path | None:
    """The folder that was named, by argument or by PUREDROP_DATA; None where none was. Raises NotADirectoryError."""
    named = folder or os.environ.get("PUREDROP_DATA")
    if named and not Path(named).is_dir():
        raise NotADirectoryError(f"{named} is not a folder; name the one that holds the data files")
    return Path(named) if named else None


def mnist(folder: str | Path) -> Images:
    """MNIST, or a set in its format, from a folder of IDX files (plain or .gz) or of mnist_train*.npz, mnist_test*.npz.

    Raises: FileNotFoundError, naming what was looked for; ValueError for a file of another format.
    Reference: LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition" (1998).
    """
    folder = Path(folder)
    pairs = []
    for part, patterns in _PARTS.items():
        archives = sorted(folder.glob(f"mnist_{part}*.npz"))
        found = [sorted(folder.glob(pattern)) for pattern in patterns]
        if archives:
            pairs.append(images_and_labels(archives[0]))
        elif all(found):
            pairs.append(_checked_pair(read_idx(found[0][0]), read_idx(found[1][0]), folder))
        else:
            raise FileNotFoundError(
                f"{folder} holds neither mnist_{part}*.npz nor the IDX files {' and '.join(patterns)}"
            )
    return Images(*pairs[0], *pairs[1])


def images_and_labels(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of an NPZ file with arrays x (N, H, W) and y (N,). Raises ValueError for another content."""
    with np.load(path) as stored:
        if not {"x", "y"} <= set(stored):
            raise ValueError(f"{path}: expected arrays x and y, got {', '.join(stored)}")
        return _checked_pair(stored["x"], stored["y"], path)


def _checked_pair(x: np.ndarray, y: np.ndarray, source: Any) -> tuple[np.ndarray, np.ndarray]:
    if x.ndim != 3 or y.shape != x.shape[:1] or y.dtype.kind not in "iu":
        raise ValueError(f"{source}: expected images (N, H, W) and whole labels (N,), got {x.shape} and {y.shape}")
    pixels = x / np.float32(255) if x.dtype.kind in "iu" else x.astype(np.float32)
    return pixels.astype(np.float32)[:, None], y.astype(np.int64)  # (N, 1, H, W), (N,)


def read_idx(path: str | Path) -> np.ndarray:
    """The array in an IDX file, the format of MNIST; a name that ends in .gz is unpacked.

    Format: two zero bytes, a byte for the type, a byte for the number of axes, the sizes as big-endian 32-bit numbers,
    the elements in C order.
    Raises: ValueError for a file that is not of this format, or whose length does not fit its sizes.
    """
    content = gzip.decompress(Path(path).read_bytes()) if str(path).endswith(".gz") else Path(path).read_bytes()
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise ValueError(f"{path}: not an IDX file; it should begin with two zero bytes and the code of a type")
    rank, dtype = content[3], np.dtype(_IDX_TYPES[content[2]])
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", rank, offset=4)) if len(content) >= 4 + 4 * rank else ()
    expected = 4 + 4 * rank + math.prod(shape) * dtype.itemsize
    if len(shape) != rank or len(content) != expected:
        raise ValueError(f"{path}: {len(content)} bytes do not hold an array of shape {shape}, which needs {expected}")
    return np.frombuffer(content, dtype, offset=4 + 4 * rank).reshape(shape).astype(dtype.newbyteorder("="))


def read_text(path: str | Path | None = None) -> str:
    """The text in a UTF-8 file (plain or .gz); for None the first nineteen chapters of "Pride and Prejudice" (1813).

    Raises: ValueError for a file that is no UTF-8 text.

    >>> read_text().split(",")[0].split()[-5:]
    ['is', 'a', 'truth', 'universally', 'acknowledged']
    """
    if path is None:
        content = gzip.decompress((files("puredrop.nn") / "texts" / "pride_and_prejudice.txt.gz").read_bytes())
    else:
        content = Path(path).read_bytes()
        content = gzip.decompress(content) if str(path).endswith(".gz") else content
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a UTF-8 text ({error.reason} at byte {error.start})") from None


class Characters:
    """Text as numbers: each distinct character of a text has one, in the order of their code points.

    >>> letters = Characters("abracadabra")
    >>> letters.encode("cab"), letters.decode([3, 0, 3])
    (array([2, 0, 1]), 'dad')
    """

    def __init__(self, text: str) -> None:
        self.letters = "".join(sorted(set(text)))
        self._numbers = {letter: number for number, letter in enumerate(self.letters)}

    def __len__(self) -> int:
        return len(self.letters)

    def encode(self, text: str) -> np.ndarray:
        """The numbers of a text, int64. Raises ValueError for a character that has none."""
        if unknown := sorted(set(text) - set(self._numbers)):
            raise ValueError(f"Characters: no number for {''.join(unknown)!r}; known are {self.letters!r}")
        return np.array([self._numbers[letter] for letter in text], np.int64)

    def decode(self, numbers: Any) -> str:
        """The text of these numbers."""
        return "".join(self.letters[int(number)] for number in np.ravel(numbers))


def in_streams(numbers: np.ndarray, streams: int, length: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """A sequence cut for truncated backpropagation: chunks of inputs and of what follows them, each (streams, length).

    Stream n of one chunk goes on in stream n of the next, so that a state can be carried over. What does not fill a
    chunk is left out.
    Raises: ValueError where the sequence does not fill one chunk.

    >>> for inputs, targets in in_streams(np.arange(9), streams=2, length=2):
    ...     print(inputs.tolist(), targets.tolist())
    [[0, 1], [4, 5]] [[1, 2], [5, 6]]
    [[2, 3], [6, 7]] [[3, 4], [7, 8]]
    """
    each = (len(numbers) - 1) // streams
    if each < length:
        raise ValueError(f"in_streams: {len(numbers)} numbers do not fill {streams} streams of {length}")
    inputs, targets = (numbers[start : start + streams * each].reshape(streams, each) for start in (0, 1))
    places = range(0, each - length + 1, length)
    return [(inputs[:, at : at + length], targets[:, at : at + length]) for at in places]
