"""The main job: the whole platform once, in under three minutes on two cores.

CartPole by two PPOs; slippery FrozenLake 8×8 by everything that can act, each with its regret against the exact
optimum; and an observer that watches agents head for goals it does not know. Ends with one self-contained report.
"""

from __future__ import annotations

import concurrent.futures
import json
import math
import multiprocessing
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from inscape.errors import UsageError
from inscape.experiments.demo.jobs import Job, Outcome, run_job
from inscape.experiments.report import (
    Curve,
    CurvesSection,
    Label,
    PlayerSection,
    Section,
    TableSection,
    TextSection,
    write_report,
)
from inscape.experiments.report.sections import Cell
from inscape.experiments.runs.folders import open_run

LAKE, GOALS = "FrozenLake8x8", "FourGoals"
SOLVED = 475.0
"""CartPole counts as solved at this mean return over 100 episodes."""

_SEARCH = {"model": "known", "num_simulations": 2000}
_LEARNED = {"model": "tabular", "num_simulations": 2000}

# The longest first, so that two workers end together.
JOBS: tuple[Job, ...] = (
    Job("lake-llm", "lake", "language model, after RL", "llm", LAKE, 1_000_000),
    Job("goals-llm", "goals", "language model", "llm", GOALS, 200_000, world_settings={"goal": "A"}),
    Job("lake-sb3-ppo", "lake", "sb3:ppo", "sb3:ppo", LAKE, 800_000),
    Job("goals-sb3-ppo", "goals", "sb3:ppo", "sb3:ppo", GOALS, 100_000, world_settings={"goal": "B"}),
    Job("cartpole-sb3-ppo", "cartpole", "sb3:ppo", "sb3:ppo", "CartPole", 100_000, episodes=100),
    Job("cartpole-ppo", "cartpole", "ppo", "ppo", "CartPole", 50_000, episodes=100),
    Job("lake-mcts-learned", "lake", "mcts, learned model", "mcts", LAKE, 60_000, _LEARNED),
    Job("goals-mcts-learned", "goals", "mcts, learned model", "mcts", GOALS, 10_000, _LEARNED, {"goal": "D"}),
    Job("lake-q-learning", "lake", "q-learning", "q-learning", LAKE, 4_000_000),
    Job("goals-q-learning", "goals", "q-learning", "q-learning", GOALS, 1_000_000, world_settings={"goal": "A"}),
    Job("lake-mcts", "lake", "mcts, known law", "mcts", LAKE, 0, _SEARCH),
    Job("goals-mcts", "goals", "mcts, known law", "mcts", GOALS, 0, _SEARCH, {"goal": "C"}),
)  # fmt: skip

NEXT = (
    "inscape plan FrozenLake8x8 --simulations 10000",
    "inscape observe {out}/goals-q-learning --goals A,B,C,D --beta 2,8,25",
    "inscape train ppo CartPole --seed 1 && inscape watch runs/CartPole-ppo-seed1 --save episode.mp4",
)


def run_demo(out: str | Path = "runs/demo", seed: int = 0, jobs: Sequence[Job] = JOBS, workers: int = 2) -> Path:
    """Runs the demo and returns the path of its report.

    Args:
        out: folder of its runs and of `report.html`; runs of an earlier demo there are replaced.
        seed: seed of every job.
        jobs: what to do; all of it by default.
        workers: processes side by side.

    Raises:
        UsageError: the folder cannot be written, or holds something that is not a demo's.
    """
    folder, console, start = Path(out), Console(), time.monotonic()
    _make_room(folder, jobs)
    outcomes = _run_all(jobs, folder, seed, workers, console)
    sections = _sections(outcomes, folder)
    path = write_report(
        sections,
        folder / "report.html",
        title="Inscape: one law, many readers",
        summary="Worlds written once, read by environments, searches, exact solvers, observers and a language model.",
        commands=["make demo"],
    )
    for section in sections:
        if isinstance(section, TableSection):
            console.print(_terminal_table(section))
    console.print(f"Done in {time.monotonic() - start:.0f} s. The report: [bold]{path}[/bold]")
    console.print("Try next:")
    for command in NEXT:
        console.print(f"  {command.format(out=folder)}", highlight=False, soft_wrap=True)
    return path


# ------------------------------------------------------------------------------------------------------------ running


