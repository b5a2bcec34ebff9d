"""What agents say of themselves against what they do: exact probabilities, wrong models, wrong claims."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from inscape import make_agent, make_world
from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind import Observer, minds_grid, self_knowledge
from tests.theory_of_mind.worlds import Corridor


class Right:
    """Goes right with probability 3/4, and may claim to succeed."""

    name = "right"

    def __init__(self, claims: float | None = None, says: float = 0.75) -> None:
        self.says, self.rng = says, np.random.default_rng(0)
        if claims is not None:
            self.predict_success = lambda observations: np.full(len(observations), claims)

    def act(self, observation: Any, action_mask: Any = None) -> np.ndarray:
        return (self.rng.random(len(observation)) < 0.75).astype(np.int64)

    def action_log_probs(self, observation: Any, action_mask: Any = None) -> np.ndarray:
        return np.log(np.tile([1 - self.says, self.says], (len(observation), 1)))


class Ruin(Corridor):
    """A walk that ends at both ends; the right one is a success."""

    max_episode_steps = 200

    @staticmethod
    def terminal(params: Any, purpose: Any, state: Any) -> bool:
        return bool(state.cell == 0 or state.cell == params.length - 1)


def test_an_agent_that_knows_itself() -> None:
    found = self_knowledge(Right(), Ruin(length=7, goal=6), 600, horizon=3)
    entropy = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert found.bits_per_action == pytest.approx(entropy, abs=0.03)
    assert found.bits_ahead[0] == pytest.approx(found.bits_per_action)
    assert found.bits_ahead[2] == pytest.approx(entropy, abs=0.04)
    # the gambler's ruin from the middle: 1/(1 + (1/3)³)
    start = found.success_probs[np.isclose(found.success_probs, 1 / (1 + (1 / 3) ** 3), atol=1e-9)]
    assert len(start) > 50
    assert found.success.holds(0.05).all()
    assert found.succeeded.mean() == pytest.approx(27 / 28, abs=0.03)
    assert found.success_bits <= found.base_rate_bits + 0.01


def test_agents_that_do_not() -> None:
    wrong = self_knowledge(Right(says=0.25), Ruin(length=7, goal=6), 200)
    assert wrong.bits_per_action > wrong.uniform_bits.mean()
    assert not wrong.actions.holds().all()
    assert wrong.success_bits > wrong.base_rate_bits
    boast = self_knowledge(Right(claims=0.5), Ruin(length=7, goal=6), 200)
    assert boast.success_bits == pytest.approx(1.0)
    assert boast.brier == pytest.approx(0.25)
    mistaken = self_knowledge(Right(), Ruin(length=7, goal=6), 200, model=Ruin(length=7, goal=6, slip=0.9))
    assert mistaken.success_bits > 2 * boast.success_bits
    assert mistaken.bits_per_action < mistaken.uniform_bits.mean()


def test_beside_an_observer_and_by_a_name() -> None:
    world = make_world("FourGoals")
    agent = make_agent("value-iteration", world, settings={"beta": 30.0})
    watch = Observer(world, minds_grid(world.goals, [5.0, 30.0], "soft-eval"))
    found = self_knowledge(agent, world, 20, observer=watch)
    assert found.observer_bits is not None
    assert found.bits_per_action < found.observer_bits.mean() < found.uniform_bits.mean()
    assert "an observer" in str(found)
    random = self_knowledge("random", "FrozenLake", 200, success=lambda state: state.cell == 15)
    assert random.bits_per_action == pytest.approx(2.0)
    assert random.success.holds(0.05).all()


def test_refusals() -> None:
    with pytest.raises(MissingLawError, match="self-knowledge"):
        self_knowledge("random", "TicTacToe")
    with pytest.raises(UsageError, match="no probabilities"):
        self_knowledge(Right(claims=2.0), Ruin(length=7, goal=6), 5)
    with pytest.raises(UsageError, match="same states"):
        self_knowledge(Right(), Ruin(length=7, goal=6), 5, model=Ruin(length=5))
