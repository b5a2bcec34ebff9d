"""`inscape plan`: searches from the start of a world, and compares with the exact optimum."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from gymnasium import spaces
from rich.console import Console
from rich.markup import escape
from tyro.conf import Positional, arg

from inscape.errors import MissingLawError, PartialObservationError, TooManyStatesError, UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console, make_table, number, print_table, say_how_to_watch
from inscape.experiments.runs.folders import find_run
from inscape.experiments.verbs.models import first_observation, learned_at_random, model_given
from inscape.world_models.catalogue import find_model

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.world_models.planning.interface import Plan


@dataclass(frozen=True)
class PlanArguments:
    """Plans from a world's start and prints what each action is worth, beside the exact optimum.

    `inscape list planners` has their names. With --planner NAME, settings of the planner are --planner.SETTING VALUE.

    Examples:
      inscape plan FrozenLake8x8
      inscape plan FrozenLake8x8 --simulations 100000 --gamma 0.95
      inscape plan FrozenLake8x8 --planner value-iteration
      inscape plan FrozenLake8x8 --planner uct --planner.exploration 1.5
      inscape plan FrozenLake --planner my_planner.py:RandomShooting --planner.samples 200
      inscape plan FrozenLake8x8 --model tabular --model-steps 50000
      inscape plan FrozenLake --model runs/FrozenLake-tabular-seed0 --planner value-iteration
      inscape plan ConnectFour --planner gumbel --network runs/ConnectFour-alphazero-seed0 --simulations 400
      inscape plan examples/elevator.py:Elevator --model runs/Elevator-mcts-seed0
      inscape plan Tiger --planner pomcp
      inscape plan Tiger --full-information
      inscape plan Pendulum --planner icem --planner.horizon 40
    """

    task: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world, at its initial state."""

    planner: Annotated[str | None, arg(metavar="NAME|FILE:CLASS")] = None
    """How to plan; without it, the default for the world's actions."""

    network: Annotated[str | None, arg(metavar="RUN")] = None
    """A run whose network values states and proposes actions: of alphazero; of one player also ppo, a2c."""

    simulations: Annotated[int | None, arg(metavar="INT")] = None
    """Simulations of a search: 10,000 without it."""

    model: Annotated[str, arg(metavar="known|NAME|RUN")] = "known"
    """The world's own law, a world model by name (inscape list models), learned from random steps, or that of a run."""

    model_steps: int = 20_000
    """Random steps a model is learned from, with --model NAME."""

    gamma: Annotated[float | None, arg(metavar="FLOAT")] = None
    """Discount; without it, the world's."""

    full_information: bool = False
    """Where the acting agent cannot determine the state, plan as if it saw it."""

    seed: int = 0
    """Seed of the start state and of the search."""


def plan_command(argv: Sequence[str]) -> int:
    """Searches from the start of a world."""
    from inscape.agents.registry import is_built_in
    from inscape.envs.compile.compile_time import compile_seconds
    from inscape.envs.tasks.resolve import resolve_task
    from inscape.experiments.runs.evaluation import hides_state
    from inscape.experiments.verbs.plan import plan as plan_in
    from inscape.world_models.planning.interface import Plans
    from inscape.world_models.planning.tree_search.uct import UCT

    names = args.leading_names(argv, 1, "inscape plan WORLD [options]")
    word = args.value_of(argv, "--planner")
    groups = {
        **(args.world_settings_group(names[0]) if names else {}),
        **args.planner_settings_group(word, ("num_simulations", "gamma")),
    }
    given = args.parse("plan", PlanArguments, argv, groups)
    task = resolve_task(given.task, args.changed_world_settings(given))
    gamma = given.gamma if given.gamma is not None else 0.99 if task.world is None else task.world.gamma
    start_rng, _, warm_rng = (np.random.default_rng([given.seed, k]) for k in range(3))
    console = make_console()
    _require_one_at_a_time(given, task)
    hidden = task.world is not None and not task.world.continuous and hides_state(task.world)
    believes = hidden and given.planner is not None and _begins_in_beliefs(given.planner)
    if hidden and given.model == "known" and not given.full_information and not believes:
        raise PartialObservationError(
            f"an agent in {task.name} does not see its state, and a plan begins in a state",
            expected="a world whose observation determines its state",
            hint="--planner pomcp, which plans with what is known; --full-information, to plan as one who sees it",
        )
    model = _model(given, task, console)
    start, observation = first_observation(task, start_rng)
    state = start if given.model == "known" else model.init(observation)
    name = given.planner or ("gumbel" if given.network else _default_planner(model))
    planner = _planner(name, given, gamma)
    if isinstance(planner, UCT):
        UCT(num_simulations=1, gamma=gamma).plan(model, state, warm_rng)  # loads the kernels, which is not search
    began, compiling = time.perf_counter(), compile_seconds()
    plan = plan_in(model, state, planner, seed=given.seed, full_information=True, network=given.network)
    plan = plan[0] if isinstance(plan, Plans) else plan
    compiling = compile_seconds() - compiling
    seconds = time.perf_counter() - began - compiling
    _print_plan(console, given, task, start, plan, gamma, hidden and not believes, name)
    beside = f"; {compiling:.1f} s of compiling beside" if compiling else ""
    rate = f", {plan.simulations / seconds:,.0f} simulations/s" if plan.simulations else ""
    console.print(f"{seconds * 1e3:.1f} ms{rate}{beside}")
    if not hidden or believes:  # the agent that plans needs to see the state, or to believe
        instead = "icem" if isinstance(model.action_space, spaces.Box) else "mcts"
        say_how_to_watch(console, name if is_built_in(name) else instead, given.task)
    return 0


