from __future__ import annotations

import sys
import types

import gymnasium as gym
import numpy as np
import pytest
from pettingzoo import AECEnv

from inscape.agents.registry import make_agent
from inscape.agents.rollout import evaluate_players, rollout
from inscape.envs.law.streams import copy_seeds
from inscape.envs.tasks.opponents_task import OpponentsTask
from inscape.envs.tasks.pettingzoo import PettingZooTask
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.tasks.shared_policy import one_player
from inscape.errors import UsageError
from inscape.experiments.runs.storage.checkpoints import load_checkpoint, save_checkpoint
from tests.agents.multi_agent.test_self_play import assert_same

TICTACTOE = "pettingzoo:pettingzoo.classic.tictactoe_v3"
RPS = "pettingzoo:pettingzoo.classic.rps_v2"
PPO = {"num_envs": 8, "num_steps": 16, "epochs": 2, "minibatches": 2, "hidden": (16,)}


class Errand(AECEnv):
    """a, b and c in turn. Each move pays every player its wage (a 1, b 10, c 100) plus 1000 times the action's number.

    b leaves after two moves of its own, the others after three. Action 2 is legal in a player's first move only.
    """

    metadata = {"name": "errand", "is_parallelizable": False}
    possible_agents = ["a", "b", "c"]
    wages = {"a": 1.0, "b": 10.0, "c": 100.0}

    def __init__(self, by_time=False, leave_silently=False, odd=False, shape=2):
        super().__init__()
        self.by_time, self.leave_silently, self.odd, self.shape, self.seeds = by_time, leave_silently, odd, shape, []

    def observation_space(self, agent):
        space = gym.spaces.Box(-9, 9, (2,), np.float32)
        if self.odd:
            return gym.spaces.Dict({"here": space})
        return gym.spaces.Dict({"observation": space, "action_mask": gym.spaces.Box(0, 1, (3,), np.int8)})

    def action_space(self, agent):
        return gym.spaces.Discrete(3)

    def reset(self, seed=None, options=None):
        self.seeds.append(seed)
        self.agents = list(self.possible_agents)
        self.moves = dict.fromkeys(self.agents, 0)
        self.rewards, self._cumulative_rewards = dict.fromkeys(self.agents, 0.0), dict.fromkeys(self.agents, 0.0)
        self.terminations, self.truncations = dict.fromkeys(self.agents, False), dict.fromkeys(self.agents, False)
        self.infos = {name: {} for name in self.agents}
        self.agent_selection = "a"

    def observe(self, agent):
        mine = agent == self.agent_selection and not self.terminations[agent]
        mask = np.array([mine, mine, mine and self.moves[agent] == 0], np.int8)
        seen = np.array([*[self.moves[agent], "abc".index(agent)], 0][: self.shape], np.float32)
        return {"observation": seen, "action_mask": mask}

    def step(self, action):
        name = self.agent_selection
        if self.terminations[name] or self.truncations[name]:
            self._was_dead_step(action)
            return
        assert type(action) is int
        assert action < 2 or self.moves[name] == 0
        self.moves[name] += 1
        self._cumulative_rewards[name] = 0.0
        self.rewards = {who: self.wages[who] + 1000.0 * action for who in self.agents}
        self._accumulate_rewards()
        order = [who for who in self.agents if not self.terminations[who] and not self.truncations[who]]
        self.agent_selection = order[(order.index(name) + 1) % len(order)]
        if self.moves[name] == (2 if name == "b" else 3):
            (self.truncations if self.by_time else self.terminations)[name] = True
            if self.leave_silently:
                self.agents.remove(name)
            else:
                self._deads_step_first()


def named(monkeypatch, **made):
    """Returns the name of a module made for a test."""
    module = types.ModuleType("played_in_turn_for_tests")
    for name, value in made.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return f"pettingzoo:{module.__name__}"


@pytest.fixture
def errand(monkeypatch):
    return named(monkeypatch, env=Errand)


class Fixed:
    """Opponents that take the last legal action; the second player the first."""

    def drawn(self, numbers):
        return np.zeros(len(numbers), np.int64)

    def probabilities(self, opponent, player, observation, mask):
        actions = np.ones((len(player), 3), bool) if mask is None else mask
        rank = np.where(player == 1, -1, 1)[:, None] * np.arange(actions.shape[1])
        best = np.where(actions, rank, -99).argmax(axis=1)
        return np.eye(actions.shape[1])[best]


