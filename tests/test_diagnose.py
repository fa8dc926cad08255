"""Each rule finds what it is for, and a sound model has no findings."""

import pytest

import puredrop
from puredrop import nn
from puredrop.nn.diagnose import diagnose


class BatchNorm1d(nn.Module):
    """Stands for the layer that is not there yet."""

    def forward(self, x):
        return x


def found(model, **options):
    return [f"{finding.layer}|{finding.problem}" for finding in diagnose(model, **options)]


def test_a_sound_model_has_no_findings():
    net = nn.Sequential(nn.Linear(4, 8), BatchNorm1d(), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2)).seed(0)
    assert diagnose(net) == []
    assert diagnose(net.eval(), purpose="prediction") == []
    assert diagnose(net.sample(), purpose="prediction") == []


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.2), nn.Linear(4, 2)), "1|nothing to draw with"),
        (nn.Sequential(nn.Dropout(1.0), nn.Linear(4, 2)).seed(0), "0|p = 1 drops everything"),
        (nn.Sequential(nn.Dropout(0.2), BatchNorm1d(), nn.Linear(4, 2)).seed(0), "0|dropout before batch norm (1)"),
        (nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.2)).seed(0), "1|drops the outputs of the model"),
        (
            nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.8), nn.Linear(4, 2)).seed(0),
            "1|a high rate (p = 0.8) before the output",
        ),
    ],
)
def test_each_rule_finds_what_it_is_for(model, expected):
    assert found(model) == [expected]


def test_the_variance_shift_is_the_one_of_the_paper():
    [finding] = diagnose(nn.Sequential(nn.Dropout(0.5), BatchNorm1d()).seed(0))
    assert "is 2 times that of evaluation" in str(finding)


def test_modes_are_looked_at_for_a_prediction_only():
    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.2), nn.Linear(4, 2)).seed(0)
    assert found(net) == []
    assert found(net, purpose="prediction") == ["|train mode where a prediction is asked for"]
    net.eval()
    net[1].train()
    assert found(net, purpose="prediction") == ["|layers stand in different modes (eval, train)"]
    with pytest.raises(ValueError, match="purpose must be 'training' or 'prediction', got 'test'"):
        diagnose(net, purpose="test")


def test_it_is_at_the_top_level():
    assert puredrop.diagnose is diagnose
