"""Whole networks beside PyTorch's: the same weights, the masks from the seed alone, hundreds of training steps."""

from __future__ import annotations

import numpy as np
import pytest

import puredrop
from puredrop import Tensor, nn, optim
from puredrop.streams import TorchCPU

torch = pytest.importorskip("torch")


class Classes(torch.nn.Module):
    """The last step of an LSTM, or the mean over the tokens of a transformer, as logits."""

    def __init__(self, body, width, reduce):
        super().__init__()
        self.body, self.head, self.reduce = body, torch.nn.Linear(width, 3), reduce

    def forward(self, x):
        y = self.body(x)
        return self.head(self.reduce(y[0] if isinstance(y, tuple) else y))


class Twin(nn.Module):
    """The same, here."""

    def __init__(self, theirs):
        self.body, self.head = nn.from_torch(theirs.body), nn.from_torch(theirs.head)
        self.reduce = theirs.reduce

    def forward(self, x):
        y = self.body(x)
        return self.head(self.reduce(y[0] if isinstance(y, tuple) else y))


def mlp():
    layers = torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(16, 16), torch.nn.Tanh()
    net = torch.nn.Sequential(torch.nn.Dropout(0.1), *layers, torch.nn.Dropout(0.3), torch.nn.Linear(16, 3))
    return net, nn.from_torch, (8, 6)


def cnn():
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3),
        torch.nn.ReLU(),
        torch.nn.Dropout2d(0.3),
        torch.nn.Conv2d(4, 5, 3),
        torch.nn.Dropout(0.2),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(20, 3),
    )
    return net, nn.from_torch, (6, 1, 8, 8)


def lstm():
    body = torch.nn.LSTM(4, 5, num_layers=2, dropout=0.4)
    return Classes(body, 5, lambda y: y[-1]), Twin, (5, 6, 4)


def bidirectional_lstm():
    body = torch.nn.LSTM(4, 5, num_layers=2, dropout=0.4, bidirectional=True, batch_first=True)
    return Classes(body, 10, lambda y: y[:, -1]), Twin, (6, 5, 4)


def gru():
    body = torch.nn.GRU(4, 5, num_layers=3, dropout=0.4, batch_first=True)
    return Classes(body, 5, lambda y: y[:, -1]), Twin, (6, 5, 4)


def transformer(batch_first, norm_first):
    body = torch.nn.TransformerEncoderLayer(8, 2, 12, 0.2, batch_first=batch_first, norm_first=norm_first)
    shape = (6, 5, 8) if batch_first else (5, 6, 8)
    return Classes(body, 8, lambda y: y[:, 0] if batch_first else y[0]), Twin, shape


NETWORKS = {
    "mlp": (mlp, 1000, 0),
    "cnn": (cnn, 1000, 0),
    "lstm": (lstm, 200, 1),
    "bidirectional lstm, batch first": (bidirectional_lstm, 200, 0),
    "gru, batch first": (gru, 200, 0),
    "transformer, batch first": (lambda: transformer(True, False), 200, 0),
    "transformer, batch first, norm first": (lambda: transformer(True, True), 200, 0),
    "transformer, tokens first": (lambda: transformer(False, False), 200, 1),
}


def trained_theirs(net, x, labels, steps):
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05)
    x, labels = torch.from_numpy(x), torch.from_numpy(labels)
    for _ in range(steps):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(x), labels).backward()
        optimiser.step()
    return torch.get_rng_state().numpy()


def trained_ours(net, x, labels, steps, stream):
    optimiser = optim.SGD(net.parameters(), lr=0.05)
    with puredrop.draw_from(stream):
        for _ in range(steps):
            optimiser.zero_grad()
            nn.cross_entropy(net(Tensor(x)), labels).backward()
            optimiser.step()
    return stream.state()


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_train_as_pytorchs_from_the_seed_alone(name):
    build, steps, batch_axis = NETWORKS[name]
    torch.manual_seed(0)
    theirs, twin, shape = build()
    theirs.double()
    ours = twin(theirs).seed(0)
    x = np.random.default_rng(1).standard_normal(shape)
    labels = np.arange(shape[batch_axis]) % 3
    torch.manual_seed(-7)
    state = trained_theirs(theirs, x, labels, steps)
    assert np.array_equal(trained_ours(ours, x, labels, steps, TorchCPU(-7)), state)
    expected = {key: value.numpy() for key, value in theirs.state_dict().items()}
    got = {key: value.numpy() for key, value in nn.to_torch_state_dict(ours).items()}
    for key, value in expected.items():
        assert np.abs(got[key] - value).max() < 1e-9 * np.abs(value).max(), key
