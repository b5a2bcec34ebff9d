"""The examples, through the commands a reader would type."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import Any, cast

import pytest

from inscape.agents.presets import PRESETS
from inscape.agents.registry import make_agent
from inscape.envs.loading import load_file
from inscape.envs.registry import make_world
from inscape.envs.tasks.resolve import resolve_task
from inscape.experiments.arguments import parsing as arguments
from inscape.experiments.arguments.train import TrainArguments
from inscape.experiments.cli import main
from inscape.experiments.runs.checkpoints import load_checkpoint, save_checkpoint
from tests.conftest import EXAMPLES

GUIDE = (EXAMPLES.parent / "docs" / "agents.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
TRAINING = sorted(set(re.findall(r"^(?:torchrun .* -m )?inscape train (?!--resume)(.*)$", GUIDE, re.MULTILINE)))

CLIMBER = f"{EXAMPLES / 'hill_climber.py'}:HillClimber"
AGENT, BALANCE = f"{EXAMPLES / 'my_agent.py'}:MyAgent", f"{EXAMPLES / 'balance.py'}:Balance"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lines_to_write(source: str) -> int:
    """Returns how many lines hold code: none that is blank, a comment, or part of a docstring."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            docstrings.update(range(node.body[0].lineno, cast(int, node.body[0].end_lineno) + 1))
    lines = enumerate(source.splitlines(), 1)
    return sum(bool(line.strip()) and not line.strip().startswith("#") and n not in docstrings for n, line in lines)


def part(source: str, *names: str) -> str:
    """Returns the imports of a program and these of its classes and functions."""
    body = ast.parse(source).body
    kept = [
        node for node in body if isinstance(node, ast.Import | ast.ImportFrom) or getattr(node, "name", "") in names
    ]
    return "\n".join("\n".join(source.splitlines()[n.lineno - 1 : n.end_lineno]) for n in kept)


def test_lines_are_counted_without_comments_docstrings_and_blank_ones() -> None:
    source = '"""What it is.\n\nMore.\n"""\nimport ast  # why\n\n# a comment\n'
    source += 'def f(x):\n    """Doc."""\n    return """a\nb"""\n'
    assert lines_to_write(source) == 4
    assert lines_to_write(part(source, "f")) == 4
    assert lines_to_write(part(source)) == 1


@pytest.mark.parametrize(
    ("name", "parts", "most"),
    [
        ("my_agent.py", (), 9),
        ("elevator.py", (), 32),
        ("small_tiger.py", ("State", "SmallTiger"), 26),  # the problem; without what is asked about it
    ],
)
def test_they_are_as_short_as_promised(name: str, parts: tuple[str, ...], most: int) -> None:
    source = (EXAMPLES / name).read_text()
    assert lines_to_write(part(source, *parts) if parts else source) <= most


def test_a_tiger_is_heard(capsys: pytest.CaptureFixture[str]) -> None:
    """P(left | heard left) is 0.85; twice, 0.85² / (0.85² + 0.15²)."""
    tiger = load_file(str(EXAMPLES / "small_tiger.py"), "example")
    assert tiger.belief_after(0) == pytest.approx([0.85, 0.15], abs=1e-12)
    assert tiger.belief_after(1) == pytest.approx([0.15, 0.85], abs=1e-12)
    assert tiger.belief_after(0, 0)[0] == pytest.approx(0.7225 / 0.745, abs=1e-12)
    assert tiger.belief_after(0, 1) == pytest.approx([0.5, 0.5], abs=1e-12)
    world = tiger.SmallTiger()
    shipped, own = make_world("Tiger").dynamics(), world.dynamics()
    assert own.next_state.shape[:2] == shipped.next_state.shape[:2] == (6, 3)
    assert main(["check", f"{EXAMPLES / 'small_tiger.py'}:SmallTiger"]) == 0
    assert "FAIL" not in capsys.readouterr().out


def test_an_agent_of_ones_own_is_checked_evaluated_watched_and_observed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", AGENT]) == 0
    assert main(["evaluate", AGENT, "FourGoals", "--world.goal", "D", "--episodes", "20"]) == 0
    assert "regret" in capsys.readouterr().out
    assert main(["watch", AGENT, "FourGoals", "--save", "episode.gif"]) == 0
    assert Path("episode.gif").read_bytes()[:3] == b"GIF"
    assert main(["observe", AGENT, "FourGoals", "--world.goal", "D", "--episodes", "1"]) == 0
    assert "most probable mind: D" in capsys.readouterr().out


def test_an_agent_balances_the_pole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", BALANCE, "CartPole", "--episodes", "10"]) == 0
    assert "mean return 500" in capsys.readouterr().out
    assert main(["check", BALANCE, "CartPole"]) == 0


def test_a_world_of_ones_own_is_trained_in_planned_in_and_observed(
    elevator_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", elevator_file]) == 0
    assert main(["train", "q-learning", elevator_file, "--steps", "200000", "--out", "run"]) == 0
    assert main(["plan", elevator_file, "--simulations", "2000"]) == 0
    assert "Optimum, by value iteration" in capsys.readouterr().out
    assert main(["observe", "run", "--goals", "fair,floor 3", "--beta", "5", "--episodes", "1"]) == 0
    assert "bits each" in capsys.readouterr().out
    assert main(["watch", "run", "--save", "lift.mp4"]) == 0
    assert main(["report", "run", "--out", "report.html"]) == 0
    assert Path("report.html").stat().st_size > 10_000


def test_a_learner_of_ones_own_is_trained_and_resumed_exactly(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", CLIMBER, "CartPole"]) == 0
    assert main(["train", CLIMBER, "CartPole", "--steps", "60000", "--evaluate-every", "0", "--out", "run"]) == 0
    assert float(re.findall(r"mean return ([\d.]+)", capsys.readouterr().out)[0]) > 300
    assert main(["evaluate", "run", "--episodes", "5"]) == 0

    task = resolve_task("CartPole")
    first, second = (cast(Any, make_agent(CLIMBER, task, seed=seed)) for seed in (1, 2))
    *_, _ = first.learn(task, 2_000)
    state, _ = load_checkpoint(save_checkpoint(Path("state"), first.state_dict()))
    second.load_state_dict(state)
    total = first.state_dict()["steps"] + 10_000
    for agent in (first, second):
        assert len(list(agent.learn(task, total))) > 1
    assert first.state_dict()["weights"].tolist() == second.state_dict()["weights"].tolist()
    assert first.state_dict()["steps"] == second.state_dict()["steps"]


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_what_the_guide_says_in_python_runs(program: str) -> None:
    exec(compile(program, "docs/agents.md", "exec"), {})


@pytest.mark.parametrize("line", TRAINING)
def test_what_the_guide_trains_can_be_trained(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option of every line is one of that agent and world; nothing is trained."""
    monkeypatch.chdir(EXAMPLES.parent)
    words = shlex.split(line)
    if "--help" not in words:
        groups = arguments.settings_groups(TrainArguments, words[0], resolve_task(words[1]))
        arguments.parse("train", TrainArguments, words, groups)


def test_the_guide_names_every_preset() -> None:
    table = [[cell.strip() for cell in line.split("|")] for line in GUIDE.splitlines() if line.startswith("| `")]
    told = {row[1].split("`")[1]: row[7] for row in table if len(row) == 9}
    told |= dict(re.findall(r"`(sb3:\w+)`: ([^;]*)", told["sb3:NAME"]))
    for agent, presets in PRESETS.items():
        assert {name.strip() for name in told[agent].split(",")} == set(presets), agent
