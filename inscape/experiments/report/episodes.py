"""Trajectories to episodes of the player, with what a search, a model and an observer had in mind at each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.experiments.numbers import number_text
from inscape.experiments.report.packing import MAX_SEARCH_CELLS
from inscape.experiments.report.sections import (
    Frame,
    ImaginationOverlay,
    PlayerEpisode,
    PosteriorOverlay,
    SearchOverlay,
)

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.law.states import States
    from inscape.envs.world import World
    from inscape.theory_of_mind.observers.exact import ExactObserver
    from inscape.theory_of_mind.observers.numbering import NumberedTrajectory
    from inscape.world_models.interface import WorldModel
    from inscape.world_models.planning.interface import Plan


def player_episode(
    world: World,
    trajectory: Trajectory,
    *,
    title: str = "",
    agent: str | None = None,
    plans: Sequence[Plan | None] | None = None,
    futures: Sequence[Sequence[States] | None] | None = None,
    posteriors: Sequence[PosteriorOverlay | None] | None = None,
    locate: Callable[[Any], States] | None = None,
    max_frames: int = 400,
) -> PlayerEpisode:
    """Returns an episode of an Inscape world for the player, with the overlays that are given.

    Args:
        world: the world it happened in.
        trajectory: with `states`, T actions and T + 1 states.
        title: shown in the list; default: its seed and return.
        agent: heading it is listed under; default: the trajectory's.
        plans: `[T]` or `[T+1]` search behind each action, or None where there was none.
        futures: `[T]` or `[T+1]`, per step the imagined futures, each a batch of packed states in order of time.
        posteriors: `[T]` or `[T+1]` observer's belief before each action.
        locate: packed states of a plan's own model states, where they are not packed states already (a tabular
            model's indices).
        max_frames: longer episodes are cut, and say so.

    Raises:
        UsageError: the trajectory has no states (it was not recorded in an Inscape world).
    """
    if trajectory.states is None:
        raise UsageError(
            "an episode without states cannot be drawn",
            expected="an episode recorded in an Inscape world",
            hint="inscape watch draws any Gymnasium environment",
        )
    count = min(len(trajectory) + 1, max_frames)
    scenes = [world.scene(trajectory.states, t) for t in range(count)]
    frames = []
    for t in range(count):
        acting = t < len(trajectory)
        plan, future, belief = (_entry(overlay, t) for overlay in (plans, futures, posteriors))
        frames.append(
            Frame(
                scenes[t],
                action_name(world, trajectory.actions[t]) if acting else "",
                float(trajectory.rewards[t]) if acting and world.players == 1 else None,
                search=None if plan is None else search_overlay(world, plan, locate),
                imagination=None if future is None else imagination_overlay(world, future),
                posterior=belief,
            )
        )
    ending = "terminated" if trajectory.terminated else "truncated" if trajectory.truncated else ""
    if count < len(trajectory) + 1:
        ending = f"cut: the first {count} of {len(trajectory) + 1} states"
    name = title or f"seed {trajectory.seed}, return {returns_text(trajectory)}"
    return PlayerEpisode(name, tuple(frames), trajectory.agent if agent is None else agent, ending)


def _entry(overlay: Sequence[Any] | None, t: int) -> Any:
    return overlay[t] if overlay is not None and t < len(overlay) else None


def returns_text(trajectory: Trajectory) -> str:
    """Returns the return of an episode, of several players each."""
    return " and ".join(number_text(float(total)) for total in np.atleast_1d(trajectory.total_reward))


def action_name(world: World, action: Any) -> str:
    """Returns the name of a discrete action, or of each player's, or the numbers of a continuous one."""
    if world.continuous:
        return ", ".join(number_text(float(number), 2) for number in np.atleast_1d(action))
    return " + ".join(world.action_names[int(one)] for one in np.atleast_1d(action))


def search_overlay(world: World, plan: Plan, locate: Callable[[Any], States] | None = None) -> SearchOverlay:
    """Returns where a search has been: visits summed per place in the scene, and visits and value per action."""
    visits: dict[tuple[float, float], int] = {}
    if plan.tree is not None:
        states = plan.tree.states if locate is None else locate(plan.tree.states)
        order = np.argsort(-plan.tree.visit_counts, kind="stable")[: 4 * MAX_SEARCH_CELLS]
        for node in order:
            place = world.place_of(states, int(node))
            if place is not None and plan.tree.visit_counts[node] > 0:
                key = (round(place[0], 3), round(place[1], 3))
                visits[key] = visits.get(key, 0) + int(plan.tree.visit_counts[node])
    actions = tuple(
        (action_name(world, a), int(n), float(q))
        for a, (n, q) in enumerate(zip(plan.visit_counts, plan.action_values, strict=True))
    )
    return SearchOverlay(tuple((x, y, n) for (x, y), n in visits.items()), actions, _radius(visits))


def _radius(places: Iterable[tuple[float, float]]) -> float:
    """Returns a circle's radius for these places: most of a cell on a lattice, a dot anywhere else."""
    on_lattice = all(math.isclose((2 * v) % 1, 0, abs_tol=1e-6) for place in places for v in place)
    return 0.42 if on_lattice else 0.06


