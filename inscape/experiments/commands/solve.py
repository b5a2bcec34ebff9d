"""`inscape solve`: the exact values and actions of a world, with their certificate."""

from __future__ import annotations

import csv
import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from rich.console import Console
from rich.markup import escape
from tyro.conf import Positional, arg

from inscape.errors import MissingLawError, UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console, make_table, number, print_table, say_how_to_watch
from inscape.experiments.commands.value_text import best_actions, text_map

if TYPE_CHECKING:
    from inscape.envs.law.states import States
    from inscape.envs.world import World


@dataclass(frozen=True)
class SolveArguments:
    """Solves a world exactly: values and optimal actions, drawn on the map where it has one, and their error bound.

    Examples:
      inscape solve FrozenLake8x8
      inscape solve CliffWalking --gamma 1
      inscape solve FrozenLake --horizon 20
      inscape solve examples/elevator.py:Elevator --method policy-iteration
      inscape solve RiverSwim --criterion average
      inscape solve DecTiger --horizon 3
      inscape solve Taxi --save taxi.csv
      inscape solve FrozenLake8x8 --report lake.html
      inscape solve Tiger --horizon 10
      inscape solve examples/tiger.pomdp --seconds 60
    """

    task: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world: its law must be enumerable, with one player."""

    gamma: Annotated[float | None, arg(metavar="FLOAT")] = None
    """Discount; 1: total reward; without it, the one that the world states; else 0.99, with --horizon 1."""

    horizon: Annotated[int | None, arg(metavar="STEPS")] = None
    """A fixed number of steps: values and actions for each number of steps to go."""

    criterion: Literal["discounted", "total", "average"] | None = None
    """What counts: discounted reward, total reward (γ = 1), or average reward per step; without it, as --gamma says."""

    method: Literal["value-iteration", "policy-iteration", "prioritized-sweeping", "linear-programme"] = (
        "value-iteration"
    )
    """How; all give the same values."""

    tolerance: Annotated[float | None, arg(metavar="FLOAT")] = None
    """The error bound to reach, in units of reward; without it 1e-6, and 1e-3 where the state is hidden."""

    full_information: bool = False
    """Where the acting agent cannot determine the state, solve for one who sees it."""

    seconds: float = 30.0
    """Where the state is hidden: stops after this time; the bounds then say how far it got."""

    states: int = 20
    """States listed where there is no map; those an episode starts in come first."""

    save: Annotated[Path | None, arg(metavar="FILE.csv")] = None
    """Writes every state's value, action values and optimal actions (with --horizon: with all steps to go)."""

    report: Annotated[Path | None, arg(metavar="FILE.html")] = None
    """Writes a page: the certificate, values and optimal actions on the world's picture, and a table of states."""