def _default_planner(model: Any) -> str:
    from inscape.world_models.planning.catalogue import default_planner

    return str(getattr(model, "default_planner", "") or default_planner(model.action_space))


def _begins_in_beliefs(name: str) -> bool:
    from inscape.world_models.planning.catalogue import planner_class

    return bool(getattr(planner_class(name), "begins_in_beliefs", False))


def _planner(name: str, given: Any, gamma: float) -> Any:
    """Returns the planner of the line, with its settings.

    Raises:
        UsageError: no such planner; --simulations, or --gamma, for one that has none; a setting out of range.
    """
    from inscape.world_models.planning.catalogue import make_planner

    settings = args.changed_planner_settings(given)
    if given.simulations is not None:
        settings["num_simulations"] = given.simulations
    if given.gamma is not None:
        settings["gamma"] = gamma
    return make_planner(name, {"num_simulations": 10_000, "gamma": gamma}, **settings)


def _require_one_at_a_time(given: Any, task: Task) -> None:
    """Refuses what the search cannot plan for: players who act at once, a learned model of several players."""
    if task.world is not None and task.world.simultaneous:
        raise UsageError(
            f"the players of {task.name} act at once, and the search lets one act at a time",
            expected="a world of one player, or of players who move in turn",
            hint="inscape plan TicTacToe",
        )
    if given.model != "known" and task.world is not None and task.world.players > 1:
        raise UsageError(
            f"a learned model of {task.name}, which has {task.world.players} players",
            expected="a world of one player: what is learned holds one reward",
            hint="--model known",
        )
    if given.model != "known" and given.full_information:
        raise UsageError(
            f"--full-information with --model {given.model}",
            expected="--model known: what is learned is learned from observations",
        )


def _model(given: Any, task: Task, console: Console) -> Any:
    """Returns the model to search: the law itself, or one that is learned now, or was by a run."""
    if given.model == "known":
        if task.world is None:
            raise MissingLawError(
                f"{task.name} has no law to plan with",
                expected="a built-in world (inscape list worlds), or a World in a file",
                hint=f"a learned model, inscape plan {task.name} --model tabular, where observations are finite; "
                "or an agent that needs no model, inscape train ppo",
            )
        return task.world
    args.require_positive("model-steps", given.model_steps)
    if find_model(given.model) is None and (":" not in given.model or find_run(given.model) is not None):
        model, _ = model_given(given.model, task)
    else:
        model, report = learned_at_random(given.model, task, given.model_steps, given.seed)
        known = f"{report.metrics['states']:,.0f} observations, " if "states" in report.metrics else ""
        bits = report.held_out_bits_per_step
        scored = f"{bits:.3f} bits per held-out step" if bits == bits else "not scored"
        console.print(f"Learned from {report.transitions:,} random steps: {known}{scored}")
    return model.tabular() if callable(getattr(model, "tabular", None)) else model


