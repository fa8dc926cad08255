"""Dropout in hand-written recurrent cells: each fault is found, and nothing in the sound ones beside it."""

import numpy as np
import pytest

import puredrop
from puredrop import Rng, nn, ops
from puredrop.nn.diagnosis import diagnose
from puredrop.random.passes import Pass, entered

R = np.random.default_rng(0)


def normal(*shape):
    return R.standard_normal(shape).astype(np.float32)


def found(model, *inputs, **options):
    return [f"{finding.layer}|{finding.problem}" for finding in diagnose(model, *inputs, **options)]


class Recurrent(nn.Module):
    """A hand-written network; each subclass says what is dropped, where and with which key."""

    def __init__(self, p=0.5):
        self.p, self.rng = p, Rng(3)
        self.x, self.h, self.out = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 2)

    def forward(self, x):
        h = np.zeros((len(x), 5), np.float32)
        locked = self.rng.next_key()
        for t in range(x.shape[1]):
            h = self.step(x[:, t], h, locked, self.rng.next_key())
        return self.out(h)

    def drop(self, x, key):
        return puredrop.dropout(x, self.p, key=key)


class Plain(Recurrent):
    def step(self, x, h, locked, fresh):
        return ops.tanh(self.x(x) + self.h(h))


class InputPerStep(Recurrent):
    def step(self, x, h, locked, fresh):
        return ops.tanh(self.x(self.drop(x, fresh)) + self.h(h))


class Gal(Recurrent):
    def step(self, x, h, locked, fresh):
        return ops.tanh(self.x(x) + self.h(self.drop(h, locked)))


class Naive(Recurrent):
    def step(self, x, h, locked, fresh):
        return ops.tanh(self.x(x) + self.h(self.drop(h, fresh)))


class NaiveOnJoined(Recurrent):
    """x and h joined, through one matrix, which is written out as a product with a transpose."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter((5, 9), nn.init.fan_in_uniform(9))

    def step(self, x, h, locked, fresh):
        return ops.tanh(ops.concatenate([x, self.drop(h, fresh)], axis=1) @ self.w.T)


class NaiveByMask(Recurrent):
    def step(self, x, h, locked, fresh):
        mask = puredrop.keep_mask(fresh, h.shape, self.p)
        return ops.tanh(self.x(x) + self.h(puredrop.dropout(h, self.p, mask=mask)))


class GalByMask(Recurrent):
    def step(self, x, h, locked, fresh):
        mask = puredrop.keep_mask(locked, h.shape, self.p)
        return ops.tanh(self.x(x) + self.h(puredrop.dropout(h, self.p, mask=mask)))


class NaiveInACheckpoint(Naive):
    def step(self, x, h, locked, fresh):
        return puredrop.checkpoint(lambda x, h: super(NaiveInACheckpoint, self).step(x, h, locked, fresh), x, h)


class NaiveLayer(Recurrent):
    """The mistake with a layer: `Dropout` draws anew at every call."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def step(self, x, h, locked, fresh):
        return ops.tanh(self.x(x) + self.h(self.dropout(h)))


class OutputPerStep(Recurrent):
    """Locked in the recurrence, fresh on what is read from it."""

    def forward(self, x):
        h, read, locked = np.zeros((len(x), 5), np.float32), 0.0, self.rng.next_key()
        for t in range(x.shape[1]):
            h = ops.tanh(self.x(x[:, t]) + self.h(self.drop(h, locked)))
            read = read + self.out(self.drop(h, self.rng.next_key()))
        return read


class SlicesOfOneNoise(Recurrent):
    """One key for the sequence, but of a noise (T, N, D), of which each step takes its own part."""

    def forward(self, x):
        h, key = np.zeros((len(x), 5), np.float32), self.rng.next_key()
        noise = puredrop.Index.whole((x.shape[1], *h.shape))
        for t in range(x.shape[1]):
            h = ops.reshape(h, shape=(1, *h.shape))
            h = puredrop.dropout(h, self.p, key=key, index=noise[t : t + 1])[0]
            h = ops.tanh(self.x(x[:, t]) + self.h(h))
        return self.out(h)


