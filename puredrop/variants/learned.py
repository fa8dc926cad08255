"""Noise whose size is learned: rates and variances that are parameters of the model. And masks that stay fixed."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .. import ops, streams
from ..ops.weights import straight_through
from ..random import PERMUTATION, Index, Key, Keys, bernoulli
from ..tensor import Tensor, raw
from .door import checked_array, checked_key, fitting_index, unchanged
from .gates import spread_keys
from .noise import normal_array, required_key, uniform_array
from .special import mean_kept, sparse_log_alpha

__all__ = [
    "concrete_dropout",
    "local_reparametrisation_linear",
    "masksembles",
    "sparse_variational_linear",
    "spatial_concrete_dropout",
    "variational_gaussian_dropout",
]


def variational_gaussian_dropout(
    x: Any,
    log_alpha: Any,
    max_alpha: float = math.inf,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    shared: int | Sequence[int] = (),
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Gaussian dropout whose variance alpha is learned: type A of variational dropout.

    Math: y = x (1 + sqrt(a) e), e ~ N(0, 1), a = min(exp(log_alpha), max_alpha); E[y] = x, Var[y] = a x^2. Gradient:
        dx = g (1 + sqrt(a) e), dlog_alpha = g x sqrt(a) e / 2 where a < max_alpha, else 0: exact, by
        reparametrisation. Evaluation and max_alpha = 0 give x. alpha = p / (1 - p) has the variance of dropout at
        rate p; the paper keeps alpha <= 1. Add `log_uniform_kl(log_alpha)` to the loss (its prior is improper, so that
        the sum is no true evidence bound: Hron et al., 2018).
    Shapes: x any; log_alpha a number, or an array or tensor that broadcasts to x; y like x. One draw along each of the
        `shared` axes; `index` says which part of a global noise x is.
    Dtypes: float32, float64; y like x.
    Draws: one normal an element of the noise, at (key, element number). `mask=` takes e itself; `return_mask=True`
        gives (y, e).
    Raises: TypeError for whole-number x or parameters that are no numbers; ValueError for a log_alpha that is not
        finite or does not broadcast to x, a negative or NaN max_alpha, or no key.
    Reference: Kingma, Salimans & Welling, "Variational dropout and the local reparameterization trick" (2015).

    >>> from puredrop import Key
    >>> y = variational_gaussian_dropout(np.ones(10000), np.log(0.25), key=Key(0))
    >>> abs(y.mean() - 1) < 0.02 and abs(y.var() - 0.25) < 0.02
    np.True_
    """
    name = "variational_gaussian_dropout"
    x = checked_array(name, x)
    log_alpha = _limited(name, _parameter(name, "log_alpha", log_alpha, x.dtype, x.shape), max_alpha, backend)
    if not training or max_alpha == 0:
        return (unchanged(x), np.zeros(x.shape, x.dtype)) if return_mask else unchanged(x)
    e = _drawn(name, normal_array, x, x.shape, key, index, shared, mask, backend)
    y = x * (1 + ops.exp(0.5 * log_alpha, backend=_of(log_alpha, backend)) * e)
    return (y, e) if return_mask else y