def _print_plan(
    console: Console, given: Any, task: Task, start: Any, plan: Plan, gamma: float, hidden: bool, planner: str
) -> None:
    seen = hidden and given.model == "known"  # planned with more than the acting agent would know
    knows = task.world is None or not _begins_in_beliefs(planner)
    optimum = _optimum(task, start, gamma) if knows and (seen or not hidden) else None
    count = f"{plan.simulations:,} simulations, " if plan.simulations else ""
    title = f"{task.name}, {planner}, {count}γ = {gamma:g}, model {given.model}"
    columns = ["action", "value", "visits", *(["optimal value"] if optimum else [])]
    table = make_table(*columns, numbers=columns[1:])
    several = isinstance(plan.action, np.ndarray)
    if isinstance(plan.action, np.ndarray):
        table = _components(task, plan.action, plan)
    for index, name in enumerate(() if several else task.action_names):
        visits = f"{int(plan.visit_counts[index]):,}" if len(plan.visit_counts) else ""
        worth = number(plan.action_values[index]) if len(plan.action_values) else ""
        cells = [name, worth, visits]
        if optimum:
            cells.append(number(optimum[0][index]))
        table.add_row(*cells, style="bold" if index == plan.action else None)
    if task.world is not None:
        console.print(f"[dim]{escape(task.world.describe_state(start))}[/dim]", soft_wrap=True)
    if seen:
        console.print(f"[dim]Seen by the planner alone: {escape(_fields(task, start))}[/dim]", soft_wrap=True)
    print_table(console, title, table)
    who = " of one who sees the state" if seen else ""
    named = plan.action_name if isinstance(plan.action, np.ndarray) else task.action_names[plan.action]
    console.print(f"Best action{who}: [bold]{escape(named)}[/bold], value {number(plan.value)}")
    if "population_std" in plan.metrics:
        last = {name: number(plan.metrics[f"population_{name}"]) for name in ("mean", "std", "best")}
        console.print(
            f"Predicted return over {len(plan.sequence)} steps: {number(plan.value)}; of the last population "
            f"{last['mean']} ± {last['std']}, its best {last['best']}"
        )
    if optimum:
        _, value, bound = optimum
        console.print(
            f"Optimum{who}, by value iteration: {number(value)}, certified to ± {bound:.1g}; "
            f"the search{' in this model' if given.model != 'known' else ''} is off by {abs(plan.value - value):.4f}"
        )
    if seen:
        console.print(
            f"Who acts in {escape(task.name)} sees only what is observed: this is no plan for them.", soft_wrap=True
        )
    elif hidden:
        console.print(
            f"What is observed in {escape(task.name)} does not determine the state; the model takes it for the state.",
            soft_wrap=True,
        )


def _components(task: Task, action: np.ndarray, plan: Plan) -> Any:
    """Returns the table of a continuous action: its components, and how far the search was from deciding on each."""
    space: Any = task.action_space
    spread = [plan.metrics.get(f"action_std_{k}") for k in range(len(action))]
    columns = ["component", "action", "lowest", "highest", *(["deviation left"] if spread[0] is not None else [])]
    table = make_table(*columns, numbers=columns[1:])
    for k, value in enumerate(action):
        cells = [str(k), number(float(value)), number(float(space.low[k])), number(float(space.high[k]))]
        table.add_row(*cells, *([number(left)] if (left := spread[k]) is not None else []))
    return table


def _fields(task: Task, start: Any) -> str:
    assert task.world is not None
    return ", ".join(f"{name} {value}" for name, value in task.world.unpack(start)._asdict().items())


def _optimum(task: Task, state: Any, gamma: float) -> tuple[np.ndarray, float, float] | None:
    """Returns Q* `[A]`, V* and the certified bound at a state, or None where the law cannot be enumerated."""
    from inscape.world_models.planning.dynamic_programming import value_iteration
    from inscape.world_models.tabular.model import TabularModel

    world = task.world
    if world is None or world.noise or world.initial_noise or world.continuous or world.players > 1:
        return None
    try:
        model = TabularModel.from_world(world)
    except TooManyStatesError:  # searching such a world is what searches are for; only the comparison falls away
        return None
    index = int(world.dynamics().index_of(state)[0])
    solution = value_iteration(model, gamma)
    return solution.q_values[index], float(solution.values[index]), solution.error_bound
