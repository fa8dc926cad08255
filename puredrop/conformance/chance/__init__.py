"""Exact tests of masks: rates, counts and independence, how large a sample each needs, and a bound over all of them."""

from .correction import Observation, holm, surprising
from .exact import binomial_p_value, binomial_tail, multinomial_p_value
from .independence import across_calls, lags, patterns, repeats, shards, totals
from .power import power, sample_size

__all__ = [
    "Observation",
    "across_calls",
    "binomial_p_value",
    "binomial_tail",
    "holm",
    "lags",
    "multinomial_p_value",
    "patterns",
    "power",
    "repeats",
    "sample_size",
    "shards",
    "surprising",
    "totals",
]
