"""What an observer's minds differ in, for tables, bars and pages: goals where there are several, else themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inscape.theory_of_mind.minds import name_of


def hypotheses(minds: Sequence[Any]) -> dict[str, list[int]]:
    """Returns for each hypothesis its name and the minds it stands for, in the order of the minds.

    Minds of several goals are counted together by goal (over rationality and the rest). Minds all of one goal
    without a name, which differ in rationality, are called by that; others stand for themselves.
    """
    groups: dict[str, list[int]] = {}
    for index, mind in enumerate(minds):
        groups.setdefault(str(getattr(mind, "goal", name_of(mind))), []).append(index)
    if len(groups) == 1:
        groups = {}
        betas = [getattr(mind, "beta", None) for mind in minds]
        named = isinstance(getattr(minds[0], "goal", ""), str)
        if not named and None not in betas and len(set(betas)) == len(minds):
            return {f"β = {beta:.3g}": [index] for index, beta in enumerate(betas)}
        for index, mind in enumerate(minds):
            groups.setdefault(name_of(mind), []).append(index)
    return groups