def _make_room(folder: Path, jobs: Sequence[Job]) -> None:
    """Removes the runs of an earlier demo: folders with the names of the demo's jobs that hold a run."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for job in jobs:
            if (folder / job.key / "settings.json").is_file():
                shutil.rmtree(folder / job.key)
    except OSError as error:
        raise UsageError(
            f"the demo cannot write to {folder}: {error.strerror}",
            expected="a folder it may write to",
            hint="--out DIR",
        ) from error


def _run_all(jobs: Sequence[Job], folder: Path, seed: int, workers: int, console: Console) -> list[Outcome]:
    columns = (
        TextColumn("{task.description:22s}"), BarColumn(bar_width=30), TextColumn("{task.fields[state]:28s}"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    context = multiprocessing.get_context("spawn")
    with (
        Progress(*columns, console=console) as bars,
        concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool,
    ):
        shown = {job.key: bars.add_task(job.key, total=max(1, job.steps), state="waiting", start=False) for job in jobs}
        whole = bars.add_task("[bold]demo", total=len(jobs), state="")
        pending = {pool.submit(run_job, job, folder, seed): job for job in jobs}
        finished: dict[str, Outcome] = {}
        try:
            while len(finished) < len(jobs):
                concurrent.futures.wait(pending, timeout=0.5, return_when=concurrent.futures.FIRST_COMPLETED)
                for future, job in list(pending.items()):
                    if future.done():
                        finished[job.key] = future.result()
                        del pending[future]
                        _show_done(bars, shown[job.key], finished[job.key])
                        bars.advance(whole)
                    elif future.running():
                        _show_steps(bars, shown[job.key], job, folder)
        except BaseException:
            # nothing of a half demo is worth waiting for: let go of what has not begun, end what has
            for future in pending:
                future.cancel()
            for process in list((pool._processes or {}).values()):
                process.terminate()
            raise
    return [finished[job.key] for job in jobs]


def _show_done(bars: Progress, bar: TaskID, outcome: Outcome) -> None:
    bars.start_task(bar)
    bars.update(bar, completed=max(1, outcome.job.steps), state=f"return {outcome.returns.estimate:.4g}")
    bars.stop_task(bar)


def _show_steps(bars: Progress, bar: TaskID, job: Job, folder: Path) -> None:
    bars.start_task(bar)
    steps = _last_steps(folder / job.key / "metrics.jsonl")
    if job.steps and steps >= job.steps:
        state = "evaluating"
    else:
        state = f"{steps:,} of {job.steps:,} steps" if job.steps and steps else "working"
    bars.update(bar, completed=min(steps, job.steps), state=state)


def _last_steps(path: Path) -> int:
    """Returns the steps of the last whole row of a metrics file that another process is writing."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        rows = file.read().split(b"\n")[:-1]
    for row in reversed(rows):
        try:
            return int(json.loads(row)["steps"])
        except (json.JSONDecodeError, KeyError):
            continue  # the tail may begin in the middle of a row
    return 0


# ------------------------------------------------------------------------------------------------------------ telling


def _sections(outcomes: Sequence[Outcome], folder: Path) -> list[Section]:
    parts: dict[str, list[Outcome]] = {"cartpole": [], "lake": [], "goals": []}
    for outcome in outcomes:
        parts[outcome.job.part].append(outcome)
    sections: list[Section] = []
    if cartpole := sorted(parts["cartpole"], key=lambda o: o.job.key):
        sections += _cartpole(cartpole, folder)
    if lake := parts["lake"]:
        sections += _lake(lake)
    if goals := parts["goals"]:
        sections += _goals(goals)
    sections.append(TextSection("Try next", commands=tuple(command.format(out=folder) for command in NEXT)))
    return sections


TIMES = ("training, s", "compiling, s")
OF_TIMES = "Compiling is done once on a machine: at the next start it takes no time."


def _cartpole(outcomes: Sequence[Outcome], folder: Path) -> list[Section]:
    rows = tuple(
        (Label(o.job.label, number), o.returns, "yes" if o.returns.estimate >= SOLVED else "no", o.steps, *_times(o))
        for number, o in enumerate(outcomes)
    )
    episodes = [replace(episode, color=number) for number, o in enumerate(outcomes) for episode in o.episodes]
    return [
        TableSection(
            "CartPole: two PPOs",
            ("agent", "mean return", f"solved (≥ {SOLVED:g})", "training steps", *TIMES),
            rows,
            "Mean return of 100 evaluation episodes with its 95 % bootstrap interval; 500 is the most there is. "
            + OF_TIMES,
        ),
        CurvesSection(
            "CartPole: learning",
            tuple(
                replace(curve, color=number)
                for number, o in enumerate(outcomes)
                if (curve := _learning_curve(o, folder)) is not None
            ),
            "evaluation return",
            (("solved", SOLVED),),
        ),
        PlayerSection("CartPole: an episode of each", tuple(episodes), fps=30, side_by_side=True),
    ]


