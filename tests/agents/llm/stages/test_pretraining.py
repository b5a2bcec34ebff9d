"""Next-token training: packed rows give what separate ones give, only what is asked is predicted, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from inscape import make_agent, rollout
from inscape.agents.llm import LanguageModelAgent
from inscape.agents.llm.stages.pretraining import (
    Text,
    episode_pieces,
    pack,
    perplexity,
    pretrain,
    to_text,
    token_losses,
    windows,
)
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError

pytest.importorskip("transformers")
SMALL = {"hidden_size": 16, "layers": 1, "heads": 2, "clone_steps": 0}


@pytest.fixture(scope="module")
def agent() -> Any:
    return make_agent("llm", "FrozenLake", settings=SMALL)


@pytest.fixture(scope="module")
def texts(agent: Any) -> list[Text]:
    task = resolve_task("FrozenLake")
    episodes = rollout(make_agent("random", task), task, episodes=6, seed=0)
    tokenizer = agent.policy.tokenizer
    return [to_text(tokenizer, episode_pieces(task, episode, answers_only=k % 2 == 0)) for k, episode in
            enumerate(episodes)]  # fmt: skip


def test_packed_is_separate(agent: Any, texts: list[Text]) -> None:
    """The loss, and its gradient, of texts that share rows is that of each in a row of its own."""
    model = agent.policy.model
    longest = max(len(text.tokens) for text in texts)
    together = pack(texts, 2 * longest)
    assert len(together.tokens) < len(texts)
    parameters = list(model.parameters())
    gradients, losses = [], []
    for rows in ([together], [pack([text], longest) for text in texts]):
        loss = torch.stack([token_losses(model, row).sum() for row in rows]).sum()
        gradients.append(torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, parameters)]))
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-3)


def test_a_text_alone_is_a_plain_forward_pass(agent: Any, texts: list[Text]) -> None:
    model, text = agent.policy.model, texts[1]
    tokens = torch.tensor([text.tokens])
    with torch.no_grad():
        expected = torch.nn.functional.cross_entropy(model(input_ids=tokens).logits[0, :-1], tokens[0, 1:])
        found = token_losses(model, pack([text], len(text.tokens))).mean()
    assert float(found) == pytest.approx(float(expected), abs=1e-5)


def test_only_answers_are_predicted(agent: Any) -> None:
    text = to_text(agent.policy.tokenizer, [("row 1 column 2\naction:", False), (" left\n", True)])
    answer = agent.policy.answers[agent.policy.actions.index("left")]
    packed = pack([text], 64)
    predicted = packed.tokens[0][packed.weights[0] > 0]
    assert tuple(predicted.tolist()) == answer


def test_answer_losses_are_the_policys_scores(agent: Any) -> None:
    """Supervised fine-tuning and the policy agree on what an answer's probability is."""
    prompt = agent.learner.prompter.prompts(np.array([3]))[0]
    scores, _ = agent.policy([prompt], values=False)
    for k, name in enumerate(agent.policy.actions):
        text = to_text(agent.policy.tokenizer, [(prompt, False), (f" {name}\n", True)])
        loss = token_losses(agent.policy.model, pack([text], 64)).sum()
        assert -loss.item() == pytest.approx(scores[0, k].item(), abs=1e-5)


def test_windows_predict_each_token_once() -> None:
    text = Text(tuple(range(23)), (1.0,) * 23)
    for length in (2, 5, 23, 40):
        predicted = [token for part in windows(text, length) for token in part.tokens[1:]]
        assert predicted == list(range(1, 23))


def test_it_learns_and_the_same_seed_gives_the_same_weights(texts: list[Text]) -> None:
    first, second = (make_agent("llm", "FrozenLake", settings=SMALL) for _ in range(2))
    assert isinstance(first, LanguageModelAgent)
    assert isinstance(second, LanguageModelAgent)
    held = pack(texts[:2], 256)
    before = perplexity(first.policy.model, held)
    for agent in (first, second):
        reported = list(pretrain(agent, texts[2:], 50, learning_rate=5e-3, batch=4))
    assert perplexity(first.policy.model, held) < 0.3 * before
    assert reported[-1]["pretrain/steps"] == 50
    for name, weights in first.policy.weights().items():
        assert weights.tobytes() == second.policy.weights()[name].tobytes()


def test_bad_input_is_named(agent: Any) -> None:
    with pytest.raises(UsageError, match="nothing to predict"):
        to_text(agent.policy.tokenizer, [("all given", False)])
    with pytest.raises(UsageError, match="nothing to predict"):
        pack([], 8)
    with pytest.raises(UsageError, match="rows of 1"):
        pack([Text((1, 2), (1.0, 1.0))], 1)
    with pytest.raises(UsageError, match="a loss of nan"):
        list(pretrain(agent, [Text((1, 2, 3), (1.0,) * 3)], 1, penalty=lambda _: torch.tensor(float("nan"))))
