"""Whether Markov chains have found their distribution, and how many independent draws they are worth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .normal import normal_quantile


class Convergence(NamedTuple):
    """The worst of several numbers: the largest R-hat, the smallest effective sample sizes; how many jumps went astray.

    NaN where a number never moved.
    """

    r_hat: float
    ess_bulk: float
    ess_tail: float
    divergent: int = 0

    def faults(self, r_hat: float = 1.01, ess: float = 400.0) -> list[str]:
        """What speaks against the chains, in words; nothing where R-hat and sample sizes keep to the limits."""
        found = [] if self.r_hat <= r_hat else [f"R-hat is {self.r_hat:.4g}, more than {r_hat:g}"]
        for name, value in (("bulk", self.ess_bulk), ("tail", self.ess_tail)):
            found += [] if value >= ess else [f"the effective sample size of the {name} is {value:.4g}, below {ess:g}"]
        return found + ([f"{self.divergent} trajectories diverged"] if self.divergent else [])


class NotConvergedError(RuntimeError):
    """Chains that have not converged were asked for results."""


def convergence_of(draws: np.ndarray, divergent: int = 0) -> Convergence:
    """Of draws (chains, D, ...): the worst of all the numbers.

    >>> chains = np.random.default_rng(0).standard_normal((4, 1000, 3))
    >>> convergence_of(chains).faults()
    []
    >>> convergence_of(chains + np.arange(4.0)[:, None, None]).faults()[0]
    'R-hat is 1.547, more than 1.01'
    """
    return Convergence(
        float(split_r_hat(draws).max()),
        float(effective_sample_size(draws, "bulk").min()),
        float(effective_sample_size(draws, "tail").min()),
        divergent,
    )


def require_convergence(operation: str, found: Convergence, r_hat: float, ess: float, accept_unconverged: bool) -> None:
    """Raise NotConvergedError, saying why and what to do, unless the chains keep to the limits or are accepted so."""
    faults = found.faults(r_hat, ess)
    if faults and not accept_unconverged:
        raise NotConvergedError(
            f"{operation}: these chains have not converged: {'; '.join(faults)}. Draw more, take more leapfrog steps "
            f"or set scales; accept_unconverged=True gives the result all the same"
        )


def split_r_hat(draws: np.ndarray) -> np.ndarray:
    """Rank-normalised split R-hat: near 1 where chains agree, and their halves, in place and in spread.

    Math: halves of chains are chains. Values are replaced by normal quantiles of their ranks; R-hat^2 = (W (n - 1) / n
        + B) / W, with W the mean variance within chains, and B that of their means. The larger one of that, and of the
        distances to the median.
    Shapes: (chains, D, ...) -> (...). NaN where a number never moved.
    Reference: Vehtari et al., "Rank-normalization, folding, and localization: an improved R-hat" (2021).

    >>> chains = np.random.default_rng(0).standard_normal((4, 1000))
    >>> float(split_r_hat(chains).round(3)), float(split_r_hat(chains * [[1], [1], [1], [9]]).round(3))
    (1.0, 1.355)
    """
    halves = _halves(_checked("split_r_hat", draws))
    folded = np.abs(halves - np.median(halves, axis=(0, 1)))
    return np.maximum(_r_hat(_rank_normalised(halves)), _r_hat(_rank_normalised(folded)))


def effective_sample_size(draws: np.ndarray, of: str) -> np.ndarray:
    """How many independent draws would know as much.

    Math: chains D / tau, tau = 1 + 2 sum_t rho_t, over halves of the chains, with rho_t from variance within and
        between them; the sum ends where a pair of neighbours is negative, and pairs do not increase (Geyer 1992).
        of: "mean" of the numbers as they are; "bulk" of their normal scores; "tail" of whether they are below the 5 and
        95 % quantiles, the smaller one. At most chains D log10(chains D), which negative correlations may reach.
    Shapes: (chains, D, ...) -> (...). NaN where a number never moved.
    Raises: ValueError for fewer than 8 draws a chain, or numbers that are not finite.
    Reference: Vehtari et al. (2021); Geyer, "Practical Markov chain Monte Carlo" (1992).

    >>> chains = np.random.default_rng(0).standard_normal((4, 1000))
    >>> bool(effective_sample_size(chains, "bulk") > 3000)
    True
    """
    halves = _halves(_checked("effective_sample_size", draws))
    if of not in ("mean", "bulk", "tail"):
        raise ValueError(f"effective_sample_size: of must be one of mean, bulk, tail, got {of!r}")
    if of == "mean":
        return _ess(halves)
    if of == "bulk":
        return _ess(_rank_normalised(halves))
    return np.minimum(*(_ess((halves <= edge).astype(np.float64)) for edge in np.quantile(draws, [0.05, 0.95], (0, 1))))


def _checked(operation: str, draws: np.ndarray) -> np.ndarray:
    draws = np.asarray(draws, np.float64)
    if draws.ndim < 2 or draws.shape[1] < 8:
        raise ValueError(f"{operation}: draws must be (chains, D, ...) with D at least 8, got shape {draws.shape}")
    if not np.isfinite(draws).all():
        raise ValueError(f"{operation}: {int((~np.isfinite(draws)).sum())} of {draws.size} draws are not finite")
    return draws


def _halves(draws: np.ndarray) -> np.ndarray:
    """The first and the second half of each chain; the middle one of an odd number belongs to neither."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]])


