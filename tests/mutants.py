"""A right dropout, and wrong ones: each has one fault, and names the checks that are allowed to find it.

A mutant is a function of (x, p, seed, training), or a pair (forward, backward).
"""

import time

import numpy as np


def drawn(shape, seed):
    return np.random.default_rng([seed, 99]).random(shape, np.float32).astype(np.float64)


def right(x, p, seed, training=True):
    """What all mutants are made of."""
    refuse(p)
    if not training or p == 0:
        return x.copy()
    return scaled(x, drawn(x.shape, seed) >= p, p)


def refuse(p):
    if not 0 <= p <= 1:
        raise ValueError(f"p must lie in [0, 1], got {p}")


def scaled(x, keep, p, scale=None):
    if p == 1:
        return np.zeros_like(x)
    scale = 1 / (1 - p) if scale is None else scale
    y = np.where(keep, x.astype(np.float64) * scale, 0.0)
    return y if x.dtype.kind == "i" else y.astype(x.dtype)


def made(keep=None, scale=None):
    """A mutant with another mask, keep(shape, p, seed), or another scale(p)."""

    def mutant(x, p, seed, training=True):
        refuse(p)
        if not training or p == 0:
            return x.copy()
        kept = keep(x.shape, p, seed) if keep else drawn(x.shape, seed) >= p
        return scaled(x, np.broadcast_to(kept, x.shape), p, scale(p) if scale and p < 1 else None)

    return mutant


def repeats_rows(shape, p, seed):
    if not shape:
        return drawn(shape, seed) >= p
    return (drawn((min(32, max(1, shape[0])), *shape[1:]), seed) >= p)[np.arange(shape[0]) % 32]


def repeats_columns(shape, p, seed):
    if len(shape) < 2:
        return drawn(shape, seed) >= p
    return (drawn((*shape[:-1], min(64, max(1, shape[-1]))), seed) >= p)[..., np.arange(shape[-1]) % 64]


