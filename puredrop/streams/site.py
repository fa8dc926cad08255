"""One setting for all layers, or one for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def by_site(where: str, name: str, given: Any, checked: Callable[[Any], T]) -> Callable[[int | None], T]:
    """The setting of a site: `given` for every one, or what the mapping {site: value} holds for it.

    Raises: LookupError, when asked, for a site that the mapping does not hold.
    """
    if not isinstance(given, Mapping):
        value = checked(given)
        return lambda site: value
    values = {site: checked(value) for site, value in given.items()}

    def at(site: int | None) -> T:
        if site not in values:
            raise LookupError(f"{where}: no {name} was given for site {site}; given are sites {sorted(values)}")
        return values[site]

    return at
