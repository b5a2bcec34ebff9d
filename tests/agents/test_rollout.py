from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import inscape.agents.rollout as rollout_module
from inscape.agents.learning.env_runner import EnvRunner
from inscape.agents.registry import make_agent
from inscape.agents.rollout import bootstrap_interval, evaluate, evaluate_players, evaluation_of, rollout
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.tasks.task import Task
from inscape.errors import UsageError
from tests.envs.multi_worlds import Walkers
from tests.world_models.games import TicTacToe


class Always:
    def __init__(self, action):
        self.action = action

    def act(self, observation):
        return np.full(len(observation), self.action)


@pytest.mark.parametrize("name", ["FrozenLake", "CartPole", "FrozenLake-v1"])
def test_episodes_are_whole_and_evaluation_sees_the_same(name):
    task = resolve_task(name)
    episodes = rollout(make_agent("random", task), task, 11, seed=3, max_copies=4)
    found = evaluate(make_agent("random", task), task, 11, seed=3, max_copies=4)
    assert len(episodes) == 11
    assert np.array_equal(found.returns, [episode.total_reward for episode in episodes])
    assert np.array_equal(found.lengths, [len(episode) for episode in episodes])
    assert np.array_equal(found.terminated, [episode.terminated for episode in episodes])
    for episode in episodes:
        assert len(episode.observations) == len(episode.rewards) + 1 == len(episode.actions) + 1
        assert episode.terminated or episode.truncated
        assert (episode.agent, episode.seed) == ("random", 3)
        assert (episode.states is None) == (task.world is None)


def test_recorded_transitions_obey_the_law():
    """Replayed against the enumerated law: every recorded state follows from the one before with its reward."""
    task = resolve_task("FrozenLake")
    world, law = task.world, task.world.dynamics()
    for episode in rollout(make_agent("random", task), task, 30, seed=0, max_copies=8):
        numbers = law.index_of(episode.states)
        assert np.array_equal(world.observe(episode.states), episode.observations)
        assert law.initial[numbers[0]] > 0
        for t, action in enumerate(episode.actions):
            row = (numbers[t], action)
            assert numbers[t + 1] in law.next_state[row][law.probability[row] > 0]
        ends = world.terminal_of(episode.states)
        assert not ends[:-1].any()
        assert ends[-1] == episode.terminated
        assert np.array_equal(
            world.reward_of(episode.states[:-1], episode.actions, episode.states[1:]), episode.rewards
        )


def test_an_episode_is_the_same_alone_and_among_many():
    task = resolve_task("CartPole")
    alone, many = (rollout(Always(1), task, count, seed=7) for count in (1, 9))
    assert np.array_equal(alone[0].observations, many[0].observations)


@pytest.mark.slow
def test_long_episodes_count_as_often_as_short_ones():
    """With a fixed share per copy the mean length is right; the first episodes to end would be the short ones."""
    task = resolve_task("CartPole")
    agent = make_agent("random", task)
    one_by_one = np.array([len(e) for e in rollout(agent, task, 400, seed=1, max_copies=1)])
    side_by_side = np.array([len(e) for e in rollout(agent, task, 400, seed=2, max_copies=100)])
    deviation = np.hypot(one_by_one.std(), side_by_side.std()) / np.sqrt(400)
    assert abs(one_by_one.mean() - side_by_side.mean()) < 4 * deviation


def test_truncation_is_not_termination(forever):
    found = evaluate(Always(0), forever, 3, seed=0)
    assert not found.terminated.any()
    assert found.lengths.tolist() == [10, 10, 10]
    discounted = evaluate(Always(0), forever, 3, seed=0, gamma=0.5)
    assert np.allclose(discounted.returns, 2 - 2.0**-9)


