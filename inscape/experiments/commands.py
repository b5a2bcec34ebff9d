"""What each command does, and what it prints. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from inscape.errors import MissingLawError, PartialObservationError, TooManyStatesError, UsageError
from inscape.experiments import arguments as args
from inscape.experiments.run import (
    Run,
    RunSettings,
    find_run,
    load_trajectories,
    names_episodes,
    open_run,
    run_folders,
    save_trajectories,
)

if TYPE_CHECKING:
    from inscape.agents.rollout import Evaluation
    from inscape.envs.registry import Task
    from inscape.envs.trajectory import Trajectory
    from inscape.theory_of_mind.observers import Observer
    from inscape.world_models.interface import Plan

NARROWEST = 110
"""Columns assumed where the output is not a terminal, so that tables in logs keep their words."""

RECORDED_EPISODES = 4
"""Episodes recorded at the end of training, for `watch`, `observe` and `report`."""


def _console() -> Console:
    # no emoji: a world is called `file.py:Nine` and not by a picture of a nine
    console = Console(highlight=False, emoji=False)
    return console if console.is_terminal else Console(highlight=False, emoji=False, width=NARROWEST)


def _print_table(console: Console, title: str, table: Table) -> None:
    """A title of its own line: rich breaks titles at the width of the table."""
    console.print(f"[bold]{escape(title)}[/bold]", soft_wrap=True)
    console.print(table)


def _table(*columns: str, numbers: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return table


# --- list -----------------------------------------------------------------------------------------------------------


def list_command(argv: Sequence[str]) -> int:
    """Prints what is known by name."""
    given = args.parse("list", args.ListArguments, argv)
    console = _console()
    if given.gallery is not None:
        from inscape.experiments.gallery import write_gallery

        count = write_gallery(given.gallery)
        console.print(f"{count} worlds in {given.gallery}", soft_wrap=True)
        return 0
    tables = {"worlds": _list_worlds, "agents": _list_agents, "models": _list_models, "runs": _list_runs}
    for name, make in tables.items():
        if given.what in ("all", name):
            _print_table(console, *make())
            console.print()
    return 0


def _list_worlds() -> tuple[str, Table]:
    import gymnasium

    from inscape.envs.catalogue import FAMILIES
    from inscape.envs.registry import world_specs

    table = _table("name", "players", "what it is", numbers=("players",))
    left = {spec.name: spec for spec in world_specs()}
    families = {family: [left.pop(s.name) for s in specs if s.name in left] for family, specs in FAMILIES.items()}
    for family, specs in {**families, "Others": list(left.values())}.items():
        if specs:
            table.add_row(f"[dim]{escape(family)}[/dim]")
        for spec in specs:
            table.add_row(f"  {spec.name}", str(spec.players), escape(spec.description))
    others = sum(not name.startswith("inscape/") for name in gymnasium.registry)
    table.add_row("[dim]Not in this list[/dim]")
    table.add_row("[dim]  file.py:Class[/dim]", "", "[dim]a World of your own, as in examples/elevator.py[/dim]")
    more = f"{others} registered, LunarLander-v3 among them; no law"
    table.add_row("[dim]  any Gymnasium id[/dim]", "", f"[dim]{more}[/dim]")
    table.add_row("[dim]  pixels:WORLD[/dim]", "", "[dim]a world of ours seen as its drawing, frames stacked[/dim]")
    table.add_row("[dim]  pettingzoo:MODULE[/dim]", "", "[dim]a PettingZoo Parallel environment[/dim]")
    return "Worlds (Gymnasium ids: inscape/NAME-v0)", table


def _list_agents() -> tuple[str, Table]:
    from inscape.agents.plugins import agent_entries

    table = _table("name", "what it is", "learns")
    for entry in agent_entries():
        table.add_row(entry.name, escape(entry.description), "yes" if entry.learns else "")
    table.add_row(
        "[dim]independent:NAME[/dim]", "[dim]one learner for each player: independent:ppo[/dim]", "[dim]yes[/dim]"
    )
    table.add_row("[dim]file.py:Class[/dim]", "[dim]an agent of your own, as in examples/my_agent.py[/dim]")
    return "Agents", table


def _list_models() -> tuple[str, Table]:
    table = _table("name", "what it is")
    table.add_row("known", "the world's own law, searched compiled")
    table.add_row("tabular", "counts of what followed what, learned from random steps")
    table.add_row("RUN", "the model that the agent of a run has learned")
    return "World models (inscape plan WORLD --model NAME)", table


def _list_runs() -> tuple[str, Table]:
    table = _table("folder", "agent", "world", "seed", "steps", "return", numbers=("seed", "steps", "return"))
    for folder in run_folders():
        try:
            run = open_run(folder)
        except UsageError as error:  # one damaged run does not hide the others
            table.add_row(escape(str(folder)), f"[red]{escape(error.found)}[/red]")
            continue
        settings, rows = run.settings, run.metrics()
        done = max((int(row.get("steps", 0)) for row in rows), default=0)
        returns = [row["evaluation/return_mean"] for row in rows if "evaluation/return_mean" in row]
        progress = f"{done:,}" if done >= settings.steps else f"{done:,} of {settings.steps:,}"
        last = f"{returns[-1]:.4g}" if returns else ""
        name = str(settings.task.get("name"))
        table.add_row(escape(str(run.path)), escape(settings.agent), escape(name), str(settings.seed), progress, last)
    if not table.rows:
        table.add_row("[dim]none yet: inscape train AGENT WORLD[/dim]")
    return "Runs", table


# --- train ----------------------------------------------------------------------------------------------------------


def train_command(argv: Sequence[str]) -> int:
    """Trains, evaluates at the end, and says where the results lie."""
    from inscape.agents.parallel import process_number
    from inscape.envs.registry import PIXELS_PREFIX, resolve_task
    from inscape.experiments.training import train

    words, resumed = _run_to_resume(argv)
    if resumed is not None and (not words or words[0].startswith("-")):
        given = _given_over(resumed.settings, words)
        world = resumed.settings.task["settings"]
    else:
        names = args.leading_names(words, 2, "inscape train AGENT WORLD [options], or inscape train --resume RUN")
        groups = _groups(args.TrainArguments, names[0], names[1]) if len(names) == 2 else None
        given, world = args.parse("train", args.TrainArguments, words, groups), {}
    from inscape.agents.plugins import SB3_PREFIX, default_steps

    task = resolve_task(given.task, args.changed_world_settings(given, world))
    steps = default_steps(given.agent, task) if given.steps is None else given.steps
    if process_number() == 0:
        _say_preset(given.agent, task, steps, getattr(given, "settings", None))
    theirs = given.agent.startswith(SB3_PREFIX) and (task.world is None or task.players > 1)
    ours = task.world is not None or task.name.startswith(PIXELS_PREFIX)
    if given.resume and process_number() == 0 and (theirs or not ours):
        text = f"The state of {task.name} is not saved with {given.agent}: resuming restarts the episode."
        _console().print(f"[dim]{escape(text)}[/dim]", soft_wrap=True)
    run = train(
        given.agent,
        task,
        steps,
        seed=given.seed,
        device=given.device,
        out=given.out,
        resume=given.resume,
        settings=getattr(given, "settings", None),
        evaluate_every=given.evaluate_every,
        evaluate_episodes=given.evaluate_episodes,
    )
    console = _console()
    if run.trained_steps == 0 and given.resume:
        console.print(f"{run.path} is finished already: all {run.settings.steps:,} steps were taken.")
    elif run.trained_steps == 0:
        console.print(f"{given.agent} has nothing to learn with these settings: no steps were taken.")
    elif given.final_episodes > 0:
        _final_evaluation(console, run, task, given.final_episodes)
    console.print(f"Results in {run.path}; show them: inscape report {run.path}", soft_wrap=True)
    return 0


def _run_to_resume(argv: Sequence[str]) -> tuple[list[str], Run | None]:
    """Returns the line with `--resume RUN` as `--resume --out RUN`, and the run; as it is, and None, without a RUN."""
    words = list(argv)
    if "--resume" not in words[:-1]:
        return words, None
    at = words.index("--resume") + 1
    if words[at].startswith("-"):
        return words, None
    run = open_run(words.pop(at))
    return [*words, "--out", str(run.path)], run


def _given_over(before: RunSettings, words: Sequence[str]) -> Any:
    """Returns the arguments of `train` where those that are not given are a run's."""
    names = {"agent": before.agent, "task": str(before.task["name"])}
    others = ("steps", "seed", "device", "evaluate_every", "evaluate_episodes")
    defaults = {**names, **{name: getattr(before, name) for name in others}}
    groups = _groups(args.TrainArguments, names["agent"], names["task"], before)
    return args.parse("train", args.TrainArguments, [*names.values(), *words], groups, defaults)


