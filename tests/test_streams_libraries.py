"""Streams beside the libraries that they reproduce, and what they refuse."""

import json
import os

import numpy as np
import pytest

from puredrop.cli import main
from puredrop.conformance.streams import ROWS
from puredrop.conformance.streams.run import outcome
from puredrop.streams import NAMES, ONNX, TensorFlow, TorchCPU, TorchCUDA, named


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.library}: {row.operation}" for row in ROWS])
def test_every_mask_is_the_librarys(row):
    result = outcome(row)
    if result.status == "skipped" and not (row.library == "torch" and os.environ.get("PUREDROP_REQUIRE_TORCH")):
        pytest.skip(result.reason)
    assert result.status == "passed", result.reason or f"{result.mismatches} of {result.elements} differ"


def test_a_wrong_stream_is_seen(monkeypatch):
    """One more word is taken for every mask: all but a chain's first mask differ."""
    pytest.importorskip("torch")
    draw = TorchCPU.draw

    def late(self, wanted):
        keep = draw(self, wanted)
        self.bernoulli_((1,), 0.5)
        return keep

    monkeypatch.setattr(TorchCPU, "draw", late)
    row = next(row for row in ROWS if row.operation == "dropout2d")
    assert outcome(row).mismatches > 1_000


def test_the_generator_of_the_installed_pytorch_is_seen_and_left_as_it_was():
    torch = pytest.importorskip("torch")
    from puredrop.conformance.streams.torch import probe

    before = torch.get_rng_state()
    assert probe() == "mt19937"
    assert torch.equal(torch.get_rng_state(), before)


def test_the_older_path_of_pytorch_gives_the_mask_that_was_published():
    """torch 2.2 on x86, manual_seed(123), dropout(ones(6, 6), 0.5); rasbt/LLMs-from-scratch, issue 57."""
    keep = ["111111", "010000", "001010", "110001", "100001", "010000"]
    ours = TorchCPU(123, path="mkl").mask((6, 6), 0.5)
    assert ours.astype(int).tolist() == [list(map(int, row)) for row in keep]


@pytest.mark.parametrize("size", [0, 5055, 5057, 16])
def test_a_state_of_the_wrong_size_is_refused(size):
    with pytest.raises(ValueError, match=r"expected the 5056 bytes of torch\.get_rng_state"):
        TorchCPU.from_state(bytes(size))


def test_a_state_that_no_generator_gave_is_refused():
    state = TorchCPU(0).state()
    state[24 + 7] = 1  # a word of more than 32 bits
    with pytest.raises(ValueError, match="not those of a Mersenne twister"):
        TorchCPU.from_state(state)
    with pytest.raises(ValueError, match="never seeded"):
        TorchCPU.from_state(bytes(5056))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: TorchCPU(1.5), TypeError, "must be a whole number"),
        (lambda: TorchCPU(1 << 64), ValueError, "must lie in"),
        (lambda: TorchCPU(0, path="curand"), ValueError, "'mt19937'"),
        (lambda: TorchCUDA(0, sm_count=0, threads_per_sm=2048), ValueError, "sm_count"),
        (lambda: TorchCUDA(0, sm_count=8, threads_per_sm=100), ValueError, "one of 1024, 1536, 2048"),
        (lambda: TorchCUDA(0, 3, sm_count=8, threads_per_sm=2048), ValueError, "multiples of 4"),
        (lambda: ONNX(-1), ValueError, "seed"),
        (lambda: TensorFlow((1, 2, 3)), TypeError, "pair"),
        (lambda: TensorFlow(1, 2, xla=True), NotImplementedError, "under XLA"),
        (lambda: ONNX(0).mask(3, 0.5, dtype="float16"), NotImplementedError, "masks for float16"),
        (lambda: TorchCPU(0).mask(3, 0.5, operation="zoneout"), NotImplementedError, "cannot reproduce zoneout"),
        (lambda: named("abacus", 0), ValueError, "unknown stream 'abacus'"),
        (lambda: named("torch-cpu", 0, sm_count=3), ValueError, "torch-cpu has no option 'sm_count'; it has path"),
    ],
)
def test_what_cannot_be_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_masks_are_printed_saved_and_given_as_json(capsys, tmp_path):
    call = ["masks", "--like", "torch-cpu", "--seed", "0", "--shape", "4x8", "--p", "0.1"]
    assert main(call) == 0
    printed = np.array([line.split() for line in capsys.readouterr().out.splitlines()], int)
    expected = TorchCPU(0).mask((4, 8), 0.1)
    assert np.array_equal(printed, expected)
    assert main([*call, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["keep"] == expected.astype(int).tolist()
    assert main([*call, "--count", "2", "--save", str(tmp_path / "keep")]) == 0
    both = np.load(tmp_path / "keep")
    assert both.shape == (2, 4, 8)
    assert np.array_equal(both[0], expected)
    assert not np.array_equal(both[1], expected)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--set", "sm_count"], "--set takes NAME=VALUE"),
        (["--set", "x=1"], "has no option 'x'"),
        (["--p", "2"], "p must lie in"),
        (["--count", "0"], "count must be 1 or more"),
        (["--operation", "zoneout"], "cannot reproduce zoneout"),
    ],
)
def test_wrong_requests_for_masks_exit_2_with_a_sentence(capsys, more, words):
    assert main(["masks", "--like", "torch-cpu", "--shape", "3", *more]) == 2
    assert words in capsys.readouterr().err


def test_every_stream_says_what_it_was_verified_with():
    device = {"torch-cuda": {"sm_count": 132, "threads_per_sm": 2048}}
    for name in NAMES:
        stream = named(name, 1, **device.get(name, {}))
        assert stream.verified
        assert stream.mask((5, 7), 0.5).shape == (5, 7)


def test_streams_are_verified_from_the_command_line(capsys):
    assert main(["verify", "--streams", "torch.cuda", "tensorflow"]) == 0
    assert "6 rows passed, 0 failed, 0 skipped" in capsys.readouterr().out
    assert main(["verify", "--streams", "abacus"]) == 2
    assert "unknown library 'abacus'" in capsys.readouterr().err
    assert main(["verify", "--streams", "--layers"]) == 2
