"""The exact observer: planning run backwards. What mind would have acted like this?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inscape.envs.law.states import States
from inscape.errors import UsageError, closest
from inscape.theory_of_mind.mind_policies import Array, Plans, plans_of
from inscape.theory_of_mind.minds import AXES, Axis, Mind

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.world import World

PRIOR_TOLERANCE = 1e-9


class ImpossibleEvidenceError(UsageError):
    """What was seen cannot happen under any mind: never a silent return to the prior."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What an observer expects of an agent in one state.

    Attributes:
        action_probs: `[A]` distribution over the next action.
        state_probs: `[H + 1, S]` distribution over the state after h = 0 … H further steps, numbered as in
            `world.dynamics().states`. A mind that has arrived stays where it is.
    """

    action_probs: NDArray[np.float64]
    state_probs: NDArray[np.float64]


class Observer:
    """Exact posterior over a finite set of minds: P(mind | states, actions) ∝ P(actions | states, mind) · P(mind).

    Dynamics are enumerated once, Q solved once per distinct purpose, belief, backup (and β, where the backup depends on
    it); after that evidence is a look-up and a sum of logs.

    A state may be given as its number in `world.dynamics().states`, as packed `States` of length 1, or as the world's
    `State`; an action as its number or its name.

    Args:
        world: the world acted in; its own purpose plays no part.
        minds: the G hypotheses, distinct.
        prior: `[G]` probabilities; None: uniform.
        gamma: the discount every mind plans with; None: the world's.

    Attributes:
        plans: what each mind would do in every state.
        steps: how many actions have been observed.

    Raises:
        UsageError: no minds or equal ones; a prior of the wrong length, negative or not summing to 1; gamma outside
            [0, 1]; a goal the world does not have.
        MissingLawError: the world cannot be enumerated, or has several players.

    Source: Baker, Saxe & Tenenbaum (2009), Action understanding as inverse planning, Cognition 113(3), Eqs. 1–3.
    """

    def __init__(
        self, world: World, minds: Sequence[Mind], prior: ArrayLike | None = None, gamma: float | None = None
    ) -> None:
        self.world = world
        self.minds = _check_minds(minds)
        self.gamma = _check_gamma(world.gamma if gamma is None else gamma)
        self._prior = _check_prior(prior, self.minds)
        with np.errstate(divide="ignore"):  # a mind may be ruled out beforehand
            self._log_prior = np.log(self._prior)
        self.dynamics = world.dynamics()
        self.plans: Plans = plans_of(world, self.minds, self.gamma)
        self.reset()

    def reset(self) -> None:
        """Forgets all evidence: the posterior is the prior again."""
        self._log_joint = self._log_prior.copy()
        self.steps = 0

    # --------------------------------------------------------------------------------------------------- evidence

    def update(self, state: Any, action: int | str) -> Array:
        """Takes in one action and returns the posterior, `[G]`.

        Raises:
            ImpossibleEvidenceError: the state cannot be reached, the action is illegal there, or no mind with positive
                posterior could have chosen it; the observer is left as it was.
            UsageError: not a state or not an action of this world.
        """
        self._absorb(self._state_numbers(state, self.steps), self._action_numbers(action), self.steps)
        return self.posterior()

    def update_batch(self, states: Any, actions: ArrayLike) -> Array:
        """Takes in T actions of one agent and returns the posterior, `[G]`; the same as T times `update`.

        Args:
            states: packed `States` of length T, or `[T]` state numbers.
            actions: `[T]` action numbers or names.

        Raises:
            ImpossibleEvidenceError, UsageError: as `update`; the step named counts from the first ever observed.
        """
        self._absorb(self._state_numbers(states, self.steps), self._action_numbers(actions), self.steps)
        return self.posterior()

    def posterior(self) -> Array:
        """Returns `[G]` P(mind | all that was observed)."""
        return _normalise(self._log_joint)

    def log_evidence(self) -> float:
        """Returns log P(actions | states), in nats: 0 before any evidence, and additive over it by the chain rule."""
        return float(_log_sum(self._log_joint))

    def posterior_over(self, trajectory: Trajectory) -> Array:
        """Returns `[T + 1, G]`: the posterior before the first action and after each; the observer stays as it is.

        Raises:
            ImpossibleEvidenceError: as `update`; or a step the dynamics do not allow.
        """
        numbers, actions = self.state_indices(trajectory)
        return _normalise(self._log_joint_after(numbers, actions, 0))

    # ------------------------------------------------------------------------------------------------- prediction

    def action_log_probs(self, states: Any) -> Array:
        """Returns log P(next action | what was observed): `[A]` for a `State` or a number, `[B, A]` for a batch.

        The posterior predictive: each mind's choice rule, weighted by its posterior. −inf where illegal.
        """
        one = _is_one(states)
        numbers = self._state_numbers(states, self.steps)
        weights = self._log_joint - _log_sum(self._log_joint)
        mixed: Array = _log_sum(weights[:, None, None] + self.plans.log_probs[:, numbers], axis=0)
        return mixed[0] if one else mixed

    def predict(self, state: Any, horizon: int = 1) -> Prediction:
        """Returns what the agent will do next in `state`, and where it will be up to `horizon` steps later.

        Exact: each mind's distribution over states is pushed through its policy and the true dynamics, and the results
        are mixed by the posterior. A mind that has arrived (its episode over) stays; asked for its next action all the
        same, it is indifferent.
        """
        if isinstance(horizon, bool) or not isinstance(horizon, (int, np.integer)) or horizon < 0:
            raise UsageError(f"horizon = {horizon!r}", expected="a number of steps, 0 or more")
        number = self._state_numbers(state, self.steps)
        if len(number) != 1:
            raise UsageError(f"predict was given {len(number)} states", expected="one state")
        posterior = self.posterior()
        held = np.flatnonzero(posterior > 0)
        policy, arrived = np.exp(self.plans.log_probs[held]), self.plans.arrived[held]
        occupancy = np.zeros(arrived.shape)
        occupancy[:, number] = 1.0
        path = [posterior[held] @ occupancy]
        for _ in range(horizon):
            occupancy = self._push(occupancy, policy, arrived)
            path.append(posterior[held] @ occupancy)
        return Prediction(posterior[held] @ policy[:, number[0]], np.array(path))

    def bits(self, trajectory: Trajectory) -> Array:
        """Returns `[T]` −log₂ P(action | all before it): each action predicted before it is seen, then taken in.

        The observer itself stays as it is. The sum is −log₂ of the evidence of the whole trajectory.
        """
        numbers, actions = self.state_indices(trajectory)
        joint = self._log_joint_after(numbers, actions, 0)
        weights = joint - _log_sum(joint, axis=1)[:, None]
        predicted = _log_sum(weights[:-1] + self.plans.log_probs[:, numbers, actions].T, axis=1)
        return np.asarray(-predicted / math.log(2))

    def score(self, trajectory: Trajectory) -> float:
        """Returns the mean of `bits(trajectory)`, in bits per action (log₂ A: no better than a uniform guess)."""
        bits = self.bits(trajectory)
        if not len(bits):
            raise UsageError("a trajectory without actions cannot be scored", expected="at least one action")
        return float(bits.mean())

    def marginal(self, axis: Axis, probabilities: ArrayLike | None = None) -> dict[Any, Any]:
        """Returns the posterior of one axis of the minds: `{value: probability}`, in order of first appearance.

        Args:
            axis: `"goal"`, `"beta"`, `"backup"` or `"params"`. Values that cannot be keys (purposes and parameters
                holding arrays) are keyed by their text.
            probabilities: `[..., G]` to marginalise instead of the posterior (`posterior_over`, say); the result then
                holds arrays `[...]`.
        """
        if axis not in AXES:
            raise UsageError(f"minds have no axis {axis!r}", expected=", ".join(AXES), hint=closest(str(axis), AXES))
        weights = self.posterior() if probabilities is None else np.asarray(probabilities, np.float64)
        if weights.shape[-1:] != (len(self.minds),):
            raise UsageError(f"probabilities of shape {weights.shape}", expected=f"[..., {len(self.minds)}]")
        groups: dict[Any, list[int]] = {}
        for g, mind in enumerate(self.minds):
            groups.setdefault(_label(getattr(mind, axis)), []).append(g)
        summed = {label: weights[..., members].sum(axis=-1) for label, members in groups.items()}
        return summed if weights.ndim > 1 else {label: float(value) for label, value in summed.items()}

    def state_indices(self, trajectory: Trajectory) -> tuple[Array, Array]:
        """Returns `([T] state numbers, [T] actions)` of a trajectory, states read off the observations where need be.

        Raises:
            PartialObservationError: the observations do not determine the states.
            ImpossibleEvidenceError: a state cannot be reached, or a step not be made, under the dynamics.
        """
        states = trajectory.states
        if states is None:
            states = self.world.states_of(trajectory.observations)
        actions = self._action_numbers(trajectory.actions)
        if len(states) != len(actions) + 1:
            raise UsageError(
                f"a trajectory of {len(actions)} actions with {len(states)} states",
                expected="one state more than actions: the last is where the last action led",
            )
        numbers = self._state_numbers(states, 0)
        reached = self.dynamics.next_state[numbers[:-1], actions] == numbers[1:, None]
        possible = (reached & (self.dynamics.probability[numbers[:-1], actions] > 0)).any(axis=1)
        legal = self.dynamics.legal[numbers[:-1], actions]
        broken = legal & ~possible  # an illegal action gets a message of its own
        if broken.any():
            t = int(np.argmax(broken))
            led_to = self.world.unpack(self.dynamics.states, int(numbers[t + 1]))
            self._refuse(t, numbers, actions, 0, f"which cannot lead to {led_to}")
        return numbers[:-1], actions

    # ---------------------------------------------------------------------------------------------------- within

    def _absorb(self, numbers: Array, actions: Array, first_step: int) -> None:
        self._log_joint = self._log_joint_after(numbers, actions, first_step)[-1]
        self.steps += len(actions)

    def _log_joint_after(self, numbers: Array, actions: Array, first_step: int) -> Array:
        """Returns `[T + 1, G]` log P(mind, actions so far | states), or refuses the first impossible step."""
        if len(numbers) != len(actions):
            raise UsageError(f"{len(numbers)} states with {len(actions)} actions", expected="one action per state")
        illegal = ~self.dynamics.legal[numbers, actions]
        if illegal.any():
            self._refuse(int(np.argmax(illegal)), numbers, actions, first_step, "which is not legal there")
        likelihood = self.plans.log_probs[:, numbers, actions].T
        joint = np.cumsum(np.concatenate([self._log_joint[None], likelihood]), axis=0)
        dead = np.isneginf(joint).all(axis=1)
        if dead.any():
            why = f"which none of the {len(self.minds)} minds still held possible would choose"
            self._refuse(int(np.argmax(dead)) - 1, numbers, actions, first_step, why)
        return joint

    def _refuse(self, t: int, numbers: Array, actions: Array, first_step: int, why: str) -> None:
        number = int(numbers[t])
        legal = [name for name, ok in zip(self.world.action_names, self.dynamics.legal[number]) if ok]
        taken = self.world.action_names[actions[t]]
        raise ImpossibleEvidenceError(
            f"step {first_step + t}: in {self._told(number)} the agent took {taken!r}, {why}",
            expected=f"an action that is legal there ({', '.join(legal)}) and that some mind might choose",
            hint="more minds (another goal or belief, a prior without zeros), or check where the data are from",
        )

    def _told(self, number: int) -> str:
        state = self.world.unpack(self.dynamics.states, number)
        return f"state {number}, {state} ({self.world.describe_state(self.dynamics.states, number)}),"

    def _push(self, occupancy: Array, policy: Array, arrived: Array) -> Array:
        """Returns where minds are one step later: `occupancy [G, S]` through `policy [G, S, A]`, as the world is."""
        here = np.flatnonzero(occupancy.any(axis=0))
        moving = np.where(arrived[:, here], 0.0, occupancy[:, here])
        flow = (moving[:, :, None] * policy[:, here])[..., None] * self.dynamics.probability[here]
        minds, size = occupancy.shape
        target = np.arange(minds)[:, None] * size + self.dynamics.next_state[here].reshape(1, -1)
        arriving = np.bincount(target.ravel(), weights=flow.ravel(), minlength=minds * size)
        return np.where(arrived, occupancy, 0.0) + arriving.reshape(minds, size)

    # ----------------------------------------------------------------------------------------- what the user hands in

    def _state_numbers(self, states: Any, first_step: int) -> Array:
        """Returns `[B]` state numbers of whatever names states."""
        if isinstance(states, States):
            return self._numbers_of_packed(states, first_step)
        if isinstance(states, tuple):
            return self._numbers_of_packed(self._packed(states), first_step)
        numbers = np.atleast_1d(np.asarray(states))
        if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
            raise UsageError(
                f"state {states!r}",
                expected=f"a state number, packed States, or a {self.world.State.__name__} of {self.world.name}",
            )
        outside = (numbers < 0) | (numbers >= len(self.dynamics))
        if outside.any():
            raise UsageError(
                f"state number {numbers[np.argmax(outside)]}",
                expected=f"0 to {len(self.dynamics) - 1}, as numbered in world.dynamics().states",
            )
        return numbers.astype(np.int64)

    def _packed(self, state: tuple[Any, ...]) -> States:
        fields = self.world.layouts()[0].fields
        if len(state) != len(fields):
            raise UsageError(
                f"state {state!r} has {len(state)} fields",
                expected=f"a {self.world.State.__name__}: {', '.join(field.name for field in fields)}",
            )
        packed = self.world.pack([state])
        return States(packed.floats + 0.0, packed.ints)  # −0.0 and 0.0 are one state

    def _numbers_of_packed(self, states: States, first_step: int) -> Array:
        expected = self.dynamics.states
        if (len(states.floats), len(states.ints)) != (len(expected.floats), len(expected.ints)):
            raise UsageError(
                f"packed states of {len(states.floats)} floats and {len(states.ints)} ints",
                expected=f"states of {self.world.name}: {len(expected.floats)} floats and {len(expected.ints)} ints",
                hint="is the trajectory from another world?",
            )
        try:
            return np.asarray(self.dynamics.index_of(states))
        except UsageError as error:
            known = set(expected.keys())
            t = next(t for t, key in enumerate(states.keys()) if key not in known)
            raise ImpossibleEvidenceError(
                f"step {first_step + t}: the agent is in {self.world.unpack(states, t)}, which cannot be reached in "
                f"{self.world!r}",
                expected=f"one of its {len(expected)} states",
                hint="observe in the world the trajectory was made in, with the same settings",
            ) from error

    def _action_numbers(self, actions: Any) -> Array:
        """Returns `[B]` action numbers of numbers or names."""
        names = self.world.action_names
        array = np.atleast_1d(np.asarray(actions))
        if array.dtype.kind == "U":
            unknown = [name for name in array.tolist() if name not in names]
            if unknown:
                raise UsageError(f"action {unknown[0]!r}", expected=", ".join(names), hint=closest(unknown[0], names))
            return np.array([names.index(name) for name in array.tolist()], np.int64)
        if not len(array) and array.ndim == 1:
            return np.zeros(0, np.int64)
        wrong = array.dtype.kind not in "iu" or array.ndim != 1
        if wrong or ((array < 0) | (array >= len(names))).any():
            raise UsageError(
                f"action {actions!r} (dtype {array.dtype})",
                expected=f"an integer from 0 to {len(names) - 1}, or one of {', '.join(names[:12])}",
            )
        return array.astype(np.int64)


def observe(observer: Observer, trajectory: Trajectory) -> Array:
    """Takes in a whole trajectory and returns the posterior along it, `[T + 1, G]` (row 0: before the first action).

    Evidence adds up: a second trajectory of the same agent goes on where the first ended. Works with any agent's
    trajectory; where it holds no states they are read off its observations.

    Raises:
        PartialObservationError: the observations do not determine the states.
        ImpossibleEvidenceError: as `Observer.posterior_over`; the observer is left as it was.
    """
    path = observer.posterior_over(trajectory)
    observer.update_batch(*observer.state_indices(trajectory))
    return path


def _check_minds(minds: Sequence[Mind]) -> tuple[Mind, ...]:
    found = tuple(minds)
    if not found:
        raise UsageError(
            "an observer without minds", expected="at least one Mind", hint="minds_grid(goals, betas, backups)"
        )
    for mind in found:
        if not isinstance(mind, Mind):
            raise UsageError(f"{mind!r} among the minds", expected="Mind(goal, beta, backup)")
    if len(set(found)) != len(found):
        twice = next(mind for g, mind in enumerate(found) if mind in found[:g])
        raise UsageError(f"the mind ({twice.name}) is there twice", expected="distinct minds; weigh them by the prior")
    return found


def _check_gamma(gamma: float) -> float:
    if not (isinstance(gamma, (int, float, np.number)) and 0 <= float(gamma) <= 1):
        raise UsageError(f"gamma = {gamma!r}", expected="a number in [0, 1]")
    return float(gamma)


def _check_prior(prior: ArrayLike | None, minds: tuple[Mind, ...]) -> Array:
    if prior is None:
        return np.full(len(minds), 1 / len(minds))
    array = np.array(prior, np.float64)
    if array.shape != (len(minds),):
        raise UsageError(
            f"a prior of shape {array.shape}", expected=f"one probability for each of the {len(minds)} minds"
        )
    if not np.isfinite(array).all() or (array < 0).any():
        bad = int(np.argmax(~np.isfinite(array) | (array < 0)))
        raise UsageError(
            f"the prior of the mind ({minds[bad].name}) is {array[bad]}", expected="a probability, 0 or more"
        )
    if abs(array.sum() - 1) > PRIOR_TOLERANCE:
        raise UsageError(
            f"the prior sums to {array.sum():.12g}",
            expected="1",
            hint="divide it by its sum, or leave it out for a uniform one",
        )
    return array


def _is_one(states: Any) -> bool:
    return isinstance(states, tuple) or (not isinstance(states, States) and np.ndim(states) == 0)


def _label(value: Any) -> Any:
    holds_arrays = isinstance(value, tuple) and any(isinstance(entry, np.ndarray) for entry in value)
    return repr(value) if holds_arrays else value


def _log_sum(log_values: Array, axis: int = 0) -> Any:
    """log Σ exp along an axis; −inf where every entry is."""
    top = np.max(log_values, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(log_values - top).sum(axis=axis)) + np.squeeze(top, axis=axis)


def _normalise(log_joint: Array) -> Array:
    """Returns `[..., G]` probabilities."""
    weights = np.exp(log_joint - log_joint.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))
