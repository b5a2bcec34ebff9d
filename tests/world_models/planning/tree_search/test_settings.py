"""Settings of a tree search: what is accepted, and what is said of the rest."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.world_models.planning.tree_search.settings import TreeSearchSettings, UCTSettings

WRONG = {
    "num_simulations": (0, -3, 2.0, True, "many"),
    "max_depth": (0, 1.5, False),
    "max_nodes": (0, None),
    "exploration": (-0.1, math.inf, math.nan),
    "averaging_visits": (-1.0, math.inf),
    "gamma": (-0.01, 1.01, math.nan),
    "rollout": ("random", ""),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_wrong_settings_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"{name} = "):
        UCTSettings(**{name: value})


def test_the_ends_of_the_ranges_are_accepted() -> None:
    least = {"num_simulations": 1, "max_depth": np.int64(1), "exploration": 0.0, "averaging_visits": 0.0}
    assert TreeSearchSettings(**least).rollout == "uniform"
    for gamma in (0.0, 1.0):
        assert UCTSettings(**least, gamma=gamma, max_nodes=1, rollout="none").gamma == gamma