def _groups(kind: type, agent: str, world: str, before: RunSettings | None = None) -> dict[str, tuple[Any, Any]]:
    """Returns the settings of AGENT and WORLD as groups of options; their defaults are those of `before`, if given."""
    from inscape.envs.registry import resolve_task

    of_agent, of_world = ({}, {}) if before is None else (before.agent_settings, before.task["settings"])
    return {
        **args.agent_settings_group(agent, resolve_task(world, of_world), kind, of_agent),
        **args.world_settings_group(world, of_world),
    }


def _say_preset(agent: str, task: Task, steps: int, settings: Any) -> None:
    from inscape.agents.plugins import default_settings

    _, preset = default_settings(agent, task)
    if preset is not None and (line := preset.describe(agent, task.name, steps, settings)):
        _console().print(f"[dim]{escape(line)}[/dim]", soft_wrap=True)


def _final_evaluation(console: Console, run: Run, task: Task, episodes: int) -> None:
    from inscape.agents.rollout import bootstrap_interval, evaluate_players, rollout
    from inscape.experiments.run import write_text
    from inscape.experiments.training import EVALUATION_SEED, evaluated_casts, load_agent

    agent, _ = load_agent(run)
    seed = EVALUATION_SEED + run.settings.seed
    returns = []
    for number, (cast, own) in enumerate(evaluated_casts(agent, task, seed)):
        found = evaluate_players(cast, task, episodes, seed)
        returns += [found[player].returns for player in own]
        if task.players == 1:
            console.print(_evaluation_line(run.settings.agent, task, found[0]), soft_wrap=True)
        else:
            _print_players(console, cast, task, found)
        if number == 0:
            run.save_episodes("final", rollout(cast, task, min(RECORDED_EPISODES, episodes), seed))
    everything = np.concatenate(returns)
    low, high = bootstrap_interval(everything, np.random.default_rng(seed))
    document: dict[str, Any] = {
        "mean": float(everything.mean()),
        "low": low,
        "high": high,
        "episodes": episodes,
        "seed": seed,
    }
    if task.players > 1:
        document["players"] = [float(own.mean()) for own in returns]
    write_text(run.path / "evaluation.json", json.dumps(document, indent=2) + "\n")