class LSTM(Recurrent):
    """c = f c + i u, h = o tanh(c); the gates from one product each."""

    def __init__(self, p=0.5):
        super().__init__(p)
        self.x, self.h = nn.Linear(4, 20), nn.Linear(5, 20)

    def forward(self, x):
        h = c = puredrop.Tensor(np.zeros((len(x), 5), np.float32))
        locked = self.rng.next_key()
        for t in range(x.shape[1]):
            h, c = self.step(x[:, t], h, c, locked, self.rng.next_key())
        return self.out(h)

    def gates(self, x, h):
        a = self.x(x) + self.h(h)
        i, f, o = (ops.sigmoid(a[:, 5 * k : 5 * k + 5]) for k in range(3))
        return i, f, o, ops.tanh(a[:, 15:])

    def step(self, x, h, c, locked, fresh):
        i, f, o, u = self.gates(self.input(x, locked, fresh), self.state(h, locked, fresh))
        c = self.memory(u, c, f, i, locked, fresh)
        return o * ops.tanh(c), c

    def input(self, x, locked, fresh):
        return x

    def state(self, h, locked, fresh):
        return h

    def memory(self, u, c, f, i, locked, fresh):
        return f * c + i * u


class LSTMInput(LSTM):
    def input(self, x, locked, fresh):
        return self.drop(x, fresh)


class LSTMGal(LSTM):
    def state(self, h, locked, fresh):
        return self.drop(h, locked)


class LSTMNaive(LSTM):
    def state(self, h, locked, fresh):
        return self.drop(h, fresh)


class LSTMUpdatePerStep(LSTM):
    def memory(self, u, c, f, i, locked, fresh):
        return puredrop.update_dropout(u, c, f, i, self.p, key=fresh)


class LSTMMemory(LSTM):
    def memory(self, u, c, f, i, locked, fresh):
        return puredrop.memory_dropout(u, c, f, i, self.p, key=locked)


class LSTMMemoryScaled(LSTM):
    def memory(self, u, c, f, i, locked, fresh):
        return self.drop(f * c + i * u, locked)


class LSTMMemoryScaledPerStep(LSTM):
    """TensorFlow's first DropoutWrapper, on all of the state."""

    def memory(self, u, c, f, i, locked, fresh):
        return f * self.drop(c, fresh) + i * u


class LSTMZoneout(LSTM):
    def step(self, x, h, c, locked, fresh):
        new_h, new_c = super().step(x, h, c, locked, fresh)
        return (
            puredrop.zoneout(new_h, h, self.p, key=fresh),
            puredrop.zoneout(new_c, c, self.p, key=fresh.draw(1)),
        )


class LSTMUntiedGates(LSTM):
    """Gal's masks, one for each gate: four products with parts of one matrix."""

    def gates(self, x, h):
        a = self.x(x)
        parts = []
        for k in range(4):
            rows = slice(5 * k, 5 * k + 5)
            parts.append(a[:, rows] + ops.linear(h[k], self.h.weight[rows], 0.0))
        return (*(ops.sigmoid(part) for part in parts[:3]), ops.tanh(parts[3]))

    def state(self, h, locked, fresh):
        return puredrop.locked_gate_dropout(h, self.p, key=locked)


class LSTMUntiedByFourKeys(LSTMUntiedGates):
    def state(self, h, locked, fresh):
        return [self.drop(h, locked.draw(k)) for k in range(4)]


class LSTMUntiedNaive(LSTMUntiedGates):
    def state(self, h, locked, fresh):
        return puredrop.locked_gate_dropout(h, self.p, key=fresh)


class LSTMReadThroughDropout(LSTMUpdatePerStep):
    """Two drops on the way, of which neither meets its own result again."""

    def step(self, x, h, c, locked, fresh):
        i, f, o, u = self.gates(x, h)
        c = self.memory(u, c, f, i, locked, fresh)
        return o * ops.tanh(self.drop(c, fresh.draw(1))), c


