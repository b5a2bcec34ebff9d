"""Worlds in TRL's `GRPOTrainer`: the tools it finds, and a short training of a tiny model made in place."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from inscape.envs import text_env
from inscape.envs.text.conventions.trl_env import trl_environment, trl_rows
from inscape.errors import UsageError

WORDS = ("left", "down", "nowhere", "right", "", "up")


def test_same_seed_same_episode_and_return() -> None:
    factory = trl_environment("FrozenLake", penalty=0.25, max_turns=20)
    env, direct = factory(), text_env("FrozenLake", penalty=0.25, max_turns=20)
    for seed in range(60):
        assert env.reset(seed=seed, prompt="ignored") == direct.reset(seed=seed)[0]
        total, over, turn = 0.0, False, 0
        while not over:
            answer = WORDS[(seed * 7 + turn * (1 + seed % 5)) % len(WORDS)]
            text, reward, terminated, truncated, _ = direct.step(answer)
            total, over, turn = total + reward, terminated or truncated, turn + 1
            assert env.act(answer).startswith(text)
        assert env.get_reward() == total
        assert env.act("left") == "The episode has ended." and env.get_reward() == total


def test_a_thousand_malformed_calls_are_counted() -> None:
    env = trl_environment("FrozenLake", penalty=0.5, max_turns=2)()
    env.reset(seed=0)
    for number in range(1000):
        assert "text" in env.act([None, 3, {"action": "left"}, ["left"], 1.5][number % 5])
    assert env.get_reward() == -500.0
    assert "actions:" in env.act("left")  # the episode stands where it stood


def test_the_tool_is_described_as_trl_asks() -> None:
    env = trl_environment("FrozenLake")()
    public = [name for name, _ in inspect.getmembers(type(env), inspect.isfunction) if not name.startswith("_")]
    assert public == ["act", "get_reward", "reset"]
    with pytest.raises(UsageError):
        trl_environment("Nowhere")
    rows = trl_rows("FrozenLake", range(3))
    assert [row["seed"] for row in rows] == [0, 1, 2] and "FrozenLake" in rows[0]["prompt"][0]["content"]


@pytest.mark.slow
def test_trl_trains_in_a_world(tmp_path: Path) -> None:
    trl = pytest.importorskip("trl", reason="the package trl is not installed")
    datasets = pytest.importorskip("datasets")
    from tests.envs.text.conventions.tiny_chat import tiny_model

    model, tokenizer = tiny_model()
    begun = list[Any]()

    class Noted(trl_environment("FrozenLake")):  # type: ignore[misc]
        def reset(self, seed: int | None = None, **row: Any) -> str:
            begun.append(seed)
            return super().reset(seed=seed, **row)

    trainer = trl.GRPOTrainer(
        model=model,
        args=trl.GRPOConfig(
            output_dir=str(tmp_path),
            max_steps=2,
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=24,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=datasets.Dataset.from_list(trl_rows("FrozenLake", range(8))),
        processing_class=tokenizer,
        environment_factory=Noted,
    )
    trainer.train()
    assert len(begun) == 8 and all(len(set(begun[i : i + 4])) == 1 for i in (0, 4))  # groups begin in one state
    assert any("rewards" in key for line in trainer.state.log_history for key in line)
