"""Every agent that learns, killed at random moments (SIGKILL) and resumed, ends with the weights of one never killed.

Two kills of one agent in the quick suite; twenty of each, minutes long, with

    python -m pytest -m slow tests/experiments/test_kills.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape.agents.catalogue import BUILT_IN
from inscape.experiments.runs.folders import open_run
from inscape.experiments.runs.run import Run
from tests.experiments.runs.kills import Lives, kill_often, whole_life
from tests.experiments.runs.storage.test_checkpoints import assert_same

WORLDS = Path(__file__).parents[2] / "agents" / "worlds.py"
KILLS = 20
MOST_ATTEMPTS = 5
"""Runs until so many kills have come in time; one will do where the machine is not busy."""


@dataclass(frozen=True)
class Row:
    """A small run of an agent: enough yields for twenty kills between them, each short."""

    world: str
    steps: int
    settings: dict[str, Any] = field(default_factory=dict)
    agent: str = ""
    """Where the row's own name is not that of the agent."""


_TABULAR = {"report_every": 1000}
_SB3_ON = {"num_envs": 2, "num_steps": 16, "hidden": (8,)}
_SB3_OFF = {
    "learning_starts": 100, "buffer_size": 600, "batch_size": 16, "train_freq": 4, "gradient_steps": 1,
    "report_every": 32, "hidden": (8,),
}  # fmt: skip
_SAC = {
    "num_envs": 2, "learning_starts": 100, "buffer_size": 600, "batch_size": 16, "train_freq": 4, "hidden": (8,),
    "n_step": 3, "hold_random": 5, "report_every": 32, "normalize_observations": True,
}  # fmt: skip
_PPO = {"num_envs": 4, "num_steps": 16, "minibatches": 2, "epochs": 2, "hidden": (8,)}
_DQN = {
    "learning_starts": 100, "buffer_size": 600, "batch_size": 16, "target_update_interval": 50, "hidden": (8,),
    "report_every": 32,
}  # fmt: skip
ROWS = {
    "q-learning": Row("FrozenLake", 40_000, _TABULAR),
    "double-q-learning": Row("FrozenLake", 40_000, _TABULAR),
    "sarsa": Row("CliffWalking", 40_000, _TABULAR),
    "expected-sarsa": Row("FrozenLake", 40_000, _TABULAR),
    "n-step-sarsa": Row("FrozenLake", 40_000, _TABULAR),
    "monte-carlo": Row("FrozenLake", 40_000, _TABULAR),
    "dyna-q": Row("FrozenLake", 40_000, _TABULAR),
    "td-lambda": Row("FrozenLake", 40_000, _TABULAR),
    "ppo": Row("CartPole", 2560, _PPO),
    "ppo, torch": Row("CartPole", 2560, {**_PPO, "backend": "torch"}, agent="ppo"),
    "ppo, normalised": Row(
        "Pendulum", 2560, {**_PPO, "normalize_observations": True, "normalize_rewards": True}, agent="ppo"
    ),
    "a2c": Row("CartPole", 2560, {"num_envs": 4, "num_steps": 16, "hidden": (8,)}),
    "reinforce": Row("CartPole", 4000, {"num_envs": 4, "hidden": (8,), "normalize_observations": True}),
    "recurrent-ppo": Row("TMaze", 2560, {**_PPO, "memory": 4, "hidden": ()}),
    "dqn": Row("CartPole", 1280, _DQN),
    "dqn, torch": Row(
        "CartPole", 1280, {**_DQN, "backend": "torch", "prioritized": True, "n_step": 3, "dueling": True}, agent="dqn"
    ),
    "self-play": Row("TicTacToe", 2560, {"learner_settings": _PPO, "add_every": 500, "games": 4}),
    "independent:ppo": Row("TicTacToe", 5120, _PPO),
    "sac": Row("Pendulum", 1280, _SAC),
    "mcts": Row("FrozenLake", 2000, {"model": "tabular", "num_simulations": 5}),
    "psrl": Row("FrozenLake", 2000, {}),
    "pets": Row(
        "CartPole",
        600,
        {"population": 4, "horizon": 4, "iterations": 1, "model_settings": {"features": 4, "updates": 0}},
    ),
    "dreamer": Row(
        "CartPole",
        640,
        {
            "learning_starts": 100,
            "initial_steps": 2,
            "train_freq": 40,
            "batch_size": 4,
            "length": 8,
            "horizon": 4,
            "hidden": (8,),
            "recurrent": 8,
            "stochastic": 2,
            "classes": 4,
            "width": 8,
            "report_every": 20,
        },
    ),
    "muzero": Row(
        "CartPole",
        480,
        {
            "learning_starts": 100,
            "train_freq": 20,
            "batch_size": 4,
            "reanalyse": 4,
            "num_simulations": 3,
            "latent": 8,
            "width": 8,
            "report_every": 20,
        },
    ),
    "mc-aixi": Row("Tiger", 1000, {"num_simulations": 5}),
    "alphazero": Row(
        "TicTacToe",
        960,
        {
            "num_envs": 6,
            "num_steps": 4,
            "num_simulations": 4,
            "gradient_steps": 2,
            "batch_size": 16,
            "hidden": (8,),
            "buffer_size": 100,
        },
    ),
    "clone": Row(
        "FourGoals",
        200,
        {"expert": "random", "expert_episodes": 4, "report_every": 5, "batch_size": 8, "hidden": (8,)},
    ),
    "dagger": Row(
        "CartPole",
        640,
        {"expert": "random", "num_envs": 2, "num_steps": 8, "gradient_steps": 4, "expert_share": 0.5, "hidden": (8,)},
    ),
    "airl": Row(
        "CartPole",
        2560,
        {
            "expert": "random",
            "expert_episodes": 3,
            "num_envs": 4,
            "num_steps": 16,
            "minibatches": 2,
            "epochs": 2,
            "hidden": (8,),
            "reward_hidden": (8,),
            "reward_steps": 2,
        },
    ),
    "sb3:ppo": Row("CartPole", 1280, {**_SB3_ON, "batch_size": 16, "epochs": 2}),
    "sb3:a2c": Row("CartPole", 1280, _SB3_ON),
    "sb3:dqn": Row("CartPole", 1280, {**_SB3_OFF, "target_update_interval": 50}),
    "sb3:sac": Row("Pendulum", 1280, _SB3_OFF),
    "sb3:td3": Row("Pendulum", 1280, _SB3_OFF),
}
"""One small run for each agent of ours that learns, for some of their settings, and a few of Stable-Baselines3."""
ELSEWHERE = {"llm": "a language model: tests/agents/test_llm_agent.py trains, saves and resumes a small one"}
LEARNERS = [entry.name for entry in BUILT_IN if entry.learns and entry.name not in ELSEWHERE]


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    server = Lives()
    yield server
    server.close()


