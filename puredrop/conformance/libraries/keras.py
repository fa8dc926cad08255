"""Keras, on the backend that it runs on."""

from __future__ import annotations

from types import MappingProxyType

from .cases import SEQUENCES
from .row import LibraryRow

# Layers whose input weights are the unit matrix, whose other weights are zero and whose gates are open: what is left is
# the dropout of their inputs.
RECURRENT = """
def recurrent(kind, p, seed, **options):
    def call(x, training):
        size = x.shape[-1]
        layer = kind(size, activation="linear", dropout=p, seed=seed, return_sequences=True, **options)
        layer.build(x.shape)
        kernel, recurrent_kernel, bias = (np.zeros(w.shape, "float32") for w in layer.get_weights())
        if kind is keras.layers.LSTM:  # input, forget, candidate, output
            kernel[:, 2 * size : 3 * size] = np.eye(size)
            bias[:size] = bias[3 * size :] = 1
        else:  # update, reset, candidate; or the candidate alone
            kernel[:, -size:] = np.eye(size)
        layer.set_weights([kernel, recurrent_kernel, bias])
        return layer(x, training=training)

    return call
"""
POLICY = MappingProxyType({"half precision": "a layer computes in the dtype of its policy, float32 if nothing is said"})
SMALL = ("runs", "shape", "scale", "values", "shared axes", "p = 0", "p = 1", "evaluation", "rate errors", "seeds")


def keras_row(operation: str, like: object, expression: str, **more: object) -> LibraryRow:
    """A row of Keras."""
    settings: dict[str, object] = {"arrays": "keras", "documented": POLICY, **more}
    return LibraryRow("keras", operation, like, expression, **settings)  # type: ignore[arg-type]


ROWS = (
    keras_row("Dropout", "dropout", "keras.layers.Dropout(p, seed=seed)"),
    keras_row("SpatialDropout1D", SEQUENCES, "keras.layers.SpatialDropout1D(p, seed=seed)"),
    keras_row("SpatialDropout2D", "dropout2d", 'keras.layers.SpatialDropout2D(p, "channels_first", seed=seed)'),
    keras_row("SpatialDropout3D", "dropout3d", 'keras.layers.SpatialDropout3D(p, "channels_first", seed=seed)'),
    keras_row("AlphaDropout", "alpha_dropout", "keras.layers.AlphaDropout(p, seed=seed)"),
    keras_row("GaussianDropout", "gaussian_dropout", "keras.layers.GaussianDropout(p, seed=seed)"),
    keras_row(
        "GaussianNoise", "gaussian_noise", "keras.layers.GaussianNoise(p, seed=seed)", rates=(0.0, 0.1, 0.5, 0.9)
    ),
    keras_row(
        "LSTM(dropout=)",
        SEQUENCES,
        'recurrent(keras.layers.LSTM, p, seed, recurrent_activation="linear")',
        setup=RECURRENT,
        only=SMALL,
    ),
    keras_row(
        "LSTM(dropout=, implementation=1)",
        SEQUENCES,
        'recurrent(keras.layers.LSTM, p, seed, recurrent_activation="linear", implementation=1)',
        setup=RECURRENT,
        only=SMALL,
    ),
    keras_row(
        "GRU(dropout=)",
        SEQUENCES,
        'recurrent(keras.layers.GRU, p, seed, recurrent_activation="linear")',
        setup=RECURRENT,
        only=SMALL,
    ),
    keras_row(
        "SimpleRNN(dropout=)", SEQUENCES, "recurrent(keras.layers.SimpleRNN, p, seed)", setup=RECURRENT, only=SMALL
    ),
)
