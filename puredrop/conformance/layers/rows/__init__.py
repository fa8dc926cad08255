"""The table of layers: a row for each layer and option, a file for each family."""

from ..case import LayerCase
from . import activations, convolutional, dense

FAMILIES = (dense, activations, convolutional)
CASES: tuple[LayerCase, ...] = tuple(case for family in FAMILIES for case in family.CASES)
