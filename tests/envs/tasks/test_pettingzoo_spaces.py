"""PettingZoo environments whose observations have several parts: recorded, learned from, in worker processes."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv

from inscape import UsageError, resolve_task, rollout, train
from inscape.agents.rollout import evaluate_players

PPO = {"num_envs": 4, "num_steps": 8, "hidden": (8,)}
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": PPO,
    "self-play": {"learner_settings": PPO, "add_every": 40, "games": 2},
    "independent:ppo": PPO,
    "independent:dqn": {"learning_starts": 4, "batch_size": 4, "buffer_size": 64, "hidden": (8,)},
}
PARTS = spaces.Dict(place=spaces.Box(-9, 9, (2,), np.float32), item=spaces.Discrete(4, start=2))
MASK = spaces.Box(0, 1, (3,), np.int8)
LEGAL = np.array([0, 1, 1], np.int8)


def parts(number: int, t: int) -> dict[str, Any]:
    return {"place": np.array([number, t], np.float32), "item": np.int64(2 + t % 4)}


KINDS: dict[str, tuple[spaces.Space[Any], Any]] = {
    "dict": (PARTS, parts),
    "tuple": (
        spaces.Tuple([spaces.Box(-9, 9, (2,), np.float32), spaces.MultiBinary(3), spaces.Text(8)]),
        lambda number, t: (np.array([number, t], np.float32), np.ones(3, np.int8), "ab" if t % 2 else "b"),
    ),
    "nested": (
        spaces.Dict(own=PARTS, other=spaces.Tuple([spaces.Discrete(9)])),
        lambda number, t: {"own": parts(number, t), "other": (np.int64(t),)},
    ),
    "goal": (  # as in robotics: a part called "observation" among others
        spaces.Dict(observation=spaces.Box(-9, 9, (2,), np.float32), goal=spaces.Discrete(3)),
        lambda number, t: {"observation": np.array([number, t], np.float32), "goal": np.int64(number)},
    ),
    "masked": (
        spaces.Dict(observation=PARTS, action_mask=MASK),
        lambda number, t: {"observation": parts(number, t), "action_mask": LEGAL},
    ),
    "mask beside": (
        spaces.Dict(place=spaces.Box(-9, 9, (2,), np.float32), action_mask=MASK),
        lambda number, t: {"place": np.array([number, t], np.float32), "action_mask": LEGAL},
    ),
}


def module(monkeypatch: pytest.MonkeyPatch, **made: Any) -> str:
    found = types.ModuleType("parts_for_tests")
    found.__dict__.update(made)
    monkeypatch.setitem(sys.modules, found.__name__, found)
    return f"pettingzoo:{found.__name__}"


def at_once(kind: str, **odd: Any) -> type[ParallelEnv]:
    space, seen = KINDS[kind]

    class AtOnce(ParallelEnv):
        """a and b for four steps; a leaves after two."""

        metadata = {"name": "at_once"}
        possible_agents = ["a", "b"]

        def observation_space(self, agent: str) -> Any:
            return space

        def action_space(self, agent: str) -> Any:
            return spaces.Discrete(3)

        def reset(self, seed: int | None = None, options: Any = None) -> Any:
            self.agents, self.t = ["a", "b"], 0
            return {name: seen("ab".index(name), 0) for name in self.agents}, {name: {} for name in self.agents}

        def step(self, actions: Any) -> Any:
            self.t += 1
            assert "mask" not in kind or 0 not in actions.values()
            names, self.agents = self.agents, [n for n in self.agents if self.t < (2 if n == "a" else 4)]
            told = [
                {n: seen("ab".index(n), self.t) for n in names}, dict.fromkeys(names, 1.0),
                {n: n not in self.agents for n in names}, dict.fromkeys(names, False), {n: {} for n in names},
            ]  # fmt: skip
            for number, name in odd.items():
                told[int(number[1:])].pop(name, None)
            return tuple(told)

    return AtOnce


def in_turn(kind: str) -> type[AECEnv]:
    space, seen = KINDS[kind]

    class InTurn(AECEnv):
        """a and b, two moves each; a gains 1 in the end and b loses it."""

        metadata = {"name": "in_turn", "is_parallelizable": False}
        possible_agents = ["a", "b"]

        def observation_space(self, agent: str) -> Any:
            return space

        def action_space(self, agent: str) -> Any:
            return spaces.Discrete(3)

        def observe(self, agent: str) -> Any:
            return seen("ab".index(agent), self.t)

        def reset(self, seed: int | None = None, options: Any = None) -> None:
            self.agents, self.t, self.agent_selection = ["a", "b"], 0, "a"
            self.rewards, self._cumulative_rewards = dict.fromkeys("ab", 0.0), dict.fromkeys("ab", 0.0)
            self.terminations, self.truncations = dict.fromkeys("ab", False), dict.fromkeys("ab", False)
            self.infos: dict[str, Any] = {"a": {}, "b": {}}

        def step(self, action: Any) -> None:
            if self.terminations[self.agent_selection]:
                self._was_dead_step(action)
                return
            assert "mask" not in kind or action != 0
            self._cumulative_rewards[self.agent_selection] = 0.0
            self.t += 1
            over = self.t == 4
            self.rewards = {"a": 1.0, "b": -1.0} if over else dict.fromkeys("ab", 0.0)
            self.terminations = dict.fromkeys("ab", over)
            self.agent_selection = "ab"[self.t % 2]
            self._accumulate_rewards()

    return InTurn


@pytest.mark.quick("tuple")
@pytest.mark.parametrize("kind", KINDS)
def test_all_at_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = resolve_task(module(monkeypatch, parallel_env=at_once(kind)))
    assert [found.mean for found in evaluate_players("random", task, 3, seed=0)] == [2.0, 4.0]
    episode = rollout("random", task, 1, seed=0)[0]
    assert episode.observations.shape[:2] == (5, 2)
    for agent in SETTINGS if kind in ("tuple", "masked") else ("ppo",):
        run = train(agent, task, 48, settings=SETTINGS[agent], verbose=False)
        assert [found.mean for found in evaluate_players(run.agent, task, 2, seed=0)] == [2.0, 4.0]


@pytest.mark.quick("dict", "goal")
@pytest.mark.parametrize("kind", KINDS)
def test_in_turn(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = resolve_task(module(monkeypatch, env=in_turn(kind)))
    assert [found.mean for found in evaluate_players("random", task, 3, seed=0)] == [1.0, -1.0]
    for agent in ("self-play", "independent:dqn") if kind in ("tuple", "masked") else ("independent:dqn",):
        run = train(agent, task, 48, settings=SETTINGS[agent], verbose=False)
        assert [found.mean for found in evaluate_players(run.agent, task, 2, seed=0)] == [1.0, -1.0]


def test_parts_stay_with_their_players(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of both players, before and after one has left, and at the end of an episode."""
    env = resolve_task(module(monkeypatch, parallel_env=at_once("dict"))).vector_env(2)
    seen, _ = env.reset(seed=0)
    assert seen["place"].shape == (2, 2, 2) and seen["item"].tolist() == [[2, 2]] * 2
    for t in range(1, 5):
        seen, _, terminated, _, info = env.step(np.zeros((2, 2), int))
        last = info["final_obs"] if t == 4 else seen
        assert last["place"][0].tolist() == [[0, t] if t < 3 else [0, 0], [1, t]]
        assert last["item"][1].tolist() == [2 + t if t < 3 else 2, 2 + t % 4]  # the least, of who has left
    assert terminated.all() and seen["place"][0].tolist() == [[0, 0], [1, 0]]


def test_no_part_is_lost_beside_an_observation(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(resolve_task(module(monkeypatch, env=in_turn("goal"))).observation_space) == {"observation", "goal"}
    assert set(resolve_task(module(monkeypatch, env=in_turn("masked"))).observation_space) == {"place", "item"}


@pytest.mark.parametrize(("what", "words"), [("_0", "observations"), ("_1", "rewards")])
def test_who_acted_has_an_observation_and_a_reward(what: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = resolve_task(module(monkeypatch, parallel_env=at_once("dict", **{what: "b"})))
    with pytest.raises(
        UsageError, match=rf"the {words} of pettingzoo:\S+ do not have 'b', who acted in copy 0 at step"
    ):
        evaluate_players("random", task, 1, seed=0)
