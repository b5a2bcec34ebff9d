"""An observer that has learned to observe: no planning, and no likelihoods, only a network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError, whole_number
from inscape.theory_of_mind.controllers import Array, Controller
from inscape.theory_of_mind.observers.exact import ExactObserver
from inscape.theory_of_mind.observers.interface import Prediction
from inscape.theory_of_mind.observers.numbering import NumberedTrajectory, is_one
from inscape.theory_of_mind.observers.of_minds import OfMinds
from inscape.theory_of_mind.player_view import view_of

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.world import World
    from inscape.theory_of_mind.neural.training import NeuralModel


class _Anybody:
    """A mind that may do anything: what it does not explain, the world does not allow."""

    name = "anybody"
    sees = True

    def controller(self, world: World, player: int = 0) -> Controller:
        legal = view_of(world, player).dynamics().legal
        with np.errstate(divide="ignore"):
            return Controller.memoryless(np.log(legal / legal.sum(axis=1, keepdims=True)))


class NeuralObserver(OfMinds):
    """Posterior over kinds of minds, and predictions, by a network trained on simulated minds.

    The verbs of `ExactObserver`. `minds` are K minds, one of each kind; `marginal` and `expect` speak of these. What is
    seen of earlier episodes (`fresh=True` begins another one) is taken in as character, the present one as mental
    state. No mind is ever ruled out: what none of the population would do is refused only where the world forbids it.

    Args:
        model: what `train_neural_observer` returned, or `NeuralModel.load`.
        seed: of sampled futures.
        samples: futures sampled by `predict`.

    Attributes:
        steps: how many steps have been observed.

    Source: Rabinowitz et al. (2018), "Machine Theory of Mind", ICML.
    """

    def __init__(self, model: NeuralModel, *, seed: int = 0, samples: int = 500) -> None:
        if not hasattr(model, "network"):
            raise UsageError(f"{model!r} where a trained model is asked for", expected="train_neural_observer(…)")
        self.model, self.minds, self.world = model, model.minds, model.world
        self._seed, self._samples = whole_number("seed =", seed), whole_number("samples =", samples, 1)
        # checks what is seen: states, actions, and whether they follow each other
        self._world_rules = ExactObserver(model.world, [_Anybody()], player=model.player)
        self.dynamics = self._world_rules.dynamics
        self._numbering = self._world_rules._numbering
        self.reset()

    def reset(self) -> None:
        """Forgets all evidence: the posterior is what the network takes for the prior."""
        self._world_rules.reset()
        self._past: list[tuple[Array, Array]] = []
        self._now: tuple[list[int], list[int]] = ([], [])
        self._log_evidence = 0.0
        self.steps = 0

    # --------------------------------------------------------------------------------------------------- evidence

    def update(
        self, state: Any, action: int | str | None = None, next_state: Any = None, *, fresh: bool = False
    ) -> Array:
        """Takes in one step and returns the posterior over `minds`, `[K]` (see `ExactObserver.update`).

        An action that was not seen tells nothing here.

        Raises:
            ImpossibleEvidenceError, UsageError: the world does not allow it; the observer is left as it was.
        """
        self._world_rules.update(state, action, next_state, fresh=fresh)
        if fresh:
            self._begin()
        if action is not None:
            s, a = self._numbering.one_state(state, self.steps), self._numbering.one_action(action)
            self._log_evidence += float(self._predicted(np.array([s]))[0, a])
            self._now[0].append(s)
            self._now[1].append(a)
        self.steps += 1
        return self.posterior()

    def observe(self, trajectory: Trajectory | NumberedTrajectory) -> Array:
        """Takes in a whole episode and returns the posterior along it, `[T + 1, K]`."""
        numbered = self._world_rules._numbered(trajectory)
        self._begin()
        path = self.posterior_over(numbered)
        self._log_evidence -= float(self.bits_per_action(numbered).sum()) * math.log(2)
        self._now = numbered.states[:-1].tolist(), numbered.actions.tolist()
        self._begin()
        self.steps += len(numbered.actions)
        return path

    def posterior(self) -> Array:
        """Returns `[K]` P(kind of mind | all that was observed)."""
        return np.asarray(np.exp(self.log_posterior()))

    def log_posterior(self) -> Array:
        """Returns `[K]` log P(kind of mind | all that was observed)."""
        return np.asarray(self._kinds(self._held(*self._now)[-1:])[0])

    def log_evidence(self) -> float:
        """Returns Σ log P(action | all before it), in nats, each action predicted before it was taken in."""
        return self._log_evidence

    def posterior_over(self, trajectory: Trajectory | NumberedTrajectory) -> Array:
        """Returns `[T + 1, K]`: the posterior before the first action and after each; the observer stays as it is."""
        return np.asarray(np.exp(self._kinds(self._along(self._world_rules._numbered(trajectory)))))

    # ------------------------------------------------------------------------------------------------- prediction

    def action_log_probs(self, states: Any) -> Array:
        """Returns log P(next action | what was observed): `[A]` for a `State` or a number, `[B, A]` for a batch."""
        found = self._predicted(self._numbering.state_numbers(states, self.steps))
        return found[0] if is_one(states) else found

    def predict(self, state: Any, horizon: int = 1) -> Prediction:
        """Returns what the agent will do next, and where it will be up to `horizon` steps later.

        States are shares of `samples` futures, in each of which what is done is taken in as it would be if seen. An
        agent stays where the world's own purpose ends the episode.
        """
        import torch

        number, horizon = self._numbering.one_state(state, self.steps), whole_number("horizon =", horizon)
        rng, dynamics = np.random.default_rng([self._seed, self.steps]), self.dynamics
        over = self.world.terminal_of(dynamics.states)
        at = np.full(self._samples, number)
        seen = [np.tile(np.array(part, np.int64), (self._samples, 1)) for part in self._now]
        acting = np.ones(seen[0].shape, np.bool_)
        path = np.zeros((horizon + 1, len(dynamics)))
        path[0, number] = 1.0
        network = self.model.network
        with torch.no_grad():
            character = self._character().expand(self._samples, -1)
            for h in range(1, horizon + 1):
                minds = network.minds(character, *map(torch.from_numpy, (*seen, acting)))[:, -1]
                probs = np.exp(self._log_probs(minds, at))
                action = _drawn(probs, rng)
                outcome = _drawn(dynamics.probability[at, action], rng)
                going = ~over[at]
                seen = [np.column_stack([part, new]) for part, new in zip(seen, (at, action))]
                acting = np.column_stack([acting, going])
                at = np.where(going, dynamics.next_state[at, action, outcome], at)
                path[h] = np.bincount(at, minlength=len(dynamics)) / self._samples
        return Prediction(np.exp(self._predicted(np.array([number]))[0]), path)

    def bits_per_action(self, trajectory: Trajectory | NumberedTrajectory) -> Array:
        """Returns `[T]` −log₂ P(action | all before it); the observer stays as it is."""
        numbered = self._world_rules._numbered(trajectory)
        found = self._log_probs(self._along(numbered)[:-1], numbered.states[:-1])
        return np.asarray(-found[np.arange(len(numbered.actions)), numbered.actions] / math.log(2))

    def predicted_over(self, trajectory: Trajectory | NumberedTrajectory) -> Array:
        """Returns `[T, A]` P(next action | all before it) along a trajectory; the observer stays as it is."""
        numbered = self._world_rules._numbered(trajectory)
        return np.asarray(np.exp(self._log_probs(self._along(numbered)[:-1], numbered.states[:-1])))

    def legal_along(self, trajectory: Trajectory | NumberedTrajectory) -> tuple[Array, Array]:
        """Returns `([T, A] which actions were legal, [T] which was taken)` along a trajectory."""
        return self._world_rules.legal_along(trajectory)

    def state_indices(self, trajectory: Trajectory) -> NumberedTrajectory:
        """Returns a trajectory in numbers (see `ExactObserver.state_indices`)."""
        return self._world_rules.state_indices(trajectory)

    # ------------------------------------------------------------------------------------------------------ within

    def _begin(self) -> None:
        """The present episode is past; of past ones, as many are kept as the network was trained with."""
        if self._now[0] and self.model.past:
            ended = np.array(self._now[0], np.int64), np.array(self._now[1], np.int64)
            self._past = [*self._past, ended][-self.model.past :]
        self._now = ([], [])

    def _character(self) -> Any:
        import torch

        longest = max((len(states) for states, _ in self._past), default=0)
        states, actions = (np.zeros((1, len(self._past), longest), np.int64) for _ in range(2))
        acting = np.zeros(states.shape, np.bool_)
        for e, (been, done) in enumerate(self._past):
            states[0, e, : len(been)], actions[0, e, : len(been)], acting[0, e, : len(been)] = been, done, True
        with torch.no_grad():
            return self.model.network.characters(*map(torch.from_numpy, (states, actions, acting)))

    def _held(self, states: list[int], actions: list[int]) -> Any:
        """Returns `[T + 1, D]` what is held of the mind along an episode."""
        import torch

        been, done = (torch.tensor([part], dtype=torch.int64) for part in (states, actions))
        with torch.no_grad():
            return self.model.network.minds(self._character(), been, done, torch.ones(been.shape, dtype=torch.bool))[0]

    def _along(self, numbered: NumberedTrajectory) -> Any:
        """Returns `[T + 1, D]` along an episode that follows what was seen, which is past then."""
        kept = self._past, self._now
        try:
            self._begin()
            return self._held(numbered.states[:-1].tolist(), numbered.actions.tolist())
        finally:
            self._past, self._now = kept

    def _predicted(self, states: Array) -> Array:
        held = self._held(*self._now)[-1:]
        return self._log_probs(held.expand(len(states), -1), states)

    def _log_probs(self, minds: Any, states: Array) -> Array:
        import torch

        from inscape.theory_of_mind.neural.network import masked_log_probs

        legal = torch.from_numpy(self.dynamics.legal[states])
        with torch.no_grad():
            logits = self.model.network.action_logits(minds, torch.from_numpy(np.asarray(states, np.int64)))
            return np.asarray(masked_log_probs(logits.double(), legal).numpy())

    def _kinds(self, minds: Any) -> Array:
        import torch

        with torch.no_grad():
            return np.asarray(torch.log_softmax(self.model.network.kind_logits(minds).double(), dim=-1).numpy())


def _drawn(probs: Array, rng: np.random.Generator) -> Array:
    edges = np.cumsum(probs, axis=1)
    draws = rng.random(len(probs)) * edges[:, -1]
    return np.asarray((draws[:, None] >= edges).sum(axis=1).clip(max=probs.shape[1] - 1))
