import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape.envs.data.trajectory import Trajectory
from inscape.envs.law.states import States
from inscape.errors import UsageError
from inscape.experiments.runs.folders import create_run, find_run, matching_run, open_run, run_folders
from inscape.experiments.runs.run import Run
from inscape.experiments.runs.settings import RunSettings
from inscape.experiments.runs.storage.episodes import load_trajectories, save_trajectories


def settings(**changes: Any) -> RunSettings:
    values: dict[str, Any] = {"agent": "ppo", "task": {"name": "Corridor", "settings": {"slip": 0.1}}, "seed": 3}
    return RunSettings(**{**values, "steps": 100, "agent_settings": {"sizes": [64, 64]}, **changes})


def test_a_run_opens_with_the_settings_it_was_made_with(tmp_path: Path) -> None:
    run = create_run(settings(), tmp_path / "r")
    assert open_run(tmp_path / "r").settings == run.settings == settings()


def test_fresh_runs_are_named_after_world_agent_and_seed_and_numbered(tmp_path: Path) -> None:
    names = [create_run(settings(), root=tmp_path).name for _ in range(3)]
    assert names == ["Corridor-ppo-seed3", "Corridor-ppo-seed3-2", "Corridor-ppo-seed3-3"]
    assert matching_run(settings(), tmp_path) == tmp_path / names[2]
    assert matching_run(settings(seed=4), tmp_path) is None
    assert create_run(settings(agent="my dir/a.py:Agent"), root=tmp_path).name == "Corridor-my-dir-a-Agent-seed3"


def test_runs_are_found_by_folder_and_by_bare_name(tmp_path: Path) -> None:
    run = create_run(settings(), root=tmp_path)
    nested = create_run(settings(), tmp_path / "demo" / "one")
    assert find_run(run.path, tmp_path) == find_run(run.name, tmp_path) == run.path
    assert find_run("nothing", tmp_path) is None
    assert set(run_folders(tmp_path)) == {run.path, nested.path}
    assert run_folders(tmp_path / "absent") == []
    with pytest.raises(UsageError, match="did you mean 'Corridor-ppo-seed3'"):
        open_run("Corridor-ppo-seed", tmp_path)


def test_a_used_folder_is_refused(tmp_path: Path) -> None:
    create_run(settings(), tmp_path / "r")
    with pytest.raises(UsageError, match="already holds a run"):
        create_run(settings(), tmp_path / "r")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="not empty"):
        create_run(settings(), tmp_path / "other")
    assert (tmp_path / "other" / "thesis.txt").read_text() == "precious"


def test_an_unwritable_folder_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write the run folder"):
        create_run(settings(), tmp_path / "file" / "r")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if not os.access(locked, os.W_OK):  # root writes anywhere
        with pytest.raises(UsageError, match="cannot write the run folder"):
            create_run(settings(), locked / "r")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"agent": "a"}', '{"nonsense": 1}'])
def test_damaged_settings_are_a_usage_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(UsageError):
        open_run(tmp_path)


def test_differences_name_the_setting_and_both_values() -> None:
    other = settings(
        steps=200, versions={"numpy": "9"}, task={"name": "Corridor", "settings": {"slip": 0.2}}, agent_settings={}
    )
    assert settings().differences(other) == [
        "agent_settings.sizes: [64, 64] -> (not set)",
        "steps: 100 -> 200",
        "task.settings.slip: 0.1 -> 0.2",
    ]
    assert settings(versions={"numpy": "1"}).differences(settings()) == []


def test_metrics_are_appended_and_truncated(tmp_path: Path) -> None:
    run = create_run(settings(), tmp_path / "r")
    for step in (10, 20, 30):
        run.log({"steps": step, "return": np.float32(step / 3), "loss": float("nan")})
    assert [row["steps"] for row in run.metrics()] == [10, 20, 30]
    assert run.metrics()[0]["return"] == float(np.float32(10 / 3))
    run.truncate_metrics(20)
    run.log({"steps": 25, "return": 1.0})
    run.close()
    assert [row["steps"] for row in open_run(run.path).metrics()] == [10, 20, 25]


