"""The language model as an agent: what it says, what it learns, and going on where it stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inscape.agents.llm import LanguageModelAgent, LanguageModelSettings, demonstrations
from inscape.agents.llm.demonstrations import planner_demonstrations
from inscape.agents.llm.model import encode, load_language_model
from inscape.agents.llm.reinforcement.rollouts import Rollouts
from inscape.agents.llm.scoring import full_scores
from inscape.envs.data.trajectory import Trajectory
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.tasks.task import Task
from inscape.errors import UsageError
from inscape.world_models.planning.dynamic_programming import policy_evaluation, value_iteration
from tests.conftest import ROOT, slow_but

torch.set_num_threads(1)
transformers = pytest.importorskip("transformers")
processors = pytest.importorskip("tokenizers.processors")

QUICK = LanguageModelSettings(
    hidden_size=16, layers=1, heads=2, clone_steps=50, clone_episodes=4, num_envs=8, num_steps=16, epochs=2
)


@pytest.fixture(scope="module")
def lake() -> Task:
    return resolve_task("FrozenLake")


def made(task: Task, seed: int = 0, **settings: Any) -> LanguageModelAgent:
    return LanguageModelAgent(task, seed, "cpu", replace(QUICK, **settings))


def exhaust(agent: LanguageModelAgent, task: Task, steps: int) -> list[dict[str, float]]:
    return list(agent.learn(task, steps))


def value_of(agent: LanguageModelAgent, task: Task, sampled: bool) -> float:
    """Exact value of the agent's policy at the start, by policy evaluation."""
    world = task.world
    assert world is not None
    dynamics = world.dynamics()
    mask = dynamics.legal | ~dynamics.legal.any(1, keepdims=True)
    log_probs = agent.action_log_probs(world.observe(dynamics.states), mask)
    policy = np.exp(log_probs) if sampled else np.eye(log_probs.shape[1])[log_probs.argmax(1)]
    return float(dynamics.initial @ policy_evaluation(world, policy, world.gamma))


def same(first: Any, second: Any, where: str = "state") -> None:
    """Asserts that two states are equal bit for bit."""
    if isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            same(first[key], second[key], f"{where}.{key}")
    elif isinstance(first, np.ndarray):
        assert first.dtype == second.dtype, where
        assert first.tobytes() == second.tobytes(), where
    else:
        assert first == second, where


# ------------------------------------------------------------------------------------------------------------- acting


def test_log_probs_are_the_formula(lake: Task) -> None:
    agent = made(lake)
    observations = np.arange(12)
    mask = np.random.default_rng(0).random((12, 4)) < 0.6
    mask[:, 1] = True
    log_probs = agent.action_log_probs(observations, mask)
    policy = agent.policy
    with torch.no_grad():
        scores, _ = full_scores(
            policy.model, policy.tokens_of(agent.learner.prompter.prompts(observations)), policy.answers
        )
    weights = np.where(mask, np.exp(scores.double().numpy()), 0)
    np.testing.assert_allclose(np.exp(log_probs), weights / weights.sum(1, keepdims=True), atol=1e-5)
    assert np.isneginf(log_probs[~mask]).all()


def test_acts_greedily_or_draws_and_never_illegally(lake: Task) -> None:
    observations, mask = np.zeros(4000, np.int64), np.ones((4000, 4), bool)
    mask[:, 2] = False
    greedy, drawing = made(lake, greedy=True), made(lake)
    log_probs = drawing.action_log_probs(observations[:1], mask[:1])[0]
    assert (
        np.exp(greedy.action_log_probs(observations[:1], mask[:1])[0]).tolist()
        == np.eye(4)[log_probs.argmax()].tolist()
    )
    assert (greedy.act(observations, mask) == log_probs.argmax()).all()
    drawn = np.bincount(drawing.act(observations, mask), minlength=4) / 4000
    assert drawn[2] == 0
    np.testing.assert_allclose(drawn, np.exp(log_probs), atol=0.03)


