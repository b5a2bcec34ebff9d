"""The agent `llm` in text environments: what was drawn is what is read and learned from, and learning helps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from inscape import make_agent, resolve_task, rollout
from inscape.agents import evaluate
from inscape.agents.llm.generation.agent import TextAgent
from inscape.agents.llm.generation.conversation import Conversation
from inscape.agents.llm.generation.generating import reply_log_probs
from inscape.envs import TextEnv, Turn, register_text_env, text_env
from inscape.errors import UsageError

pytest.importorskip("transformers")
TINY = {
    "hidden_size": 16,
    "layers": 1,
    "heads": 2,
    "vocabulary": 257,
    "answer_tokens": 4,
    "num_envs": 16,
    "group_size": 8,
}


class Letters(TextEnv):
    """Three turns, each paid for the share of capital letters among the letters of an answer."""

    max_turns = 3
    instructions = "Write in capitals."
    cue = ">"

    def begin(self, rng: np.random.Generator, options: Mapping[str, Any]) -> str:
        return f"begin {int(rng.integers(10))}"

    def respond(self, answer: str) -> Turn:
        letters = [letter for letter in answer if letter.isascii() and letter.isalpha()]
        if not letters:
            return Turn("letters, please", problem="empty")
        return Turn("go on", sum(letter.isupper() for letter in letters) / len(letters))


register_text_env("Letters", f"{__name__}:Letters", "of tests")


def made(world: str = "Letters", **settings: Any) -> TextAgent:
    agent = make_agent("llm", resolve_task(world), settings={**TINY, **settings})
    assert isinstance(agent, TextAgent)
    return agent


def test_what_was_drawn_is_what_is_read_later() -> None:
    """Also where decoding and encoding again would give other tokens, as with an untrained model's bytes."""
    learner = made().learner
    envs = [text_env("Letters") for _ in range(20)]
    differences = again = 0
    for episode in learner.play(envs, range(20), [0]):
        for before, after in zip(episode.turns, episode.turns[1:]):
            so_far = before.context + before.reply.tokens
            differences += after.context[: len(so_far)] != so_far
        for turn in episode.turns:
            again += learner.encode(turn.reply.text, False) != turn.reply.tokens if turn.reply.text else 1
    assert differences == 0 and again > 0


def test_log_probs_of_an_episode_are_those_that_learning_computes() -> None:
    learner = made(temperature=0.7, top_p=0.9).learner
    episodes = learner.play([text_env("Letters") for _ in range(4)], range(4), [0])
    turns = [turn for episode in episodes for turn in episode.turns]
    found = reply_log_probs(learner.model, [(t.context, t.reply.tokens) for t in turns], learner.generator.sampling)
    for turn, log_probs in zip(turns, found, strict=True):
        np.testing.assert_allclose(turn.reply.log_probs, log_probs.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("settings", [{"kl_coef": 0.1}, {"algorithm": "rloo", "top_k": 50}, {"algorithm": "reinforce"}])
def test_the_first_minibatch_is_on_policy(settings: dict[str, Any]) -> None:
    agent = made(clone_steps=0, epochs=1, **settings)
    (first,) = list(agent.learn(agent.task, 1))
    name = settings.get("algorithm", "grpo")
    assert first[f"{name}/ratio_gap"] < 1e-5
    assert first[f"{name}/kl_to_reference"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.slow
def test_it_learns_to_write_in_capitals() -> None:
    agent = made(clone_steps=0, learning_rate=0.02, num_envs=32)
    returns = [metrics["train/return_mean"] for metrics in agent.learn(agent.task, 32 * 3 * 25)]
    assert np.mean(returns[:3]) < 2.0 and np.mean(returns[-3:]) > 2.7, returns
    assert evaluate(agent, agent.task, 20, 0).mean > 2.7


@pytest.mark.slow
def test_it_imitates_what_it_is_shown() -> None:
    agent = made(clone_steps=60, clone_learning_rate=0.01, temperature=0.0)
    agent.imitate([(f"begin {k}", " AB") for k in range(10)])
    losses = [metrics["clone/loss"] for metrics in agent.learn(agent.task, 0)]
    assert losses[-1] < 0.5 < losses[0]
    assert agent.act(["begin 3", "begin 9"]).tolist() == ["> AB\n", "> AB\n"]
    with pytest.raises(UsageError, match="no examples"):
        agent.imitate([])


def test_a_state_goes_on_as_if_nothing_had_happened() -> None:
    settings = {"clone_steps": 0, "kl_coef": 0.05, "epochs": 2}
    whole = made(**settings)
    list(whole.learn(whole.task, 48 * 3))
    first, second = made(**settings), made(**settings)
    rows = first.learn(first.task, 48 * 3)
    next(rows)
    second.load_state_dict(first.state_dict())
    list(second.learn(second.task, 48 * 3))
    for name, value in whole.state_dict()["weights"].items():
        np.testing.assert_array_equal(value, second.state_dict()["weights"][name])


def test_a_described_world_is_cloned_and_recorded() -> None:
    task = resolve_task("text:FrozenLake", {"max_turns": 8})
    agent = make_agent("llm", task, settings={**TINY, "clone_steps": 2})
    assert isinstance(agent, TextAgent)
    list(agent.learn(task, 0))
    trajectory = rollout(agent, task, 2, 0)[0]
    assert trajectory.observations.dtype.kind == trajectory.actions.dtype.kind == "U"
    assert trajectory.actions[0].startswith("action:") or trajectory.actions[0] == ""


def test_the_window_says_what_it_leaves_out() -> None:
    talk = Conversation(lambda text, special: tuple(text.encode()), "rules", ">")
    for number in range(6):
        talk.observe(f"turn {number}")
        if number < 5:
            talk.shown(tuple(b"yes\n"))
    whole, none = talk.context(10_000)
    assert none == 0 and bytes(whole).startswith(b"rules\nturn 0\n>yes\n\nturn 1\n>")
    short, dropped = talk.context(60)
    assert len(short) <= 60 and dropped > 0
    assert bytes(short).startswith(b"rules\n[%d earlier turns left out]\n" % dropped) and bytes(short).endswith(
        b"turn 5\n>"
    )
    with pytest.raises(UsageError, match="take 15 tokens"):
        talk.context(14)
    talk.history = 0
    assert bytes(talk.context(10_000)[0]) == b"rules\n\nturn 5\n>"


def test_what_text_does_not_have_is_refused() -> None:
    for settings, message in (
        ({"algorithm": "ppo"}, "algorithm ppo"),
        ({"algorithm": "gigpo"}, "algorithm gigpo"),
        ({"kl_coef": 0.1, "kl_in": "reward", "algorithm": "grpo"}, "kl_in reward"),
        ({"temperature": -1.0}, "temperature"),
        ({"answer_tokens": 0}, "answer_tokens"),
        ({"history": -1}, "history"),
    ):
        with pytest.raises(UsageError, match=message):
            made(**settings)
