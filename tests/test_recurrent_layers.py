"""Recurrent layers: what is dropped where and how long, chunks, lengths, modes. Rows beside PyTorch: test_layers.py."""

import copy
import pickle

import numpy as np
import pytest

from puredrop import Key, Tensor, checkpoint, keep_mask, locked_dropout, nn, ops
from puredrop.conformance.layers import Recorder
from puredrop.nn import RecurrentDropout, pack, unpack
from puredrop.nn import recurrent as sequences
from puredrop.streams import enumerate_masks
from puredrop.uncertainty import predict_samples
from puredrop.variants.schedules import LinearRamp

L, N, D, H = 5, 3, 4, 4
X = np.random.default_rng(0).standard_normal((L, N, D))
KINDS = {"RNN": 1, "LSTM": 4, "GRU": 3}  # gates
# Every rate that a kind of layer may have, one at a time and together.
RATES = {
    "RNN": ("input", "state", "zoneout", "weight", "output"),
    "GRU": ("input", "state", "update", "zoneout", "weight", "output"),
    "LSTM": ("input", "state", "update", "memory", "zoneout", "zoneout_memory", "weight", "output"),
}
EACH = [(kind, rate) for kind, rates in RATES.items() for rate in rates]
TOGETHER = {
    "RNN": {"input": 0.3, "state": 0.3, "zoneout": 0.3, "weight": 0.3, "output": 0.3},
    "GRU": {"input": 0.3, "state": 0.3, "tied": False, "update": 0.3, "zoneout": 0.3, "weight": 0.3},
    "LSTM": {"state": 0.3, "tied": False, "update": 0.3, "zoneout": 0.3, "zoneout_memory": 0.3, "weight": 0.3},
}
# An LSTM with a mask for each gate runs step by step, one with a mask for all gates as one primitive.
TIED = {"state": 0.3, "update": 0.3, "zoneout": 0.3, "zoneout_memory": 0.3}
MANY = [*TOGETHER.items(), ("LSTM", TIED), ("LSTM", {"memory": 0.3, "zoneout": 0.3, "zoneout_memory": 0.3})]


def built(kind, layers=1, inputs=D, hidden=H, seed=7, **options):
    """A layer in float64, its weights spread out."""
    return getattr(nn, kind)(inputs, hidden, layers, **options).seed(seed).astype(np.float64)


def draws_of(net, *args, **options):
    """Every mask that a call draws, in order."""
    before = net.parameters()[0].backend
    recorder = Recorder(before)
    net.to(recorder.backend)
    net(*(moved(a, recorder.backend) for a in args), **options)
    net.to(before)
    return recorder.drawn


def moved(a, backend):
    """A state on that backend; anything else as it is."""
    if isinstance(a, tuple) and isinstance(a[0], Tensor):
        return type(a)(*(moved(one, backend) for one in a))
    return a.to(backend) if isinstance(a, Tensor) else a


def parts(state):
    return tuple(state) if isinstance(state, tuple) else (state,)


def close(a, b, bound=1e-12):
    for one, other in zip(parts(a), parts(b), strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=bound, atol=bound)


# --------------------------------------------------------------------------------------------------------- the door
def test_pytorchs_dropout_of_one_layer_is_refused_and_what_to_use_instead_is_said():
    """PyTorch warns and drops nothing."""
    with pytest.raises(ValueError, match=r"LSTM: dropout between layers needs two layers or more; .*output=.*state="):
        nn.LSTM(3, 4, dropout=0.5)
    with pytest.raises(ValueError, match="GRU: dropout between layers needs two layers"):
        nn.GRU(3, 4, dropout=RecurrentDropout(between=0.5))
    with pytest.raises(ValueError, match=r"LSTM: no layer follows the last, so `between` drops nothing there"):
        nn.LSTM(3, 4, 2, dropout=[RecurrentDropout(), RecurrentDropout(between=0.5)])
    assert not list(nn.LSTM(3, 4, dropout=0.0).named_sites())


@pytest.mark.parametrize(
    ("kind", "rates", "message"),
    [
        ("GRU", {"memory": 0.1}, "GRU: dropout has a rate for memory, but it has no memory c"),
        ("RNN", {"zoneout_memory": 0.1}, "RNN: dropout has a rate for zoneout_memory, but it has no memory c"),
        ("RNN", {"update": 0.1}, "RNN: dropout has a rate for update, but nothing gates its update"),
        ("RNN", {"state": 0.1, "tied": False}, "RNN: tied=False needs several gates"),
        ("LSTMCell", {"output": 0.1}, "LSTMCell: dropout has a rate for output, but what a cell gives is its state"),
        ("GRUCell", {"between": 0.1}, "GRUCell: dropout has a rate for between"),
        ("GRUCell", {"memory": LinearRamp(0.1, 5)}, "GRUCell: dropout has a rate for memory"),
    ],
)
def test_what_a_layer_cannot_drop_is_refused(kind, rates, message):
    with pytest.raises(ValueError, match=message):
        getattr(nn, kind)(3, 4, dropout=RecurrentDropout(**rates))