def job(name: str) -> dict[str, Any]:
    if name not in ROWS:
        pytest.fail(f"{name} learns and has no row here: add a row to ROWS, a small run with some forty yields")
    row = ROWS[name]
    return {
        "agent": row.agent or name,
        "world": row.world,
        "steps": row.steps,
        "settings": row.settings,
        "seed": 3,
        "evaluate_every": row.steps // 3,
        "evaluate_episodes": 2,
    }


def rows(run: Run) -> list[dict[str, Any]]:
    """Metrics but for the clock's."""
    return [{name: value for name, value in row.items() if "seconds" not in name} for row in run.metrics()]


def require_same_end(whole: Run, killed: Run) -> None:
    left, right = whole.load_latest(), killed.load_latest()
    assert left is not None and right is not None
    assert left[1] == right[1] and left[1]["finished"] is True
    assert_same(left[0], right[0])
    learned = [row["steps"] for row in rows(killed) if "evaluation/return_mean" not in row]
    assert max(Counter(learned).values()) == 1
    assert rows(whole) == rows(killed)


def require_exact_resume(lives: Lives, name: str, out: Path, kills: int) -> None:
    rng = np.random.default_rng(sum(name.encode()))
    whole = whole_life(lives, job(name), out / "whole")
    done = while_saving = attempts = 0
    while done < kills:
        attempts += 1
        assert attempts <= MOST_ATTEMPTS, f"{done} kills in {attempts - 1} runs: more yields are needed"
        killed = out / f"killed-{attempts}"
        found = kill_often(lives, job(name), killed, kills - done, rng, whole)
        done, while_saving = done + found["kills"], while_saving + found["while_saving"]
        require_same_end(open_run(out / "whole"), open_run(killed))
    print(f"\n{name}: {done} kills, {while_saving} of them while saving, in {attempts} runs")


def test_two_kills(lives: Lives, tmp_path: Path) -> None:
    require_exact_resume(lives, "ppo", tmp_path, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*LEARNERS, *(name for name in ROWS if name not in LEARNERS)])
def test_twenty_kills(lives: Lives, tmp_path: Path, name: str) -> None:
    require_exact_resume(lives, name, tmp_path, KILLS)


def test_every_agent_that_learns_has_a_row() -> None:
    missing = [name for name in LEARNERS if name not in ROWS]
    assert not missing, f"add a row to ROWS for {', '.join(missing)}"
