"""Prompts and answers."""

from __future__ import annotations

import numpy as np
import pytest

from inscape.agents.llm.text import Prompter, format_answer, format_prompt
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.text.described import action_names_of, observation_text
from inscape.errors import TooManyStatesError, UsageError


def test_prompt_and_answer() -> None:
    assert format_prompt("you are here\n") == "you are here\naction:"
    assert format_prompt("you are here", ("up", "down")) == "you are here\nactions: up, down\naction:"
    assert format_answer("up") == " up\n"


def test_prompter_says_what_the_world_says_once_per_observation(monkeypatch: pytest.MonkeyPatch) -> None:
    task = resolve_task("FrozenLake")
    world = task.world
    assert world is not None
    prompter = Prompter(task, list_actions=False)
    asked = []
    describe = type(world).describe_state
    monkeypatch.setattr(type(world), "describe_state", lambda self, s, i: asked.append(i) or describe(self, s, i))
    observations = np.array([0, 1, 0, 5, 1])
    prompts = prompter.prompts(observations)
    states = world.states_of(observations)
    assert len(asked) == 3
    assert prompts == [format_prompt(describe(world, states, b)) for b in range(5)]
    prompter.prompts(observations)
    assert len(asked) == 3


def test_what_is_perceived_is_said_and_nothing_else() -> None:
    task = resolve_task("Household")
    assert task.world is not None
    states = task.world.sample_initial(64, np.random.default_rng(0), compiled=False)
    seen = task.world.observe(states, compiled=False)
    prompts = Prompter(task, list_actions=False).prompts(seen)
    # the things are hidden in different containers, all of them closed
    assert len(set(states.keys())) > 1
    assert set(prompts) == {
        "in the kitchen | closed cupboard | closed fridge | doors to living room | holding nothing | "
        "goal: mug in cupboard\naction:"
    }
    tiger = Prompter(resolve_task("Tiger"), list_actions=False).prompts(np.array([0, 1, 2]))
    assert [text.split(" | ")[1] for text in tiger] == [
        "last sound: left door",
        "last sound: right door",
        "nothing heard yet",
    ]
    poker = Prompter(resolve_task("KuhnPoker"), list_actions=False).prompts(np.array([[2, 0], [0, 3]]))
    assert poker[0] == "your card: king | nobody has acted; first is to act | ante 1, bet 1\naction:"
    assert poker[1].startswith("your card: jack | first passed, second bet; first is to act")


def test_a_world_too_large_to_be_told_apart_is_spelt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    task = resolve_task("Taxi")

    def too_many(self: object, observations: object) -> None:
        raise TooManyStatesError("more than 1,000,000 states")

    monkeypatch.setattr(type(task.world), "states_of", too_many)
    assert Prompter(task, False).prompts(np.array([12])) == ["observation 12\naction:"]


def test_observations_are_spelt_out_where_there_is_no_law() -> None:
    assert observation_text(np.array([0.125, -0.0, -3.0], np.float32)) == "observation 0.125 0 -3"
    assert observation_text(np.int64(7)) == "observation 7"
    assert Prompter(resolve_task("FrozenLake-v1"), False).prompts(np.array([12])) == ["observation 12\naction:"]
    with pytest.raises(UsageError, match="300 values"):
        observation_text(np.zeros(300))


def test_answers_are_action_names() -> None:
    assert action_names_of(resolve_task("FrozenLake")) == ("left", "down", "right", "up")
    assert action_names_of(resolve_task("CartPole-v1")) == ("0", "1")
    with pytest.raises(UsageError, match="action space Box"):
        action_names_of(resolve_task("Pendulum-v1"))
