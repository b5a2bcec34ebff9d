from __future__ import annotations

import sys
import types

import gymnasium as gym
import numpy as np
import pytest
from pettingzoo import ParallelEnv

from inscape.agents.registry import make_agent
from inscape.agents.rollout import evaluate_players
from inscape.envs.law.streams import copy_seeds
from inscape.envs.tasks.pettingzoo import ParallelVectorEnv
from inscape.envs.tasks.resolve import resolve_task, task_from_json
from inscape.envs.tasks.shared_policy import one_player
from inscape.errors import UsageError

RAGGED = [[[1, 2, 3], [4, 5, 6]], [[6, 5, 4], [3, 2, 1]]]
RPS = "pettingzoo:pettingzoo.classic.rps_v2"


def ragged():
    return resolve_task("RockPaperScissors", {"payoffs": RAGGED, "rounds": 2})


def legal_actions(mask, count, rng):
    return rng.integers(0, 2, count) if mask is None else np.argmax(mask * (1 + rng.random(mask.shape)), axis=1)


@pytest.mark.parametrize(
    "task",
    [
        ragged(),
        pytest.param(resolve_task("Foraging"), marks=pytest.mark.slow),
        pytest.param(resolve_task("StagHunt"), marks=pytest.mark.slow),
    ],
    ids=["ragged", "Foraging", "StagHunt"],
)
def test_rows_are_the_players_of_copies(task):
    """Row 2·copy + player has what the joint environment gives that player; across ends of episodes."""
    rows, joint = one_player(task).vector_env(10), task.vector_env(5)
    (seen, info), (both, joint_info) = rows.reset(seed=3), joint.reset(seed=3)
    rng, ended = np.random.default_rng(0), set()
    for _ in range(60):
        assert np.array_equal(seen.reshape(both.shape), both)
        assert ("action_mask" in info) == ("action_mask" in joint_info) == (task.name == "RockPaperScissors")
        if "action_mask" in info:
            assert np.array_equal(info["action_mask"].reshape(5, 2, -1), joint_info["action_mask"])
        actions = legal_actions(info.get("action_mask"), 10, rng)
        seen, reward, terminated, truncated, info = rows.step(actions)
        both, joint_reward, over, late, joint_info = joint.step(actions.reshape(5, 2))
        assert np.array_equal(reward.reshape(5, 2), joint_reward)
        assert np.array_equal(terminated, np.repeat(over, 2))
        assert np.array_equal(truncated, np.repeat(late, 2))
        if (over | late).any():
            ended.add(tuple(over | late))
            which = over | late
            assert np.array_equal(info["_final_obs"], np.repeat(which, 2))
            final = info["final_obs"].reshape(joint_info["final_obs"].shape)
            assert np.array_equal(final[which], joint_info["final_obs"][which])
    assert ended
    if task.name == "StagHunt":
        assert len(ended) > 2  # copies end at times of their own


def test_rows_resume_exactly():
    one, other = (one_player(resolve_task("StagHunt")).vector_env(6) for _ in range(2))
    one.reset(seed=1)
    rng = np.random.default_rng(0)
    for _ in range(30):
        one.step(rng.integers(0, 5, 6))
    other.reset(seed=9)
    other.load_state_dict(one.state_dict())
    for _ in range(40):
        actions = rng.integers(0, 5, 6)
        for mine, theirs in zip(one.step(actions)[:4], other.step(actions)[:4], strict=True):
            assert np.array_equal(mine, theirs)


def test_what_is_not_one_players_part_is_refused():
    with pytest.raises(UsageError, match=r"2 players who act in turn[\s\S]*self-play TicTacToe"):
        one_player(resolve_task("TicTacToe"))
    with pytest.raises(UsageError, match=r"16 rows for the 3 players[\s\S]*multiple of 3[\s\S]*num_envs = 15"):
        one_player(resolve_task("Spread")).vector_env(16)
    with pytest.raises(UsageError, match="2 players, and a Gymnasium environment has one"):
        one_player(resolve_task("StagHunt")).env()
    with pytest.raises(UsageError, match="same-step"):
        one_player(resolve_task("StagHunt")).vector_env(2, "next-step")
    alone = resolve_task("CartPole")
    assert one_player(alone) is alone


@pytest.mark.slow
def test_one_policy_for_all_learns_the_dominant_action():
    """Defecting is better whatever the other does, in one round: both end there, and get 1 each."""
    task = resolve_task("PrisonersDilemma", {"rounds": 1})
    settings = {"num_envs": 32, "num_steps": 8, "epochs": 4, "minibatches": 2, "learning_rate": 1e-2, "hidden": (16,)}
    agent = make_agent("ppo", one_player(task), settings=settings)
    list(agent.learn(one_player(task), 256 * 16))
    assert [float(found.mean) for found in evaluate_players(agent, task, 3, seed=0)] == [1.0, 1.0]
    assert one_player(task).to_json() == task.to_json()


# ------------------------------------------------------------------------------------------------ other people's