class LSTMReadThroughDropoutByMasks(LSTMReadThroughDropout):
    def memory(self, u, c, f, i, locked, fresh):
        return puredrop.update_dropout(u, c, f, i, self.p, mask=puredrop.keep_mask(fresh, u.shape, self.p))

    def drop(self, x, key):
        return puredrop.dropout(x, self.p, mask=puredrop.keep_mask(key, x.shape, self.p))


class LSTMMemoryScaledByMasks(LSTMMemoryScaledPerStep):
    def drop(self, x, key):
        return puredrop.dropout(x, self.p, mask=puredrop.keep_mask(key, x.shape, self.p))


class GRU(LSTM):
    """h = z h + (1 - z) n, the reset gate behind the product."""

    def __init__(self, p=0.5):
        super().__init__(p)
        self.x, self.h = nn.Linear(4, 15), nn.Linear(5, 15)

    def step(self, x, h, c, locked, fresh):
        a, b = self.x(x), self.h(self.state(h, locked, fresh))
        z, r = (ops.sigmoid(a[:, 5 * k : 5 * k + 5] + b[:, 5 * k : 5 * k + 5]) for k in range(2))
        n = ops.tanh(a[:, 10:] + r * b[:, 10:])
        return self.memory(n, h, z, 1 - z, locked, fresh), c


class GRUGal(GRU, LSTMGal):
    pass


class GRUNaive(GRU, LSTMNaive):
    pass


class GRUUpdate(GRU, LSTMUpdatePerStep):
    pass


class TwoLayers(nn.Module):
    """Zaremba: fresh masks on the inputs, between the layers and on the outputs, by one and the same layer."""

    def __init__(self):
        self.dropout, self.embedding = nn.Dropout(0.5), nn.Parameter((7, 5), nn.init.fan_in_uniform(5))
        self.ins, self.rec, self.out = ([nn.Linear(5, 5) for _ in range(2)] for _ in range(3))

    def forward(self, ids):
        h, read = [np.zeros((len(ids), 5), np.float32)] * 2, 0.0
        for t in range(ids.shape[1]):
            x = self.embedding[ids[:, t]]
            for k in range(2):
                h[k] = x = ops.tanh(self.ins[k](self.dropout(x)) + self.rec[k](h[k]))
            read = read + self.out[0](self.dropout(x))
        return read


class Deep(nn.Module):
    """One Dropout behind every layer of a deep network; `residual` with a sum round each."""

    def __init__(self, residual):
        self.residual, self.dropout = residual, nn.Dropout(0.5)
        self.layers = [nn.Linear(4, 4) for _ in range(5)]

    def forward(self, x):
        for layer in self.layers[:-1]:
            y = ops.relu(layer(x))
            x = self.dropout(x + y) if self.residual else self.dropout(y)
        return self.layers[-1](x)


class TiedAutoencoder(nn.Module):
    """One matrix, there and back."""

    def __init__(self):
        self.w, self.dropout = nn.Parameter((4, 4), nn.init.fan_in_uniform(4)), nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(ops.relu(self.dropout(x) @ self.w)) @ self.w.T


class TiedTransformer(nn.Module):
    """One block used several times: its steps are those of depth, and each sees the residual stream."""

    def __init__(self):
        self.dropout, self.norm = nn.Dropout(0.5), nn.LayerNorm(4)
        self.q, self.k, self.v, self.up, self.down = (nn.Linear(4, 4) for _ in range(5))

    def forward(self, x):
        for _ in range(4):
            scores = ops.softmax(self.q(x) @ self.k(x).swapaxes(1, 2))
            x = self.norm(x + self.dropout(scores) @ self.v(x))
            x = self.norm(x + self.dropout(self.down(self.dropout(ops.relu(self.up(x))))))
        return x


FRESH = "a fresh mask at every step on a recurrent state"
SCALE = "a scale of 2 inside a recurrence"
SEQUENCE = normal(3, 5, 4)


