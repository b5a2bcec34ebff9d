"""An observer where the world is too big to solve: what minds do is searched for, in the states that are visited."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import UsageError, closest, whole_number
from inscape.theory_of_mind.controllers import Array, check_world
from inscape.theory_of_mind.learned import is_learned
from inscape.theory_of_mind.minds import Mind
from inscape.theory_of_mind.observers.checks import check_gamma, check_minds, check_prior
from inscape.theory_of_mind.observers.interface import ImpossibleEvidenceError, Prediction
from inscape.theory_of_mind.observers.of_minds import OfMinds
from inscape.theory_of_mind.observers.searched import Searches

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.law.states import States
    from inscape.envs.world import World


class SeenTrajectory(NamedTuple):
    """A trajectory whose steps were checked.

    Attributes:
        states: packed, of length T + 1.
        actions: `[T]` action numbers.
    """

    states: States
    actions: Array


class PlannedObserver(OfMinds):
    """Posterior over minds whose action values are searched for: nothing is enumerated, the world may be of any size.

    From each state that is visited, what its actions lead to is searched from for each distinct goal, once, when first
    asked for; P(a | s, mind) is the mind's own choice rule over Q(s, a) = Σ P(s' | s, a)·(r + γ·V(s')). (Where outcomes
    can only be sampled, and in games that are not zero-sum: over the action values that a search of s finds.) What a
    search finds depends on state, goal and `seed` alone, not on the order of visits. Other minds, as `PolicyMind`s, are
    asked for `action_log_probs(world, states, player)`.

        PlannedObserver(make_world("ConnectFour"), minds_grid([world.purpose], [1.0, 5.0], "hard"), player=1)

    `searches` independent searches are averaged in each state; how far they differ says how far the posterior may be
    from what endless averaging would give (`posterior_error`). A search that stops early also errs in one direction:
    more simulations make that smaller, more searches do not.

    Verbs and arguments as those of `ExactObserver`, but states are `State`s or packed `States`: they have no numbers.

    Args:
        world: one player, or several who move in turn.
        minds: the G hypotheses, distinct: `PlanningMind`s that see the state, want one goal and plan with the backup
            `"hard"`, which is what a search for the best finds; or minds with `action_log_probs`.
        planner: finds values: a planner, or its name; None: `UCT(num_simulations=2000)`. For goals that are far away
            and steps that cost, `rollout="none", averaging_visits=0.0`: random roll-outs do not find such goals.
        prior, gamma, player: as in `ExactObserver`. Moves of other players are no evidence. A discount that a mind has
            of its own, and `gamma`, are handed to the planner.
        seed: of the searches and of sampled futures.
        searches: K ≥ 1, how many are averaged.
        samples: futures sampled by `predict`.

    Raises:
        UsageError: a mind of another kind; all players act at once; what `ExactObserver` refuses.
        MissingLawError: several players, and none is named.

    Source: inverse planning by search: Ramírez & Geffner (2009), IJCAI; the jackknife: Efron & Stein (1981), Annals of
        Statistics 9(3).
    """

    def __init__(
        self,
        world: World,
        minds: Sequence[Mind],
        planner: Any = None,
        prior: ArrayLike | None = None,
        gamma: float | None = None,
        player: int | None = None,
        *,
        seed: int = 0,
        searches: int = 2,
        samples: int = 200,
    ) -> None:
        check_world(world)
        if is_learned(world):
            raise UsageError(
                "learned dynamics for an observer that searches by the law",
                expected="Observer(world, minds, dynamics=model)",
            )
        self.world, self.player = world, _check_player(world, player)
        self.minds = check_minds(minds)
        self.gamma = check_gamma(world.gamma if gamma is None else gamma)
        of_grid = getattr(minds, "prior", None) if prior is None else None
        self._prior = check_prior(prior, self.minds, of_grid)
        self._samples, self._seed = whole_number("samples =", samples, 1), whole_number("seed =", seed)
        count = whole_number("searches =", searches, 1)
        self._searches = Searches(world, self.minds, planner, self.gamma, self.player, self._seed, count)
        self.reset()

    def reset(self) -> None:
        """Forgets all evidence; what was searched is kept."""
        with np.errstate(divide="ignore"):  # a mind may be ruled out beforehand
            self._log_joint = np.log(self._prior)
        # the same without each of the searches in turn
        self._without = np.tile(self._log_joint, (self._searches.count, 1))
        self._last: tuple[States, int | None] | None = None
        self.steps = 0

    @property
    def searched(self) -> int:
        """How many searches, of a state for a goal, have been made (each of them K times)."""
        return self._searches.made

    # --------------------------------------------------------------------------------------------------- evidence

    def update(
        self, state: Any, action: int | str | None = None, next_state: Any = None, *, fresh: bool = False
    ) -> Array:
        """Takes in one step and returns the posterior, `[G]` (see `ExactObserver.update`).

        Where outcomes cannot be listed, it is not checked that states follow each other.

        Raises:
            ImpossibleEvidenceError, UsageError: as `ExactObserver.update`; the observer is left as it was.
        """
        here = self._one(state)
        following = None if next_state is None else self._one(next_state)
        a = None if action is None else self._action(action)
        gained = np.zeros((1 + self._searches.count, len(self.minds)))
        if self._last is not None and not fresh:
            gained += self._led(*self._last, here, self.steps - 1)
        if a is not None or following is not None:
            self._refuse_end(here, self.steps)
        if a is not None:
            self._refuse_illegal(here, a, self.steps)
            gained += self._searches.log_probs(here)[:, :, a] if self._acts(here) else 0.0
        last: tuple[States, int | None] = here, a
        if following is not None:
            gained += self._led(here, a, following, self.steps)
            last = following, -1
        joint = self._log_joint + gained[0]
        if np.isneginf(joint).all():
            self._refuse(self.steps, here, a, f"which none of the {len(self.minds)} minds held possible would choose")
        self._log_joint, self._without, self._last = joint, self._without + gained[1:], last
        self.steps += 1
        return self.posterior()

    def observe(self, trajectory: Trajectory | SeenTrajectory) -> Array:
        """Takes in a whole episode and returns the posterior along it, `[T + 1, G]`."""
        seen = self.state_indices(trajectory)
        steps = self._log_probs_along(seen)
        path = np.concatenate([self._log_joint[None], self._log_joint + np.cumsum(steps[:, 0], axis=0)])
        self._refuse_dead(path, seen)
        self._log_joint, self._without = path[-1], self._without + steps[:, 1:].sum(axis=0)
        self._last = None  # the next state begins another episode
        self.steps += len(seen.actions)
        return _normalise(path)

    def posterior(self) -> Array:
        """Returns `[G]` P(mind | all that was observed)."""
        return _normalise(self._log_joint)

    def log_posterior(self) -> Array:
        """Returns `[G]` log P(mind | all that was observed), −inf where ruled out."""
        return np.asarray(self._log_joint - _log_sum(self._log_joint))

    def posterior_error(self) -> Array:
        """Returns `[G]` standard errors of `posterior` from the noise of the searches, by the jackknife over them.

        Raises:
            UsageError: one search a state says nothing about noise.
        """
        count = self._searches.count
        if count < 2:
            raise UsageError("searches = 1", expected="at least 2, for their differences to say how noisy they are")
        left_out = _normalise(self._without)
        return np.asarray(np.sqrt((count - 1) / count * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0)))

    def log_evidence(self) -> float:
        """Returns log P(actions | states), in nats (see `ExactObserver.log_evidence`)."""
        return float(_log_sum(self._log_joint))

    def posterior_over(self, trajectory: Trajectory | SeenTrajectory) -> Array:
        """Returns `[T + 1, G]`: the posterior before the first action and after each; the observer stays as it is."""
        return _normalise(self._joint_over(self.state_indices(trajectory)))

    # ------------------------------------------------------------------------------------------------- prediction

    def action_log_probs(self, states: Any) -> Array:
        """Returns log P(next action | what was observed): `[A]` for a `State`, `[B, A]` for packed states."""
        packed, weights = self.world.as_states(states), self.log_posterior()
        mixed = np.stack(
            [_log_sum(weights[:, None] + self._searches.log_probs(packed[[b]])[0]) for b in range(len(packed))]
        )
        return mixed[0] if isinstance(states, tuple) else mixed

    def action_log_probs_by_mind(self, state: Any) -> Array:
        """Returns `[G, A]` log P(next action in `state` | mind), whatever the mind's posterior."""
        return np.asarray(self._searches.log_probs(self._one(state))[0])

    def predict(self, state: Any, horizon: int = 1) -> Prediction:
        """Returns what the agent will do next, and where it will be up to `horizon` steps later, from sampled futures.

        `state_probs` are shares of `samples` futures, in the `states` they came to; other players act at random.
        """
        here, horizon = self._one(state), whole_number("horizon =", horizon)
        probs = np.exp(self.action_log_probs(here)[0])
        rng = np.random.default_rng([self._seed, self.steps, 1])
        minds = np.sort(rng.choice(len(self.minds), self._samples, p=self.posterior()))
        at = here[np.zeros(self._samples, np.int64)]
        index: dict[bytes, int] = {}
        rows: list[States] = []
        visits: list[list[int]] = []
        for h in range(horizon + 1):
            if h:
                at = self._searches.moved(at, minds, rng)
            keys = at.keys()
            for n, key in enumerate(keys):
                if index.setdefault(key, len(index)) == len(rows):
                    rows.append(at[[n]])
            visits.append([index[key] for key in keys])
        counts = np.stack([np.bincount(row, minlength=len(index)) for row in visits])
        return Prediction(probs, counts / self._samples, type(here).concatenate(rows))

    def bits_per_action(self, trajectory: Trajectory | SeenTrajectory) -> Array:
        """Returns `[T]` −log₂ P(action | all before it); of another player's moves 0. The observer stays as it is."""
        joint = self._joint_over(self.state_indices(trajectory))
        totals = _log_sum(joint, axis=1)
        return np.asarray((totals[:-1] - totals[1:]) / math.log(2))

    def bits_per_mind(self, trajectory: Trajectory | SeenTrajectory) -> Array:
        """Returns `[T, G]` −log₂ P(action | state, mind); infinite where the mind rules the action out."""
        return np.asarray(-self._log_probs_along(self.state_indices(trajectory))[:, 0] / math.log(2)) + 0.0

    def predicted_over(self, trajectory: Trajectory | SeenTrajectory) -> Array:
        """Returns `[T, A]` P(next action | all before it) along a trajectory; the observer stays as it is."""
        seen = self.state_indices(trajectory)
        weights = _normalise(self._joint_over(seen)[:-1])
        rows: list[Array] = []
        for t, action in enumerate(seen.actions):
            here = seen.states[[t]]
            known = self._acts(here)
            rows.append(
                weights[t] @ np.exp(self._searches.log_probs(here)[0]) if known else np.eye(self._width)[action]
            )
        return np.array(rows).reshape(-1, self._width)

    def legal_along(self, trajectory: Trajectory | SeenTrajectory) -> tuple[Array, Array]:
        """Returns `([T, A] which actions were legal, [T] which was taken)`; of another's moves that one alone."""
        seen = self.state_indices(trajectory)
        count = len(seen.actions)
        legal = self.world.legal_actions(seen.states)[:count]
        others = (
            np.zeros(count, bool) if self.player is None else self.world.mover_of(seen.states)[:count] != self.player
        )
        legal[others] = np.eye(self._width, dtype=bool)[seen.actions[others]]
        return legal, seen.actions

    def state_indices(self, trajectory: Trajectory | SeenTrajectory) -> SeenTrajectory:
        """Returns a trajectory with its states, read off the observations where need be, once its steps are checked.

        Raises:
            PartialObservationError: the observations do not determine the states.
            ImpossibleEvidenceError: an illegal action, one after the end, or states that cannot follow each other.
        """
        if isinstance(trajectory, SeenTrajectory):
            return trajectory
        if not hasattr(trajectory, "actions"):
            raise UsageError(f"{trajectory!r} where one trajectory is asked for", expected="a Trajectory")
        states = self.world.states_of(trajectory.observations) if trajectory.states is None else trajectory.states
        self.world.require_states(states, "the trajectory")
        actions = np.array([self._action(action) for action in np.asarray(trajectory.actions)], np.int64)
        if len(states) != len(actions) + 1:
            raise UsageError(
                f"a trajectory of {len(actions)} actions with {len(states)} states",
                expected="one state more than actions",
            )
        for t, action in enumerate(actions):
            here = states[[t]]
            self._refuse_end(here, t)
            self._refuse_illegal(here, int(action), t)
            self._led(here, int(action), states[[t + 1]], t)
        return SeenTrajectory(states, actions)

    # ------------------------------------------------------------------------------------------------------ within

    @property
    def _width(self) -> int:
        return self.world.num_actions

    def _one(self, state: Any) -> States:
        packed = self.world.as_states(state)
        self.world.require_states(packed, "the state")
        if len(packed) != 1:
            raise UsageError(f"{len(packed)} states", expected="one state")
        return packed

    def _action(self, action: Any) -> int:
        names = self.world.action_names
        if isinstance(action, str):
            if action not in names:
                raise UsageError(f"action {action!r}", expected=", ".join(names), hint=closest(action, names))
            return names.index(action)
        return whole_number("action", action, 0, len(names) - 1)

    def _acts(self, here: States) -> bool:
        return self.player is None or int(self.world.mover_of(here)[0]) == self.player

    def _joint_over(self, seen: SeenTrajectory) -> Array:
        steps = self._log_probs_along(seen)[:, 0]
        path = np.concatenate([self._log_joint[None], self._log_joint + np.cumsum(steps, axis=0)])
        self._refuse_dead(path, seen)
        return path

    def _log_probs_along(self, seen: SeenTrajectory) -> Array:
        """Returns `[T, 1 + K, G]` log P(action | state, mind), by all searches and without each of them."""
        rows = np.zeros((len(seen.actions), 1 + self._searches.count, len(self.minds)))
        for t, action in enumerate(seen.actions):
            here = seen.states[[t]]
            if self._acts(here):
                rows[t] = self._searches.log_probs(here)[:, :, action]
        return rows

    def _led(self, here: States, a: int | None, following: States, step: int) -> Array:
        """Returns `[1 + K, G]` what is learned from where a step led; −1 as its action: `here` is `following`."""
        key = following.keys()[0]
        nothing = np.zeros((1 + self._searches.count, len(self.minds)))
        if a == -1:
            if here.keys()[0] != key:
                raise ImpossibleEvidenceError(
                    f"step {step + 1}: the agent is in {self._unpacked(following)} and the last step led to "
                    f"{self._unpacked(here)}",
                    expected="the state the last step led to",
                    hint="fresh=True where an episode begins, or steps are missing",
                )
            return nothing
        if not self.world.is_enumerable:
            if a is None:
                raise UsageError(
                    f"an action of {self.world.name} that was not seen", expected="an action: its outcomes have no law"
                )
            return nothing
        if a is not None:
            if not self._probability(here, a, key) > 0:
                self._refuse(step, here, a, f"which cannot lead to {self._unpacked(following)}")
            return nothing
        legal = np.flatnonzero(self.world.legal_actions(here)[0])
        led = np.array([self._probability(here, int(b), key) for b in legal])
        if not led.any():
            self._refuse(step, here, None, f"and none leads to {self._unpacked(following)}")
        if not self._acts(here):
            return nothing
        with np.errstate(divide="ignore"):
            return np.asarray(_log_sum(self._searches.log_probs(here)[:, :, legal] + np.log(led), axis=2))

    def _probability(self, here: States, action: int, key: bytes) -> float:
        probability, following = self.world.outcomes(here, np.array([action]))
        return float(sum(p for p, k in zip(probability[0], following.keys()) if k == key))

    def _unpacked(self, states: States) -> Any:
        return self.world.unpack(states, 0)

    def _refuse_dead(self, path: Array, seen: SeenTrajectory) -> None:
        dead = np.isneginf(path).all(axis=1)
        if dead.any():
            t = int(np.argmax(dead)) - 1
            why = f"which none of the {len(self.minds)} minds held possible would choose"
            self._refuse(t, seen.states[[t]], int(seen.actions[t]), why)

    def _refuse_end(self, here: States, step: int) -> None:
        world = self.world
        if all(world.terminal_of(here, purpose)[0] for purpose in (None, *world.goals.values())):
            raise ImpossibleEvidenceError(
                f"step {step}: the agent acts in {self._unpacked(here)} and the episode was over there",
                expected="no action after the end",
                hint="fresh=True with the state that begins the next episode",
            )

    def _refuse_illegal(self, here: States, action: int, step: int) -> None:
        if not self.world.legal_actions(here)[0, action]:
            self._refuse(step, here, action, "which is not legal there")

    def _refuse(self, step: int, here: States, action: int | None, why: str) -> None:
        taken = "an action that was not seen" if action is None else repr(self.world.action_names[action])
        raise ImpossibleEvidenceError(
            f"step {step}: in {self._unpacked(here)} the agent took {taken}, {why}",
            expected="an action that is legal there and that some mind might choose",
            hint="more minds, a lapse, or more simulations; fresh=True where an episode begins",
        )


def _check_player(world: World, player: int | None) -> int | None:
    """Returns whose moves are evidence; None: all, of the only player."""
    if world.players == 1:
        if player not in (None, 0):
            raise UsageError(f"player {player} of {world.name}", expected="0: it has one player")
        return None
    if world.simultaneous:
        raise UsageError(
            f"{world.name}, where all act at once, with a PlannedObserver",
            expected="one player, or players who move in turn",
            hint="Observer(world, minds, player=0), where the world can be enumerated",
        )
    return whole_number(f"the player watched, of {world.players}:", player, 0, world.players - 1)


def _log_sum(log_values: Array, axis: int = 0) -> Any:
    return np.logaddexp.reduce(log_values, axis=axis)


def _normalise(log_joint: Array) -> Array:
    weights = np.exp(log_joint - log_joint.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))
