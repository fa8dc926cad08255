"""Attention in tiles, and the layers made of it: memory, masks, modes, doors. Numbers: the table of test_layers.py."""

import tracemalloc

import numpy as np
import pytest

from puredrop import Index, Key, Tensor, keep_mask, nn, scaled_dot_product_attention
from puredrop.gradcheck import relative_error
from puredrop.streams import enumerate_masks
from puredrop.tensor import checkpoint
from puredrop.uncertainty import predict_samples

R = np.random.default_rng(0)
N, H, T, D, WIDTH = 2, 4, 7, 3, 8
K = Key(5)


def normal(*shape):
    return R.standard_normal(shape)


X = normal(N, T, WIDTH)
PRESENT = np.array([[True] * 5 + [False] * 2, [False, True, True, False, True, True, True]])  # (N, T)
NONE_IN_ROW_2 = np.arange(T)[:, None] != np.full(T, 2)  # (T, T)
ALL_KINDS = {"p": 0.2, "key_p": 0.3, "head_p": 0.2, "path_p": 0.1, "path_depth": "uniform", "layer_p": 0.3}


def gradients(f, *arrays, backend=None):
    """The output of f, and the gradients of a random sum of its numbers."""
    tensors = [Tensor(a, backend, requires_grad=True) for a in arrays]
    y = f(*tensors)
    y.backward(np.random.default_rng(1).standard_normal(y.shape))
    return [y.numpy(), *(t.grad for t in tensors)]


def encoder(**options):
    settings = {"norm_first": True, "causal": True, **ALL_KINDS, **options}
    return nn.TransformerEncoder(WIDTH, 2, 3, 10, **settings).seed(0).astype(np.float64)


class Model(nn.Module):
    """Tokens of which some are padding, 0, to scores for each sentence."""

    def __init__(self, tile=None):
        self.embedding = nn.Embedding(9, WIDTH, padding=0, p=0.1)
        self.positions = nn.SinusoidalPositions(WIDTH)
        self.dropout = nn.Dropout(0.1)
        self.blocks = nn.TransformerEncoder(WIDTH, 2, 2, 10, norm_first=True, tile=tile, **ALL_KINDS)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, ids):
        x = self.dropout(self.positions(self.embedding(ids)))
        return self.head(self.blocks(x, present=np.asarray(ids) != 0).mean(axis=1))


# --------------------------------------------------------------------------------------------------------- in tiles
@pytest.mark.parametrize("tile", [1, 3, 4, 100])
@pytest.mark.parametrize(
    ("heads", "keys", "options"),
    [
        (H, T, {}),
        (H, T, {"causal": True}),
        (H, 10, {"causal": True}),
        (H, 5, {"causal": True}),
        (2, T, {"causal": True}),
        (1, 5, {"allowed": normal(N, H, T, 5) > 0}),
        (H, T, {"allowed": PRESENT[:, None, None], "causal": True}),
        (2, T, {"allowed": NONE_IN_ROW_2, "bias": normal(H, T, T)}),
        (H, T, {"bias": np.where(NONE_IN_ROW_2, 0.5, -np.inf)}),
    ],
    ids=["open", "causal", "more keys", "fewer keys", "grouped", "one for all", "padding", "blind", "bias of -inf"],
)
def test_in_tiles_everything_is_the_same(heads, keys, options, tile, backend):
    inputs = normal(N, H, T, D), normal(N, heads, keys, D), normal(N, heads, keys, D + 1)

    def run(tile):
        return gradients(
            lambda q, k, v: scaled_dot_product_attention(q, k, v, 0.3, key=K, tile=tile, **options),
            *inputs,
            backend=backend,
        )

    for ours, plain in zip(run(tile), run(None), strict=True):
        assert relative_error(ours, plain) < 1e-12