# --- evaluate -------------------------------------------------------------------------------------------------------


def evaluate_command(argv: Sequence[str]) -> int:
    """Plays episodes; prints their mean and, where the law allows, the exact value and the regret."""
    from inscape.agents.rollout import evaluate_players, evaluation_of, rollout

    given, together = _parse_cast_command("evaluate", args.EvaluateArguments, argv)
    _require_positive("episodes", given.episodes)
    agents, task = _cast(given.agent, given) if together else _agent_and_task(given.agent, given)
    if task.players > 1 and not together:  # a run alone: its agent plays every part
        agents, together = [agents] * task.players, True
    console = _console()
    if given.save_episodes is None:
        found = evaluate_players(agents, task, given.episodes, given.seed)
    else:
        recorded = rollout(agents, task, given.episodes, given.seed)
        save_trajectories(given.save_episodes, recorded)
        found = evaluation_of(recorded, given.seed)
    if together:
        _print_players(console, agents, task, found)
    else:
        console.print(_evaluation_line(given.agent, task, found[0]), soft_wrap=True)
    _print_exact(console, agents, task, given.exact_gamma)
    if given.save_episodes is not None:
        reader = "watch" if together else "observe"
        console.print(
            f"Episodes in {given.save_episodes}; show them: inscape {reader} {given.save_episodes}", soft_wrap=True
        )
    else:
        _say_how_to_watch(console, given.agent, given.task)
    return 0


def _say_how_to_watch(console: Console, source: str, task: str) -> None:
    console.print(f"See it act: inscape watch {escape(' '.join([source, task]).strip())}", soft_wrap=True)


def _evaluation_line(name: str, task: Task, result: Evaluation) -> str:
    low, high = result.ci
    return (
        f"{escape(name)} in {escape(task.name)}: mean return [bold]{result.mean:.4g}[/bold], 95 % interval "
        f"{low:.4g} to {high:.4g} ({len(result.returns)} episodes of {result.lengths.mean():.4g} steps)"
    )


def _print_players(console: Console, agents: Sequence[Any], task: Task, found: Sequence[Evaluation]) -> None:
    """Prints how each player did; where what one gains others lose, also how often each won."""
    returns = np.stack([result.returns for result in found], axis=1)
    # nothing gained at all by players in turn is a draw, by players at once more likely a task that nobody solved
    gained = bool(returns.any()) or not task.simultaneous
    is_contest = gained and bool(np.allclose(returns.sum(axis=1), 0))
    counted = ("won", "drawn", "lost") if is_contest else ()
    columns = ("player", "agent", "mean return", "95 % interval", *counted)
    table = _table(*columns, numbers=columns[2:])
    for player, result in enumerate(found):
        low, high = result.ci
        cells = [task.player_names[player], agents[player].name, f"{result.mean:.4g}", f"{low:.4g} to {high:.4g}"]
        if is_contest:
            ahead = result.returns - np.delete(returns, player, axis=1).max(axis=1)
            cells += [f"{np.mean(outcome):.1%}" for outcome in (ahead > 0, ahead == 0, ahead < 0)]
        table.add_row(*map(escape, cells))
    lengths = found[0].lengths
    _print_table(console, f"{task.name}, {len(lengths)} episodes of {lengths.mean():.4g} steps", table)


