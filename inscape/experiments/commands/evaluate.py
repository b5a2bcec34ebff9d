"""`inscape evaluate`: plays episodes; mean return and, where the law allows, exact value and regret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from rich.console import Console
from rich.markup import escape
from tyro.conf import Positional, arg

from inscape.errors import UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console, make_table, number, print_table, say_how_to_watch
from inscape.experiments.commands.sources import agent_and_task, cast_and_task, parse_cast_command

if TYPE_CHECKING:
    from inscape.agents.rollout import Evaluation
    from inscape.envs.tasks.task import Task


@dataclass(frozen=True)
class EvaluateArguments(args.TaskArguments):
    """Plays episodes; prints the mean return, its 95 % interval, and where the law allows exact value and regret.

    Several players: an agent for each, with commas, or one for all; prints how each of them did.

    Examples:
      inscape evaluate random CartPole
      inscape evaluate runs/CartPole-ppo-seed0 CartPole --episodes 500
      inscape evaluate runs/CartPole-ppo-seed0 --best
      inscape evaluate examples/balance.py:Balance CartPole
      inscape evaluate sb3:ppo CartPole --load model.zip --trust
      inscape evaluate mcts,random ConnectFour
    """

    agent: Annotated[Positional[str], arg(metavar="AGENT|RUN|FILE.py:Class[,…]")]
    """An agent or a run folder; several players: one for each, with commas, or one for all."""

    task: Annotated[Positional[str], arg(metavar="WORLD")] = ""
    """The world; a run may leave it out."""

    episodes: int = 100
    """Episodes to play."""

    seed: int = 0
    """Seed of the episodes and of the agent's own random generator."""

    best: bool = False
    """Of a run: the model of its best evaluation, as RUN/best (train with --keep-best), not the newest."""

    exact_gamma: Annotated[float | None, arg(metavar="FLOAT")] = None
    """Discount of the exact value; without it, the world's."""

    save_episodes: Annotated[str | None, arg(metavar="FILE.npz|minari:NAME")] = None
    """Record the episodes in a file, or as a Minari data set such as minari:lake/ppo-v0."""

    workers: Annotated[int | Literal["auto"], arg(metavar="N|auto")] = 0
    """Processes that the copies of a third-party environment are divided over; 0 keeps them in this one."""

    hang_seconds: float = 60.0
    """With --workers: time in one step or reset of a copy after which its process is started again."""

    max_restarts: Annotated[int, arg(metavar="N")] = 20
    """With --workers: how often copies that raise, end their process or hang are made again before this stops."""


def evaluate_command(argv: Sequence[str]) -> int:
    """Plays episodes; prints their mean and, where the law allows, the exact value and the regret."""
    from inscape.experiments.verbs.evaluate import PlayersEvaluation, evaluation_in

    given, together, world = parse_cast_command("evaluate", EvaluateArguments, argv)
    args.require_positive("episodes", given.episodes)
    agents, task = (cast_and_task if together else agent_and_task)(given.agent, given, world)
    task = args.in_workers(task, given)
    if task.players > 1 and not together:  # a run alone: its agent plays every part
        agents, together = [agents] * task.players, True
    console = make_console()
    cast: list[Any] = list(agents) if together else [agents]
    found = evaluation_in(cast, task, given.episodes, given.seed, save_episodes=given.save_episodes)
    if isinstance(found, PlayersEvaluation):
        print_players(console, agents, task, found.players)
    else:
        console.print(evaluation_line(given.agent, task, found), soft_wrap=True)
    _print_exact(console, agents, task, given.exact_gamma)
    if task.players == 1:
        _print_model(console, agents, task, given.seed)
    if given.save_episodes is not None:
        reader = "watch" if together else "observe"
        console.print(
            f"Episodes in {given.save_episodes}; show them: inscape {reader} {given.save_episodes}", soft_wrap=True
        )
    else:
        say_how_to_watch(console, given.agent, given.task)
    return 0


def evaluation_line(name: str, task: Task, result: Evaluation) -> str:
    low, high = result.ci
    return (
        f"{escape(name)} in {escape(task.name)}: mean return [bold]{result.mean:.4g}[/bold], 95 % interval "
        f"{low:.4g} to {high:.4g} ({len(result.returns)} episodes of {result.lengths.mean():.4g} steps)"
    )


def print_players(console: Console, agents: Sequence[Any], task: Task, found: Sequence[Evaluation]) -> None:
    """Prints how each player did; where what one gains others lose, also how often each won."""
    returns = np.stack([result.returns for result in found], axis=1)
    # nothing gained at all by players in turn is a draw, by players at once more likely a task that no player solved
    gained = bool(returns.any()) or not task.simultaneous
    is_contest = gained and bool(np.allclose(returns.sum(axis=1), 0))
    counted = ("won", "drawn", "lost") if is_contest else ()
    columns = ("player", "agent", "mean return", "95 % interval", *counted)
    table = make_table(*columns, numbers=columns[2:])
    for player, result in enumerate(found):
        low, high = result.ci
        cells = [task.player_names[player], agents[player].name, f"{result.mean:.4g}", f"{low:.4g} to {high:.4g}"]
        if is_contest:
            ahead = result.returns - np.delete(returns, player, axis=1).max(axis=1)
            cells += [f"{np.mean(outcome):.1%}" for outcome in (ahead > 0, ahead == 0, ahead < 0)]
        table.add_row(*map(escape, cells))
    lengths = found[0].lengths
    print_table(console, f"{task.name}, {len(lengths)} episodes of {lengths.mean():.4g} steps", table)


def _print_exact(console: Console, agent: Any, task: Task, gamma: float | None) -> None:
    from inscape.experiments.runs.evaluation import exact_value

    try:
        exact = exact_value(agent, task, gamma)
    except UsageError as refusal:
        if gamma is not None:  # asked for: then the refusal is the answer
            raise
        console.print(f"[dim]No exact value: {escape(refusal.found)}.[/dim]", soft_wrap=True)
        return
    how = "estimated from its actions" if exact.sampled else "its exact policy"
    optimum = f"{number(exact.optimum)} (± {exact.error_bound:.1g})"
    against = f"optimum {optimum}, regret [bold]{number(exact.regret)}[/bold]"
    if exact.hidden:
        against = f"an agent that sees the state would reach {optimum}; this one sees only what is observed"
    console.print(f"At the start, γ = {exact.gamma:g}: value {number(exact.value)} ({how}), {against}", soft_wrap=True)


def _print_model(console: Console, agent: Any, task: Task, seed: int) -> None:
    """Prints the scores of the model that an agent has learned, where it is one of those that learn models."""
    from inscape.experiments.runs.model_scores import ModelScores

    names = {"model/bits": "held-out code length of random play", "model/excess_bits": "above the true law",
             "model/regret": "regret of the plan made in it"}  # fmt: skip
    units = {"model/regret": ""}
    scores = ModelScores(agent, task, seed + 1_000_000_000)()
    if scores:
        told = [f"{names[name]} {number(value)}{units.get(name, ' bits a step')}" for name, value in scores.items()]
        console.print(f"World model: {', '.join(told)}", soft_wrap=True)
