import dataclasses
import json
import math
import re
import shutil
import subprocess

import numpy as np
import pytest

from inscape.agents.rollout import rollout
from inscape.envs.rendering.scene import DARK_PALETTE, PALETTE, Circle, Line, Polygon, Rect, Scene, Text
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.experiments.report import (
    Curve,
    CurvesSection,
    Frame,
    ImaginationOverlay,
    PlayerEpisode,
    PlayerSection,
    PosteriorOverlay,
    SearchOverlay,
    TableSection,
    TextSection,
    imagined_futures,
    player_episode,
    posterior_overlays,
    render_report,
    report_for_runs,
    search_overlay,
    write_report,
)
from inscape.experiments.report.packing import MAX_CURVE_POINTS, pack_player
from inscape.experiments.runs.folders import create_run
from inscape.experiments.runs.settings import RunSettings
from inscape.experiments.runs.statistics import Interval
from inscape.theory_of_mind import Observer
from inscape.theory_of_mind.minds import minds_grid
from inscape.world_models.known import KnownModel
from inscape.world_models.planning.interface import Plan, SearchTree

PAGE = "inscape/experiments/report/page.js"
NASTY = "</script><img src=x onerror=alert(1)>\"'&<!--\u2028"
FLOOR = tuple(Rect(x, y, 1, 1, "ice" if (x + y) % 2 else "paper", "line", 0.02) for x in range(8) for y in range(8))


def agent_at(x: float, y: float) -> tuple[Circle, ...]:
    return (Circle(x + 0.5, y + 0.5, 0.3, "agent", "ink", 0.05, "moving"),)


def scene_at(x: float, y: float) -> Scene:
    return Scene(8, 8, FLOOR + agent_at(x, y))


def payload_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="payload">(.*?)</script>', page, re.DOTALL)[1])