# --------------------------------------------------------------------------------------------- against the law's path


@pytest.mark.parametrize(("world", "in_turn"), [("TicTacToe", True), ("KuhnPoker", True), ("RockPaperScissors", False)])
def test_our_own_worlds_come_back_through_pettingzoo(world, in_turn, monkeypatch):
    """Read as PettingZoo environments and as a task again, they give what the law gives to the same moves."""
    task = resolve_task(world)
    make = {"env": task.world.aec_env} if in_turn else {"parallel_env": task.world.parallel_env}
    foreign = resolve_task(named(monkeypatch, **make))
    assert isinstance(foreign, PettingZooTask)
    assert (foreign.players, foreign.simultaneous, foreign.player_names) == (2, not in_turn, task.player_names)
    assert foreign.observation_space == task.observation_space
    ours, theirs = (one.vector_env(1, "next-step") for one in (task, foreign))
    (seen, info), (other, told) = ours.reset(seed=4), theirs.reset(seed=4)
    rng, gained, paid, ends, fresh = np.random.default_rng(0), 0.0, 0.0, 0, False
    for _ in range(300):
        if not fresh:
            assert np.array_equal(seen, other)
            assert info.keys() & {"action_mask", "mover"} == told.keys() & {"action_mask", "mover"}
            assert all(np.array_equal(info[name], told[name]) for name in ("action_mask", "mover") if name in info)
        mask = info.get("action_mask", np.ones((1, *(() if in_turn else (2,)), task.action_space.n), bool))
        actions = np.argmax(mask * (1 + rng.random(mask.shape)), axis=-1)
        seen, reward, over, late, info = ours.step(actions)
        other, pay, ended, cut, told = theirs.step(actions)
        assert np.array_equal(over, ended)
        assert np.array_equal(late, cut)
        gained, paid, fresh = gained + reward, paid + pay, bool((over | late)[0])
        if fresh:
            assert np.array_equal(gained, paid)
            ends += 1
    assert ends > 10
    assert np.abs(gained).max() > 0


@pytest.mark.parametrize("seat", [0, 1])
@pytest.mark.parametrize(("world", "in_turn"), [("TicTacToe", True), ("RockPaperScissors", False)])
def test_a_seat_meets_the_same_there(world, in_turn, seat, monkeypatch):
    """The same opponents and the same moves: the same observations, masks, rewards and ends as by the law."""
    task = resolve_task(world)
    foreign = resolve_task(
        named(monkeypatch, **({"env": task.world.aec_env} if in_turn else {"parallel_env": task.world.parallel_env}))
    )
    ours, theirs = (OpponentsTask.against(one, Fixed(), seat).vector_env(3) for one in (task, foreign))
    (seen, info), (other, told) = ours.reset(seed=1), theirs.reset(seed=1)
    rng, ends, total = np.random.default_rng(2), 0, 0.0
    for _ in range(60):
        assert np.array_equal(seen, other)
        assert ("action_mask" in info) == ("action_mask" in told)
        mask = info.get("action_mask", np.ones((3, task.action_space.n), bool))
        assert np.array_equal(mask, told.get("action_mask", mask))
        actions = np.argmax(mask * (1 + rng.random(mask.shape)), axis=-1)
        seen, reward, over, late, info = ours.step(actions)
        other, pay, ended, cut, told = theirs.step(actions)
        for mine, its in ((reward, pay), (over, ended), (late, cut)):
            assert np.array_equal(mine, its)
        which = over | late
        if which.any():
            assert np.array_equal(info["_final_obs"], told["_final_obs"])
            assert np.array_equal(info["final_obs"][which], told["final_obs"][which])
        ends, total = ends + int(which.sum()), total + np.abs(reward).sum()
    assert ends > 10
    assert total > 5


# ------------------------------------------------------------------------------------------------------ by hand


