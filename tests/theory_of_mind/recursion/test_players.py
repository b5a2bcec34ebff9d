"""Observers and minds of one player among several."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inscape import make_agent, rollout
from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind import (
    Best,
    Caring,
    Controller,
    Hierarchy,
    LevelK,
    Observer,
    Planning,
    PlanningMind,
    Softmax,
    Uniform,
    cognitive_hierarchy,
    grid,
    level_k,
    observe,
)
from tests.theory_of_mind.recursion.test_levels import PILE, REPEATED, PileState


class Always:
    """Takes one action whatever happens."""

    def __init__(self, action: int) -> None:
        self.action, self.name = action, f"always {action}"

    def controller(self, world: Any, player: int = 0) -> Controller:
        from inscape.theory_of_mind.player_view import PlayerView

        legal = PlayerView(world, player).dynamics().legal
        with np.errstate(divide="ignore"):
            one = np.log(np.eye(legal.shape[1])[self.action]) * np.ones(legal.shape)
        return Controller.memoryless(np.where(legal[:, [self.action]], one, np.where(legal, 0.0, -np.inf)))


def mind(world: Any, **parts: Any) -> PlanningMind:
    return PlanningMind(**{"wants": world.purpose, "plans": Planning("hard"), "chooses": Best()} | parts)


@pytest.mark.parametrize("world", [PILE, REPEATED], ids=["in turn", "at once"])
@pytest.mark.parametrize("k", [0, 1, 2])
def test_a_mind_that_takes_others_to_be_of_level_k_is_of_level_k_plus_1(world: Any, k: int) -> None:
    levels = level_k(world, k + 1)
    for player in range(2):
        policy = np.exp(mind(world, others=LevelK(k)).controller(world, player).log_probs[:, 0])
        acts = levels.game.tables.legal[:, player].any(axis=1)
        np.testing.assert_allclose(policy[acts], levels[k + 1][player][acts], atol=1e-12)


def test_a_mind_above_a_population_is_that_of_the_hierarchy() -> None:
    hierarchy = cognitive_hierarchy(PILE, 3, 1.5)
    policy = np.exp(mind(PILE, others=Hierarchy(2, 1.5)).controller(PILE, 0).log_probs[:, 0])
    acts = hierarchy.game.tables.legal[:, 0].any(axis=1)
    np.testing.assert_allclose(policy[acts], hierarchy[3][0][acts], atol=1e-12)


def test_the_level_of_a_player_is_inferred_from_its_moves() -> None:
    """Posterior against products of the levels' own probabilities."""
    minds = grid(
        wants=PILE.purpose, plans=Planning("soft-eval"), chooses=Softmax(2.0), others=[Uniform(), LevelK(1), LevelK(2)]
    )
    watch = Observer(PILE, minds, player=0)
    moves = [(PileState(4, 0), "two"), (PileState(2, 0), "two")]
    likelihood = np.ones(3)
    for state, action in moves:
        row = int(PILE.dynamics().index_of(PILE.pack([state]))[0])
        for g, each in enumerate(minds):
            likelihood[g] *= np.exp(each.controller(PILE, 0).log_probs[row, 0, ("one", "two").index(action)])
    watch.update(moves[0][0], moves[0][1], PileState(3, 1))
    watch.update(PileState(3, 1), 0, PileState(2, 0))  # the other one moves
    posterior = watch.update(moves[1][0], moves[1][1])
    np.testing.assert_allclose(posterior, likelihood / likelihood.sum(), rtol=1e-12)


@pytest.mark.parametrize(("world", "name"), [(PILE, "pile"), (REPEATED, "prisoners")])
@pytest.mark.parametrize("player", [0, 1])
def test_a_player_is_observed_in_recorded_episodes(world: Any, name: str, player: int) -> None:
    minds = [mind(world, chooses=Softmax(beta), others=Uniform(), plans=Planning("soft-eval")) for beta in (0.0, 5.0)]
    watch = Observer(world, minds, player=player)
    for trajectory in rollout(make_agent("random", world), world, episodes=12, seed=1):
        path = observe(watch, trajectory)
        assert path.shape[1] == 2
    assert watch.posterior()[0] > 0.9  # it plays at random


def test_who_cares_for_the_other_cooperates() -> None:
    trusting = {1: Always(0)}
    for wants, defects in (
        (REPEATED.purpose, True),
        (Caring(REPEATED.purpose, {1: 1.0}), False),
        (Caring(REPEATED.purpose, guilt=0.39), True),  # 5 − 0.39·5 > 3: Axelrod's payoffs 5, 3, 1, 0
        (Caring(REPEATED.purpose, guilt=0.41), False),
        (Caring(REPEATED.purpose, {1: -1.0}), True),
    ):
        policy = np.exp(mind(REPEATED, wants=wants, others=trusting).controller(REPEATED, 0).log_probs[:, 0])
        first = int(np.argmax(REPEATED.dynamics().initial))
        assert policy[first, 1] == (1.0 if defects else 0.0), wants


def test_envy_is_of_what_the_other_gets_more() -> None:
    rewards = np.array([[3.0, 5.0, 1.0]])
    found = Caring("goal", {1: 0.5}, guilt=0.2, envy=0.3).utility(rewards, 0)
    assert found[0] == pytest.approx(3.0 + 0.5 * 5.0 - (0.3 * 2.0) / 2 - (0.2 * 2.0) / 2)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LevelK(-1), "level -1"),
        (lambda: Hierarchy(1, -0.5), "tau is -0.5"),
        (lambda: mind(PILE, others=3), r"others = 3"),
        (lambda: mind(PILE, others={0: Always(0)}).controller(PILE, 0), "no mind of player 1"),
        (lambda: Observer(PILE, [mind(PILE)], player=2), "player 2"),
        (lambda: mind(PILE).controller(PILE, -1), "player -1"),
        (lambda: mind(PILE, wants=Caring(PILE.purpose, {0: 1.0})).controller(PILE, 0), "player 0 cares for player 0"),
        (lambda: Caring("goal", {1: float("nan")}), "finite numbers"),
        (lambda: Caring("goal", guilt=-1.0), "guilt is -1.0"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_who_is_watched_must_be_named() -> None:
    with pytest.raises(MissingLawError, match="player=0"):
        Observer(PILE, [mind(PILE)])


def test_minding_others_needs_others() -> None:
    from tests.theory_of_mind.worlds import Corridor

    with pytest.raises(UsageError, match="has one player"):
        PlanningMind("middle", 1.0, "hard", others=Uniform()).controller(Corridor())
