"""Every dropout, by family. All of them are at the top level too."""

from .elementwise import dropout, keep_mask

__all__ = ["dropout", "keep_mask"]