@pytest.mark.parametrize("tile", [1, 3, 4])
def test_in_tiles_the_mask_is_the_same_bit_for_bit(tile, backend):
    """With equal logits and the identity for values the result is 0 where dropped and not 0 where kept."""
    zeros, values = np.zeros((N, H, T, D)), np.broadcast_to(np.eye(T), (N, H, T, T))
    for key in (K, tuple(Key(5, sample=t) for t in range(N))):
        y = scaled_dot_product_attention(zeros, zeros, values, 0.5, key=key, tile=tile, backend=backend)
        shape = (H, T, T) if isinstance(key, tuple) else (N, H, T, T)
        assert np.array_equal(y != 0, keep_mask(key, shape, 0.5, backend=backend))


def test_in_tiles_a_part_of_the_whole_draws_its_part():
    q, k, v = normal(N, H, T, D), normal(N, H, T, D), normal(N, H, T, D)
    whole = scaled_dot_product_attention(q, k, v, 0.5, key=K, tile=3)
    index = Index.whole((N, H, T, T))[1:, :, 2:6]
    part = scaled_dot_product_attention(q[1:, :, 2:6], k[1:], v[1:], 0.5, key=K, tile=3, index=index)
    assert relative_error(part, whole[1:, :, 2:6]) < 1e-14


@pytest.mark.parametrize("tile", [1, 2, 100])
@pytest.mark.parametrize("options", [{}, {"causal": True}, {"kv_heads": 1, "rotary": True}])
def test_in_tiles_dropped_keys_are_the_same(options, tile):
    """A query that would lose all of its keys is known before its first tile is computed."""

    def run(tile):
        layer = nn.MultiheadAttention(WIDTH, 2, 0.2, key_p=0.6, head_p=0.3, tile=tile, **options)
        layer.seed(0).astype(np.float64)
        found = gradients(lambda x: layer(x, present=PRESENT), X)
        return [*found, *(p.grad for p in layer.parameters())]

    for ours, plain in zip(run(tile), run(None), strict=True):
        assert relative_error(ours, plain) < 1e-12


def peak(tokens, tile):
    """The most bytes alive at a time in a forward and backward pass, less those alive before."""
    q, k, v = (Tensor(np.ones((1, 2, tokens, 32), np.float32), requires_grad=True) for _ in range(3))
    present = np.ones((1, 1, 1, tokens), bool)
    present[..., -3:] = False
    g = np.ones(q.shape, np.float32)
    tracemalloc.start()
    y = scaled_dot_product_attention(q, k, v, 0.1, key=K, causal=True, allowed=present, tile=tile)
    y.backward(g)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_in_tiles_memory_grows_with_the_tokens_and_not_with_their_square():
    peak(64, 32)  # what is made once and kept
    few, some, many = peak(256, 32), peak(512, 32), peak(1024, 32)
    weights = 2 * 1024 * 1024 * 4  # bytes of the weights of all heads
    assert many - some < 2.5 * (some - few), "twice as much for twice the tokens; a square would give four times"
    assert many < weights / 3
    assert peak(1024, None) > weights, "the measure sees what a whole array of weights takes"


def test_the_graph_keeps_no_mask_and_in_tiles_no_weights():
    q = Tensor(np.ones((1, 1, 256, 4), np.float32), "numpy", requires_grad=True)
    tracemalloc.start()
    y = scaled_dot_product_attention(q, q, q, 0.5, key=K)
    kept = tracemalloc.get_traced_memory()[0]
    z = scaled_dot_product_attention(q, q, q, 0.5, key=K, tile=16)
    tiled = tracemalloc.get_traced_memory()[0] - kept
    tracemalloc.stop()
    weights = 256 * 256 * 4
    assert weights < kept < 1.1 * weights
    assert tiled < weights / 10
    assert y.shape == z.shape


