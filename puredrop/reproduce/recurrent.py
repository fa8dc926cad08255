"""Dropouts of a recurrent net, each in one LSTM on characters.

Those of Gal & Ghahramani (2016), Krueger et al. (2017), Semeniuta et al. (2016), Merity et al. (2018), Zaremba et al.
(2014). Their tables are of word models that train for days on a GPU, and are not computed. Here one layer of 200 units
learns 40,000 characters of the Grimms' tales for 36 epochs; what counts is the lowest validation loss of an epoch, in
bits a character. Beside ours stands one PyTorch run of each, whose learning rate is not known. Averaging over masks is
tried after the last epoch: the papers need hundreds of samples to gain by it, and ten may lose.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import nn, optim
from ..demo.checkpoints import resumed
from ..demo.studies.text import Chunks, in_sample, probabilities_of, train_epoch
from ..nn.datasets import Characters, in_streams, read_text
from ..uncertainty import nll
from .table import Protocol, Table, column, digest, paired, part, with_runs
from .training import Workshop

LABELS = {"best": "best", "last": "last epoch", "samples": "10 samples"}
REPETITIONS = 3
EPOCHS = 36
TRAIN = 40_000
STREAMS, LENGTH = 16, 64
STREAMS_OF_VALIDATION = 32
EMBEDDING, HIDDEN = 64, 200
SAMPLES = 10
REFERENCE = {
    "none": 2.312,
    "inputs and outputs, fresh": 2.206,
    "variational (Gal)": 2.235,
    "weight drop": 2.212,
    "zoneout": 2.207,
    "update (Semeniuta)": 2.232,
}
PATTERNS = {"train": "grimm_train.txt*", "valid": "grimm_valid.txt*"}


class Text(NamedTuple):
    """Chunks for training and for validation, and how many characters there are."""

    train: Chunks
    valid: Chunks
    tokens: int


def load(folder: Path | None) -> Text:
    """Raises FileNotFoundError saying which files are looked for."""
    looked_for = (
        "grimm_train.txt and grimm_valid.txt, plain or .gz; any English text of that kind will do, such as the tales "
        "at https://www.gutenberg.org/ebooks/2591"
    )
    if folder is None:
        raise FileNotFoundError(
            f"no data folder named; write --data FOLDER or set PUREDROP_DATA. It holds {looked_for}"
        )
    found = {name: sorted(Path(folder).glob(pattern)) for name, pattern in PATTERNS.items()}
    if not all(found.values()):
        raise FileNotFoundError(f"{folder} does not hold {looked_for}")
    train, valid = read_text(found["train"][0])[:TRAIN], read_text(found["valid"][0])
    letters = Characters(train + valid)
    return Text(
        in_streams(letters.encode(train), STREAMS, LENGTH),
        in_streams(letters.encode(valid), STREAMS_OF_VALIDATION, LENGTH),
        len(letters),
    )


def builders(tokens: int) -> dict[str, Callable[[], Any]]:
    """A net for each kind of dropout."""
    plain = partial(nn.models.LSTMLanguageModel, tokens, EMBEDDING, HIDDEN)
    return {
        "none": plain,
        "inputs and outputs, fresh": partial(with_fresh_masks, plain, 0.3),
        "variational (Gal)": partial(plain, form="mc", p=0.3),
        "weight drop": partial(plain, dropout=nn.RecurrentDropout(weight=0.3)),
        "zoneout": partial(plain, dropout=nn.RecurrentDropout(zoneout=0.06, zoneout_memory=0.3)),
        "update (Semeniuta)": partial(plain, dropout=nn.RecurrentDropout(update=0.3)),
    }


def with_fresh_masks(plain: Callable[[], Any], p: float) -> Any:
    """What enters and leaves the LSTM is dropped, with other masks at every step (Zaremba et al. 2014)."""
    model = plain()
    model.layers[0].noise, model.decoder.noise = nn.Dropout(p), nn.Dropout(p)
    return model


def measured(text: Text, protocol: Protocol, workshop: Workshop) -> list[dict[str, Any]]:
    """A part for each kind of dropout."""
    epochs, samples = protocol.epochs or EPOCHS, protocol.samples or SAMPLES
    of_data = digest(*(array for chunk in (*text.train, *text.valid) for array in chunk))
    parts = []
    for kind, build in builders(text.tokens).items():
        rows = []
        for number in range(REPETITIONS):
            seed = protocol.seed * REPETITIONS + number
            note = f"{number + 1} of {REPETITIONS}"
            draws = kind != "none"
            compute = partial(_trained_and_measured, text, build, seed, epochs, samples * draws, workshop, (kind, note))
            rows.append(workshop.kept("recurrent", [of_data, kind, seed, epochs, samples, HIDDEN], compute))
        lines = {"best": with_runs(column(rows, "best"), REFERENCE[kind], runs=1)}
        lines |= {metric: paired(column(rows, metric), None) for metric in rows[0] if metric != "best"}
        parts.append(part(kind, rows, lines))
    return parts


def _trained_and_measured(
    text: Text,
    build: Callable[[], Any],
    seed: int,
    epochs: int,
    samples: int,
    workshop: Workshop,
    stage: tuple[str, str],
    checkpoint: Path,
) -> dict[str, float]:
    """The lowest loss of an epoch, that of the last, and, where it draws, that of the mean over samples."""
    model = build().seed(seed)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    notes = resumed(checkpoint, {"curve": []}, model, optimizer)
    while len(notes["curve"]) < epochs:
        train_epoch(text.train, model.train(), optimizer, seed, len(notes["curve"]))
        notes["curve"].append(bits(probabilities_of(model.eval(), text.valid), text.valid))
        nn.save(checkpoint, model, optimizer, **notes)
        workshop.tell(stage[0], len(notes["curve"]), epochs, stage[1])
    found = {"best": min(notes["curve"]), "last": notes["curve"][-1]}
    if samples:
        drawn = [probabilities_of(model, text.valid, partial(in_sample, t)) for t in range(samples)]
        found["samples"] = bits(np.mean(drawn, axis=0), text.valid)
    return found


def bits(probabilities: np.ndarray, chunks: Chunks) -> float:
    """The loss in bits a character."""
    return nll(probabilities, np.concatenate([y.reshape(-1) for _, y in chunks])) / math.log(2)


def findings(parts: list[dict[str, Any]]) -> list[str]:
    """Whether every dropout beats none, and whether averaging over masks helps."""
    means = {one["set"]: {m: column(one["rows"], m).mean() for m in one["rows"][0]} for one in parts}
    none = means.pop("none")["best"]
    gains = {kind: none - mean["best"] for kind, mean in means.items()}
    better = [kind for kind, mean in means.items() if mean["samples"] < mean["last"]]
    return [
        f"against none the dropouts win {min(gains.values()):+.3f} ({min(gains, key=gains.__getitem__)}) to "
        f"{max(gains.values()):+.3f} ({max(gains, key=gains.__getitem__)}) bits",
        f"averaging over masks is better than one pass for: {', '.join(better) or 'none'}",
    ]


TABLE = Table(
    title="dropouts of an LSTM on characters, in small; bits a character",
    labels=LABELS,
    over="three repetitions",
    load=lambda folder, names: load(folder),
    measure=measured,
    findings=findings,
    beside="PyTorch, one run",
    is_same=False,
)
