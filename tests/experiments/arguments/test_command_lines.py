import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from inscape.agents.registry import make_agent
from inscape.envs.tasks.resolve import resolve_task
from inscape.experiments.arguments.command_lines import train_line
from inscape.experiments.cli import main
from inscape.experiments.runs.folders import create_run, open_run
from inscape.experiments.runs.run import Run
from inscape.experiments.runs.settings import RunSettings, complete_settings


def run_of(folder: Path, agent: str, world: str, settings: Any, of_world: Any, **others: Any) -> Run:
    task = resolve_task(world, of_world)
    options: dict[str, Any] = {"steps": 100, "seed": 3, "evaluate_every": 10, **others}
    whole = complete_settings(make_agent(agent, task, settings=settings), settings)
    plain = json.loads(json.dumps(task.to_json()))
    return create_run(RunSettings(agent, plain, agent_settings=whole, **options), folder)


@pytest.mark.parametrize(
    ("agent", "world", "settings", "of_world", "said"),
    [
        ("ppo", "CartPole", {}, {}, ""),  # all of it from the preset
        ("ppo", "CartPole", {"learning_rate": 1e-5, "num_envs": 4}, {}, "--num-envs 4 --learning-rate 1e-05"),
        ("dqn", "CartPole", {"double": True, "prioritized": False, "hidden": (8, 4)}, {}, "--double --hidden 8 4"),
        ("reinforce", "CartPole", {"discount_states": True}, {}, "--discount-states"),
        ("reinforce", "FrozenLake", {"discount_states": False}, {}, "--no-discount-states"),
        ("sarsa", "FrozenLake", {"beta": 2.0}, {"slip": 0.2, "map": "8x8"},
         "--beta 2.0 --world.slip 0.2 --world.map 8x8"),
        ("q-learning", "FrozenLake", {}, {"pit_reward": -1.0}, "--world.pit-reward=-1.0"),
        ("q-learning", "Taxi", {}, {"is_rainy": True}, "--world.is-rainy"),
        ("self-play", "TicTacToe", {"learner_settings": {"num_envs": 16}}, {}, "--learner-settings num_envs 16"),
        ("sb3:dqn", "CartPole", {"hidden": (), "policy": "MlpPolicy"}, {}, "--policy MlpPolicy --hidden"),
    ],
)  # fmt: skip
def test_a_line_says_what_differs_and_no_more(tmp_path, agent, world, settings, of_world, said):
    line = train_line(run_of(tmp_path, agent, world, settings, of_world))
    whole = f"inscape train {agent} {world} --steps 100 --seed 3 {said} --out {tmp_path}"
    assert line == " ".join(whole.split())


def test_evaluations_are_part_of_the_line(tmp_path):
    run = run_of(tmp_path, "random", "CartPole", None, {}, evaluate_every=7, evaluate_episodes=3)
    (tmp_path / "evaluation.json").write_text('{"mean": 9, "low": 8, "high": 10, "episodes": 5}')
    assert "--seed 3 --evaluate-every 7 --evaluate-episodes 3 --final-episodes 5 --out" in train_line(run)


def test_the_line_makes_a_run_with_the_same_settings(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = "--learning-rate 1e-3 --num-envs 4 --num-steps 16 --minibatches 2 --backend torch --world.length 0.7"
    rest = "--steps 128 --evaluate-episodes 1 --final-episodes 1"
    assert main(["train", "ppo", "CartPole", *given.split(), *rest.split()]) == 0
    (first,) = (tmp_path / "runs").iterdir()
    program, *words = shlex.split(train_line(open_run(first)))
    assert program == "inscape"
    assert "--gamma" not in words
    assert main([*words[:-1], "again"]) == 0
    assert (tmp_path / "again" / "settings.json").read_text() == (first / "settings.json").read_text()
    assert len(json.loads((first / "settings.json").read_text())["task"]["settings"]) == 1


@pytest.mark.parametrize("mark", ["", "'$"])
def test_what_no_option_takes_is_a_line_of_python(tmp_path, mark):
    folder = tmp_path / f"r{mark}"
    run = run_of(folder, "q-learning", "FrozenLake", {"gamma": 0.5}, {"map": ["SF", "FG"]})
    program, flag, code = shlex.split(train_line(run))
    assert (program, flag) == ("python", "-c")
    (folder / "settings.json").unlink()
    (folder / "manifest.json").unlink()
    exec(code)
    for name in ("agent", "task", "seed", "steps", "agent_settings", "evaluate_every", "evaluate_episodes", "device"):
        assert getattr(open_run(folder).settings, name) == getattr(run.settings, name)


def test_an_agent_that_has_gone_is_no_reason_to_fail(tmp_path):
    settings = RunSettings("gone.py:Agent", {"name": "CartPole", "settings": {}}, 0, 10, agent_settings={"rate": 1})
    assert "train('gone.py:Agent'" in train_line(create_run(settings, tmp_path))