# ------------------------------------------------------------------------------------------------ nothing to attend to
@pytest.mark.parametrize("tile", [None, 2])
@pytest.mark.parametrize("options", [{}, {"causal": True}, {"kv_heads": 1}, {"key_p": 0.5}])
def test_an_example_of_padding_alone_attends_to_nothing(options, tile, backend):
    layer = nn.MultiheadAttention(WIDTH, 2, 0.3, tile=tile, **options).to(backend).seed(0)
    layer.out_proj.bias.fill(np.arange(8.0))
    present = np.array([[False] * T, [True] * T])
    x = Tensor(X.astype(np.float32), layer.backend, requires_grad=True)
    y = layer(x, present=present)
    (y * y).sum().backward()
    assert np.array_equal(y.numpy()[0], np.broadcast_to(np.float32(np.arange(8)), (T, 8)))
    assert np.array_equal(x.grad[0], np.zeros((T, WIDTH)))
    assert all(np.isfinite(a.grad).all() for a in (x, *layer.parameters()))
    assert x.grad[1].any()


# ------------------------------------------------------------------------------------------------------------ causal
@pytest.mark.parametrize("tile", [None, 3])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_causal_means_that_nothing_leaks_from_the_future(tile, mode):
    net = encoder(tile=tile, rotary=True, kv_heads=1)
    streams = net.random_state()
    for last in (0, 3, T - 2):
        net._set_mode(mode).load_random_state(streams)
        x = Tensor(X, requires_grad=True)
        (net(x)[:, : last + 1] * normal(N, last + 1, WIDTH)).sum().backward()
        assert np.array_equal(x.grad[:, last + 1 :], np.zeros((N, T - last - 1, WIDTH)))
        assert x.grad[:, last].all()
        net.load_random_state(streams)
        before = net(X).numpy()
        net.load_random_state(streams)
        changed = np.concatenate([X[:, : last + 1], normal(N, T - last - 1, WIDTH)], axis=1)
        assert np.array_equal(net(changed).numpy()[:, : last + 1], before[:, : last + 1])


def test_a_decoder_sees_its_past_and_all_of_the_memory():
    net = nn.TransformerDecoder(WIDTH, 2, 2, 10, 0.1).seed(0).astype(np.float64)
    x, memory = Tensor(X, requires_grad=True), Tensor(normal(N, 4, WIDTH), requires_grad=True)
    present = np.array([[True, True, False, True]] * N)
    (net(x, memory, memory_present=present)[:, 2] * normal(WIDTH)).sum().backward()  # a norm's plain sum is constant
    assert not x.grad[:, 3:].any()
    assert x.grad[:, 2].all()
    assert np.array_equal(memory.grad.any(axis=-1), present)


# ------------------------------------------------------------------------------------------------- what is dropped
def test_dropped_keys_by_the_definition():
    """Softmax over the keys that are left; a query that loses all of its keys keeps them."""
    layer = nn.MultiheadAttention(WIDTH, 2, key_p=0.8).seed(3).astype(np.float64)
    layer.drop_weights.p = 0.0
    weights = layer(X, return_weights="before", average=False)[1].numpy()
    whole = layer.eval()(X, return_weights="before", average=False)[1].numpy()
    site = [site for _, site in layer.named_sites()].index(layer.drop_keys)
    keep = keep_mask(Key(3, site=site), (N, 2, T, T), 0.8)
    some = keep.any(axis=-1, keepdims=True)
    assert 0 < some.mean() < 1, "both happen"
    expected = np.where(np.where(some, keep, True), whole, 0)
    assert relative_error(weights, expected / expected.sum(axis=-1, keepdims=True)) < 1e-13
    assert np.array_equal(weights != 0, np.broadcast_to(np.where(some, keep, True), weights.shape))