def test_masks_are_recorded_and_obeyed(corridor):
    episodes = rollout(make_agent("random", corridor), corridor, 20, seed=0, max_copies=6)
    for episode in episodes:
        assert episode.action_masks.shape == (len(episode), 3)
        assert episode.action_masks[np.arange(len(episode)), episode.actions].all()
        assert np.array_equal(episode.action_masks[:, 0], episode.observations[:-1, 0] % 2 == 1)
    with pytest.raises(UsageError, match="agent Always chose the illegal action 0 for copy 0 at step 1"):
        rollout(Always(0), corridor, 2, seed=0)


@pytest.mark.parametrize(("action", "message"), [(9, "action 9 for copy 0 at step 0"), (0.5, "dtype float64")])
def test_bad_actions_stop_it(action, message):
    with pytest.raises(UsageError, match=message):
        evaluate(Always(action), resolve_task("FrozenLake"), 2, seed=0)


def test_the_agent_is_asked_only_for_copies_that_count():
    seen = []

    class Counting(Always):
        def act(self, observation):
            seen.append(len(observation))
            return super().act(observation)

    task = resolve_task("CartPole")
    episodes = rollout(Counting(1), task, 5, seed=0, max_copies=2)
    assert sum(seen) == sum(len(episode) for episode in episodes)


def test_continuous_actions():
    task = resolve_task("Pendulum-v1")
    (episode,) = rollout(make_agent("random", task), task, 1, seed=0)
    assert episode.actions.shape == (200, 1)
    assert episode.truncated
    assert not episode.terminated


def test_neighbouring_seeds_share_no_episode_of_an_ordinary_environment():
    task = resolve_task("CartPole-v1")
    firsts = [e.observations[0] for seed in range(3) for e in rollout(make_agent("random", task), task, 4, seed=seed)]
    assert len(np.unique(firsts, axis=0)) == 12
    begun = [EnvRunner(task, 4, seed, first=first, steps=steps).observation
             for seed in range(3) for first in (0, 4) for steps in (0, 1)]  # fmt: skip
    assert len(np.unique(np.concatenate(begun), axis=0)) == 48


def test_an_episode_that_cannot_end_is_an_error(forever, monkeypatch):
    import dataclasses

    monkeypatch.setattr(rollout_module, "LONGEST_EPISODE", 50)
    endless = dataclasses.replace(forever, max_episode_steps=None)
    with pytest.raises(UsageError, match="has not ended after 50 steps"):
        evaluate(Always(0), endless, 1, seed=0)
    with pytest.raises(UsageError, match="0 episodes"):
        evaluate(Always(0), forever, 0, seed=0)


def test_intervals_cover_the_mean():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        low, high = bootstrap_interval(rng.normal(2.0, 1.0, 40), rng, resamples=400)
        covered += low <= 2.0 <= high
    assert 0.88 < covered / 200 < 0.99


# ---------------------------------------------------------------------------------------------------- several players


class Note:
    """Acts at random among what is legal, and notes what it was shown."""

    def __init__(self, seed=0):
        self.rng, self.seen, self.masks = np.random.default_rng(seed), [], []

    def act(self, observation, action_mask=None):
        self.seen += list(observation)
        self.masks += list(action_mask)
        return np.where(action_mask, self.rng.random(action_mask.shape), -1.0).argmax(-1)


def test_players_in_turn_are_each_asked_for_themselves():
    task = Task("TicTacToe", TicTacToe(), {}, None)
    seats = [Note(1), Note(2)]
    episodes = rollout(seats, task, 7, seed=4, max_copies=3)
    assert len(episodes) == 7
    for episode in episodes:
        length = len(episode)
        assert episode.agent == "Note,Note"
        assert episode.rewards.shape == (length, 2)
        assert episode.action_masks.shape == (length, 9)
        assert episode.terminated
        assert episode.total_reward.sum() == 0
        states = episode.states
        assert np.array_equal(episode.observations, task.world.observe(states))
        assert task.world.mover_of(states)[:-1].tolist() == [t % 2 for t in range(length)]
        after, rewards, ended = task.world.step(states[:-1], episode.actions, np.random.default_rng(0))
        assert after.keys() == states[1:].keys()  # the law has no chance in it
        assert np.array_equal(rewards, episode.rewards)
        assert ended.tolist() == [False] * (length - 1) + [True]
    for player, note in enumerate(seats):
        shown = [e.observations[t] for e in episodes for t in range(player, len(e), 2)]
        assert sorted(row.tobytes() for row in note.seen) == sorted(row.tobytes() for row in shown)
        masks = [e.action_masks[t] for e in episodes for t in range(player, len(e), 2)]
        assert sorted(row.tobytes() for row in note.masks) == sorted(row.tobytes() for row in masks)


