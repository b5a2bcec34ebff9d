"""`inscape observe`: what an observer believes the agent wants, step by step."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from rich.console import Console
from rich.markup import escape
from tyro.conf import Positional, arg

from inscape.errors import UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.observers import minds_of
from inscape.experiments.commands.output import make_console, make_table, print_table, returns_of, say_how_to_watch
from inscape.experiments.commands.sources import agent_and_task, parse_agent_command
from inscape.experiments.runs.folders import find_run
from inscape.experiments.runs.storage.episodes import names_episodes
from inscape.theory_of_mind.minds import name_of

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.experiments.verbs.observe import Posterior
    from inscape.theory_of_mind.observers.exact import ExactObserver

SUFFIXES = (".html", ".mp4", ".gif")


@dataclass(frozen=True)
class ObserveArguments(args.TaskArguments):
    """Watches episodes and prints, step by step, what an observer believes the agent wants.

    Examples:
      inscape observe runs/FourGoals-q-learning-seed0
      inscape observe episodes.npz --goals A,B,C --beta 1,10
      inscape observe value-iteration FourGoals --backup maxent --explain
      inscape observe value-iteration FourGoals --save observed.html
      inscape observe pbvi FoodTrucks --minds-filter
      inscape observe random TicTacToe --player 0 --minds my_minds.py:minds
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

    minds_filter: bool = False
    """The minds considered do not see the state: they update beliefs by what they see."""

    minds: Annotated[str, arg(metavar="FILE:NAME")] = ""
    """Minds of your own instead: a list of them in a file or module, or a function of the world that returns one."""

    player: Annotated[int | None, arg(metavar="N")] = None
    """Who is watched, where there are several players."""

    explain: bool = False
    """Say in a few sentences what is believed in the end, and which steps told it."""

    save: Annotated[str | None, arg(metavar="FILE.html|.mp4|.gif")] = None
    """Write the episodes with what is believed: a page with a player, or a video with bars that move."""

    episodes: int = 1
    """Episodes to show (and to play, for an agent or a run without recorded ones)."""

    seed: int = 0
    """Seed of the episodes played."""


def observe_command(argv: Sequence[str]) -> int:
    """Prints what an observer believes after each step of some episodes."""
    from inscape.agents.rollout import rollout
    from inscape.experiments.verbs.observe import episodes_of, observer_for, posterior_of

    given, world = parse_agent_command("observe", ObserveArguments, argv)
    args.require_positive("episodes", given.episodes)
    path = None if given.save is None else Path(given.save)
    if path is not None and path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--save {given.save}", expected="a file that ends in " + ", ".join(SUFFIXES))
    named = args.task_given(given, world) if given.task else None
    settings = getattr(given, "settings", None)
    if find_run(given.source) and not given.task and args.task_options_of(given) != args.NO_OPTIONS:
        agent, task = agent_and_task(given.source, given, world)  # recorded episodes are of the world as it was
        trajectories = rollout(agent, task, given.episodes, given.seed)
    else:
        trajectories, task = episodes_of(
            given.source, named, given.episodes, given.seed, settings=settings, player=given.player
        )
    goals = args.words_of(given.goals) or None
    prior = args.numbers_of("prior", given.prior) if given.prior else None
    minds = args.numbers_of("beta", given.beta), args.words_of(given.backup)
    own = minds_of(given.minds, task) if given.minds else None
    observer = observer_for(
        task, own, goals, *minds, prior, given.gamma, given.minds_see, given.minds_filter, given.player
    )
    console = make_console()
    if given.minds_see:
        _say_what_minds_see(console, task)
    posteriors = [posterior_of(observer, trajectory, task) for trajectory in trajectories[: given.episodes]]
    for number, posterior in enumerate(posteriors, start=1):
        _print_posterior(console, posterior, task, number)
        if given.explain:
            console.print(escape(posterior.explain()), soft_wrap=True)
    if path is not None:
        command = shlex.join(["inscape", "observe", *argv])
        console.print(f"Saved in {escape(str(_save(path, observer, posteriors, command)))}", soft_wrap=True)
    if not names_episodes(given.source):
        say_how_to_watch(console, given.source, given.task)
    return 0


def _save(path: Path, observer: ExactObserver, posteriors: Sequence[Posterior], command: str) -> Path:
    if path.suffix.lower() == ".html":
        from inscape.experiments.report.observed import save_observed

        return save_observed(path, observer, posteriors, [command])
    from inscape.experiments.viewing.watch import replay

    saved = replay([posterior.trajectory for posterior in posteriors], path, observer=observer)
    assert saved is not None
    return saved


def _say_what_minds_see(console: Console, task: Task) -> None:
    from inscape.experiments.runs.evaluation import hides_state

    if task.world is not None and hides_state(task.world):
        note = f"The minds considered see the state of {task.name}; the acting agent sees only what is observed."
        console.print(f"[dim]{escape(note)}[/dim]", soft_wrap=True)


def _print_posterior(console: Console, posterior: Posterior, task: Task, number: int) -> None:
    names, bits, trajectory = list(posterior.goals), posterior.bits, posterior.trajectory
    columns = ("step", "action", "bits", *names)
    title = f"Episode {number}: {trajectory.agent} in {task.name}, return {returns_of(trajectory)}"
    table = make_table(*columns, numbers=("step", "bits", *names))
    for step in range(len(posterior) + 1):
        held = [float(posterior.goals[goal][step]) for goal in names]
        best = int(np.argmax(held))
        cells = [f"[bold]{p:.3f}[/bold]" if g == best else f"{p:.3f}" for g, p in enumerate(held)]
        if step == 0:
            table.add_row("", "[dim]before[/dim]", "", *cells)
        else:
            table.add_row(str(step), escape(posterior.actions[step - 1]), f"{bits[step - 1]:.2f}", *cells)
    print_table(console, title, table)
    mind = escape(name_of(posterior.most_probable))
    console.print(
        f"Actions predicted at {bits.mean():.3f} bits each (a uniform guess: {np.log2(len(task.action_names)):.3f}); "
        f"log evidence {posterior.log_evidence:.3f} nats; most probable mind: {mind}",
        soft_wrap=True,
    )