def shares_a_bit(shape, p, seed):
    if not shape:
        return drawn(shape, seed) >= p
    small = drawn((*shape[:-1], -(-shape[-1] // 2)), seed) >= p
    return np.repeat(small, 2, axis=-1)[..., : shape[-1]]


def same_on_every_shard(shape, p, seed):
    if not shape or shape[0] < 2 or shape[0] % 2:
        return drawn(shape, seed) >= p
    half = drawn((shape[0] // 2, *shape[1:]), seed) >= p
    return np.concatenate([half, half])


def shifts_with_the_seed(shape, p, seed):
    if not shape or 0 in shape:
        return drawn(shape, seed) >= p
    return np.roll(drawn(shape, 0), seed, axis=0) >= p


def bytes_only(shape, p, seed):
    return np.floor(drawn(shape, seed) * 256) >= np.floor(p * 256)


def one_byte_too_many(shape, p, seed):
    return np.floor(drawn(shape, seed) * 256) > np.floor(p * 256)  # > where >= is meant


def one_mask(x, p, seed, training=True):
    return right(x, p, 0, training)


def ignores_the_seed(x, p, seed, training=True):
    return right(x, p, int(time.perf_counter_ns() % 2**32), training)


def drops_in_evaluation(x, p, seed, training=True):
    return right(x, p, seed)


def scales_in_evaluation(x, p, seed, training=True):
    return right(x, p, seed) if training else (x * (1 - p)).astype(x.dtype)


def drops_at_0(x, p, seed, training=True):
    return right(x, p or 0.02, seed, training)


def multiplies(x, p, seed, training=True):
    refuse(p)
    if not training or p in (0, 1):
        return right(x, p, seed, training)
    y = x.astype(np.float64) * (drawn(x.shape, seed) >= p) / (1 - p)
    return y if x.dtype.kind == "i" else y.astype(x.dtype)


def divides_by_zero(x, p, seed, training=True):
    refuse(p)
    if not training:
        return x.copy()
    with np.errstate(all="ignore"):
        y = np.where(drawn(x.shape, seed) >= p, x, 0) / np.float64(1 - p)
    return y if x.dtype.kind == "i" else y.astype(x.dtype)


def rounds_the_scale(x, p, seed, training=True):
    refuse(p)
    if not training or p in (0, 1) or x.dtype.kind == "i":
        return right(x, p, seed, training)
    return np.where(drawn(x.shape, seed) >= p, x * x.dtype.type(1 / (1 - p)), x.dtype.type(0))


def works_in_half(x, p, seed, training=True):
    return right(x.astype(np.float16), p, seed, training).astype(x.dtype) if x.dtype.kind == "f" else right(x, p, seed)


def widens(x, p, seed, training=True):
    return right(x.astype(np.float64), p, seed, training)


def truncates(x, p, seed, training=True):
    return right(x, p, seed, training).astype(x.dtype)


def flattens(x, p, seed, training=True):
    return right(x, p, seed, training).ravel()


def works_in_place(x, p, seed, training=True):
    x[...] = right(x, p, seed, training)
    return x


def follows_memory(x, p, seed, training=True):
    y = np.empty_like(x)
    if x.dtype.kind == "i":
        return right(x, p, seed, training)
    order = "F" if x.ndim > 1 and x.flags.f_contiguous and not x.flags.c_contiguous else "C"
    y[...] = right(x.ravel(order), p, seed, training).reshape(x.shape, order=order)
    return y


def talks(x, p, seed, training=True):
    print("dropping with", p)
    return right(x, p, seed, training)


def takes_any_rate(x, p, seed, training=True):
    return right(x, min(max(p, 0.0), 1.0) if p == p else 0.0, seed, training)


def fails_on_scalars(x, p, seed, training=True):
    len(x)
    return right(x, p, seed, training)


def broken(x, p, seed, training=True):
    raise RuntimeError("no dropout today")


def backward(g, p, seed):
    return right(g, p, seed)


def backward_unmasked(g, p, seed):
    return g * (1 / (1 - p)) if p < 1 else np.zeros_like(g)


def backward_unscaled(g, p, seed):
    return np.where(drawn(g.shape, seed) >= p, g, 0) if p < 1 else np.zeros_like(g)


def backward_of_another_mask(g, p, seed):
    return right(g, p, seed + 1)


def backward_by_multiplying(g, p, seed):
    return multiplies(g, p, seed)


def backward_nan_at_1(g, p, seed):
    with np.errstate(all="ignore"):
        return g * ((drawn(g.shape, seed) >= p) / np.float64(1 - p))


# name -> (mutant, the check that names the fault, a word of its sentence)
MUTANTS = {
    "not scaled": (made(scale=lambda p: 1), "scale", "it is not scaled by 1 / (1 - p)"),
    "scaled by 1 / p": (made(scale=lambda p: 1 / p), "scale", "it is scaled by 1 / p"),
    "scale off by one per cent": (made(scale=lambda p: 1.01 / (1 - p)), "scale", "1.01 times"),
    "p is off by one per cent": (made(lambda s, p, seed: drawn(s, seed) >= p * 1.01), "rate", "share dropped is 0.50"),
    "p inverted": (made(lambda s, p, seed: drawn(s, seed) < p), "rate", "p is taken for the probability of keeping"),
    "rows repeat": (made(repeats_rows), "rows", "only 32 of 512 rows of the mask differ"),
    "columns repeat": (made(repeats_columns), "columns", "columns at distance 64 agree in 1.0000"),
    "a bit is shared": (made(shares_a_bit), "neighbours", "of 4 neighbours"),
    "shards are alike": (made(same_on_every_shard), "shards", "shards 0 and 1 of 2 agree"),
    "calls are shifted": (made(shifts_with_the_seed), "calls", "shifted by a row, agree"),
    "one mask for all calls": (one_mask, "calls", "the mask is reused"),
    "the seed is ignored": (ignores_the_seed, "seeds", "the same seed gave two different results"),
    "thresholds of a byte": (made(bytes_only), "small rates", "share dropped is 0.000"),
    "threshold off by one": (made(one_byte_too_many), "rate", "share dropped is 0.50"),
    "drops in evaluation": (drops_in_evaluation, "evaluation", "still drops"),
    "scales in evaluation": (scales_in_evaluation, "evaluation", "must give x"),
    "drops at p = 0": (drops_at_0, "p = 0", "must drop nothing"),
    "multiplies by the mask": (multiplies, "nonfinite", "do not multiply by the mask"),
    "minus zero": (multiplies, "signed zero", "becomes -0.0"),
    "divides by 1 - p at p = 1": (divides_by_zero, "p = 1", "not finite"),
    "rounds the scale to float16": (rounds_the_scale, "half precision", "the scale itself is rounded"),
    "works in float16": (works_in_half, "values", "does not have the values"),
    "widens": (widens, "dtype", "float32 in gives float64 out"),
    "truncates whole numbers": (truncates, "whole numbers", "rounded values"),
    "flattens": (flattens, "shape", "the result has shape"),
    "works in place": (works_in_place, "untouched", "input 0 was changed"),
    "follows memory": (follows_memory, "layout", "another result from the same seed"),
    "talks": (talks, "silence", "prints 'dropping with"),
    "takes any rate": (takes_any_rate, "rate errors", "p = -0.1 is accepted"),
    "fails on scalars": (fails_on_scalars, "shapes", "raises: TypeError"),
    "broken": (broken, "runs", "raises: RuntimeError: no dropout today"),
    "gradient unmasked": ((right, backward_unmasked), "gradient mask", "not zero where x was dropped"),
    "gradient of another mask": ((right, backward_of_another_mask), "gradient mask", "mask of the result"),
    "gradient unscaled": ((right, backward_unscaled), "gradient scale", "lacks the scale 1 / (1 - p)"),
    "gradient multiplied": ((right, backward_by_multiplying), "nonfinite gradient", "select, do not multiply"),
    "gradient NaN at p = 1": ((right, backward_nan_at_1), "gradient at p = 1", "is NaN"),
}
