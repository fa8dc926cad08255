"""Models: one set of weights in every form, learned noise that reaches the loss, samples, a state that goes on."""

import math

import numpy as np
import pytest

from puredrop import nn, ops, uncertainty
from puredrop.nn.forms import FORMS, noise

IDS = np.array([[3, 1, 0, 3], [4, 4, 2, 0]])
IMAGE = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
MODELS = {
    "MLP": (lambda **options: nn.models.MLP(64, 3, (5, 4), **options), IMAGE),
    "LeNet": (lambda **options: nn.models.LeNet(size=8, kernel=3, padding=1, **options), IMAGE),
    "ResNet": (lambda **options: nn.models.ResNet(1, 3, (1, 1), 2, **options), IMAGE),
    "LSTMLanguageModel": (lambda **options: nn.models.LSTMLanguageModel(5, 3, 4, 2, **options), IDS),
    "GPT": (lambda **options: nn.models.GPT(5, 4, 4, 2, **options), IDS),
    "BERT": (lambda **options: nn.models.BERT(5, 4, 4, 2, **options), IDS),
}


@pytest.fixture(params=MODELS)
def make(request):
    """(what makes the model, its example)."""
    return MODELS[request.param]


def output(model, x):
    y = model(x)
    return y[0] if isinstance(y, tuple) else y


def weights(model):
    """The state of a model without what its noise learns."""
    return {name: value for name, value in model.state_dict().items() if not name.endswith(("logit_p", "log_alpha"))}


def test_all_forms_have_the_same_weights_and_one_function_in_evaluation(make):
    build, x = make
    plain = build(form="plain").seed(0).eval()
    expected = output(plain, x).numpy()
    for form in FORMS:
        model = build(form=form).seed(1).eval()
        assert weights(model).keys() == plain.state_dict().keys()
        model.load_state_dict(model.state_dict() | plain.state_dict())
        np.testing.assert_array_equal(output(model, x).numpy(), expected)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_but_the_plain_one_draws(make, form):
    build, x = make
    model = build(form=form, p=0.5).seed(0)
    first, second = output(model, x).numpy(), output(model, x).numpy()
    assert np.array_equal(first, second) == (form == "plain")


@pytest.mark.parametrize("form", FORMS)
def test_noise_is_learned_where_the_form_says_so(make, form):
    build, x = make
    model = build(form=form, p=0.3).seed(0)
    learned = {name: p for name, p in model.named_parameters() if name.endswith(("logit_p", "log_alpha"))}
    assert bool(learned) == (form in ("variational", "concrete"))
    (ops.sum(output(model, x) ** 2) + model.regulariser(10)).backward()
    assert all(p.grad is not None and np.any(p.grad != 0) for p in learned.values())


def test_the_regulariser_is_the_sum_of_its_layers():
    model = nn.models.MLP(4, 2, (3,), form="concrete", p=0.2).seed(0)
    model(np.ones((1, 4), np.float32))
    weight = model.layers[1].layer.weight.numpy().astype(np.float64)  # (2, 3)
    scale, entropy = 0.25**2 / 10, -0.2 * math.log(0.2) - 0.8 * math.log(0.8)
    expected = scale * (weight**2).sum() / 0.8 - 3 * entropy / 10
    assert float(model.regulariser(10, length_scale=0.25).numpy()) == pytest.approx(expected, rel=1e-6)
    assert nn.models.MLP(4, 2, (3,), form="mc").seed(0).regulariser(10) == 0.0


def test_the_divergence_of_variational_noise_falls_with_the_number_of_examples():
    model = nn.models.MLP(4, 2, (3,), form="variational", p=0.2).seed(0)
    model(np.ones((1, 4), np.float32))
    (layer,) = (module for module in model.modules() if isinstance(module, nn.VariationalGaussianDropout))
    ten, hundred = (float(model.regulariser(n).numpy()) for n in (10, 100))
    assert ten == pytest.approx(float(layer.regulariser().numpy()) / 10)
    assert hundred == pytest.approx(ten / 10)


@pytest.mark.parametrize("form", ["mc", "variational", "concrete"])
def test_samples_are_those_of_one_at_a_time(make, form):
    build, x = make
    model = build(form=form, p=0.5).seed(0).eval()
    function = model if not isinstance(model, nn.models.LSTMLanguageModel) else Logits(model)
    together = uncertainty.predict_samples(function, x, samples=4)
    singly = [uncertainty.predict_samples(function, x, samples=1, first=t)[0] for t in range(4)]
    np.testing.assert_allclose(together, singly, rtol=0, atol=1e-5)
    assert np.abs(together - together[:1]).max() > 1e-4


class Logits(nn.Module):
    """A language model without the state that it gives back."""

    def __init__(self, model):
        self.model = model

    def forward(self, ids):
        return self.model(ids)[0]


def test_noise_of_a_sequence_is_the_same_at_every_step():
    x = np.ones((2, 50, 6), np.float32)
    for form in ("mc", "variational", "concrete"):
        y = noise(form, 0.5, "sequence").seed(0)(x).numpy()
        assert np.array_equal(y, np.broadcast_to(y[:, :1], y.shape))
        assert len(np.unique(y[:, 0])) > 1


def test_noise_of_channels_is_the_same_at_every_place():
    x = np.ones((2, 9, 4, 5), np.float32)
    for form in ("mc", "variational", "concrete"):
        y = noise(form, 0.5, "channels").seed(0)(x).numpy()
        assert np.array_equal(y, np.broadcast_to(y[:, :, :1, :1], y.shape))
        assert len(np.unique(y[:, :, 0, 0])) > 1


def test_a_text_read_in_chunks_is_the_text_read_at_once():
    model = nn.models.LSTMLanguageModel(5, 3, 4, 2).seed(0).eval()
    whole, _ = model(IDS)
    first, states = model(IDS[:, :3])
    second, _ = model(IDS[:, 3:], states)
    np.testing.assert_allclose(np.concatenate([first.numpy(), second.numpy()], axis=1), whole.numpy(), atol=1e-6)


def test_gpt_does_not_see_what_comes_and_bert_does():
    changed = IDS.copy()
    changed[:, -1] = 1
    for name, sees in (("GPT", False), ("BERT", True)):
        model = MODELS[name][0]().seed(0).eval()
        before, after = model(IDS).numpy()[:, :-1], model(changed).numpy()[:, :-1]
        assert np.array_equal(before, after) != sees


def test_bert_does_not_see_padding():
    model = nn.models.BERT(5, 4, 4, 2).seed(0).eval()
    present = np.array([[True, True, True, False]] * 2)
    changed = IDS.copy()
    changed[:, -1] = 1
    np.testing.assert_array_equal(
        model(IDS, present=present).numpy()[:, :-1], model(changed, present=present).numpy()[:, :-1]
    )


def test_wrong_sizes_and_forms_are_named():
    with pytest.raises(ValueError, match="form must be one of plain, mc, variational, concrete, got 'bayes'"):
        nn.models.MLP(4, 2, form="bayes")
    with pytest.raises(ValueError, match="images of 8 x 8 are too small for two 5 x 5 convolutions with padding 0"):
        nn.models.LeNet(size=8)
    with pytest.raises(ValueError, match="5 tokens and the table 4 positions"):
        nn.models.GPT(5, 4, 4, 2).seed(0)(np.zeros((1, 5), np.int64))