@pytest.mark.parametrize("by_time", [False, True])
def test_in_turn_by_hand(errand, by_time):
    """a b c a b, b leaves; c a c: who moves, what is told to whom and when, and the end for all."""
    env = resolve_task(errand, {"by_time": by_time}).vector_env(2, "next-step")
    seen, info = env.reset(seed=5)
    assert [game.env.seeds for game in env.games] == [[seed] for seed in copy_seeds(5, 2)]
    movers, rewards, flags = [], [], []
    for _ in range(8):
        movers.append(int(info["mover"][0]))
        assert seen[0].tolist() == [movers.count(movers[-1]) - 1, movers[-1]]
        assert info["action_mask"][0].tolist() == [True, True, movers.count(movers[-1]) == 1]
        seen, reward, over, late, info = env.step(np.zeros(2, np.int64))
        rewards.append(reward[0].tolist())
        flags.append((bool(over[0]), bool(late[0])))
    assert movers == [0, 1, 2, 0, 1, 2, 0, 2]
    # everybody is told at its own next turn what was paid since it last acted; b of its end at once
    assert rewards[:5] == [[0, 10, 0], [0, 0, 200], [3, 0, 0], [0, 30, 0], [0, 10, 300]]
    assert np.sum(rewards, axis=0).tolist() == [7, 50, 800]
    assert flags == [(False, False)] * 7 + [(not by_time, by_time)]
    seen, reward, over, late, info = env.step(np.ones(2, np.int64))
    assert (seen[0].tolist(), reward[0].tolist(), bool(over[0] or late[0])) == ([0, 0], [0, 0, 0], False)


@pytest.mark.parametrize("by_time", [False, True])
def test_seats_by_hand(errand, by_time):
    """A seat's episode ends with its own part; what was paid before its first move belongs to none of its moves.

    The second player always takes 0, the others 2 first and then 1.
    """
    task = resolve_task(errand, {"by_time": by_time})
    expected = {
        # a takes 0: b 0 and c 2 are paid too; a 0, b 0, c 1 (b's last, and then nobody's between c and a); a 0
        0: ([1 + 1 + 2001, 1 + 1 + 1001, 1], [3, 0]),
        # b takes 0: c 2, a 1; b 0
        1: ([10 + 2010 + 1010, 10], [2, 1]),
        # c takes 0: a 1, b 0; c 0, a 1; c 0
        2: ([100 + 1100 + 100, 100 + 1100, 100], [3, 2]),
    }
    for seat, (rewards, last) in expected.items():
        env = OpponentsTask.against(task, Fixed(), seat).vector_env(2)
        seen, info = env.reset(seed=0)
        for move, reward in enumerate(rewards):
            assert seen.tolist() == [[move, seat]] * 2
            assert info["action_mask"].tolist() == [[True, True, move == 0]] * 2
            seen, paid, over, late, info = env.step(np.zeros(2, np.int64))
            assert paid.tolist() == [reward] * 2
            ended = move == len(rewards) - 1
            assert over.tolist() == [ended and not by_time] * 2
            assert late.tolist() == [ended and by_time] * 2
        assert info["final_obs"].tolist() == [last] * 2
        assert seen.tolist() == [[0, seat]] * 2


def test_seats_are_drawn_and_the_same_seed_is_the_same_life(errand):
    def life(seed, first=0, count=6):
        env = OpponentsTask.against(resolve_task(errand), Fixed()).vector_env(count)
        rows = [env.reset(seed=seed, options={"first_copy": first})[0]]
        for _ in range(12):
            rows.append(env.step(np.zeros(count, np.int64))[0])
        return np.stack(rows)

    assert np.array_equal(life(3), life(3))
    assert not np.array_equal(life(3), life(4))
    assert np.array_equal(life(3)[:, 2:], life(3, first=2, count=4))
    assert set(life(3)[:, :, 1].ravel()) == {0, 1, 2}