def _rank_normalised(x: np.ndarray) -> np.ndarray:
    """Phi^-1((rank - 3/8) / (S + 1/4)), ranks of all S draws of each number, ties sharing their mean rank."""
    flat = x.reshape(x.shape[0] * x.shape[1], -1)  # (S, Q)
    ranks = np.stack([_mean_ranks(column) for column in flat.T], axis=1)
    return _scores(len(flat))[(2 * ranks).astype(np.int64)].reshape(x.shape)


def _mean_ranks(column: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(column, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def _scores(S: int) -> np.ndarray:
    """The normal scores of the ranks 0, 1/2, 1, ... S; 0 and 1/2 do not occur."""
    return np.append([np.nan, np.nan], normal_quantile((np.arange(2, 2 * S + 1) / 2 - 0.375) / (S + 0.25)))


def _r_hat(x: np.ndarray) -> np.ndarray:
    n = x.shape[1]
    within, between = x.var(axis=1, ddof=1).mean(axis=0), x.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt((within * (n - 1) / n + between) / within)


def _ess(x: np.ndarray) -> np.ndarray:
    """Of chains as they are. (chains, n, ...) -> (...)"""
    n, S = x.shape[1], x.shape[0] * x.shape[1]
    covariance = _autocovariance(x).mean(axis=0)  # (n, ...)
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + (x.mean(axis=1).var(axis=0, ddof=1) if len(x) > 1 else 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = 1 - (within - covariance) / total
        rho[0] = 1.0
        return np.where(total > 0, S / np.maximum(_time(rho), 1 / np.log10(S)), np.nan)


def _time(rho: np.ndarray) -> np.ndarray:
    """The autocorrelation time, by Geyer's initial monotone sequence: -1 + 2 sum of pairs, and the even one behind."""
    last = 2 * ((len(rho) - 1) // 2)
    even, pairs = rho[:last:2], rho[:last:2] + rho[1:last:2]  # (K, ...)
    ended = np.logical_or.accumulate(pairs < 0, axis=0)
    ended[-1] = True  # there is always one behind
    kept = np.where(ended, 0.0, np.minimum.accumulate(pairs, axis=0))
    behind = np.take_along_axis(even, ended.argmax(axis=0)[None], axis=0)[0]
    return -1 + 2 * kept.sum(axis=0) + np.maximum(behind, 0.0)


def _autocovariance(x: np.ndarray) -> np.ndarray:
    """At lags 0 to n - 1, divisor n, by Fourier transforms of twice the length."""
    n = x.shape[1]
    spectrum = np.fft.rfft(x - x.mean(axis=1, keepdims=True), 2 * n, axis=1)
    return np.fft.irfft(np.abs(spectrum) ** 2, 2 * n, axis=1)[:, :n] / n
