"""From the parts of planning minds to their controllers in one world; what minds share is solved once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np

from inscape.errors import UsageError
from inscape.theory_of_mind.belief_points import BeliefWorld, beliefs_in
from inscape.theory_of_mind.controllers import Array, Controller, Step
from inscape.theory_of_mind.learned import learned_dynamics
from inscape.theory_of_mind.parts.abilities import ability
from inscape.theory_of_mind.parts.believing import Believes, Filtering, Learned
from inscape.theory_of_mind.parts.choosing import Chooses
from inscape.theory_of_mind.parts.planning import Planning
from inscape.theory_of_mind.parts.wanting import (
    Caring,
    Curious,
    InTurn,
    Switching,
    chained,
    fingerprint,
    goals_of,
    next_goal,
    purpose_of,
)
from inscape.theory_of_mind.player_view import PlayerView
from inscape.world_models.tabular.arrays import require_memory
from inscape.world_models.tabular.model import TabularModel, observation_keys

Found = TypeVar("Found")


class MindOfParts(Protocol):
    """What of a `PlanningMind` is solved; the attributes are described there."""

    @property
    def wants(self) -> Any: ...
    @property
    def believes(self) -> Believes | None: ...
    @property
    def plans(self) -> Planning: ...
    @property
    def chooses(self) -> Chooses: ...
    @property
    def can(self) -> Any: ...
    @property
    def others(self) -> Any: ...
    @property
    def params(self) -> Any: ...
    @property
    def name(self) -> str: ...


class MindSolver:
    """Solves what `PlanningMind`s plan in one world, each distinct problem once.

    Args:
        world: the world acted in: of one player, or the `PlayerView` of one of several.
        gamma: the discount of minds that have none of their own.
    """

    def __init__(self, world: Any, gamma: float) -> None:
        self.world, self.gamma, self.dynamics = world, gamma, world.dynamics()
        self._solved: dict[Any, Any] = {}

    def fork(self) -> MindSolver:
        """Returns a solver that begins with what this one has solved; what it solves in addition, this one forgets."""
        other = MindSolver(self.world, self.gamma)
        other._solved = dict(self._solved)
        return other

    def controller(self, mind: MindOfParts) -> Controller:
        """Returns what a mind does in the states of the world (see `PlanningMind.controller`)."""
        if isinstance(mind.believes, Filtering):
            return self._filtering(mind, mind.believes)
        over, able = self._over(mind), self.able(mind)
        log_probs = mind.chooses.log_probs(self.action_values(mind).reshape(len(over), *able.shape), able[None])
        if len(over) == 1:
            return Controller.memoryless(log_probs[0], over[0])
        start, step = self._pursuit(mind.wants, over)
        return Controller(log_probs.swapaxes(0, 1), start, step, over.T)

    def action_values(self, mind: MindOfParts) -> Array:
        """Returns Q (see `PlanningMind.action_values`)."""
        if isinstance(mind.believes, Filtering):
            return self._beliefs_and_values(mind, mind.believes)[1]
        goals, in_turn = goals_of(mind.wants), isinstance(mind.wants, InTurn)

        def solved(*pursued: Any) -> Array:
            return self._once(self.values_key(mind, pursued), lambda: self._values(mind, pursued))

        if in_turn:
            return solved(*goals)
        return np.concatenate([solved(goal) for goal in goals]) if len(goals) > 1 else np.asarray(solved(goals[0])[0])

    def values_key(self, mind: MindOfParts, goals: tuple[Any, ...]) -> Any:
        """Returns what minds with the same values of `goals` have in common."""
        depends = mind.plans.depends_on(mind.chooses)
        caring = mind.wants if isinstance(mind.wants, Caring) else None
        others = map(fingerprint, (goals, mind.can, mind.params, mind.others))
        return ("values", mind.plans, depends, *others, caring)

    def keep(self, mind: MindOfParts, goal: Any, values: Array, terminal: Array) -> None:
        """Takes `values [S', A]` and `terminal [S']` of a goal, over the states the mind believes in, as solved."""
        self._once(self._terminal_key(mind, goal), lambda: terminal)
        self._once(self.values_key(mind, (goal,)), lambda: self._on_true_states(mind, (goal,), values[None]))

    def able(self, mind: MindOfParts) -> Array:
        """Returns `[S, A]` bool: what a mind can do (see `ability`)."""
        return self._once(("able", fingerprint(mind.can)), lambda: ability(self.world, mind.can, mind.name))

    def forget(self, mind: MindOfParts, goal: Any) -> None:
        """Drops the values of a goal."""
        self._solved.pop(self.values_key(mind, (goal,)), None)

    # ------------------------------------------------------------------------------------------- a mind that sees

    def _values(self, mind: MindOfParts, goals: tuple[Any, ...]) -> Array:
        """Returns `[W, S, A]` Q of W goals, in turn, over the true world's states."""
        rows = self.rows(mind)
        models = [self._model(mind, goal) for goal in goals]
        if mind.can is not None:
            able = np.ones(models[0].legal.shape, np.bool_)
            able[rows] = self.able(mind)
            models = [replace(model, legal=model.legal & able) for model in models]
        model = models[0] if len(models) == 1 else chained(models)
        found = mind.plans.action_values(model, mind.chooses, self.gamma).reshape(len(models), -1, model.num_actions)
        return self._on_true_states(mind, goals, found)

    def _on_true_states(self, mind: MindOfParts, goals: tuple[Any, ...], believed: Array) -> Array:
        """Returns `[W, S, A]` Q over the true world's states, from those over the states the mind believes in."""
        q_values = believed[:, self.rows(mind)]
        for over, table in zip(self._over(mind, goals), q_values):
            table[over] = 0.0
        stuck = ~(self.dynamics.legal & np.isfinite(q_values)).any(axis=(0, 2))
        if stuck.any():
            state = self.world.unpack(self.world.dynamics().states, int(np.argmax(stuck)))
            raise UsageError(
                f"the mind ({mind.name}) believes every action that is legal in {state} to be illegal",
                expected="a belief under which at least one legal action is possible in every state",
            )
        return np.asarray(q_values)

    def _over(self, mind: MindOfParts, goals: tuple[Any, ...] | None = None) -> Array:
        """Returns `[W, S]` bool: where the mind's episode is over under each of its goals."""
        rows = self.rows(mind)
        return np.array([self._terminal(mind, goal)[rows] for goal in goals or goals_of(mind.wants)])

    def _terminal(self, mind: MindOfParts, goal: Any) -> Array:
        """Returns `[S']` bool: where the goal is over, of the states the mind believes in."""
        return self._once(self._terminal_key(mind, goal), lambda: self._model(mind, goal).terminal)

    def _terminal_key(self, mind: MindOfParts, goal: Any) -> Any:
        return ("terminal", *map(fingerprint, (goal, mind.params, mind.others)))

    def _pursuit(self, wants: InTurn | Switching, over: Array) -> tuple[Array, Step]:
        """Returns `(start [S, W], step)` of the goal that is pursued."""
        count, size = over.shape
        if isinstance(wants, Switching):
            start = np.full(count, 1 / count) if wants.start is None else np.array(wants.start)
            table = np.full((count, count), wants.rate / (count - 1))
            np.fill_diagonal(table, 1 - wants.rate)
            return np.tile(start, (size, 1)), Step.switching(table)
        first = np.minimum(next_goal(over, 0, np.arange(size)), count - 1)
        arriving = self.world.dynamics().next_state
        following = [np.minimum(next_goal(over, goal, arriving), count - 1) for goal in range(count)]
        memories = np.stack(following, axis=-1)[..., None]
        return np.eye(count)[first], Step(memories, np.ones((1, 1, 1, count, 1)))

    # ------------------------------------------------------------------------------------------ a mind that filters

    def _filtering(self, mind: MindOfParts, believes: Filtering) -> Controller:
        points, q_values = self._beliefs_and_values(mind, believes)
        dynamics, count = self.world.dynamics(), len(points)
        require_memory(8 * dynamics.next_state.size * count, f"the memory of the mind ({mind.name}), {count} beliefs")
        chosen = mind.chooses.log_probs(q_values, points.model.legal[:count])
        # a belief that holds the state impossible is never had there; its row is filled in for the action to be legal
        able = self.able(mind)
        log_probs = np.where(able[:, None], chosen, -np.inf)
        some = np.isfinite(log_probs).any(axis=2, keepdims=True)
        log_probs = np.where(some, log_probs, np.where(able[:, None], 0.0, -np.inf))
        top = log_probs.max(axis=2, keepdims=True, initial=-np.inf)
        with np.errstate(invalid="ignore"):
            log_probs = log_probs - (top + np.log(np.exp(log_probs - top).sum(axis=2, keepdims=True)))
        seen = self._seen_as(mind, points)
        goal = purpose_of(self.believed(mind), goals_of(mind.wants)[0], mind.name)
        purpose = self.believed(mind).goals[goal] if isinstance(goal, str) else goal
        over = self.world.terminal_of(dynamics.states, purpose)
        first = np.where(over, 0, points.first[seen])
        first[(seen < 0) & ~over] = -1
        start = np.where(first[:, None] >= 0, np.eye(count)[first], 0.0)
        arriving = dynamics.next_state
        actions = np.arange(dynamics.legal.shape[1])[:, None]
        memories = points.following[:, actions, seen[arriving]].transpose(1, 2, 3, 0)
        memories = np.where((seen[arriving] < 0)[..., None], -1, memories)
        assert points.past_end is not None
        going_on = np.where(seen[arriving] < 0, -1, points.past_end[seen[:, None, None], actions, seen[arriving]])
        going_on[seen < 0] = -1
        memories = np.where(over[:, None, None, None], going_on[..., None], memories)
        memories = np.where(over[arriving][..., None], np.arange(count), memories)
        possible = memories >= 0
        step = Step(np.where(possible, memories, 0)[..., None], possible[..., None].astype(float))
        # where its own episode is over, whatever it believed before, it is indifferent, as any mind
        with np.errstate(divide="ignore"):
            alike = np.log(able / able.sum(axis=1, keepdims=True))
        log_probs = np.where(over[:, None, None], alike[:, None], log_probs)
        arrived = np.repeat(over[:, None], count, axis=1)
        return Controller(log_probs, start, step, arrived, partial=True)

    def _beliefs_and_values(self, mind: MindOfParts, believes: Filtering) -> tuple[BeliefWorld, Array]:
        """Returns the beliefs a mind may come to have, and `[B, A]` its values in each."""
        goal = goals_of(mind.wants)[0]
        key = (fingerprint(goal), believes, fingerprint(mind.can), fingerprint(mind.others))
        points = self._once(("points", key), lambda: self._points(mind, believes, goal))
        weight = mind.wants.weight if isinstance(mind.wants, Curious) else 0.0

        def solved() -> Array:
            model = points.model
            if weight:
                reward = model.reward.copy() if goal is not None else np.zeros_like(model.reward)
                reward[:-1] += weight * points.information[:, :, None]
                model = replace(model, reward=reward)
            return mind.plans.action_values(model, mind.chooses, self.gamma)[:-1]

        planning = (mind.plans, mind.plans.depends_on(mind.chooses), weight)
        return points, self._once(("belief values", key, planning), solved)

    def _points(self, mind: MindOfParts, believes: Filtering, goal: Any) -> BeliefWorld:
        believed = self.believed(mind)
        able = ability(believed, mind.can, mind.name) if mind.can is not None else None
        prior = believes.weights(believed)
        tables = self._model(mind, goal)
        # goals that end in the same states differ in rewards alone: the beliefs are found once for all of them
        key = tables.terminal.tobytes(), tables.legal.tobytes(), believes, *map(fingerprint, (mind.can, mind.others))
        found = self._once(
            ("beliefs", key),
            lambda: beliefs_in(believed, tables, prior, believes.max_points, believes.resolution, able, past_end=True),
        )
        return found.with_rewards(tables)

    def _seen_as(self, mind: MindOfParts, points: BeliefWorld) -> Array:
        """Returns `[S]` which observation of the believed world each true state gives; −1: one it never gives."""
        believed = self.believed(mind)
        if believed is self.world:
            return points.seen
        known = dict(zip(observation_keys(believed.observe(believed.dynamics().states)), points.seen.tolist()))
        keys = observation_keys(self.world.observe(self.world.dynamics().states))
        return np.array([known.get(key, -1) for key in keys])

    # ------------------------------------------------------------------------------------------------------ shared

    def _once(self, key: Any, solve: Callable[[], Found]) -> Found:
        if key not in self._solved:
            self._solved[key] = solve()
        found: Found = self._solved[key]
        return found

    def believed(self, mind: MindOfParts) -> Any:
        """Returns the world the mind believes to be in, or the player's view of it."""
        if mind.params is None:
            return self.world
        if isinstance(mind.params, Learned):
            model = mind.params.model
            return self._once(("world", mind.params), lambda: learned_dynamics(self.world, model))
        if not isinstance(mind.params, self.world.Params):
            raise UsageError(
                f"params {mind.params!r} of a mind in {self.world.name}",
                expected=f"a {self.world.Params.__name__}, the dynamics it believes in, or None for the true ones",
                hint="world.params._replace(…)",
            )
        return self._once(("world", fingerprint(mind.params)), lambda: self.world.with_params(mind.params))

    def _model(self, mind: MindOfParts, goal: Any) -> TabularModel:
        believed = self.believed(mind)
        purpose = purpose_of(believed, goal, mind.name)
        caring = mind.wants if isinstance(mind.wants, Caring) else None
        key = ("model", *map(fingerprint, (goal, mind.params, mind.others)), caring)
        if isinstance(believed, PlayerView):
            return self._once(key, lambda: believed.model(caring, purpose, mind.others, self.gamma))
        if mind.others is not None or caring is not None:
            raise UsageError(
                f"the mind ({mind.name}) minds others, and {self.world.name} has one player",
                expected="a world of several players",
            )
        return self._once(key, lambda: TabularModel.from_world(believed, purpose=purpose))

    def rows(self, mind: MindOfParts) -> Array:
        """Returns `[S]`: where each true state lies among the states the mind believes in."""
        if mind.params is None:
            return self._once("rows", lambda: np.arange(len(self.world.dynamics())))
        return self._once(("rows", fingerprint(mind.params)), lambda: self._find_rows(mind))

    def _find_rows(self, mind: MindOfParts) -> Array:
        states, known = self.world.dynamics().states, self.believed(mind).dynamics()
        try:
            return np.asarray(known.index_of(states))
        except UsageError as error:
            keys = set(known.states.keys())
            missing = next(s for s, key in enumerate(states.keys()) if key not in keys)
            raise UsageError(
                f"the mind ({mind.name}) believes in dynamics of {self.world.name} in which "
                f"{self.world.unpack(states, missing)} cannot be reached, so it has no plan there",
                expected="a false belief over the same states",
                hint="list every state in the world's `roots(params)`",
            ) from error