def _print_exact(console: Console, agent: Any, task: Task, gamma: float | None) -> None:
    from inscape.experiments.evaluation import exact_value

    try:
        exact = exact_value(agent, task, gamma)
    except UsageError as refusal:
        if gamma is not None:  # asked for: then the refusal is the answer
            raise
        console.print(f"[dim]No exact value: {escape(refusal.found)}.[/dim]", soft_wrap=True)
        return
    how = "estimated from its actions" if exact.sampled else "its exact policy"
    optimum = f"{_number(exact.optimum)} (± {exact.error_bound:.1g})"
    against = f"optimum {optimum}, regret [bold]{_number(exact.regret)}[/bold]"
    if exact.hidden:
        against = f"one who sees the state would reach {optimum}; who acts sees only what is observed"
    console.print(f"At the start, γ = {exact.gamma:g}: value {_number(exact.value)} ({how}), {against}", soft_wrap=True)


def _parse_cast_command(command: str, kind: type, argv: Sequence[str]) -> tuple[Any, bool]:
    """Parses `COMMAND RUN|AGENT[,AGENT…] [WORLD]`; returns also whether the world has several players."""
    names = args.leading_names(argv, 2, f"inscape {command} RUN|AGENT[,AGENT…] [WORLD] [options]")
    together = len(names) == 2 and _players_of(names[1]) > 1
    if together and "," in names[0]:  # whose settings would be meant is not said
        return args.parse(command, kind, argv, args.world_settings_group(names[1])), True
    if len(names) == 1 and "," in names[0] and not Path(names[0]).exists():
        raise UsageError(
            f"no world for {names[0]}", expected=f"inscape {command} AGENT,AGENT WORLD", hint="inscape list worlds"
        )
    return _parse_agent_command(command, kind, argv), together


def _parse_agent_command(command: str, kind: type, argv: Sequence[str]) -> Any:
    """Parses a command of the form `COMMAND RUN|AGENT [WORLD]`, with the settings of both where they are named."""
    names = args.leading_names(argv, 2, f"inscape {command} RUN|AGENT [WORLD] [options]")
    if names and names[0].endswith(".zip"):
        raise _zip_is_no_agent(names[0])
    if names and "/" in names[0] and ":" not in names[0] and _is_agent(names[0]) and not Path(names[0]).is_dir():
        open_run(names[0])  # a path that is no agent can only be a run, and there is none
    if len(names) < 2:
        return args.parse(command, kind, argv)
    groups = args.world_settings_group(names[1])
    if _is_agent(names[0]):
        groups = _groups(kind, names[0], names[1])
    return args.parse(command, kind, argv, groups)


def _is_agent(source: str) -> bool:
    return find_run(source) is None and not names_episodes(source)


def _zip_is_no_agent(source: str) -> UsageError:
    return UsageError(
        f"{source} is a zip",
        expected="an agent by name, which may begin from a zip of Stable-Baselines3",
        hint=f"sb3:ppo WORLD --load {source} --trust (with the algorithm it was trained by)",
    )


def _agent_and_task(source: str, given: Any) -> tuple[Any, Task]:
    """Returns the agent that RUN|AGENT|ZIP means, and the task to act in."""
    from inscape.agents.plugins import make_agent
    from inscape.envs.registry import resolve_task
    from inscape.experiments.training import load_agent

    if find_run(source) is not None:
        agent, task = load_agent(source, seed=given.seed)
        return (agent, _same_spaces(task, given)) if given.task else (agent, task)
    if Path(source).is_dir():
        open_run(source)  # says that there is none
    if not given.task:
        raise UsageError(f"no world for {source}", expected="AGENT WORLD, or a run", hint="inscape list worlds")
    task = resolve_task(given.task, args.changed_world_settings(given))
    return make_agent(source, task, seed=given.seed, settings=getattr(given, "settings", None)), task


def _same_spaces(trained: Task, given: Any) -> Task:
    """Returns the world named beside a run: any with the spaces of the one its agent was trained in."""
    from inscape.envs.registry import resolve_task

    task = resolve_task(given.task, args.changed_world_settings(given))
    _require_same_spaces(trained, task)
    return task


def _require_same_spaces(trained: Task, task: Task) -> None:
    for name in ("observation_space", "action_space"):
        if getattr(task, name) != getattr(trained, name):
            raise UsageError(
                f"{task.name} has the {name.replace('_', ' ')} {getattr(task, name)}; the run's agent was trained in "
                f"{trained.name}, with {getattr(trained, name)}",
                expected="a world with the same spaces",
                hint="the world it was trained in",
            )


def _require_positive(name: str, value: int) -> None:
    if value < 1:
        raise UsageError(f"{name} = {value}", expected="at least 1", hint=f"--{name} 1")


# --- plan -----------------------------------------------------------------------------------------------------------


