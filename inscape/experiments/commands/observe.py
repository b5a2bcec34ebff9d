"""`inscape observe`: what an observer believes the agent wants, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from tyro.conf import Positional, arg

from inscape.envs.tasks.resolve import task_from_json
from inscape.errors import MissingLawError, UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console, make_table, print_table, returns_of, say_how_to_watch
from inscape.experiments.commands.sources import agent_and_task, parse_agent_command
from inscape.experiments.runs.run import find_run, load_trajectories, names_episodes, open_run

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.tasks.task import Task
    from inscape.theory_of_mind.observers.exact import ExactObserver


@dataclass(frozen=True)
class ObserveArguments:
    """Watches episodes and prints, step by step, what an observer believes the agent wants.

    Examples:
      inscape observe runs/FourGoals-q-learning-seed0
      inscape observe episodes.npz --goals A,B,C --beta 1,10
      inscape observe value-iteration FourGoals --backup maxent
    """

    source: Annotated[Positional[str], arg(metavar="RUN|EPISODES|AGENT")]
    """A run folder, a file of recorded episodes, or an agent to play some."""

    task: Annotated[Positional[str], arg(metavar="WORLD")] = ""
    """The world, for an agent."""

    goals: Annotated[str, arg(metavar="A,B,…")] = ""
    """Goals considered, by name; without it, all that the world names."""

    beta: Annotated[str, arg(metavar="β,β,…")] = "1,5,25"
    """Degrees of rationality considered, per unit of reward: 0 acts at random."""

    backup: Annotated[str, arg(metavar="NAME,…")] = "soft-eval"
    """How a mind values the future: soft-eval (as it will act), maxent (log-sum-exp), hard (at its best)."""

    prior: Annotated[str, arg(metavar="P,P,…")] = ""
    """Prior probability of each goal; without it, equal."""

    gamma: Annotated[float | None, arg(metavar="FLOAT")] = None
    """Discount the minds plan with; without it, the world's."""

    minds_see: bool = False
    """The minds considered know the state even where the world hides it from the acting agent."""

    episodes: int = 1
    """Episodes to show (and to play, for an agent or a run without recorded ones)."""

    seed: int = 0
    """Seed of the episodes played."""


def observe_command(argv: Sequence[str]) -> int:
    """Prints what an observer believes after each step of some episodes."""
    given, world = parse_agent_command("observe", ObserveArguments, argv)
    args.require_positive("episodes", given.episodes)
    trajectories, task = _episodes_and_task(given, world)
    observer = _observer(given, task)
    console = make_console()
    if given.minds_see:
        _say_what_minds_see(console, task)
    for number, trajectory in enumerate(trajectories[: given.episodes], start=1):
        _print_observation(console, observer, trajectory, task, number)
    if not names_episodes(given.source):
        say_how_to_watch(console, given.source, given.task)
    return 0


def _episodes_and_task(given: Any, world: Task | None) -> tuple[list[Trajectory], Task]:
    from inscape.agents.rollout import rollout

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
        task = task_from_json(recorded[0].task, source)
        _require_one_observed(task)
        for trajectory in recorded:
            if task.world is not None and trajectory.states is not None:
                task.world.require_states(trajectory.states, f"the states in {source}")
        return recorded, task
    if world is not None:
        _require_one_observed(world)
    agent, task = agent_and_task(source, given, world)
    return rollout(agent, task, given.episodes, given.seed), task


def _require_one_observed(task: Task) -> None:
    if task.world is not None and task.world.players > 1:
        raise MissingLawError(
            f"{task.name} has {task.world.players} players, and the observer watches one",
            expected="a world of one player",
            hint="inscape observe AGENT FourGoals",
        )


def _say_what_minds_see(console: Console, task: Task) -> None:
    from inscape.experiments.runs.evaluation import hides_state

    if task.world is not None and hides_state(task.world):
        note = f"The minds considered see the state of {task.name}; the acting agent sees only what is observed."
        console.print(f"[dim]{escape(note)}[/dim]", soft_wrap=True)


def _observer(given: Any, task: Task) -> ExactObserver:
    from inscape.theory_of_mind.minds import minds_grid
    from inscape.theory_of_mind.observers.exact import ExactObserver

    if task.world is None:
        raise MissingLawError(
            f"{task.name} has no law to observe with",
            expected="a built-in world, or a World in a file: the observer plans as the agent might",
            hint="inscape observe AGENT FourGoals",
        )
    goals = args.words_of(given.goals) or list(task.world.goals)
    if not goals:
        raise UsageError(
            f"{task.name} names no goals to choose between",
            expected="a world with `purposes`",
            hint="inscape observe AGENT FourGoals",
        )
    betas, backups = args.numbers_of("beta", given.beta), args.words_of(given.backup)
    minds = minds_grid(goals, betas, backups, sees=given.minds_see)
    prior = None
    if given.prior:
        shares = args.numbers_of("prior", given.prior)
        if len(shares) != len(goals):
            raise UsageError(f"{len(shares)} prior probabilities for {len(goals)} goals", expected="one for each goal")
        each = len(minds) // len(goals)
        prior = np.repeat(np.array(shares) / each, each)
    return ExactObserver(task.world, minds, prior, given.gamma)


def _print_observation(
    console: Console, observer: ExactObserver, trajectory: Trajectory, task: Task, number: int
) -> None:
    from inscape.theory_of_mind.minds import name_of

    numbered = observer.state_indices(trajectory)
    posteriors = observer.posterior_over(numbered)
    beliefs, bits = observer.marginal("goal", posteriors), observer.bits_per_action(numbered)
    names = [str(goal) for goal in beliefs]
    columns = ("step", "action", "bits", *names)
    title = f"Episode {number}: {trajectory.agent} in {task.name}, return {returns_of(trajectory)}"
    table = make_table(*columns, numbers=("step", "bits", *names))
    for step in range(len(trajectory) + 1):
        held = [float(np.asarray(beliefs[goal])[step]) for goal in beliefs]
        best = int(np.argmax(held))
        cells = [f"[bold]{p:.3f}[/bold]" if g == best else f"{p:.3f}" for g, p in enumerate(held)]
        if step == 0:
            table.add_row("", "[dim]before[/dim]", "", *cells)
        else:
            action = escape(task.action_names[int(trajectory.actions[step - 1])])
            table.add_row(str(step), action, f"{bits[step - 1]:.2f}", *cells)
    print_table(console, title, table)
    log_evidence = -float(bits.sum()) * float(np.log(2))
    most_probable = name_of(observer.minds[int(posteriors[-1].argmax())])
    console.print(
        f"Actions predicted at {bits.mean():.3f} bits each (a uniform guess: {np.log2(len(task.action_names)):.3f}); "
        f"log evidence {log_evidence:.3f} nats; most probable mind: {escape(most_probable)}",
        soft_wrap=True,
    )
