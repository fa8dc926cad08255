"""Randomness as a value: a mask is a pure function of (key, element index)."""

from .bernoulli import Draw, Keys, Threshold, threshold
from .index import ELEMENT_LIMIT, Index
from .key import CONTRACT_VERSION, INITIALISATION, MASK, NORMAL, PERMUTATION, TIE, UNIFORM, Key, Rng

__all__ = [
    "CONTRACT_VERSION",
    "ELEMENT_LIMIT",
    "INITIALISATION",
    "MASK",
    "NORMAL",
    "PERMUTATION",
    "TIE",
    "UNIFORM",
    "Draw",
    "Index",
    "Key",
    "Keys",
    "Rng",
    "Threshold",
    "threshold",
]
