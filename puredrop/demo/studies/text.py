"""Studies on text: which character comes next, by an LSTM and by a transformer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ... import nn, ops, optim
from ...nn.datasets import Characters, in_streams, read_text
from ...random.passes import Pass, entered
from ...tensor import no_grad
from ...uncertainty import accuracy, nll
from .study import Contender, Metrics, Study

STREAMS, LENGTH = 16, 64
TRAIN, VALID = 40_000, 10_000  # characters: a short text is where dropout matters
SAMPLES = 10
Chunks = list[tuple[np.ndarray, np.ndarray]]


def corpus(path: str | Path | None) -> tuple[Chunks, Chunks, Characters, str]:
    """Chunks for training and for validation, the characters, and a line that says what text it is."""
    text = read_text(path)[: TRAIN + VALID]
    letters = Characters(text)
    numbers = letters.encode(text)
    cut = len(numbers) * TRAIN // (TRAIN + VALID)
    try:
        parts = [in_streams(numbers[:cut], STREAMS, LENGTH), in_streams(numbers[cut:], 8, LENGTH)]
    except ValueError:
        raise ValueError(f"demo: {path} has {len(text):,} characters, too few; use one of at least 5,000") from None
    source = Path(path).name if path else 'the beginning of "Pride and Prejudice" (Austen 1813)'
    said = f"{source}: {cut:,} characters for training, the next {len(text) - cut:,} for testing, {len(letters)} kinds"
    return parts[0], parts[1], letters, said


def lstm(path: str | Path | None = None, epochs: int | None = None) -> Study:
    """Each of the recurrent dropouts in one LSTM of the same size."""
    train, valid, letters, source = corpus(path)
    build = partial(nn.models.LSTMLanguageModel, len(letters), 64, 160)
    contenders = (
        Contender("plain", "nothing", build, draws=False),
        Contender("variational (Gal)", "input, state, output, locked over time", partial(build, form="mc", p=0.2)),
        *(
            Contender(name, drops, partial(build, dropout=dropout))
            for name, drops, dropout in (
                ("state, locked", "h, one mask a sequence", nn.RecurrentDropout(state=0.2)),
                ("update (Semeniuta)", "what is written into the memory", nn.RecurrentDropout(update=0.2)),
                ("zoneout", "h and c keep old values", nn.RecurrentDropout(zoneout=0.05, zoneout_memory=0.2)),
                ("weight drop (AWD)", "recurrent weights", nn.RecurrentDropout(weight=0.2)),
            )
        ),
        Contender("concrete", "input and output, p learned", partial(build, form="concrete", p=0.1)),
    )
    return _study("lstm", "A language model with an LSTM", source, train, valid, contenders, epochs or 25)


def transformer(path: str | Path | None = None, epochs: int | None = None) -> Study:
    """Each of the dropouts of a transformer, alone and together."""
    train, valid, letters, source = corpus(path)
    build = partial(nn.models.GPT, len(letters), LENGTH, width=96, heads=4, layers=2)
    contenders = (
        Contender("plain", "nothing", build, draws=False),
        Contender("dropout", "attention, hidden and residual, p = 0.1", partial(build, form="mc", p=0.1)),
        Contender("attention only", "attention probabilities, p = 0.1", partial(_attention_only, build)),
        Contender("DropKey", "keys before the softmax, p = 0.1", partial(build, key_p=0.1)),
        Contender("DropHead", "whole heads, p = 0.1", partial(build, head_p=0.1)),
        Contender("LayerDrop", "whole layers, p = 0.1", partial(build, layer_p=0.1)),
        Contender("concrete", "hidden units, p learned", partial(build, form="concrete", p=0.1)),
    )
    return _study("transformer", "A language model with a transformer", source, train, valid, contenders, epochs or 20)


def _attention_only(build: Callable[..., nn.Module]) -> nn.Module:
    model: Any = build()
    for layer in model.encoder.layers:
        layer.self_attn.drop_weights = nn.Dropout(0.1)
    return model


def _study(
    name: str, title: str, source: str, train: Chunks, valid: Chunks, contenders: tuple[Contender, ...], epochs: int
) -> Study:
    return Study(
        name=name,
        title=title,
        data=source,
        metric="perplexity",
        contenders=contenders,
        train_epoch=partial(train_epoch, train),
        evaluate=partial(_evaluated, valid),
        sampled=partial(_sampled, valid),
        optimizer=lambda model: optim.Adam(model.parameters(), lr=3e-3),
        epochs=epochs,
        settings={"optimizer": "Adam, 0.003, gradients clipped at 1", "streams": STREAMS, "length": LENGTH},
    )


def run_chunks(
    model: Any, chunks: Chunks, around: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> Iterator[tuple[Any, np.ndarray]]:
    """Logits (N * T, tokens) and targets (N * T,), chunk by chunk; a state goes on from one to the next."""
    states = None
    for ids, targets in chunks:
        with around():
            y = model(ids) if isinstance(model, nn.models.GPT) else model(ids, states)
        if isinstance(y, tuple):
            y, states = y[0], [state.detach() for state in y[1]]
        yield ops.reshape(y, shape=(-1, y.shape[-1])), targets.reshape(-1)


def train_epoch(chunks: Chunks, model: Any, optimizer: optim.Optimizer, seed: int, epoch: int) -> None:
    examples = sum(targets.size for _, targets in chunks)
    for logits, targets in run_chunks(model, chunks):
        optimizer.zero_grad()
        (nn.cross_entropy(logits, targets) + model.regulariser(examples)).backward()
        optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()


def _evaluated(chunks: Chunks, model: Any) -> Metrics:
    return _metrics(probabilities_of(model, chunks), chunks)


def _sampled(chunks: Chunks, model: Any) -> Metrics:
    """The mean probabilities over samples; a sample has the same masks at every chunk: it is one function."""
    total: Any = 0.0
    for t in range(SAMPLES):
        total = total + probabilities_of(model, chunks, partial(in_sample, t))
    return _metrics(total / SAMPLES, chunks)


def in_sample(t: int) -> AbstractContextManager[Any]:
    return entered(Pass(mode="sample", samples=range(t, t + 1), masks="pass"))


def probabilities_of(
    model: Any, chunks: Chunks, around: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> np.ndarray:
    with no_grad():
        parts = [ops.softmax(logits).numpy().astype(np.float64) for logits, _ in run_chunks(model, chunks, around)]
    return np.concatenate(parts)  # (N, tokens)


def _metrics(probabilities: np.ndarray, chunks: Chunks) -> Metrics:
    targets = np.concatenate([y.reshape(-1) for _, y in chunks])
    loss = nll(probabilities, targets)
    return {"perplexity": math.exp(loss), "nll": loss, "accuracy": accuracy(probabilities, targets)}