def test_illegal_actions_and_odd_environments_are_refused(errand, monkeypatch):
    env = OpponentsTask.against(resolve_task(errand), Fixed(), 0).vector_env(2)
    env.reset(seed=0)
    env.step(np.zeros(2, np.int64))
    for action in (2, 3, -1):
        with pytest.raises(UsageError, match=f"copy 1: action {action} of a is illegal"):
            env.step(np.array([0, action]))
    silent = resolve_task(errand, {"leave_silently": True}).vector_env(1)
    silent.reset(seed=0)
    with pytest.raises(UsageError, match=r"b is gone from `agents` without a last turn[\s\S]*step\(None\)"):
        list(map(silent.step, np.zeros((5, 1), np.int64)))
    with pytest.raises(UsageError, match=r"the observation of .* is array[\s\S]*with the keys \['here'\]"):
        resolve_task(errand, {"odd": True}).vector_env(1).reset(seed=0)
    monkeypatch.setattr(Errand, "action_space", lambda self, agent: gym.spaces.Dict())
    with pytest.raises(UsageError, match=r"the action space Dict\(\)"):
        resolve_task(errand)
    monkeypatch.undo()
    errand = named(monkeypatch, env=Errand)
    with pytest.raises(UsageError, match=r"the observation of .* has the shape \(3,\)[\s\S]*\(2,\)"):
        resolve_task(errand, {"shape": 3}).vector_env(1).reset(seed=0)
    with pytest.raises(UsageError, match="2 players, and a Gymnasium environment has one"):
        resolve_task(TICTACTOE).env("rgb_array")
    with pytest.raises(UsageError, match=r"2 players who act in turn[\s\S]*self-play"):
        one_player(resolve_task(TICTACTOE))
    monkeypatch.setattr(Errand, "possible_agents", [])
    with pytest.raises(UsageError, match="no possible_agents"):
        resolve_task(errand)


# ------------------------------------------------------------------------------------------------------ learning


@pytest.mark.compiled
def test_self_play_learns_which_action_pays(errand):
    """Every player gains 1000 by each action 1 and 2000 by a 2: the best is 2 first and 1 then."""
    task = resolve_task(errand)
    own = {**PPO, "num_envs": 16, "learning_rate": 1e-2, "normalize_rewards": True}
    agent = make_agent("self-play", task, settings={"add_every": 1024, "games": 6, "learner_settings": own})
    rows = list(agent.learn(task, 2048))
    assert {"elo", "win_rate/random", "win_rate/pool"} <= rows[-1].keys()
    assert rows[-1]["pool"] == 3
    actions = rollout(agent, task, 1, seed=0)[0].actions.tolist()
    assert actions == [2, 2, 2, 1, 1, 1, 1, 1]


@pytest.mark.quick("pettingzoo:pettingzoo.classic.rps_v2-ppo", "pettingzoo:pettingzoo.classic.rps_v2-dqn")
@pytest.mark.parametrize("learner", ["ppo", "dqn"])
@pytest.mark.parametrize("name", [TICTACTOE, RPS])
def test_independent_learners_there(learner, name):
    task = resolve_task(name)
    own = (
        PPO
        if learner == "ppo"
        else {"num_envs": 4, "learning_starts": 32, "buffer_size": 500, "report_every": 64, "train_freq": 16}
    )
    one, two = (make_agent(f"independent:{learner}", task, seed=1, settings=own) for _ in range(2))
    rows = list(one.learn(task, 512))
    assert rows[-1]["steps"] == 512
    assert f"{task.player_names[1]}/episode_return" in rows[-1]
    list(two.learn(task, 512))
    assert_same(one.state_dict(), two.state_dict())
    assert len(evaluate_players(one, task, 4, seed=0)) == 2


@pytest.mark.slow
def test_going_on_begins_new_episodes(tmp_path):
    """Weights and pool are those of the run that stopped; its games are not."""
    task = resolve_task(TICTACTOE)
    settings = {"add_every": 128, "pool_size": 2, "games": 4, "learner_settings": PPO}
    half, one, two = (make_agent("self-play", task, seed=3, settings=settings) for _ in range(3))
    list(half.learn(task, 256))
    save_checkpoint(tmp_path / "step", half.state_dict())
    for resumed in (one, two):
        resumed.load_state_dict(load_checkpoint(tmp_path / "step")[0])
        assert_same(resumed.learner.state_dict()["network"], half.learner.state_dict()["network"])
        assert [row["steps"] for row in resumed.learn(task, 512)] == [384, 512]
    assert_same(one.state_dict(), two.state_dict())


@pytest.mark.slow
def test_self_play_does_not_lose_their_tic_tac_toe():
    """With the preset of our TicTacToe: none of 200 games as first player against a random one."""
    task = resolve_task(TICTACTOE)
    agent = make_agent("self-play", task, settings={"games": 0})
    list(agent.learn(task, 400_000))
    found = evaluate_players([agent, make_agent("random", task, seed=1)], task, 200, seed=0)
    assert (found[0].returns >= 0).all()
    assert found[0].mean > 0.9
