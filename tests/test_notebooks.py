"""What users do in notebooks: cells run again, results shown, progress; in IPython and in a kernel of Jupyter."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import inscape
from inscape import evaluate, html, observe, plan, rollout, train
from inscape.experiments import report_for_runs
from inscape.experiments.runs import progress
from inscape.world_models import TabularModel

IMPORTS = """
import numpy as np
from typing import NamedTuple
import inscape
from inscape import World, evaluate, observe, plan, solve, train
"""

WALK = """
class State(NamedTuple):
    x: int

class Walk(World):
    State = State
    actions = ("left", "right")
    max_episode_steps = 6

    @staticmethod
    def initial(params, branch):
        return 1.0, State(3)

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, State(min(max(state.x + (STEP if action == 1 else -STEP), 0), 6))

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return WORTH if next_state.x == 6 else 0.0

    @staticmethod
    def terminal(params, purpose, state):
        return state.x == 6

    @staticmethod
    def observation(params, state):
        return state.x

    @staticmethod
    def observations(params):
        return 7
"""
CONSTANTS = "STEP, WORTH = 1, 1.0\n"


class Cells:
    """Runs cells in IPython's own shell, in this process."""

    def __init__(self) -> None:
        shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell
        shell.clear_instance()
        self.shell = shell.instance()
        self.run(IMPORTS, CONSTANTS, WALK)

    def run(self, *cells: str) -> Any:
        """Runs cells; returns what the last one's last line gave."""
        result = None
        for cell in cells:
            result = self.shell.run_cell(textwrap.dedent(cell))
            result.raise_error()
        return None if result is None else result.result


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("IPython")
    made = Cells()
    yield made
    made.shell.reset(new_session=False)
    type(made.shell).clear_instance()


