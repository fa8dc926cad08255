"""Rows for the models of `nn.models`, in each of their forms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .... import nn, ops
from ....nn.forms import FORMS, Form
from ....nn.init import Normal
from ..case import LayerCase, normal
from .attention import Called
from .convolutional import normalised
from .residual import block, dropped_path

P = 0.3
TOKENS, WIDTH, T = 5, 8, 4
IDS = np.array([[3, 1, 0, 3], [4, 4, 2, 0]])
PRESENT = np.array([[True, True, True, False], [True, False, True, True]])
Drop = Callable[..., Any]


# ------------------------------------------------------------------------------------------ in PyTorch's operations
def dropped(form: Form, torch: Any, w: dict[str, Any], noise: Any, name: str, x: Any, temperature: float = 0.1) -> Any:
    """x after the layer that drops, by the formula of its form; `name` is where its learned number stands."""
    if form == "plain":
        return x
    drawn = noise.take()
    if form == "mc":
        return torch.where(drawn, x / (1 - P), 0.0)
    if form == "variational":
        return x * (1 + torch.exp(w[f"{name}.log_alpha"] / 2) * drawn)
    logit = w[f"{name}.logit_p"]
    noisy = (logit + (torch.log(drawn) - torch.log1p(-drawn)).to(x.dtype)) / temperature
    return x * torch.sigmoid(-noisy) / torch.sigmoid(-logit)


def linear(torch: Any, w: dict[str, Any], name: str, x: Any) -> Any:
    return torch.nn.functional.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def part(w: dict[str, Any], name: str) -> dict[str, Any]:
    """The weights of a part of the model, under its own names."""
    return {key.removeprefix(f"{name}."): value for key, value in w.items() if key.startswith(f"{name}.")}


def mlp(form: Form, torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
    x = torch.tanh(linear(torch, w, "layers.0.layer", x))
    return linear(torch, w, "layers.1.layer", dropped(form, torch, w, noise, "layers.1.noise", x))


def lenet(form: Form, torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
    F = torch.nn.functional
    x = F.max_pool2d(F.relu(F.conv2d(x, w["conv1.weight"], w["conv1.bias"], padding=1)), 2)
    x = dropped(form, torch, w, noise, "conv2.noise", x, temperature=2 / 3)
    x = F.max_pool2d(F.relu(F.conv2d(x, w["conv2.layer.weight"], w["conv2.layer.bias"], padding=1)), 2).flatten(1)
    for name in ("dense1", "dense2", "dense3"):
        x = linear(torch, w, f"{name}.layer", dropped(form, torch, w, noise, f"{name}.noise", x))
        x = x if name == "dense3" else F.relu(x)
    return x


def resnet(form: Form, torch: Any, w: dict[str, Any], noise: Any, x: Any) -> Any:
    """Two stages of a block each, with drop path."""
    F = torch.nn.functional
    x = torch.relu(normalised(torch, w, "net.bn1", F.conv2d(x, w["net.conv1.weight"], padding=1)))
    for i, rate in enumerate((0.2, 0.4)):
        x = block(torch, w, x, f"net.layer{i + 1}.0.", i + 1, partial(dropped_path(rate), torch, noise))
    return linear(torch, w, "net.fc.layer", dropped(form, torch, w, noise, "net.fc.noise", x.mean(dim=(2, 3))))


def lstm(form: Form, torch: Any, w: dict[str, Any], noise: Any, ids: Any) -> Any:
    """A step at a time, for PyTorch's LSTM cannot drop its state."""
    x = torch.nn.functional.embedding(ids, w["embedding.weight"])
    for i in range(2):
        x = dropped(form, torch, w, noise, f"layers.{i}.noise", x)
        own = {name.removesuffix("_l0"): v for name, v in part(w, f"layers.{i}.layer").items()}
        x = steps(torch, own, x, noise.take() if form == "mc" else None)
    return linear(torch, w, "decoder.layer", dropped(form, torch, w, noise, "decoder.noise", x))


def steps(torch: Any, own: dict[str, Any], x: Any, keep: Any) -> Any:
    """An LSTM whose state is dropped by the same mask at every step."""
    cell = torch.nn.LSTMCell(x.shape[-1], own["weight_hh"].shape[1])
    h = c = x.new_zeros(x.shape[0], cell.hidden_size)
    hs = []
    for t in range(x.shape[1]):
        given = h if keep is None else torch.where(keep[0], h / (1 - P), 0.0)
        h, c = torch.func.functional_call(cell, own, (x[:, t], (given, c)))
        hs.append(h)
    return torch.stack(hs, 1)


