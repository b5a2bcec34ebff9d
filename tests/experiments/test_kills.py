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

import pytest

from inscape.agents.plugins import BUILT_IN
from inscape.experiments.run import Run, open_run
from tests.experiments.kills import Lives, kill_often
from tests.experiments.test_checkpoints import assert_same

WORLDS = Path(__file__).parent.parent / "agents" / "worlds.py"
KILLS = 20


@dataclass(frozen=True)
class Row:
    """A small run of an agent: enough yields for twenty kills between them, each short."""

    world: str
    steps: int
    settings: dict[str, Any] = field(default_factory=dict)
    world_settings: dict[str, Any] = field(default_factory=dict)


_TABULAR = {"steps_per_report": 1000}
_SB3_ON = {"n_envs": 2, "n_steps": 16, "net_arch": (8,)}
_SB3_OFF = {
    "learning_starts": 100, "buffer_size": 600, "batch_size": 16, "train_freq": 4, "gradient_steps": 1,
    "steps_per_report": 32, "net_arch": (8,),
}  # fmt: skip
_SAC = {
    "num_envs": 2, "learning_starts": 100, "buffer_size": 600, "batch_size": 16, "train_freq": 4, "hidden": (8,),
    "n_step": 3, "hold_random": 5, "report_every": 32, "normalize_observations": True,
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
    "ppo": Row("CartPole", 2560, {"num_envs": 4, "num_steps": 16, "minibatches": 2, "epochs": 2, "hidden": (8,)}),
    "sac": Row("Pendulum", 1280, _SAC),
    "mcts": Row("FrozenLake", 2000, {"model": "tabular", "num_simulations": 5}),
    "sb3:ppo": Row("CartPole", 1280, {**_SB3_ON, "batch_size": 16, "n_epochs": 2}),
    "sb3:a2c": Row("CartPole", 1280, _SB3_ON),
    "sb3:dqn": Row("CartPole", 1280, {**_SB3_OFF, "target_update_interval": 50}),
    "sb3:sac": Row("Pendulum", 1280, _SB3_OFF),
    "sb3:td3": Row("Pendulum", 1280, _SB3_OFF),
}
"""One small run for each agent of ours that learns, and for a few of Stable-Baselines3."""
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
        "agent": name,
        "world": row.world,
        "world_settings": row.world_settings,
        "steps": row.steps,
        "settings": row.settings,
        "seed": 3,
        "evaluate_every": row.steps // 3,
        "evaluate_episodes": 2,
    }


def rows(run: Run) -> list[dict[str, Any]]:
    """Metrics but for the clock's."""
    return [{name: value for name, value in row.items() if "seconds" not in name} for row in run.metrics()]


def require_same_end(out: Path) -> None:
    whole, killed = open_run(out / "whole"), open_run(out / "killed")
    left, right = whole.load_latest(), killed.load_latest()
    assert left is not None and right is not None
    assert left[1] == right[1] == {"steps": left[1]["steps"], "finished": True}
    assert_same(left[0], right[0])
    learned = [row["steps"] for row in rows(killed) if "evaluation/return_mean" not in row]
    assert max(Counter(learned).values()) == 1
    assert rows(whole) == rows(killed)


def test_two_kills(lives: Lives, tmp_path: Path) -> None:
    found = kill_often(lives, job("ppo"), tmp_path, kills=2, seed=0)
    assert found["kills"] == 2
    require_same_end(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*LEARNERS, *(name for name in ROWS if name.startswith("sb3:"))])
def test_twenty_kills(lives: Lives, tmp_path: Path, name: str) -> None:
    found = kill_often(lives, job(name), tmp_path, KILLS, seed=sum(name.encode()))
    print(f"\n{name}: {found}")
    assert found["kills"] == KILLS
    require_same_end(tmp_path)


def test_every_agent_that_learns_has_a_row() -> None:
    missing = [name for name in LEARNERS if name not in ROWS]
    assert not missing, f"add a row to ROWS for {', '.join(missing)}"
