"""An agent learns in one task: `learn` refuses another one in words, and takes the same one however it was made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inscape.agents.registry import make_agent
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from tests.experiments.runs.storage.test_checkpoints import assert_same

_ROUNDS = {"num_envs": 4, "num_steps": 16, "hidden": (8,)}
AGENTS = {
    "ppo compiled": ("CartPole", 64, {**_ROUNDS, "backend": "compiled"}),
    "ppo torch": ("CartPole", 64, {**_ROUNDS, "backend": "torch"}),
    "a2c cuda": ("CartPole", 64, {**_ROUNDS, "backend": "cuda"}),
    "recurrent-ppo": ("TMaze", 64, {**_ROUNDS, "memory": 4, "hidden": ()}),
    "reinforce": ("CartPole", 64, {"num_envs": 2, "hidden": (8,)}),
    "q-learning": ("FrozenLake", 64, {"report_every": 64}),
    "dqn": ("CartPole", 16, {"hidden": (8,), "learning_starts": 8, "batch_size": 4, "report_every": 16}),
    "sac": ("Pendulum", 16, {"hidden": (8,), "learning_starts": 8, "batch_size": 4, "report_every": 16}),
    "self-play": ("TicTacToe", 64, {"learner_settings": _ROUNDS, "games": 4}),
    "sb3:ppo": ("CartPole", 64, {"num_envs": 4, "num_steps": 16, "batch_size": 16, "hidden": (8,)}),
    "independent:ppo": ("TicTacToe", 128, _ROUNDS),
}
OTHER = {
    "CartPole": ("CartPole", {"gravity": 5.0}, "gravity = 5.0"),
    "FrozenLake": ("FrozenLake", {"slip": 0.2}, "slip = 0.2"),
    "Pendulum": ("Pendulum", {"g": 5.0}, "g = 5.0"),
    "TMaze": ("TMaze", {"length": 4}, "length = 4"),
    "TicTacToe": ("ConnectFour", {}, "ConnectFour"),
}


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("name", AGENTS)
def test_it_learns_on_in_the_task_it_has_begun_in_only(name):
    world, round_, settings = AGENTS[name]
    elsewhere, other_settings, said = OTHER[world]
    task, other = resolve_task(world), resolve_task(elsewhere, other_settings)
    whole, agent = (make_agent(name.split()[0], task, seed=1, settings=settings) for _ in range(2))
    first = next(agent.learn(task, 1))
    for wrong, told in ((other, said), (limited(task), "at most 9")):
        with pytest.raises(UsageError, match=rf"learns in {world}(.|\n)*{told}(.|\n)*make a new agent"):
            next(agent.learn(wrong, 10 * round_))
    until = int(first["steps"]) + 1
    assert list(agent.learn(resolve_task(world), until))  # equal, though not the same object
    list(whole.learn(task, 1)), list(whole.learn(task, until))
    assert_same(agent.state_dict(), whole.state_dict())


def limited(task):
    return replace(task, max_episode_steps=9)


def test_an_agent_that_was_loaded_may_begin_elsewhere():
    """A state does not say of which task it is: its copies are looked at when learning goes on."""
    task = resolve_task("CartPole")
    agent, other = (make_agent("ppo", task, settings={**_ROUNDS, "backend": "torch"}) for _ in range(2))
    next(agent.learn(task, 1))
    other.load_state_dict({**agent.state_dict(), "copies": None})
    assert next(other.learn(limited(task), 128))["steps"] == 128
