"""Every dropout, by family. All of them are at the top level too."""

from . import (
    alpha,
    attention,
    blocks,
    concrete,
    counts,
    data_dependent,
    dense,
    elementwise,
    fixed_masks,
    gaussian,
    graph,
    hard_concrete,
    holes,
    paths,
    pooling,
    recurrent,
    residual,
    shake,
    structured,
    tokens,
    variational,
    weights,
)
from .alpha import *  # noqa: F403  # each family lists its variants in its own __all__
from .attention import *  # noqa: F403
from .blocks import *  # noqa: F403
from .concrete import *  # noqa: F403
from .counts import *  # noqa: F403
from .data_dependent import *  # noqa: F403
from .dense import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .fixed_masks import *  # noqa: F403
from .gaussian import *  # noqa: F403
from .graph import *  # noqa: F403
from .hard_concrete import *  # noqa: F403
from .holes import *  # noqa: F403
from .paths import *  # noqa: F403
from .pooling import *  # noqa: F403
from .recurrent import *  # noqa: F403
from .residual import *  # noqa: F403
from .shake import *  # noqa: F403
from .structured import *  # noqa: F403
from .tokens import *  # noqa: F403
from .variational import *  # noqa: F403
from .weights import *  # noqa: F403

FAMILIES = (
    elementwise,
    gaussian,
    alpha,
    counts,
    structured,
    tokens,
    blocks,
    holes,
    weights,
    hard_concrete,
    dense,
    recurrent,
    variational,
    concrete,
    fixed_masks,
    data_dependent,
    residual,
    shake,
    paths,
    attention,
    pooling,
    graph,
)

__all__ = [name for family in FAMILIES for name in family.__all__]