def solve_command(argv: Sequence[str]) -> int:
    """Solves a world."""
    from inscape.envs.compile.compile_time import compile_seconds
    from inscape.envs.tasks.resolve import resolve_task
    from inscape.experiments.runs.evaluation import hides_state
    from inscape.world_models.planning.dynamic_programming import Solution
    from inscape.world_models.planning.finite_horizon import FiniteHorizonSolution
    from inscape.world_models.planning.solve import solve
    from inscape.world_models.tabular.model import TabularModel

    names = args.leading_names(argv, 1, "inscape solve WORLD [options]")
    given = args.parse("solve", SolveArguments, argv, args.world_settings_group(names[0]) if names else None)
    args.require_positive("states", given.states)
    task = resolve_task(given.task, args.changed_world_settings(given))
    if task.world is None:
        raise MissingLawError(
            f"{task.name} has no law to solve",
            expected="a built-in world (inscape list worlds), or a World in a file",
            hint=f"inscape plan {task.name} --model tabular learns a table from random steps",
        )
    world, console = task.world, make_console()
    if given.horizon == 0:
        raise UsageError("--horizon 0", expected="at least 1")
    if world.players == 2 and world.simultaneous and given.horizon is not None:
        return _solve_team(console, given, task)
    hidden = not world.continuous and hides_state(world)
    if hidden and not given.full_information and given.criterion != "average":
        return _solve_beliefs(console, given, task, argv)
    if given.criterion == "average":
        if hidden and not given.full_information:
            raise UsageError(f"--criterion average for {task.name}, which hides its state", hint="--full-information")
        return _solve_average(console, given, task, argv)
    began, compiling = time.perf_counter(), compile_seconds()
    model = TabularModel.from_world(world)
    tabulated = time.perf_counter()
    total = given.criterion == "total"
    gamma = given.gamma if given.gamma is not None else 1.0 if total else world.default_gamma(given.horizon)
    solution = solve(
        model, gamma, horizon=given.horizon, criterion=given.criterion, method=given.method, tolerance=given.tolerance
    )
    assert isinstance(solution, Solution | FiniteHorizonSolution)
    compiling = compile_seconds() - compiling
    solved = time.perf_counter()
    stages = isinstance(solution, FiniteHorizonSolution)
    values = solution.values[0] if stages else solution.values
    q_values = solution.q_values[0] if stages else solution.q_values
    states = world.dynamics().states
    how = f"{given.horizon} steps to go" if stages else given.method
    title = f"{task.name}: {model.num_states:,} states, {model.num_actions} actions, γ = {gamma:g}, {how}"
    drawn = text_map(world, states, values, q_values, model.terminal, model.legal)
    if drawn is not None:
        console.print(f"[bold]{escape(title)}[/bold]", soft_wrap=True)
        console.print(drawn, markup=False, soft_wrap=True)
    else:
        _print_states(console, title, world, states, model, values, q_values, given.states)
    start = float(values @ model.initial)
    console.print(
        f"Value of the start: [bold]{number(start)}[/bold]; every value is certified to ± {solution.error_bound:.1g}"
        if np.isfinite(solution.error_bound)
        else f"Value of the start: [bold]{number(start)}[/bold]; no error bound is certified",
        soft_wrap=True,
    )
    if hidden:
        console.print(
            f"Who acts in {escape(task.name)} sees only what is observed: these are the values of one who sees the "
            "state, and an upper bound on what can be had without.",
            soft_wrap=True,
        )
    several = (best_actions(q_values, model.legal).sum(axis=1) > 1) & ~model.terminal
    if several.any():
        console.print(f"In {int(several.sum()):,} states several actions are optimal.", soft_wrap=True)
    counted = f", {solution.iterations:,} iterations" if isinstance(solution, Solution) else ""
    beside = f"; {compiling:.1f} s of compiling are in these" if compiling > 0.05 else ""
    console.print(f"{_time(tabulated - began)} to tabulate, {_time(solved - tabulated)} to solve{counted}{beside}")
    if given.save is not None:
        _save(given.save, world, states, model, solution, stages)
        console.print(f"Saved in {escape(str(given.save))}", soft_wrap=True)
    if given.report is not None:
        from inscape.experiments.report.solved import write_solve_report

        certificate = [
            ("value of the start", start), ("every value is within", float(solution.error_bound)),
            ("states", model.num_states), ("actions", model.num_actions), ("discount", float(gamma)),
            ("method", "backward induction" if stages else given.method),
            *([("steps to go", given.horizon)] if stages else [("iterations", solution.iterations)]),  # type: ignore[union-attr]
            ("seconds to tabulate", tabulated - began), ("seconds to solve", solved - tabulated),
        ]  # fmt: skip
        written = write_solve_report(
            given.report, world, f"{task.name}, solved", certificate, states, values,
            best_actions(q_values, model.legal), model.terminal, _listed(model, given.states), [_command(argv)],
        )  # fmt: skip
        console.print(f"Report: {escape(str(written))}", soft_wrap=True)
    if not stages and not hidden:
        say_how_to_watch(console, "value-iteration", given.task)
    return 0


def _command(argv: Sequence[str]) -> str:
    return shlex.join(["inscape", "solve", *argv])


def _listed(model: Any, count: int) -> np.ndarray:
    """Returns the numbers of the states that are listed: those an episode starts in first, ends last."""
    return np.lexsort((np.arange(model.num_states), model.terminal, -model.initial))[:count]