def full_episode(frames: int = 12, title: str = "walk", text: str = "") -> PlayerEpisode:
    """An episode on a grid with every overlay, as busy as those of a real search."""
    rng = np.random.default_rng(0)
    actions = ("left", "down", "right", "up")
    made = []
    for t in range(frames):
        last = t == frames - 1
        cells = tuple((x + 0.5, y + 0.5, int(n)) for (x, y), n in np.ndenumerate(rng.integers(1, 999, (8, 8))))
        search = SearchOverlay(cells, tuple((a, int(rng.integers(999)), float(rng.normal())) for a in actions))
        futures = tuple(tuple(agent_at(*rng.integers(0, 8, 2)) for _ in range(8)) for _ in range(6))
        p = rng.dirichlet(np.ones(4))
        belief = PosteriorOverlay(
            ("A", "B", "C", f"D{text}"), tuple(p), () if last else tuple(zip(actions, p)), None if last else 1.25,
            ((0.5, 0.5), (7.5, 0.5), (0.5, 7.5), None),
        )  # fmt: skip
        action, reward = ("", None) if last else (actions[t % 4] + text, float(t))
        made.append(
            Frame(scene_at(t % 8, t // 8 % 8), action, reward, text, search, ImaginationOverlay(futures), belief)
        )
    return PlayerEpisode(title, tuple(made), f"agent{text}", f"terminated{text}")


def sections(text: str = "") -> list:
    curve = Curve(f"ppo{text}", [0, 1], [1.0, math.nan], seconds=[0.1, 0.2])
    rows = ((f"ppo{text}", Interval(0.5, 0.4, 0.6)), ("x", None))
    return [
        TextSection(f"About{text}", f"One.\n\nTwo {text}", (f"make demo {text}",)),
        TableSection(f"Table{text}", (f"agent{text}", "value"), rows, text),
        CurvesSection("Curves", (curve,), f"return{text}", ((f"best{text}", 3.0),), text),
        PlayerSection("Player", (full_episode(text=text, title=f"walk{text}"),), text),
    ]


# ----------------------------------------------------------------------------------------------------------- page


def test_page_is_self_contained():
    page = render_report(sections(), title="T", summary="S", commands=["make demo"])
    outside = page.replace("http-equiv", "")
    for way_out in ("http", "//www", "src=", "<link", "@import", "url(", "fetch(", "import(", "XMLHttp"):
        assert way_out not in outside, way_out
    assert "default-src 'none'" in page
    assert not re.search(r"\{\{\w+\}\}", page)


def test_text_from_outside_is_escaped_everywhere():
    page = render_report(sections(NASTY), title=NASTY, summary=NASTY, commands=[NASTY], facts={NASTY: NASTY})
    assert "<img" not in page
    assert page.count("</script>") == 2
    assert "<!--" not in page
    data = payload_of(page)
    assert data["curves"][0]["curves"][0]["name"] == f"ppo{NASTY}"
    assert data["players"][0]["episodes"][0]["title"] == f"walk{NASTY}"
    assert page.count("alert(1)") >= 12


def test_template_tokens_in_text_stay_text():
    page = render_report([TextSection("{{payload}}", "{{js}}")], title="{{css}}")
    assert "<h1>{{css}}</h1>" in page
    assert "<p>{{js}}</p>" in page


def test_palette_follows_the_viewers_colour_scheme():
    page = render_report([])
    light, dark = page.split("@media (prefers-color-scheme: dark)", 1)
    assert all(f"--p-{name}:{value};" in light for name, value in PALETTE.items())
    assert all(f"--p-{name}:{value};" in dark for name, value in DARK_PALETTE.items())


def test_file_is_written_whole_and_folders_are_made(tmp_path):
    assert write_report([TextSection("A")], tmp_path / "new").name == "report.html"
    path = write_report([TextSection("Überschrift β")], tmp_path / "deep" / "er" / "r.html")
    assert "Überschrift β" in path.read_text(encoding="utf-8")
    assert sorted(p.name for p in path.parent.iterdir()) == ["r.html"]
    with pytest.raises(UsageError, match="cannot write"):
        write_report([], path / "below-a-file.html")


@pytest.mark.slow
def test_a_demo_sized_report_stays_small():
    episodes = (full_episode(201),) * 12  # all columns are stored for each
    page = render_report([PlayerSection("Player", episodes)])
    assert len(page.encode()) < 5e6


# --------------------------------------------------------------------------------------------------------- tables


def test_table_cells():
    rows = ((Interval(0.5, 0.0, 1.0), 2_000_000, True, None), (Interval(1.0, 1.0, 1.0), -0.25, False, "<x>"))
    page = render_report([TableSection("T", ("a", "b", "c", "d"), rows)])
    body = page[page.index("<tbody>") : page.index("</tbody>")]
    assert "0.50 <small>[0.00, 1.00]</small>" in body  # one number of decimals for what belongs together
    assert 'x1="0.0" x2="100.0"' in body
    assert '<td class="number">2\u202f000\u202f000</td>' in body
    assert "−0.25" in body
    assert '<td class="text">yes</td>' in body
    assert "&lt;x&gt;" in body
    with pytest.raises(ValueError, match="row of 1"):
        TableSection("T", ("a", "b"), ((1,),))


# --------------------------------------------------------------------------------------------------------- curves


def test_curves_keep_their_numbers_and_gaps():
    curve = Curve("ppo", [0, 10, 20], [1.0, math.nan, 1 / 3], [0.5, None, 0.25], [2.0, 2.0, math.inf])
    packed = payload_of(render_report([CurvesSection("C", (curve,))]))["curves"][0]["curves"][0]
    assert packed["steps"] == [0, 10, 20]
    assert packed["mean"] == [1, None, 0.333333]
    assert packed["low"] == [0.5, None, 0.25]
    assert packed["high"] == [2, 2, None]
    assert packed["seconds"] is None
    with pytest.raises(ValueError, match="1 values of mean for 2 steps"):
        Curve("ppo", [0, 1], [1.0])


def test_long_curves_are_averaged_not_thinned():
    values = np.random.default_rng(0).normal(size=4 * MAX_CURVE_POINTS)
    packed = payload_of(render_report([CurvesSection("C", (Curve("c", list(range(len(values))), values.tolist()),))]))
    mean = packed["curves"][0]["curves"][0]["mean"]
    np.testing.assert_allclose(mean, values.reshape(-1, 4).mean(axis=1), rtol=1e-5)


# --------------------------------------------------------------------------------------------------------- player


def unpack(shapes, styles):
    """The second route: packed shapes back to dataclasses."""
    out = []
    for index, *n in shapes:
        kind, fill, stroke, width, extra = styles[index]
        if kind == "rect":
            out.append(Rect(*n, fill, stroke, width, extra))
        elif kind == "circle":
            out.append(Circle(*n, fill, stroke, width))
        elif kind == "line":
            out.append(Line(*n, stroke, width))
        elif kind == "polygon":
            out.append(Polygon(tuple(zip(n[::2], n[1::2])), fill, stroke, width))
        else:
            out.append(Text(*n, extra[0], fill, extra[1]))
    return out


def test_packed_scenes_hold_the_same_shapes():
    shapes = (
        Rect(0.1, 0.2, 3, 4, "ice", "#a0b0c0", 0.05, 0.2),
        Circle(1, 2, 0.3, "agent", None, 0.0),
        Line(0, 0, 1.5, 2, "red", 0.1),
        Polygon(((0.0, 0.0), (1.0, 0.5), (0.25, 1.0)), "teal", "ink", 0.04),
        Text(1, 1, "A", 0.4, "muted", "start"),
    )
    moving = tuple(dataclasses.replace(s, layer="moving") for s in shapes)
    player = pack_player(PlayerSection("P", (PlayerEpisode("e", (Frame(Scene(5, 6, shapes + moving)),)),)))
    width, height, ground = player["statics"][0]
    assert (width, height) == (5, 6)
    assert unpack(ground, player["styles"]) == list(shapes)
    assert unpack(player["movings"][0], player["styles"]) == list(shapes)
    assert len(player["styles"]) == len(shapes)


def test_layers_are_stored_once_and_frames_point_at_them():
    positions = [(0, 0), (1, 0), (1, 1), (0, 0)]
    frames = tuple(Frame(scene_at(*p), "go" if i < 3 else "", 1.0 if i < 3 else None) for i, p in enumerate(positions))
    player = pack_player(PlayerSection("P", (PlayerEpisode("a", frames), PlayerEpisode("b", frames))))
    episode = player["episodes"][0]
    assert len(player["statics"]) == 1
    assert len(player["movings"]) == 3
    assert episode["ground"] == [0]
    assert episode["moving"] == [0, 1, 2, 0]
    assert episode["action"] == [0, 0, 0, -1]
    assert episode["actions"] == ["go"]
    assert episode["reward"] == [1, 1, 1, None]
    assert episode["search"] is episode["posterior"] is episode["imagination"] is None


def test_overlays_are_packed():
    episode = full_episode(3)
    player = pack_player(PlayerSection("P", (episode,)))
    packed, frame = player["episodes"][0], episode.frames[0]
    cells, actions = packed["search"]["frames"][0]
    seen = {tuple(player["places"][cells[i]]): cells[i + 1] for i in range(0, len(cells), 2)}
    assert seen == {(x, y): n for x, y, n in frame.search.cells}
    assert [(packed["actions"][a], n) for a, n, _ in actions] == [(a, n) for a, n, _ in frame.search.actions]
    future = packed["imagination"][0][2]
    assert [unpack(player["movings"][i], player["styles"])[0].x for i in future] == [
        shapes[0].x for shapes in frame.imagination.futures[2]
    ]
    belief = packed["posterior"]
    np.testing.assert_allclose(belief["probabilities"][0], frame.posterior.probabilities, atol=1e-4)
    assert belief["places"][3] is None
    assert belief["bits"] == [1.25, 1.25, None]
    assert belief["next"][2] is None


def test_wrong_episodes_are_refused():
    with pytest.raises(ValueError, match="no frames"):
        PlayerEpisode("e", ())
    with pytest.raises(ValueError, match="2 probabilities for 1"):
        PosteriorOverlay(("A",), (0.5, 0.5))
    frames = [Frame(scene_at(0, 0), posterior=PosteriorOverlay((n,), (1.0,))) for n in "AB"]
    with pytest.raises(ValueError, match="change between frames"):
        PlayerEpisode("e", tuple(frames))
    with pytest.raises(UsageError, match="unknown colour 'grene'"):
        pack_player(PlayerSection("P", (PlayerEpisode("e", (Frame(Scene(1, 1, (Rect(0, 0, 1, 1, "grene"),))),)),)))


# ----------------------------------------------------------------------------------------------------- the real thing


class Wanderer:
    name = "wanderer"

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def act(self, observation, action_mask=None):
        return self.rng.integers(0, 4, len(observation))


@pytest.fixture(scope="module")
def goals():
    task = resolve_task("FourGoals")
    trajectory = rollout(Wanderer(), task, 1, seed=1)[0]
    observer = Observer(task.world, minds_grid(list(task.world.goals), [1.0, 6.0], ["soft-eval"]))
    return task.world, trajectory, observer


def test_episode_of_a_world(goals):
    world, trajectory, observer = goals
    episode = player_episode(world, trajectory, posteriors=posterior_overlays(observer, trajectory))
    assert len(episode.frames) == len(trajectory) + 1
    assert [f.action for f in episode.frames[:-1]] == [world.action_names[a] for a in trajectory.actions]
    assert sum(f.reward or 0 for f in episode.frames) == pytest.approx(trajectory.total_reward)
    assert episode.frames[-1].action == ""
    assert episode.outcome == ("terminated" if trajectory.terminated else "truncated")
    assert episode.frames[3].scene == world.scene(trajectory.states, 3)
    short = player_episode(world, trajectory, max_frames=2)
    assert len(short.frames) == 2
    assert "cut" in short.outcome
    with pytest.raises(UsageError, match="without states"):
        player_episode(world, dataclasses.replace(trajectory, states=None))


def test_posterior_overlays_agree_with_the_observer(goals):
    world, trajectory, observer = goals
    overlays = posterior_overlays(observer, trajectory)
    marginal = observer.marginal("goal", observer.posterior_over(trajectory))
    for t, overlay in enumerate(overlays):
        np.testing.assert_allclose(overlay.probabilities, [marginal[name][t] for name in overlay.names])
        if t < len(trajectory):  # the predicted probability of what was done is its code length
            predicted = dict(overlay.next_action)[world.action_names[trajectory.actions[t]]]
            assert -math.log2(predicted) == pytest.approx(overlay.bits)
            assert sum(dict(overlay.next_action).values()) == pytest.approx(1)
    assert overlays[-1].bits is None
    # each goal's place is where its letter is drawn
    letters = {s.text: (s.x, s.y) for s in world.scene(trajectory.states).shapes if isinstance(s, Text)}
    assert dict(zip(overlays[0].names, overlays[0].places)) == {name: letters[name] for name in overlays[0].names}
    assert observer.steps == 0


def test_minds_with_one_goal_are_told_apart(goals):
    world, trajectory, _ = goals
    observer = Observer(world, minds_grid(["A"], [0.5, 2.0], ["soft-eval"]))
    assert posterior_overlays(observer, trajectory)[0].names == tuple(mind.name for mind in observer.minds)


def test_search_overlay_sums_visits_by_place(goals):
    world, trajectory, _ = goals
    nodes = np.array([0, 1, 2, 1])
    states = trajectory.states[nodes]
    visits = np.array([10, 4, 3, 2])
    tree = SearchTree(states, visits, visits, visits * 0.0, visits < 0, np.zeros((4, 4), int), np.zeros((4, 4)))
    values = np.array([0.5, -np.inf, 0.1, 0.2])
    overlay = search_overlay(world, Plan(0, values, np.array([6, 0, 3, 1]), 0.5, tree))
    found = {(x, y): n for x, y, n in overlay.cells}
    expected: dict = {}
    for node, n in zip(nodes, visits):
        place = world.place_of(trajectory.states, int(node))
        expected[place] = expected.get(place, 0) + n
    assert found == expected
    assert [a[:2] for a in overlay.actions] == list(zip(world.action_names, [6, 0, 3, 1]))
    page = render_report(
        [PlayerSection("P", (player_episode(world, trajectory, plans=[Plan(0, values, visits, 0.5, tree)]),))]
    )
    assert payload_of(page)["players"][0]["episodes"][0]["search"]["frames"][0][1][1][2] is None  # −inf


def test_imagined_futures_are_what_the_model_does(goals):
    world, trajectory, _ = goals
    up = world.action_names.index("up")
    futures = imagined_futures(
        KnownModel(world),
        trajectory.observations[0],
        lambda s: np.full(len(s), up),
        np.random.default_rng(0),
        count=3,
        horizon=4,
    )
    assert len(futures) == 3
    state = trajectory.states[0:1]
    for t in range(4):
        state = world.step(state, np.array([up]), np.random.default_rng(0))[0]
        for future in futures:
            assert world.unpack(future, t) == world.unpack(state)


# ----------------------------------------------------------------------------------------------------------- runs


def make_run(path, seed, returns, agent="ppo"):
    run = create_run(RunSettings(agent, {"name": "FourGoals", "settings": {}}, seed, 100), path)
    for i, value in enumerate(returns):
        row = {"steps": 50 * i, "seconds": float(i), "evaluation/return_mean": value}
        run.log({**row, "evaluation/return_low": value - 1, "evaluation/return_high": value + 1})
    run.close()
    return run


def test_report_for_runs(tmp_path, goals):
    _, trajectory, _ = goals
    runs = [make_run(tmp_path / "a", 0, [0.0, 1.0, 2.0]), make_run(tmp_path / "b", 1, [2.0, 3.0, 6.0])]
    other = make_run(tmp_path / "c", 0, [1.0, 1.5], agent="sb3:ppo")
    (other.path / "evaluation.json").write_text('{"mean": 1.75, "low": 1.5, "high": 2.25, "episodes": 100}')
    runs[0].save_episodes("last", [trajectory, trajectory])
    page = report_for_runs([r.path for r in [*runs, other]], tmp_path / "out.html").read_text()
    data = payload_of(page)
    ppo, sb3 = data["curves"][0]["curves"]
    assert ppo["name"] == "ppo"
    assert ppo["steps"] == [0, 50, 100]
    assert ppo["mean"] == [1, 2, 4]
    assert all(low <= mean <= high for low, mean, high in zip(ppo["low"], ppo["mean"], ppo["high"]))
    assert ppo["seconds"] == [0, 1, 2]
    assert sb3["low"] == [0, 0.5]  # a single run shows its own interval
    assert len(data["players"][0]["episodes"]) == 2
    assert len(data["players"][0]["episodes"][0]["moving"]) == len(trajectory) + 1
    assert "4 <small>[2, 6]</small>" in page  # over runs: the last values 2 and 6
    assert "1.75 <small>[1.50, 2.25]</small>" in page  # over episodes
    assert f"inscape train ppo FourGoals --steps 100 --seed 1 --evaluate-every 0 --out {runs[1].path}" in page


def test_runs_without_curves_or_none_at_all(tmp_path):
    make_run(tmp_path / "empty", 0, [])
    page = report_for_runs([tmp_path / "empty"], tmp_path / "r.html").read_text()
    assert payload_of(page) == {"curves": [], "players": []}
    assert "<td" in page
    (tmp_path / "empty" / "evaluation.json").write_text("{")
    with pytest.raises(UsageError, match=r"evaluation\.json"):
        report_for_runs([tmp_path / "empty"], tmp_path / "r.html")
    with pytest.raises(UsageError, match="no runs"):
        report_for_runs([], tmp_path)
    with pytest.raises(UsageError, match="no run at"):
        report_for_runs([tmp_path / "nowhere"], tmp_path)


# ----------------------------------------------------------------------------------------------------- the page's own


def node(script: str, data: object = None) -> object:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    code = f"const I = require('./{PAGE}'); const data = JSON.parse(require('fs').readFileSync(0)); {script}"
    done = subprocess.run(["node", "-e", code], input=json.dumps(data), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_js_draws_what_python_packed():
    nasty = Scene(2, 2, (Rect(0, 0, 2, 2, "ice"), Text(1, 1, NASTY, 0.4), Polygon(((0, 0), (1, 1), (0, 1)), "#abcdef")))
    player = pack_player(PlayerSection("P", (PlayerEpisode("e", (Frame(nasty),)),)))
    svg = node("console.log(JSON.stringify(I.layerSvg(data.statics[0][2], data.styles)))", player)
    assert svg.count("<rect") == svg.count("<text") == svg.count("<polygon") == 1
    assert 'fill="var(--p-ice)"' in svg
    assert 'fill="#abcdef"' in svg
    assert "<img" not in svg
    assert "&lt;img" in svg


def test_js_links_lead_back():
    state = {"player": 2, "episode": 3, "frame": 12, "overlays": ["search", "posterior"]}
    back = node("console.log(JSON.stringify(I.parseHash(I.formatHash(data))))", state)
    assert state.items() <= back.items()
    odd = node("console.log(JSON.stringify(I.parseHash('#frame=-3&player=x&episode=0&overlays=')))")
    assert odd == {"overlays": [], "play": False}


def test_js_numbers_scales_and_returns():
    out = node(
        """const box = I.layout([{x: [0, 10], y: [0, 4], low: [0, 3], high: [1, 5]}], {width: 400, height: 200});
        console.log(JSON.stringify({
            format: [0.5, 12345, 2500000, -0.25, 0, 7, null, 0.00001].map((v) => I.format(v)),
            ticks: I.ticks(0, 97), tiny: I.ticks(3, 3), log: I.logTicks(0.05, 60),
            nearest: [-5, 4, 6, 99].map((x) => I.nearest([0, 5, 10], x)),
            back: box.back(box.sx(7)), inside: [box.sy(5), box.sy(0)],
            line: I.linePath({x: [0, 5, 10], y: [1, null, 2]}, box),
            total: [0, 2, 3].map((t) => I.returnBefore([1, 2, null], t)),
            order: I.colorOrder([[0.1, 0.9], null], 2),
            ghosts: I.ghostOpacities([[1, 2], [1, 3]]),
        }))"""
    )
    assert out["format"] == ["0.5", "12\u202f345", "2\u202f500\u202f000", "−0.25", "0", "7", "–", "1.0e−5"]
    assert out["ticks"] == [0, 20, 40, 60, 80]
    assert out["tiny"] == [3]
    assert out["log"] == [0.1, 1, 10]
    assert out["nearest"] == [0, 1, 1, 2]
    assert out["back"] == pytest.approx(7)
    assert 0 <= out["inside"][0] < out["inside"][1] <= 200
    assert out["line"].count("M") == 2  # a gap lifts the pen
    assert out["total"] == [0, 3, 3]
    assert out["order"] == [0, 1]
    ghosts = dict(map(tuple, out["ghosts"]))
    assert 0 < ghosts[2] == ghosts[3] < ghosts[1] < 1  # shared by both futures, and sooner: more solid
