"""The agent `i-pomdp`: it plays the policy of its level and type; refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inscape import make_agent, resolve_task, rollout
from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind import Caring, interactive_levels, level_k

TYPES: dict[str, Any] = {"guilt": (0.0, 0.7), "prior": (0.3, 0.7)}


def test_it_plays_the_policy_of_its_level_and_type() -> None:
    world = resolve_task("KuhnPoker").world
    kinds = [None, Caring(world.purpose, guilt=0.7)]
    levels = interactive_levels("KuhnPoker", {0: kinds, 1: kinds}, 2, 3.0, "myopic", {0: (0.3, 0.7), 1: (0.3, 0.7)})
    tree = levels.game.tree
    for own in range(2):
        agent = make_agent("i-pomdp", "KuhnPoker", settings={**TYPES, "level": 2, "beta": 3.0, "base": "myopic",
                                                             "own_type": own})  # fmt: skip
        for player in range(2):
            rows = np.flatnonzero(tree.owner == player)
            found = np.exp(agent.for_player(player).action_log_probs(tree.observations[rows]))
            np.testing.assert_allclose(found, levels.top[player][own][rows], atol=1e-12)


def test_with_one_type_it_is_level_k() -> None:
    agent, levels = (
        make_agent("i-pomdp", "KuhnPoker", settings={"level": 2, "beta": 2.0}),
        level_k("KuhnPoker", 2, chooses=2.0),
    )
    tree = levels.game.tree
    rows = np.flatnonzero(tree.owner == 0)
    np.testing.assert_allclose(np.exp(agent.action_log_probs(tree.observations[rows])), levels.top[0][rows], atol=1e-12)
    assert len(rollout(agent, "KuhnPoker", episodes=3, seed=0)) == 3
    other = make_agent("i-pomdp", "KuhnPoker", settings={"level": 2, "beta": 2.0}, seed=5)
    other.load_state_dict(agent.state_dict())
    assert other.state_dict() == agent.state_dict()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"level": -1}, "level = -1"),
        ({"guilt": (0.0, 1.0), "envy": (0.0, 1.0, 2.0)}, "guilt = "),
        ({"guilt": (0.0, 1.0), "prior": (1.0,)}, "prior = "),
        ({"guilt": (0.0, 1.0), "prior": (0.5, 0.6)}, "prior"),
        ({"own_type": 1}, "own_type = 1"),
        ({"max_histories": 10}, "10 histories"),
    ],
)
def test_what_is_no_level_or_type_and_games_too_large_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_agent("i-pomdp", "KuhnPoker", settings=settings)
    with pytest.raises(MissingLawError, match="i-pomdp in FrozenLake"):
        make_agent("i-pomdp", "FrozenLake")
