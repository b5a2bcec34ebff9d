"""An observer of minds that cannot be listed: particles, drawn from a prior, weighed, resampled and moved."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import UsageError, whole_number
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.minds import Mind, identity_of
from inscape.theory_of_mind.observers.exact import ExactObserver
from inscape.theory_of_mind.observers.interface import ImpossibleEvidenceError, Prediction
from inscape.theory_of_mind.observers.numbering import NumberedTrajectory

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.world import World

DrawMind = Callable[[np.random.Generator], Mind]


@dataclass(frozen=True)
class _Step:
    """One call of `update`, with states and actions as numbers."""

    state: int
    action: int | None
    next_state: int | None
    fresh: bool


class ParticleObserver:
    """Sequential Monte Carlo over minds: P(mind | what was seen) by N particles, with the verbs of `Observer`.

    Each particle is a mind drawn by `draw_mind`; its memory is filtered exactly. When the effective sample size falls
    below a share of N, particles are resampled and then moved: each is offered `moves` other minds, from `propose` or
    anew from `draw_mind`, taken with the probability of Metropolis & Hastings by the likelihood of all that was seen.
    So goals that have died out come back when evidence turns.

        def draw_mind(rng):
            return PlanningMind(rng.choice(["A", "B"]), rng.gamma(2.0, 1.0), "soft-eval")
        watch = ParticleObserver(world, draw_mind, 200, rng)

    Args:
        world: the world acted in.
        draw_mind: draws a mind from the prior: a function of a `numpy.random.Generator`; or several of them, one a
            stratum, of which an equal share of the first particles is drawn.
        particles: N.
        rng: its random numbers; a seed, or a generator.
        gamma, player: as in `ExactObserver`.
        threshold: share of N below which the effective sample size leads to resampling.
        moves: other minds offered to each particle after resampling.
        propose: a mind near another one, `propose(mind, rng)`, in a way that is symmetric; with it, half of the moves
            are local. The prior must then be given too.
        log_prior: log density of a mind, up to a constant; only for `propose`.

    Attributes:
        minds: the distinct minds among the particles; `posterior()` has their weights, in this order.
        steps: how many steps have been observed.

    Raises:
        UsageError: no particles; what is drawn is no mind; numbers out of range; `propose` without `log_prior`.

    Source: Chopin (2002), "A sequential particle filter method for static models", Biometrika 89(3); systematic
        resampling: Carpenter, Clifford & Fearnhead (1999); goals by particles: Zhi-Xuan et al. (2020), NeurIPS.
    """

    def __init__(
        self,
        world: World,
        draw_mind: DrawMind | Sequence[DrawMind],
        particles: int,
        rng: np.random.Generator | int,
        gamma: float | None = None,
        player: int | None = None,
        *,
        threshold: float = 0.5,
        moves: int = 1,
        propose: Callable[[Any, np.random.Generator], Mind] | None = None,
        log_prior: Callable[[Any], float] | None = None,
    ) -> None:
        for name, value, least in (("particles", particles, 1), ("moves", moves, 0)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise UsageError(f"{name} = {value!r}", expected=f"a whole number of at least {least}")
        number = isinstance(threshold, (int, float, np.number)) and not isinstance(threshold, bool)
        if not number or not 0 < threshold <= 1:
            raise UsageError(f"threshold = {threshold!r}", expected="a share above 0, up to 1")
        if (propose is None) != (log_prior is None):
            raise UsageError("one of propose and log_prior", expected="both, or none")
        self._draws = (draw_mind,) if callable(draw_mind) else tuple(draw_mind)
        if not self._draws or not all(map(callable, self._draws)):
            raise UsageError(f"draw_mind = {draw_mind!r}", expected="a function of a random generator, or several")
        self.world, self.particles = world, int(particles)
        self._gamma, self._player = gamma, player
        self._rng = rng if isinstance(rng, np.random.Generator) else np.random.default_rng(whole_number("rng =", rng))
        self._threshold, self._moves = float(threshold), int(moves)
        self._propose, self._log_prior = propose, log_prior
        self._initial = [self._draw(k % len(self._draws)) for k in range(self.particles)]
        self.reset()

    def reset(self) -> None:
        """Forgets all evidence: the particles are those first drawn."""
        self._history: list[_Step] = []
        self.steps = 0
        self.resampled = 0
        self._log_evidence = 0.0
        self._hold(self._initial, None)

    # --------------------------------------------------------------------------------------------------- evidence

    def update(
        self, state: Any, action: int | str | None = None, next_state: Any = None, *, fresh: bool = False
    ) -> Array:
        """Takes in one step and returns the posterior over `minds`, `[G]` (see `ExactObserver.update`).

        Where no particle explains the step, new ones are drawn from the prior, as often as there are particles, before
        it is given up.

        Raises:
            ImpossibleEvidenceError: no mind that was drawn explains it; the observer is left as it was.
            UsageError: as `ExactObserver.update`.
        """
        numbering = self._observer._numbering
        step = _Step(
            numbering.one_state(state, self.steps),
            None if action is None else numbering.one_action(action),
            None if next_state is None else numbering.one_state(next_state, self.steps),
            fresh,
        )
        before = self._observer.log_evidence()
        try:
            self._apply(self._observer, step)
        except ImpossibleEvidenceError:
            self._draw_again(step)
        else:
            self._log_evidence += self._observer.log_evidence() - before
        self._history.append(step)
        self.steps += 1
        if self.effective_sample_size() < self._threshold * self.particles:
            self._rejuvenate()
        return self.posterior()

    def observe(self, trajectory: Trajectory) -> Array:
        """Takes in a whole episode, step by step, and returns the posterior over `minds` after it, `[G]`."""
        numbered = self._observer.state_indices(trajectory)
        for t, action in enumerate(numbered.actions):
            self.update(int(numbered.states[t]), int(action), int(numbered.states[t + 1]), fresh=t == 0)
        return self.posterior()

    @property
    def minds(self) -> tuple[Mind, ...]:
        """The distinct minds among the particles."""
        return self._observer.minds

    def posterior(self) -> Array:
        """Returns `[G]` the weights of `minds`."""
        return self._observer.posterior()

    def log_posterior(self) -> Array:
        """Returns `[G]` logs of the weights of `minds`."""
        return self._observer.log_posterior()

    def effective_sample_size(self) -> float:
        """Returns 1/Σ w² of the N particles' weights: N if all weigh alike, 1 if one has all the weight."""
        weights = self.posterior()
        return float(1.0 / (weights**2 / self._counts).sum())

    def log_evidence(self) -> float:
        """Returns an estimate of log P(actions | states), in nats."""
        return self._log_evidence

    def evidence(self) -> float:
        """Returns an estimate of P(actions | states)."""
        return math.exp(self._log_evidence)

    # ------------------------------------------------------------------------------------------ as the exact one

    def marginal(self, f: str | Callable[[Mind], Any], probabilities: ArrayLike | None = None) -> dict[Any, Any]:
        """Returns the posterior of a feature of the minds, `{value: probability}` (see `ExactObserver.marginal`)."""
        return self._observer.marginal(f, probabilities)

    def expect(self, f: Callable[[Mind], ArrayLike]) -> Any:
        """Returns the posterior mean of a number or an array f(mind)."""
        return self._observer.expect(f)

    def predict(self, state: Any, horizon: int = 1) -> Prediction:
        """Returns what the agent will do next, and where it will be (see `ExactObserver.predict`)."""
        return self._observer.predict(state, horizon)

    def action_log_probs(self, states: Any) -> Array:
        """Returns log P(next action | what was observed): `[A]`, or `[B, A]` for a batch."""
        return self._observer.action_log_probs(states)

    def bits_per_action(self, trajectory: Trajectory | NumberedTrajectory) -> Array:
        """Returns `[T]` −log₂ P(action | all before it) by the particles of now; the observer stays as it is."""
        return self._observer.bits_per_action(trajectory)

    def action_log_probs_by_mind(self, state: Any) -> Array:
        """Returns `[G, A]` log P(next action in `state` | mind) of `minds` (see `ExactObserver`)."""
        return self._observer.action_log_probs_by_mind(state)

    def bits_per_mind(self, trajectory: Trajectory | NumberedTrajectory) -> Array:
        """Returns `[T, G]` −log₂ P(action | all before it, mind) of `minds` (see `ExactObserver`)."""
        return self._observer.bits_per_mind(trajectory)

    def state_indices(self, trajectory: Trajectory) -> NumberedTrajectory:
        """Returns a trajectory in numbers (see `ExactObserver`)."""
        return self._observer.state_indices(trajectory)

    def legal_along(self, trajectory: Trajectory | NumberedTrajectory) -> tuple[Array, Array]:
        """Returns which actions were legal, and which was taken (see `ExactObserver`)."""
        return self._observer.legal_along(trajectory)

    # ---------------------------------------------------------------------------------------------------- particles

    def _draw(self, stratum: int) -> Mind:
        mind = self._draws[stratum](self._rng)
        if isinstance(mind, type) or not callable(getattr(mind, "controller", None)):
            raise UsageError(
                f"draw_mind returned {mind!r}", expected="a Mind: an object with controller(world, player=0)"
            )
        return mind

    def _hold(self, particles: Sequence[Mind], log_weights: Array | None) -> None:
        """Makes N minds the particles, weighing alike or by `log_weights [N]`, and brings their memory up to date."""
        groups: dict[Any, int] = {}
        distinct: list[Mind] = []
        member = np.empty(len(particles), np.int64)
        for n, mind in enumerate(particles):
            member[n] = groups.setdefault(identity_of(mind), len(distinct))
            if member[n] == len(distinct):
                distinct.append(mind)
        self._member = member
        self._counts = np.bincount(member, minlength=len(distinct)).astype(float)
        observer = ExactObserver(self.world, distinct, None, self._gamma, self._player)
        likelihood = self._replay(observer)
        weights = np.log(self._counts) - math.log(len(particles))
        if log_weights is not None:
            weights = np.full(len(distinct), -np.inf)
            np.logaddexp.at(weights, member, log_weights)
        # of each mind, memory as it is after what was seen, and the weight it is to have
        rows = observer.policies.mind_of
        with np.errstate(invalid="ignore"):
            observer._log_joint = np.where(
                np.isneginf(likelihood[rows]), -np.inf, observer._log_joint - likelihood[rows] + weights[rows]
            )
        self._observer = observer

    def _replay(self, observer: ExactObserver) -> Array:
        """Takes in the history; returns `[G]` log P(actions | states, mind), whose prior is taken to be 1."""
        observer._log_joint = observer._log_joint + math.log(len(observer.minds))
        for step in self._history:
            self._apply(observer, step, strict=False)
        return observer.policies.by_mind(observer._log_joint)

    @staticmethod
    def _apply(observer: ExactObserver, step: _Step, strict: bool = True) -> None:
        before = observer._log_joint
        try:
            observer.update(step.state, step.action, step.next_state, fresh=step.fresh)
        except ImpossibleEvidenceError:
            if strict:
                raise
            observer._log_joint = np.full(before.shape, -np.inf)  # none of these minds explains it

    def _likelihoods(self, minds: Sequence[Mind]) -> Array:
        """Returns `[n]` log P(actions | states, mind) of any minds, equal ones among them computed once."""
        distinct: dict[Any, int] = {}
        first = [mind for mind in minds if distinct.setdefault(identity_of(mind), len(distinct)) == len(distinct) - 1]
        unique = list({identity_of(mind): mind for mind in first}.values())
        found = self._replay(ExactObserver(self.world, unique, None, self._gamma, self._player))
        return np.array([found[distinct[identity_of(mind)]] for mind in minds])

    def _rejuvenate(self) -> None:
        """Resamples, and offers every particle other minds."""
        self.resampled += 1
        weights = self.posterior()
        shares = np.cumsum(weights) / weights.sum()
        points = (self._rng.random() + np.arange(self.particles)) / self.particles
        chosen = np.minimum(np.searchsorted(shares, points, side="right"), len(weights) - 1)
        particles = [self.minds[g] for g in chosen]
        for _ in range(self._moves):
            local = self._propose is not None and bool(self._rng.random() < 0.5)
            offered = [self._offered(mind, local) for mind in particles]
            gain = self._likelihoods(offered) - self._likelihoods(particles)
            if local and self._log_prior is not None:
                gain += np.array([self._log_prior(new) - self._log_prior(old) for new, old in zip(offered, particles)])
            taken = np.log(self._rng.random(self.particles)) < gain
            particles = [new if yes else old for new, old, yes in zip(offered, particles, taken)]
        self._hold(particles, None)

    def _offered(self, mind: Mind, local: bool) -> Mind:
        if local and self._propose is not None:
            return self._propose(mind, self._rng)
        return self._draw(int(self._rng.integers(len(self._draws))))

    def _draw_again(self, step: _Step) -> None:
        """Replaces the particles, none of which explains `step`, by new ones that explain everything, if there are any.

        Raises:
            ImpossibleEvidenceError: there are none.
        """
        kept = self._observer, self._member, self._counts
        offered = [self._draw(k % len(self._draws)) for k in range(self.particles)]
        self._history.append(step)
        try:
            likelihood = self._likelihoods(offered)
        finally:
            self._history.pop()
        if np.isneginf(likelihood).all():
            self._observer, self._member, self._counts = kept
            self._apply(self._observer, step)  # raises, saying why
        total = float(np.logaddexp.reduce(likelihood))
        self._log_evidence = total - math.log(len(offered))
        self._history.append(step)
        try:
            self._hold(offered, likelihood - total)
        finally:
            self._history.pop()