@pytest.mark.parametrize(
    "model",
    [
        *(Plain, InputPerStep, Gal, GalByMask, OutputPerStep),
        *(LSTM, LSTMInput, LSTMGal, LSTMUpdatePerStep, LSTMMemory, LSTMZoneout, LSTMUntiedGates, LSTMUntiedByFourKeys),
        *(LSTMReadThroughDropout, LSTMReadThroughDropoutByMasks),
        *(GRU, GRUGal, GRUUpdate),
    ],
)
def test_sound_recurrences_have_no_findings(model):
    assert found(model().seed(0), SEQUENCE) == []


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Naive, [f"|{FRESH}"]),
        (NaiveOnJoined, [f"|{FRESH}"]),
        (NaiveByMask, [f"|{FRESH}"]),
        (NaiveInACheckpoint, [f"|{FRESH}"]),
        (NaiveLayer, [f"dropout|{FRESH}"]),
        (SlicesOfOneNoise, [f"|{FRESH}"]),
        (LSTMNaive, [f"|{FRESH}"]),
        (LSTMUntiedNaive, [f"|{FRESH}"]),
        (GRUNaive, [f"|{FRESH}"]),
        (LSTMMemoryScaled, [f"|{SCALE}"]),
        (LSTMMemoryScaledPerStep, [f"|{SCALE}"]),
        (LSTMMemoryScaledByMasks, [f"|{SCALE}"]),
    ],
)
def test_faults_of_recurrences_are_found(model, expected):
    assert found(model().seed(0), SEQUENCE) == expected
    assert found(nn.Sequential(model(), nn.Linear(2, 2)).seed(0), SEQUENCE) == [
        ("0." if line[0] != "|" else "0") + line for line in expected
    ]


def test_a_finding_says_why_and_what_to_do():
    [fresh], [scale] = (diagnose(model().seed(0), SEQUENCE) for model in (LSTMNaive, LSTMMemoryScaled))
    assert "Gal & Ghahramani 2016" in fresh.reason
    assert all(f"({name})" in fresh.remedy for name in ("update_dropout", "zoneout"))
    assert "grows by 1.02e+03 in ten steps (Semeniuta et al. 2016)" in scale.reason
    assert "(memory_dropout)" in scale.remedy


def test_a_network_of_two_layers_with_dropout_between_them_is_sound():
    ids = np.array([[0, 3, 2, 6, 1], [5, 5, 4, 0, 2]])
    assert found(TwoLayers().seed(0), ids) == []


@pytest.mark.parametrize("model", [Deep(residual=False), Deep(residual=True), TiedAutoencoder(), TiedTransformer()])
def test_depth_is_no_recurrence(model):
    x = SEQUENCE if isinstance(model, TiedTransformer) else normal(6, 4)
    assert found(model.seed(0), x) == []


def test_frozen_weights_are_seen():
    net = Naive().seed(0)
    for parameter in net.parameters():
        parameter.requires_grad = False
    assert found(net, SEQUENCE) == [f"|{FRESH}"]
    assert not any(parameter.requires_grad for parameter in net.parameters())


def test_several_inputs_and_parts_of_inputs(backend):
    class Two(nn.Module):
        def __init__(self):
            self.rng, self.h = Rng(0), nn.Linear(4, 4)

        def forward(self, x, states):
            h, steps = states[0], {}
            for t in range(4):
                h = steps[t] = ops.tanh(x + self.h(puredrop.dropout(h, 0.5, key=self.rng.next_key())))
            return steps

    x, h = normal(3, 4), puredrop.Tensor(normal(3, 4), backend)
    assert found(Two().seed(0).to(backend), x, [h, None]) == [f"|{FRESH}"]


def test_a_diagnosis_within_a_pass_is_a_run_of_its_own():
    with entered(Pass(mode="eval")):
        assert found(NaiveLayer().seed(0), SEQUENCE) == [f"dropout|{FRESH}"]
