"""Whether an episode ends where a mind has what it wants: evidence about the mind, where an observer is to count it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.mind_policies import MindPolicies


@dataclass(frozen=True)
class Ends:
    """When the episodes of a mind end: in each state it comes to, before it acts there, with one of two probabilities.

    A mind has arrived where its own purpose is over (a goal reached, a pit). One that does not say where that is (a
    policy, a language model) never has: its episodes end anywhere with probability `elsewhere`.

        Observer(world, minds, ends=Ends())                 those who have what they want stop, others go on
        Observer(world, minds, ends=Ends(0.9, 0.01))        they may walk on, and may be interrupted
    """

    arrived: float = 1.0
    """P(the episode ends here | the mind has arrived)."""
    elsewhere: float = 0.0
    """P(the episode ends here | it has not)."""

    def __post_init__(self) -> None:
        for name in ("arrived", "elsewhere"):
            value = getattr(self, name)
            number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            if not number or not 0 <= value <= 1:
                raise UsageError(f"{name} = {value!r} of Ends", expected="a probability, 0 to 1")


class EndTables(NamedTuple):
    """`Ends` of all minds.

    Attributes:
        going_on: `[R, S]` log P(the episode does not end here | mind, memory).
        ended: `[R, S]` log P(it ends here | mind, memory).
    """

    going_on: Array
    ended: Array


def end_tables(ends: Ends | bool | None, policies: MindPolicies) -> EndTables | None:
    """Returns the tables of `ends` (True: `Ends()`); None where ends are no evidence.

    Raises:
        UsageError: it is no such thing.
    """
    if ends is None or ends is False:
        return None
    if ends is True:
        ends = Ends()
    if not isinstance(ends, Ends):
        raise UsageError(f"ends = {ends!r}", expected="Ends(arrived=1.0, elsewhere=0.0), True, or None: not counted")
    stops = np.where(policies.arrived, float(ends.arrived), float(ends.elsewhere))
    with np.errstate(divide="ignore"):  # certain, or impossible
        return EndTables(np.log1p(-stops), np.log(stops))