def _solve_average(console: Console, given: Any, task: Any, argv: Sequence[str]) -> int:
    """Solves for the reward per step in the long run: gain and bias."""
    from inscape.world_models.planning.solve import solve
    from inscape.world_models.tabular.model import TabularModel

    world, began = task.world, time.perf_counter()
    solution = solve(
        world, given.gamma, criterion="average", horizon=given.horizon, method=given.method,
        tolerance=given.tolerance, full_information=given.full_information,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    model, states = TabularModel.from_world(world), world.dynamics().states
    best = solution.optimal_actions() & model.legal
    q_values = np.where(best, 0.0, -np.inf)
    same = bool(np.ptp(solution.gain) <= 1e-9 * max(1.0, float(np.abs(solution.gain).max())))
    shown = solution.bias if same else solution.gain
    title = (
        f"{task.name}: {model.num_states:,} states, {model.num_actions} actions, average reward, {solution.structure}; "
        f"{'bias' if same else 'gain'} of each state"
    )
    drawn = text_map(world, states, shown, q_values, model.terminal, model.legal)
    if drawn is not None:
        console.print(f"[bold]{escape(title)}[/bold]", soft_wrap=True)
        console.print(drawn, markup=False, soft_wrap=True)
    else:
        _print_states(console, title, world, states, model, shown, q_values, given.states)
    start = float(solution.gain @ model.initial)
    console.print(
        f"Reward per step from the start: [bold]{number(start)}[/bold], certified to ± {solution.error_bound:.1g}"
        + ("; the same from every state" if same else ""),
        soft_wrap=True,
    )
    if model.terminal.any() and not np.abs(solution.gain).any():
        console.print("Episodes end, so nothing is earned in the long run; the bias is the total reward.")
    console.print(f"{_time(seconds)} to tabulate and solve, {solution.iterations:,} policies")
    if given.report is not None:
        from inscape.experiments.report.solved import write_solve_report

        certificate = [
            ("reward per step from the start", start), ("every gain is within", float(solution.error_bound)),
            ("structure", solution.structure), ("states", model.num_states), ("actions", model.num_actions),
            ("seconds to tabulate and solve", seconds),
        ]  # fmt: skip
        written = write_solve_report(
            given.report, world, f"{task.name}, solved for average reward", certificate, states, shown, best,
            model.terminal, _listed(model, given.states), [_command(argv)], "bias" if same else "gain",
        )  # fmt: skip
        console.print(f"Report: {escape(str(written))}", soft_wrap=True)
    if given.save is not None:
        names = [str(world.choice_name(a)) for a in range(model.num_actions)]
        fields = list(world.unpack(states, 0)._asdict())
        rows = [
            [
                *world.unpack(states, s)._asdict().values(), solution.gain[s], solution.bias[s],
                "" if model.terminal[s] else " ".join(names[a] for a in np.flatnonzero(best[s])),
            ]
            for s in range(model.num_states)
        ]  # fmt: skip
        _write_rows(given.save, [*fields, "gain", "bias", "optimal"], rows)
        console.print(f"Saved in {escape(str(given.save))}", soft_wrap=True)
    return 0


def _solve_team(console: Console, given: Any, task: Any) -> int:
    """Solves for the joint plan of two who see different things."""
    from inscape.world_models.planning.games.joint import joint_plan

    if given.save is not None or given.criterion is not None or given.method != "value-iteration":
        raise UsageError(f"--save, --criterion or --method for the team of {task.name}", expected="--horizon, --gamma")
    world, began = task.world, time.perf_counter()
    plan = joint_plan(world, given.horizon, given.gamma)
    seconds = time.perf_counter() - began
    console.print(
        f"[bold]{escape(task.name)}: the best joint plan of two who see different things, {given.horizon} steps[/bold]",
        soft_wrap=True,
    )
    for player in range(2):
        table = make_table("observations so far", "action")
        rows = plan.table(player)
        for history, action in rows[: given.states]:
            table.add_row(escape(", ".join(history)), escape(action))
        print_table(console, str(world.agents[player]), table)
        if len(rows) > given.states:
            console.print(f"[dim]{len(rows) - given.states:,} more histories: --states[/dim]")
    console.print(f"Expected return of each: [bold]{number(plan.value)}[/bold], exact", soft_wrap=True)
    console.print(f"{_time(seconds)} to tabulate and solve")
    return 0


def _write_rows(path: Path, columns: list[str], rows: Iterable[list[Any]]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(rows)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", expected="a file in a folder of yours"
        ) from None


def _solve_beliefs(console: Console, given: Any, task: Any, argv: Sequence[str]) -> int:
    """Solves a world that hides its state: values of beliefs, with both bounds."""
    from inscape.world_models.planning.beliefs.point_based import BeliefSolution
    from inscape.world_models.planning.solve import solve_beliefs

    if given.save is not None:
        raise UsageError("--save for a world that hides its state", expected="--full-information, or no --save")
    world = task.world
    total = given.criterion == "total"
    gamma = given.gamma if given.gamma is not None else 1.0 if total else world.default_gamma(given.horizon)
    began = time.perf_counter()
    if given.method != "value-iteration":
        raise UsageError(f"--method {given.method} for {task.name}, which hides its state", hint="--full-information")
    tolerance = 1e-3 if given.tolerance is None else given.tolerance
    solution = solve_beliefs(world, gamma, horizon=given.horizon, tolerance=tolerance, max_seconds=given.seconds)
    seconds = time.perf_counter() - began
    problem = solution.problem
    console.print(
        f"[bold]{escape(task.name)}: what is seen does not determine the state; values of beliefs over "
        f"{problem.num_classes:,} classes of states, {problem.num_actions} actions, γ = {gamma:g}[/bold]",
        soft_wrap=True,
    )
    table = make_table("first observation", "probability", "value", "best action", numbers=["probability", "value"])
    starts: list[tuple[str, float, float, str]] = []
    for belief, probability in list(zip(problem.initial, problem.initial_probability, strict=True))[: given.states]:
        allowed = problem.allowed(belief[None])[0][solution.actions]
        scores = np.where(allowed, solution.vectors @ belief, -np.inf)
        state = int(np.flatnonzero(problem.class_of == int(belief.argmax()))[0])
        begins = (problem.model.tables.initial > 0) & np.isin(problem.class_of, np.flatnonzero(belief))
        state = int(np.argmax(begins)) if begins.any() else state
        seen = world.describe_seen(world.observe(world.dynamics().states[[state]]))
        words = seen[0] if seen else world.observe(world.dynamics().states[[state]])[0].tolist()
        best = str(world.choice_name(int(solution.actions[scores.argmax()])))
        table.add_row(escape(str(words)), number(probability), number(scores.max()), escape(best))
        starts.append((str(words), float(probability), float(scores.max()), best))
    console.print(table)
    if isinstance(solution, BeliefSolution):
        console.print(
            f"Value of the start: from [bold]{number(solution.lower)}[/bold] to {number(solution.upper)}, a gap of "
            f"{solution.gap:.2g}; {len(solution):,} vectors, {solution.trials:,} trials",
            soft_wrap=True,
        )
        if solution.gap > tolerance:
            console.print(f"Stopped after {given.seconds:g} s: --seconds for a smaller gap.")
    else:
        console.print(
            f"Value of the start: [bold]{number(solution.value)}[/bold], exact; {len(solution):,} vectors with "
            f"{given.horizon} steps to go",
            soft_wrap=True,
        )
    console.print(f"{_time(seconds)} to solve")
    if given.report is not None:
        from inscape.experiments.report.solved import write_belief_report

        bounds: list[tuple[str, Any]] = [("value of the start", solution.value)]
        if isinstance(solution, BeliefSolution):
            digits = max(0, 2 - int(np.floor(np.log10(max(solution.gap, 1e-12)))))
            bounds = [
                ("value of the start, at least", f"{solution.lower:.{digits}f}".replace("-", "−")),
                ("at most", f"{solution.upper:.{digits}f}".replace("-", "−")), ("gap", solution.gap),
                ("trials", solution.trials),
            ]  # fmt: skip
        bounds += [
            ("vectors", len(solution)), ("classes of states", problem.num_classes),
            ("actions", problem.num_actions), ("discount", float(gamma)), ("seconds to solve", seconds),
        ]  # fmt: skip
        written = write_belief_report(given.report, f"{task.name}, solved", bounds, starts, [_command(argv)])
        console.print(f"Report: {escape(str(written))}", soft_wrap=True)
    say_how_to_watch(console, "pbvi", given.task)
    return 0


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _print_states(
    console: Console, title: str, world: World, states: States, model: Any, values: np.ndarray, q_values: np.ndarray,
    count: int,
) -> None:  # fmt: skip
    order = _listed(model, count)
    best = best_actions(q_values, model.legal)
    table = make_table("state", "value", "optimal", numbers=["value"])
    for s in order:
        optimal = ", ".join(str(world.choice_name(int(a))) for a in np.flatnonzero(best[s]))
        where = world.describe_state(states, int(s)).replace("\n", " / ")
        table.add_row(escape(where), number(values[s]), escape("end" if model.terminal[s] else optimal))
    print_table(console, title, table)
    if model.num_states > count:
        console.print(f"[dim]{model.num_states - count:,} more states: --states, or --save FILE.csv[/dim]")


def _save(path: Path, world: World, states: States, model: Any, solution: Any, stages: bool) -> None:
    """Writes a row for each state (and number of steps to go)."""
    names = [str(world.choice_name(a)) for a in range(model.num_actions)]
    fields = list(world.unpack(states, 0)._asdict())
    values = solution.values[: len(solution.policy)] if stages else solution.values[None]
    q_values = solution.q_values if stages else solution.q_values[None]
    columns = [*(["steps_to_go"] if stages else []), *fields, "value", *(f"q {n}" for n in names), "optimal"]
    _write_rows(path, columns, _rows(world, states, model, values, q_values, names, stages))


def _rows(
    world: World, states: States, model: Any, values: np.ndarray, q_values: np.ndarray, names: list[str], stages: bool
) -> Iterator[list[Any]]:
    for h in range(len(values)):
        best = best_actions(q_values[h], model.legal)
        for s in range(model.num_states):
            state = world.unpack(states, s)._asdict().values()
            optimal = " ".join(names[a] for a in np.flatnonzero(best[s])) if not model.terminal[s] else ""
            row = [*([len(values) - h] if stages else []), *state, values[h, s]]
            yield [*row, *(q if np.isfinite(q) else "" for q in q_values[h, s]), optimal]