def _learning_curve(outcome: Outcome, folder: Path) -> Curve | None:
    rows = [r for r in open_run(folder / outcome.job.key).metrics() if "evaluation/return_mean" in r]
    if not rows:
        return None
    return Curve(
        outcome.job.label,
        [r["steps"] for r in rows],
        [r["evaluation/return_mean"] for r in rows],
        [r["evaluation/return_low"] for r in rows],
        [r["evaluation/return_high"] for r in rows],
        [max(0.0, r["seconds"] - outcome.compiling) for r in rows],  # what is compiled is compiled first
    )


def _times(outcome: Outcome) -> tuple[float, float]:
    """Returns the cells under `TIMES`."""
    return round(outcome.seconds, 1), round(outcome.compiling, 1)


def _lake(outcomes: Sequence[Outcome]) -> list[Section]:
    rows: list[tuple[Any, ...]] = []
    for o in outcomes:
        assert o.exact is not None
        if o.exact_before is not None:
            cloned = o.exact_before.value, o.exact_before.regret
            rows.append((o.job.label.replace("after", "before"), *cloned, None, 0, None, None))
        rows.append((o.job.label, o.exact.value, o.exact.regret, o.returns, o.steps, *_times(o)))
    exact = outcomes[0].exact
    assert exact is not None
    rows = [tuple(_short(cell) for cell in row) for row in sorted(rows, key=lambda row: row[2])]
    return [
        TableSection(
            "Slippery FrozenLake 8×8: all agents against the exact optimum",
            ("agent", "exact value", "regret", "reached the goal", "training steps", *TIMES),
            tuple(rows),
            f"Value of each policy at the start by exact evaluation of the law (γ = {exact.gamma:g}); regret is its "
            f"distance to the optimum {exact.optimum:.5f} (value iteration, certified to {exact.error_bound:.1g}). "
            f"Reached the goal: fraction of {outcomes[0].job.episodes} episodes of at most 200 steps. {OF_TIMES}",
        ),
        PlayerSection(
            "FrozenLake: an episode of each",
            tuple(e for o in outcomes for e in o.episodes),
            "Turn on what the search visited, and the futures the agent would imagine.",
        ),
    ]


def _short(cell: Any) -> Any:
    """Rounds a number to what a reader needs: five digits after the point; a regret of rounding size is 0."""
    return round(cell, 5) + 0.0 if isinstance(cell, float) and math.isfinite(cell) else cell


def _goals(outcomes: Sequence[Outcome]) -> list[Section]:
    rows, curves = [], []
    for o in outcomes:
        assert o.inference is not None
        assert o.exact is not None
        i = o.inference
        rows.append(
            (o.job.label, i.goal, _short(i.probability), f"{i.decided_at:.0%}", _short(i.bits), _short(i.uniform_bits),
             _short(o.exact.regret))
        )  # fmt: skip
        path = i.curves[i.goal]
        curves.append(Curve(f"{o.job.label} ({i.goal})", list(range(len(path))), list(path)))
    return [
        TableSection(
            "Four goals: what an observer makes of each agent",
            ("agent", "its goal", "P(goal) at the end", "sure after", "bits per action", "knowing nothing", "regret"),
            tuple(rows),
            "The observer does not know the goal. It holds a mind for each goal and rationality, plans as each would, "
            "and weighs them by the actions it sees. Bits: −log₂ of the probability it gave each action beforehand.",
        ),
        CurvesSection(
            "Four goals: probability of the true goal as the agent moves",
            tuple(curves),
            "posterior of the true goal",
            (("guessing", 0.25),),
        ),
        PlayerSection(
            "Four goals: watch the observer",
            tuple(e for o in outcomes for e in o.episodes),
            "The bars are the observer's posterior before each move; the rings lie on the goals it considers.",
        ),
    ]


def _terminal_table(section: TableSection) -> Table:
    table = Table(title=section.title, title_justify="left")
    for number, column in enumerate(section.columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in section.rows:
        table.add_row(*(_terminal_cell(cell) for cell in row))
    return table


def _terminal_cell(cell: Cell) -> str:
    if isinstance(cell, Label):
        return cell.text
    return "" if cell is None else f"{cell:,}" if isinstance(cell, int) else str(cell)