def plan_command(argv: Sequence[str]) -> int:
    """Searches from the start of a world."""
    from inscape.envs.registry import resolve_task
    from inscape.experiments.evaluation import hides_state
    from inscape.world_models.tree_search import UCT

    names = args.leading_names(argv, 1, "inscape plan WORLD [options]")
    given = args.parse("plan", args.PlanArguments, argv, args.world_settings_group(names[0]) if names else None)
    task = resolve_task(given.task, args.changed_world_settings(given))
    gamma = given.gamma if given.gamma is not None else 0.99 if task.world is None else task.world.gamma
    planner = UCT(num_simulations=given.simulations, gamma=gamma)
    start_rng, model_rng, warm_rng, search_rng = (np.random.default_rng([given.seed, k]) for k in range(4))
    console = _console()
    _require_one_at_a_time(given, task)
    hidden = task.world is not None and not task.world.continuous and hides_state(task.world)
    if hidden and given.model == "known" and not given.full_information:
        raise PartialObservationError(
            f"who acts in {task.name} does not see its state, and a plan begins in a state",
            expected="a world whose observation determines its state",
            hint="--full-information, to plan as one who sees it",
        )
    model = _model(given, task, model_rng, console)
    start, observation = _start(task, start_rng)
    state = start if given.model == "known" else model.init(observation)
    UCT(num_simulations=1, gamma=gamma).plan(model, state, warm_rng)  # loads the kernels, which is not search
    began = time.perf_counter()
    plan = planner.plan(model, state, search_rng)
    seconds = time.perf_counter() - began
    _print_plan(console, given, task, start, plan, gamma, hidden)
    console.print(f"{seconds * 1e3:.1f} ms, {plan.simulations / seconds:,.0f} simulations/s")
    if not hidden:  # the agent that plans needs to see the state
        _say_how_to_watch(console, "mcts", given.task)
    return 0


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


def _start(task: Task, rng: np.random.Generator) -> tuple[Any, np.ndarray]:
    """Returns an initial state (packed; None without a law) and its observation, as a batch of one."""
    if task.world is not None:
        state = task.world.sample_initial(1, rng)
        return state, task.world.observe(state)
    env = task.env()
    observation, _ = env.reset(seed=int(rng.integers(2**31)))
    env.close()
    return None, np.asarray(observation)[None]


def _model(given: Any, task: Task, rng: np.random.Generator, console: Console) -> Any:
    """Returns the model to search: the law itself, tables learned from random steps, or what a run's agent learned."""
    if given.model == "known":
        if task.world is None:
            raise MissingLawError(
                f"{task.name} has no law to plan with",
                expected="one of our worlds (inscape list worlds), or a World in a file",
                hint=f"a learned model, inscape plan {task.name} --model tabular, where observations are finite; "
                "or an agent that needs no model, inscape train ppo",
            )
        return task.world
    if given.model == "tabular":
        return _learned_from_random_steps(given, task, rng, console)
    from inscape.experiments.training import load_agent

    agent, trained = load_agent(given.model)
    _require_same_spaces(trained, task)
    model: Any = getattr(agent, "model", None)
    if not callable(getattr(model, "init", None)):
        raise UsageError(
            f"the agent of {given.model} has no model of the world",
            expected="a run of an agent that learns one, such as mcts",
            hint="--model known or --model tabular",
        )
    return model.tabular() if callable(getattr(model, "tabular", None)) else model


def _learned_from_random_steps(given: Any, task: Task, rng: np.random.Generator, console: Console) -> Any:
    from inscape.agents.plugins import make_agent
    from inscape.agents.rollout import rollout
    from inscape.world_models.learned_tabular import LearnedTabularModel

    _require_positive("model-steps", given.model_steps)
    learned = LearnedTabularModel.for_task(task)
    agent = make_agent("random", task, seed=given.seed)
    episodes: list[Trajectory] = []
    while sum(map(len, episodes)) < given.model_steps:
        episodes += rollout(agent, task, 64, int(rng.integers(2**31)))
    report = learned.fit(episodes)
    console.print(
        f"Learned from {report.transitions:,} random steps: {report.states} observations, "
        f"{report.held_out_bits_per_step:.3f} bits per held-out step"
    )
    return learned.tabular()


