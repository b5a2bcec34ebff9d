"""Drawing replies: the probabilities noted are those of a plain forward pass under the same cut-offs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inscape import resolve_task
from inscape.agents.llm.generation.generating import Generator, reply_log_probs
from inscape.agents.llm.generation.sampling import drawn, sampled_log_probs
from inscape.agents.llm.model import build_model, build_tokenizer
from inscape.agents.llm.sampling_settings import Sampling
from inscape.errors import UsageError

transformers = pytest.importorskip("transformers")
WAYS = [
    Sampling(),
    Sampling(0.0),
    Sampling(0.3),
    Sampling(2.0),
    Sampling(top_k=5),
    Sampling(top_k=1),
    Sampling(top_p=0.7),
    Sampling(top_p=1e-9),
    Sampling(min_p=0.2),
    Sampling(0.7, 20, 0.9, 0.05),
]


@pytest.fixture(scope="module")
def language() -> tuple[torch.nn.Module, object]:
    tokenizer = build_tokenizer(resolve_task("FrozenLake"), 300, 0)
    return build_model(tokenizer, 32, 2, 2, 0), tokenizer


def rngs(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, k]) for k in range(count)]


@pytest.mark.parametrize("sampling", WAYS, ids=str)
def test_log_probs_are_those_of_a_plain_forward_pass(
    language: tuple[torch.nn.Module, object], sampling: Sampling
) -> None:
    model, tokenizer = language
    prompts = [(5, 9, 30), (7,), (5, 9, 30), tuple(range(40)), (5, 9, 31)]  # padding, and one twice
    replies = Generator(model, tokenizer, sampling, most=12).replies(prompts, rngs(5))
    pairs = list(zip(prompts, [reply.tokens for reply in replies], strict=True))
    with torch.inference_mode():
        plain = reply_log_probs(model, pairs, sampling)
    for reply, expected in zip(replies, plain, strict=True):
        np.testing.assert_allclose(reply.log_probs, expected.numpy(), atol=1e-5)
        assert 1 <= len(reply.tokens) <= 12 and (reply.ended != "cut" or len(reply.tokens) == 12)


@pytest.mark.parametrize("sampling", WAYS[2:], ids=str)
def test_the_cut_offs_are_those_of_transformers(sampling: Sampling) -> None:
    logits = torch.randn(20, 50, generator=torch.Generator().manual_seed(0)) * 3
    from transformers import generation

    steps = [generation.TemperatureLogitsWarper(sampling.temperature)]
    steps += [generation.TopKLogitsWarper(sampling.top_k)] if sampling.top_k else []
    steps += [generation.TopPLogitsWarper(sampling.top_p)] if sampling.top_p < 1 else []
    steps += [generation.MinPLogitsWarper(sampling.min_p)] if sampling.min_p > 0 else []
    expected = logits
    for step in steps:
        expected = step(None, expected)
    torch.testing.assert_close(sampled_log_probs(logits, sampling), expected.log_softmax(-1))


def test_tokens_are_drawn_in_proportion_and_never_where_cut_off() -> None:
    log_probs = torch.tensor([0.5, 0.0, 0.3, 0.2, 0.0]).log().expand(40_000, 5)
    tokens = drawn(log_probs, torch.rand(40_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    np.testing.assert_allclose(np.bincount(tokens.numpy(), minlength=5) / 40_000, [0.5, 0, 0.3, 0.2, 0], atol=0.01)
    edges = torch.tensor([0.0, 1.0 - 1e-16, 0.51], dtype=torch.float64)
    assert drawn(log_probs[:3], edges).tolist() == [0, 3, 2]


def test_a_reply_does_not_depend_on_the_others_of_its_batch(language: tuple[torch.nn.Module, object]) -> None:
    generator = Generator(*language, Sampling(), most=8)
    prompts = [(5, 9, 30), (7,), (1, 2, 3, 4)]
    together = generator.replies(prompts, rngs(3))
    for k in range(3):
        assert generator.replies(prompts[k : k + 1], [np.random.default_rng([0, k])])[0].tokens == together[k].tokens


def test_a_recurrent_model_is_read_anew(language: tuple[torch.nn.Module, object]) -> None:
    config = transformers.MambaConfig(vocab_size=300, hidden_size=16, num_hidden_layers=1, state_size=4)
    model, prompts = transformers.MambaForCausalLM(config).eval(), [(5, 9, 30), (7,), (5, 9, 30)]
    replies = Generator(model, language[1], Sampling(), most=4, ends=()).replies(prompts, rngs(3))
    with torch.inference_mode():
        plain = reply_log_probs(model, [(p, r.tokens) for p, r in zip(prompts, replies)], Sampling())
    for reply, expected in zip(replies, plain, strict=True):
        np.testing.assert_allclose(reply.log_probs, expected.numpy(), atol=1e-5)


def test_how_a_reply_ends(language: tuple[torch.nn.Module, object]) -> None:
    model, tokenizer = language
    first = Generator(model, tokenizer, Sampling(0.0), most=6, ends=()).replies([(5,)], rngs(1))[0]
    assert first.cut and len(first.tokens) == 6
    ended = Generator(model, tokenizer, Sampling(0.0), most=6, ends=first.tokens[1:2]).replies([(5,)], rngs(1))[0]
    assert ended.ended == "end" and ended.tokens == first.tokens[: first.tokens.index(first.tokens[1]) + 1]
    letter = first.text[len(first.text) // 2]
    stopped = Generator(model, tokenizer, Sampling(0.0), most=6, stop=(letter,), ends=()).replies([(5,)], rngs(1))[0]
    assert stopped.ended == "stop" and letter in stopped.text


def test_what_cannot_be_drawn(language: tuple[torch.nn.Module, object]) -> None:
    generator = Generator(*language)
    for prompts, message in (([()], "no tokens"), ([tuple([1] * 2000)], "2000 tokens")):
        with pytest.raises(UsageError, match=message):
            generator.replies(prompts, rngs(1))
    room = generator.context - 3
    assert len(Generator(*language, most=50, ends=()).replies([(1,) * room], rngs(1))[0].tokens) == 3
    for wrong in ({"temperature": -1.0}, {"temperature": float("nan")}, {"top_p": 0.0}, {"min_p": 1.0}, {"top_k": -1}):
        with pytest.raises(UsageError):
            Sampling(**wrong)
    with pytest.raises(UsageError, match="stop"):
        Generator(*language, stop=("",))