RIGHT = "(lambda o: 1)"
CHANGES: dict[str, tuple[str, str, Any]] = {
    "a constant": ("STEP = 3", f"evaluate({RIGHT}, Walk(), 2).lengths.tolist()", [1, 1]),
    "a constant of the reward": ("WORTH = 5.0", f"evaluate({RIGHT}, Walk(), 2).returns.tolist()", [5.0, 5.0]),
    "the class": (
        WALK.replace("6, 6", "6").replace("State(3)", "State(5)"),
        f"evaluate({RIGHT}, Walk(), 2).lengths.tolist()",
        [1, 1],
    ),
    "the class's reward": (
        WALK.replace("WORTH if", "7.0 if"),
        f"evaluate({RIGHT}, Walk, 2).returns.tolist()",
        [7.0, 7.0],
    ),
    "a method assigned": (
        "Walk.reward = staticmethod(lambda params, purpose, state, action, next_state: 2.0)",
        f"evaluate({RIGHT}, Walk(), 1).mean",
        6.0,
    ),
    "its time limit": ("Walk.max_episode_steps = 2", f"evaluate({RIGHT}, Walk(), 2).lengths.tolist()", [2, 2]),
    "a helper": (
        "def moved(x):\n    return x + 3\n",
        f"evaluate({RIGHT}, Helped(), 2).lengths.tolist()",
        [1, 1],
    ),
    "a plan": ("WORTH = 9.0", "round(plan(Walk(), State(5), num_simulations=50).value, 6)", 9.0),
    "a solution": ("WORTH = 4.0", "float(solve(Walk(), 1.0).values.max())", 4.0),
    "a run": (
        "WORTH = 3.0",
        "max(row.get('evaluation/return_mean', 0) for row in "
        "train('q-learning', Walk(), 4000, verbose=False, evaluate_episodes=3).metrics())",
        3.0,
    ),
    "an agent": (
        "class Mine:\n    def act(self, o): return np.ones(len(o), int)\n",
        "evaluate(Mine(), Walk(), 2).mean",
        1.0,
    ),
    "an array": ("STEP = int(np.array([3])[0])", f"evaluate({RIGHT}, Walk(), 2).lengths.tolist()", [1, 1]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_cell_run_again_takes_effect(cells: Cells, name: str) -> None:
    change, ask, wanted = CHANGES[name]
    cells.run(
        "def moved(x):\n    return x + 1\n"
        "class Helped(Walk):\n"
        "    @staticmethod\n"
        "    def transition(params, state, action, branch):\n"
        "        return 1.0, State(min(moved(state.x), 6))\n"
        "class Mine:\n    def act(self, o): return np.zeros(len(o), int)\n"
    )
    assert cells.run(ask) != wanted
    assert cells.run(change, ask) == wanted


def test_a_state_of_the_class_before_is_one_of_the_class_now(cells: Cells) -> None:
    cells.run("old = State(5)", WALK)
    assert cells.run("plan(Walk(), old, num_simulations=50).action_name") == "right"


def test_what_a_cell_shows_is_html(cells: Cells) -> None:
    shown = cells.run("plan(Walk(), num_simulations=20)")
    formatted, _ = cells.shell.display_formatter.format(shown)
    assert "<table" in formatted["text/html"]
    assert "Plan(" in formatted["text/plain"]


def test_an_error_in_a_cell_names_what_was_given(cells: Cells) -> None:
    with pytest.raises(inscape.UsageError, match="as a world"):
        cells.run("train('ppo', State(3), 100)")


# ------------------------------------------------------------------------------------------------ a kernel


@pytest.mark.slow
def test_a_notebook_runs_in_a_kernel_of_jupyter(tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    sources = [
        IMPORTS,
        CONSTANTS,
        WALK,
        "run = train('q-learning', Walk, 20_000, evaluate_every=0)\nrun",
        "evaluate(run)",
        "STEP = 3\nevaluate(lambda o: 1, Walk(), 2).lengths.tolist()",
        "observe('value-iteration', 'FourGoals')",
        *CELLS,
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [cell["outputs"] for cell in notebook["cells"]]
    assert not [output for cell in outputs for output in cell if output["output_type"] == "error"]
    assert "q-learning in Walk" in json.dumps(outputs[3])
    shown = [output for output in outputs[3] if output["output_type"] == "display_data"]
    assert len(shown) <= 1, "one bar, redrawn in place"
    assert "[1, 1]" in json.dumps(outputs[5])
    assert "polyline" in outputs[6][-1]["data"]["text/html"]
    for made in outputs[-2:]:
        assert made[-1]["data"]["text/html"].count("<iframe") == 1
    assert list(tmp_path.iterdir()) == []


CELLS = (
    "from inscape import make_world, rollout\nfrom inscape.experiments import Curve, CurvesSection, cell, show",
    "cell(CurvesSection('Learning', (Curve('mine', steps=[0, 100], mean=[0.1, 0.8]),)))",
    "show(rollout('random', make_world('FourGoals'), 2, seed=0))",
)
"""A chart and a player as cells."""


@pytest.mark.slow
def test_a_notebook_runs_in_a_kernel_of_marimo(tmp_path: Path) -> None:
    """`marimo export` runs the cells, in the order of their names, as its editor does."""
    pytest.importorskip("marimo")
    names = "make_world, rollout, Curve, CurvesSection, cell, show"
    bodies = [
        (f"{CELLS[0]}\nfrom inscape import train", f"return {names}, train", ""),
        ("run = train('q-learning', 'FrozenLake', 4000, verbose=False)\nrun", "return (run,)", "train"),
        (CELLS[1], "return", "Curve, CurvesSection, cell"),
        (CELLS[2], "return", "make_world, rollout, show"),
    ]
    cells = [f"@app.cell\ndef _({given}):\n" + textwrap.indent(f"{body}\n{end}", "    ") for body, end, given in bodies]
    (tmp_path / "nb.py").write_text("\n\n".join(["import marimo\n\napp = marimo.App()", *cells]))
    command = [sys.executable, "-m", "marimo", "export", "html", "nb.py", "-o", "nb.html", "--no-include-code"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "nb.html").read_text()
    assert "q-learning in FrozenLake" in page
    assert page.count("srcdoc") == 2
    assert "Traceback" not in page


# ------------------------------------------------------------------------------------------------ progress


class Clock:
    """A time that goes on by a twentieth of a second whenever it is asked."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 0.05
        return self.now


def test_a_notebook_shows_one_bar_that_is_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    display = pytest.importorskip("IPython.display")
    looks: list[Any] = []

    class Handle:
        def update(self, shown: Any) -> None:
            looks.append(shown)

    made = []
    monkeypatch.setattr(display, "display", lambda shown, display_id: made.append(shown) or Handle())
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(progress, "time", Clock())
    with progress.Progress("ppo in <b>Walk</b>", 1000) as bar:
        for done in range(0, 1000, 10):
            bar.update(done, "return 3")
    assert len(made) == 1
    assert 2 <= len(looks) <= 60
    assert "&lt;b&gt;Walk" in looks[-1]._repr_html_()
    assert "990 of 1,000" in repr(looks[-1])
    assert "return 3" in repr(looks[-1])


def test_output_that_is_no_terminal_gets_few_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "time", Clock())
    with progress.Progress("ppo in Walk", 1000) as bar:
        for done in range(1000):
            bar.update(done)
    assert len(capsys.readouterr().err.splitlines()) <= 3 * 1000 * 0.05 / progress.LINE_EVERY + 1


def test_nothing_is_printed_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "time", Clock())
    train("q-learning", "FrozenLake", 2000, verbose=False, report_every=10, evaluate_every=0)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_process_without_ipython_is_no_notebook() -> None:
    assert not progress.in_notebook()


# ------------------------------------------------------------------------------------------------ what is shown


class WellFormed(HTMLParser):
    """Reads HTML; notes what is open, and refuses scripts and anything from elsewhere."""

    VOID = frozenset({"img", "rect", "polyline", "line", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "style", "b", "i", "object", "embed"), tag
        for name, value in attributes:
            assert not name.startswith("on"), name
            assert not (name in ("src", "href") and not str(value).startswith("data:image/png;base64,")), value
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(shown: str) -> str:
    """Returns the text of HTML, which is checked."""
    reader = WellFormed()
    reader.feed(shown)
    reader.close()
    assert reader.open == []
    return reader.text


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def everything_shown() -> dict[str, Any]:
    world = inscape.make_world("FourGoals")
    run = train("q-learning", "FrozenLake", 2000, verbose=False, evaluate_episodes=2)
    return {
        "run": run,
        "evaluation": evaluate(run, episodes=3),
        "players": evaluate("random", "TicTacToe", 3),
        "plan": plan("FrozenLake", num_simulations=30),
        "plans": plan(world, [world.State(cell=1), world.State(cell=2)], num_simulations=10),
        "posterior": observe("value-iteration", world)[0],
        "posteriors": observe("random", world, episodes=2),
        "world": world,
        "world of players": inscape.make_world("ConnectFour"),
        "continuous world": inscape.make_world("Pendulum"),
        "table": TabularModel.from_world(world),
        "trajectory": rollout("random", "FrozenLake", 1, seed=0)[0],
    }


def test_results_show_themselves_in_html_and_in_text() -> None:
    for name, shown in everything_shown().items():
        text = read(shown._repr_html_())
        assert len(text) > 20, name
        assert len(shown._repr_html_()) < 40_000, name
        assert len(repr(shown)) < 600, name
        assert "array(" not in repr(shown), name
        assert not re.search(r"color:\s*#|background:\s*(#|white|black)", shown._repr_html_()), "the page's own colours"


def test_nothing_stored_or_named_reaches_a_page_unescaped() -> None:
    run = train("q-learning", "FrozenLake", 500, verbose=False, evaluate_every=0)
    run.settings = replace(run.settings, agent=HOSTILE, task={"name": HOSTILE, "settings": {}})
    found = replace(evaluate("random", "FrozenLake", 2), agent=HOSTILE, world=HOSTILE)
    planned = replace(plan("FrozenLake", num_simulations=10), action_names=(HOSTILE,) * 4)
    world = inscape.make_world("FourGoals")
    world.title = HOSTILE
    posterior = observe("random", "FourGoals")[0]
    posterior = replace(posterior, world=HOSTILE, goals={HOSTILE: posterior.goals["A"]}, minds=(Hostile(),) * 12)
    recorded = replace(rollout("random", "FrozenLake", 1, seed=0)[0], agent=HOSTILE, task={"name": HOSTILE})
    table = replace(TabularModel.from_world(inscape.make_world("FrozenLake")), name=HOSTILE)
    for shown in (run, found, planned, world, posterior, recorded, table, progress._Shown(HOSTILE, 0.5)):
        assert "alert(1)" in read(shown._repr_html_())


class Hostile:
    """A mind with a name."""

    name = HOSTILE

    def controller(self, world: Any, player: int = 0) -> Any:
        raise AssertionError("it is not asked")


def test_a_world_whose_drawing_raises_is_shown_without_it() -> None:
    world = inscape.make_world("FourGoals")

    class Undrawn(type(world)):  # type: ignore[misc]
        @staticmethod
        def draw(params: Any, purpose: Any, state: Any) -> Any:
            raise RuntimeError("no <pen>")

    assert "no picture: RuntimeError: no <pen>" in read(Undrawn()._repr_html_())


def test_a_report_is_shown_within_a_frame_of_its_own(tmp_path: Path) -> None:
    run = train("q-learning", "FrozenLake", 500, verbose=False, evaluate_every=0, out=tmp_path / "run")
    report = report_for_runs([run], tmp_path / "report.html")
    assert report == tmp_path / "report.html"
    shown = report._repr_html_()
    assert shown.count("<iframe") == 1
    assert 'sandbox="allow-scripts"' in shown
    assert "<script" not in shown
    report.unlink()
    assert "is gone" in report._repr_html_()


def test_numbers_are_short_and_signs_are_minus_signs() -> None:
    assert html.number(-1234.56789) == "−1235"
    assert html.number(float("nan")) == html.number(float("inf")) == "–"
    assert html.number(-0.0) == "0"
    assert html.curve([1], [1]) == html.curve([], []) == ""
    assert "polyline" in html.curve([0, 1], [3.0, 3.0])
    assert html.curve([0, 1], [float("nan"), 1.0]) == ""
    assert "… 60 more" in read(html.table(["n"], [[k] for k in range(100)]))
    assert read(html.bar(float("nan"))) == ""