def test_dropped_heads_by_the_definition():
    """Those left count H / (how many are left)."""
    layer = nn.MultiheadAttention(WIDTH, 4, head_p=0.6).seed(0).astype(np.float64)
    layer.drop_weights.p = 0.0
    layer.out_proj.weight.fill(np.eye(WIDTH))
    x = np.repeat(X, 8, axis=0)  # (16, T, WIDTH)
    site = [site for _, site in layer.named_sites()].index(layer.drop_heads)
    keep = keep_mask(Key(0, site=site), (16, 4), 0.6)
    left = keep.sum(axis=1, keepdims=True)
    factors = np.repeat(np.where(keep, 4 / np.maximum(left, 1), 0), WIDTH // 4, axis=1)  # (16, WIDTH)
    y = layer(x).numpy()
    assert left.min() == 0
    assert relative_error(y, layer.eval()(x).numpy() * factors[:, None]) < 1e-14


def test_dropped_layers_are_as_many_as_they_should_be():
    """Of 1000 times 4 gates: within five standard deviations; gates are independent of one another."""
    net = nn.TransformerEncoder(2, 1, 4, 1, 0.0, layer_p=[0.1, 0.3, 0.5, 0.8]).seed(0)
    ran = np.zeros((1000, 4))
    for number, layer in enumerate(net.layers):
        layer.forward = lambda x, number=number, **masks: x + 10.0**number
    x = np.zeros((1, 1, 2))
    for step in range(len(ran)):
        digits = f"{int(net(x).numpy()[0, 0, 0]):04d}"
        ran[step] = [int(digit) for digit in reversed(digits)]
    rates = np.array([0.1, 0.3, 0.5, 0.8])
    deviations = np.sqrt(rates * (1 - rates) / len(ran))
    assert (np.abs(1 - ran.mean(axis=0) - rates) < 5 * deviations).all()
    pairs = np.corrcoef(ran.T)[np.triu_indices(4, 1)]
    assert np.abs(pairs).max() < 5 / np.sqrt(len(ran))


def test_attention_dropout_keeps_the_mean_exactly():
    """Over all masks of four weights, each with its probability; in tiles too."""
    for tile in (None, 1):
        layer = nn.MultiheadAttention(2, 1, 0.3, tile=tile).seed(0).astype(np.float64)
        x = normal(1, 2, 2)
        weighted = list(enumerate_masks(lambda layer=layer, x=x: layer(x).numpy()))
        assert len(weighted) == 16
        mean = sum(probability * y for probability, y in weighted)
        assert relative_error(mean, layer.eval()(x).numpy()) < 1e-13


# ------------------------------------------------------------------------------------------------------ modes, samples
def test_modes():
    net = encoder()
    first, second = net(X).numpy(), net(X).numpy()
    assert not np.array_equal(first, second), "each training step draws anew"
    assert np.array_equal(encoder()(X).numpy(), first), "from the seed"
    still = net.eval()(X).numpy()
    assert np.array_equal(net(X).numpy(), still)
    assert not np.array_equal(net.sample()(X).numpy(), net(X).numpy())
    state = net.random_state()
    net(X)
    assert net.random_state() == state, "samples touch no counter"


@pytest.mark.parametrize("tile", [None, 3])
def test_samples_in_flight_are_those_of_a_loop(tile, backend):
    ids = R.integers(0, 9, (3, 4))
    ids[:, 0] = 3
    net = Model(tile).to(backend).seed(0).astype(np.float64).sample()
    loop = np.array([net(ids).numpy() for _ in range(4)])
    assert relative_error(predict_samples(net, ids, samples=4), loop) < 1e-12
    assert relative_error(predict_samples(net, ids, samples=4, batch_size=2), loop) < 1e-12
    assert len({y.tobytes() for y in loop}) == 4


class Turned(nn.Module):
    """A stack with the tokens first, as one with the batch first."""

    def __init__(self, **options):
        self.inner = encoder(batch_first=False, **options)

    def forward(self, x):
        return turned(self.inner(turned(x)))


def turned(x):
    return x.swapaxes(0, 1)


def test_with_the_tokens_first_the_masks_are_the_same():
    first, other = encoder(), Turned().seed(0)
    for _ in range(3):
        assert relative_error(other(X).numpy(), first(X).numpy()) < 1e-12
    ours, theirs = (predict_samples(model, X, samples=6) for model in (other, first))
    assert relative_error(ours, theirs) < 1e-12
    layer = nn.TransformerDecoderLayer(WIDTH, 2, 10, p=0.3, batch_first=False).seed(0).astype(np.float64)
    same = nn.TransformerDecoderLayer(WIDTH, 2, 10, p=0.3).seed(0).astype(np.float64)
    assert relative_error(layer(turned(X), turned(X[:, :4])).numpy(), turned(same(X, X[:, :4]).numpy())) < 1e-12


def test_samples_with_masks_for_the_pass_are_functions():
    """One mask for the batch: equal examples have equal outputs."""
    ids = np.tile(R.integers(1, 9, (1, 6)), (4, 1))
    net = Model().seed(0).astype(np.float64)
    y = predict_samples(net, ids, samples=5, masks="pass")
    assert relative_error(y, np.broadcast_to(y[:, :1], y.shape)) < 1e-13
    assert relative_error(predict_samples(net, ids, samples=5, masks="pass", batch_size=3), y) < 1e-13
    own = predict_samples(net, ids, samples=5)
    assert (np.abs(own - own[:, :1]).max(axis=(0, 2))[1:] > 1e-3).all()


@pytest.mark.parametrize("tile", [None, 3])
def test_checkpoints_draw_the_same_again(tile):
    def run(through):
        net = encoder(tile=tile)
        found = gradients(lambda x: through(net, x), X)
        return [*found, *(p.grad for p in net.parameters() if p.grad is not None)], net.random_state()

    plain, state = run(lambda net, x: net(x))
    again, same_state = run(lambda net, x: checkpoint(net, x))
    assert state == same_state
    assert len(plain) == len(again) > 20
    assert all(np.array_equal(a, b) for a, b in zip(plain, again, strict=True))


def test_tokens_dropped_in_a_model_of_patches_and_words():
    """Patches are removed behind the positions, words replaced in front of the table."""
    patches = nn.Sequential(
        nn.Linear(3, WIDTH),
        nn.LearnedPositions(9, WIDTH),
        nn.PatchDropout(0.5, prefix=1),
        nn.TransformerEncoder(WIDTH, 2, 1, 8),
    ).seed(0)
    assert patches(np.ones((2, 9, 3), np.float32)).shape == (2, 5, WIDTH)
    assert patches.eval()(np.ones((2, 9, 3), np.float32)).shape == (2, 9, WIDTH)
    words = nn.Sequential(nn.WordDropout(1.0, unknown=1, protected=0), nn.Embedding(9, WIDTH, padding=0)).seed(0)
    table = words[1].weight.numpy()
    assert np.array_equal(words(np.array([[0, 5, 7]])).numpy(), table[[[0, 1, 1]]])


# ---------------------------------------------------------------------------------------------- positions, embedding
def test_turned_products_depend_on_the_distance_alone():
    turned = nn.RotaryPositions(6)
    q, k = (np.broadcast_to(normal(6), (5, 6)) for _ in range(2))
    logits = turned(q).numpy() @ turned(k).numpy().T  # (5, 5)
    for distance in range(-4, 5):
        assert np.ptp(np.diagonal(logits, distance)) < 1e-13
    assert np.ptp(logits[0]) > 0.1
    assert np.allclose(np.linalg.norm(turned(q).numpy(), axis=-1), np.linalg.norm(q, axis=-1), rtol=1e-14)


def test_padding_learns_nothing():
    layer = nn.Embedding(5, 3, padding=2).seed(0)
    (layer(np.array([[2, 1], [2, 4]])) * 2.0).sum().backward()
    assert np.array_equal(layer.weight.grad.any(axis=1), [False, True, False, False, True])
    assert not layer.weight.numpy()[2].any()


# ------------------------------------------------------------------------------------------------- beside PyTorch's
@pytest.mark.parametrize("norm_first", [True, False])
def test_state_goes_both_ways(torch, norm_first):
    """Names and shapes are PyTorch's, and so are the outputs of its evaluation mode."""
    options = {"norm_first": norm_first}
    pairs = [
        (nn.MultiheadAttention(8, 2), torch.nn.MultiheadAttention(8, 2, batch_first=True), 3),
        (
            nn.MultiheadAttention(8, 2, key_width=5, value_width=8, bias=False),
            torch.nn.MultiheadAttention(8, 2, kdim=5, vdim=8, bias=False, batch_first=True),
            0,
        ),
        (
            nn.TransformerEncoderLayer(8, 2, 10, **options),
            torch.nn.TransformerEncoderLayer(8, 2, 10, batch_first=True, **options),
            1,
        ),
        (
            nn.TransformerDecoderLayer(8, 2, 10, causal=False, **options),
            torch.nn.TransformerDecoderLayer(8, 2, 10, batch_first=True, **options),
            2,
        ),
    ]
    for ours, theirs, inputs in pairs:
        ours.seed(0).eval()
        theirs.eval()
        shapes = {name: tuple(value.shape) for name, value in theirs.state_dict().items()}
        assert {name: value.shape for name, value in ours.state_dict().items()} == shapes
        theirs.load_state_dict({name: torch.tensor(value) for name, value in ours.state_dict().items()})
        if inputs:
            x = [X.astype(np.float32)] * inputs
            expected = theirs(*map(torch.tensor, x))
            expected = expected[0] if isinstance(expected, tuple) else expected
            assert relative_error(ours(*x).numpy(), expected.detach().numpy()) < 2e-6


def test_first_numbers_follow_pytorchs_laws(torch):
    """Glorot's bound for the projections, 1 / sqrt(width) for the last product, zeros for the biases of attention."""
    ours, theirs = nn.MultiheadAttention(32, 4).seed(0), torch.nn.MultiheadAttention(32, 4)
    for name, value in theirs.state_dict().items():
        a, b = ours.state_dict()[name], value.numpy()
        assert np.isclose(np.abs(a).max(), np.abs(b).max(), rtol=0.02), name
        assert np.isclose(a.std(), b.std(), rtol=0.1), name


# ----------------------------------------------------------------------------------------------------------- the door
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.MultiheadAttention(8, 3), ValueError, "heads must divide the width, got 3 heads and width 8"),
        (lambda: nn.MultiheadAttention(8, 4, kv_heads=3), ValueError, "kv_heads must divide the heads, got 3 and 4"),
        (lambda: nn.MultiheadAttention(8, 0), ValueError, "heads must be 1 or more"),
        (lambda: nn.MultiheadAttention(8, 2, 1.5), ValueError, r"p must lie in \[0, 1\]"),
        (lambda: nn.MultiheadAttention(8, 2, np.full(4, 0.5)), TypeError, r"p must be one number in \[0, 1\]"),
        (lambda: nn.MultiheadAttention(8, 2, key_p=-0.5), ValueError, r"p must lie in \[0, 1\]"),
        (lambda: nn.MultiheadAttention(8, 2, tile=0), ValueError, "tile must be 1 or more"),
        (lambda: nn.MultiheadAttention(6, 2, rotary=True), ValueError, "width must be even, got 3"),
        (lambda: nn.TransformerEncoderLayer(8, 2, 0), ValueError, "hidden must be 1 or more"),
        (lambda: nn.TransformerEncoderLayer(8, 2, activation="tanh"), ValueError, "must be 'relu' or 'gelu', got 'tan"),
        (lambda: nn.TransformerEncoder(8, 2, 0), ValueError, "layers must be 1 or more"),
        (lambda: nn.TransformerEncoder(8, 2, 2, path_p=0.1), ValueError, "path_p needs path_depth"),
        (lambda: nn.TransformerEncoder(8, 2, 2, layer_p=[0.1]), ValueError, "one for each of 2 layers"),
        (lambda: nn.Embedding(5, 3, padding=5), ValueError, r"padding must be a token in \[0, 5\), got 5"),
        (lambda: nn.SinusoidalPositions(0), ValueError, "width must be 1 or more"),
    ],
)
def test_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: f(X[..., :5]), ValueError, r"query must be \(2, tokens, 8\), got shape \(2, 7, 5\)"),
        (lambda f: f(X[0]), ValueError, r"query must be \(7, tokens, 8\), got shape \(7, 8\)"),
        (lambda f: f(X, X[:1]), ValueError, r"key must be \(2, tokens, 8\), got shape \(1, 7, 8\)"),
        (lambda f: f(X, X, X[:, :3]), ValueError, "must have equally many tokens, got 7 and 3"),
        (lambda f: f(X, present=PRESENT.astype(int)), ValueError, r"present must be boolean .* got int64 of shape"),
        (lambda f: f(X, present=PRESENT[:, :3]), ValueError, r"present must be boolean .* of shape \(2, 7\), got bool"),
        (lambda f: f(X, allowed=np.ones((T, T))), TypeError, "allowed must be boolean"),
        (lambda f: f(X, allowed=np.ones((T, 3), bool)), ValueError, r"allowed must broadcast to .* \(2, 2, 7, 7\)"),
        (lambda f: f(X, bias=np.ones((T, T), int)), TypeError, "bias must be floating-point"),
        (lambda f: f(X, return_weights="both"), ValueError, "return_weights must be None, 'before' or 'after'"),
    ],
)
def test_arguments_of_the_call(call, error, message):
    layer = nn.MultiheadAttention(WIDTH, 2, 0.5).seed(0).astype(np.float64)
    state = layer.random_state()
    with pytest.raises(error, match=message):
        call(layer)
    assert layer.random_state() == state, "a call that is refused draws nothing"