def test_players_at_once_see_and_may_do_what_is_theirs():
    task = Task("Walkers", Walkers(walkers=3), {}, None)
    seats = [Note(k) for k in range(3)]
    episodes = rollout(seats, task, 9, seed=1, max_copies=4)
    for episode in episodes:
        assert episode.actions.shape == episode.rewards.shape == (3, 3)
        assert episode.observations.shape == (4, 3)
        assert episode.action_masks.shape == (3, 3, 2)
        assert np.take_along_axis(episode.action_masks, episode.actions[..., None], 2).all()
        assert np.array_equal(episode.rewards, episode.observations[1:])  # everyone is paid for their place
    for player, note in enumerate(seats):
        shown = np.concatenate([episode.observations[:-1, player] for episode in episodes])
        assert sorted(note.seen) == sorted(shown.tolist())
        assert sorted(np.array(note.masks)[:, 0].tolist()) == sorted((shown > 0).tolist())


def test_how_each_player_did_is_what_was_recorded():
    task = Task("TicTacToe", TicTacToe(), {}, None)
    episodes = rollout([Note(1), Note(2)], task, 9, seed=4, max_copies=4)
    found = evaluate_players([Note(1), Note(2)], task, 9, seed=4, max_copies=4)
    assert len(found) == 2
    again = evaluation_of(episodes, seed=4)
    for player, (one, other) in enumerate(zip(found, again, strict=True)):
        assert one.returns.tolist() == [episode.total_reward[player] for episode in episodes]
        assert one.lengths.tolist() == [len(episode) for episode in episodes]
        assert (one.returns.tolist(), one.lengths.tolist(), one.ci) == (
            other.returns.tolist(),
            other.lengths.tolist(),
            other.ci,
        )
    discounted = evaluate_players([Note(1), Note(2)], task, 9, seed=4, max_copies=4, gamma=0.5)
    assert np.array_equal(discounted[0].returns, found[0].returns * 0.5 ** (found[0].lengths - 1))


def test_one_agent_may_act_for_all_and_others_are_counted():
    task = Task("TicTacToe", TicTacToe(), {}, None)
    (episode,) = rollout(Note(), task, 1, seed=0)
    assert episode.agent == "Note,Note"
    with pytest.raises(UsageError, match=r"3 agents for the 2 players[\s\S]*2 agents, or one"):
        rollout([Note()] * 3, task, 1, seed=0)
    with pytest.raises(UsageError, match="2 agents for the 1 players"):
        rollout([Note()] * 2, resolve_task("FrozenLake"), 1, seed=0)
    with pytest.raises(UsageError, match=r"2 players, each with a separate return[\s\S]*evaluate_players"):
        evaluate(Note(), task, 1, seed=0)


# ------------------------------------------------------------------------------------------------ agents that remember


class Diary:
    """Remembers its copy's observations and rewards of this episode; goes on as long as its dice say."""

    def initial_memory(self, count):
        memory = np.empty(count, object)
        memory[:] = [()] * count
        return memory

    def act(self, observation):
        return self.act_with_memory(observation, self.initial_memory(len(observation)), np.zeros(len(observation)))[0]

    def act_with_memory(self, observation, memory, reward):
        written = np.empty(len(memory), object)
        for row, (known, seen, earned) in enumerate(zip(memory, observation, reward, strict=True)):
            written[row] = (*known, (tuple(np.ravel(seen).tolist()), float(earned)))
        self.read = [*getattr(self, "read", []), *written]
        return np.array([hash(page) % 2 for page in written]), written


