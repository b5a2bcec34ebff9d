"""Spaces that few environments have, in all agents: each acts and learns there, or says what it takes instead."""

from __future__ import annotations

import logging
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from inscape import UsageError, evaluate, make_agent, resolve_task, rollout, train

ON = {"num_envs": 2, "num_steps": 8, "hidden": (8,)}
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": ON,
    "a2c": {"num_envs": 2, "hidden": (8,)},
    "dqn": {"learning_starts": 4, "batch_size": 4, "buffer_size": 64, "hidden": (8,)},
    "sac": {"learning_starts": 4, "batch_size": 4, "buffer_size": 64, "hidden": (8,)},
    "sb3:ppo": {"num_steps": 8},
}
BOX = spaces.Box(-1, 1, (2,), np.float32)


class Theirs(gym.Env[Any, Any]):
    """Five steps; it observes samples of its space, and refuses an action outside of its own."""

    def __init__(self, observed: spaces.Space[Any] = BOX, taken: spaces.Space[Any] | None = None) -> None:
        self.observation_space, self.action_space = observed, taken or spaces.Discrete(3)
        self.acted: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), (action, type(action))
        self.acted.append(action)
        self.t += 1
        return self.observation_space.sample(), 1.0, self.t == 5, False, {}


def learns(agent: str, observed: spaces.Space[Any] = BOX, taken: spaces.Space[Any] | None = None) -> None:
    run = train(agent, lambda: Theirs(observed, taken), 16, settings=SETTINGS[agent], verbose=False)
    assert evaluate(run.agent, run.task, 2).mean == 5.0


@pytest.mark.parametrize("agent", ["ppo", "a2c", "dqn"])
@pytest.mark.parametrize(
    "observed",
    [spaces.Box(0, 1, (4,), np.bool_), spaces.Box(-1, 1, (), np.float64), spaces.Box(0, 2**40, (2,), np.int64)],
    ids=["bool", "one number", "large"],
)
def test_learners_take_every_box(agent: str, observed: spaces.Space[Any]) -> None:
    learns(agent, observed)


@pytest.mark.parametrize("agent", ["ppo", "dqn", "sb3:ppo"])
def test_nothing_to_observe_is_refused(agent: str) -> None:
    nothing = spaces.Box(-1, 1, (0,), np.float32)
    assert evaluate("random", lambda: Theirs(nothing), 2).mean == 5.0
    with pytest.raises(UsageError, match=r"at least|or more"):
        learns(agent, nothing)


@pytest.mark.quick(every=2)
@pytest.mark.parametrize(
    "taken",
    [
        spaces.MultiBinary([2, 3]), spaces.MultiBinary(4), spaces.Box(0, 5, (2,), np.int32),
        spaces.Box(-np.inf, np.inf, (2,), np.float32), spaces.Box(np.array([0, -np.inf]), np.array([np.inf, 3])),
        spaces.Box(-1, 1, (2, 2), np.float64), spaces.Box(-1, 1, (), np.float32), spaces.Discrete(3, start=-1),
        spaces.MultiDiscrete([[2, 3], [4, 2]], start=[[5, 0], [-3, 1]]),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("agent", ["ppo", "a2c"])
def test_policies_act_in_every_space(agent: str, taken: spaces.Space[Any]) -> None:
    learns(agent, taken=taken)


@pytest.mark.parametrize(
    ("observed", "words"),
    [
        (spaces.Box(-1, 1, (), np.float32), "one axis"),
        (spaces.MultiDiscrete([[2, 3], [4, 2]]), "one dimension"),
        (spaces.Dict(here=BOX, there=spaces.MultiDiscrete([[2, 3], [4, 2]])), "'there', MultiDiscrete"),
    ],
    ids=["one number", "several dimensions", "a part of several dimensions"],
)
def test_stable_baselines_says_which_observations_it_takes(observed: spaces.Space[Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        make_agent("sb3:ppo", resolve_task(lambda: Theirs(observed)))
    assert "FlattenObservation" in caught.value.hint


def test_a_linear_policy_takes_one_array() -> None:
    with pytest.raises(UsageError, match=r"sb3:ars does not take[\s\S]*FlattenObservation"):
        make_agent("sb3:ars", resolve_task(lambda: Theirs(spaces.Dict(here=BOX))))


# ------------------------------------------------------------------------------------------------ the random agent


def drawn(taken: spaces.Space[Any]) -> np.ndarray:
    return np.concatenate([t.actions for t in rollout("random", lambda: Theirs(taken=taken), 200, seed=3)])


def test_random_draws_every_whole_number_of_a_box() -> None:
    actions = drawn(spaces.Box(-2, 2, (1,), np.int64))
    counts = [int((actions == value).sum()) for value in range(-2, 3)]
    assert min(counts) > 150 and sum(counts) == 1000


def test_random_draws_both_truth_values_of_a_box() -> None:
    assert 400 < int(drawn(spaces.Box(0, 1, (1,), np.bool_)).sum()) < 600


def test_random_draws_where_bounds_are_infinite_as_gymnasium_does() -> None:
    low, high = np.array([-np.inf, 2, -np.inf, 0]), np.array([np.inf, np.inf, 3, 10])
    free, above, below, between = drawn(spaces.Box(low, high, dtype=np.float64)).T
    assert abs(free.mean()) < 0.15 and abs(free.std() - 1) < 0.15
    assert above.min() >= 2 and abs(above.mean() - 3) < 0.2
    assert below.max() <= 3 and abs(below.mean() - 2) < 0.2
    assert between.min() >= 0 and between.max() <= 10 and abs(between.mean() - 5) < 0.4


def test_whole_numbers_are_the_nearest() -> None:
    class Rounding:
        name = "rounding"

        def act(self, observation: Any) -> Any:
            return np.full((len(observation), 2), [1.6, -0.7])

    actions = rollout(Rounding(), lambda: Theirs(taken=spaces.Box(-3, 3, (2,), np.int32)), 1, seed=0)[0].actions
    assert actions.tolist() == [[2, -1]] * 5


# ----------------------------------------------------------------------------------------------------------- masks


class Masked(Theirs):
    """Action 1 alone is legal; others are counted."""

    wrong = 0

    def action_masks(self) -> Any:
        return np.array([False, True, False])

    def step(self, action: Any) -> Any:
        type(self).wrong += action != 1
        return super().step(action)


def test_who_takes_no_masks_says_that_actions_are_restricted(caplog: pytest.LogCaptureFixture) -> None:
    """Once, not for each copy and step; nothing where masks are obeyed."""
    with caplog.at_level(logging.WARNING, "inscape"):
        train("sb3:ppo", Masked, 32, settings={"num_steps": 8, "num_envs": 2}, verbose=False)
    assert [record.getMessage().partition(":")[0] for record in caplog.records if "masks" in record.getMessage()] == [
        "sb3"
    ]
    assert Masked.wrong > 0
    caplog.clear()
    Masked.wrong = 0
    with caplog.at_level(logging.WARNING, "inscape"):
        train("sb3:maskable-ppo", Masked, 32, settings={"num_steps": 8, "num_envs": 2}, verbose=False)
    assert not caplog.records and Masked.wrong == 0
