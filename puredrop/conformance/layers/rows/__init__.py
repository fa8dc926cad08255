"""The table of layers: a row for each layer and option, a file for each family."""

from ..case import LayerCase
from . import activations, attention, dense, transformer

FAMILIES = (dense, activations, attention, transformer)
CASES: tuple[LayerCase, ...] = tuple(case for family in FAMILIES for case in family.CASES)