class SmallDiary(Diary):
    """The same, one copy at a time."""

    batched = False

    def initial_memory(self):
        return ()

    def act(self, observation):
        return self.act_with_memory(observation, (), 0.0)[0]

    def act_with_memory(self, observation, memory, reward):
        page = (*memory, (tuple(np.ravel(observation).tolist()), float(reward)))
        self.read = [*getattr(self, "read", []), page]
        return hash(page) % 2, page


def diary_of(episode, player=None):
    """What one who remembers everything should have written by the last step of an episode."""
    rewards = np.concatenate([[0.0], episode.rewards if player is None else episode.rewards[:, player]])
    seen = episode.observations if player is None else episode.observations[:, player]
    return tuple((tuple(np.ravel(row).tolist()), float(r)) for row, r in zip(seen[:-1], rewards, strict=False))


@pytest.mark.parametrize("made", [Diary, SmallDiary])
@pytest.mark.parametrize("copies", [1, 3, 7])
def test_what_is_remembered_is_this_episode_of_this_copy_and_no_more(made, copies):
    """More episodes than copies, of different lengths; rows of `act` are not always the same copies."""
    diary, task = made(), resolve_task("CartPole")
    episodes = rollout(diary, task, 7, seed=3, max_copies=copies)
    assert len({len(episode) for episode in episodes}) > 1
    pages = [diary_of(episode)[:t] for episode in episodes for t in range(1, len(episode) + 1)]
    assert Counter(diary.read) == Counter(pages)
    assert evaluate(made(), task, 7, seed=3, max_copies=copies).lengths.tolist() == [len(e) for e in episodes]


def test_one_who_plays_all_parts_remembers_each_for_itself():
    task = Task("Walkers", Walkers(walkers=2), {}, None)
    diary = Right()
    episodes = rollout(diary, task, 5, seed=1, max_copies=2)
    pages = [diary_of(e, player)[:t] for e in episodes for player in range(2) for t in range(1, len(e) + 1)]
    assert Counter(diary.read) == Counter(pages)


class Right(Diary):
    def act_with_memory(self, observation, memory, reward):
        return np.ones(len(memory), int), super().act_with_memory(observation, memory, reward)[1]


class Shrinks(Diary):
    def act_with_memory(self, observation, memory, reward):
        return np.zeros(len(memory), int), memory[:-1]


class Rounds(Diary):
    def initial_memory(self, count):
        return np.zeros((count, 2), int)

    def act_with_memory(self, observation, memory, reward):
        return np.zeros(len(memory), int), memory + 0.5


class Short(Diary):
    def initial_memory(self, count):
        return np.zeros(1)


class Forgets(Diary):
    def act_with_memory(self, observation, memory, reward):
        return np.zeros(len(memory), int)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Shrinks, r"memory of shape \(2,\), object, for 3 copies"),
        (Rounds, r"memory of shape \(3, 2\), float64[\s\S]*rows are \(2,\), int64"),
        (Short, r"initial_memory\(3\) of Short returned an array of shape \(1,\)"),
        (Forgets, r"act_with_memory of Forgets returned ndarray[\s\S]*a pair"),
    ],
)
def test_memory_that_does_not_fit_is_refused(made, message):
    with pytest.raises(UsageError, match=message):
        evaluate(made(), resolve_task("CartPole"), 3, seed=0)


@pytest.mark.parametrize("gamma", [-0.1, 1.5, float("nan"), float("inf"), "0.9", None])
def test_a_discount_is_a_number_from_0_to_1(gamma):
    with pytest.raises(UsageError, match="gamma = "):
        evaluate("random", "FrozenLake", 2, seed=0, gamma=gamma)
