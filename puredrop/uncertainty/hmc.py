"""Hamiltonian Monte Carlo: chains that can be stopped, resumed and checked."""

from __future__ import annotations

import copy
import hashlib
import math
import os
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from zipfile import BadZipFile

import numpy as np

from ..random import Index, Key, bernoulli
from ..variants.door import whole_number
from .convergence import Convergence, convergence_of, require_convergence
from .executors import checked_executor, one_blas_thread, run_all
from .progress import Progress, told, void

LogDensity: TypeAlias = Callable[[np.ndarray], tuple[float, np.ndarray]]  # (P,) -> its value, and its gradient (P,)

BLOCK = 100  # iterations between two checkpoints
ASTRAY = 1000.0  # an error of the energy that no integrator makes which follows the path


class Point(NamedTuple):
    """A place in phase space, with the log density and its gradient there."""

    position: np.ndarray
    momentum: np.ndarray
    value: float
    gradient: np.ndarray

    @property
    def energy(self) -> float:
        return 0.5 * float(self.momentum @ self.momentum) - self.value


def leapfrog(log_density: LogDensity, start: Point, step: Any, steps: int) -> Point:
    """`steps` leapfrog steps of size `step`, a number or one for each coordinate: reversible, and keeps volumes.

    Math: half a step of the momentum along the gradient, a step of the position along the momentum, half a step of the
        momentum, and so on; the error of the energy is of order step^2.

    >>> normal = lambda x: (-0.5 * float(x @ x), -x)
    >>> end = leapfrog(normal, Point(np.ones(1), np.zeros(1), *normal(np.ones(1))), 0.01, 314)     # half a turn
    >>> end.position.round(3), round(end.energy, 4)
    (array([-1.]), 0.5)
    """
    position, value, gradient = start.position, start.value, start.gradient
    momentum = start.momentum + 0.5 * step * gradient
    for left in reversed(range(steps)):
        position = position + step * momentum
        value, gradient = log_density(position)
        momentum = momentum + (step if left else 0.5 * step) * gradient
    return Point(position, momentum, value, gradient)


@dataclass(frozen=True, eq=False)
class Sampler:
    """What a chain needs to know, but for the number of draws."""

    log_density: LogDensity
    warmup: int
    leapfrogs: int
    acceptance: float
    scales: np.ndarray
    key: Key


@dataclass(frozen=True, eq=False)
class Chain:
    """How far a chain is. What iteration i draws is a function of the key and i, so this is all."""

    number: int
    position: np.ndarray
    draws: np.ndarray  # after warm-up, (D, P)
    accepted: np.ndarray  # the probability, of each of them
    divergent: np.ndarray
    iteration: int = 0
    log_step: float = math.nan  # of the next iteration; NaN before the first
    first_log_step: float = math.nan
    mean_log_step: float = 0.0  # weighted towards the latest
    shortfall: float = 0.0  # of the acceptance, on average


@dataclass(frozen=True, eq=False)
class Chains:
    """The draws of several chains, (chains, D, P), and how they came about.

    `mean`, `covariance` and what else is made of them refuse chains that have not converged, unless told to accept.
    """

    samples: np.ndarray
    acceptance: np.ndarray  # (chains, D), the probabilities
    divergent: np.ndarray  # (chains, D), where the energy went astray
    step_sizes: np.ndarray  # (chains,)

    @cached_property
    def convergence(self) -> Convergence:
        """The worst R-hat and effective sample sizes of all coordinates."""
        return convergence_of(self.samples, int(self.divergent.sum()))

    def require_convergence(self, r_hat: float = 1.01, ess: float = 400.0, accept_unconverged: bool = False) -> None:
        """Raise NotConvergedError, naming what is wrong, where the chains do not keep to the limits.

        The limits are those of Vehtari et al. (2021), for four chains.
        """
        require_convergence("hmc", self.convergence, r_hat, ess, accept_unconverged)

    def mean(self, **limits: Any) -> np.ndarray:
        """Of all draws, (P,). `limits` are those of `require_convergence`."""
        self.require_convergence(**limits)
        return self._together().mean(axis=0)

    def covariance(self, **limits: Any) -> np.ndarray:
        """Of all draws, (P, P). `limits` are those of `require_convergence`."""
        self.require_convergence(**limits)
        return np.atleast_2d(np.cov(self._together().T))

    def _together(self) -> np.ndarray:
        return self.samples.reshape(-1, self.samples.shape[-1])