def _print_plan(console: Console, given: Any, task: Task, start: Any, plan: Plan, gamma: float, hidden: bool) -> None:
    seen = hidden and given.model == "known"  # planned with more than who acts would know
    optimum = _optimum(task, start, gamma) if seen or not hidden else None
    title = f"{task.name}, {plan.simulations:,} simulations, γ = {gamma:g}, model {given.model}"
    columns = ["action", "value", "visits", *(["optimal value"] if optimum else [])]
    table = _table(*columns, numbers=columns[1:])
    for index, name in enumerate(task.action_names):
        cells = [name, _number(plan.action_values[index]), f"{int(plan.visit_counts[index]):,}"]
        if optimum:
            cells.append(_number(optimum[0][index]))
        table.add_row(*cells, style="bold" if index == plan.action else None)
    if task.world is not None:
        console.print(f"[dim]{escape(task.world.describe_state(start))}[/dim]", soft_wrap=True)
    if seen:
        console.print(f"[dim]Seen by the planner alone: {escape(_fields(task, start))}[/dim]", soft_wrap=True)
    _print_table(console, title, table)
    who = " of one who sees the state" if seen else ""
    best = f"[bold]{escape(task.action_names[plan.action])}[/bold], value {_number(plan.value)}"
    console.print(f"Best action{who}: {best}")
    if optimum:
        _, value, bound = optimum
        console.print(
            f"Optimum{who}, by value iteration: {_number(value)}, certified to ± {bound:.1g}; "
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


def _fields(task: Task, start: Any) -> str:
    assert task.world is not None
    return ", ".join(f"{name} {value}" for name, value in task.world.unpack(start)._asdict().items())


def _number(value: float) -> str:
    return f"{round(value, 6) + 0.0:.6f}" if np.isfinite(value) else "–"  # adding 0.0 turns −0.0 into 0.0


def _optimum(task: Task, state: Any, gamma: float) -> tuple[np.ndarray, float, float] | None:
    """Returns Q* `[A]`, V* and the certified bound at a state, or None where the law cannot be enumerated."""
    from inscape.world_models.dynamic_programming import value_iteration
    from inscape.world_models.tabular import TabularModel

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


# --- observe --------------------------------------------------------------------------------------------------------


def observe_command(argv: Sequence[str]) -> int:
    """Prints what an observer believes after each step of some episodes."""
    given = _parse_agent_command("observe", args.ObserveArguments, argv)
    _require_positive("episodes", given.episodes)
    trajectories, task = _episodes_and_task(given)
    observer = _observer(given, task)
    console = _console()
    _say_what_minds_see(console, task)
    for number, trajectory in enumerate(trajectories[: given.episodes], start=1):
        _print_observation(console, observer, trajectory, task, number)
    if not names_episodes(given.source):
        _say_how_to_watch(console, given.source, given.task)
    return 0


def _episodes_and_task(given: Any) -> tuple[list[Trajectory], Task]:
    from inscape.agents.rollout import rollout
    from inscape.envs.registry import Task, resolve_task

    source = given.source
    recorded: list[Trajectory] = []
    if names_episodes(source) or (Path(source).is_dir() and find_run(source) is None):
        recorded = load_trajectories(source)
    elif (run := find_run(source)) is not None and not given.task:
        recorded = open_run(run).episodes()
    if recorded:
        if not recorded[0].task:
            raise UsageError(
                f"{source} does not say what its episodes were played in", expected="episodes inscape wrote"
            )
        task = Task.from_json(recorded[0].task)
        _require_one_observed(task)
        return recorded, task
    if given.task:
        _require_one_observed(resolve_task(given.task, args.changed_world_settings(given)))
    agent, task = _agent_and_task(source, given)
    return rollout(agent, task, given.episodes, given.seed), task


def _require_one_observed(task: Task) -> None:
    if task.world is not None and task.world.players > 1:
        raise MissingLawError(
            f"{task.name} has {task.world.players} players, and the observer watches one",
            expected="a world of one player",
            hint="inscape observe AGENT FourGoals",
        )


def _say_what_minds_see(console: Console, task: Task) -> None:
    from inscape.experiments.evaluation import hides_state

    if task.world is not None and hides_state(task.world):
        told = f"The minds considered see the state of {task.name}; who acts sees only what is observed."
        console.print(f"[dim]{escape(told)}[/dim]", soft_wrap=True)


def _observer(given: Any, task: Task) -> Observer:
    from inscape.theory_of_mind.minds import minds_grid
    from inscape.theory_of_mind.observers import Observer

    if task.world is None:
        raise MissingLawError(
            f"{task.name} has no law to observe with",
            expected="one of our worlds, or a World in a file: the observer plans as the agent might",
            hint="inscape observe AGENT FourGoals",
        )
    goals = _words(given.goals) or list(task.world.goals)
    if not goals:
        raise UsageError(
            f"{task.name} names no goals to choose between",
            expected="a world with `purposes`",
            hint="inscape observe AGENT FourGoals",
        )
    minds = minds_grid(goals, _numbers("beta", given.beta), _words(given.backup))
    prior = None
    if given.prior:
        shares = _numbers("prior", given.prior)
        if len(shares) != len(goals):
            raise UsageError(f"{len(shares)} prior probabilities for {len(goals)} goals", expected="one for each goal")
        each = len(minds) // len(goals)
        prior = np.repeat(np.array(shares) / each, each)
    return Observer(task.world, minds, prior, given.gamma)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(name: str, text: str) -> list[float]:
    try:
        return [float(word) for word in _words(text)]
    except ValueError as error:
        raise UsageError(
            f"--{name} {text}", expected="numbers with commas between them", hint=f"--{name} 1,5"
        ) from error


def _print_observation(console: Console, observer: Observer, trajectory: Trajectory, task: Task, number: int) -> None:
    beliefs = observer.marginal("goal", observer.posterior_over(trajectory))
    bits = observer.bits(trajectory)
    names = [str(goal) for goal in beliefs]
    columns = ("step", "action", "bits", *names)
    title = f"Episode {number}: {trajectory.agent} in {task.name}, return {_returns(trajectory)}"
    table = _table(*columns, numbers=("step", "bits", *names))
    for step in range(len(trajectory) + 1):
        held = [float(np.asarray(beliefs[goal])[step]) for goal in beliefs]
        best = int(np.argmax(held))
        cells = [f"[bold]{p:.3f}[/bold]" if g == best else f"{p:.3f}" for g, p in enumerate(held)]
        if step == 0:
            table.add_row("", "[dim]before[/dim]", "", *cells)
        else:
            action = escape(task.action_names[int(trajectory.actions[step - 1])])
            table.add_row(str(step), action, f"{bits[step - 1]:.2f}", *cells)
    _print_table(console, title, table)
    final = observer.posterior_over(trajectory)[-1]
    log_evidence = -float(bits.sum()) * float(np.log(2))
    console.print(
        f"Actions predicted at {bits.mean():.3f} bits each (a uniform guess: {np.log2(len(task.action_names)):.3f}); "
        f"log evidence {log_evidence:.3f} nats; most probable mind: {escape(observer.minds[int(final.argmax())].name)}",
        soft_wrap=True,
    )


# --- watch, report, check, demo -------------------------------------------------------------------------------------


def watch_command(argv: Sequence[str]) -> int:
    """Shows episodes in a window or writes them to a file."""
    from inscape.experiments.watch import replay, watch

    given, together = _parse_cast_command("watch", args.WatchArguments, argv)
    if given.episodes is not None:
        _require_positive("episodes", given.episodes)
    look = {"save": given.save, "copies": given.copies, "fps": given.fps, "size": given.size}
    if names_episodes(given.source):
        if given.task:
            raise UsageError(f"the world {given.task} beside recorded episodes", expected="the file alone")
        saved = replay(load_trajectories(given.source)[: given.episodes], **look)
    else:
        agents, task = _cast(given.source, given) if together else _agent_and_task(given.source, given)
        saved = watch(agents, task, episodes=given.episodes or 1, seed=given.seed, **look)
    if saved is not None:
        what = "Pictures" if saved.is_dir() else "Episode" if (given.episodes or given.copies) == 1 else "Episodes"
        _console().print(f"{what} in {saved}", soft_wrap=True)
    return 0


def _players_of(world: str) -> int:
    """Returns how many act in a world; 1 where there is no such world, which others report."""
    from inscape.envs.registry import PETTINGZOO_PREFIX, find_spec, make_world, resolve_task

    if world.startswith(PETTINGZOO_PREFIX):
        return resolve_task(world).players
    spec = find_spec(world)
    return 1 if spec is None else make_world(world).players if ":" in world else spec.players


def _cast(sources: str, given: Any) -> tuple[list[Any], Task]:
    """Returns the agents of a world of several players, from their names with commas between, and the task."""
    from inscape.envs.registry import resolve_task
    from inscape.experiments.stage import cast

    task = resolve_task(given.task, args.changed_world_settings(given))
    return cast(_words(sources), task, given.seed, humans=False, settings=getattr(given, "settings", None)), task


def play_command(argv: Sequence[str]) -> int:
    """Plays by hand, and says where the record lies and what can be done with it."""
    names = args.leading_names(argv, 1, "inscape play WORLD [options]")
    given = args.parse("play", args.PlayArguments, argv, args.world_settings_group(names[0]) if names else None)
    from inscape.envs.registry import resolve_task
    from inscape.envs.rendering import require_display

    require_display("inscape play")
    task = resolve_task(given.task, args.changed_world_settings(given))
    from inscape.experiments.play import play

    played = play(
        task, _words(given.players), given.seed, given.save, given.reveal, given.fps, given.size, given.realtime
    )
    console = _console()
    if played.path is None:
        console.print("Nothing was played, nothing is kept.")
        return 0
    for number, trajectory in enumerate(played.trajectories, 1):
        how = "terminated" if trajectory.terminated else "truncated"
        gained = _returns(trajectory)
        console.print(f"Episode {number}: {len(trajectory)} steps, return [bold]{gained}[/bold], {how}")
    console.print(f"Recorded in {played.path}", soft_wrap=True)
    if task.world is not None:
        console.print(f"See it again: inscape watch {escape(str(played.path))}", soft_wrap=True)
        if task.world.players == 1 and task.world.goals:
            console.print(f"What did you want? inscape observe {escape(str(played.path))}", soft_wrap=True)
    return 0


def _returns(trajectory: Trajectory) -> str:
    """Returns the return of an episode; of several players, theirs beside each other."""
    return " ".join(f"{total:.4g}" for total in np.atleast_1d(trajectory.total_reward))


def report_command(argv: Sequence[str]) -> int:
    """Writes the report on some runs."""
    from inscape.experiments.report import report_for_runs

    given = args.parse("report", args.ReportArguments, argv)
    if not given.runs:
        raise UsageError("no runs to report on", expected="inscape report RUN…", hint="inscape list runs")
    path = report_for_runs(given.runs, given.out or open_run(given.runs[0]).path / "report.html")
    _console().print(f"Report in {path}; open it in a browser.", soft_wrap=True)
    return 0


def check_command(argv: Sequence[str]) -> int:
    """Prints a table of checks; exit code 2 if one fails."""
    from inscape.envs.registry import resolve_task
    from inscape.experiments.check import check, classify

    names = args.leading_names(argv, 2, "inscape check WORLD | inscape check AGENT [WORLD] [options]")
    kind = classify(names[0]) if names else ""
    if kind == "world" and len(names) == 2:
        raise UsageError(f"{names[1]!r} after the world {names[0]}", expected="a world alone, or AGENT WORLD")
    world = names[-1] if kind == "world" or len(names) == 2 else ""
    given = args.parse("check", args.CheckArguments, argv, args.world_settings_group(world) if world else None)
    settings = args.changed_world_settings(given)
    report = check(
        given.target,
        task=resolve_task(given.task, settings) if given.task else None,
        settings=settings if kind == "world" else None,
    )
    console = _console()
    table = _table("", "check", "found")
    marks = {True: "[green]pass[/green]", False: "[bold red]FAIL[/bold red]", None: "[dim]skip[/dim]"}
    for item in report.checks:
        table.add_row(marks[item.passed], item.name, escape(item.message))
    _print_table(console, report.subject, table)
    if kind == "agent" and not given.task:
        console.print(f"[dim]Another world: inscape check {escape(given.target)} WORLD[/dim]", soft_wrap=True)
    failures = len(report.failures)
    made = sum(item.passed is not None for item in report.checks)
    console.print(f"{made} checks made, {failures} failed." if failures else f"{made} checks made, all passed.")
    return 2 if failures else 0


# --- bench ----------------------------------------------------------------------------------------------------------


def bench_command(argv: Sequence[str]) -> int:
    """Compares methods; prints tables and where the numbers lie."""
    from inscape.experiments.bench_tabular import bench_tabular, save_bench

    given = args.parse("bench", args.BenchArguments, argv)
    for name in ("steps", "seeds"):
        if getattr(given, name) < 1:
            raise UsageError(f"--{name} {getattr(given, name)}", expected="a whole number of at least 1")
    console = _console()
    found = bench_tabular(given.worlds, given.steps, given.seeds, given.seed)
    for world, results in found.items():
        exact = results["exact"]
        title = f"{world}: γ = {exact['gamma']:g}, {given.seeds} seeds, {given.steps:,} steps each"
        columns = ("bias at start", "deviation", "rms error")
        table = _table("the value of random play", *columns, numbers=columns)
        for row in results["prediction"]:
            table.add_row(row["method"], *(_number(row[key]) for key in ("bias", "deviation", "rms_error")))
        table.add_row("[dim]exact value at start[/dim]", f"[dim]{_number(exact['random'])}[/dim]")
        _print_table(console, title, table)
        console.print()
        measures = ("online return", "greedy value", "believed", "solved", "greedy steps")
        table = _table("learning to act", *measures, numbers=measures)
        for row in results["control"]:
            numbers = [_number(row[key]) for key in ("online_return", "greedy_value", "believed_value")]
            table.add_row(row["method"], *numbers, f"{row['solved']:.0%}", f"{row['greedy_length']:.1f}")
        table.add_row("[dim]exact optimum[/dim]", "", f"[dim]{_number(exact['best'])}[/dim]")
        console.print(table)
        console.print()
    settings = {"steps": given.steps, "seeds": given.seeds, "seed": given.seed}
    console.print(f"Results in {save_bench(found, settings, given.out)}", soft_wrap=True)
    return 0


def demo_command(argv: Sequence[str]) -> int:
    """Runs the demo."""
    given = args.parse("demo", args.DemoArguments, argv)
    from inscape.experiments.demo import run_demo

    run_demo(given.out, seed=given.seed)
    return 0