def transformer(
    causal: bool, form: Form, torch: Any, w: dict[str, Any], noise: Any, ids: Any, present: Any = None
) -> Any:
    """PyTorch's encoder layers; where the noise is learned, written out."""
    F = torch.nn.functional
    x = F.embedding(ids, w["tokens.weight"]) + w["positions.weight"][: ids.shape[1]]
    x = x if causal else F.layer_norm(x, (WIDTH,), w["norm.weight"], w["norm.bias"])
    x = dropped(form, torch, w, noise, "", x) if form == "mc" else x
    for i in range(2):
        x = encoder_layer(causal, form, torch, part(w, f"encoder.layers.{i}"), noise, x, present)
    if causal:
        x = F.layer_norm(x, (WIDTH,), w["encoder.norm.weight"], w["encoder.norm.bias"])
    x = x if form == "mc" else dropped(form, torch, w, noise, "decoder.noise", x)
    return linear(torch, w, "decoder.layer", x)


def bert(form: Form, torch: Any, w: dict[str, Any], noise: Any, ids: Any) -> Any:
    return transformer(False, form, torch, w, noise, ids, torch.tensor(PRESENT))


def encoder_layer(
    causal: bool, form: Form, torch: Any, w: dict[str, Any], noise: Any, x: Any, present: Any = None
) -> Any:
    """PyTorch's own layer, whose inner dropout is replaced where the model's is learned."""
    rate = P if form == "mc" else 0.0
    layer = torch.nn.TransformerEncoderLayer(
        WIDTH, 2, 4 * WIDTH, rate, "gelu", batch_first=True, norm_first=causal, dtype=x.dtype
    )
    if form in ("variational", "concrete"):
        layer.dropout = Replaced(torch, lambda x: dropped(form, torch, w, noise, "dropout", x))
    weights = {name: value for name, value in w.items() if not name.startswith("dropout")}
    mask = torch.ones(T, T, dtype=torch.bool).triu(1) if causal else None
    masks = {"src_mask": mask, "src_key_padding_mask": None if present is None else ~present}
    with noise.in_place_of_pytorchs():
        return torch.func.functional_call(layer, weights, (x,), masks)


def Replaced(torch: Any, f: Callable[[Any], Any]) -> Any:  # noqa: N802  # a class of PyTorch's, made where PyTorch is
    """f as a module of PyTorch."""

    class _Replaced(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return f(x)

    return _Replaced()


# ------------------------------------------------------------------------------------------ the rows
class Smooth(nn.models.MLP):
    """With tanh in place of ReLU, so that finite differences apply."""

    def forward(self, x: Any) -> Any:
        return self.layers[1](ops.tanh(self.layers[0](x)))


class Logits(nn.Module):
    """A language model without the state that it gives back."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def forward(self, ids: Any) -> Any:
        return self.model(ids)[0]


def large(model: Any) -> nn.Module:
    """With embeddings of size 1: a norm divides small ones by their size, and differences and steps become too long."""
    model.tokens.weight.init = model.positions.weight.init = Normal(1.0)
    return model


def without_prefix(reference: Callable[..., Any]) -> Callable[..., Any]:
    """That reference for a model inside `Logits` or `Called`."""

    def inner(torch: Any, w: dict[str, Any], noise: Any, *inputs: Any) -> Any:
        names = {name.split(".", 1)[1]: value for name, value in w.items()}
        return reference(torch, names, noise, *inputs)

    return inner


def row(
    model: str, form: Form, make: Callable[[], nn.Module], x: np.ndarray, reference: Any, **options: Any
) -> LayerCase:
    return LayerCase(f"models.{model}", form, make, lambda: (x,), reference, **options)


def rows(form: Form) -> tuple[LayerCase, ...]:
    """All models in one form."""
    options: dict[str, Any] = {"form": form, "p": P}
    image: dict[str, Any] = {"channels": 1, "size": 4, "outputs": 3, "kernel": 3, "padding": 1, "channel_p": P}
    small: dict[str, Any] = {"tokens": TOKENS, "length": T, "width": WIDTH, "heads": 2}
    return (
        row("MLP", form, lambda: Smooth(4, 3, (6,), **options), normal(5, 4), partial(mlp, form)),
        row(
            "LeNet",
            form,
            lambda: nn.models.LeNet(**image, **options),
            normal(2, 1, 4, 4),
            partial(lenet, form),
            smooth=False,
        ),
        row(
            "ResNet",
            form,
            lambda: nn.models.ResNet(1, 2, (1, 1), 2, path_p=0.4, **options),
            normal(3, 1, 4, 4),
            partial(resnet, form),
            smooth=False,
        ),
        row(
            "LSTMLanguageModel",
            form,
            lambda: Logits(nn.models.LSTMLanguageModel(TOKENS, 3, 4, 2, **options)),
            IDS,
            without_prefix(partial(lstm, form)),
        ),
        row(
            "GPT",
            form,
            lambda: large(nn.models.GPT(**small, **options)),
            IDS,
            partial(transformer, True, form),
            learning_rate=0.01,
        ),
        row(
            "BERT",
            form,
            lambda: Called(large(nn.models.BERT(**small, **options)), present=PRESENT),
            IDS,
            without_prefix(partial(bert, form)),
            learning_rate=0.01,
        ),
    )


CASES = tuple(case for form in FORMS for case in rows(form))