def sample_hmc(
    log_density: LogDensity,
    starts: Any,
    draws: int = 1000,
    *,
    key: Key,
    warmup: int = 500,
    leapfrogs: int = 20,
    acceptance: float = 0.8,
    scales: Any = 1.0,
    checkpoint: str | Path | None = None,
    executor: Executor | None = None,
    progress: Progress = None,
) -> Chains:
    """Chains of Hamiltonian Monte Carlo for a density that is known up to a factor.

    Math: a momentum is drawn, 1 to `leapfrogs` steps are taken, as many as is drawn too lest paths close up, and the
        end is accepted with probability min(1, e^(energy before - energy after)). In warm-up dual averaging sets the
        step size, so that on average `acceptance` are; then it stays. An end where the energy is not finite, or grew by
        more than 1000, is counted as divergent.
    log_density: (P,) -> (value, gradient (P,)). starts: (chains, P), as far apart as the answer may be. scales: numbers
        like the standard deviations of the coordinates, such as Laplace's.
    Draws: chain c at sample c + 1 of the key's address: row i of normal numbers (iterations, P), row i of uniform ones
        (iterations, 2).
    checkpoint: a file that is written every 100 iterations; a run that finds it goes on there, bit for bit, also with
        more draws than before. executor: chains side by side, each with a copy of log_density, with the same bits; for
        processes it must pickle.
    Raises: ValueError where the density is not finite at a start, for a key of a sample, or for a checkpoint of
        another run.
    Reference: Neal, "MCMC using Hamiltonian dynamics" (2011); Hoffman & Gelman, "The No-U-Turn sampler" (2014), for the
        adaptation of the step size.

    >>> normal = lambda x: (-0.5 * float(x @ x), -x)
    >>> chains = sample_hmc(normal, np.array([[2.0], [0.0], [-2.0], [1.0]]), 300, key=Key(0), warmup=100, leapfrogs=8)
    >>> bool(abs(chains.mean(r_hat=1.02, ess=200)[0]) < 0.2)
    True
    """
    sampler, chains = _checked(log_density, starts, key, warmup, leapfrogs, acceptance, scales)
    total = sampler.warmup + whole_number("sample_hmc", "draws", draws, 8)
    path = _checked_path(checkpoint)
    executor = checked_executor("sample_hmc", executor)
    fingerprint = _fingerprint(sampler, chains)
    chains = _resumed(path, fingerprint, chains)
    samplers = [sampler if executor is None else copy.deepcopy(sampler) for _ in chains]
    with told(progress, "sample_hmc", total * len(chains)) as tell:
        while (done := min(chain.iteration for chain in chains)) < total:
            until = min(total, done + BLOCK)
            chains = run_all(
                _advanced, [Stretch(s, c, until) for s, c in zip(samplers, chains, strict=True)], executor, void
            )
            if path is not None:
                _write(path, fingerprint, chains)
            tell(until * len(chains))
    return _results(chains, draws)


