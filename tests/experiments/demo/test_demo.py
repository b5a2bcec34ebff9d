from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from inscape.errors import UsageError
from inscape.experiments.demo import demo
from inscape.experiments.demo.demo import JOBS, run_demo


def small(key: str, steps: int) -> demo.Job:
    job = next(job for job in JOBS if job.key == key)
    settings = {"num_simulations": 50} | ({"model": "tabular"} if "learned" in key else {}) if "mcts" in key else {}
    return dataclasses.replace(job, steps=steps, episodes=5, settings=settings)


@pytest.mark.compiled(all=False)
def test_a_small_demo_tells_the_whole_story(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo's own path, with a few jobs cut short: workers, runs, tables, player, closing lines."""
    jobs = [small("cartpole-ppo", 4096), small("lake-q-learning", 200_000), small("goals-mcts", 0)]
    path = run_demo(tmp_path / "demo", jobs=jobs, workers=1)
    page = path.read_text(encoding="utf-8")
    titles = ("CartPole: two PPOs", "all agents against the exact optimum", "what an observer makes of each agent")
    for title in (*titles, "training, s", "compiling, s"):
        assert title in page
    assert (tmp_path / "demo" / "lake-q-learning" / "settings.json").is_file()
    told = capsys.readouterr().out
    assert "inscape plan FrozenLake8x8" in told
    assert str(path) in told.replace("\n", "")
    payload = json.loads(re.search(r"<script[^>]*json[^>]*>(.*?)</script>", page, re.DOTALL)[1])
    assert len(payload["players"]) == 3
    # again: the earlier demo's runs are replaced
    assert run_demo(tmp_path / "demo", jobs=jobs[1:2], workers=1) == path


def test_every_agent_of_the_issue_has_a_job() -> None:
    by_part = {part: {job.agent for job in JOBS if job.part == part} for part in ("cartpole", "lake", "goals")}
    assert by_part["cartpole"] == {"ppo", "sb3:ppo"}
    assert by_part["lake"] == by_part["goals"] == {"q-learning", "sb3:ppo", "mcts", "llm"}
    for part in ("lake", "goals"):
        models = {job.settings["model"] for job in JOBS if job.part == part and job.agent == "mcts"}
        assert models == {"known", "tabular"}


def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        run_demo(tmp_path / "file", jobs=[])


def test_the_commands_to_try_next_name_the_run_that_training_makes() -> None:
    from inscape.experiments.runs.settings import RunSettings, run_name

    settings = RunSettings(agent="ppo", task={"name": "CartPole", "settings": {}}, seed=1, steps=1, device="cpu")
    assert f"inscape watch runs/{run_name(settings)} " in demo.NEXT[2]