def test_arguments_of_the_calls_of_positions_and_tables():
    with pytest.raises(ValueError, match="x has 3 tokens and the table 2 positions"):
        nn.LearnedPositions(2, 4).seed(0)(np.ones((1, 3, 4), np.float32))
    with pytest.raises(ValueError, match=r"RotaryPositions: x must be \(..., T, 4\), got shape \(3, 6\)"):
        nn.RotaryPositions(4)(np.ones((3, 6)))
    with pytest.raises(ValueError, match=r"Embedding: ids must lie in \[0, 5\), got 0 to 5"):
        nn.Embedding(5, 3).seed(0)(np.array([0, 5]))
    with pytest.raises(TypeError, match="Embedding: ids must be whole numbers"):
        nn.Embedding(5, 3).seed(0)(np.array([0.0]))
    with pytest.raises(ValueError, match="weights and masks exist tile by tile only"):
        scaled_dot_product_attention(X, X, X, tile=2, return_weights="before")
    layer = nn.MultiheadAttention(WIDTH, 2, 0.5)
    with pytest.raises(RuntimeError, match=r"'in_proj_weight' has no numbers yet; call \.seed"):
        layer(X)
    layer.seed(0).astype(np.float64).load_random_state({})
    with pytest.raises(RuntimeError, match=r"has nothing to draw with; call \.seed"):
        layer(X)
    assert layer.eval()(X).shape == X.shape


