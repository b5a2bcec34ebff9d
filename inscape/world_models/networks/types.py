"""Types that networks, models and agents share."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
State = dict[str, Any]
"""What `state_dict` returns: nested dicts of arrays, numbers, strings and None."""
