"""Settings of all agents are checked alike: what is out of range is refused with the setting's name."""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Any

import pytest

from inscape.agents.catalogue import BUILT_IN
from inscape.agents.learning.settings_checks import (
    require_counts_if_any,
    require_positive,
    require_range,
    require_shares,
    require_weights_if_any,
)
from inscape.agents.registry import settings_class
from inscape.agents.sb3.settings import SB3Settings
from inscape.errors import UsageError

PLANNERS = ("mcts", "value-iteration")  # which check their settings where they meet the model
LEARNERS = {e.name: cls for e in BUILT_IN if e.name not in PLANNERS and (cls := settings_class(e.name)) is not None}


def _fields(kind: type) -> list[Any]:
    return [
        pytest.param(cls, name, id=f"{agent}.{name}")
        for agent, cls in {**LEARNERS, "sb3": SB3Settings}.items()
        for name, hint in typing.get_type_hints(cls).items()
        if hint in (kind, kind | None)
    ]


@pytest.mark.parametrize(("cls", "name"), _fields(float))
def test_no_setting_takes_what_is_not_a_number(cls: type, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} = nan"):
        cls(**{name: math.nan})


@pytest.mark.parametrize(("cls", "name"), _fields(int))
def test_no_count_is_negative(cls: type, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} = -7"):
        cls(**{name: -7})


@dataclasses.dataclass(frozen=True)
class Some:
    count: int | None = None
    share: float = 0.5
    rate: float = 0.1


def test_bounds_are_where_they_are_said_to_be() -> None:
    require_counts_if_any(Some(), "count")
    require_weights_if_any(Some(), "count")
    require_shares(Some(share=0.0), "share")
    require_shares(Some(share=1.0), "share")
    with pytest.raises(UsageError, match=r"share = 1\.01\n  expected: a number from 0 to 1"):
        require_shares(Some(share=1.01), "share")
    with pytest.raises(UsageError, match=r"rate = 0\n  expected: a positive number"):
        require_positive(Some(rate=0), "rate")
    with pytest.raises(UsageError, match="rate = inf"):
        require_positive(Some(rate=math.inf), "rate")
    with pytest.raises(UsageError, match=r"count = 11\n  expected: a number from 1 to 10"):
        require_range(Some(count=11), 1, 10, "count")
