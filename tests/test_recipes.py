"""What the recipes show runs as written."""

import re
from pathlib import Path

import numpy as np
import pytest

import puredrop

DOCS = Path(__file__).parent.parent / "docs"
TEXT = (DOCS / "recipes.md").read_text()
TITLES = re.findall(r"^## (.+)$", TEXT, flags=re.MULTILINE)
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def run(title):
    names = {"__name__": "recipe"}
    exec(BLOCKS[TITLES.index(title)], names)
    return names


def test_every_recipe_has_one_block():
    assert len(TITLES) == len(BLOCKS) == 4
    assert [block for block in BLOCKS if "assert " not in block] == []


@pytest.mark.parametrize("title", TITLES)
def test_recipes_run_as_written(title):
    run(title)


STREAMS = re.findall(r"```python\n(.*?)```", (DOCS / "streams.md").read_text(), flags=re.DOTALL)


def test_the_first_example_of_the_streams_gives_what_pytorch_draws(torch):
    names = {}
    exec(STREAMS[0], names)
    torch.manual_seed(0)
    expected = torch.nn.functional.dropout(torch.ones(4, 8), 0.1)
    assert np.array_equal(names["y"], expected.numpy())
    assert np.array_equal(names["state"], torch.get_rng_state().numpy())


def test_the_second_example_of_the_streams_gives_what_jax_draws():
    jax = pytest.importorskip("jax")
    names = {"puredrop": puredrop, "np": np}
    exec(STREAMS[1], names)
    for key, y in zip(jax.random.split(jax.random.key(0)), (names["y"], names["z"]), strict=True):
        assert np.array_equal(y != 0, jax.random.bernoulli(key, 0.9, (4, 8)))


def test_the_third_example_of_the_streams_shows_words_that_are_used_twice():
    assert len(STREAMS) == 3
    exec(STREAMS[2], {})


UNCERTAINTY = {
    f"{page} {number}": block
    for page in ("prediction.md", "posteriors.md")
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), flags=re.DOTALL), 1)
}


@pytest.mark.parametrize("block", UNCERTAINTY)
def test_the_pages_on_uncertainty_run_as_written(block):
    assert "assert " in UNCERTAINTY[block]
    exec(UNCERTAINTY[block], {"__name__": "page"})


@pytest.mark.parametrize(
    "page",
    ["recipes.md", "variants.md", "posteriors.md", "prediction.md", "uncertainty.md", "reproduce.md", "choosing.md"],
)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)]+)\)", (DOCS / page).read_text())
    assert links
    assert [link for link in links if not leads_somewhere(page, *link.partition("#"))] == []


def leads_somewhere(page, target, mark, anchor):
    """Whether there is such a file, and such a heading in it."""
    place = DOCS / (target or page)
    return place.exists() and (not mark or anchor in anchors(place.read_text()))


def anchors(text):
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_without_dropout_the_keras_recipe_is_the_lstm_of_pytorch(torch):
    names = run("Keras' recurrent masks")
    kernel, recurrent_kernel, bias = names["weights"]
    layer = torch.nn.LSTM(names["D"], names["H"], batch_first=True)
    with torch.no_grad():
        for parameter, values in (
            (layer.weight_ih_l0, kernel.T),
            (layer.weight_hh_l0, recurrent_kernel.T),
            (layer.bias_ih_l0, bias),
            (layer.bias_hh_l0, 0 * bias),
        ):
            parameter.copy_(torch.tensor(values))
        _, (h, _) = layer(torch.tensor(names["x"]))
    assert np.allclose(names["plain"], h[0].numpy(), atol=1e-6)
