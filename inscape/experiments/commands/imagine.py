"""`inscape imagine`: what would have followed from other actions, drawn as ghosts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from tyro.conf import Positional, arg

from inscape.errors import MissingLawError, UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console, make_table, number, print_table

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

SUFFIXES = (".png", ".html")


@dataclass(frozen=True)
class ImagineArguments:
    """Follows alternatives from one state, under the same random numbers: a table, and ghosts in a picture or a page.

    From a step of a run's episode, or from a start. After its actions an alternative goes on as --agent acts.

    Examples:
      inscape imagine CartPole --alternatives left,right --agent random
      inscape imagine CartPole --from runs/CartPole-ppo-seed0 --step 40 --alternatives left,right --horizon 60
      inscape imagine Pendulum --alternatives="-2,0,2" --agent icem --save ghosts.png
      inscape imagine FrozenLake --alternatives right,down --agent value-iteration --samples 200
    """

    task: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world, whose law it follows."""

    alternatives: Annotated[str, arg(metavar="ACTION,…")] = ""
    """Actions, by name or number; several one after another: left+left+right. Of continuous ones their numbers, the
    components joined by a colon. Without it, every action."""

    run: Annotated[str | None, arg(name="from", metavar="RUN")] = None
    """A run: from one of its recorded episodes, or, where it has none, one that its agent plays."""

    episode: int = 0
    """Which of the episodes."""

    step: int = 0
    """Which step of the episode: the state in which its action number STEP was taken."""

    agent: Annotated[str | None, arg(metavar="AGENT|RUN")] = None
    """Who acts afterwards; without it the run's agent, and without a run the alternative's last action is repeated."""

    horizon: int = 60
    """Most steps."""

    samples: int = 1
    """Futures of each alternative: more than one where the law is stochastic."""

    seed: int = 0
    """Seed of the start and of the random numbers."""

    save: Annotated[str | None, arg(metavar="FILE.png|FILE.html")] = None
    """A picture, or a page with a player; without it, imagined.html."""


def imagine_command(argv: Sequence[str]) -> int:
    """Prints and draws what would follow."""
    from inscape.envs.tasks.resolve import resolve_task
    from inscape.experiments.report.imagined import difference, save_imagined
    from inscape.experiments.runs.resuming import load_agent
    from inscape.experiments.verbs.imagine import imagine

    names = args.leading_names(argv, 1, "inscape imagine WORLD [options]")
    given = args.parse("imagine", ImagineArguments, argv, args.world_settings_group(names[0]) if names else None)
    path = Path(given.save or "imagined.html")
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--save {given.save}", expected="a file that ends in " + " or ".join(SUFFIXES))
    for name in ("horizon", "samples"):
        args.require_positive(name, getattr(given, name))
    task = resolve_task(given.task, args.changed_world_settings(given))
    agent: Any = None
    if given.run is not None:
        agent, trained = load_agent(given.run)
        task = _same_world(task, trained, given.run)
    if given.agent is not None:
        agent = load_agent(given.agent)[0] if _is_run(given.agent) else given.agent
    world = task.world
    if world is None:
        raise MissingLawError(
            f"{task.name} has no law to imagine with", expected="a built-in world, or a World in a file"
        )
    state, where = _state(given, task, agent)
    alternatives = _alternatives(given.alternatives, world)
    imagined = imagine(world, state, alternatives, agent, given.horizon, given.seed, samples=given.samples)
    console = make_console()
    who = "the same action" if agent is None else agent if isinstance(agent, str) else agent.name
    columns = ["alternative", "return", "steps", "", "less than the best", "± s.e."]
    table = make_table(*columns, numbers=(*columns[1:3], *columns[4:]))
    for name, trajectory in imagined.items():
        less, error = difference(imagined, name)
        ending = "" if given.samples > 1 else "ends" if trajectory.terminated else "goes on"
        table.add_row(
            name, number(float(imagined.returns[name].mean())), f"{imagined.lengths[name].mean():g}", ending,
            number(less), number(error) if error is not None else "",
        )  # fmt: skip
    console.print(world.describe_state(state), style="dim", soft_wrap=True)
    futures = f"{given.samples} futures each, " if given.samples > 1 else ""
    print_table(console, f"{task.name}, {where}: {given.horizon} steps, {futures}then {who}", table)
    command = "inscape imagine " + " ".join(shlex.quote(word) for word in argv)
    saved = save_imagined(path, world, imagined, f"{task.name}, {where}", (command,))
    console.print(f"Drawn in {saved}", soft_wrap=True)
    return 0


def _is_run(name: str) -> bool:
    from inscape.experiments.runs.folders import find_run

    return find_run(name) is not None


def _same_world(task: Task, trained: Task, run: str) -> Task:
    """Returns the run's task, whose settings it has.

    Raises:
        UsageError: the run is of another world.
    """
    if task.name != trained.name:
        raise UsageError(f"the run {run} is of {trained.name}", expected=f"a run of {task.name}")
    return trained


def _state(given: Any, task: Task, agent: Any) -> tuple[Any, str]:
    """Returns the state to imagine from, as a batch of one, and where it is, in words.

    Raises:
        UsageError: there is no such episode or step.
    """
    assert task.world is not None
    if given.step < 0 or given.episode < 0:
        raise UsageError(f"--episode {given.episode} --step {given.step}", expected="numbers from 0 on")
    if given.run is None and given.step == 0:
        return task.world.sample_initial(1, np.random.default_rng(given.seed)), "at a start"
    trajectory = _episode(given, task, agent)
    if given.step >= len(trajectory):
        raise UsageError(
            f"--step {given.step} of an episode of {len(trajectory)} steps", expected=f"0 to {len(trajectory) - 1}"
        )
    states = trajectory.states
    if states is None:
        return task.world.states_of(trajectory.observations[[given.step]]), f"step {given.step}"
    return states[[given.step]], f"step {given.step} of episode {given.episode}"


def _episode(given: Any, task: Task, agent: Any) -> Any:
    """Returns the episode that is meant: recorded in the run, or played now."""
    from inscape.agents.registry import make_agent
    from inscape.agents.rollout import rollout
    from inscape.experiments.runs.folders import open_run

    recorded = open_run(given.run).episodes() if given.run is not None else []
    if recorded:
        if given.episode >= len(recorded):
            raise UsageError(
                f"--episode {given.episode} of a run with {len(recorded)} recorded episodes",
                expected=f"0 to {len(recorded) - 1}",
            )
        return recorded[given.episode]
    if agent is None:
        raise UsageError(
            f"--step {given.step} without an episode", expected="--from RUN, or --agent AGENT who plays one"
        )
    playing = make_agent(agent, task, given.seed) if isinstance(agent, str) else agent
    return rollout(playing, task, given.episode + 1, given.seed)[given.episode]


def _alternatives(text: str, world: Any) -> Any:
    """Returns the alternatives of the line: a list, or a dictionary of those of several actions."""
    if not text:
        if world.continuous:
            raise UsageError("no --alternatives", expected="numbers", hint="--alternatives=-1,0,1")
        return list(world.action_names)
    words = args.words_of(text)
    if not world.continuous:
        return {word: word.split("+") for word in words}
    return {word: [part.replace(":", " ") for part in word.split("+")] for word in words}
