"""Mean returns while an agent learns: unbiased from the first round, the same from every learner, resumed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from inscape import World
from inscape.agents.learning.env_runner import EnvRunner
from inscape.agents.learning.episode_log import LONGEST_WAIT, WINDOW, EpisodeLog
from inscape.agents.registry import make_agent
from inscape.envs.tasks.resolve import as_task
from inscape.errors import UsageError


class Clock(NamedTuple):
    left: int


class ShortOrLong(World):
    """Episodes of 2 or of 40 steps, as often; each step pays 1: the mean return is 21."""

    State = Clock
    actions = ("on", "wait")
    initial_branches = 2

    @staticmethod
    def initial(params, branch):
        return 0.5, Clock(2 if branch == 0 else 40)

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, Clock(state.left - 1)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return 1.0

    @staticmethod
    def terminal(params, purpose, state):
        return state.left <= 0

    @staticmethod
    def observations(params):
        return (41,)


def played(copies: int, steps: int, lengths) -> list[dict]:
    """Returns the reports after each of so many steps; each episode pays its length, which `lengths()` draws."""
    log, left, total = EpisodeLog(copies), [lengths() for _ in range(copies)], [0] * copies
    reports = []
    for _ in range(steps):
        ended = np.zeros((1, copies), bool)
        for i in range(copies):
            total[i] += 1
            ended[0, i] = total[i] == left[i]
        log.add(ended, np.array([total], float), np.array([total]))
        for i in np.flatnonzero(ended[0]):
            left[i], total[i] = lengths(), 0
        reports.append(log.report())
    return reports


def test_nothing_is_reported_until_all_that_began_together_have_ended():
    draws = iter([2, 5, 3, *[4] * 100])
    reports = played(3, 8, lambda: next(draws))
    assert [bool(report) for report in reports] == [False] * 4 + [True] * 4
    # after step 5 the first three count, and the one that began after step 2 waits for that of step 3
    assert reports[4] == {"episode_return": 10 / 3, "episode_length": 10 / 3}


def test_the_first_reports_are_not_biased_to_short_episodes():
    """Means over runs of 200: of all that ended after 45 steps 21 would be some 5."""
    rng = np.random.default_rng(0)
    found, naive = [], []
    for _ in range(200):
        reports = played(4, 45, lambda: int(rng.choice([2, 40])))
        found += [next(report["episode_return"] for report in reports if report)]
        naive += [reports[-1]["episode_return"]]
    assert abs(np.mean(found) - 21) < 1.5


def test_the_window_is_of_the_last_hundred_or_of_a_whole_round():
    log = EpisodeLog(1)
    for k in range(250):
        log.add(np.ones((1, 1), bool), np.full((1, 1), float(k)), np.ones((1, 1)))
        report = log.report()
    assert report["episode_return"] == np.mean(np.arange(150, 250)) == 199.5
    assert log.averaged == WINDOW
    many = EpisodeLog(300)
    many.add(np.ones((2, 300), bool), np.repeat([[1.0], [2.0]], 300, axis=1), np.ones((2, 300)))
    assert many.report()["episode_return"] == 1.5
    assert many.averaged == 600


def test_an_episode_without_end_holds_up_the_others_for_a_while_only():
    log, ended = EpisodeLog(2), np.array([[False, True]] * 50)
    lengths = np.ones((50, 2))
    for steps in range(0, LONGEST_WAIT + 100, 50):
        log.add(ended, np.ones((50, 2)), lengths)
        assert bool(log.report()) == (steps + 50 > LONGEST_WAIT)


def test_restarting_forgets_those_under_way():
    log = EpisodeLog(2)
    log.add(np.array([[True, False]]), np.ones((1, 2)), np.ones((1, 2)))
    assert not log.report()
    log.restart()
    log.add(np.array([[True, True]]), np.full((1, 2), 5.0), np.ones((1, 2)))
    assert log.report()["episode_return"] == pytest.approx(11 / 3)


def test_it_goes_on_from_what_was_saved():
    rng = np.random.default_rng(1)
    one, other = EpisodeLog(3), EpisodeLog(3)
    running = np.zeros(3)

    def step(*logs: EpisodeLog) -> None:
        running[:] += 1
        ended = rng.random((1, 3)) < 0.2
        for log in logs:
            log.add(ended, running[None].copy(), running[None].copy())
        running[ended[0]] = 0

    for _ in range(30):
        step(one)
    one.report()
    other.load_state_dict(one.state_dict())
    for _ in range(30):
        step(one, other)
        assert one.report() == other.report()
    EpisodeLog(3).load_state_dict(None)  # of a run from before


def test_it_goes_on_from_what_was_saved_before_a_report():
    """More than a window were counted since the last report: the next one averages over them all."""
    one, other = EpisodeLog(1), EpisodeLog(1)
    ended, numbers = np.ones((WINDOW + 20, 1), bool), np.arange(WINDOW + 20.0)[:, None]
    one.add(ended, numbers, np.ones((WINDOW + 20, 1)))
    other.load_state_dict(one.state_dict())
    for log in (one, other):
        log.add(ended[:3], numbers[:3], np.ones((3, 1)))
    assert one.report() == other.report()
    assert one.averaged == other.averaged == WINDOW + 23


SETTINGS = {"num_envs": 4, "num_steps": 25, "hidden": (4,)}
LEARNERS = {
    "ppo compiled": ("ppo", {**SETTINGS, "epochs": 1, "minibatches": 1, "backend": "compiled"}),
    "ppo torch": ("ppo", {**SETTINGS, "epochs": 1, "minibatches": 1, "backend": "torch"}),
    "ppo cuda": ("ppo", {**SETTINGS, "epochs": 1, "minibatches": 1, "backend": "cuda"}),
    "a2c": ("a2c", {**SETTINGS, "backend": "compiled"}),
    "recurrent-ppo": ("recurrent-ppo", {"num_envs": 4, "num_steps": 25, "epochs": 1, "minibatches": 1, "memory": 4}),
    "sb3:ppo": ("sb3:ppo", {**SETTINGS, "epochs": 1, "batch_size": 100}),
    "sb3:dqn": (
        "sb3:dqn",
        {"num_envs": 4, "report_every": 100, "train_freq": 1, "learning_starts": 10_000, "buffer_size": 900},
    ),
    "dqn": ("dqn", {"num_envs": 4, "report_every": 100, "train_freq": 1, "learning_starts": 10_000, "hidden": (4,)}),
}


@pytest.mark.quick("sb3:dqn", "dqn")
@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_reports_them_and_resumes_the_report(name):
    """What it does matters to nobody here: the returns are those of the copies, played without it."""
    spec, settings = LEARNERS[name]
    task = as_task(ShortOrLong())
    agent = make_agent(spec, task, seed=5, settings=settings)
    rows = []
    for row in agent.learn(task, 800):
        rows.append(row)
        if len(rows) == 4:
            state = agent.state_dict()
    copies, expected = EnvRunner(task, 4, 5), []
    for _ in rows:
        for _ in range(25):
            copies.step(np.zeros(4, np.int64))
        expected.append(copies.episodes())
    names = ("episode_return", "episode_length")
    assert [{key: row[key] for key in names if key in row} for row in rows] == expected
    assert expected[0] == {}
    assert expected[-1]
    other = make_agent(spec, task, seed=5, settings=settings)
    other.load_state_dict(state)
    later = [{key: row[key] for key in names if key in row} for row in other.learn(task, 800)]
    assert later == expected[4:]


TABULAR = ["q-learning", "n-step-sarsa", "monte-carlo"]


@pytest.mark.parametrize("name", TABULAR)
def test_tabular_learners_are_not_biased_to_short_episodes(name):
    """200 learners: the mean is 21, that of the episodes which end within the first steps far less."""
    task = as_task(ShortOrLong())
    agent = make_agent(name, task, seed=1, settings={"seeds": 200, "report_every": 15})
    rows = list(agent.learn(task, 90))
    assert ["episode_return" in row for row in rows] == [False, False, True, True, True, True]
    for row in rows[2:]:
        assert row["episode_return"] == row["episode_length"] == pytest.approx(21, abs=4.5)


def test_tabular_learners_resume_the_report_and_older_states_are_read():
    task = as_task(ShortOrLong())
    make = lambda: make_agent("q-learning", task, seed=1, settings={"seeds": 3, "report_every": 50})  # noqa: E731
    one, other, old = make(), make(), make()
    rows = list(one.learn(task, 300))
    later = list(one.learn(task, 600))
    again = list(other.learn(task, 300))
    state = other.state_dict()
    resumed = make()
    resumed.load_state_dict(state)
    assert again == rows and list(resumed.learn(task, 600)) == later
    del state["episodes"]
    state["totals"] = np.insert(state["totals"], 1, np.zeros((2, 3)), axis=1)  # sums of returns and of lengths
    old.load_state_dict(state)
    *_, last = old.learn(task, 600)
    assert last["td_error"] == later[-1]["td_error"]
    with pytest.raises(UsageError, match=r"totals of shape \(2, 3\)"):
        old.load_state_dict({**state, "totals": state["totals"][:2, :3]})


def test_more_episodes_than_are_noted_at_once(monkeypatch):
    """Read in pieces, they are what they are in one."""
    task = as_task(ShortOrLong())
    rows = []
    for noted in (1 << 18, 40):
        monkeypatch.setattr("inscape.agents.tabular.base.NOTED", noted)
        agent = make_agent("q-learning", task, seed=1, settings={"seeds": 3, "report_every": 100})
        rows.append(list(agent.learn(task, 1000)))
    assert rows[0] == rows[1]
