"""What minds do in single states, found by search when first asked for."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.minds import Mind, name_of
from inscape.theory_of_mind.parts.believing import Filtering
from inscape.theory_of_mind.parts.planning import Exponential
from inscape.theory_of_mind.parts.wanting import ByValue, fingerprint
from inscape.theory_of_mind.planning_mind import PlanningMind
from inscape.world_models.planning.catalogue import make_planner

if TYPE_CHECKING:
    from inscape.envs.law.states import States
    from inscape.envs.world import World
    from inscape.world_models.planning.interface import Plans

SIMULATIONS = 2000


class Searches:
    """Action probabilities of minds in the states of a world, each state and goal searched once.

    Args:
        world, minds, planner, gamma, player, seed, count: as in `PlannedObserver`; `count` is its `searches`.
    """

    def __init__(
        self,
        world: World,
        minds: tuple[Mind, ...],
        planner: Any,
        gamma: float,
        player: int | None,
        seed: int,
        count: int,
    ) -> None:
        self.world, self.minds, self.player, self.count = world, minds, player, count
        self.made, self._seed = 0, seed
        base = _planner_of(planner, gamma)
        self._problems: list[tuple[World, Any, float]] = []  # the world with a goal, what plans for it, the discount
        self._problem_of: list[int | None] = []  # None: the mind says itself what it does
        self._policies = [getattr(mind, "action_log_probs", None) for mind in minds]
        numbers: dict[Any, int] = {}
        for mind in minds:
            if not isinstance(mind, PlanningMind):
                if not callable(getattr(mind, "action_log_probs", None)):
                    raise UsageError(
                        f"the mind ({name_of(mind)}) has no action_log_probs(world, states, player)",
                        expected="a PlanningMind, a PolicyMind, or a mind that says what it does in any state",
                    )
                self._problem_of.append(None)
                continue
            key = _problem_key(world, mind, gamma)
            if key not in numbers:
                numbers[key] = len(self._problems)
                self._problems.append(_problem(world, mind, base, gamma))
            self._problem_of.append(numbers[key])
        self._values: dict[tuple[int, bytes], Array] = {}
        self._found: dict[bytes, Array] = {}

    def log_probs(self, here: States) -> Array:
        """Returns `[1 + K, G, A]` log P(a | s, mind) in one state: by all K searches, and without each of them.

        Raises:
            UsageError: a search found no value for a legal action.
        """
        key = here.keys()[0]
        if key in self._found:
            return self._found[key]
        legal = self.world.legal_actions(here)[0]
        uniform = np.where(legal, -np.log(max(1, legal.sum())), -np.inf)
        rows = np.tile(uniform, (1 + self.count, len(self.minds), 1))
        acts = self.player is None or int(self.world.mover_of(here)[0]) == self.player
        for g, (mind, number) in enumerate(zip(self.minds, self._problem_of)):
            if not acts or legal.sum() < 2:
                break
            if number is None:
                rows[:, g] = self._asked(mind, here, legal)
                continue
            q_values = self._action_values(number, here, legal)
            if q_values is not None:
                assert isinstance(mind, PlanningMind)
                rows[:, g] = mind.chooses.log_probs(q_values, np.broadcast_to(legal, q_values.shape))
        self._found[key] = rows
        return rows

    def moved(self, states: States, minds: Array, rng: np.random.Generator) -> States:
        """Returns where minds `[N]` (numbers) come to from `states` in one step; a mind that has arrived stays."""
        arriving: list[Any] = [None] * len(states)
        keys = states.keys()
        for g in np.unique(minds):
            number = self._problem_of[g]
            world = self.world if number is None else self.world.with_purpose(self._problems[number][0].purpose)
            rows = np.flatnonzero(minds == g)
            some = states[rows]
            over, probs = world.terminal_of(some), {}
            for n, row in enumerate(rows):
                if not over[n] and keys[row] not in probs:
                    probs[keys[row]] = np.exp(self.log_probs(states[[row]])[0, g])
            going = np.flatnonzero(~over)
            actions = np.array([rng.choice(self.world.num_actions, p=probs[keys[rows[n]]]) for n in going], np.int64)
            if len(going):
                following = world.step(some[going], actions, rng)[0]
                for i, m in enumerate(going):
                    arriving[rows[m]] = following[[i]]
            for m in np.flatnonzero(over):
                arriving[rows[m]] = some[[int(m)]]
        return type(states).concatenate(arriving)

    def _asked(self, mind: Any, here: States, legal: Array) -> Array:
        answer = np.asarray(mind.action_log_probs(self.world, here, self.player or 0), np.float64)
        probs = np.exp(answer[0]) if answer.shape == (1, len(legal)) else np.full(len(legal), np.nan)
        if not (abs(probs[legal].sum() - 1) <= 1e-6 and not probs[~legal].any()):
            raise UsageError(
                f"the mind ({name_of(mind)}) gives the actions in {self.world.unpack(here, 0)} the log-probabilities "
                f"{answer.tolist()}",
                expected=f"[1, {len(legal)}]: log-probabilities that sum to one over the legal actions, −inf elsewhere",
            )
        return np.asarray(answer[0])

    def _action_values(self, number: int, here: States, legal: Array) -> Array | None:
        """Returns `[1 + K, A]` action values, 0 where illegal; None where that goal's episode is over.

        Where outcomes can be listed, Q(s, a) = Σ P(s'|s, a)·(r + γ·V(s')), with V(s') searched for: a search that has
        proven its root need not know what the actions are worth that it would not take.
        """
        world, planner, gamma = self._problems[number]
        if world.terminal_of(here)[0]:
            return None
        if not world.is_enumerable or (world.players > 1 and not world.zero_sum):
            found = self._plans(number, here).action_values
            if found.shape != (self.count, len(legal)) or not np.isfinite(found[:, legal]).all():
                shown = found.tolist() if found.size < 50 else f"of shape {found.shape}"
                raise UsageError(
                    f"{type(planner).__name__} in {self.world.unpack(here, 0)} found the action values {shown}",
                    expected="a finite value for every legal action",
                    hint="more simulations than actions; a planner that compares actions, such as UCT(solver=False)",
                )
            return self._means(np.where(legal, found, 0.0))
        values = np.zeros((self.count, len(legal)))
        for action in np.flatnonzero(legal):
            probability, following = world.outcomes(here, np.array([action]))
            possible = np.flatnonzero(probability[0] > 0)
            arriving, weight = following[possible], probability[0, possible]
            copies = here[np.zeros(len(possible), np.int64)]
            rewards = world.reward_of(copies, np.full(len(possible), action), arriving)
            own = rewards if rewards.ndim == 1 else rewards[:, self.player or 0]
            ahead = np.stack([self._state_values(number, arriving[[n]]) for n in range(len(possible))], axis=1)
            values[:, action] = ((own + gamma * ahead) * weight).sum(axis=1)
        return self._means(values)

    def _state_values(self, number: int, here: States) -> Array:
        """Returns `[K]` what each of the searches finds a state worth to the player, 0 where the episode is over."""
        world = self._problems[number][0]
        key = here.keys()[0]
        if world.terminal_of(here)[0]:
            return np.zeros(self.count)
        if (number, key) not in self._values:
            found = np.asarray(self._plans(number, here).values, np.float64)
            mine = self.player is None or int(world.mover_of(here)[0]) == self.player
            self._values[number, key] = found if mine else -found
        return self._values[number, key]

    def _plans(self, number: int, here: States) -> Plans:
        """Returns K plans for one state."""
        world, planner, _ = self._problems[number]
        # all goals are searched with the same random numbers: what is noise for all of them cancels
        digest = int.from_bytes(hashlib.blake2b(here.keys()[0], digest_size=8).digest(), "little")
        plans: Plans = planner.plan(
            world, here[np.zeros(self.count, np.int64)], np.random.default_rng([self._seed, digest])
        )
        if len(plans) != self.count or not np.isfinite(plans.values).all():
            raise UsageError(
                f"{type(planner).__name__} in {self.world.unpack(here, 0)} found the values {plans.values.tolist()}",
                expected=f"{self.count} finite values",
            )
        self.made += 1
        return plans

    def _means(self, found: Array) -> Array:
        """Returns `[1 + K, A]` the mean of `[K, A]`, and those without each of the K."""
        total = found.sum(axis=0)
        rest = found if self.count == 1 else (total - found) / (self.count - 1)
        return np.concatenate([total[None] / self.count, rest])


def _planner_of(planner: Any, gamma: float) -> Any:
    if planner is None:
        return make_planner("uct", num_simulations=SIMULATIONS, gamma=gamma)
    if isinstance(planner, str):
        return make_planner(planner, {"gamma": gamma})
    if isinstance(planner, type) or not callable(getattr(planner, "plan", None)):
        raise UsageError(
            f"planner = {planner!r}", expected="a planner, or its name", hint="UCT(num_simulations=5000), 'uct'"
        )
    return planner


def _discounted(planner: Any, gamma: float, mind: Mind) -> Any:
    if getattr(planner, "gamma", None) == gamma:
        return planner
    if dataclasses.is_dataclass(planner) and not isinstance(planner, type) and hasattr(planner, "gamma"):
        return dataclasses.replace(planner, gamma=gamma)
    raise UsageError(
        f"the mind ({name_of(mind)}) discounts by {gamma:g}, and {type(planner).__name__} has no gamma",
        expected="a planner with a setting gamma",
    )


def _problem_key(world: World, mind: PlanningMind, gamma: float) -> Any:
    """Returns what of a mind's parts its action values depend on, or refuses what no search here finds.

    Raises:
        UsageError: it wants several things, does not see the state, plans otherwise, is limited or minds others.
    """
    discount = mind.plans.discount
    plain = mind.plans.backup == "hard" or not np.isfinite(mind.beta)
    simple = mind.plans.horizon is None and mind.plans.pays == "arrival"
    for fits, what in (
        (not isinstance(mind.wants, ByValue), "wants more than one goal"),
        (not isinstance(mind.believes, Filtering), "does not see the state"),
        (plain, f"plans with the backup {mind.plans.backup!r}, and a search for the best finds 'hard' values"),
        (
            simple and isinstance(discount, Exponential | None),
            "plans with a horizon, or does not discount exponentially",
        ),
        (mind.can is None, "cannot do all that is legal"),
        (mind.others is None, "takes the other players to be something; a search takes them to play their best"),
    ):
        if not fits:
            raise UsageError(
                f"the mind ({name_of(mind)}) {what}",
                expected="one goal, the state seen, Planning('hard', discount=Exponential(gamma))",
                hint="Observer, where the world can be enumerated; or a mind with action_log_probs",
            )
    return fingerprint(mind.wants), fingerprint(mind.params), _discount_of(mind, gamma)


def _discount_of(mind: PlanningMind, gamma: float) -> float:
    discount = mind.plans.discount
    return discount.gamma if isinstance(discount, Exponential) else gamma


def _problem(world: World, mind: PlanningMind, planner: Any, gamma: float) -> tuple[World, Any, float]:
    goal = mind.wants
    if isinstance(goal, str):
        if goal not in world.goals:
            raise UsageError(
                f"goal {goal!r} of a mind in {world.name}", expected=", ".join(world.goals) or "a Purpose of the world"
            )
        goal = world.goals[goal]
    elif not isinstance(goal, world.Purpose):
        raise UsageError(
            f"goal {goal!r} of a mind in {world.name}", expected=f"a {world.Purpose.__name__} of the world"
        )
    if mind.params is not None and not isinstance(mind.params, world.Params):
        raise UsageError(f"params {mind.params!r}", expected=f"a {world.Params.__name__}")
    believed = world if mind.params is None else world.with_params(mind.params)
    own = _discount_of(mind, gamma)
    return believed.with_purpose(goal), _discounted(planner, own, mind), own
