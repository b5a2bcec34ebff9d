"""Curricula: tasks drawn as the teacher says, worlds as their law has them, resumed bit for bit, drawn in reports."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape import make_world
from inscape.envs import Curriculum, Scores, learning_progress
from inscape.envs.tasks.curriculum.task import with_curriculum
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.experiments import compare, evaluate, open_run, report_for_runs, train
from inscape.experiments.arguments.command_lines import train_line
from inscape.experiments.cli import main
from inscape.experiments.runs.settings import RunSettings
from tests.experiments.runs.during.test_stopping_and_best import Scripted
from tests.experiments.runs.storage.test_checkpoints import assert_same
from tests.experiments.runs.test_training import rows

LOCK = str(Path(__file__).parents[4] / "examples/lock.py") + ":Lock"


def lock(length: int) -> Any:
    spec = importlib.util.spec_from_file_location("lock", LOCK.rpartition(":")[0])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Lock(length=length)


@pytest.mark.slow
def test_a_long_lock_is_learned_with_a_curriculum_and_not_without() -> None:
    options: dict[str, Any] = {"evaluate_every": 0, "verbose": False, "epsilon_fraction": 0.3}
    plain = train("q-learning", lock(10), 16_000, **options)
    taught = train("q-learning", lock(10), 16_000, curriculum={"length": range(1, 11)}, **options)
    assert evaluate(plain, episodes=2).mean == 0.0
    assert evaluate(taught, episodes=2).mean == 1.0


def test_copies_go_as_the_environment_of_their_own_setting_goes() -> None:
    task = with_curriculum(resolve_task("DoorKey"), {"size": [5, 6, 8], "compass": [False, True]})
    env, rng = task.vector_env(6), np.random.default_rng(0)
    seen, _ = env.reset(seed=3)
    copies: Any = env.copies  # type: ignore[attr-defined]
    twins: list[Any] = [None] * 6
    met = set()
    for step in range(120):
        for k in range(6):
            if twins[k] is None:
                world = make_world("DoorKey", **copies.settings[k])
                twins[k] = world.env()
                state = world.unpack(copies._read(copies._worlds[k], np.array([k])))
                first, _ = twins[k].reset(seed=0, options={"state": state})
                assert (first == seen[k]).all()
                met.add(tuple(copies.settings[k].values()))
        actions = rng.integers(0, 7, 6)
        limits = [copies._worlds[k].max_episode_steps for k in range(6)]
        assert limits == [10 * settings["size"] ** 2 for settings in copies.settings]
        seen, rewards, terminated, truncated, info = env.step(actions)
        for k in range(6):
            observed, reward, over, late, _ = twins[k].step(int(actions[k]))
            last = info["final_obs"][k] if terminated[k] or truncated[k] else seen[k]
            assert (observed == last).all()
            assert (reward, over, late) == (rewards[k], terminated[k], truncated[k])
            if over or late:
                twins[k] = None
        if step % 40 == 39:  # others
            seen, _ = env.reset()
            twins = [None] * 6
    assert len(met) == 6


def test_tasks_are_drawn_as_the_teacher_says() -> None:
    curriculum = Curriculum(
        {"slip": {"low": 0.0, "high": 0.3}}, bins=3, random_share=0.3, teacher=lambda scores: [0.0, 3.0, 1.0]
    )
    task = with_curriculum(resolve_task("FrozenLake"), curriculum)
    expected = np.array([0.1, 0.1 + 0.7 * 0.75, 0.1 + 0.7 * 0.25])
    np.testing.assert_allclose(task.lessons.probabilities(), expected)
    env: Any = task.vector_env(400)
    counts, slips = np.zeros(3), []
    for _ in range(5):
        env.reset(seed=None if counts.any() else 5)
        counts += np.bincount(env.copies.tasks, minlength=3)
        slips += [settings["slip"] for settings in env.copies.settings]
        assert (np.array([s["slip"] for s in env.copies.settings]) // 0.1 == env.copies.tasks).all()
    error = np.sqrt(expected * (1 - expected) / counts.sum())
    assert (np.abs(counts / counts.sum() - expected) < 4 * error).all()
    assert len(set(slips)) == len(slips)


def test_progress_is_the_difference_of_two_halves_of_the_latest_returns() -> None:
    lessons = Curriculum({"x": [1, 2, 3]}, window=6, random_share=0.2).lessons()
    np.testing.assert_allclose(lessons.probabilities(), 1 / 3)
    for value in (9.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0):  # the first one is forgotten
        lessons.note(0, value)
    for value in (5.0, 5.0, 4.5, 4.5):
        lessons.note(1, value)
    scores = lessons.scores()
    assert scores.returns[0].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    assert scores.counts.tolist() == [7, 4, 0]
    np.testing.assert_allclose(scores.progress(), [1.0, 0.5, np.nan])
    np.testing.assert_allclose(learning_progress(scores), [1.0, 0.5, 1.0])  # what is unknown is tried
    np.testing.assert_allclose(lessons.probabilities(), 0.2 / 3 + 0.8 * np.array([0.4, 0.2, 0.4]))
    still = Scores(("a", "b"), (np.ones(6), np.zeros(6)), np.array([6, 6]))
    np.testing.assert_allclose(learning_progress(still), 1.0)
    assert lessons.metrics()["curriculum/x=2/return"] == 4.75


SMALL: dict[str, dict[str, Any]] = {
    "q-learning": {"report_every": 500},
    "td-lambda": {"report_every": 500},
    "ppo": {"num_envs": 4, "num_steps": 32, "epochs": 1, "hidden": (8,)},
    "dqn": {"learning_starts": 100, "report_every": 250, "hidden": (8,), "num_envs": 2, "train_freq": 8},
}


@pytest.mark.quick("q-learning")
@pytest.mark.parametrize("agent", SMALL)
def test_killed_and_resumed_it_ends_as_one_never_killed(agent: str, tmp_path: Path) -> None:
    curriculum = Curriculum({"slip": {"low": 0.0, "high": 0.4}, "step_cost": [0.0, 0.01]}, bins=2)
    options: dict[str, Any] = {
        "curriculum": curriculum, "settings": SMALL[agent], "verbose": False, "evaluate_every": 0,
        "checkpoint_steps": 1,
    }  # fmt: skip
    whole = train(agent, "FrozenLake", 1500, out=tmp_path / "whole", **options)
    dies_at = [row["steps"] for row in whole.metrics()][1]
    with pytest.raises(KeyError):
        train(agent, "FrozenLake", 1500, out=tmp_path / "cut", on=[Scripted(dies_at)], **options)
    cut = train(agent, "FrozenLake", 1500, out=tmp_path / "cut", resume=True, **options)
    assert rows(cut) == rows(whole)
    assert_same(cut.load_latest()[0], whole.load_latest()[0])  # type: ignore[index]
    last = rows(whole)[-1]
    assert sum(last[f"curriculum/{cell.name}/probability"] for cell in curriculum.cells) == pytest.approx(1.0)
    with pytest.raises(UsageError, match="curriculum"):
        train(agent, "FrozenLake", 1500, out=tmp_path / "cut", resume=True, **{**options, "curriculum": None})


@pytest.mark.slow
def test_what_the_teacher_knows_outlives_an_agent_that_stores_no_environments(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "curriculum": {"slip": [0.0, 0.4]}, "verbose": False, "evaluate_every": 0, "out": tmp_path / "r",
        "settings": {"num_envs": 2, "num_steps": 16, "batch_size": 16, "epochs": 1}, "checkpoint_steps": 1,
    }  # fmt: skip
    with pytest.raises(KeyError):
        train("sb3:ppo", "FrozenLake", 1280, on=[Scripted(640)], **options)
    kept = open_run(tmp_path / "r").metrics()
    run = train("sb3:ppo", "FrozenLake", 1280, resume=True, **options)
    after = next(row for row in run.metrics() if row["steps"] > kept[-2]["steps"])
    for name in ("slip=0", "slip=0.4"):
        assert after[f"curriculum/{name}/episodes"] >= kept[-2][f"curriculum/{name}/episodes"] > 0


@pytest.mark.slow
def test_the_command_line_stores_shows_and_repeats_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    words = ["train", "q-learning", LOCK, "--steps", "6000", "--world.length", "4", "--final-episodes", "5"]
    assert main([*words, "--curriculum", "length=2,3,4", "--out", str(out)]) == 0
    run = open_run(out)
    assert run.settings.curriculum["settings"] == {"length": [2, 3, 4]}
    assert "--curriculum length=2,3,4 --teacher learning-progress" in train_line(run)
    assert main(["train", "--resume", str(out)]) == 0
    page = report_for_runs([run], tmp_path / "page.html").read_text()
    assert "How often each task of the curriculum is drawn" in page
    assert "length=3" in page
    capsys.readouterr()
    (tmp_path / "c.toml").write_text(
        'agent = "q-learning"\nworld = "FrozenLake"\nsteps = 500\ncurriculum = {slip = [0.0, 0.1]}\n'
    )
    other = tmp_path / "other"
    assert main(["train", "--config", str(tmp_path / "c.toml"), "--out", str(other), "--final-episodes", "2"]) == 0
    assert open_run(other).settings.curriculum["settings"] == {"slip": [0.0, 0.1]}
    train("q-learning", "FrozenLake", 500, out=tmp_path / "plain", verbose=False)
    compared = compare(other, tmp_path / "plain")
    assert len({row.agent for row in compared.rows}) == 2
    assert main(["train", "q-learning", "FrozenLake", "--curriculum", "slip"]) == 2
    assert "slip=0.0..0.4" in capsys.readouterr().err


@pytest.mark.parametrize(
    "document",
    [
        {"settings": 3}, {"settings": {"slip": {"low": 0.1}}}, {"settings": {"slip": [0, 1]}, "window": "a"},
        {"settings": {"slip": [0, 1]}, "other": 1}, {"settings": {"slip": [0, 1]}, "teacher": "os.system"},
        {"settings": {"slip": {"low": 0, "high": 10**9}}, "bins": 10**9}, {"teacher": "custom"},
    ],
)  # fmt: skip
def test_a_stored_curriculum_that_is_none_is_refused(document: Any) -> None:
    whole: dict[str, Any] = {"agent": "ppo", "task": {"name": "FrozenLake", "settings": {}}, "seed": 0, "steps": 10}
    with pytest.raises(UsageError):
        RunSettings.from_json({**whole, "curriculum": document})


@pytest.mark.parametrize(
    ("world", "curriculum", "message"),
    [
        ("FrozenLake", {"slip": [0.1]}, "one task"),
        ("FrozenLake", {"slip": [0.1, 0.1]}, "twice"),
        ("FrozenLake", {}, "curriculum of"),
        ("FrozenLake", {"slip": "0.1"}, "lists of values, or ranges"),
        ("FrozenLake", {"slip": {"low": 0.3, "high": 0.1}}, "low below high"),
        ("FrozenLake", {"slip": {"low": float("nan"), "high": 0.1}}, "finite"),
        ("FrozenLake", {"slip": [float("inf"), 0.1]}, "finite"),
        ("FrozenLake", {"slip": [0.1, 3.0]}, "probability"),
        ("FrozenLake", {"slippery": [0.1, 0.2]}, "settings of FrozenLake"),
        ("FrozenLake", {"slip": list(np.linspace(0, 1, 300))}, "300 tasks"),
        ("Garnet", {"num_actions": [2, 4]}, "actions of Garnet are others"),
        ("Garnet", {"states": [5, 100]}, "largest of the settings"),
        ("TicTacToe", {"x": [1, 2]}, "players"),
        ("CartPole-v1", {"x": [1, 2]}, "no law"),
    ],
)
def test_what_is_no_curriculum_of_a_world_is_refused(world: str, curriculum: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        with_curriculum(resolve_task(world), curriculum)


def test_what_no_settings_describe_and_other_ways_to_learn_are_refused() -> None:
    world = make_world("FrozenLake")
    replaced = world.with_params(make_world("FrozenLake", slip=0.1).params)
    with pytest.raises(UsageError, match="were replaced after it was made"):
        with_curriculum(resolve_task(replaced), {"slip": [0.1, 0.2]})
    with pytest.raises(UsageError, match="not mcts"):
        train("psrl", world, 100, curriculum={"slip": [0.1, 0.2]}, verbose=False)
    env: Any = with_curriculum(resolve_task(world), {"slip": [0.1, 0.2]}).vector_env(3)
    with pytest.raises(UsageError, match="before the first reset"):
        env.step([0, 0, 0])
    first, _ = env.reset(seed=[5, 6, 7])
    assert (first == env.reset(seed=[5, 6, 7])[0]).all()
    for actions in ([0, 9, 0], [0], [0.5, 1, 1], None):
        with pytest.raises(UsageError, match="action"):
            env.step(actions)
    with pytest.raises(UsageError, match="2 seeds for 3 copies"):
        env.reset(seed=[1, 2])


def test_what_is_no_teacher_is_refused() -> None:
    for options, message in (
        ({"teacher": "progress"}, "learning-progress"),
        ({"teacher": 3}, "a name, or a function"),
        ({"window": 2}, "window"),
        ({"random_share": 1.5}, "from 0 to 1"),
        ({"bins": 0}, "bins"),
    ):
        with pytest.raises(UsageError, match=message):
            Curriculum({"slip": [0.1, 0.2]}, **options)  # type: ignore[arg-type]
    for answer in (None, [1.0], [1.0, -1.0], [float("nan"), 1.0], "ab"):
        bad = Curriculum({"slip": [0.1, 0.2]}, teacher=lambda scores, answer=answer: answer)
        with pytest.raises(UsageError, match="2 weights of at least 0"):
            train("q-learning", "FrozenLake", 100, curriculum=bad, verbose=False)
    with pytest.raises(UsageError, match="seeds = 1"):
        train("q-learning", "FrozenLake", 100, curriculum={"slip": [0.1, 0.2]}, verbose=False, seeds=2)
