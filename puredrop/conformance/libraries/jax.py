"""JAX, and what is written for it: Flax, Equinox, Haiku."""

from __future__ import annotations

from .row import LibraryRow

ATTENTION = (
    "flax.linen.dot_product_attention(x[None, :, None], x2[None, :, None], x3[None, :, None], dropout_rng=key, "
    "dropout_rate=p, broadcast_dropout=False, deterministic=not training)[0, :, 0]"
)


def jax_row(library: str, operation: str, like: str, expression: str, **more: object) -> LibraryRow:
    """A row of a library for JAX."""
    settings: dict[str, object] = {"arrays": "jax", "setup": f"import {more.get('package') or library}\n", **more}
    return LibraryRow(library, operation, like, expression, **settings)  # type: ignore[arg-type]


JAX = (
    jax_row(
        "jax",
        "random.bernoulli as a mask",
        "dropout",
        "jnp.where(jax.random.bernoulli(key, 1 - p, x.shape), x / (1 - p), 0)",
        only=("runs", "values", "seeds", "rate", "small rates", "rows", "columns", "neighbours", "shards", "calls"),
    ),
)

FLAX = (
    jax_row(
        "flax",
        "linen.Dropout",
        "dropout",
        'flax.linen.Dropout(p, deterministic=not training).apply({}, x, rngs={"dropout": key})',
        setup="import flax.linen\n",
    ),
    jax_row(
        "flax",
        "linen.Dropout(broadcast_dims=)",
        "dropout2d",
        'flax.linen.Dropout(p, (2, 3), deterministic=not training).apply({}, x, rngs={"dropout": key})',
        setup="import flax.linen\n",
    ),
    jax_row(
        "flax",
        "nnx.Dropout",
        "dropout",
        "flax.nnx.Dropout(p, deterministic=not training, rngs=flax.nnx.Rngs(dropout=key))(x)",
        setup="import flax.nnx\n",
    ),
    jax_row(
        "flax",
        "linen.dot_product_attention",
        "scaled_dot_product_attention",
        ATTENTION,
        setup="import flax.linen\n",
    ),
)

EQUINOX = (jax_row("equinox", "nn.Dropout", "dropout", "equinox.nn.Dropout(p)(x, key=key, inference=not training)"),)

HAIKU = (jax_row("haiku", "dropout", "dropout", "haiku.dropout(key, p, x)", distribution="dm-haiku"),)

ROWS = (*JAX, *FLAX, *EQUINOX, *HAIKU)
