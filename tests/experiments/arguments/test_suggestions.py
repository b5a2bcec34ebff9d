"""Lines in the words of other tools: refused with what they most likely mean."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from inscape.errors import closest
from inscape.experiments.arguments import parsing, suggestions
from inscape.experiments.cli import main


def said(capsys, *words: str) -> str:
    assert main(words) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("train CartPole ppo", "did you mean inscape train ppo CartPole?"),
        ("train CartPole PPO", "did you mean inscape train PPO CartPole?"),
        ("train CartPole-v1 sb3:dqn", "did you mean inscape train sb3:dqn CartPole-v1?"),
        ("train examples/elevator.py:Elevator q-learning", "inscape train q-learning examples/elevator.py:Elevator?"),
        ("train TicTacToe independent:ppo", "did you mean inscape train independent:ppo TicTacToe?"),
        ("evaluate FrozenLake random", "did you mean inscape evaluate random FrozenLake?"),
        ("evaluate TicTacToe mcts,random", "did you mean inscape evaluate mcts,random TicTacToe?"),
        ("watch CartPole random", "did you mean inscape watch random CartPole?"),
        ("observe FourGoals mcts", "did you mean inscape observe mcts FourGoals?"),
        ("train CartPole", "inscape train ppo CartPole"),
        ("watch FrozenLake", "inscape watch random FrozenLake"),
        ("train PPO CartPole", "did you mean 'ppo'?"),
        ("train Q-Learning FrozenLake", "did you mean 'q-learning'?"),
        ("train ppo cartpole2", "did you mean 'CartPole'?"),
        ("Train ppo CartPole", "did you mean 'train'?"),
        ("tune ppo CartPole", "did you mean 'sweep'?"),
        ("eval random CartPole", "did you mean 'evaluate'?"),
        ("enjoy ppo CartPole", "did you mean 'watch'?"),
        ("learn ppo CartPole", "did you mean 'train'?"),
        ("tensorboard runs", "did you mean 'report'?"),
    ],
)
def test_what_was_meant(capsys, line, hint):
    assert hint in said(capsys, *line.split())


@pytest.mark.parametrize(
    ("agent", "option", "ours"),
    [
        ("ppo", "--lr", "--learning-rate"), ("q-learning", "--lr", "--learning-rate"),
        ("dqn", "--lr=3", "--learning-rate"),
        ("ppo", "--n-envs", "--num-envs"), ("ppo", "--n_envs", "--num-envs"), ("ppo", "--n-steps", "--num-steps"),
        ("ppo", "--ent-coef", "--entropy-coef"), ("ppo", "--vf-coef", "--value-coef"),
        ("ppo", "--clip-range", "--clip"), ("ppo", "--n-epochs", "--epochs"), ("ppo", "--batch-size", "--minibatches"),
        ("ppo", "--total-timesteps", "--steps"), ("dqn", "--buffer", "--buffer-size"), ("dqn", "--lam", ""),
        ("ppo", "--lam", "--gae-lambda"), ("ppo", "--net-arch", "--hidden"),
        ("ppo", "--norm-obs", "--normalize-observations"),
        ("ppo", "--no-norm-reward", "--normalize-rewards"), ("sac", "--alpha", "--entropy-coef"),
        ("dqn", "--exploration-fraction", "--epsilon-fraction"), ("ppo", "--eval-freq", "--evaluate-every"),
        ("ppo", "--log-dir", "--out"), ("ppo", "--ckpt", "--resume"), ("ppo", "--cuda", "--device"),
        ("ppo", "--env", "WORLD by its name"), ("ppo", "--algo", "AGENT by its name"),
    ],
)  # fmt: skip
def test_options_by_other_names(capsys, agent, option, ours):
    world = {"q-learning": "FrozenLake", "sac": "Pendulum"}.get(agent, "CartPole")
    text = said(capsys, "train", agent, world, option, "3")
    assert (f"did you mean {ours}?" in text) if ours.startswith("--") else (ours in text)


def test_every_word_of_others_stands_for_one_that_there_is():
    """Each option in the table is one of a command, of an agent, or of Stable-Baselines3's settings."""
    from inscape.agents.catalogue import BUILT_IN
    from inscape.agents.registry import settings_class
    from inscape.experiments.arguments.train import TrainArguments
    from inscape.experiments.commands import evaluate, plan, watch

    kinds = [TrainArguments, evaluate.EvaluateArguments, watch.WatchArguments, plan.PlanArguments]
    kinds += [kind for entry in BUILT_IN if (kind := settings_class(entry.name)) is not None]
    kinds.append(settings_class("sb3:ppo"))
    known = set().union(*(suggestions.options_of(kind, None, "", None) for kind in kinds))
    assert set(suggestions._OF_OTHERS) <= known


