"""Writes convergence.json: chains of several sorts, with arviz-stats' R-hat and effective sample sizes (0.8.0)."""

import json
from pathlib import Path

import numpy as np
from arviz_stats.base import array_stats

rng = np.random.default_rng(0)


def autoregressive(rho, chains, draws):
    x = np.zeros((chains, draws))
    x[:, 0] = rng.standard_normal(chains)
    for t in range(1, draws):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * rng.standard_normal(chains)
    return x


CASES = {
    "white": autoregressive(0.0, 4, 120),
    "slow": autoregressive(0.9, 4, 120),
    "antithetic": autoregressive(-0.6, 4, 120),
    "apart": autoregressive(0.3, 4, 120) + np.arange(4)[:, None] * 0.5,
    "wide": autoregressive(0.3, 4, 120) * np.array([1, 1, 1, 3.0])[:, None],
    "odd": autoregressive(0.5, 3, 101),
    "one": autoregressive(0.5, 1, 120),
    "tied": np.round(autoregressive(0.5, 4, 120), 0),
    "heavy": rng.standard_cauchy((2, 150)),
}


def measured(draws):
    axes = {"chain_axis": 0, "draw_axis": 1}
    return {
        "draws": draws.tolist(),
        "r_hat": float(array_stats.rhat(draws, method="rank", **axes)),
        "ess_bulk": float(array_stats.ess(draws, method="bulk", **axes)),
        "ess_tail": float(array_stats.ess(draws, method="tail", prob=(0.05, 0.95), **axes)),
        "ess": float(array_stats.ess(draws, method="mean", **axes)),
    }


if __name__ == "__main__":
    found = {name: measured(np.round(draws, 6)) for name, draws in CASES.items()}
    Path(__file__).with_name("convergence.json").write_text(json.dumps(found))
