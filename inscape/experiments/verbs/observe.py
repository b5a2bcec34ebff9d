"""`inscape.observe`: what an observer believes an agent wants, step by step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from inscape import html
from inscape.agents.rollout import rollout
from inscape.envs.data.trajectory import Trajectory
from inscape.envs.tasks.resolve import as_task, task_from_json
from inscape.errors import MissingLawError, UsageError, whole_number
from inscape.experiments.runs.folders import find_run, open_run
from inscape.experiments.runs.run import Run
from inscape.experiments.runs.storage.episodes import load_trajectories, names_episodes
from inscape.experiments.verbs.given import agents_and_task
from inscape.experiments.verbs.hypotheses import hypotheses
from inscape.experiments.verbs.steps import are_steps, episode_of
from inscape.theory_of_mind.explaining import explain
from inscape.theory_of_mind.minds import minds_grid, name_of
from inscape.theory_of_mind.observers.exact import ExactObserver
from inscape.theory_of_mind.parts.believing import Filtering
from inscape.theory_of_mind.planning_mind import PlanningMind
from inscape.theory_of_mind.player_view import PlayerView

if TYPE_CHECKING:
    from inscape.envs.tasks.resolve import Given
    from inscape.envs.tasks.task import Task
    from inscape.theory_of_mind.minds import Mind

BETAS = (1.0, 5.0, 25.0)
BACKUP = "soft-eval"


@dataclass(frozen=True, eq=False)
class Posterior:
    """What an observer believes along an episode of T steps, about G minds.

    Attributes:
        probabilities: `[T + 1, G]` P(mind | what was seen), before the first action and after each.
        minds: the G minds.
        goals: for each goal `[T + 1]`, its probability, summed over the minds that have it; minds without goals, or
            all of one goal, are keyed by their names.
        bits: `[T]` −log₂ P(action | what was seen before it): how surprising each action was.
        actions: the T actions' names.
        trajectory: the episode.
        world: the world's name.
        num_actions: A, how many actions it has.
    """

    probabilities: np.ndarray
    minds: tuple[Mind, ...]
    goals: Mapping[str, np.ndarray]
    bits: np.ndarray
    actions: tuple[str, ...]
    trajectory: Trajectory
    world: str
    num_actions: int

    def __len__(self) -> int:
        """The number of steps, T."""
        return len(self.bits)

    @property
    def log_evidence(self) -> float:
        """log P(actions | states), in nats."""
        return -float(self.bits.sum()) * math.log(2)

    @property
    def final(self) -> np.ndarray:
        """`[G]` what is believed after the last action."""
        return np.asarray(self.probabilities[-1])

    @property
    def most_probable(self) -> Mind:
        """The mind most probable in the end."""
        return self.minds[int(self.final.argmax())]

    @property
    def goal(self) -> str:
        """The goal most probable in the end."""
        return max(self.goals, key=lambda goal: float(self.goals[goal][-1]))

    def explain(self, most: int = 3) -> str:
        """Returns what came to be believed, and which steps told it, in a few sentences."""
        return explain(self.goals, self.actions, self.bits, self.num_actions, most)

    def __repr__(self) -> str:
        believed = float(self.goals[self.goal][-1])
        return f"Posterior({self.trajectory.agent} in {self.world}, {len(self)} steps: {self.goal} with {believed:.3f})"

    def _repr_html_(self) -> str:
        names = list(self.goals)
        order = sorted(names, key=lambda goal: -float(self.goals[goal][-1]))
        shown_lines = order[:6]
        rows = [
            [goal, html.number(float(self.goals[goal][0]), 3), html.number(float(self.goals[goal][-1]), 3)]
            for goal in order[:12]
        ]
        total = float(np.sum(self.trajectory.rewards))
        return html.block(
            f"What {self.trajectory.agent} wants in {self.world}",
            html.share_lines(shown_lines, [list(self.goals[goal]) for goal in shown_lines]),
            html.table(("goal", "before", "after"), rows, ("before", "after"), best=0),
            note=f"{len(self)} steps, return {html.number(total)}; actions predicted at "
            f"{html.number(float(self.bits.mean()) if len(self) else math.nan, 3)} bits each, a uniform guess "
            f"{html.number(math.log2(self.num_actions), 3)}; most probable mind: {name_of(self.most_probable)}",
        )


@dataclass(frozen=True, eq=False)
class Posteriors(Sequence[Posterior]):
    """The posteriors along several episodes, each from the prior on; of a single one also what `Posterior` has.

    Attributes:
        episodes: one `Posterior` each.
        observer: what observed, its evidence that of the prior.
    """

    episodes: tuple[Posterior, ...]
    observer: ExactObserver

    def __len__(self) -> int:
        return len(self.episodes)

    def __iter__(self) -> Iterator[Posterior]:
        return iter(self.episodes)

    @overload
    def __getitem__(self, index: int) -> Posterior: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Posterior]: ...
    def __getitem__(self, index: int | slice) -> Posterior | Sequence[Posterior]:
        return self.episodes[index]

    @property
    def _only(self) -> Posterior:
        if len(self) != 1:
            raise UsageError(f"the posteriors of {len(self)} episodes", expected="one of them: posteriors[0]")
        return self.episodes[0]

    @property
    def probabilities(self) -> np.ndarray:
        """`[T + 1, G]` of the only episode."""
        return self._only.probabilities

    @property
    def minds(self) -> tuple[Mind, ...]:
        """The G minds."""
        return self.episodes[0].minds

    @property
    def goals(self) -> Mapping[str, np.ndarray]:
        """For each goal `[T + 1]`, of the only episode."""
        return self._only.goals

    @property
    def goal(self) -> str:
        """The goal most probable at the end of the only episode."""
        return self._only.goal

    @property
    def most_probable(self) -> Mind:
        """The mind most probable at the end of the only episode."""
        return self._only.most_probable

    @property
    def bits(self) -> np.ndarray:
        """`[T]` of the only episode."""
        return self._only.bits

    def __repr__(self) -> str:
        return f"Posteriors[{', '.join(map(repr, self.episodes))}]"

    def _repr_html_(self) -> str:
        return "".join(episode._repr_html_() for episode in self.episodes)


def observe(
    agent: Any,
    world: Given | None = None,
    *,
    minds: Sequence[Mind] | None = None,
    goals: Sequence[Any] | None = None,
    betas: float | Sequence[float] = BETAS,
    backups: str | Sequence[str] = BACKUP,
    prior: Sequence[float] | None = None,
    gamma: float | None = None,
    minds_see: bool = False,
    minds_filter: bool = False,
    player: int | None = None,
    episodes: int = 1,
    seed: int = 0,
    device: str = "cpu",
    settings: Any = None,
) -> Posteriors:
    """Lets an agent act, watches it, and returns what an observer believes about it after each step.

        observe("value-iteration", "FourGoals").goals["D"]
        observe(run)
        observe([(state, "right"), (next_state, "up")], "FourGoals")
        observe(my_agent, MyWorld(), minds=[PlanningMind("shop", 5.0), Wanderer()])

    Args:
        agent: as `evaluate` takes it; or episodes: a list of `Trajectory`, or a file of them; or a run; or steps that
            were seen, a list of `(state, action)` or `(state, action, next_state)`, as `ExactObserver.update` takes
            them.
        world: as `evaluate` takes it, with a law; a run, or stored episodes, may leave it out.
        minds: the hypotheses; None for every goal with every beta and backup.
        goals: goals considered, names or purposes of the world; None for all that it names.
        betas: degrees of rationality considered, per unit of reward.
        backups: how a mind values the future: `"soft-eval"`, `"maxent"`, `"hard"`.
        prior: `[G]` one probability for each mind, or with `goals` one for each goal; None for equal ones.
        gamma: discount the minds plan with; None for the world's.
        minds_see: the minds considered know the state even where the world hides it from the acting agent.
        minds_filter: they do not see it, and update beliefs by what they see.
        player: who is watched, where there are several players.
        episodes: how many are watched.
        seed: of the episodes, and of an agent that is made here.
        device, settings: of an agent that is made here.

    Returns:
        A `Posterior` for each episode; of a single one, `.goals`, `.probabilities`, `.most_probable`, `.bits`.

    Raises:
        MissingLawError: the world has no law; or several players, and none is named.
        UsageError: no such agent, world or mind; the world names no goals and no minds are given.
        ImpossibleEvidenceError: no mind would have done what the agent did.
    """
    episodes, seed = whole_number("episodes =", episodes, 1), whole_number("seed", seed)
    watched, task = episodes_of(agent, world, episodes, seed, device, settings, player)
    observer = observer_for(task, minds, goals, betas, backups, prior, gamma, minds_see, minds_filter, player)
    return Posteriors(tuple(posterior_of(observer, one, task) for one in watched[:episodes]), observer)


def episodes_of(
    agent: Any,
    world: Given | None,
    episodes: int,
    seed: int,
    device: str = "cpu",
    settings: Any = None,
    player: int | None = None,
) -> tuple[list[Trajectory], Task]:
    """Returns the episodes that are observed, recorded ones or played here, and the task they were played in."""
    if are_steps(agent):
        task = _task_of_steps(world)
        assert task.world is not None
        return [episode_of(agent, task.world, task)], task
    recorded, source = _recorded(agent, world)
    if recorded:
        if world is not None:
            task = as_task(world)
        elif recorded[0].task:
            task = task_from_json(recorded[0].task, source)
        else:
            raise UsageError(
                f"{source} does not say what its episodes were played in", expected="episodes inscape wrote, or a world"
            )
        _require_one_observed(task, player)
        for trajectory in recorded:
            if task.world is not None and trajectory.states is not None:
                task.world.require_states(trajectory.states, f"the states in {source}")
        return recorded, task
    if world is not None:
        _require_one_observed(as_task(world), player)
    agents, task = agents_and_task(agent, world, seed, device, settings)
    _require_one_observed(task, player)
    return rollout(agents, task, episodes, seed), task


def _recorded(agent: Any, world: Any) -> tuple[list[Trajectory], str]:
    """Returns recorded episodes, and what they come from; none where an agent is to play some."""
    if isinstance(agent, Trajectory):
        return [agent], "an episode"
    if isinstance(agent, (list, tuple)) and agent and all(isinstance(one, Trajectory) for one in agent):
        return list(agent), "a list of episodes"
    if isinstance(agent, (list, tuple)):
        raise UsageError(
            f"a list of {type(agent[0]).__name__ if agent else 'nothing'} to observe",
            expected="an agent, a run, episodes (Trajectory objects, as rollout returns them) or (state, action) pairs",
            hint='observe([(state, "right"), (state, "up")], world)',
        )
    if isinstance(agent, Run):
        return (agent.episodes(), agent.name) if world is None else ([], "")
    if isinstance(agent, (str, Path)):
        source = str(agent)
        if names_episodes(source) or (Path(source).is_dir() and find_run(source) is None):
            return load_trajectories(source), source
        if (run := find_run(source)) is not None and world is None:
            return open_run(run).episodes(), source
    return [], ""


def _task_of_steps(world: Given | None) -> Task:
    if world is None:
        raise UsageError("steps without a world", expected="the world they were taken in", hint="observe(steps, world)")
    task = as_task(world)
    _require_one_observed(task)
    return task


def _require_one_observed(task: Task, player: int | None = None) -> None:
    if task.world is None:
        raise MissingLawError(
            f"{task.name} has no law to observe with",
            expected="a built-in world, or a World in a file: the observer plans as the agent might",
            hint="observe(agent, 'FourGoals')",
        )
    if task.world.players > 1 and player is None:
        raise MissingLawError(
            f"{task.name} has {task.world.players} players, and the observer watches one",
            expected="a world of one player, or the number of one of them",
            hint="player=0; inscape observe AGENT FourGoals; inscape observe AGENT TicTacToe --player 0 --minds FILE",
        )


def observer_for(
    task: Task,
    minds: Sequence[Mind] | None = None,
    goals: Sequence[Any] | None = None,
    betas: float | Sequence[float] = BETAS,
    backups: str | Sequence[str] = BACKUP,
    prior: Sequence[float] | None = None,
    gamma: float | None = None,
    minds_see: bool = False,
    minds_filter: bool = False,
    player: int | None = None,
) -> ExactObserver:
    """Returns the observer of a task; arguments as `observe`'s."""
    _require_one_observed(task, player)
    if minds_see and minds_filter:
        raise UsageError("minds that see the state and minds that filter", expected="one of minds_see and minds_filter")
    world = task.world
    assert world is not None
    if minds is not None:
        if goals is not None:
            raise UsageError("minds and goals", expected="one of them: minds have goals of their own")
        considered: list[Any] = minds if isinstance(minds, list) else [*minds] if isinstance(minds, tuple) else [minds]
        weights = None if prior is None else np.asarray(prior, np.float64)
        return ExactObserver(world, considered, weights, gamma, player)
    considered_goals: list[Any] = [goals] if isinstance(goals, str) else list(world.goals if goals is None else goals)
    if not considered_goals:
        raise UsageError(
            f"{task.name} names no goals to choose between",
            expected="a world with `purposes`, or minds=[…]",
            hint="inscape observe AGENT FourGoals",
        )
    considered = minds_grid(considered_goals, betas, backups, sees=minds_see)  # type: ignore[arg-type]
    if minds_filter:
        considered = [PlanningMind(m.goal, m.beta, m.backup, believes=Filtering()) for m in considered]
    if prior is None:
        return ExactObserver(world, considered, None, gamma, player)
    if len(prior) not in (len(considered_goals), len(considered)):
        raise UsageError(
            f"{len(prior)} prior probabilities for {len(considered_goals)} goals", expected="one for each goal"
        )
    each = len(considered) // len(prior)
    return ExactObserver(world, considered, np.repeat(np.asarray(prior, np.float64) / each, each), gamma, player)


def posterior_of(observer: ExactObserver, trajectory: Trajectory, task: Task) -> Posterior:
    """Returns what an observer believes along an episode."""
    numbered = observer.state_indices(trajectory)
    posteriors = observer.posterior_over(numbered)
    names = task.action_names
    return Posterior(
        posteriors,
        tuple(observer.minds),
        {name: posteriors[:, members].sum(axis=1) for name, members in hypotheses(observer.minds).items()},
        observer.bits_per_action(numbered),
        _named(observer, numbered, names),
        trajectory,
        task.name,
        len(names),
    )


def _named(observer: ExactObserver, numbered: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns what the one who is watched did at every step; a dash where another player moved."""
    view = observer.world
    acts = view.acts() if isinstance(view, PlayerView) else None
    return tuple(
        names[int(action)] if acts is None or acts[state] else "–"
        for state, action in zip(numbered.states, numbered.actions)
    )