class Errands(ParallelEnv):
    """Player b leaves after two steps, a after four; "wait" is illegal in odd steps. Pays a 1, b 10 at each step."""

    metadata = {"name": "errands"}
    possible_agents = ["a", "b"]

    def __init__(self, by_time=False, odd=False):
        self.by_time, self.odd = by_time, odd

    def observation_space(self, agent):
        inner = gym.spaces.Box(0, 9, (2, 1) if self.odd and agent == "b" else (2,), np.float32)
        return gym.spaces.Dict({"observation": inner, "action_mask": gym.spaces.Box(0, 1, (3,), np.int8)})

    def action_space(self, agent):
        return gym.spaces.Discrete(3)

    def _seen(self):
        mask = np.array([1, 1, self.t % 2 == 0], np.int8)
        return {
            name: {"observation": np.array([self.t, k], np.float32), "action_mask": mask}
            for k, name in enumerate("ab")
            if name in self.agents
        }

    def reset(self, seed=None, options=None):
        self.agents, self.t, self.seed = ["a", "b"], 0, seed
        return self._seen(), {name: {} for name in self.agents}

    def step(self, actions):
        assert set(actions) == set(self.agents)
        assert all(type(action) is int for action in actions.values())
        assert self.t % 2 == 0 or 2 not in actions.values()
        self.t += 1
        over = {name: self.t == (4 if name == "a" else 2) for name in self.agents}
        late = {name: over[name] and self.by_time for name in self.agents}
        over = {name: over[name] and not late[name] for name in self.agents}
        rewards = {name: 1.0 if name == "a" else 10.0 for name in self.agents}
        seen = self._seen()
        self.agents = [name for name in self.agents if not (over[name] or late[name])]
        return seen, rewards, over, late, {name: {} for name in seen}


@pytest.fixture
def errands(monkeypatch):
    module = types.ModuleType("errands_for_tests")
    module.parallel_env = Errands
    monkeypatch.setitem(sys.modules, "errands_for_tests", module)
    return "pettingzoo:errands_for_tests"


@pytest.mark.parametrize("by_time", [False, True])
def test_a_parallel_environment_of_others(errands, by_time):
    task = resolve_task(errands, {"by_time": by_time})
    assert (task.players, task.simultaneous, task.player_names) == (2, True, ("a", "b"))
    assert task.observation_space == gym.spaces.Box(0, 9, (2,), np.float32)
    assert task_from_json(task.to_json()).settings == {"by_time": by_time}
    env = task.vector_env(3)
    seen, info = env.reset(seed=5)
    assert [copy.seed for copy in env.copies] == copy_seeds(5, 3)
    assert seen.shape == (3, 2, 2)
    assert seen[:, 1].tolist() == [[0, 1]] * 3
    rewards = []
    for t in range(4):
        assert info["action_mask"].all() if t % 2 == 0 else not info["action_mask"][:, 0, 2].any()
        seen, reward, terminated, truncated, info = env.step(np.full((3, 2), 1))
        rewards.append(reward[0].tolist())
        if t in (1, 2):
            assert seen[0, 1].tolist() == ([2, 1] if t == 1 else [0, 0])  # b has left by the third step
    assert rewards == [[1, 10], [1, 10], [1, 0], [1, 0]]
    assert terminated.tolist() == [not by_time] * 3
    assert truncated.tolist() == [by_time] * 3
    assert info["final_obs"][0].tolist() == [[4, 0], [0, 0]]
    assert seen[0].tolist() == [[0, 0], [0, 1]]


def test_their_environments_reset_in_a_step_of_their_own(errands):
    env = ParallelVectorEnv(resolve_task(errands), 1, "next-step")
    env.reset(seed=0)
    flags = [env.step(np.zeros((1, 2), np.int64)) for _ in range(6)]
    assert [bool(f[2][0]) for f in flags] == [False, False, False, True, False, False]
    assert flags[3][0][0, 0].tolist() == [4, 0]
    assert flags[4][0][0, 0].tolist() == [0, 0]
    assert flags[4][1].tolist() == [[0, 0]]
    assert flags[5][0][0, 0].tolist() == [1, 0]


@pytest.mark.quick("errands")
@pytest.mark.parametrize("name", ["errands", RPS])
def test_our_learners_in_environments_of_others(name, errands):
    task = resolve_task(errands if name == "errands" else name)
    agent = make_agent("ppo", one_player(task), settings={"num_envs": 8, "num_steps": 16, "hidden": (16,)})
    rows = list(agent.learn(one_player(task), 256))
    assert rows[-1]["steps"] == 256
    assert np.isfinite(rows[-1]["policy_loss"])
    found = evaluate_players(agent, task, 4, seed=0)
    assert len(found) == 2
    if name == "errands":
        assert [f.mean for f in found] == [4.0, 20.0]


def test_environments_of_others_that_do_not_fit(errands):
    with pytest.raises(UsageError, match=r"b has the spaces Box\(0.0, 9.0, \(2, 1\)[\s\S]*of other sizes"):
        resolve_task(errands, {"odd": True})
    with pytest.raises(UsageError, match="has neither parallel_env nor env"):
        resolve_task("pettingzoo:pettingzoo.utils")
    with pytest.raises(UsageError, match=r"does not import[\s\S]*rps_v2"):
        resolve_task("pettingzoo:no.such.module")
    with pytest.raises(UsageError, match="cannot be made"):
        resolve_task(RPS, {"no_such_setting": 1})


def test_our_agent_plays_both_sides_in_the_reader_for_pettingzoo():
    """A whole game of tic-tac-toe by one agent, asked as PettingZoo asks."""
    task = resolve_task("TicTacToe")
    agent = make_agent("self-play", task)
    env = task.world.aec_env()
    env.reset(seed=0)
    moves = 0
    for name in env.agent_iter():
        seen, _, over, late, _ = env.last()
        if over or late:
            env.step(None)
            continue
        assert name == f"player_{moves % 2}"
        env.step(int(agent.act(seen["observation"][None], seen["action_mask"][None].astype(bool))[0]))
        moves += 1
    assert 5 <= moves <= 9
