"""`inscape.evaluate`: how well an agent does in a world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inscape import html
from inscape.agents.rollout import MAX_COPIES, Evaluation, evaluate_players, evaluation_of, rollout
from inscape.envs.tasks.task import Task
from inscape.errors import UsageError, whole_number
from inscape.experiments.runs.storage.episodes import save_trajectories
from inscape.experiments.verbs.given import agents_and_task

if TYPE_CHECKING:
    from inscape.agents.interface import Agent
    from inscape.envs.tasks.resolve import Given


@dataclass(frozen=True, repr=False)
class PlayersEvaluation(Evaluation):
    """How several players did in the same episodes; as an `Evaluation`, it is the first player's.

    Attributes:
        players: one `Evaluation` for each player.
        names: the players' names.
    """

    players: tuple[Evaluation, ...] = ()
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "; ".join(f"{name}: {result}" for name, result in zip(self.names, self.players, strict=True))

    def _repr_html_(self) -> str:
        columns = ("player", "agent", "mean return", "95 % interval")
        rows = [
            (name, result.agent, result.mean, f"{html.number(result.ci[0])} to {html.number(result.ci[1])}")
            for name, result in zip(self.names, self.players, strict=True)
        ]
        note = f"{len(self.returns)} episodes of {html.number(float(self.lengths.mean()))} steps"
        return html.block(f"Evaluation in {self.world}", html.table(columns, rows, columns[2:]), note=note)


def evaluate(
    agent: Any,
    world: Given | None = None,
    episodes: int = 100,
    seed: int = 0,
    max_copies: int = MAX_COPIES,
    gamma: float = 1.0,
    *,
    device: str = "cpu",
    settings: Any = None,
    save_episodes: str | Path | None = None,
) -> Evaluation:
    """Plays episodes and returns their returns, with the mean's 95 % confidence interval.

        evaluate(run)
        evaluate("random", MyWorld())
        evaluate(lambda observation: int(observation[2] > 0), "CartPole-v1", episodes=20)
        evaluate(["mcts", "random"], "ConnectFour").players

    The same seed gives the same episodes; what an agent in hand draws itself goes on from call to call.

    Args:
        agent: a name, a class, a run or its folder; an object with `act`, a model of Stable-Baselines3 (which acts
            deterministically), or a function of one observation. Several players: a list of these, or one for all.
        world: a name, or a task, a world or an environment, its class or a function that makes one; a run may leave it
            out.
        episodes: how many.
        seed: of the episodes, and of an agent that is made here.
        max_copies: episodes are played side by side in at most this many copies.
        gamma: discount of the returns; 1 for plain sums.
        device: of an agent that is made here.
        settings: likewise.
        save_episodes: a file (`.npz`), or `minari:NAME`, in which the episodes are recorded.

    Returns:
        An `Evaluation`: `.mean`, `.ci`, `.returns`, `.lengths`. Of several players a `PlayersEvaluation`.

    Raises:
        UsageError: see `agents_and_task` in `inscape.experiments.verbs.given`; and as `rollout`.
    """
    episodes, seed = whole_number("episodes =", episodes, 1), whole_number("seed", seed)
    agents, task = agents_and_task(agent, world, seed, device, settings)
    return evaluation_in(agents, task, episodes, seed, max_copies, gamma, save_episodes)


def evaluation_in(
    agents: Sequence[Agent],
    task: Task,
    episodes: int,
    seed: int,
    max_copies: int = MAX_COPIES,
    gamma: float = 1.0,
    save_episodes: str | Path | None = None,
) -> Evaluation:
    """Returns how agents, one for each player, do in a task; arguments as `evaluate`'s."""
    if save_episodes is None:
        found = evaluate_players(list(agents), task, episodes, seed, max_copies, gamma)
    else:
        if gamma != 1.0:
            raise UsageError(f"gamma = {gamma} with episodes that are saved", expected="plain sums: gamma 1")
        recorded = rollout(list(agents), task, episodes, seed, max_copies)
        save_trajectories(save_episodes, recorded)
        found = evaluation_of(recorded, seed)
    named = [_named(result, agent.name, task.name) for result, agent in zip(found, agents, strict=True)]
    if len(named) == 1:
        return named[0]
    first = named[0]
    return PlayersEvaluation(
        first.returns,
        first.lengths,
        first.terminated,
        first.ci,
        first.agent,
        task.name,
        tuple(named),
        task.player_names,
    )


def _named(result: Evaluation, agent: str, world: str) -> Evaluation:
    return Evaluation(result.returns, result.lengths, result.terminated, result.ci, agent, world)
