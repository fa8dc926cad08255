"""Every dropout, by family. All of them are at the top level too."""

from . import (
    alpha,
    attention,
    blocks,
    counts,
    data_dependent,
    elementwise,
    gaussian,
    graph,
    learned,
    pooling,
    recurrent,
    residual,
    structured,
    tokens,
    weights,
)
from .alpha import *  # noqa: F403  # each family lists its variants in its own __all__
from .attention import *  # noqa: F403
from .blocks import *  # noqa: F403
from .counts import *  # noqa: F403
from .data_dependent import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .gaussian import *  # noqa: F403
from .graph import *  # noqa: F403
from .learned import *  # noqa: F403
from .pooling import *  # noqa: F403
from .recurrent import *  # noqa: F403
from .residual import *  # noqa: F403
from .structured import *  # noqa: F403
from .tokens import *  # noqa: F403
from .weights import *  # noqa: F403

FAMILIES = (
    elementwise,
    gaussian,
    alpha,
    counts,
    structured,
    tokens,
    blocks,
    weights,
    recurrent,
    learned,
    data_dependent,
    residual,
    attention,
    pooling,
    graph,
)

__all__ = [name for family in FAMILIES for name in family.__all__]
