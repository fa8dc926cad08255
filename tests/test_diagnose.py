"""Each rule finds what it is for, and nothing in models that come near it."""

import numpy as np
import pytest

import puredrop
from puredrop import Key, Rng, nn, ops
from puredrop.gradcheck import relative_error
from puredrop.nn.diagnosis import diagnose
from puredrop.nn.diagnosis.variance_shift import shift

R = np.random.default_rng(0)


def normal(*shape):
    return R.standard_normal(shape).astype(np.float32)


def found(model, *inputs, **options):
    return [f"{finding.layer}|{finding.problem}" for finding in diagnose(model, *inputs, **options)]


def test_a_sound_model_has_no_findings():
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2)).seed(0)
    assert diagnose(net) == []
    assert diagnose(net, normal(6, 4)) == []
    assert diagnose(net.eval(), normal(6, 4), purpose="prediction") == []


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.2), nn.Linear(4, 2)), "1|nothing to draw with"),
        (nn.Sequential(nn.LayerDrop([nn.Linear(4, 4)], 0.2)), "0|nothing to draw with"),
        (nn.Sequential(nn.Dropout(1.0), nn.Linear(4, 2)).seed(0), "0|p = 1 drops everything"),
        (nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.2)).seed(0), "1|drops the outputs of the model"),
        (
            nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.8), nn.Linear(4, 2)).seed(0),
            "1|a high rate (p = 0.8) before the output",
        ),
        (
            nn.Sequential(nn.Dropout(0.2).seed(0), nn.Linear(4, 4).seed(0), nn.Dropout(0.3).seed(0), nn.Linear(4, 2)),
            "2|draws the same masks as 0",
        ),
    ],
)
def test_each_rule_of_the_tree_finds_what_it_is_for(model, expected):
    assert found(model) == [expected]
    assert found(model, normal(6, 4)) == [expected]


def test_modes_are_looked_at_for_a_prediction_only():
    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.2), nn.Linear(4, 2)).seed(0)
    assert found(net) == found(net.sample()) == []
    assert found(net.train(), purpose="prediction") == ["|train mode where a prediction is asked for"]
    assert found(net.sample(), purpose="prediction") == ["|sample mode where a prediction is asked for"]
    assert found(nn.Sequential(nn.Linear(4, 4)).sample(), purpose="prediction") == [], "nothing draws"
    assert found(net.eval(), purpose="prediction") == []
    net[1].train()
    assert found(net, purpose="prediction") == ["|layers stand in different modes (eval, train)"]
    with pytest.raises(ValueError, match="purpose must be 'training' or 'prediction', got 'test'"):
        diagnose(net, purpose="test")


def test_one_seed_for_the_whole_model_gives_each_layer_its_own_masks():
    net = nn.Sequential(nn.Dropout(0.2).seed(0), nn.Dropout(0.2).seed(0), nn.Linear(4, 2))
    assert found(net) == ["1|draws the same masks as 0"]
    assert found(net.seed(0)) == []


def test_a_dropout_before_a_batch_norm_is_found_by_the_order_or_by_the_graph():
    net = nn.Sequential(nn.Dropout(0.2), nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).seed(0)
    assert found(net) == found(net, normal(8, 4)) == ["0|dropout before batch norm (2)"]


class Branches(nn.Module):
    """The batch norm comes last in the tree, but the dropout is on another branch."""

    def __init__(self):
        self.drop, self.norm, self.out = nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.drop(x) + self.norm(x))


def test_the_graph_knows_what_the_order_of_the_tree_does_not():
    net = Branches().seed(0)
    assert found(net) == ["drop|dropout before batch norm (norm)"]
    assert found(net, normal(8, 4)) == []


class Functional(nn.Module):
    def __init__(self, drop):
        self.drop, self.norm, self.rng = drop, nn.BatchNorm1d(4), Rng(5)

    def forward(self, x):
        return self.norm(self.drop(x, self.rng.next_key()))


@pytest.mark.parametrize(
    ("drop", "expected"),
    [
        (lambda x, key: puredrop.dropout(x, 0.5, key=key), ["|dropout before batch norm (norm)"]),
        (
            lambda x, key: puredrop.checkpoint(lambda x: puredrop.dropout(x, 0.5, key=key), x),
            ["|dropout before batch norm (norm)"],
        ),
        (lambda x, key: puredrop.dropout(x, 0.05, key=key), []),
        (lambda x, key: puredrop.drop_path(x, 0.5, key=key), []),
        (lambda x, key: puredrop.alpha_dropout(x, 0.5, key=key), []),
        (lambda x, key: puredrop.alpha_dropout(x, 0.9, key=key), []),
        (lambda x, key: puredrop.mixout(x, -x, 0.5, key=key), []),
        (lambda x, key: puredrop.zoneout(x, -x, 0.5, key=key), []),
    ],
)
def test_functions_are_seen_in_the_graph(drop, expected):
    assert found(Functional(drop).seed(0), normal(8, 4)) == expected


@pytest.mark.parametrize("layer", [nn.AlphaDropout(0.5), nn.DropPath(0.5), nn.Zoneout(0.5)])
def test_layers_that_keep_the_variance_or_gate_branches_are_no_fault(layer):
    assert found(nn.Sequential(layer, nn.BatchNorm1d(4)).seed(0)) == []


@pytest.mark.parametrize(
    "layer", [nn.Dropout(0.5), nn.GaussianDropout(0.5), nn.Dropout1d(0.5), nn.ConcreteDropout(0.5)]
)
def test_layers_that_raise_the_variance(layer):
    net = nn.Sequential(layer, nn.BatchNorm1d(4)).seed(0)
    assert found(net) == found(net, normal(8, 4, 5)) == ["0|dropout before batch norm (1)"]