def _checked(
    log_density: LogDensity, starts: Any, key: Key, warmup: int, leapfrogs: int, acceptance: float, scales: Any
) -> tuple[Sampler, list[Chain]]:
    starts = np.array(starts, np.float64)
    if starts.ndim != 2 or not starts.size:
        raise ValueError(f"sample_hmc: starts must be (chains, P), got shape {starts.shape}")
    if key.sample or key.draw_index:
        raise ValueError(f"sample_hmc: chains take the samples of the key, so its own must be 0, got {key}")
    if not 0 < acceptance < 1:
        raise ValueError(f"sample_hmc: acceptance must lie strictly between 0 and 1, got {acceptance}")
    scales = np.broadcast_to(np.asarray(scales, np.float64), starts.shape[1:])
    if not ((scales > 0) & np.isfinite(scales)).all():
        raise ValueError("sample_hmc: scales must be positive and finite")
    for number, start in enumerate(starts):
        value, gradient = log_density(start)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            raise ValueError(f"sample_hmc: density or gradient are not finite at start {number}: log density {value}")
    warmup = whole_number("sample_hmc", "warmup", warmup, 0)
    leapfrogs = whole_number("sample_hmc", "leapfrogs", leapfrogs, 1)
    none = np.zeros((0, starts.shape[1])), np.zeros(0), np.zeros(0, bool)
    chains = [Chain(number, start, *none) for number, start in enumerate(starts)]
    return Sampler(log_density, warmup, leapfrogs, acceptance, scales, key), chains


class Stretch(NamedTuple):
    """A chain that is to go on until an iteration."""

    sampler: Sampler
    chain: Chain
    until: int


class Jump(NamedTuple):
    """Where an iteration ends, with what probability it went to the end of its path, and whether that went astray."""

    at: Point
    accepted: float
    divergent: bool


def _advanced(stretch: Stretch) -> Chain:
    """The chain after the stretch. What it does depends on its iterations only, not on where stretches begin."""
    sampler, chain, until = stretch
    if chain.iteration >= until:
        return chain
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        at = Point(chain.position, np.zeros_like(chain.position), *sampler.log_density(chain.position))
        if not chain.iteration:
            chain = _with_first_step(sampler, chain, at)
        kept: list[Jump] = []
        key, part = replace(sampler.key, sample=chain.number + 1), slice(chain.iteration, until)
        momenta = bernoulli.normal(key, Index.whole((until, at.position.size))[part])  # (iterations, P)
        numbers = bernoulli.uniform(key, Index.whole((until, 2))[part])  # (iterations, 2)
        for iteration, momentum, (chance, length) in zip(range(chain.iteration, until), momenta, numbers, strict=True):
            jump = _jumped(sampler, chain, at._replace(momentum=momentum), chance, length)
            at = jump.at
            if iteration < sampler.warmup:
                chain = _adapted(sampler, chain, jump.accepted, iteration)
            else:
                kept.append(jump)
    return _with_draws(replace(chain, position=at.position, iteration=until), kept)


def _with_draws(chain: Chain, kept: list[Jump]) -> Chain:
    if not kept:
        return chain
    return replace(
        chain,
        draws=np.concatenate([chain.draws, [jump.at.position for jump in kept]]),
        accepted=np.append(chain.accepted, [jump.accepted for jump in kept]),
        divergent=np.append(chain.divergent, [jump.divergent for jump in kept]),
    )


def _jumped(sampler: Sampler, chain: Chain, start: Point, chance: float, length: float) -> Jump:
    """A path with the momentum of the start, and where it leaves the chain."""
    steps = 1 + int(sampler.leapfrogs * length)
    end = leapfrog(sampler.log_density, start, math.exp(chain.log_step) * sampler.scales, steps)
    gain = start.energy - end.energy
    if not (math.isfinite(gain) and np.isfinite(end.gradient).all()):
        return Jump(start, 0.0, True)
    probability = math.exp(min(0.0, gain))
    return Jump(end if chance < probability else start, probability, gain < -ASTRAY)