def local_reparametrisation_linear(
    x: Any,
    weight: Any,
    log_alpha: Any,
    bias: Any = None,
    max_alpha: float = math.inf,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """A dense layer with normal weights of learned relative variance, drawn at its outputs: type B.

    Math: weights w ~ N(t, a t^2), other ones for each example, with t = weight and a = min(exp(log_alpha), max_alpha).
        The outputs are then y = m + sqrt(v) e, m = x t^T + b, v = (x * x) (a t * t)^T, e ~ N(0, 1): E[y] = m,
        Var[y] = v. Gradient: exact, dv = g e / (2 sqrt(v)); where v = 0 the root has a gradient of 0. Evaluation and
        max_alpha = 0 give x t^T + b.
    Shapes: x (..., I), weight (O, I), bias (O,) -> (..., O); log_alpha broadcasts to (O, I): one for the layer, each
        input (1, I), each output (O, 1) or each weight. `index` says which part of a global noise (..., O) is.
    Dtypes: float32, float64, the same for all; y like x.
    Draws: one normal an element of y, at (key, element number). `mask=` takes e itself; `return_mask=True` gives
        (y, e).
    Raises: TypeError for whole numbers or unequal dtypes; ValueError for shapes that do not fit, a log_alpha that is
        not finite, a negative or NaN max_alpha, or no key.
    Reference: Kingma, Salimans & Welling, "Variational dropout and the local reparameterization trick" (2015).

    >>> from puredrop import Key
    >>> y = local_reparametrisation_linear(np.ones((10000, 4)), np.ones((1, 4)), 0.0, key=Key(0))
    >>> abs(y.mean() - 4) < 0.1 and abs(y.var() - 4) < 0.2
    np.True_
    """
    name = "local_reparametrisation_linear"
    x, weight, bias = _checked_dense(name, x, weight, bias)
    log_alpha = _parameter(name, "log_alpha", log_alpha, weight.dtype, weight.shape)
    log_alpha = _limited(name, log_alpha, max_alpha, backend)
    mean = ops.linear(x, weight, bias, backend=backend)  # (..., O)
    if not training or max_alpha == 0:
        return (mean, np.zeros(mean.shape, mean.dtype)) if return_mask else mean
    spread = weight * weight * ops.exp(log_alpha, backend=_of(log_alpha, backend))  # (O, I)
    y, e = _sampled(name, x, mean, spread, key, index, mask, backend)
    return (y, e) if return_mask else y


def sparse_variational_linear(
    x: Any,
    weight: Any,
    log_sigma2: Any,
    bias: Any = None,
    limit: float = 8.0,
    *,
    threshold: float = 3.0,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """A dense layer with normal weights that learns which of them are noise, and does without them afterwards.

    Math: weights w ~ N(t, a t^2), t = weight, log a = clip(log_sigma2 - log(t^2 + 1e-8), -limit, limit). The outputs
        are y = m + sqrt(v) e, m = x t^T + b, v = (x * x) (a t * t)^T, e ~ N(0, 1): E[y] = m, Var[y] = v. Gradient:
        exact; 0 by log_sigma2 where log a is clipped; where v = 0 the root has a gradient of 0. Evaluation gives m with
        the weights of log a > threshold set to 0. Add `log_uniform_kl(sparse_log_alpha(weight, log_sigma2))` to the
        loss.
    Shapes: x (..., I), weight and log_sigma2 (O, I), bias (O,) -> (..., O). `index` says which part of a global noise
        (..., O) is.
    Dtypes: float32, float64, the same for all; y like x.
    Draws: one normal an element of y, at (key, element number). `mask=` takes e itself; `return_mask=True` gives
        (y, e).
    Raises: TypeError for whole numbers or unequal dtypes; ValueError for shapes that do not fit, a log_sigma2 that is
        not finite, a negative or infinite limit, a NaN threshold, or no key.
    Reference: Molchanov, Ashukha & Vetrov, "Variational dropout sparsifies deep neural networks" (2017).

    >>> weight, log_sigma2 = np.array([[2.0, 0.1]]), np.zeros((1, 2))       # log a is -1.4 and 4.6
    >>> sparse_variational_linear(np.ones((1, 2)), weight, log_sigma2, training=False)
    array([[2.]])
    """
    name = "sparse_variational_linear"
    x, weight, bias = _checked_dense(name, x, weight, bias)
    log_sigma2 = _parameter(name, "log_sigma2", log_sigma2, weight.dtype, weight.shape)
    if not math.isfinite(_not_negative(name, "limit", limit)):
        raise ValueError(f"{name}: limit must be finite, got {limit}")
    if not _number(name, "threshold", threshold) == threshold:
        raise ValueError(f"{name}: threshold must be a number, got NaN")
    log_alpha = sparse_log_alpha(weight, log_sigma2, limit, backend=backend)  # (O, I)
    if not training:
        weight = ops.where(raw(log_alpha) > threshold, 0.0, weight)
        y = ops.linear(x, weight, bias, backend=backend)
        return (y, np.zeros(y.shape, y.dtype)) if return_mask else y
    spread = weight * weight * ops.exp(log_alpha, backend=_of(log_alpha, backend))  # (O, I)
    mean = ops.linear(x, weight, bias, backend=backend)  # (..., O)
    y, e = _sampled(name, x, mean, spread, key, index, mask, backend)
    return (y, e) if return_mask else y


def concrete_dropout(
    x: Any,
    logit_p: Any,
    temperature: float = 0.1,
    *,
    hard: bool = False,
    correct_mean: bool = False,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    shared: int | Sequence[int] = (),
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Dropout whose rate is learned, by way of a mask that is almost 0 or 1 and has a gradient.

    Math: y = x (1 - z) / (1 - p), z = sigmoid((logit_p + log u - log(1 - u)) / t), p = sigmoid(logit_p), t the
        temperature. Gradient: dx = g (1 - z) / (1 - p), dlogit_p = sum g x (1 - z) / (1 - p) (p - z / t). E[y] is not
        x: at t = 0.1, p = 0.1 it is 0.9987 x, at t = 2/3 0.950 x. `correct_mean=True` divides by E[1 - z] in place of
        1 - p, its value and derivative exact by quadrature: then E[y] = x. `hard=True` selects where z < 1/2, which is
        dropout at rate p: E[y] = x, dx = g / (1 - p) where kept, else 0, and dlogit_p straight through, the formula
        above with the relaxed z (biased; it needs x at dropped places too). Evaluation gives x. Add
        `concrete_regulariser` to the loss, without which p goes to 0. A relaxed mask multiplies: it stops no NaN.
    Shapes: x any; logit_p a number, or an array or tensor that broadcasts to x; y like x. One draw along each of the
        `shared` axes; `index` says which part of a global noise x is.
    Dtypes: float32, float64; y like x. The noise is float64, for in float32 u can be 1.
    Draws: one uniform number an element of the noise, at (key, element number). `mask=` takes u itself;
        `return_mask=True` gives (y, u), 1/2 where nothing is drawn.
    Raises: TypeError for whole-number x or parameters that are no numbers; ValueError for a temperature that is not
        positive and finite, a logit_p that is not finite or does not broadcast to x, `hard` with `correct_mean`, u
        outside (0, 1), or no key.
    Reference: Gal, Hron & Kendall, "Concrete dropout" (2017).

    >>> from puredrop import Key
    >>> y = concrete_dropout(np.ones(10000), np.log(0.2 / 0.8), key=Key(0))
    >>> abs(y.mean() - 1) < 0.02 and abs((y < 0.6).mean() - 0.2) < 0.02
    np.True_
    """
    name = "concrete_dropout"
    x = checked_array(name, x)
    logit_p = _parameter(name, "logit_p", logit_p, x.dtype, x.shape)
    t = _checked_concrete(name, temperature, hard, correct_mean)
    if not training:
        return (unchanged(x), np.full(x.shape, 0.5)) if return_mask else unchanged(x)
    y, u = _concrete(name, x, logit_p, t, hard, correct_mean, key, index, shared, mask, backend)
    return (y, u) if return_mask else y


def spatial_concrete_dropout(
    x: Any,
    logit_p: Any,
    temperature: float = 2 / 3,
    *,
    hard: bool = False,
    correct_mean: bool = False,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """`concrete_dropout` of whole channels: one draw for all positions of a channel.

    Math: y = x (1 - z) / (1 - p) with z, p and the gradients of `concrete_dropout`, dlogit_p summed over all positions.
        At this temperature the relaxation is far off: E[y] is 0.950 x at p = 0.1 and 1.453 x at p = 0.9;
        `correct_mean=True` or `hard=True` make it x. Evaluation gives x. In `concrete_regulariser` the units of a
        convolution are its input channels, whatever the size of the kernel.
    Shapes: x (N, C, positions ...); logit_p a number or (C,); the noise is (N, C, 1 ...); y like x. `index` says which
        part of a global noise x is; it shares the positions. A tuple of keys enumerates an axis in front of N.
    Dtypes: float32, float64; y like x. The noise is float64, for in float32 u can be 1.
    Draws: one uniform number a channel and example, at (key, element number). `mask=` takes u itself;
        `return_mask=True` gives (y, u).
    Raises: as `concrete_dropout`; ValueError for x without positions or an index that does not share them.
    Reference: Gal, Hron & Kendall, "Concrete dropout" (2017); the spatial layer of their code.

    >>> from puredrop import Key
    >>> y = spatial_concrete_dropout(np.ones((2, 3, 4, 4)), 0.0, key=Key(0), hard=True)
    >>> y[:, :, 0, 0]
    array([[2., 2., 2.],
           [0., 2., 2.]])
    """
    name = "spatial_concrete_dropout"
    x = checked_array(name, x)
    first = 3 if isinstance(checked_key(name, key), tuple) and index is None else 2  # the first axis of positions
    if len(x.shape) <= first:
        raise ValueError(f"{name}: x must be (N, C, positions ...), got shape {x.shape}; use concrete_dropout")
    if index is not None and any(n != 1 for n in index.noise_shape[2:]):
        raise ValueError(
            f"{name}: an index must share the axes from 2 on, got one with noise of shape {index.noise_shape}; "
            f"write Index.whole(shape, shared=...)"
        )
    logit_p = _parameter(name, "logit_p", logit_p, x.dtype, x.shape[first - 1 : first])
    if len(logit_p.shape):
        logit_p = ops.reshape(logit_p, shape=(-1, *(1 for _ in x.shape[first:])))  # (C, 1 ...)
    t = _checked_concrete(name, temperature, hard, correct_mean)
    if not training:
        return (unchanged(x), np.full(x.shape, 0.5)) if return_mask else unchanged(x)
    shared = tuple(range(2, len(x.shape) - first + 2)) if index is None else ()
    y, u = _concrete(name, x, logit_p, t, hard, correct_mean, key, index, shared, mask, backend)
    return (y, u) if return_mask else y


def masksembles(
    x: Any,
    members: int = 4,
    scale: float = 2.0,
    *,
    key: Key | None = None,
    mask: Any = None,
    training: bool = True,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """A few fixed masks over the features, one for each part of the batch: an ensemble within one network.

    Math: y = x * m_k for the rows of part k of `members` equal parts, m_k fixed by the key; there is no scale.
        Evaluation gives the same y. Gradient: dx = g * m_k. Each mask keeps the same number of features, every feature
        is kept by some member, and members share about 1 / scale of what they keep: scale 1 keeps all, larger ones make
        members less alike. For predictions repeat the batch, np.concatenate([x] * members), and average the parts.
        Other masks that stay are a choice of key: the same key again (fixed masks; or the key of a rollout, stored with
        it, in its later update), or an index of rows named by example, Index.whole(shape)[ids] (masks tied to
        examples).
    Shapes: x (N, C, ...), N a multiple of `members`; y like x; masks (members, C).
    Dtypes: float32, float64; y like x.
    Draws: permutation words, at (key, element number) of an array (attempts, members, pool); each member keeps the
        positions of the smallest, and the first attempt whose members together use C positions is taken. `mask=`
        (members, C), True = kept, replaces them; `return_mask=True` gives (y, masks).
    Raises: TypeError for whole-number x; ValueError for fewer than 10 features without `mask`, a scale outside [1, 6],
        an N that is no multiple of `members`, or no key.
    Reference: Durasov et al., "Masksembles for uncertainty estimation" (2021).

    >>> from puredrop import Key
    >>> masksembles(np.ones((2, 12)), members=2, scale=3.0, key=Key(0)).astype(int)
    array([[1, 0, 1, 1, 1, 0, 0, 1, 1, 0, 1, 0],
           [0, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1]])
    """
    name = "masksembles"
    x = checked_array(name, x)
    if isinstance(members, bool) or not hasattr(members, "__index__") or members < 1:
        raise ValueError(f"{name}: members must be a whole number of at least 1, got {members!r}")
    if not 1 <= _number(name, "scale", scale) <= 6:
        raise ValueError(f"{name}: scale must lie in [1, 6], got {scale}; 1 keeps all features in all members")
    if len(x.shape) < 2 or x.shape[0] % members:
        raise ValueError(f"{name}: x must be (N, C, ...), N a multiple of the {members} members, got shape {x.shape}")
    features = x.shape[1]
    if mask is None:
        one = required_key(name, key)
        if isinstance(one, tuple):
            raise ValueError(f"{name}: the members are fixed by one key, got {len(one)} keys")
        mask = _members_masks(one, members, features, float(scale))
    bank = np.broadcast_to(streams.checked_mask(mask, (members, features)), (members, features))
    rows = np.repeat(bank, x.shape[0] // members, axis=0)  # (N, C)
    keep = np.broadcast_to(rows.reshape(*rows.shape, *(1 for _ in x.shape[2:])), x.shape)
    y = ops.drop_given(x, 0.0, keep=keep, source=streams.Given(()), backend=_of(x, backend))
    return (y, bank) if return_mask else y


@lru_cache(maxsize=64)
def _members_masks(key: Key, members: int, features: int, scale: float) -> np.ndarray:
    """Masks (members, features) that keep equally many each, and all features together."""
    if features < 10:
        raise ValueError(f"masksembles: masks need 10 features or more, got {features}; give mask= for fewer")
    share = scale * (1 - (1 - 1 / scale) ** members)  # features / kept, where members choose independently
    kept = min(features, max(round(features / share), -(-features // members)))
    pool = features
    while pool * (1 - (1 - kept / pool) ** members) < features - 0.5:  # expected number of positions in use
        pool += 1
    whole = Index.whole((1000, members, pool))
    for attempt in range(1000):
        words = bernoulli.words(key, whole[attempt : attempt + 1], PERMUTATION)[0]  # (members, pool)
        masks = np.zeros(words.shape, np.bool_)
        np.put_along_axis(masks, np.argsort(words, axis=1, kind="stable")[:, :kept], True, axis=1)
        used = masks.any(axis=0)
        if used.sum() == features:
            masks = masks[:, used]
            masks.flags.writeable = False
            return masks
    raise ValueError(f"masksembles: no masks for {features} features and scale {scale} in 1000 attempts; change one")


# ------------------------------------------------------------------------------------------------------ what they share
def _concrete(
    name: str,
    x: Any,
    logit_p: Any,
    t: float,
    hard: bool,
    correct_mean: bool,
    key: Any,
    index: Any,
    shared: Any,
    mask: Any,
    backend: Any,
) -> tuple[Any, Any]:
    """y, and the uniform numbers that it was made with. logit_p broadcasts to x."""
    u = _drawn(name, uniform_array, np.empty(0, np.float64), x.shape, key, index, shared, mask, _backend_of(x, backend))
    if not ((u > 0) & (u < 1)).all():
        raise ValueError(f"{name}: the uniform numbers handed in must lie between 0 and 1, both excluded")
    of = _of(logit_p, backend)
    logistic = (np.log(u) - np.log1p(-u)).astype(x.dtype)
    noisy = logit_p + logistic  # z = sigmoid(noisy / t)
    if correct_mean:
        log_scale = ops.astype(-ops.log(mean_kept(logit_p, t, backend=of), backend=of), dtype=x.dtype, backend=of)
    else:
        log_scale = ops.softplus(logit_p, backend=of)  # -log(1 - p)
    factor = ops.exp(log_scale - ops.softplus(noisy / t, backend=of), backend=of)  # (1 - z) * scale, never inf * 0
    if not hard:
        return x * factor, u
    keep = np.broadcast_to(raw(noisy) < 0, x.shape)
    scale = 1 + np.exp(np.minimum(raw(logit_p), 80.0)).astype(x.dtype)  # 1 / (1 - p)
    y = ops.drop_given(x, 0.0, keep=keep, source=streams.Given(()), scale=scale, backend=_of(x, backend))
    if isinstance(logit_p, Tensor):  # adds -0 to y, and to the gradient of logit_p what a relaxed mask has
        y = y + straight_through(raw(x) * factor, value=np.full(x.shape, -0.0, x.dtype))
    return y, u


def _sampled(
    name: str, x: Any, mean: Any, spread: Any, key: Any, index: Any, mask: Any, backend: Any
) -> tuple[Any, Any]:
    """Outputs drawn from N(mean, (x * x) spread^T), and the normal numbers."""
    variance = ops.linear(x * x, spread, 0.0, backend=backend)  # (..., O)
    positive = raw(variance) > 0  # the root has no gradient at 0: a variance of 0 stays 0
    deviation = ops.where(positive, ops.sqrt(ops.where(positive, variance, 1.0), backend=backend), 0.0)
    e = _drawn(name, normal_array, mean, mean.shape, key, index, (), mask, backend)
    return mean + deviation * e, e


def _drawn(
    name: str,
    draw: Callable[..., Any],
    like: Any,
    shape: tuple[int, ...],
    key: Any,
    index: Any,
    shared: Any,
    mask: Any,
    backend: Any,
) -> Any:
    """Noise that broadcasts to `shape`, in the dtype of `like`; its leading axis may enumerate keys."""
    key = checked_key(name, key)
    index = fitting_index(name, shape, key, index, shared)
    if mask is None:
        return spread_keys(draw(name, like, index, key=key, backend=backend), shape, key, index)
    fitting = spread_keys(np.empty(index.noise_shape, np.bool_), shape, key, index)  # only its shape is used
    return draw(name, like, Index.whole(fitting.shape), key=None, mask=mask, backend=backend)


def _parameter(operation: str, name: str, value: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    """A learned number, array or tensor, finite, that broadcasts to `shape`, in that dtype."""
    if not hasattr(value, "dtype"):
        value = np.asarray(_number(operation, name, value), dtype)
    if raw(value).dtype.kind != "f":
        raise TypeError(f"{operation}: {name} must be floating-point, got dtype {raw(value).dtype}")
    if not np.isfinite(raw(value)).all():
        raise ValueError(f"{operation}: {name} must be finite; somewhere it is not")
    fits = len(value.shape) <= len(shape) and all(
        n in (1, m) for n, m in zip(value.shape[::-1], shape[::-1], strict=False)
    )
    if not fits:
        raise ValueError(f"{operation}: {name} of shape {value.shape} does not broadcast to shape {shape}")
    if isinstance(value, Tensor):
        return value if value.dtype == dtype else ops.astype(value, dtype=dtype)
    return np.asarray(value, dtype)


def _number(operation: str, name: str, value: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{operation}: {name} must be a number, got {value!r}")
    return float(value)


def _not_negative(operation: str, name: str, value: Any) -> float:
    if not _number(operation, name, value) >= 0:
        raise ValueError(f"{operation}: {name} must not be negative or NaN, got {value}")
    return float(value)


def _limited(operation: str, log_alpha: Any, max_alpha: Any, backend: Any) -> Any:
    """log_alpha, no larger than log(max_alpha)."""
    high = _not_negative(operation, "max_alpha", max_alpha)
    if high in (0.0, math.inf):  # at 0 there is no noise
        return log_alpha
    return ops.clip(log_alpha, high=math.log(high), backend=_of(log_alpha, backend))


def _checked_concrete(name: str, temperature: Any, hard: bool, correct_mean: bool) -> float:
    t = _number(name, "temperature", temperature)
    if not 0 < t < math.inf:
        raise ValueError(f"{name}: temperature must be positive and finite, got {temperature}")
    if hard and correct_mean:
        raise ValueError(f"{name}: give either hard or correct_mean; the mean of a hard mask needs no correction")
    return t


def _checked_dense(name: str, x: Any, weight: Any, bias: Any) -> tuple[Any, Any, Any]:
    """The arrays of a dense layer, of one dtype and fitting shapes; no bias is 0."""
    given = {"x": x, "weight": weight} | ({} if bias is None else {"bias": bias})
    x, weight, *rest = (checked_array(f"{name}, {which}", a) for which, a in given.items())
    if len(weight.shape) != 2 or not x.shape or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"{name}: weight must be (outputs, inputs) and the last axis of x inputs, got weight of shape "
            f"{weight.shape} and x of shape {x.shape}"
        )
    if rest and rest[0].shape != weight.shape[:1]:
        raise ValueError(f"{name}: bias must have shape {weight.shape[:1]}, one for each output, got {rest[0].shape}")
    dtypes = [a.dtype for a in (x, weight, *rest)]
    if any(dtype != dtypes[0] for dtype in dtypes):
        raise TypeError(f"{name}: x, weight and bias must have one dtype, got {dtypes}; convert with .astype")
    return x, weight, rest[0] if rest else 0.0


def _of(x: Any, backend: Any) -> Any:
    """The backend to name beside x: a tensor knows its own."""
    return None if isinstance(x, Tensor) else backend


def _backend_of(x: Any, backend: Any) -> Any:
    return x.backend if isinstance(x, Tensor) else backend