def test_a_row_cut_short_by_a_kill_is_left_out_and_other_damage_refused(tmp_path: Path) -> None:
    run = create_run(settings(), tmp_path / "r")
    run.log({"steps": 1})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"steps": 2, "ret')
    assert run.metrics() == [{"steps": 1}]
    (run.path / "metrics.jsonl").write_text('{"steps": 1}\n{"ste\n{"steps": 3}\n')
    with pytest.raises(UsageError, match="line 2"):
        run.metrics()


def test_tensorboard_reads_what_was_logged_and_forgets_what_was_truncated(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = create_run(settings(), tmp_path / "r")
    for step in (10, 20, 30):
        run.log({"steps": step, "return": step / 10})
    run.truncate_metrics(20)
    run.log({"steps": 40, "return": 4.0})
    run.close()
    events = EventAccumulator(str(run.path))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("return")] == [(10, 1.0), (20, 2.0), (40, 4.0)]


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    run = create_run(settings(), tmp_path / "r")
    for step in (5, 50, 500, 5000):
        run.save_checkpoint({"steps": step}, step, finished=step == 5000)
    assert sorted(p.name for p in (run.path / "checkpoints").iterdir()) == ["step-50", "step-500", "step-5000"]
    latest = run.load_latest()
    assert latest is not None
    assert latest[0] == {"steps": 5000}
    assert run.finished
    assert Run(tmp_path / "empty", settings()).load_latest() is None


def trajectories() -> list[Trajectory]:
    rng = np.random.default_rng(0)
    return [
        Trajectory(rng.normal(size=(4, 2)), rng.integers(0, 3, 3), rng.normal(size=3), True, False, agent="a", seed=7),
        Trajectory(
            np.arange(3),
            rng.normal(size=(2, 1)),
            np.array([np.nan, np.inf]),
            terminated=False,
            truncated=True,
            states=States(rng.normal(size=(1, 3)), np.zeros((0, 3), np.int64)),
            action_masks=np.array([[True, False], [True, True]]),
            task={"name": "Corridor", "settings": {"slip": 0.1}},
        ),
    ]


def assert_same_trajectory(left: Trajectory, right: Trajectory) -> None:
    for name in ("observations", "actions", "rewards", "action_masks"):
        one, other = getattr(left, name), getattr(right, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
    for name in ("terminated", "truncated", "task", "agent", "seed"):
        assert getattr(left, name) == getattr(right, name)
    assert (left.states is None) == (right.states is None)
    if left.states is not None and right.states is not None:
        np.testing.assert_array_equal(left.states.floats, right.states.floats)
        np.testing.assert_array_equal(left.states.ints, right.states.ints)


def test_trajectories_come_back_as_they_were(tmp_path: Path) -> None:
    for one, other in zip(trajectories(), load_trajectories(save_trajectories(tmp_path / "e.npz", trajectories()))):
        assert_same_trajectory(one, other)


def test_episodes_of_a_run(tmp_path: Path) -> None:
    run = create_run(settings(), tmp_path / "r")
    run.save_episodes("b", trajectories()[1:])
    run.save_episodes("a", trajectories()[:1])
    assert [t.agent for t in run.episodes()] == [t.agent for t in load_trajectories(run.path)] == ["a", ""]
    assert len(run.episodes("b")) == 1


def test_damaged_episodes_are_a_usage_error(tmp_path: Path) -> None:
    whole = save_trajectories(tmp_path / "e.npz", trajectories()).read_bytes()
    path = tmp_path / "damaged.npz"
    for data in (b"", whole[:-30], whole[: len(whole) // 2], b"PK" + whole[5:], json.dumps({}).encode()):
        path.write_bytes(data)
        with pytest.raises(UsageError, match=r"damaged\.npz"):
            load_trajectories(path)
    np.savez(path, json=np.array([{"a": object()}], dtype=object))  # a pickle in an npz
    with pytest.raises(UsageError, match=r"damaged\.npz"):
        load_trajectories(path)
    with pytest.raises(UsageError, match="no episodes"):
        load_trajectories(tmp_path / "r" if (tmp_path / "r").mkdir() is None else tmp_path)
