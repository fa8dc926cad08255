"""`diagnose` on convolutional networks: nothing in right uses, and what is wrong where it is."""

import numpy as np
import pytest

from puredrop import nn, ops
from puredrop.nn import diagnose

X = np.random.default_rng(0).standard_normal((4, 2, 8, 8)).astype(np.float32)
SPATIAL = [nn.Dropout(0.3), nn.Dropout2d(0.3), nn.DropBlock(0.3, block_size=3), nn.SpatialConcreteDropout(0.3)]


def found(model, *inputs):
    return [f"{finding.layer}|{finding.problem}" for finding in diagnose(model.seed(1), *inputs)]


def classifier(*middle):
    """A convolution, what is in the middle, and a dense layer on the mean of each channel."""
    last = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), *middle, *last)


def resnet(**options):
    return nn.ResNet(nn.BasicBlock, (1, 2), classes=3, inputs=2, width=4, stem="cifar", depth_p=0.5, **options)


@pytest.mark.parametrize(
    "model",
    [
        *(classifier(nn.BatchNorm2d(4), nn.ReLU(), layer) for layer in SPATIAL),
        classifier(nn.ReLU(), nn.Dropout2d(0.3), nn.Conv2d(4, 4, 3), nn.GroupNorm(2, 4)),
        classifier(nn.ReLU(), nn.MaxPoolDropout(0.5, size=2), nn.StochasticPool(size=2)),
        nn.Sequential(nn.Cutout(0.5, size=3), *classifier(nn.BatchNorm2d(4), nn.ReLU())),
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Dropout2d(0.3), nn.Conv2d(4, 3, 1)),
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Dropout2d(0.3), nn.ConvTranspose2d(4, 3, 3)),
        resnet(),
        resnet(join=lambda p: nn.DropPath(p, "batch")),
        resnet(join=lambda p: nn.StochasticDepth(p, "row")),
        resnet(join=nn.ShakeDrop),
    ],
)
def test_right_uses_have_no_findings(model):
    assert found(model) == []
    assert found(model, X) == []


@pytest.mark.parametrize("layer", SPATIAL, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize(
    "between", [nn.Conv2d(4, 4, 3), nn.ConvTranspose2d(4, 4, 3), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.ReLU()]
)
def test_dropout_before_batch_norm_is_found_through_any_layer_between(layer, between):
    model = classifier(nn.ReLU(), layer, between, nn.BatchNorm2d(4))
    assert found(model) == found(model, X) == ["2|dropout before batch norm (4)"]


def test_dropout_in_a_residual_branch_is_found_by_the_next_batch_norm():
    model = resnet()
    model.layer1[0].conv2 = nn.Sequential(nn.Dropout2d(0.5), model.layer1[0].conv2)
    assert found(model, X) == ["layer1.0.conv2.0|dropout before batch norm (layer1.0.bn2)"]


@pytest.mark.parametrize("last", [nn.Conv2d(4, 3, 1), nn.ConvTranspose2d(4, 3, 1)])
def test_the_last_layer_may_be_a_convolution(last):
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), last, nn.Dropout2d(0.3))
    assert found(model) == found(model, X) == ["3|drops the outputs of the model"]
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Dropout2d(0.8), last)
    assert found(model) == found(model, X) == ["2|a high rate (p = 0.8) before the output"]
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Dropout2d(0.8), nn.Conv2d(4, 4, 1), nn.ReLU(), last)
    assert found(model) == found(model, X) == []


class Decoder(nn.Module):
    """A dense layer, and from there up to a map."""

    def __init__(self):
        self.dense, self.drop = nn.Linear(2, 16), nn.Dropout2d(0.3)
        self.first, self.last = nn.ConvTranspose2d(4, 4, 2), nn.ConvTranspose2d(4, 2, 2)

    def forward(self, x):
        return self.last(self.drop(ops.relu(self.first(self.dense(x).reshape(-1, 4, 2, 2)))))


def test_convolutions_behind_the_last_dense_layer_can_learn_to_do_without():
    assert found(Decoder()) == found(Decoder(), X[:, :, 0, 0]) == []


def test_a_diagnosis_moves_no_running_statistics():
    model = resnet().seed(1)
    before = {name: value.tobytes() for name, value in model.state_dict().items()}
    diagnose(model, X)
    assert {name: value.tobytes() for name, value in model.state_dict().items()} == before
