"""What has a name in papers and libraries and needs no function of its own: the line of puredrop that does it.

The page shows the lines, and a test runs each of them after `SETUP` and asks whether what it says holds.
"""

from __future__ import annotations

from dataclasses import dataclass

SETUP = """\
import numpy as np
import puredrop
from puredrop import Index, Key, nn, optim, uncertainty

key = Key(seed=7)
x = np.ones((4, 6, 8), np.float32)                   # N examples of T steps with D features
residual = 2 * x                                     # what a branch makes of x
images = np.ones((4, 3, 9, 9), np.float32)           # (N, C, H, W)
nodes = np.ones((5, 8), np.float32)                  # the features of a graph's nodes
ids = np.array([3, 999, 3, 0])                       # which examples of a data set of 1000 these are
net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 2)).seed(0)
"""


@dataclass(frozen=True)
class OtherName:
    """A name, who gave it, what it is here, the line that does it, and what then holds for its result y."""

    name: str
    source: str
    meaning: str
    line: str
    holds: str


OTHER_NAMES = (
    OtherName(
        "noise_shape, broadcast_dims, axes",
        "Keras; Flax and Haiku; MXNet",
        "one draw along an axis: `shared` names the axes of size 1 in the noise",
        "puredrop.dropout(x, 0.5, key=key, shared=1)",
        "(y == y[:, :1]).all() and not (y == y[:1]).all()",
    ),
    OtherName(
        "keep_prob, survival_prob",
        "TensorFlow 1, TPU models",
        "the probability of keeping; p is that of dropping",
        "puredrop.dropout(x, p=1 - 0.9, key=key)",
        "0.8 < (y != 0).mean() < 1",
    ),
    OtherName(
        "drop_connect_rate",
        "EfficientNet",
        "drop path, and no DropConnect: the branch of an example goes as a whole",
        "x + puredrop.drop_path(residual, 0.5, key=key)",
        "all(len(np.unique(example)) == 1 for example in y)",
    ),
    OtherName(
        "non-recurrent dropout",
        "Zaremba et al., 2014",
        "a key for each step, on the inputs of a recurrent layer and never on its state",
        "np.stack([puredrop.dropout(x[:, t], 0.5, key=Key(7, step=t)) for t in range(6)], axis=1)",
        "not (y == y[:, :1]).all()",
    ),
    OtherName(
        "variational RNN, tied masks",
        "Gal & Ghahramani, 2016",
        "one key for the sequence: the mask stays from step to step",
        "np.stack([puredrop.dropout(x[:, t], 0.5, key=key) for t in range(6)], axis=1)",
        "(y == y[:, :1]).all() and 0 in y",
    ),
    OtherName(
        "DropDim",
        "Zhang et al., 2022",
        "whole dimensions of an embedding, at every position",
        "puredrop.dropout(x, 0.5, key=key, shared=1)",
        "(y == y[:, :1]).all() and 0 in y",
    ),
    OtherName(
        "StableDropout, XDropout",
        "He et al., 2021 (DeBERTa)",
        "a boolean mask that selects, so that a dropped infinity is 0: so every variant here",
        "puredrop.dropout(x * np.inf, 0.5, key=key)",
        "set(np.unique(y)) == {0, np.inf}",
    ),
    OtherName(
        "feature dropout of a graph network",
        "Kipf & Welling, 2017",
        "dropout of the features of the nodes",
        "puredrop.dropout(nodes, 0.5, key=key)",
        "0 in y[0] and 2 in y[0]",
    ),
    OtherName(
        "Monte-Carlo dropout",
        "Gal & Ghahramani, 2016",
        "many passes with dropout on; batch norm and counters are left alone",
        "uncertainty.predict_samples(net, x[:, 0], samples=100)",
        "y.shape == (100, 4, 2) and y.std(axis=0).min() > 0",
    ),
    OtherName(
        "consistent dropout",
        "Hausknecht & Wagener, 2022",
        "the key of a rollout is stored with it, and its update draws with that key again",
        "np.stack([puredrop.dropout(x, 0.5, key=stored) for stored in (key, key)])",
        "(y[0] == y[1]).all() and 0 in y",
    ),
    OtherName(
        "example-tied dropout",
        "Maini et al., 2023",
        "the mask belongs to the example, wherever in whatever batch it comes",
        "puredrop.dropout(x, 0.5, key=key, index=Index.whole((1000, 6, 8))[ids])",
        "(y[0] == y[2]).all() and not (y[0] == y[1]).all()",
    ),
    OtherName(
        "SpecAugment",
        "Park et al., 2019",
        "a band of time and a band of frequency (without its time warping)",
        "puredrop.band_dropout(puredrop.band_dropout(x, axis=1, width=2, key=key), axis=2, width=3, key=key.draw(1))",
        "0 in y and any((y == 0).all(axis=1).any(axis=1)) and any((y == 0).all(axis=2).any(axis=1))",
    ),
    OtherName(
        "BatchDropBlock",
        "Dai et al., 2019",
        "one band of rows for the whole batch, which is one example here",
        "puredrop.band_dropout(images[None], axis=3, width=(3, 3), key=key)[0]",
        "(y == y[:1, :1, :, :1]).all() and (y[0, 0, :, 0] == 0).sum() == 3",
    ),
    OtherName(
        "ResidualWithLayerDropout",
        "AllenNLP",
        "stochastic depth at the rate p l / L of layer l of L: here 2 of 4",
        "puredrop.stochastic_depth(x, residual, p=0.5 * 2 / 4, key=key)",
        "(y == x).all() or (y == x + residual).all()",
    ),
    OtherName(
        "max-norm",
        "Srivastava et al., 2014",
        "the limit on the weights of a unit that goes with dropout is the optimiser's",
        "optim.SGD(net.parameters(), lr=0.1, max_norm=3.0)",
        "y.max_norm == 3",
    ),
)