def test_a_prompt_is_computed_once(lake: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, rows = made(lake), []
    forward = agent.policy.forward
    monkeypatch.setattr(
        agent.policy, "forward", lambda prompts, values: rows.append(len(prompts)) or forward(prompts, values)
    )
    agent.act(np.array([1, 1, 2, 1]))
    agent.act(np.array([2, 3]))
    assert rows == [2, 1]


def test_the_tokenizer_encodes_any_text(lake: Task) -> None:
    tokenizer = made(lake).policy.tokenizer
    for text in ("row 3 column 12", "Ærø → 東京 🙂\t\x07", ""):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert (
        len(tokenizer("row 1 column 2 | left ice")["input_ids"]) == 9
    )  # one per word, sign and digit; a space before a digit


def test_leaves_the_number_of_threads_alone(lake: Task) -> None:
    torch.set_num_threads(2)
    try:
        agent = made(lake)
        agent.act(np.arange(4))
        next(agent.learn(lake, 128))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_same_seed_same_agent(lake: Task) -> None:
    first, second, other = (made(lake, seed) for seed in (0, 0, 1))
    torch.rand(7)  # the global generator plays no part
    same(first.state_dict(), second.state_dict())
    assert not np.array_equal(*(agent.action_log_probs(np.array([0])) for agent in (first, other)))


# ----------------------------------------------------------------------------------------------------------- learning


def test_clones_the_planner(lake: Task) -> None:
    agent = made(lake, clone_steps=200, clone_episodes=10, clone_beta=float("inf"), clone_learning_rate=3e-3)
    metrics = exhaust(agent, lake, 0)
    assert metrics[-1]["steps"] == 0
    assert metrics[-1]["clone/agreement"] > 0.95
    assert metrics[-1]["clone/loss"] < metrics[0]["clone/loss"]
    optimum = value_iteration(lake.world, 0.99).values[0]
    assert value_of(agent, lake, sampled=False) > 0.9 * optimum


@pytest.mark.slow
def test_cloning_approaches_the_demonstrators_distribution(lake: Task) -> None:
    agent = made(lake, clone_steps=400, clone_episodes=20, clone_beta=20.0, clone_learning_rate=3e-3)
    exhaust(agent, lake, 0)
    shown = planner_demonstrations(lake, 20, 20.0, 0, np.random.default_rng([0, 3]))
    ours = np.exp(agent.action_log_probs(shown.observations))
    assert np.abs(ours - shown.targets).mean() < 0.03
    assert np.abs(0.25 - shown.targets).mean() > 0.1


@pytest.mark.slow
@pytest.mark.compiled(all=False)
def test_reinforcement_improves_a_poor_clone() -> None:
    task = resolve_task("FrozenLake")
    # with less entropy some seeds stay with a way that reaches four fifths of the optimum
    agent = made(task, hidden_size=32, clone_beta=2.0, num_envs=128, num_steps=32, entropy_coef=0.1, epochs=4)
    exhaust(agent, task, 0)
    before = value_of(agent, task, sampled=True)
    exhaust(agent, task, 600_000)
    after, optimum = value_of(agent, task, sampled=True), value_iteration(task.world, 0.99).values[0]
    assert before < 0.25 * optimum
    assert after > 0.9 * optimum


@pytest.mark.slow
@pytest.mark.parametrize("name", ["FourGoals", "examples/elevator.py:Elevator"])
def test_learns_in_other_worlds_untouched(name: str) -> None:
    path = ROOT / name
    task = resolve_task(str(path) if ":" in name else name)
    agent = made(task, clone_steps=100, clone_beta=float("inf"), clone_learning_rate=5e-3)
    metrics = exhaust(agent, task, 256)
    assert max(m.get("clone/agreement", 0.0) for m in metrics) > 0.8
    assert metrics[-1]["steps"] == 256


@pytest.mark.slow
def test_clones_a_search_where_the_world_cannot_be_solved(lake: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lake.world is not None
    solved = demonstrations.exact_values(lake.world)
    assert demonstrations.exact_values(resolve_task("CartPole").world) is None
    monkeypatch.setattr(demonstrations, "exact_values", lambda world: None)
    shown = planner_demonstrations(lake, 2, float("inf"), 20_000, np.random.default_rng(0))
    values = solved(lake.world.states_of(shown.observations))
    chosen = (shown.targets * values).sum(1)
    assert (chosen > values.max(1) - 0.02).mean() > 0.9


def test_learns_by_reinforcement_alone_without_a_law() -> None:
    task = resolve_task("FrozenLake-v1")
    metrics = exhaust(made(task), task, 256)
    assert [m["steps"] for m in metrics] == [128.0, 256.0]


def test_clones_episodes_handed_in(lake: Task) -> None:
    episode = Trajectory(np.array([0, 4, 8]), np.array([3, 2]), np.zeros(2), False, True)
    agent = made(lake, clone_steps=75)
    agent.imitate([episode])
    exhaust(agent, lake, 0)
    assert agent.action_log_probs(np.array([0, 4])).argmax(1).tolist() == [3, 2]
    with pytest.raises(UsageError, match="without a single action"):
        agent.imitate([])


def test_truncation_bootstraps_and_termination_does_not() -> None:
    task = replace(resolve_task("FrozenLake-firm"), max_episode_steps=3)
    agent = made(task, clone_steps=0, gae_lambda=0.0, gamma=0.5, num_envs=64)
    torch.nn.init.constant_(agent.policy.value_head[2].bias, 8.0)  # its weights are zero: V = 8 everywhere
    rollouts = Rollouts(agent.learner, task)
    rollouts.start(None)
    batch = rollouts.collect(12)
    rollouts.close()
    # no goal within three steps: 0 + 0.5 · 8 unless it fell into a hole
    assert set(batch.returns.tolist()) == {0.0, 4.0}
    episodes = batch.metrics["episodes"]
    assert episodes > (batch.returns == 0).sum() > 0


@pytest.mark.slow
def test_a_large_penalty_holds_the_policy_at_the_clone(lake: Task) -> None:
    moved = []
    for weight in (0.0, 100.0):
        agent = made(lake, kl_coef=weight, clone_steps=20, entropy_coef=1.0)
        exhaust(agent, lake, 0)
        before = agent.action_log_probs(np.arange(16))
        exhaust(agent, lake, 8 * 16 * 20)
        moved.append(np.abs(np.exp(agent.action_log_probs(np.arange(16))) - np.exp(before)).max())
    assert moved[1] < 0.5 * moved[0]


@pytest.mark.parametrize("size", [3, 64])
def test_no_batch_has_more_distinct_prompts_than_asked_for(
    lake: Task, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    agent, sizes, gradient_steps = made(lake, prompts_per_batch=size, clone_steps=0, epochs=1), [], []
    forward, descend = agent.policy.forward, agent.learner.descend

    def noted(prompts: Any, values: bool = True) -> Any:
        sizes.append(len(set(prompts)))
        return forward(prompts, values)

    monkeypatch.setattr(agent.policy, "forward", noted)
    monkeypatch.setattr(agent.learner, "descend", lambda loss: gradient_steps.append(0) or descend(loss))
    exhaust(agent, lake, 8 * 16)
    assert max(sizes) <= size
    assert (len(gradient_steps) > 1) == (size == 3)
    observations = np.arange(16)
    agent.action_log_probs(observations)
    assert max(sizes) == min(size, 16)  # all 16 cells at once, where they fit


@pytest.mark.parametrize("value_coef", [0.0, 0.5])
def test_value_coef_weighs_the_value_loss(value_coef: float) -> None:
    costly = resolve_task("FrozenLake", {"step_cost": 0.1})  # values begin at 0: without a reward there is no loss
    agent = made(costly, clone_steps=0, value_coef=value_coef)
    before = [p.detach().clone() for p in agent.policy.value_head.parameters()]
    exhaust(agent, costly, 256)
    same_as_before = [torch.equal(p, q) for p, q in zip(agent.policy.value_head.parameters(), before, strict=True)]
    assert all(same_as_before) if value_coef == 0 else not any(same_as_before)


def test_max_grad_norm_limits_gradients_in_both_stages(lake: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    agent = made(lake, max_grad_norm=1e-3, clone_steps=5)
    step = torch.optim.Adam.step

    def noted(optimizer: torch.optim.Adam, *args: Any, **kwargs: Any) -> Any:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.linalg.vector_norm(torch.cat([g.ravel() for g in gradients]))))
        return step(optimizer, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    exhaust(agent, lake, 128)
    assert len(norms) > 5
    assert norms == pytest.approx([1e-3] * len(norms), rel=1e-2)


@pytest.mark.slow
@pytest.mark.compiled
def test_the_planner_that_is_cloned_searches_with_the_simulations_asked_for(
    lake: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A longer search demonstrates better decisions, by the exact action values."""
    assert lake.world is not None
    solved = demonstrations.exact_values(lake.world)
    assert solved is not None
    monkeypatch.setattr(demonstrations, "exact_values", lambda world: None)
    lost = []
    for simulations in (5, 500):
        agent = made(lake, clone_simulations=simulations, clone_episodes=2, clone_beta=float("inf"))
        shown = agent._cloning._demonstrations(lake)
        assert shown is not None
        values = solved(lake.world.states_of(shown.observations))
        lost.append((values.max(1) - (shown.targets * values).sum(1)).mean())
    assert lost[1] < 0.5 * lost[0]


# ----------------------------------------------------------------------------------------------------------- resuming


@pytest.mark.quick("0.1-4")
@pytest.mark.parametrize(
    ("kl_coef", "stop"),  # within stage 1, within stage 2
    slow_but([(0.0, 1), (0.1, 4)], [(kl_coef, stop) for kl_coef in (0.0, 0.1) for stop in (1, 4)]),
)
def test_resumes_bit_for_bit(lake: Task, stop: int, kl_coef: float) -> None:
    whole = made(lake, kl_coef=kl_coef)
    exhaust(whole, lake, 640)
    first = made(lake, kl_coef=kl_coef)
    learning = first.learn(lake, 640)
    for _ in range(stop):
        next(learning)
    state = first.state_dict()
    first.act(np.arange(16))  # an evaluation in between changes nothing
    second = made(lake, kl_coef=kl_coef)
    second.load_state_dict(state)
    exhaust(second, lake, 640)
    same(whole.state_dict(), second.state_dict())
    assert whole.state_dict()["steps"] == 640


def test_evaluating_between_yields_changes_nothing(lake: Task) -> None:
    quiet, asked = made(lake), made(lake)
    exhaust(quiet, lake, 384)
    for _ in asked.learn(lake, 384):
        asked.action_log_probs(np.array([3, 1]))
    same(quiet.state_dict(), asked.state_dict())


def test_a_state_brings_its_own_tokenizer(lake: Task) -> None:
    trained, fresh = made(lake, seed=0), made(resolve_task("FourGoals"), seed=5)
    fresh.load_state_dict(trained.state_dict())
    assert fresh.policy.tokenizer("row 9")["input_ids"] == trained.policy.tokenizer("row 9")["input_ids"]
    same(trained.policy.weights(), fresh.policy.weights())


def test_refuses_the_weights_of_another_model(lake: Task) -> None:
    with pytest.raises(UsageError, match="another language model"):
        made(lake, hidden_size=32).load_state_dict(made(lake).state_dict())
    with pytest.raises(UsageError, match="--model elsewhere"):
        made(lake).load_state_dict(made(lake).state_dict() | {"model": "elsewhere"})


# ------------------------------------------------------------------------------------------------------ loaded models


@pytest.fixture
def folder(tmp_path: Path, lake: Task) -> Path:
    tokenizer = made(lake).policy.tokenizer
    torch.manual_seed(3)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_positions=128, n_embd=16, n_layer=1, n_head=2, initializer_range=0.5,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_acts_and_learns_with_a_model_from_a_folder(folder: Path, lake: Task) -> None:
    agent = made(lake, model=str(folder), clone_steps=25)
    assert agent.policy.scoring == "tree"
    assert agent.learner.prompter.prompts(np.array([0]))[0].endswith("actions: left, down, right, up\naction:")
    one_by_one = made(lake, model=str(folder), scoring="full")
    observations = np.arange(16)
    before = agent.action_log_probs(observations)
    np.testing.assert_allclose(before, one_by_one.action_log_probs(observations), atol=1e-5)
    exhaust(agent, lake, 128)
    assert np.abs(agent.action_log_probs(observations) - before).max() > 1e-4
    again = made(lake, model=str(folder), clone_steps=25)
    again.load_state_dict(agent.state_dict())
    np.testing.assert_array_equal(again.action_log_probs(observations), agent.action_log_probs(observations))


def test_a_model_that_heeds_no_mask_is_scored_answer_by_answer(lake: Task, tmp_path: Path, folder: Path) -> None:
    config = transformers.MambaConfig(vocab_size=600, hidden_size=16, num_hidden_layers=1, state_size=4)
    transformers.MambaForCausalLM(config).save_pretrained(tmp_path / "mamba")
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "mamba")
    with pytest.warns(UserWarning, match="scored by itself"):
        agent = made(lake, model=str(tmp_path / "mamba"))
    assert agent.policy.scoring == "full"
    np.testing.assert_allclose(np.exp(agent.action_log_probs(np.arange(3))).sum(1), 1)


TEMPLATES = (
    "$A", "$A <end>", "$A <end> <end>", "<s> $A", "<s> $A <end>", "<s> <s> $A <end> <s>", "$A <s>", "$A <s> <end>",
    "<end> $A", "<end> $A <end>",
)  # fmt: skip


@pytest.mark.parametrize("template", TEMPLATES)
def test_no_prompt_ends_with_a_special_token(folder: Path, template: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    special = {name: tokenizer.convert_tokens_to_ids(name) for name in ("<s>", "<end>")}
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=list(special.items())
    )
    for text in ("action:", "state 3 | goal\naction:", "action: action:"):
        plain = encode(tokenizer, [text], special=False)[0]
        (found,) = encode(tokenizer, [text], special=True)
        before = template.split("$A")[0].split()
        assert found == (*(special[name] for name in before), *plain)


def test_too_few_embeddings_and_too_short_a_context_are_refused(folder: Path, lake: Task, tmp_path: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for name, sizes, message in (
        ("small", {"vocab_size": len(tokenizer) - 1}, "an embedding for every token"),
        ("short", {"vocab_size": len(tokenizer), "n_positions": 3}, "at most 3, the model's"),
    ):
        config = transformers.GPT2Config(n_embd=16, n_layer=1, n_head=2, **sizes)
        transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        with pytest.raises(UsageError, match=message):
            LanguageModelAgent(lake, 0, "cpu", LanguageModelSettings(model=str(tmp_path / name)))


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match="reading a pickle runs code"):
        load_language_model(str(folder))


def test_a_model_that_needs_its_own_code_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text(
        '{"model_type": "mystery", "auto_map": {"AutoConfig": "mystery.C", "AutoModelForCausalLM": "mystery.M"}}'
    )
    (folder / "mystery.py").write_text("raise SystemExit('code of the model was run')")
    with pytest.raises(UsageError, match="needs code of its own"):
        load_language_model(str(folder))


def test_what_is_no_model_is_refused(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no model folder"):
        load_language_model(str(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="has no config.json"):
        load_language_model(str(tmp_path / "empty"))
    (folder / "config.json").write_text("{")
    with pytest.raises(UsageError, match="cannot load the language model"):
        load_language_model(str(folder))
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="cannot load the language model nobody/nothing") as caught:
        load_language_model("nobody/nothing")
    assert "leave out --model" in caught.value.hint


def test_missing_transformers_is_said(lake: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match="needs the package transformers") as caught:
        made(lake)
    assert caught.value.hint == "pip install 'inscape[llm]'"


@pytest.mark.slow
def test_importing_the_agent_does_not_import_transformers() -> None:
    import subprocess
    import sys

    code = "import inscape.agents.llm, sys; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_envs", 0),
        ("gamma", 1.5),
        ("learning_rate", 0.0),
        ("clip", float("nan")),
        ("clone_beta", float("nan")),
        ("threads", 0),
        ("heads", 3),
        ("vocabulary", 9),
    ],
)
def test_settings_out_of_range_are_refused(lake: Task, name: str, value: float) -> None:
    with pytest.raises(UsageError, match=name):
        made(lake, **{name: value})


def test_a_task_with_other_actions_is_refused(lake: Task) -> None:
    with pytest.raises(UsageError, match="has the actions"):
        next(iter(made(lake).learn(resolve_task("CartPole"), 10)))
