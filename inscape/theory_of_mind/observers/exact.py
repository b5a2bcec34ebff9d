"""The exact observer: planning run backwards. What mind would have acted like this?"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.learned import is_learned
from inscape.theory_of_mind.mind_policies import MemoryStep, MindPolicies, policies_of
from inscape.theory_of_mind.minds import Mind
from inscape.theory_of_mind.observers.checks import check_fresh, check_gamma, check_minds, check_prior
from inscape.theory_of_mind.observers.endings import Ends, EndTables, end_tables
from inscape.theory_of_mind.observers.futures import future_states
from inscape.theory_of_mind.observers.interface import ImpossibleEvidenceError, Prediction
from inscape.theory_of_mind.observers.numbering import Ended, NumberedTrajectory, Numbering, is_one
from inscape.theory_of_mind.observers.of_minds import OfMinds
from inscape.theory_of_mind.player_view import PlayerView, view_of

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.world import World


class ExactObserver(OfMinds):
    """Exact posterior over a finite set of minds: P(mind | states, actions) ∝ P(actions | states, mind) · P(mind).

    A forward filter over (mind, memory), in logs. Dynamics are enumerated once, and what each mind does in every state
    is tabulated once (Q solved once per distinct purpose, belief, backup and, where the backup depends on it, β); after
    that evidence is a look-up and a sum of logs.

    A state may be given as its number in `world.dynamics().states`, as packed `States` of length 1, or as the world's
    `State`; an action as its number or its name.

    Args:
        world: the world acted in; its own purpose plays no part.
        minds: the G hypotheses, distinct: `PlanningMind`s or any other objects with a `controller`.
        prior: `[G]` probabilities; None: that of the `grid` the minds are from, else uniform.
        gamma: the discount of `PlanningMind`s that have none of their own; None: the world's.
        player: who is watched, where there are several players; actions are then that player's own, and 0 while
            another one moves. Predictions of states take the others to act at random.
        ends: when the episodes of a mind end, as evidence (`Ends`): that one ended (`end`, a trajectory that
            terminated) and that it went on (whatever the agent did). None: ends say nothing of minds.

    Attributes:
        policies: what each mind would do in every state.
        steps: how many steps have been observed.

    Raises:
        UsageError: no minds or equal ones; a prior of the wrong length, negative or not summing to 1; gamma outside
            [0, 1]; a goal the world does not have; a controller that is not valid; a mind that acts on state the world
            hides and does not say it sees.
        MissingLawError: the world cannot be enumerated; or has several players, and none is named.

    Source: Baker, Saxe & Tenenbaum (2009), Action understanding as inverse planning, Cognition 113(3), Eqs. 1–3; the
        filter over memory is the forward algorithm, Rabiner (1989), Proceedings of the IEEE 77(2), Eqs. 19–21.
    """

    def __init__(
        self,
        world: World,
        minds: Sequence[Mind],
        prior: ArrayLike | None = None,
        gamma: float | None = None,
        player: int | None = None,
        ends: Ends | bool | None = None,
    ) -> None:
        self.world = view_of(world, player)
        self.minds = check_minds(minds)
        self.gamma = check_gamma(world.gamma if gamma is None else gamma)
        of_grid = getattr(minds, "prior", None) if prior is None else None
        self._prior = check_prior(prior, self.minds, of_grid)
        self._numbering = Numbering(self.world)
        self.dynamics = self._numbering.dynamics
        self.policies: MindPolicies = policies_of(world, self.minds, self.gamma, player)
        self._ends = end_tables(ends, self.policies)
        self._begin()

    def _begin(self) -> None:
        with np.errstate(divide="ignore"):  # a mind may be ruled out beforehand
            log_prior = np.log(self._prior)
        # memory is drawn at the first state; until then a mind's first row stands for the mind
        self._log_prior = np.full(len(self.policies.mind_of), -np.inf)
        self._log_prior[self.policies.first_row] = log_prior
        self.reset()

    @property
    def prior(self) -> Array:
        """`[G]` P(mind) before any evidence."""
        return self._prior.copy()

    def with_prior(self, prior: ArrayLike) -> ExactObserver:
        """Returns an observer of the same minds that starts from another prior; nothing is planned again.

        Args:
            prior: `[G]` probabilities.

        Raises:
            UsageError: a prior of the wrong length, negative or not summing to 1.
        """
        other = copy.copy(self)
        other._prior = check_prior(prior, self.minds, None)
        other._begin()
        return other

    def reset(self) -> None:
        """Forgets all evidence: the posterior is the prior again."""
        self._log_joint = self._log_prior.copy()
        self._last: tuple[int, int | None] | None = None  # the last state and action, where it is not known where to
        self._at: int | None = None  # the state the last step led to, where that is known
        self.steps = 0

    # --------------------------------------------------------------------------------------------------- evidence

    def update(
        self, state: Any, action: int | str | None = None, next_state: Any = None, *, fresh: bool = False
    ) -> Array:
        """Takes in one step of the agent and returns the posterior, `[G]`.

        Args:
            state: where the agent was; it must be able to follow the step before.
            action: what it did; None: that was not seen, and is summed over once it is known where the step led.
            next_state: where that led; None: the next call says it.
            fresh: the state begins an episode, or comes after a gap: memory starts again.

        Raises:
            ImpossibleEvidenceError: the state cannot be reached, or not from the step before; the episode was over;
                the action is illegal there, cannot lead to `next_state`, or no mind with positive posterior could have
                chosen it. The observer is left as it was.
            UsageError: not a state or not an action of this world.
        """
        s = self._numbering.one_state(state, self.steps)
        a = None if action is None else self._numbering.one_action(action)
        joint = self._arrive(s, fresh)
        last: tuple[int, int | None] | None = (s, a)
        at = None
        if a is not None or next_state is not None:
            self._refuse_end(s, self.steps)
        if a is not None:
            if not self.dynamics.legal[s, a]:
                self._refuse(self.steps, s, a, "which is not legal there")
            joint = joint + self._log_likelihood(s, a)
        if next_state is not None:
            at = self._numbering.one_state(next_state, self.steps)
            joint, last = self._move(joint, s, a, at, self.steps), None
        if joint.max() == -np.inf:
            self._refuse(self.steps, s, a, self._nobody)
        self._log_joint, self._last, self._at = joint, last, at
        self.steps += 1
        return self.posterior()

    def end(self, state: Any = None) -> Array:
        """Takes in that the episode ended, and returns the posterior, `[G]`; the next state begins another one.

        Args:
            state: where it ended; None: where the last step led, as `update` was given it.

        Raises:
            UsageError: the observer counts no ends (`ends`); or it is not known where the last step led.
            ImpossibleEvidenceError: it cannot have ended there; the observer is left as it was.
        """
        ends = self._counted_ends()
        if state is None and self._at is None:
            raise UsageError(
                "an end, and it is not known where", expected="end(state), or next_state given to the last update"
            )
        s = self._at if state is None else self._numbering.one_state(state, self.steps)
        assert s is not None
        joint = self._arrive(s, fresh=False) + ends.ended[:, s]
        self._refuse_impossible_end(joint, s, self.steps)
        self._log_joint, self._last, self._at = joint, None, None
        return self.posterior()

    def update_batch(self, states: Any, actions: ArrayLike, fresh: bool | ArrayLike = False) -> Array:
        """Takes in T steps of one agent and returns the posterior, `[G]`; the same as T times `update`.

        Args:
            states: packed `States` of length T, or `[T]` state numbers.
            actions: `[T]` action numbers or names.
            fresh: does the first state begin an episode; or `[T]` bool, for each state.

        Raises:
            ImpossibleEvidenceError, UsageError: as `update`; the step named counts from the first ever observed.
        """
        numbers, taken = self._numbering.state_numbers(states, self.steps), self._numbering.action_numbers(actions)
        if len(numbers) != len(taken):
            raise UsageError(f"{len(numbers)} states with {len(taken)} actions", expected="one action per state")
        if len(taken):
            begins = check_fresh(fresh, len(taken))
            joint = self._arrive(int(numbers[0]), bool(begins[0]))
            begins[0] = True
            self._check_steps(numbers, taken, begins, self.steps)
            self._log_joint = self._log_joint_along(joint, numbers, taken, begins, self.steps)[-1]
            self._last, self._at = (int(numbers[-1]), int(taken[-1])), None
            self.steps += len(taken)
        return self.posterior()

    def observe(self, trajectory: Trajectory | NumberedTrajectory) -> Array:
        """Takes in a whole episode and returns the posterior along it, `[T + 1, G]` (see the function `observe`)."""
        numbered = self._numbered(trajectory)
        joint = self._log_joint_after(numbered)
        self._log_joint = joint[-1]  # with the end, where it is evidence
        self._last = self._at = None  # the next state begins another episode
        self.steps += len(numbered.actions)
        return _normalise(self.policies.by_mind(joint))

    def posterior(self) -> Array:
        """Returns `[G]` P(mind | all that was observed)."""
        return _normalise(self.policies.by_mind(self._log_joint))

    def log_posterior(self) -> Array:
        """Returns `[G]` log P(mind | all that was observed), −inf where ruled out."""
        joint = self.policies.by_mind(self._log_joint)
        return np.asarray(joint - _log_sum(joint))

    def log_evidence(self) -> float:
        """Returns log P(actions | states), in nats: 0 before any evidence, and additive over it by the chain rule.

        A step whose action was not seen counts with log P(next state | state). With `ends`, that of the ends too.
        """
        return float(_log_sum(self._log_joint))

    def posterior_over(self, trajectory: Trajectory | NumberedTrajectory) -> Array:
        """Returns `[T + 1, G]`: the posterior before the first action and after each; the observer stays as it is.

        Raises:
            ImpossibleEvidenceError: as `update`; or a step the dynamics do not allow.
        """
        return _normalise(self.policies.by_mind(self._log_joint_after(self._numbered(trajectory))))

    # ------------------------------------------------------------------------------------------------- prediction

    def action_log_probs(self, states: Any) -> Array:
        """Returns log P(next action | what was observed): `[A]` for a `State` or a number, `[B, A]` for a batch.

        The posterior predictive: each mind's choice rule, weighted by its posterior. −inf where illegal. A state the
        last step cannot lead to is taken to begin an episode.
        """
        one = is_one(states)
        numbers = self._numbering.state_numbers(states, self.steps)
        if self.policies.log_start is None and not self._waits():
            joint = self._log_joint[:, None]  # the same in every state
        else:
            joint = np.stack([self._if_in(int(number)) for number in numbers], axis=1)
        if self._ends is not None:
            joint = self._still_acting(joint, numbers)
        weights = joint - _log_sum(joint)
        mixed: Array = _log_sum(weights[:, :, None] + self.policies.log_probs[:, numbers], axis=0)
        return mixed[0] if one else mixed

    def action_log_probs_by_mind(self, state: Any) -> Array:
        """Returns `[G, A]` log P(next action in `state` | mind, what was observed), whatever the mind's posterior."""
        number = self._numbering.one_state(state, self.steps)
        rows = self._memory_shares(number)[:, None] + self.policies.log_probs[:, number]
        return rows if self.policies.log_start is None else np.logaddexp.reduceat(rows, self.policies.first_row, axis=0)

    def predict(self, state: Any, horizon: int = 1) -> Prediction:
        """Returns what the agent will do next in `state`, and where it will be up to `horizon` steps later.

        Exact: each mind's distribution over states is pushed through its policy and the true dynamics, and the results
        are mixed by the posterior. A mind that has arrived (its episode over) stays; asked for its next action all the
        same, it is indifferent. A state the last step cannot lead to is taken to begin an episode.
        """
        if isinstance(horizon, bool) or not isinstance(horizon, (int, np.integer)) or horizon < 0:
            raise UsageError(f"horizon = {horizon!r}", expected="a number of steps, 0 or more")
        numbers = self._numbering.state_numbers(state, self.steps)
        if len(numbers) != 1:
            raise UsageError(f"predict was given {len(numbers)} states", expected="one state")
        number = int(numbers[0])
        return self._predicted(number, _normalise(self._if_in(number)), horizon)

    def predictions_over(self, trajectory: Trajectory | NumberedTrajectory, horizon: int = 1) -> Iterator[Prediction]:
        """Yields what is expected in each of the T + 1 states of a trajectory, knowing only what came before.

        The same as `predict(states[t], horizon)` after t updates; the observer itself stays as it is.

        Raises:
            ImpossibleEvidenceError: as `update`.
        """
        numbered = self._numbered(trajectory)
        for number, joint in zip(numbered.states, self._log_joint_after(numbered), strict=True):
            yield self._predicted(int(number), _normalise(joint), horizon)

    def _predicted(self, number: int, weights: Array, horizon: int) -> Prediction:
        held = self._held(weights)
        path = future_states(
            self.policies, self.dynamics, held, weights[held], number, horizon, self._steps_among(held)
        )
        if self._ends is not None:
            with np.errstate(divide="ignore"):
                weights = _normalise(self._still_acting(np.log(weights), number))
        return Prediction(np.exp(self.policies.log_probs[:, number]).T @ weights, path)

    def bits_per_action(self, trajectory: Trajectory | NumberedTrajectory) -> Array:
        """Returns `[T]` −log₂ P(action | all before it): each action predicted before it is seen, then taken in.

        The observer itself stays as it is. The sum is −log₂ of the evidence of the whole trajectory; with `ends`, that
        the episode went on counts with each action, and that it ended with none.
        """
        numbered = self._numbered(trajectory)
        joint = self._log_joint_after(NumberedTrajectory(*numbered))[:-1]
        weights = joint - _log_sum(joint, axis=1)[:, None]
        chosen = self._log_likelihood(numbered.states[:-1], numbered.actions).T
        return np.asarray(-_log_sum(weights + chosen, axis=1) / math.log(2))

    def legal_along(self, trajectory: Trajectory | NumberedTrajectory) -> tuple[Array, Array]:
        """Returns `([T, A] which actions were legal, [T] which was taken)` along a trajectory."""
        numbered = self._numbered(trajectory)
        return self.dynamics.legal[numbered.states[:-1]], numbered.actions

    def log_evidence_along(self, trajectory: Trajectory | NumberedTrajectory) -> Array:
        """Returns `[T + 1]` log P(actions so far | all before), in nats: 0 first, −inf once every mind rules them out.

        The observer itself stays as it is.
        """
        numbered = self._numbered(trajectory)
        begun = self.policies.begin(self._log_joint, int(numbered.states[0]))
        return np.asarray(_log_sum(self._filtered(begun, numbered), axis=1) - self.log_evidence())

    def predicted_over(self, trajectory: Trajectory | NumberedTrajectory) -> Array:
        """Returns `[T, A]` P(next action | all before it) along a trajectory; the observer stays as it is."""
        numbered = self._numbered(trajectory)
        joint = self._log_joint_after(numbered)[:-1]
        if self._ends is not None:
            joint = self._still_acting(joint.T, numbered.states[:-1]).T
        weights = _normalise(joint)
        chosen = np.exp(self.policies.log_probs[:, numbered.states[:-1]])
        return np.asarray(np.einsum("tr,rta->ta", weights, chosen))

    def bits_per_mind(self, trajectory: Trajectory | NumberedTrajectory) -> Array:
        """Returns `[T, G]` −log₂ P(action | all before it, mind); infinite where the mind rules the action out."""
        numbered = self._numbered(trajectory)
        chosen = self._log_likelihood(numbered.states[:-1], numbered.actions).T
        if self.policies.log_start is not None:
            certain = np.full(len(self._log_prior), -np.inf)
            certain[self.policies.first_row] = 0.0  # every mind, as if it were the only one
            begun = self.policies.begin(certain, int(numbered.states[0]))
            joint = self._filtered(begun, NumberedTrajectory(*numbered))
            by_mind = self.policies.by_mind(joint)
            with np.errstate(invalid="ignore"):  # −inf − (−inf): ruled out before
                chosen = np.where(np.isneginf(by_mind[1:]), -np.inf, by_mind[1:] - by_mind[:-1])
        return np.asarray(-chosen / math.log(2))

    def score(self, trajectory: Trajectory | NumberedTrajectory) -> float:
        """Returns the mean of `bits_per_action`, in bits per action (log₂ A: no better than a uniform guess)."""
        bits = self.bits_per_action(trajectory)
        if not len(bits):
            raise UsageError("a trajectory without actions cannot be scored", expected="at least one action")
        return float(bits.mean())

    def state_indices(self, trajectory: Trajectory) -> NumberedTrajectory:
        """Returns a trajectory in numbers, states read off the observations where need be.

        Every method that takes a trajectory takes this instead, so that it need not be numbered twice.

        Raises:
            PartialObservationError: the observations do not determine the states.
            ImpossibleEvidenceError: a state cannot be reached, or a step not be made, under the dynamics.
        """
        if not hasattr(trajectory, "actions"):
            raise UsageError(f"{trajectory!r} where one trajectory is asked for", expected="a Trajectory")
        states = trajectory.states
        if states is None:
            states = self.world.states_of(trajectory.observations)
        actions = trajectory.actions
        if isinstance(self.world, PlayerView):
            actions = self.world.own_actions(self._numbering.state_numbers(states, 0), actions)
        actions = self._numbering.action_numbers(actions)
        if len(states) != len(actions) + 1:
            raise UsageError(
                f"a trajectory of {len(actions)} actions with {len(states)} states",
                expected="one state more than actions: the last is where the last action led",
            )
        kind = Ended if getattr(trajectory, "terminated", False) else NumberedTrajectory
        numbered = kind(self._numbering.state_numbers(states, 0), actions)
        self._check_steps(numbered.states, actions, np.zeros(len(states), np.bool_), 0)
        return numbered

    # ---------------------------------------------------------------------------------------------------- within

    @property
    def _nobody(self) -> str:
        return f"which none of the {len(self.minds)} minds still held possible would choose"

    @cached_property
    def _over(self) -> Array:
        """`[S]` bool: the episode is over there, under the world's own purpose and each of its named ones."""
        dynamics, world = self.dynamics, self.world
        here = np.arange(len(dynamics))[:, None, None]
        over: Array = ((dynamics.next_state == here) | (dynamics.probability == 0)).all(axis=(1, 2))
        absorbing = np.flatnonzero(over)
        if len(absorbing):
            states = dynamics.states[absorbing]
            for purpose in (None, *world.goals.values()):
                over[absorbing] &= world.terminal_of(states, purpose)
        return over

    def _numbered(self, trajectory: Trajectory | NumberedTrajectory) -> NumberedTrajectory:
        return trajectory if isinstance(trajectory, NumberedTrajectory) else self.state_indices(trajectory)

    def _waits(self) -> bool:
        """Whether the last action was not seen, so that where it led is evidence about the mind."""
        return self._last is not None and self._last[1] is None

    def _arrive(self, state: int, fresh: bool) -> Array:
        """Returns `[R]` log P(mind, memory, what was observed) with the agent in `state` now."""
        if fresh or (self._last is None and self._at is None):
            return self.policies.begin(self._log_joint, state)
        if self._last is not None:
            return self._move(self._log_joint, *self._last, state, self.steps - 1)
        if state != self._at:
            assert self._at is not None
            raise ImpossibleEvidenceError(
                f"step {self.steps}: the agent is in {self._numbering.described(state)} and the last step led to "
                f"{self._numbering.described(self._at)}",
                expected="the state the last step led to",
                hint="fresh=True where an episode begins, or steps are missing",
            )
        return self._log_joint

    def _move(self, joint: Array, s: int, a: int | None, following: int, t: int) -> Array:
        """Returns `[R]` after action `a` (None: not seen) of step t in `s` led to `following`."""
        if a is not None:
            outcome = self._outcome(s, a, following)
            if outcome is None:
                self._refuse(t, s, a, f"which cannot lead to {self._numbering.unpacked(following)}")
            return self.policies.remember(joint, s, a, outcome)
        ways = [(b, k) for b in range(self.world.num_actions) if (k := self._outcome(s, b, following)) is not None]
        parts = [
            self.policies.remember(
                joint + self._log_likelihood(s, b) + math.log(self.dynamics.probability[s, b, k]), s, b, k
            )
            for b, k in ways
        ]
        moved = _log_sum(np.array(parts)) if parts else np.full(joint.shape, -np.inf)
        if np.isneginf(moved).all():
            raise ImpossibleEvidenceError(
                f"step {t}: from {self._numbering.described(s)} the agent came to "
                f"{self._numbering.unpacked(following)}, "
                + ("which no action leads to" if not ways else "as no mind still held possible would"),
                expected="a state some action of some mind leads to",
                hint="fresh=True where an episode begins, or steps are missing; or more minds",
            )
        return np.asarray(moved)

    def _log_likelihood(self, states: Any, actions: Any) -> Array:
        """Returns `[R]` or `[R, T]` log P(the episode goes on and the action is taken | state, mind, memory)."""
        chosen = self.policies.log_probs[:, states, actions]
        return chosen if self._ends is None else chosen + self._ends.going_on[:, states]

    def _still_acting(self, joint: Array, states: Any) -> Array:
        """Returns `joint [R, ...]` knowing that the agent acts in `states [...]`; as it is where nobody would."""
        assert self._ends is not None
        going_on = joint + self._ends.going_on[:, states]
        return np.where(np.isneginf(going_on).all(axis=0), joint, going_on)

    def _counted_ends(self) -> EndTables:
        if self._ends is None:
            raise UsageError(
                "the end of an episode for an observer to which ends say nothing",
                expected="Observer(world, minds, ends=Ends())",
            )
        return self._ends

    def _outcome(self, s: int, a: int, following: int) -> int | None:
        """Returns which outcome (K) of `a` in `s` leads to `following`; None: none does."""
        leads = (self.dynamics.next_state[s, a] == following) & (self.dynamics.probability[s, a] > 0)
        if not leads.any() or not self.dynamics.legal[s, a]:
            return None
        return int(leads.argmax())

    def _if_in(self, state: int) -> Array:
        """Returns `[R]` with the agent in `state`; where the last step cannot have led there, an episode begins."""
        if self.policies.log_start is None and not self._waits():
            return self._log_joint
        try:
            return self._arrive(state, fresh=False)
        except ImpossibleEvidenceError:
            return self.policies.begin(self._log_joint, state)

    def _memory_shares(self, state: int) -> Array:
        """Returns `[R]` log P(memory | mind, what was observed) in `state`; of a mind ruled out, as at first."""
        if self.policies.log_start is None:
            return np.zeros(len(self._log_prior))
        joint = self._if_in(state)
        by_mind = self.policies.by_mind(joint)[self.policies.mind_of]
        with np.errstate(invalid="ignore"):  # −inf − (−inf): ruled out
            return np.where(np.isneginf(by_mind), self.policies.log_start[:, state], joint - by_mind)

    def _check_steps(self, states: Array, actions: Array, begins: Array, first_step: int) -> None:
        """Refuses steps after the end, illegal actions, and states that do not follow the one before.

        Args:
            states: `[T]` or `[T + 1]` numbers.
            actions: `[T]`.
            begins: `[len(states)]` bool, True where a state need not follow the one before.
            first_step: what the first step is called.
        """
        dynamics, count = self.dynamics, len(actions)
        legal = dynamics.legal[states[:count], actions]
        before, taken = states[: len(states) - 1], actions[: len(states) - 1]
        follows = (dynamics.next_state[before, taken] == states[1:, None]) & (dynamics.probability[before, taken] > 0)
        broken = np.zeros(count, np.bool_)
        broken[: len(before)] = ~follows.any(axis=1) & ~begins[1:]
        over = self._over[states[:count]]
        wrong = ~legal | broken | over
        if not wrong.any():
            return
        t = int(np.argmax(wrong))
        self._refuse_end(int(states[t]), first_step + t)
        if not legal[t]:
            self._refuse(first_step + t, int(states[t]), int(actions[t]), "which is not legal there")
        why = f"which cannot lead to {self._numbering.unpacked(int(states[t + 1]))}"
        self._refuse(first_step + t, int(states[t]), int(actions[t]), why)

    def _log_joint_after(self, numbered: NumberedTrajectory) -> Array:
        """Returns `[T + 1, R]` log P(mind, memory, actions so far | states) along an episode."""
        begins = np.zeros(len(numbered.states), np.bool_)
        begins[0] = True
        joint = self.policies.begin(self._log_joint, int(numbered.states[0]))
        path = self._log_joint_along(joint, *numbered, begins, 0)
        if self._ends is not None and isinstance(numbered, Ended):
            at = int(numbered.states[-1])
            path[-1] = path[-1] + self._ends.ended[:, at]
            self._refuse_impossible_end(path[-1], at, len(numbered.actions))
        return path

    def _log_joint_along(self, joint: Array, states: Array, actions: Array, begins: Array, first_step: int) -> Array:
        """Returns `[T + 1, R]` from `joint [R]` in the first state, or refuses the first impossible step."""
        path = self._filtered(joint, NumberedTrajectory(states, actions), begins)
        dead = np.isneginf(path).all(axis=1)
        if dead.any():
            t = int(np.argmax(dead)) - 1
            self._refuse(first_step + t, int(states[t]), int(actions[t]), self._nobody)
        return path

    def _filtered(self, joint: Array, numbered: NumberedTrajectory, begins: Array | None = None) -> Array:
        """Returns `[T + 1, R]`: row t is before action t, with the agent in state t."""
        states, actions = numbered
        likelihood = self._log_likelihood(states[: len(actions)], actions).T
        fresh = np.zeros(len(states), np.bool_) if begins is None else begins
        if not self.policies.steps and (self.policies.log_start is None or not fresh[1:].any()):
            return np.cumsum(np.concatenate([joint[None], likelihood]), axis=0)
        path = np.empty((len(actions) + 1, len(joint)))
        path[0] = joint
        for t, action in enumerate(actions):
            path[t + 1] = path[t] + likelihood[t]
            if t + 1 < len(states):
                following = int(states[t + 1])
                if fresh[t + 1]:
                    path[t + 1] = self.policies.begin(path[t + 1], following)
                elif (outcome := self._outcome(int(states[t]), int(action), following)) is not None:
                    path[t + 1] = self.policies.remember(path[t + 1], int(states[t]), int(action), outcome)
        return path

    # ------------------------------------------------------------------------------------------------- prediction

    def _held(self, weights: Array) -> Array:
        """Returns the rows of minds of positive weight: for a mind whose memory changes all of them."""
        held = weights > 0
        for step in self.policies.steps:
            held[step.rows] = held[step.rows].any()
        return np.flatnonzero(held)

    def _steps_among(self, held: Array) -> list[MemoryStep]:
        """Returns the steps of held minds, with rows counted among `held`."""
        position = np.full(len(self.policies.mind_of), -1)
        position[held] = np.arange(len(held))
        first = [(int(position[step.rows.start]), step) for step in self.policies.steps]
        return [
            step._replace(rows=slice(row, row + step.rows.stop - step.rows.start)) for row, step in first if row >= 0
        ]

    def _push(self, occupancy: Array, policy: Array, arrived: Array, steps: Sequence[MemoryStep]) -> Array:
        """Returns where minds are one step later: `occupancy [R, S]` through `policy [R, S, A]`, as the world is."""
        rows, size = occupancy.shape
        here = np.flatnonzero(occupancy.any(axis=0))
        moving = np.where(arrived[:, here], 0.0, occupancy[:, here])
        flow = (moving[:, :, None] * policy[:, here])[..., None] * self.dynamics.probability[here]
        next_state = self.dynamics.next_state[here]
        target = np.arange(rows)[:, None] * size + next_state.reshape(1, -1)
        arriving = np.bincount(target.ravel(), weights=flow.ravel(), minlength=rows * size).reshape(rows, size)
        for step in steps:
            s, a, k = np.ix_(here, *(np.arange(n) for n in next_state.shape[1:]))
            next_memory, log_probability = step.at(s, a, k)  # [here, A, K, M, J]
            memories = next_memory.shape[3]
            split = np.moveaxis(flow[step.rows], 0, -1)[..., None] * np.exp(log_probability)
            place = next_memory * size + next_state[..., None, None]
            counted = np.bincount(place.ravel(), weights=split.ravel(), minlength=memories * size)
            arriving[step.rows] = counted.reshape(memories, size)
        return np.where(arrived, occupancy, 0.0) + arriving

    # ------------------------------------------------------------------------------------------- refusals and words

    def _refuse_end(self, number: int, step: int) -> None:
        if self._over[number]:
            raise ImpossibleEvidenceError(
                f"step {step}: the agent acts in {self._numbering.described(number)} and the episode was over there",
                expected="no action after the end",
                hint="fresh=True with the state that begins the next episode",
            )

    def _refuse_impossible_end(self, joint: Array, number: int, step: int) -> None:
        if np.isneginf(joint).all():
            raise ImpossibleEvidenceError(
                f"step {step}: the episode ended in {self._numbering.described(number)} and none of the "
                f"{len(self.minds)} minds still held possible would end it there",
                expected="an end where some mind has what it wants",
                hint="Ends(elsewhere=0.01): episodes may end for other reasons; or more minds",
            )

    def _refuse(self, step: int, number: int, action: int | None, why: str) -> NoReturn:
        legal = [name for name, ok in zip(self.world.action_names, self.dynamics.legal[number]) if ok]
        taken = "an action that was not seen" if action is None else repr(self.world.action_names[action])
        if is_learned(self.world) and "lead to" in why:
            raise ImpossibleEvidenceError(
                f"step {step}: in {self._numbering.described(number)} the agent took {taken}, {why} by the learned "
                "dynamics",
                expected="a transition that the model has seen",
                hint="fit it on more episodes; Observer without dynamics= filters with the world's law",
            )
        raise ImpossibleEvidenceError(
            f"step {step}: in {self._numbering.described(number)} the agent took {taken}, {why}",
            expected=f"an action that is legal there ({', '.join(legal)}) and that some mind might choose",
            hint="more minds (another goal or belief, a prior without zeros), or check where the data are from; "
            "fresh=True where an episode begins",
        )


def observe(observer: ExactObserver, trajectory: Trajectory | NumberedTrajectory) -> Array:
    """Takes in a whole episode and returns the posterior along it, `[T + 1, G]` (row 0: before the first action).

    Evidence adds up: a second episode of the same agent goes on where the first ended. Works with any agent's
    trajectory; where it holds no states they are read off its observations.

    Raises:
        PartialObservationError: the observations do not determine the states.
        ImpossibleEvidenceError: as `Observer.posterior_over`; the observer is left as it was.
    """
    return observer.observe(trajectory)


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
