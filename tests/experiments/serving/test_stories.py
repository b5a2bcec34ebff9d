"""What the viewer's pages are told: recorded episodes, agents led by hand, what if, priors, play; and cells."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape import imagine, observe, rollout
from inscape.envs.tasks.resolve import as_task
from inscape.errors import UsageError
from inscape.experiments import load_trajectories, open_run, show
from inscape.experiments.serving.app import App
from inscape.experiments.serving.playing import Playing
from inscape.experiments.serving.server import NotFoundError
from inscape.experiments.serving.summaries import RunList, sampled_rows


def posterior(found: Any, episode: int = 0) -> np.ndarray:
    return np.array(found["player"]["episodes"][episode]["posterior"]["probabilities"])


def test_recorded_episodes_carry_the_observers_belief_under_the_prior_that_was_dragged(app: App, runs: Path) -> None:
    found = app.episodes({"run": "first"})
    recorded = open_run(runs / "first").episodes()
    held = observe(recorded[0], "FourGoals").goals
    np.testing.assert_allclose(posterior(found), np.stack(list(held.values()), 1), atol=1e-4)
    assert found["prior"] == pytest.approx(dict.fromkeys("ABCD", 0.25))
    for weights in (
        {"A": 1, "B": 3, "C": 0.5, "D": 0.5},
        {"A": 0, "B": 1, "C": 0, "D": 1},
        {"A": 2, "B": 2, "C": 2, "D": 2},
    ):
        found = app.prior({"id": found["id"], "prior": weights}) | {"id": found["id"]}
        prior = np.array(list(weights.values())) / sum(weights.values())
        afresh = observe(recorded[0], "FourGoals", prior=prior).goals
        np.testing.assert_allclose(posterior(found), np.stack(list(afresh.values()), 1), atol=1e-4)


def test_priors_that_are_none(app: App) -> None:
    found = app.episodes({"run": "first"})
    same = [0, -1, "1", True, float("nan"), 1e300]
    for weights in (None, [], {"A": 1}, *(dict.fromkeys("ABCD", value) for value in same)):
        with pytest.raises(UsageError):
            app.prior({"id": found["id"], "prior": weights})


def test_what_if_is_what_imagine_says(app: App, runs: Path) -> None:
    found = app.episodes({"run": "first"})
    asked = {"id": found["id"], "episode": 0, "frame": 1, "horizon": 12, "samples": 3}
    told = app.what_if(asked)
    run = open_run(runs / "first")
    states = run.episodes()[0].states
    assert states is not None
    imagined = imagine(
        "FourGoals", states[[1]], ["left", "down", "right", "up"], policy=run.agent, horizon=12, samples=3
    )
    assert [row[0] for row in told["rows"]] == list(imagined)
    for name, mean, steps, *_ in told["rows"]:
        assert (mean, steps) == (imagined.returns[name].mean(), imagined.lengths[name].mean())
    assert told["player"]["sideBySide"]
    for changes in (
        {"frame": 10_000},
        {"episode": 9},
        {"horizon": 0},
        {"samples": 100_000},
        {"frame": -1},
        {"id": "x"},
    ):
        with pytest.raises(UsageError):
            app.what_if({**asked, **changes})


@pytest.mark.parametrize("agent", ["random", pytest.param("mcts", marks=pytest.mark.slow)])
def test_an_agent_led_by_hand(app: App, agent: str) -> None:
    found = app.act_new({"agent": agent, "world": "FourGoals"})
    name = found["id"]
    assert [action["name"] for action in found["actions"]] == ["left", "down", "right", "up"]
    found = app.act({"id": name, "action": None})
    found = app.act({"id": name, "action": 2})
    [episode] = found["player"]["episodes"]
    assert len(episode["moving"]) == 3
    assert episode["caption"] == ["", "by hand", ""]
    assert episode["actions"][episode["action"][1]] == "right"
    assert (agent == "mcts") == bool(episode["search"] and all(episode["search"]["frames"]))
    assert episode["posterior"]["next"][-1] is not None  # what is expected of it now
    with pytest.raises(UsageError, match="no action 4"):
        app.act({"id": name, "action": 4})
    assert len(app.act({"id": name, "restart": True})["player"]["episodes"][0]["moving"]) == 1
    if agent == "random":
        return  # it may not arrive for long
    for _ in range(400):
        found = app.act({"id": name, "action": None})
        if found["ended"]:
            break
    assert not any(action["legal"] for action in found["actions"])
    assert found["player"]["episodes"][0]["outcome"] == "terminated"
    with pytest.raises(UsageError, match="over"):
        app.act({"id": name, "action": None})


def test_agents_in_games_and_in_environments_that_draw_themselves(app: App) -> None:
    found = app.act_new({"agent": "random", "world": "TicTacToe"})
    turns = []
    while not found["ended"]:
        turns.append(found["turn"])
        first = next(k for k, action in enumerate(found["actions"]) if action["legal"])
        found = app.act({"id": found.get("id", "1"), "action": first if len(turns) % 3 else None})
        found["id"] = "1"
    assert len(set(turns)) == 2
    illegal = app.act_new({"agent": "random", "world": "TicTacToe"})
    app.act({"id": illegal["id"], "action": 4})
    with pytest.raises(UsageError, match="illegal"):
        app.act({"id": illegal["id"], "action": 4})


@pytest.mark.parametrize(
    "given", [{"agent": "mcts", "world": "evil.py:World"}, {"agent": "evil.py:Agent", "world": "FourGoals"},
              {"agent": "mcts", "world": "CartPole-v1"}, {"agent": ["mcts"], "world": "FourGoals"}, {},
              {"run": "none"}],
)  # fmt: skip
def test_a_page_names_no_code(app: App, given: Any) -> None:
    with pytest.raises(UsageError):
        app.act_new(given)
    with pytest.raises(UsageError):
        app.play_new({**given, "players": ["evil.py:Agent"]})


def test_a_world_is_played_and_recorded(app: App) -> None:
    found = app.play_new({"world": "FourGoals", "observe": True})
    assert any(line["share"] is not None for line in found["lines"])
    assert app.play({"id": found["id"], "pressed": ["ArrowRight", "ArrowUp"], "held": []})["changed"]
    assert app.play({"id": found["id"], "pressed": [], "held": []}) == {"changed": False}
    left = app.play({"id": found["id"], "pressed": ["Escape"], "held": []})
    [played] = load_trajectories(left["saved"])
    assert played.actions.tolist() == [2, 3]
    with pytest.raises(UsageError):
        app.play({"id": found["id"], "pressed": [5], "held": []})
    app.play_new({"world": "FourGoals"})
    app.play({"id": "2", "pressed": ["ArrowLeft"], "held": []})
    app.close()  # what is left open is kept
    assert len(list(Path("runs/play").glob("*.npz"))) == 2


def test_time_goes_on_in_a_world_in_real_time() -> None:
    playing = Playing(as_task("CartPole"), (), 0)
    assert playing.view()["realtime"]
    assert not playing.report([], [])["changed"] or playing.session.stage.actions == []
    for _ in range(5):
        playing.report(["ArrowRight"], ["ArrowRight"])
    assert playing.session.stage.actions == [1] * 5


def test_damaged_and_removed_runs_are_listed_for_what_they_are(runs: Path, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    shutil.copytree(runs, root)
    (root / "first/settings.json").write_text("{")
    found = {summary.id: summary for summary in RunList(root).summaries()}
    assert found["first"].damage
    assert not found["second"].damage
    app = App(root)
    assert "damaged" in app.run_page({"run": "first"}).html
    with (root / "second/metrics.jsonl").open("r+b") as file:
        file.seek(3)
        file.write(b"\0\0")
    assert {summary.damage != "" for summary in app.list.summaries()} == {True}
    with pytest.raises(UsageError):
        app.curves({"run": "second"})
    shutil.rmtree(root / "second")
    for ask in (app.run_page, app.curves, app.episodes, app.changes):
        with pytest.raises(NotFoundError):
            ask({"run": "second"})


def test_large_files_are_sampled(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with path.open("w") as file:
        for k in range(100_000):
            file.write(f'{{"steps": {k + 1}, "episode_return": {k / 1000:.3f}}}\n')
        file.write('{"steps": 3')  # being written
    rows, _ = sampled_rows(path)
    steps = [row["steps"] for row in rows]
    assert steps[0] == 1
    assert steps[-1] == 100_000
    assert len(steps) < 5_000
    assert np.diff(steps).max() < 4_000
    assert all(row["episode_return"] == pytest.approx((row["steps"] - 1) / 1000, abs=1e-3) for row in rows)


def test_code_of_a_run_that_is_not_signed_is_not_run(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inscape import trust

    world = tmp_path / "their_world.py"
    world.write_text("from pathlib import Path\nPath('EXECUTED').touch()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trust, "_allowed", set())
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "mine"))  # another user's secret: nothing here is signed
    root = tmp_path / "runs"
    shutil.copytree(runs, root)
    for file in root.rglob("manifest.json"):
        file.unlink()
    settings = root / "first/settings.json"
    settings.write_text(settings.read_text().replace('"name": "FourGoals"', '"name": "their_world.py:World"'))
    app = App(root)
    assert app.curves({"run": "first"})["charts"]
    found = app.episodes({"run": "first"})
    assert found["player"] is None
    assert "--trust" in found["notes"][0]
    for ask in (app.act_new, app.play_new):
        with pytest.raises(UsageError):
            ask({"run": "first"})
    assert not Path("EXECUTED").exists()


def test_cells(runs: Path, tmp_path: Path) -> None:
    episodes = rollout("random", "FourGoals", 2, seed=0)
    cell = show(episodes)
    assert 'data-player="0"' in cell.page
    assert '"posterior":{' in cell.page
    assert cell._repr_html_().startswith('<iframe sandbox="allow-scripts" srcdoc="')
    of_run = show(runs / "first")
    assert 'data-curves="0"' in of_run.page
    assert of_run.save(tmp_path / "run.html").read_text() == of_run.page
    for wrong in ([], 3, [episodes[0], "first"], [dataclasses.replace(episodes[0], task={})], "no run"):
        with pytest.raises(UsageError):
            show(wrong)