def test_the_rate_of_a_schedule_is_seen_in_the_run():
    net = nn.Sequential(nn.Dropout(lambda step: 0.5), nn.BatchNorm1d(4)).seed(0)
    assert found(net) == []
    assert found(net, normal(8, 4)) == ["0|dropout before batch norm (1)"]


def test_the_variance_shift_is_the_one_of_the_paper():
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4)).seed(0)
    [finding] = diagnose(net)
    assert "is 2 times that of evaluation (for inputs of mean zero; more otherwise)" in str(finding)
    x = np.float32([[0, 2, 0, 0], [2, 4, 0, 0]])  # mean 1, 3, 0, 0; variance 1, 1, 0, 0: factors 3 and 11
    [finding] = diagnose(net, x)
    assert "is 7 times that of evaluation (measured on the inputs given)" in str(finding)


@pytest.mark.parametrize("shape", [(20000, 3), (4000, 3, 5)])
def test_the_measured_shift_is_what_happens_to_the_variance(shape):
    x = np.moveaxis(R.standard_normal((*shape[:1], *shape[2:], 3)) * [1, 2, 0.5] + [0, 1, -1], -1, 1)
    y = puredrop.dropout(x, 0.4, key=Key(1))
    axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    assert relative_error(shift(0.4, x), np.mean(y.var(axis=axes) / x.var(axis=axes))) < 0.03
    assert shift(0.4, np.ones(shape)) == shift(0.4) == 1 / (1 - 0.4)


def test_independent_components_of_a_small_rate_are_no_fault():
    def net(p):
        return nn.Sequential(
            *(part for _ in range(3) for part in (nn.IndependentComponent(nn.BatchNorm1d(4), p), nn.Linear(4, 4)))
        ).seed(0)

    assert found(net(0.05)) == found(net(0.05), normal(64, 4)) == []
    expected = [f"{i}.dropout|dropout before batch norm ({i + 2}.norm)" for i in (0, 2)]
    assert found(net(0.5)) == found(net(0.5), normal(64, 4)) == expected


class Head(nn.Module):
    """What stands last in the tree is used first, and the other way round."""

    def __init__(self, first, last, p=0.6):
        self.first, self.last, self.drop, self.lin, self.out = (
            first,
            last,
            nn.Dropout(p),
            nn.Linear(4, 4),
            nn.Linear(4, 4),
        )

    def forward(self, x):
        return self.last(self, self.out(self.first(self, self.lin(x))))


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (lambda net, x: x, lambda net, y: net.drop(y), ["drop|drops the outputs of the model"]),
        (
            lambda net, x: x,
            lambda net, y: ops.softmax(net.drop(y)).reshape(-1),
            ["drop|drops the outputs of the model"],
        ),
        (lambda net, x: x, lambda net, y: puredrop.dropout(y, key=Key(1)), ["|drops the outputs of the model"]),
        (lambda net, x: x, lambda net, y: y + net.drop(y), []),
        (lambda net, x: x, lambda net, y: net.drop(y).mean(1), []),
        (lambda net, x: net.drop(x), lambda net, y: y, ["drop|a high rate (p = 0.6) before the output"]),
        (
            lambda net, x: ops.relu(net.drop(x)),
            lambda net, y: y + 1.0,
            ["drop|a high rate (p = 0.6) before the output"],
        ),
        (lambda net, x: net.lin(net.drop(x)), lambda net, y: y, []),
    ],
)
def test_the_output_is_where_the_graph_ends(first, last, expected):
    assert found(Head(first, last).seed(0), normal(3, 4)) == expected


def test_a_layer_alone_has_no_outputs_of_a_model():
    assert found(nn.Dropout(0.5).seed(0), normal(3, 4)) == found(nn.Dropout(0.5).seed(0)) == []


class Remembering(nn.Module):
    """Keeps a state of its own from call to call."""

    def __init__(self):
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 4))
        self.state = 0.0

    def forward(self, x):
        self.state = self.layers(x) + self.state
        return self.state


@pytest.mark.parametrize("mode", ["train", "eval", "sample"])
def test_the_run_leaves_the_model_as_it_was(mode):
    net = Remembering().seed(4)
    net(normal(6, 4))
    getattr(net, mode)()
    net.layers[0].eval()
    net(normal(6, 4))
    net.layers[0].weight.requires_grad = False

    def everything():
        return (
            {name: value.tobytes() for name, value in net.state_dict().items()},
            net.random_state(),
            [(module.mode, module._runs, sorted(vars(module))) for module in net.modules()],
            net.state.numpy().tobytes(),
            [(parameter.requires_grad, parameter.node) for parameter in net.parameters()],
        )

    before = everything()
    x = puredrop.Tensor(normal(6, 4))
    with puredrop.no_grad(), puredrop.draw_from(puredrop.streams.Given([])):
        diagnose(net, x, purpose="prediction")
    assert everything() == before
    assert not x.requires_grad


def test_a_model_that_cannot_run_yet_is_run_all_the_same():
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4))
    assert found(net, normal(6, 4)) == ["0|nothing to draw with", "0|dropout before batch norm (1)"]
    assert net[0].rng is None
    assert not net[1].weight.drawn


def test_what_the_model_raises_is_raised():
    with pytest.raises(ValueError, match="Linear: the last axis of x must be 4"):
        diagnose(nn.Sequential(nn.Linear(4, 2)).seed(0), normal(6, 3))


def test_it_is_at_the_top_level():
    assert puredrop.diagnose is diagnose
