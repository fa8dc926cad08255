"""Formats are read as they are defined, and what is no such file is refused by name."""

import gzip
import struct

import numpy as np
import pytest

from puredrop.nn import datasets

X = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4) * 10
Y = np.array([7, 2], np.uint8)


def idx(array, code=8):
    head = struct.pack(">BBBB", 0, 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.dtype(datasets._IDX_TYPES[code])).tobytes()


@pytest.mark.parametrize(("code", "dtype"), [(8, "u1"), (9, "i1"), (11, "i2"), (12, "i4"), (13, "f4"), (14, "f8")])
def test_idx_files_of_every_type(tmp_path, code, dtype):
    array = (np.arange(6).reshape(2, 3) - (0 if dtype == "u1" else 2)).astype(dtype)
    (tmp_path / "a").write_bytes(idx(array, code))
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx(array, code)))
    for name in ("a", "a.gz"):
        read = datasets.read_idx(tmp_path / name)
        assert read.dtype == dtype
        assert np.array_equal(read, array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\x89PNG....", "not an IDX file"),
        (idx(X)[:-1], r"39 bytes do not hold an array of shape \(2, 3, 4\), which needs 40"),
        (idx(X)[:9], "do not hold an array"),
    ],
)
def test_what_is_no_idx_file_is_refused(tmp_path, content, message):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        datasets.read_idx(tmp_path / "a")


def test_mnist_from_idx_and_from_npz_is_the_same(tmp_path):
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(X)))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(Y))
    from_idx = datasets.mnist(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    np.savez(other / "mnist_train5k.npz", x=X, y=Y)
    np.savez(other / "mnist_test10k.npz", x=X, y=Y)
    from_npz = datasets.mnist(other)
    assert all(np.array_equal(a, b) for a, b in zip(from_idx, from_npz, strict=True))
    assert from_idx.x_train.shape == (2, 1, 3, 4)
    assert from_idx.x_train.dtype == np.float32
    assert np.isclose(from_idx.x_train.max(), 230 / 255)
    assert from_idx.y_test.tolist() == [7, 2]


def test_missing_and_foreign_files_are_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"neither mnist_train\*.npz nor the IDX files train-images\*"):
        datasets.mnist(tmp_path)
    np.savez(tmp_path / "a.npz", z=X)
    with pytest.raises(ValueError, match="expected arrays x and y, got z"):
        datasets.images_and_labels(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", x=X, y=Y[:1])
    with pytest.raises(ValueError, match=r"got \(2, 3, 4\) and \(1,\)"):
        datasets.images_and_labels(tmp_path / "b.npz")
    monkeypatch.setenv("PUREDROP_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(NotADirectoryError, match="nowhere is not a folder"):
        datasets.data_folder()
    assert datasets.data_folder(tmp_path) == tmp_path
    monkeypatch.delenv("PUREDROP_DATA")
    assert datasets.data_folder() is None


def test_texts_are_utf8(tmp_path):
    (tmp_path / "a.txt").write_text("Gödel", encoding="utf-8")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("Gödel".encode()))
    assert datasets.read_text(tmp_path / "a.txt") == datasets.read_text(tmp_path / "a.txt.gz") == "Gödel"
    (tmp_path / "b.txt").write_bytes("Gödel".encode("latin-1"))
    with pytest.raises(ValueError, match=r"not a UTF-8 text .* at byte 1"):
        datasets.read_text(tmp_path / "b.txt")


def test_the_text_that_comes_along():
    text = datasets.read_text()
    assert text.startswith("Chapter 1\n\nIt is a truth universally acknowledged")
    letters = datasets.Characters(text)
    assert len(text) > 190_000
    assert letters.decode(letters.encode(text[:500])) == text[:500]
    with pytest.raises(ValueError, match="no number for '%é'"):
        letters.encode("50 %, é")


def test_streams_go_on_from_chunk_to_chunk():
    chunks = datasets.in_streams(np.arange(100), streams=3, length=5)
    assert len(chunks) == 6
    inputs = np.concatenate([x for x, _ in chunks], axis=1)
    assert np.array_equal(inputs, [np.arange(30) + 33 * n for n in range(3)])
    assert all(np.array_equal(y, x + 1) for x, y in chunks)
    with pytest.raises(ValueError, match="10 numbers do not fill 3 streams of 5"):
        datasets.in_streams(np.arange(10), 3, 5)