def imagination_overlay(world: World, futures: Iterable[States]) -> ImaginationOverlay:
    """Returns imagined futures as moving layers; each future is a batch of packed states in order of time."""
    return ImaginationOverlay(
        tuple(tuple(world.scene(future, t).layer("moving") for t in range(len(future))) for future in futures)
    )


def imagined_futures(
    model: WorldModel,
    observation: Any,
    choose: Callable[[Any], np.ndarray],
    rng: np.random.Generator,
    *,
    count: int = 6,
    horizon: int = 8,
    locate: Callable[[Any], States] | None = None,
) -> list[States]:
    """Returns futures a model imagines from one observation, for `player_episode(futures=…)`.

    Args:
        model: what imagines.
        observation: one observation, no batch axis.
        choose: actions `[B]` for a batch of model states.
        rng: random generator of the imagined steps.
        count: futures.
        horizon: most steps of each; one ends where the model expects the task to end (continuation below 1/2).
        locate: packed states of model states, where they are not packed states already.

    Returns:
        `count` batches of packed states, the first imagined step first.
    """
    states = model.init(np.repeat(np.asarray(observation)[None], count, axis=0))
    running = np.ones(count, np.bool_)
    steps, lengths = [], np.zeros(count, np.int64)
    for _ in range(horizon):
        step = model.step(states, choose(states), rng)
        states = step.states
        steps.append(states if locate is None else locate(states))
        lengths += running
        running &= step.continuation >= 0.5
        if not running.any():
            break
    joined = type(steps[0]).concatenate(steps) if steps else None
    if joined is None:
        return []
    return [joined[np.arange(length) * count + i] for i, length in enumerate(lengths)]


def posterior_overlays(observer: ExactObserver, trajectory: Trajectory, horizon: int = 0) -> list[PosteriorOverlay]:
    """Returns the observer's belief before each of the T actions and after the last (`player_episode(posteriors=…)`).

    Hypotheses are the minds' goals where there are several (summed over rationality and the rest), else the minds.
    Each action is predicted before it is seen, by the posterior then held; the observer itself stays as it is.

    Args:
        observer: what observes.
        trajectory: T steps.
        horizon: how many steps ahead the expected way is shown: the places where the agent is expected to be, each
            with the number of steps it is expected to spend there; 0 for none.
    """
    numbered = observer.state_indices(trajectory)
    beliefs = observer.posterior_over(numbered)
    predicted = observer.predicted_over(numbered)
    bits = observer.bits_per_action(numbered)
    names, groups, places = _hypotheses(observer)
    expected = _expected_ways(observer, numbered, horizon) if horizon else []
    overlays = []
    for t, belief in enumerate(beliefs):
        acting = t < len(numbered.actions)
        overlays.append(
            PosteriorOverlay(
                names,
                tuple(float(belief[members].sum()) for members in groups),
                tuple(zip(observer.world.action_names, predicted[t].tolist(), strict=True)) if acting else (),
                float(bits[t]) if acting else None,
                places,
                radius=_radius([place for place in places if place is not None]) + 0.04,
                expected=expected[t] if expected and acting else (),
            )
        )
    return overlays


def _expected_ways(
    observer: ExactObserver, numbered: NumberedTrajectory, horizon: int
) -> list[tuple[tuple[float, float, float], ...]]:
    """Returns for each of the T + 1 states `(x, y, expected steps there)` over the next `horizon` steps.

    Places with less than a hundredth of a step are left out.
    """
    world, states = observer.world, observer.dynamics.states
    place_of: dict[int, tuple[float, float] | None] = {}
    ways = []
    for prediction in observer.predictions_over(numbered, horizon):
        spent = prediction.state_probs[1:].sum(axis=0)
        at: dict[tuple[float, float], float] = {}
        for state in np.flatnonzero(spent > 1e-3):
            place = place_of.setdefault(int(state), world.place_of(states, int(state)))
            if place is not None:
                key = (round(place[0], 3), round(place[1], 3))
                at[key] = at.get(key, 0.0) + float(spent[state])
        ways.append(tuple((x, y, share) for (x, y), share in at.items() if share >= 0.01))
    return ways


def _hypotheses(
    observer: ExactObserver,
) -> tuple[tuple[str, ...], list[list[int]], tuple[tuple[float, float] | None, ...]]:
    """Returns names of what is inferred, the minds that belong to each, and where each lies in the scene."""
    from inscape.experiments.verbs.hypotheses import hypotheses

    groups, policies = hypotheses(observer.minds), observer.policies
    arrived = [policies.arrived[policies.first_row[members[0]]] for members in groups.values()]
    everywhere = np.logical_and.reduce(arrived)  # pits and such: the end whatever is wanted
    places = tuple(_only_place(observer, np.flatnonzero(there & ~everywhere)) for there in arrived)
    return tuple(groups), list(groups.values()), places


def _only_place(observer: ExactObserver, states: np.ndarray) -> tuple[float, float] | None:
    """Returns the place all these states share, or None where they share none."""
    places = {observer.world.place_of(observer.dynamics.states, int(state)) for state in states[:1000]}
    return places.pop() if len(places) == 1 else None