def _with_first_step(sampler: Sampler, chain: Chain, at: Point) -> Chain:
    """With the step, a power of two, at which one leapfrog step's acceptance crosses one half (Hoffman & Gelman)."""
    key = replace(sampler.key, sample=chain.number + 1).draw(1)
    start = at._replace(momentum=bernoulli.normal(key, Index.whole(at.position.shape)))

    def is_fine(log_step: float) -> bool:
        gain = start.energy - leapfrog(sampler.log_density, start, math.exp(log_step) * sampler.scales, 1).energy
        return gain > math.log(0.5)  # False for NaN

    log_step, grows = 0.0, is_fine(0.0)
    while is_fine(log_step) == grows and abs(log_step) < 60:
        log_step += math.log(2) if grows else -math.log(2)
    return replace(chain, log_step=log_step, first_log_step=log_step)


def _adapted(sampler: Sampler, chain: Chain, accepted: float, iteration: int) -> Chain:
    """One step of dual averaging, with the constants of Hoffman & Gelman; behind the last the mean is taken."""
    count = iteration + 1
    weight = 1 / (count + 10)
    shortfall = (1 - weight) * chain.shortfall + weight * (sampler.acceptance - accepted)
    log_step = math.log(10) + chain.first_log_step - math.sqrt(count) / 0.05 * shortfall
    share = count**-0.75
    mean = share * log_step + (1 - share) * chain.mean_log_step
    return replace(
        chain, shortfall=shortfall, mean_log_step=mean, log_step=mean if count == sampler.warmup else log_step
    )


def _results(chains: list[Chain], draws: int) -> Chains:
    return Chains(
        np.stack([chain.draws[:draws] for chain in chains]),
        np.stack([chain.accepted[:draws] for chain in chains]),
        np.stack([chain.divergent[:draws] for chain in chains]),
        np.array([math.exp(chain.log_step) for chain in chains]),
    )


_NUMBERS = ("iteration", "log_step", "first_log_step", "mean_log_step", "shortfall")
_ARRAYS = ("position", "draws", "accepted", "divergent")


def _fingerprint(sampler: Sampler, chains: list[Chain]) -> str:
    """Of all that the draws depend on: starts, settings, and the density at the starts."""
    values = [sampler.log_density(chain.position) for chain in chains]
    facts = [sampler.warmup, sampler.leapfrogs, sampler.acceptance, sampler.key, [value for value, _ in values]]
    arrays = [sampler.scales, *(chain.position for chain in chains), *(gradient for _, gradient in values)]
    digest = hashlib.sha256(repr(facts).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array, np.float64).tobytes())
    return digest.hexdigest()


def _checked_path(checkpoint: str | Path | None) -> Path | None:
    if checkpoint is None:
        return None
    path = Path(checkpoint)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"sample_hmc: {path}: no such folder {path.parent}")
    return path


def _write(path: Path, fingerprint: str, chains: list[Chain]) -> None:
    """Complete or not at all: written beside its place, and then moved there."""
    held: dict[str, Any] = {
        f"{name}.{c.number}": np.asarray(getattr(c, name)) for c in chains for name in (*_NUMBERS, *_ARRAYS)
    }
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            np.savez(file, fingerprint=np.array(fingerprint), **held)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _resumed(path: Path | None, fingerprint: str, chains: list[Chain]) -> list[Chain]:
    """The chains as the file has them; those that begin where there is none."""
    if path is None or not path.exists():
        return chains
    held = _read(path)
    if str(held["fingerprint"]) != fingerprint:
        raise ValueError(f"sample_hmc: {path} is of another run (density, starts, key or settings); remove it")
    return [replace(chain, **_stored(held, chain.number)) for chain in chains]


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            held = dict(arrays)
        held["fingerprint"]  # every checkpoint has one
    except (BadZipFile, EOFError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"sample_hmc: {path} is no checkpoint, or a damaged one ({error}); remove it") from None
    return held


def _stored(held: dict[str, np.ndarray], number: int) -> dict[str, Any]:
    numbers = {name: held[f"{name}.{number}"].item() for name in _NUMBERS}
    return numbers | {name: held[f"{name}.{number}"] for name in _ARRAYS}
