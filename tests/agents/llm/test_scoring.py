"""Scores of answers: one pass over the tree of answers against one pass per answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from inscape.agents.llm.policy import prompt_batches
from inscape.agents.llm.scoring import answer_tree, full_scores, log_softmax, masked_log_softmax, tree_scores
from inscape.errors import UsageError

torch.set_num_threads(1)
transformers = pytest.importorskip("transformers")

# "left", "left-up", "right", two of equal length that part late, one token alone
ANSWERS = [(5, 9), (5, 7, 8, 9), (6, 9), (11, 12, 13, 9), (11, 12, 14, 9), (15,)]
PROMPTS = [(1, 2, 3), (4, 3, 2, 1, 2, 3, 4), (17,), (20, 21, 22, 23)]


def small(kind: str) -> Any:
    torch.manual_seed(0)
    if kind == "llama":
        config = transformers.LlamaConfig(
            vocab_size=32, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, initializer_range=0.3,
        )  # fmt: skip
        return transformers.LlamaForCausalLM(config).eval()
    config = transformers.GPT2Config(
        vocab_size=32, n_positions=64, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config).eval()


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_one_pass_equals_a_pass_per_answer_and_the_definition(kind: str) -> None:
    model = small(kind)
    with torch.no_grad():
        quick, hidden = tree_scores(model, PROMPTS, answer_tree(ANSWERS), states=True)
        plain, plain_hidden = full_scores(model, PROMPTS, ANSWERS, states=True)
        literal = torch.zeros_like(plain)
        for b, prompt in enumerate(PROMPTS):
            for a, answer in enumerate(ANSWERS):
                for k, token in enumerate(answer):
                    logits = model(input_ids=torch.tensor([[*prompt, *answer[:k]]])).logits[0, -1]
                    literal[b, a] += logits.log_softmax(0)[token]
    torch.testing.assert_close(quick, plain, atol=1e-5, rtol=0)
    torch.testing.assert_close(quick, literal, atol=1e-5, rtol=0)
    torch.testing.assert_close(hidden, plain_hidden, atol=1e-5, rtol=0)
    assert quick.std(0).min() > 0.05  # the prompt matters, so agreement is not an accident


def test_gradients_agree() -> None:
    weights = torch.linspace(-1, 1, len(PROMPTS) * len(ANSWERS)).reshape(len(PROMPTS), -1)
    gradients = []
    for score in (lambda m: tree_scores(m, PROMPTS, answer_tree(ANSWERS)), lambda m: full_scores(m, PROMPTS, ANSWERS)):
        model = small("llama")
        (score(model)[0].log_softmax(1) * weights).sum().backward()
        gradients.append(model.model.layers[0].self_attn.k_proj.weight.grad.clone())
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-4)
    assert gradients[0].abs().max() > 1e-3


def test_rows_of_a_batch_do_not_influence_each_other() -> None:
    model, tree = small("llama"), answer_tree(ANSWERS)
    with torch.no_grad():
        together, _ = tree_scores(model, PROMPTS, tree)
        alone = torch.cat([tree_scores(model, [prompt], tree)[0] for prompt in PROMPTS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_tree_encodes_shared_beginnings_once_and_line_breaks_never() -> None:
    tree = answer_tree(ANSWERS)
    assert sorted(tree.tokens.tolist()) == sorted([5, 7, 8, 6, 11, 12, 13, 14])
    assert tree.num_answers == len(ANSWERS)


@pytest.mark.parametrize("answers", [[(1, 2), (1, 2)], [(1,), ()]])
def test_answers_that_cannot_be_told_apart_are_refused(answers: list[tuple[int, ...]]) -> None:
    with pytest.raises(UsageError, match="tokens of the answers"):
        answer_tree(answers)


def test_masked_log_softmax_is_the_same_in_torch_and_numpy() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(50, 5)).astype(np.float32) * 20
    mask = rng.random((50, 5)) < 0.5
    mask[:, 2] = True
    ours = log_softmax(scores, mask)
    np.testing.assert_allclose(np.exp(ours).sum(1), 1, atol=1e-12)
    assert np.isneginf(ours[~mask]).all()
    assert np.isfinite(ours[mask]).all()
    np.testing.assert_allclose(masked_log_softmax(torch.tensor(scores), torch.tensor(mask)).numpy(), ours, atol=1e-4)


def test_log_softmax_refuses_what_is_no_policy() -> None:
    with pytest.raises(UsageError, match="row 1 of the action mask"):
        log_softmax(np.zeros((2, 3)), np.array([[True, True, True], [False] * 3]))
    with pytest.raises(UsageError, match="scores row 1"):
        log_softmax(np.array([[0.0, 1.0], [np.nan, np.nan]]), None)


def test_prompt_batches_hold_every_sample_once() -> None:
    rows = np.random.default_rng(1).integers(0, 37, 500)
    seen = []
    for prompts, samples, local in prompt_batches(rows, 10, np.random.default_rng(2)):
        assert len(prompts) <= 10
        assert (prompts[local] == rows[samples]).all()
        seen += samples.tolist()
    assert sorted(seen) == list(range(500))
