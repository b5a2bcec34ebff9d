"""A report on several runs: what is whose, on which scale, in which colour, and the commands that make it again."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape.envs.tasks.resolve import resolve_task
from inscape.experiments.cli import main
from inscape.experiments.numbers import column_decimals, interval_decimals, number_text
from inscape.experiments.report import Label, PlayerSection, TableSection, render_report, report_for_runs
from inscape.experiments.report.runs import told_apart
from inscape.experiments.runs.folders import create_run, open_run
from inscape.experiments.runs.settings import RunSettings
from inscape.experiments.runs.statistics import Interval
from tests.conftest import ROOT
from tests.experiments.report.test_report import node, payload_of
from tests.experiments.runs.storage.test_checkpoints import assert_same

# --- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ([{"lr": 0.1}, {"lr": 0.02}], ["lr 0.1", "lr 0.02"]),
        ([{"lr": 0.1, "gamma": 0.9}, {"lr": 0.1, "gamma": 0.99}], ["gamma 0.9", "gamma 0.99"]),
        ([{"lr": 0.1}, {}], ["lr 0.1", "lr default"]),
        ([{"num_envs": 8}, {"num_envs": 16}, {"num_envs": 8}], ["num envs 8", "num envs 16", "num envs 8"]),
        ([{"double": True}, {"double": False}], ["double on", "double off"]),
        ([{"beta": None}, {"beta": 2.0}], ["beta none", "beta 2"]),
        ([{"hidden": [64, 64]}, {"hidden": [8]}], ["hidden 64 64", "hidden 8"]),
        ([{"inner": {"a": 1}}, {"inner": {"a": 2}}], ["inner.a 1", "inner.a 2"]),
        ([{"shift": -0.5}, {"shift": -1000}], ["shift −0.5", "shift −1\u202f000"]),
        ([{"x": "a" * 99}, {"x": "b" * 99}], ["x …", "x … (2)"]),
        ([{"steps": 2000}, {"steps": 40_000}], ["steps 2\u202f000", "steps 40\u202f000"]),
        ([{}, {}], [None, None]),
    ],
)
def test_variants_are_named_by_what_differs(settings: list[dict[str, Any]], labels: list[str | None]) -> None:
    expected = ["ppo" if label is None else f"ppo, {label}" for label in labels]
    assert told_apart(["ppo"] * len(settings), settings) == expected
    assert told_apart(["dqn", *["ppo"] * len(settings)], [{"other": 1}, *settings]) == ["dqn", *expected]


def test_labels_stay_short_and_different() -> None:
    settings = [{f"s{k}": value for k in range(9)} for value in (0, 1)] + [
        {**dict.fromkeys(map("s{}".format, range(9)), 0), "s8": 5}
    ]
    labels = told_apart(["ppo"] * 3, settings)
    assert len(set(labels)) == 3 and max(map(len, labels)) < 60
    assert labels[0].endswith("5 more") and labels[2] == f"{labels[0]} (2)"


# --- numbers ---------------------------------------------------------------------------------------------------------

NUMBERS = {
    0: "0", 7: "7", -7: "−7", 1234: "1\u202f234", -1_234_567: "−1\u202f234\u202f567", 0.5: "0.5",
    -0.25: "−0.25", 1 / 3: "0.3333", 12.3456: "12.35", 12345.678: "12\u202f346", 0.00012: "0.00012", 1e-5: "1.0e−5",
    -2.5e-7: "−2.5e−7", 1e20: "1.0e20", float("nan"): "–", float("inf"): "∞", float("-inf"): "−∞",
}  # fmt: skip


def test_numbers_follow_one_rule_in_python_and_on_the_page() -> None:
    assert [number_text(value) for value in NUMBERS] == list(NUMBERS.values())
    finite = [value for value in NUMBERS if np.isfinite(value)]
    assert node("console.log(JSON.stringify(data.map((v) => I.format(v))))", finite) == [NUMBERS[v] for v in finite]
    fixed = [(0.5, 2), (-0.004, 2), (1234.5, 1), (-1e6, 0), (0.0, 3)]
    said = node("console.log(JSON.stringify(data.map(([v, d]) => I.format(v, 4, d))))", fixed)
    assert said == [number_text(value, decimals) for value, decimals in fixed]
    assert said == ["0.50", "0.00", "1\u202f234.5", "−1\u202f000\u202f000", "0.000"]


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        ((500, 500, 500), 0), ((0.85, 0.6988, 1), 2), ((0.875, 0.85, 0.9), 3), ((89.2, 62.2, 121.2), 0),
        ((499.8, 499.5, 500.0), 2), ((-123.4, -130.2, -118.1), 0), ((1.75, 1.5, 2.25), 2), ((0, 0, 0), 0),
        ((float("nan"),) * 3, 0), ((1e-4, 0.0, 2e-4), 6),
    ],
)  # fmt: skip
def test_an_interval_has_as_many_decimals_as_it_is_sure_of(values: tuple[float, ...], decimals: int) -> None:
    assert interval_decimals(values) == decimals


def test_a_column_of_like_numbers_shares_its_decimals() -> None:
    assert column_decimals([2.972, 12.62, 31.1]) == 2
    assert column_decimals([5000, 30720]) == 0
    assert column_decimals([0.001, 1000.0, 3.5]) is None
    assert column_decimals([]) == 0
    page = render_report([TableSection("T", ("a",), ((2.972,), (12.62,), (-31.1,), (None,)))])
    assert re.findall(r'<td class="number">([^<]*)</td>', page) == ["2.97", "12.62", "−31.10", "–"]


def test_ticks_share_their_decimals_and_differ() -> None:
    lists = [[0, 0.25, 0.5], [0, 5000, 10000], [0.52, 0.53], [-1, -0.5, 0], [1e-6, 2e-6], [3], [0, 2_500_000]]
    labels: Any = node("console.log(JSON.stringify(data.map((v) => I.tickLabels(v))))", lists)
    assert labels[0] == ["0.00", "0.25", "0.50"] and labels[1] == ["0", "5\u202f000", "10\u202f000"]
    assert labels[3] == ["−1.0", "−0.5", "0.0"] and labels[6] == ["0", "2\u202f500\u202f000"]
    assert all(len(set(texts)) == len(texts) for texts in labels)


# --- axes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("series", "options", "x", "y"),
    [
        ([{"x": [1000, 2000], "y": [100, 200]}], {}, (0, 2000), (0, 200)),
        ([{"x": [1000], "y": [0.5]}], {}, (0, 1000), (0, 0.5)),
        ([{"x": [10, 20], "y": [-450, -120]}], {}, (0, 20), (-450, 0)),
        ([{"x": [10, 20], "y": [0, 0]}], {}, (0, 20), (-0.5, 0.5)),
        ([{"x": [10, 20], "y": [1, 2]}], {"yRange": [-3, 9], "xEnd": 50}, (0, 50), (-3, 9)),
        ([], {}, (0, 1), (-0.5, 0.5)),
        ([{"x": [10, 5000], "y": [1, 2]}], {"xLog": True}, (0, 5000), (0, 2)),
    ],
)
def test_axes_reach_zero(series: Any, options: dict[str, Any], x: tuple[float, float], y: tuple[float, float]) -> None:
    script = """const box = I.layout(data[0], {width: 600, height: 320, ...data[1]});
    console.log(JSON.stringify({...box, ends: [box.sx(box.x0), box.sx(box.x1)], back: box.back(box.sx(box.x1 / 3))}))"""
    box: Any = node(script, [series, options])
    assert (box["x0"], box["x1"]) == x
    room = 0.05 * (y[1] - y[0])
    assert y[0] - room <= box["y0"] <= y[0] and y[1] <= box["y1"] <= y[1] + room
    assert 0 in box["xTicks"] and box["xTicks"] == sorted(set(box["xTicks"])) and 0 in box["yTicks"]
    assert box["back"] == pytest.approx(x[1] / 3)
    assert box["ends"] == pytest.approx([box["left"], 600 - box["right"]])
    if not series:
        return
    places = [box["left"], 600]
    assert all(places[0] <= end <= places[1] for end in box["ends"])


# --- whole reports ---------------------------------------------------------------------------------------------------


def logged(
    path: Path, task: dict[str, Any], returns: list[float], steps: int = 100, agent: str = "ppo", **options: Any
) -> Path:
    run = create_run(RunSettings(agent, task, options.pop("seed", 0), steps, agent_settings=options), path)
    for number, value in enumerate(returns):
        at = number * steps / max(1, len(returns) - 1)
        run.log({"steps": at, "seconds": float(number), "evaluation/return_mean": value, "episode_return": value / 2})
    run.close()
    return path


def lake(**settings: Any) -> dict[str, Any]:
    return {"name": "FrozenLake", "settings": settings}


def test_worlds_agents_colours_and_scales(tmp_path: Path) -> None:
    cart = {"name": "CartPole", "settings": {}}
    runs = [
        logged(tmp_path / "a", lake(slip=0.1), [0.0, 0.5], lr=0.1),
        logged(tmp_path / "b", lake(slip=0.1), [0.0, 0.9], lr=0.1, seed=1),
        logged(tmp_path / "c", lake(slip=0.1), [0.0, 0.7], lr=0.2),
        logged(tmp_path / "d", cart, [20, 500], agent="dqn"),
        logged(tmp_path / "e", lake(slip=0.2), [0.1, 0.3], agent="dqn"),
    ]
    page = report_for_runs(runs, tmp_path / "r.html").read_text()
    titles = re.findall(r"<h2>([^<]*)</h2>", page)
    assert titles == [
        "Runs", "Evaluation return, FrozenLake, slip 0.1", "Episode return, FrozenLake, slip 0.1",
        "Evaluation return, CartPole", "Episode return, CartPole", "Evaluation return, FrozenLake, slip 0.2",
        "Episode return, FrozenLake, slip 0.2",
    ]  # fmt: skip
    assert "5 runs of 2 agents in 3 worlds." in page
    charts = payload_of(page)["curves"]
    names = [[curve["name"] for curve in chart["curves"]] for chart in charts]
    assert names == [["ppo, lr 0.1", "ppo, lr 0.2"]] * 2 + [["dqn"]] * 4
    colors = {curve["name"]: curve["color"] for chart in charts for curve in chart["curves"]}
    assert colors == {"ppo, lr 0.1": 0, "ppo, lr 0.2": 1, "dqn": 2}
    assert all(curve["color"] == colors[curve["name"]] for chart in charts for curve in chart["curves"])
    assert charts[0]["yRange"] == charts[1]["yRange"] == [0, 0.9]
    assert charts[2]["yRange"] == charts[3]["yRange"] == [10, 500]
    rows = re.findall(r"<tr>(.*?)</tr>", page)[1:]
    assert [re.findall(r"var\(--c(\d)\)", row)[0] for row in rows] == ["0", "1", "2", "2"]


def test_runs_of_another_length_are_another_variant(tmp_path: Path) -> None:
    """Their last returns are not those of one training."""
    runs = [logged(tmp_path / name, lake(), [0, 1], steps) for name, steps in (("a", 100), ("b", 1000))]
    names = [
        c["name"] for c in payload_of(report_for_runs(runs, tmp_path / "r.html").read_text())["curves"][0]["curves"]
    ]
    assert names == ["ppo, steps 100", "ppo, steps 1\u202f000"]


def test_whiskers_share_a_scale_within_a_world_only() -> None:
    rows = (
        ("a", Label("ppo", 3), Interval(0.5, 0.0, 1.0)), ("a", Label("dqn", 9), Interval(0.5, 0.25, 0.75)),
        ("b", Label("ppo", 3), Interval(300.0, 100.0, 500.0)),
    )  # fmt: skip
    page = render_report([TableSection("T", ("world", "agent", "return"), rows, scale_by=0)])
    assert re.findall(r'<line x1="([\d.]+)" x2="([\d.]+)"', page.split("<tbody>")[1])[:3] == [
        ("0.0", "100.0"), ("25.0", "75.0"), ("0.0", "100.0"),
    ]  # fmt: skip
    assert page.count("--c:var(--c3)") == 4 and page.count("--c:var(--soft)") == 2  # swatch and whisker


def test_tables_say_that_they_scroll() -> None:
    page = render_report([TableSection("Wide", tuple("abcdefghij"), (("x" * 30,) * 10,))])
    assert '<div class="scroll" tabindex="0" role="region" aria-label="Wide">' in page
    assert '<div class="hint">more to the right' in page


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs in two worlds and a Gymnasium environment, in a folder with a space in its name."""
    place = tmp_path_factory.mktemp("some runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        few = "--final-episodes 2 --evaluate-episodes 2"
        for line in (
            f"q-learning FrozenLake --steps 600 --world.slip 0.1 {few} --out runs/a",
            f"q-learning FrozenLake --steps 600 --world.slip 0.1 --seed 1 {few} --out runs/b",
            "q-learning FrozenLake --steps 600 --world.slip 0.1 --learning-rate 0.5 --agent.seeds 2 "
            f"{few} --out 'my runs/c'",
            f"sarsa FourGoals --steps 500 --evaluate-every 100 --gamma 0.9 {few} --out runs/d",
            f"ppo CartPole-v1 --steps 512 --num-envs 2 --num-steps 32 --epochs 1 --hidden 8 {few} --out runs/e",
        ):
            assert main(["train", *shlex.split(line)]) == 0
        runs = ["runs/a", "runs/b", "my runs/c", "runs/d", "runs/e"]
        assert main(["report", *runs, "--out", "all of them.html"]) == 0
    return place


@pytest.mark.slow
def test_episodes_say_whose_they_are_and_play_side_by_side(trained: Path) -> None:
    players = payload_of((trained / "all of them.html").read_text())["players"]
    lakes, goals, carts = players
    assert lakes["sideBySide"] and not goals["sideBySide"] and not carts["sideBySide"]
    whose = [(episode["agent"], episode["title"].split(":")[0], episode["color"]) for episode in lakes["episodes"]]
    one, other = "q-learning, learning rate 1, seeds 1", "q-learning, learning rate 0.5, seeds 2"
    assert {w for w in whose if w[0] == one} == {(one, "seed 0", 0), (one, "seed 1", 0)}
    assert {(agent, color) for agent, _, color in whose} == {(one, 0), (other, 1)}
    assert {episode["agent"] for episode in goals["episodes"]} == {"sarsa"}


def test_a_gymnasium_environment_gets_a_short_clip(trained: Path) -> None:
    (clip,) = payload_of((trained / "all of them.html").read_text())["players"][2:]
    (episode,) = clip["episodes"]
    frames = [clip["movings"][index][0][-1] for index in episode["moving"]]
    assert all(uri.startswith("data:image/webp;base64,") for uri in frames) and len(set(frames)) > 3
    assert clip["statics"] == [[360, 240, []]]
    assert [r for r in episode["reward"] if r is not None] == [1] * (len(frames) - 1)
    assert episode["title"] == f"return {len(frames) - 1}" and episode["outcome"] == "terminated"
    assert (trained / "all of them.html").stat().st_size < 2e6


def test_what_cannot_be_drawn_is_left_out_and_said(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(trained / "runs/e", tmp_path / "e")
    shutil.rmtree(tmp_path / "e" / "checkpoints")
    page = report_for_runs([tmp_path / "e"], tmp_path / "r.html").read_text()
    assert payload_of(page)["players"] == []
    assert "No clip of" in caplog.text and "has no checkpoint" in caplog.text


def test_its_commands_make_it_again(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied from the page, in another folder: the same settings, weights and, but for times, the same page."""
    page = (trained / "all of them.html").read_text()
    lines = [html.unescape(line) for line in re.findall(r"<code>(.*?)</code>", page.split("</details>")[0], re.DOTALL)]
    assert len(lines) == 6
    monkeypatch.chdir(tmp_path)
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "inscape"
        assert main(words) == 0, line
    for run in ("runs/a", "runs/b", "my runs/c", "runs/d", "runs/e"):
        one, other = open_run(trained / run), open_run(run)
        assert one.settings == other.settings and one.evaluation() == other.evaluation()
        assert_same(one.load_latest(), other.load_latest())
    again = payload_of(Path("all of them.html").read_text())
    first = payload_of(page)
    for chart in [*first["curves"], *again["curves"]]:
        for curve in chart["curves"]:
            curve["seconds"] = None
    assert again == first


@pytest.mark.slow
def test_a_run_that_no_options_describe_is_made_again_by_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inscape.experiments.arguments.command_lines import train_line
    from inscape.experiments.commands.train import final_evaluation
    from inscape.experiments.runs.training import train

    monkeypatch.chdir(tmp_path)
    task = resolve_task("FrozenLake", {"map": ["SFF", "FHF", "FFG"]})
    run = train("q-learning", task, 200, out="a", progress=False, evaluate_every=50, evaluate_episodes=2)
    final_evaluation(run, task, 3)
    line = train_line(run)
    assert line.startswith("python -c ")
    run.path.rename("first")
    done = subprocess.run(
        ["sh", "-c", line.replace("python", shlex.quote(sys.executable), 1)], cwd=tmp_path, capture_output=True,
        text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    one, other = open_run("first"), open_run("a")
    assert one.settings == other.settings and one.evaluation() == other.evaluation()
    assert_same(one.load_latest(), other.load_latest())


def test_markup_of_a_side_by_side_player_is_text() -> None:
    from tests.experiments.report.test_report import NASTY, full_episode

    page = render_report([PlayerSection("P", (full_episode(text=NASTY), full_episode(2)), side_by_side=True)])
    assert "<img" not in page and page.count("</script>") == 2
    assert json.loads(json.dumps(payload_of(page)))["players"][0]["sideBySide"] is True