def test_rates_that_contradict_are_refused():
    with pytest.raises(ValueError, match="update and memory are two ways"):
        RecurrentDropout(update=0.1, memory=0.1)
    with pytest.raises(ValueError, match="tied=False needs masks to untie"):
        RecurrentDropout(zoneout=0.1, tied=False)
    with pytest.raises(ValueError, match="update_locked=True needs a rate for update"):
        RecurrentDropout(update_locked=True)
    with pytest.raises(ValueError, match=r"RecurrentDropout: zoneout must lie in \[0, 1\], got 1.5"):
        RecurrentDropout(zoneout=1.5)
    with pytest.raises(TypeError, match="RecurrentDropout: state must be a number"):
        RecurrentDropout(state="0.5")


def test_wrong_constructions_say_what_was_expected():
    with pytest.raises(ValueError, match="LSTM: dropout must have a RecurrentDropout for each of 2 layers"):
        nn.LSTM(3, 4, 2, dropout=[RecurrentDropout()])
    with pytest.raises(TypeError, match=r"LSTMCell: dropout must be a RecurrentDropout, got 0\.5"):
        nn.LSTMCell(3, 4, dropout=0.5)
    with pytest.raises(ValueError, match="LSTM: projection must be smaller than hidden, 4, got 4"):
        nn.LSTM(3, 4, projection=4)
    with pytest.raises(ValueError, match="RNN: nonlinearity must be 'tanh' or 'relu', got 'selu'"):
        nn.RNN(3, 4, nonlinearity="selu")
    with pytest.raises(ValueError, match="GRU: masks_per must be 'chunk' or 'sequence', got 'pass'"):
        nn.GRU(3, 4, masks_per="pass")
    with pytest.raises(ValueError, match="GRU: a reverse direction needs the whole sequence"):
        nn.GRU(3, 4, bidirectional=True, masks_per="sequence")
    with pytest.raises(ValueError, match="RNN: layers must be 1 or more, got 0"):
        nn.RNN(3, 4, 0)


def test_wrong_arguments_say_what_was_expected():
    lstm, gru = nn.LSTM(3, 4, 2, batch_first=True).seed(0), nn.GRU(3, 4).seed(0)
    x = np.zeros((2, 5, 3), np.float32)
    with pytest.raises(ValueError, match=r"LSTM: x must be \(N, L, 3\) with L at least 1, got shape \(2, 5, 4\)"):
        lstm(np.zeros((2, 5, 4), np.float32))
    with pytest.raises(ValueError, match=r"GRU: x must be \(L, N, 3\) with L at least 1, got shape \(0, 5, 3\)"):
        gru(x[:0])
    with pytest.raises(ValueError, match=r"GRU: x must be \(L, N, 3\)"):
        gru(x[0])
    with pytest.raises(TypeError, match=r"LSTM: the state must be a pair \(h, c\), got Tensor"):
        lstm(x, np.zeros((2, 2, 4), np.float32))
    with pytest.raises(ValueError, match=r"LSTM: the state c must have shape \(2, 2, 4\), got \(2, 5, 4\)"):
        lstm(x, (np.zeros((2, 2, 4), np.float32), np.zeros((2, 5, 4), np.float32)))
    with pytest.raises(TypeError, match="GRU: the state h must have the dtype of x, float32, got float64"):
        gru(x, np.zeros((1, 5, 4)))
    with pytest.raises(ValueError, match="LSTM: lengths must lie between 0 and the 5 steps of x, got"):
        lstm(x, lengths=[6, 1])
    with pytest.raises(ValueError, match="LSTM: 3 lengths for 2 sequences"):
        lstm(x, lengths=[1, 1, 1])
    with pytest.raises(TypeError, match="LSTM: lengths must be whole numbers, one for each sequence, got float64"):
        lstm(x, lengths=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"GRUCell: x must be \(N, 3\), one time step, got shape \(2, 5, 3\)"):
        nn.GRUCell(3, 4).seed(0)(x)
    with pytest.raises(ValueError, match=r"LSTMCell: the state h must have shape \(2, 2\), got \(2, 4\)"):
        nn.LSTMCell(3, 4, projection=2).seed(0)(x[:, 0], (np.zeros((2, 4), np.float32),) * 2)