def test_what_is_right_passes():
    words = [
        "ppo",
        "CartPole",
        "--learning-rate",
        "1e-3",
        "--no-normalize-advantages",
        "--num_envs",
        "4",
        "--steps=1e3",
    ]
    options = {"learning-rate", "normalize-advantages", "num-envs", "steps"}
    suggestions.require_known_words(words, options, "train")
    suggestions.require_agent_first("train", ["ppo", "CartPole"])
    suggestions.require_agent_first("train", ["mine.py:Agent", "theirs.py:World"])
    suggestions.require_agent_first("watch", ["runs/nowhere"])


def test_closest_ignores_case():
    assert closest("ppo", ["PPO", "A2C"]) == "did you mean 'PPO'?"
    assert closest("CARTPOLE", ["CartPole"]) == "did you mean 'CartPole'?"


def test_a_world_is_resolved_once(monkeypatch, capsys):
    from inscape.envs.tasks import resolve

    names, resolve_task = [], resolve.resolve_task
    monkeypatch.setattr(resolve, "resolve_task", lambda name, *rest: names.append(name) or resolve_task(name, *rest))
    for line in (
        "evaluate random FrozenLake --episodes 2", "evaluate random FrozenLake --episodes 2 --world.slip 0.3",
        "evaluate random,random TicTacToe --episodes 2", "observe random FourGoals",
    ):  # fmt: skip
        names.clear()
        assert main(line.split()) == 0
        assert len(names) == (2 if "slip" in line else 1), line
    capsys.readouterr()


# ------------------------------------------------------------------------------------------- where the words go

PIPED = "import sys; from inscape.experiments.cli import main; sys.exit(main())"


@pytest.mark.quick("check --help", "--help")
@pytest.mark.parametrize("line", ["play --help", "list worlds", "check --help", "--help", "list agents"])
def test_a_reader_that_leaves_ends_a_command_without_a_traceback(line):
    found = subprocess.run(
        f"{sys.executable} -c '{PIPED}' {line} | head -c 1; echo ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert found.stderr == ""
    assert found.stdout[1:].strip() in ("0", "141")  # 0 where all of it fitted into the pipe


@pytest.mark.parametrize("columns", ["1", "3", "0", "-5", "many", "39", "500"])
def test_help_in_a_terminal_of_any_width(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)  # tyro laid help out for ever in one of three columns
    assert main(["check", "--help"]) == 0
    assert "usage: inscape check" in capsys.readouterr().out
    assert os.environ["COLUMNS"] == columns


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437", "ascii:strict", "utf-8", "ascii:replace"])
def test_output_in_any_encoding(encoding, monkeypatch):
    import io

    from inscape.experiments.encoding import make_encodable

    name, _, errors = encoding.partition(":")
    stream = io.TextIOWrapper(io.BytesIO(), encoding=name, errors=errors or "strict")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["list", "agents"]) == 0
    make_encodable(stream)
    print("γ = 1 … 4×4 ╭─│ ← ‘x’ ± é 猫", file=stream)
    stream.flush()
    text = stream.buffer.getvalue().decode(name)
    assert "q-learning" in text
    last = text.splitlines()[-1]
    if name == "ascii":
        plain = "gamma = 1 ... 4x4 +-| <- 'x' +- e ?"
        assert last == (plain if errors != "replace" else "? = 1 ? 4?4 ??? ? ?x? ? ? ?")
    else:
        assert last.endswith("猫" if name == "utf-8" else "?")


def test_options_of_names_all():
    from dataclasses import make_dataclass

    kind = make_dataclass("Kind", [("task", str), ("num_seeds", int)])
    settings, world = make_dataclass("S", [("learning_rate", float)])(1.0), make_dataclass("W", [("slip", float)])(0.1)
    assert suggestions.options_of(kind, settings, "agent.", world) == {
        "task", "num-seeds", "agent.learning-rate", "world.slip",
    }  # fmt: skip
    assert parsing.needs_prefix(kind, settings) is False
