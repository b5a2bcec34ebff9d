"""What objects work out when first asked for it (`functools.cached_property`): copies and pickles leave it out."""

from __future__ import annotations

from functools import cached_property
from typing import Any


def without_cached_properties(value: object) -> dict[str, Any]:
    """Returns the attributes of `value` that are not the remembered values of cached properties."""
    cls = type(value)
    return {
        name: attribute
        for name, attribute in vars(value).items()
        if not isinstance(getattr(cls, name, None), cached_property)
    }
