"""The table of layers: a row for each layer and option, a file for each family."""

from ..case import LayerCase
from . import (
    activations,
    attention,
    convolutional,
    dense,
    models,
    recurrent,
    residual,
    spatial_dropout,
    transformer,
)

FAMILIES = (dense, activations, convolutional, residual, spatial_dropout, recurrent, attention, transformer, models)
CASES: tuple[LayerCase, ...] = tuple(case for family in FAMILIES for case in family.CASES)
