"""The agent `level-k`: what it does is the policy of its level; refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inscape import make_agent, resolve_task, rollout
from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind import cognitive_hierarchy, level_k


def made(world: str, **settings: Any) -> Any:
    return make_agent("level-k", resolve_task(world), seed=0, settings=settings)


def test_it_asks_for_what_its_level_asks_for() -> None:
    for level, asked in enumerate(("20", "19", "18", "17", "16")):
        agent = made("MoneyRequest", level=level, base="20")
        actions = agent.act(np.zeros((3, 3), np.int64))
        assert [agent.world.action_names[a] for a in actions] == [asked] * 3
    with_tau = made("MoneyRequest", level=4, base="20", tau=2.36)
    assert cognitive_hierarchy("MoneyRequest", 4, 2.36, base="20").choices(4) == ["17"]
    assert with_tau.world.action_names[int(with_tau.act(np.zeros((1, 3), np.int64))[0])] == "17"


def test_in_poker_it_plays_its_policy() -> None:
    agent, levels = made("KuhnPoker", level=2, beta=3.0), level_k("KuhnPoker", 2, chooses=3.0)
    tree = levels.game.tree
    for player in range(2):
        rows = np.flatnonzero(tree.owner == player)
        found = np.exp(agent.for_player(player).action_log_probs(tree.observations[rows]))
        np.testing.assert_allclose(found, levels.top[player][rows], atol=1e-12)


def test_what_it_earns_is_what_its_level_is_worth() -> None:
    agent, levels = made("KuhnPoker", level=1, beta=2.0), level_k("KuhnPoker", 1, chooses=2.0)
    earned = [trajectory.rewards.sum(axis=0)[0] for trajectory in rollout(agent, "KuhnPoker", episodes=400, seed=1)]
    error = np.std(earned) / np.sqrt(len(earned))
    assert np.mean(earned) == pytest.approx(levels.game.returns(levels.top)[0], abs=4 * error)


def test_where_all_is_seen_it_looks_states_up() -> None:
    agent = made("PrisonersDilemma", level=1)
    trajectory = next(iter(rollout(agent, "PrisonersDilemma", episodes=1, seed=0)))
    assert (np.asarray(trajectory.actions) == 1).all()  # it defects to the end
    state = agent.state_dict()
    other = made("PrisonersDilemma", level=1)
    other.load_state_dict(state)
    assert other.state_dict()["rng"] == state["rng"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: made("MoneyRequest", level=-1), "level = -1"),
        (lambda: made("MoneyRequest", tau=-1.0), "tau = -1.0"),
        (lambda: made("MoneyRequest", beta=-1.0), "beta = -1.0"),
        (lambda: made("MoneyRequest", base="30"), "'30' as level 0"),
        (lambda: made("KuhnPoker").act(np.array([[9, 9]])), "observes"),
    ],
)
def test_what_is_no_level_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_worlds_of_one_player_are_refused() -> None:
    with pytest.raises(MissingLawError, match="level-k in FrozenLake"):
        made("FrozenLake")