# ----------------------------------------------------------------------------------------------- PyTorch's parameters
@pytest.mark.parametrize("kind", KINDS)
def test_state_dicts_go_both_ways(torch, kind):
    ours = getattr(nn, kind)(3, 4, 2, bidirectional=True).seed(0)
    theirs = getattr(torch.nn, kind)(3, 4, 2, bidirectional=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict({name: torch.tensor(w) for name, w in ours.state_dict().items()})
    back = getattr(nn, kind)(3, 4, 2, bidirectional=True)
    back.load_state_dict({name: w.numpy() for name, w in theirs.state_dict().items()})
    assert all(np.array_equal(w, back.state_dict()[name]) for name, w in ours.state_dict().items())


def test_names_of_cells_and_projections_are_pytorchs(torch):
    cell = torch.nn.LSTMCell(3, 4)
    assert list(nn.LSTMCell(3, 4).seed(0).state_dict()) == list(cell.state_dict())
    theirs = torch.nn.LSTM(3, 4, proj_size=2).state_dict()
    ours = nn.LSTM(3, 4, projection=2).seed(0).state_dict()
    assert {name: w.shape for name, w in ours.items()} == {name: tuple(w.shape) for name, w in theirs.items()}


def test_first_numbers_follow_pytorchs_law():
    weights = nn.LSTM(30, 25).seed(0).state_dict()
    for name, w in weights.items():
        assert abs(w).max() <= 0.2, name
        assert abs(w).max() > 0.19, name
    ones = nn.LSTM(3, 4, init=nn.init.ones).seed(0).state_dict()
    assert (ones["weight_hh_l0"] == 1).all()
    assert not (ones["bias_hh_l0"] == 1).any()


# ------------------------------------------------------------------------------------------------- how long masks last
@pytest.mark.parametrize(("kind", "rate"), EACH)
def test_each_rate_draws_one_noise_tensor_at_its_own_address(kind, rate):
    """Locked masks have one step, fresh ones L, weights none; element numbers are those of (L, N, D)."""
    net = built(kind, dropout=RecurrentDropout(**{rate: 0.4}))
    shape = {
        "update": (L, N, H),
        "zoneout": (L, N, H),
        "zoneout_memory": (L, N, H),
        "weight": (1, KINDS[kind] * H, H),
    }.get(rate, (1, N, H))
    [first], [second] = draws_of(net, X), draws_of(net, X)
    assert np.array_equal(first, keep_mask(Key(7), shape, 0.4))
    assert np.array_equal(second, keep_mask(Key(7, step=1), shape, 0.4)), "no mask lingers until the next call"
    assert draws_of(net.eval(), X) == []


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_untied_masks_are_one_for_each_gate(kind):
    gates = KINDS[kind]
    net = built(kind, dropout=RecurrentDropout(input=0.5, state=0.5, tied=False))
    for mask in draws_of(net, X):
        assert mask.shape == (gates, N, H)
        assert len({gate.tobytes() for gate in mask}) == gates
    tied = draws_of(built(kind, dropout=RecurrentDropout(input=0.5, state=0.5)), X)
    assert [mask.shape for mask in tied] == [(1, N, D), (1, N, H)]


def test_no_two_places_share_a_mask():
    """Input and state, layers, directions: AllenNLP's cells share one mask between state and output."""
    record = RecurrentDropout(input=0.5, state=0.5, zoneout=0.5, output=0.5)
    drawn = draws_of(built("LSTM", 2, inputs=2 * H, bidirectional=True, dropout=record), np.tile(X, (1, 1, 2)))
    assert len(drawn) == 2 * (2 * 3 + 1)
    firsts = [mask[0, :, :H].tobytes() for mask in drawn]
    assert len(set(firsts)) == len(firsts)


def test_fresh_masks_differ_from_step_to_step():
    record = RecurrentDropout(update=0.5, zoneout=0.5)
    for mask in draws_of(built("GRU", hidden=16, dropout=record), X):
        assert len({step.tobytes() for step in mask}) == L
    [locked] = draws_of(built("GRU", dropout=RecurrentDropout(update=0.5, update_locked=True)), X)
    assert locked.shape == (1, N, H)


def test_between_layers_masks_are_fresh_and_the_last_layer_is_whole():
    net = built("LSTM", 3, hidden=16, dropout=0.5)
    drawn = draws_of(net, X)
    assert [mask.shape for mask in drawn] == [(L, N, 16)] * 2
    assert len({step.tobytes() for mask in drawn for step in mask}) == 2 * L
    y, _ = net(X)
    assert (y.data != 0).all()


def test_noise_does_not_depend_on_batch_first():
    record = RecurrentDropout(input=0.4, state=0.4, zoneout=0.3, output=0.3, between=0.3)
    y, h = built("GRU", 2, dropout=record)(X)
    batch, g = built("GRU", 2, dropout=record, batch_first=True)(X.swapaxes(0, 1))
    close(batch.data.swapaxes(0, 1), y)
    close(g, h)


def test_what_is_dropped_before_a_product_is_whole_where_a_gru_mixes():
    """The old state enters h' = z h + (1 - z) n undropped: with z = 1 it stays for ever."""
    net = built("GRU", dropout=RecurrentDropout(state=0.9))
    state = net.state_dict()
    for name in ("bias_ih_l0", "bias_hh_l0"):
        state[name][H : 2 * H] = 500.0  # z = 1
    net.load_state_dict(state)
    first = np.random.default_rng(1).standard_normal((1, N, H))
    assert np.array_equal(net(X, first)[1].data, first)


def test_an_lstms_zoned_memory_is_not_what_its_output_is_made_of():
    """h = o tanh(f c + i g), also for units whose memory is zoned out (Krueger et al., equation 4)."""
    plain, zoned = built("LSTM"), built("LSTM", dropout=RecurrentDropout(zoneout_memory=1.0))
    first = tuple(np.random.default_rng(i).standard_normal((1, N, H)) for i in range(2))
    (y, _), (z, state) = plain(X[:1], first), zoned(X[:1], first)
    close(z, y)
    assert np.array_equal(state.c.data, first[1])


def test_the_output_is_dropped_and_the_state_is_not():
    y, state = built("LSTM", dropout=RecurrentDropout(output=1.0))(X)
    _, whole = built("LSTM")(X)
    assert not y.data.any()
    close(state, whole)


# --------------------------------------------------------------------------------------------- rates of one and zero
def test_a_rate_of_one_drops_everything():
    """Keras guards with 0 < rate < 1, so that a rate of 1 drops nothing, on some of its backends."""
    first = np.random.default_rng(1).standard_normal((1, N, H))
    pair = (first, first + 1.0)
    nothing = np.zeros_like(X)
    close(built("GRU", dropout=RecurrentDropout(input=1.0))(X, first), built("GRU")(nothing, first))
    for rate in ("state", "weight"):
        dropped = built("LSTM", dropout=RecurrentDropout(**{rate: 1.0}))
        bare = built("LSTM")
        bare.load_state_dict({**bare.state_dict(), "weight_hh_l0": np.zeros((4 * H, H))})
        (y, state), (z, expected) = dropped(X, pair), bare(X, pair)
        close(y, z)
        close(state, expected)
    frozen = built("LSTM", dropout=RecurrentDropout(zoneout=1.0, zoneout_memory=1.0))(X, pair)[1]
    assert np.array_equal(frozen.h.data, first)
    assert np.array_equal(frozen.c.data, first + 1.0)
    assert not built("LSTM", dropout=RecurrentDropout(memory=1.0))(X, pair)[1].c.data.any()
    assert not built("LSTM", 2, dropout=1.0)(X)[0].backend.xp.isnan(built("LSTM", 2, dropout=1.0)(X)[0].data).any()


def test_without_rates_nothing_draws_and_no_seed_is_needed():
    net = nn.LSTM(D, H, dropout=RecurrentDropout())
    net.load_state_dict(nn.LSTM(D, H).seed(0).state_dict())
    assert net.train()(X.astype(np.float32))[0].shape == (L, N, H)
    with pytest.raises(ValueError, match="nothing in this model draws"):
        predict_samples(net, X)
    drawing = nn.LSTM(D, H, dropout=RecurrentDropout(state=0.1))
    drawing.load_state_dict(net.state_dict())
    with pytest.raises(RuntimeError, match=r"nothing to draw with; call \.seed"):
        drawing(X.astype(np.float32))


def test_a_schedule_advances_with_calls_and_not_with_steps():
    net = built("LSTM", dropout=RecurrentDropout(zoneout=LinearRamp(1.0, steps=2)))
    kept = [draws_of(net, X)[0].mean() for _ in range(3)]
    assert kept[0] == 1.0
    assert 0 < kept[1] < 1
    assert kept[2] == 0.0
    frozen = net.eval()(X)[1]
    assert not frozen.h.data.any(), "evaluation asks the schedule at the step of the next draw"


# ------------------------------------------------------------------------------------------------------ expectations
@pytest.mark.parametrize(
    ("kind", "record", "steps"),
    [
        ("LSTM", RecurrentDropout(update=0.3), 2),
        ("LSTM", RecurrentDropout(update=0.3, update_locked=True), 3),
        ("LSTM", RecurrentDropout(memory=0.3), 4),
        ("LSTM", RecurrentDropout(zoneout=0.3), 3),
        ("LSTM", RecurrentDropout(zoneout_memory=0.3), 3),
        ("GRU", RecurrentDropout(update=0.3), 3),
        ("GRU", RecurrentDropout(zoneout=0.3), 3),
        ("RNN", RecurrentDropout(zoneout=0.3), 3),
        ("LSTM", RecurrentDropout(output=0.3), 3),
    ],
    ids=str,
)
def test_evaluation_is_the_exact_expectation_over_all_masks(kind, record, steps):
    """Of what is linear in the masks: with gates that do not see the state, the state that is dropped."""
    net = built(kind, inputs=2, hidden=2, dropout=record)
    net.load_state_dict({**net.state_dict(), "weight_hh_l0": np.zeros((KINDS[kind] * 2, 2))})
    x = X[:steps, :1, :2]

    def seen():
        y, state = net(x)
        return y.data if record.output or record.zoneout else parts(state)[-1].data

    mean = sum(q * value for q, value in enumerate_masks(seen))
    net.eval()
    np.testing.assert_allclose(seen(), mean, rtol=1e-12)


@pytest.mark.parametrize("rate", ["input", "state", "weight"])
def test_the_mean_over_all_masks_of_a_linear_cell_is_evaluation(rate):
    """A relu that stays above 0: two steps, so that the state is multiplied once."""
    net = built("RNN", inputs=2, hidden=2, nonlinearity="relu", dropout=RecurrentDropout(**{rate: 0.4}))
    net.load_state_dict({name: abs(w) for name, w in net.state_dict().items()})
    x = abs(X[:2, :1, :2])
    mean = sum(q * y for q, y in enumerate_masks(lambda: net(x)[0].data))
    np.testing.assert_allclose(net.eval()(x)[0].data, mean, rtol=1e-12)


def test_a_locked_memory_mask_does_not_let_the_memory_grow():
    """An inverted scale inside the recurrence would compound to (1 - p)^-t."""
    net = built("LSTM", dropout=RecurrentDropout(memory=0.5))
    state = net.state_dict()
    for name, w in state.items():
        w[:] = 0.0
        if name == "bias_ih_l0":
            w[H : 2 * H], w[:H] = 500.0, -500.0  # f = 1, i = 0
    net.load_state_dict(state)
    ones = np.ones((1, N, H))
    [mask] = draws_of(copy.deepcopy(net), X, (ones, ones))
    assert np.array_equal(net(np.zeros((50, N, D)), (ones, ones))[1].c.data, mask)


# ----------------------------------------------------------------------------------------------------- dropped weights
def test_dropped_weights_do_not_accumulate():
    """Ports that write into weight.data lose more weights with every call."""
    net = built("LSTM", hidden=16, dropout=RecurrentDropout(weight=0.5))
    before = net.state_dict()["weight_hh_l0"]
    fractions = [draws_of(net, X)[0].mean() for _ in range(20)]
    assert np.array_equal(net.state_dict()["weight_hh_l0"], before)
    assert all(0.4 < fraction < 0.6 for fraction in fractions)


def test_dropped_weights_are_whole_in_evaluation_and_their_gradient_is_masked():
    """AWD-LSTM's `variational` weights stayed random in evaluation."""
    net = built("LSTM", dropout=RecurrentDropout(weight=0.5))
    y, _ = net.eval()(X)
    assert np.array_equal(y.data, net(X)[0].data)
    close(y, built("LSTM")(X)[0])
    net.train()
    [mask] = draws_of(copy.deepcopy(net), X)
    net(X)[0].sum().backward()
    assert np.array_equal(net.weight_hh_l0.grad != 0, mask[0])


def test_the_gradient_sees_the_masks_of_input_and_state():
    """Ports that write `h.data.mul_(mask)` hide the mask from autograd."""
    net = built("LSTM", dropout=RecurrentDropout(input=0.5, state=0.5))
    z_x, z_h = draws_of(copy.deepcopy(net), X)
    x = Tensor(X, requires_grad=True)
    first = [Tensor(np.ones((1, N, H)), requires_grad=True) for _ in range(2)]
    y, _ = net(x, tuple(first))
    y[0].sum().backward()
    assert np.array_equal(x.grad[0] != 0, z_x[0])
    assert not x.grad[1:].any()
    assert np.array_equal(first[0].grad != 0, z_h)


# ---------------------------------------------------------------------------------------------------- cells, sequences
@pytest.mark.parametrize(("kind", "rates"), MANY)
def test_a_cell_in_a_loop_is_the_sequence_with_the_same_masks(kind, rates):
    """`RNN(GRUCell)` was not `GRU` in TensorFlow, where cells kept their masks."""
    record = RecurrentDropout(**{**rates, "output": 0.0})
    sequence, cell = built(kind, dropout=record), getattr(nn, f"{kind}Cell")(D, H, dropout=record).seed(7)
    weights = {name.removesuffix("_l0"): w for name, w in sequence.state_dict().items()}
    cell.astype(np.float64).load_state_dict(weights)
    for _ in range(2):  # a second sequence, with other masks
        y, last = sequence(X)
        state, hs = None, []
        for x in X:
            state = cell(x, state)
            hs.append(parts(state)[0].data)
        close(np.stack(hs), y)
        close(parts(state), tuple(a[0] for a in parts(last)))


def test_cells_projections_are_those_of_the_sequence():
    sequence = built("LSTM", projection=2)
    cell = nn.LSTMCell(D, H, projection=2).seed(7).astype(np.float64)
    cell.load_state_dict({name.removesuffix("_l0"): w for name, w in sequence.state_dict().items()})
    state = None
    for x in X:
        state = cell(x, state)
    close(tuple(state), tuple(a[0] for a in sequence(X)[1]))


# ------------------------------------------------------------------------------------------------------------- chunks
@pytest.mark.parametrize(("kind", "rates"), MANY)
@pytest.mark.parametrize("detached", [False, True])
def test_a_sequence_read_in_chunks_is_dropped_as_if_read_at_once(kind, rates, detached):
    record = RecurrentDropout(**rates, between=0.3)
    y, last = built(kind, 2, dropout=record)(X)
    net = built(kind, 2, dropout=record, masks_per="sequence")
    state, ys = None, []
    for at, steps in ((0, 1), (1, 3), (4, 1)):
        part, state = net(X[at : at + steps], state)
        state = state.detach() if detached else state
        ys.append(part.data)
    close(np.concatenate(ys), y)
    close(state, last)
    assert {step for _, _, step in net.random_state().values()} == {1}, "a sequence draws once"


def test_each_chunk_draws_anew_by_default_and_each_sequence_does():
    record = RecurrentDropout(state=0.5, input=0.5)
    net = built("LSTM", hidden=16, dropout=record)
    _, state = net(X)
    assert not np.array_equal(draws_of(net, X, state)[0], keep_mask(Key(7), (1, N, D), 0.5))
    net = built("LSTM", hidden=16, dropout=record, masks_per="sequence")
    first = [net(X)[1] for _ in range(2)]
    assert first[0].h.carried.keys != first[1].h.carried.keys, "without a state a sequence begins"


def test_detach_cuts_the_graph_and_the_undetached_state_keeps_it():
    net = built("GRU", masks_per="sequence", dropout=RecurrentDropout(state=0.3))
    x = Tensor(X, requires_grad=True)
    _, state = net(x)
    net(X, state.detach())[0].sum().backward()
    assert x.grad is None
    net(X, state)[0].sum().backward()
    assert x.grad.any()


def test_a_state_from_elsewhere_begins_a_sequence():
    """An encoder's state in a decoder, a computed one, one of another seed or mode: none of them carries masks over."""
    record = RecurrentDropout(state=0.5, zoneout=0.5)
    encoder = built("GRU", hidden=16, dropout=record, masks_per="sequence", inputs=D)
    model = nn.Sequential(encoder, built("GRU", hidden=16, dropout=record, masks_per="sequence")).seed(3)
    decoder = model[1]
    _, state = encoder(X)
    assert np.array_equal(draws_of(decoder, X, state)[0], keep_mask(Key(3, site=2), (1, N, 16), 0.5))
    _, state = decoder(X)  # step 1
    assert np.array_equal(draws_of(decoder, X, state)[0], keep_mask(Key(3, site=2, step=1), (1, N, 16), 0.5))
    assert np.array_equal(draws_of(decoder, X, state + 0.0)[0], keep_mask(Key(3, site=2, step=2), (1, N, 16), 0.5))
    decoder.sample()
    assert np.array_equal(draws_of(decoder, X, state)[0], keep_mask(Key(3, site=2, sample=1), (1, N, 16), 0.5))
    decoder.train().seed(4)
    assert np.array_equal(draws_of(decoder, X, state)[0], keep_mask(Key(4), (1, N, 16), 0.5))


def test_a_state_that_is_copied_or_pickled_carries_its_masks_along():
    net = built("LSTM", dropout=RecurrentDropout(state=0.5), masks_per="sequence")
    _, state = net(X)
    y, _ = net(X, state)
    for twin in (copy.deepcopy(state), pickle.loads(pickle.dumps(state)), state.detach()):
        close(net(X, twin)[0], y)
    assert twin.h.node is None


# ------------------------------------------------------------------------------------------------------------- lengths
LENGTHS = [3, 5, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_packed_rows_and_padded_sequences_get_the_same_masks(kind):
    """The layer's locked input mask is `locked_dropout` of packed rows at the same key."""
    net, plain = built(kind, dropout=RecurrentDropout(input=0.4)), built(kind)
    rows, numbers = pack(X, LENGTHS)
    assert numbers.tolist() == [0, 1, 0, 1, 0, 1, 1, 1]
    padded = unpack(locked_dropout(rows, 0.4, sequences=numbers, key=Key(7)), LENGTHS)
    y, state = net(X, lengths=LENGTHS)
    expected, last = plain(padded, lengths=LENGTHS)
    close(y, expected)
    close(state, last)


def test_pack_and_unpack_are_inverse_and_have_gradients():
    for batch_first in (False, True):
        x = Tensor(X.swapaxes(0, 1) if batch_first else X, requires_grad=True)
        rows, _ = pack(x, LENGTHS, batch_first)
        back = unpack(rows, LENGTHS, batch_first)
        valid = np.arange(L)[:, None] < LENGTHS
        expected = np.where(valid[..., None], X, 0.0)
        assert np.array_equal(back.data.swapaxes(0, 1) if batch_first else back.data, expected)
        back.sum().backward()
        assert np.array_equal(
            x.grad.swapaxes(0, 1) if batch_first else x.grad, np.broadcast_to(valid[..., None], X.shape)
        )
    with pytest.raises(ValueError, match="unpack: lengths that sum to 8 do not fit 3 rows"):
        unpack(np.zeros((3, 2)), LENGTHS)
    with pytest.raises(ValueError, match="pack: lengths must lie between 0 and the 5 steps of x"):
        pack(X, [6, 1, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_behind_the_end_of_a_sequence_matters(kind):
    record = RecurrentDropout(**TOGETHER[kind], between=0.3)
    dirty = np.where((np.arange(L)[:, None] < LENGTHS)[..., None], X, np.nan)
    results = []
    for values in (X, dirty):
        net = built(kind, 2, bidirectional=True, dropout=record)
        x = Tensor(values, requires_grad=True)
        first = [Tensor(np.ones((4, N, H)), requires_grad=True) for _ in range(2 if kind == "LSTM" else 1)]
        y, state = net(x, tuple(first) if kind == "LSTM" else first[0], lengths=LENGTHS)
        (y.sum() + sum((a * a).sum() for a in parts(state))).backward()
        results.append([y.data, *(a.data for a in parts(state)), x.grad, *(p.grad for p in net.parameters())])
        assert not y.data[3:, 0].any()
        assert (parts(state)[0].data[:, 2] == 1).all(), "a sequence of no steps keeps its state"
    assert all(np.isfinite(a).all() for a in results[1])
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def test_full_lengths_are_no_lengths():
    net = built("LSTM", bidirectional=True)
    y, state = net(X)
    z, other = net(X, lengths=np.array([L] * N))
    close(y, z)
    close(state, other)


# --------------------------------------------------------------------------------------------------- modes and samples
class Tagger(nn.Module):
    """A sequence to a sequence, with the batch first."""

    def __init__(self, kind, **options):
        self.body = getattr(nn, kind)(D, H, 2, **options)
        self.head = nn.Linear(self.body.hidden * len(self.body.directions), 2)

    def forward(self, x):
        return self.head(
            self.body(x)[0]
            if self.body.batch_first
            else ops.swapaxes(self.body(ops.swapaxes(x, a=0, b=1))[0], a=0, b=1)
        )


BATCH = X.swapaxes(0, 1)
SAMPLED = [
    *((kind, RecurrentDropout(**{rate: 0.4})) for kind, rate in EACH),
    *((kind, RecurrentDropout(**rates, between=0.4)) for kind, rates in MANY),
    ("LSTM", RecurrentDropout(input=0.4, state=0.4, tied=False, weight=0.4)),
    ("GRU", 0.4),
]


@pytest.mark.parametrize(("kind", "record"), SAMPLED, ids=str)
def test_samples_in_flight_are_single_samples(kind, record):
    """Several samples merged with the batch, chunks of the batch, and one pass after the other: the same numbers."""
    net = Tagger(kind, dropout=record, batch_first=True).seed(3).astype(np.float64)
    samples = predict_samples(net, BATCH, samples=4)
    assert len({sample.tobytes() for sample in samples}) == 4
    net.sample()
    close(samples, np.array([net(BATCH).data for _ in range(4)]))
    close(predict_samples(net, BATCH, samples=4, batch_size=2), samples)
    time_first = Tagger(kind, dropout=record).seed(3).astype(np.float64)
    close(predict_samples(time_first, BATCH, samples=4), samples)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_for_a_pass_are_one_function_for_all_inputs(kind):
    record = RecurrentDropout(**TOGETHER[kind], between=0.4)
    net = Tagger(kind, dropout=record, batch_first=True).seed(3).astype(np.float64)
    alike = np.broadcast_to(BATCH[:1], BATCH.shape)
    samples = predict_samples(net, alike, samples=3, masks="pass")
    close(samples, np.broadcast_to(samples[:, :1], samples.shape))
    assert len({sample.round(9).tobytes() for sample in samples}) == 3
    close(predict_samples(net, alike, samples=3, masks="pass", batch_size=2), samples)
    assert abs(predict_samples(net, alike, samples=3) - samples[:, :1]).max() > 1e-3


class InChunks(nn.Module):
    """A sequence that a model reads in chunks within one pass."""

    def __init__(self):
        record = RecurrentDropout(state=0.4, zoneout=0.4)
        self.body = nn.LSTM(D, H, dropout=record, batch_first=True, masks_per="sequence")

    def forward(self, x):
        first, state = self.body(x[:, :2])
        return ops.concatenate([first, self.body(x[:, 2:], state)[0]], axis=1)


def test_samples_in_flight_keep_their_masks_over_chunks():
    net = InChunks().seed(5).astype(np.float64)
    whole = nn.LSTM(D, H, dropout=RecurrentDropout(state=0.4, zoneout=0.4), batch_first=True).seed(5).astype(np.float64)

    class Output(nn.Module):
        def __init__(self):
            self.body = whole

        def forward(self, x):
            return self.body(x)[0]

    close(predict_samples(net, BATCH, samples=3), predict_samples(Output(), BATCH, samples=3))


def test_a_state_cannot_go_on_with_another_number_of_samples():
    net = built("GRU", dropout=RecurrentDropout(state=0.4), masks_per="sequence").sample()
    _, state = net(X)

    class Fixed(nn.Module):
        def __init__(self):
            self.body = net

        def forward(self, x):
            rows = ops.swapaxes(x, a=0, b=1)
            many = nn.recurrent_state.HiddenState.of(Tensor(np.zeros((1, rows.shape[1], H))), state.carried)
            return ops.swapaxes(self.body(rows, many)[0], a=0, b=1)

    with pytest.raises(ValueError, match=r"a draw of 1 sample\(s\) cannot go on with 100 in flight; begin anew"):
        predict_samples(Fixed(), BATCH, samples=2)


@pytest.mark.parametrize(("kind", "record"), SAMPLED, ids=str)
def test_a_checkpoint_draws_the_same_masks_again(kind, record):
    gradients = []
    for through in (False, True):
        net = Tagger(kind, dropout=record, batch_first=True).seed(3)
        y = checkpoint(net, Tensor(BATCH.astype(np.float32))) if through else net(BATCH.astype(np.float32))
        (y * y).sum().backward()
        gradients.append([p.grad for p in net.parameters()])
        assert {step for _, _, step in net.random_state().values()} == {1}
    assert all(np.array_equal(a, b) for a, b in zip(*gradients, strict=True))


def test_prediction_in_the_middle_of_training_changes_nothing():
    nets = [
        Tagger("LSTM", dropout=RecurrentDropout(state=0.4, zoneout=0.4), batch_first=True).seed(3) for _ in range(2)
    ]
    x = BATCH.astype(np.float32)
    predict_samples(nets[0], x, samples=2)
    assert np.array_equal(nets[0](x).data, nets[1](x).data)


@pytest.mark.parametrize("rates", [TOGETHER["LSTM"], TIED], ids=["untied", "tied"])
def test_masks_and_values_are_the_same_on_every_backend(rates, backend):
    record = RecurrentDropout(**rates)
    reference, net = (built("LSTM", dropout=record).to(name) for name in ("numpy", backend))
    for ours, theirs in zip(draws_of(net, X), draws_of(reference, X), strict=True):
        assert np.array_equal(ours, theirs)
    close(net(X)[0], reference(X)[0])


# ------------------------------------------------------------------------------------------------------- the fused LSTM
def with_gradients(net, x, first):
    x, *first = (Tensor(a, net.backend, requires_grad=True) for a in (x, *first))
    y, state = net(x, tuple(first))
    weight = np.random.default_rng(5).standard_normal(y.shape).astype(y.dtype)
    ((y * weight).sum() + (state.h * state.h).sum() + state.c.sum()).backward()
    return [y.data, state.h.data, state.c.data, x.grad, *(a.grad for a in first), *(p.grad for p in net.parameters())]


FUSED = [
    0.0,
    *(RecurrentDropout(**{rate: 0.4}) for rate in ("state", "update", "memory", "zoneout", "zoneout_memory")),
    RecurrentDropout(input=0.4, state=1.0, weight=0.4),
    RecurrentDropout(update=0.4, update_locked=True),
    RecurrentDropout(update=1.0, zoneout=1.0),
    RecurrentDropout(memory=1.0, zoneout_memory=1.0),
    RecurrentDropout(**TIED),
    RecurrentDropout(state=0.4, memory=0.4, zoneout=0.2, zoneout_memory=0.7, weight=0.4),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("bias", "mode"), [(True, "train"), (False, "train"), (True, "eval")])
@pytest.mark.parametrize("dropout", FUSED, ids=str)
def test_the_fused_sequence_is_the_composed_one(monkeypatch, dropout, bias, mode, dtype, backend):
    """Values, last states and every gradient; in two layers and both directions, from a state that is not 0."""
    first = [np.random.default_rng(i).standard_normal((4, N, H)).astype(dtype) for i in range(2)]
    options = {"bidirectional": True, "dropout": dropout, "bias": bias}
    fused, composed = (nn.LSTM(D, H, 2, **options).to(backend).seed(7).astype(dtype) for _ in range(2))
    for net in (fused, composed):
        net.train() if mode == "train" else net.eval()
    ours = with_gradients(fused, X.astype(dtype), first)
    monkeypatch.setattr(sequences, "_runs_fused", lambda *args: False)
    theirs = with_gradients(composed, X.astype(dtype), first)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=(1e-5 if dtype == np.float32 else 1e-13) * abs(b).max())


def test_a_dropped_unit_of_the_state_cannot_spread_what_is_not_finite(monkeypatch):
    """Selected, not multiplied: NaN times 0 would be NaN in every gate."""
    seen = []
    for plain in (True, False):
        net = built("LSTM", hidden=16, dropout=RecurrentDropout(state=0.5))
        [keep] = draws_of(copy.deepcopy(net), X)
        h = Tensor(np.where(keep, 1.0, np.nan), requires_grad=True)
        if not plain:
            monkeypatch.setattr(sequences, "_runs_fused", lambda *args: False)
        y, _ = net(X, (h, np.zeros((1, N, 16))))
        y.sum().backward()
        seen.append([y.data, h.grad])
        assert np.isfinite(y.data).all()
        assert np.array_equal(h.grad == 0, ~keep)
    for a, b in zip(*seen, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_which_options_run_fused(monkeypatch):
    calls = []
    monkeypatch.setattr(ops, "lstm_sequence", lambda *args, **options: calls.append(1) or 1 / 0)
    for dropout in (0.0, RecurrentDropout(input=0.4, state=0.4, weight=0.4, output=0.4)):
        with pytest.raises(ZeroDivisionError):
            built("LSTM", dropout=dropout)(X)
    with pytest.raises(ZeroDivisionError):  # what evaluation leaves alone does not hinder it
        built("LSTM", dropout=RecurrentDropout(update=0.4, state=0.4, tied=False)).eval()(X)
    record = RecurrentDropout(state=0.4, memory=0.4, zoneout=0.4, zoneout_memory=0.4)
    for net in (built("LSTM", dropout=record), built("LSTM", dropout=record).eval()):
        with pytest.raises(ZeroDivisionError):
            net(X)
    assert len(calls) == 5
    built("LSTM", dropout=RecurrentDropout(state=0.4, tied=False))(X)
    built("LSTM", projection=2)(X)
    built("LSTM")(X, lengths=[1, 2, 3])
    assert len(calls) == 5


def test_evaluation_at_rates_of_0_and_1_never_sees_the_value_that_does_not_count():
    """p old + (1 - p) new would be NaN there: 0 times what is not finite."""
    ones = np.ones((1, N, H))
    y, _ = built("LSTM", dropout=RecurrentDropout(zoneout=1.0)).eval()(X, (ones, np.nan * ones))
    assert np.array_equal(y.data, np.ones((L, N, H)))
    at_0 = RecurrentDropout(zoneout_memory=LinearRamp(1.0, steps=2))
    y, state = built("LSTM", dropout=at_0).eval()(X, (ones, np.inf * ones))
    assert np.isposinf(state.c.data).all()
    assert np.isfinite(y.data).all()


def test_long_sequences_need_no_deep_stack():
    net = built("GRU", inputs=1, hidden=1, dropout=RecurrentDropout(zoneout=0.1))
    x = Tensor(np.random.default_rng(0).standard_normal((700, 1, 1)), requires_grad=True)
    y, h = net(x)
    h.sum().backward()
    assert y.shape == (700, 1, 1)
    assert x.grad[-1].all()


def test_repr_and_registration():
    assert repr(nn.LSTM(3, 4, 2, projection=2, bidirectional=True)) == (
        "LSTM(3 -> 4, layers=2, projection=2, bidirectional)"
    )
    assert repr(nn.GRUCell(3, 4)) == "GRUCell(3 -> 4)"
    net = nn.GRU(3, 4, 2, dropout=RecurrentDropout(state=0.1, output=0.2))
    assert [name for name, _ in net.named_sites()] == ["dropout_l0.state", "output_l0", "dropout_l1.state", "output_l1"]