# ------------------------------------------------------------------------------------------------------------ diagnose
def test_a_dropout_behind_a_stack_is_found():
    """What layers of attention drop is in their branches; that the outputs are dropped is seen all the same."""
    net = nn.Sequential(nn.TransformerEncoder(WIDTH, 2, 2, 10, 0.6), nn.Dropout(0.2)).seed(0)
    for inputs in ((), (X.astype(np.float32),)):
        assert [(f.layer, f.problem) for f in nn.diagnose(net, *inputs)] == [("1", "drops the outputs of the model")]


def test_sound_transformers_have_no_findings():
    ids = R.integers(1, 9, (4, 6))
    for net, inputs in (
        (Model().seed(0), (ids,)),
        (Model(tile=2).seed(0), (ids,)),
        (encoder().astype(np.float32), (X.astype(np.float32),)),
        (nn.TransformerEncoder(WIDTH, 2, 2, 10).seed(0), (X.astype(np.float32),)),
        (nn.TransformerDecoder(WIDTH, 2, 2, 10).seed(0), (X.astype(np.float32), X.astype(np.float32))),
        (nn.TransformerEncoderLayer(WIDTH, 2, 10, norm_first=True).seed(0), (X.astype(np.float32),)),
        (nn.MultiheadAttention(WIDTH, 2, 0.1).seed(0), (X.astype(np.float32),)),
    ):
        assert nn.diagnose(net) == []
        assert nn.diagnose(net, *inputs) == []
        assert nn.diagnose(net.eval(), *inputs, purpose="prediction") == []
