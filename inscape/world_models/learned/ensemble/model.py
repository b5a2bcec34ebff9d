"""An ensemble of probabilistic networks as a world model, with trajectory sampling.

Each member predicts the next observation from the last one and the action: of numbers, mean and variance of their
change; of classes, probabilities. From the action and what is observed next it predicts the reward and whether the task
ends there. Where members disagree is what the model does not know; what they agree is random is noise.

Sources: Chua, Calandra, McAllister & Levine (2018), "Deep reinforcement learning in a handful of trials using
probabilistic dynamics models" (PETS), NeurIPS; Lakshminarayanan, Pritzel & Blundell (2017), "Simple and scalable
predictive uncertainty estimation using deep ensembles", NeurIPS; code length of transitions left out of the resamples:
Breiman (1996), "Out-of-bag estimation". Members are linear regressions with sines of random projections beside them,
their means solved for in closed form and then tuned by gradient steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from inscape.errors import UsageError, whole_number
from inscape.rng import restore_rng, rng_state
from inscape.world_models.episodes import check_episodes
from inscape.world_models.interface import Batch, FitReport, ModelStep, as_numpy
from inscape.world_models.learned.ensemble.fields import Fields
from inscape.world_models.learned.ensemble.networks import Networks, Prediction
from inscape.world_models.learned.ensemble.settings import EnsembleSettings
from inscape.world_models.learned.ensemble.transitions import Transitions

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory

Reward = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
Termination = Callable[[np.ndarray], np.ndarray]
LOG_2_PI = math.log(2.0 * math.pi)


@dataclass(frozen=True, eq=False)
class EnsembleStates:
    """B model states: what was observed last, and which member a roll-out is in.

    Attributes:
        flat: `[B, D]` float64.
        member: `[B]` int64; −1 where none is chosen yet.
    """

    flat: np.ndarray
    member: np.ndarray

    def __len__(self) -> int:
        return len(self.flat)

    def __getitem__(self, index: Any) -> EnsembleStates:
        rows = np.atleast_1d(np.arange(len(self.flat))[index])
        return EnsembleStates(self.flat[rows], self.member[rows])

    @classmethod
    def concatenate(cls, parts: Sequence[EnsembleStates]) -> EnsembleStates:
        """Returns the states of all parts, in order."""
        return cls(np.concatenate([part.flat for part in parts]), np.concatenate([part.member for part in parts]))


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """What of a prediction's uncertainty is ignorance, and what is noise.

    Attributes:
        epistemic: `[N, C]` variance of the members' means, per number, in its unit squared.
        noise: `[N, C]` mean of the members' variances: with `epistemic` it adds up to the variance of the mixture.
        information: `[N, J]` per categorical variable, nats: entropy of the members' mean minus the mean of their
            entropies.
    """

    epistemic: np.ndarray
    noise: np.ndarray
    information: np.ndarray


class EnsembleModel:
    """K networks, each fitted to a resample of the transitions seen.

        model = EnsembleModel.for_task("Pendulum", seed=0)
        fit_model(model, rollout("random", "Pendulum", episodes=2, seed=1))
        CEM(horizon=25, particles=5).plan(model, model.init(observations), rng)
        model.disagreement(model.init(observations), actions)

    Args:
        observation_space: Discrete, MultiDiscrete, MultiBinary or a Box, of at most 256 fields. A Box of whole numbers
            with at most 256 values each is taken for classes; anything else for numbers.
        action_space: Discrete, counted from 0, or a Box with one axis.
        settings: see `EnsembleSettings`.
        seed: of features, resamples and gradient steps.
        reward: `[N]` rewards of `(observations, actions, next observations)`, each `[N, ...]`; None: learned.
        termination: `[N]` bool of next observations `[N, ...]`: whether the task ends there; None: learned.

    Attributes:
        filters: False: an observation is taken for the state.

    Raises:
        UsageError: spaces it cannot take.
    """

    filters = False
    num_players = 1

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        settings: EnsembleSettings | None = None,
        seed: int = 0,
        reward: Reward | None = None,
        termination: Termination | None = None,
    ) -> None:
        self.settings = settings or EnsembleSettings()
        self.fields = Fields.of_spaces(observation_space, action_space)
        self.action_space = action_space
        self.seed = whole_number("seed", seed)
        self._reward, self._termination = reward, termination
        fields = self.fields
        width = fields.width + fields.action_width
        self.dynamics = Networks(self.settings, width, len(fields.numbers), fields.classes)
        # of numbers alone, the last observation adds nothing to the next one and the action; of classes it may
        outcome_width = width + (fields.width if len(fields.classes) else 0)
        self.outcome = Networks(self.settings, outcome_width, 1, np.array([2]))
        self.memory = Transitions(self.settings.capacity, fields)
        self._rng = np.random.default_rng((self.seed, 17))
        self.fits = 0

    @classmethod
    def for_task(
        cls,
        task: Any,
        settings: EnsembleSettings | None = None,
        seed: int = 0,
        reward: Reward | None = None,
        termination: Termination | None = None,
    ) -> EnsembleModel:
        """Returns a model of a task, a world, or what stands for one.

        Raises:
            UsageError: its observations or actions are of a kind that networks of this shape do not take; several
                players.
        """
        from inscape.envs.tasks.resolve import as_task

        given = as_task(task)
        if given.players != 1:
            raise UsageError(f"{given.name} has {given.players} players", expected="a world of one player")
        return cls(given.observation_space, given.action_space, settings, seed, reward, termination)

    # ---------------------------------------------------------------------------------------------------- learning

    def learn(self, trajectories: Iterable[Trajectory]) -> Iterator[FitReport]:
        """Remembers the episodes, fits all members anew to everything remembered, and reports once.

        The report's held-out bits are of transitions left out of a member's resample, each coded by the members that
        did not learn from it; the prequential ones of the new transitions, coded by the model before this call. Of
        numbers they are bits of densities.

        Raises:
            UsageError: no episode with a step; NaN or infinity (episode and step named); what is not of the spaces.
        """
        episodes = [episode for episode in trajectories if len(episode)]
        check_episodes(episodes, "an ensemble")
        coded = self.prequential(episodes)
        for episode in episodes:
            self.memory.add(episode)
        yield self.refit(sum(len(episode) for episode in episodes), coded)

    def prequential(self, episodes: Sequence[Trajectory]) -> float:
        """Returns mean −log₂ P of the transitions of episodes under the model as it is; NaN before its first fit."""
        if not self.fits:
            return math.nan
        total = sum(float(self.step_log_probs(episode).sum()) for episode in episodes)
        return -total / sum(len(episode) for episode in episodes) / math.log(2)

    def refit(self, new: int = 0, prequential: float = math.nan) -> FitReport:
        """Fits all members anew to what is remembered.

        Args:
            new: transitions that came since; for the report.
            prequential: bits per step that they took; for the report.

        Raises:
            UsageError: nothing is remembered.
        """
        before, actions, after, rewards, ended = self.memory.arrays()
        if not len(before):
            raise UsageError("an ensemble that remembers nothing", expected="at least one step to learn from")
        fields = self.fields
        inputs, classes = self._inputs(before, actions), fields.classes_of(after)
        changes = (after - before)[:, fields.numbers]
        fitted = self.dynamics.fit(inputs, changes, classes, self._rng)
        outcome_inputs = self._outcome_inputs(before, actions, after)
        outcomes = self.outcome.fit(outcome_inputs, rewards[:, None], ended[:, None].astype(np.int64), self._rng)
        self.fits += 1
        held_out = self._left_out_bits(fitted.left_out & outcomes.left_out)
        metrics = {
            "transitions_remembered": float(len(before)),
            "updates_kept": float(fitted.updates.mean()),
            "stopped_at_once": float((fitted.updates == 0).sum()),
        }
        return FitReport(new, held_out, prequential, metrics)

    def _left_out_bits(self, left_out: np.ndarray) -> float:
        rows = np.flatnonzero(left_out.any(axis=0))
        if not len(rows):
            return math.nan
        each = self._member_log_probs(*(array[rows] for array in self.memory.arrays()))
        each = np.where(left_out[:, rows], each, -np.inf)
        mixed = np.logaddexp.reduce(each, axis=0) - np.log(left_out[:, rows].sum(axis=0))
        return float(-mixed.mean() / math.log(2))

    def _inputs(self, flat: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return np.concatenate([self.fields.inputs(flat), actions], axis=1)

    def _outcome_inputs(self, before: np.ndarray, actions: np.ndarray, after: np.ndarray) -> np.ndarray:
        parts = [self.fields.inputs(after), actions]
        return np.concatenate([*parts, self.fields.inputs(before)] if len(self.fields.classes) else parts, axis=1)

    def _require_fit(self, reader: str) -> None:
        if not self.fits:
            raise UsageError(
                f"{reader} of an ensemble that has learned nothing",
                expected="fit_model(model, episodes) before",
                hint='rollout("random", world, episodes=5, seed=0) for the first episodes',
            )

    # ----------------------------------------------------------------------------------------------------- scoring

    def log_prob(self, trajectory: Trajectory) -> float:
        """Returns Σ_t log p(next observation, ended | observation, action) of the mixture of all members, in nats.

        Of numbers it is a density, in units of the observations.
        """
        return float(self.step_log_probs(trajectory).sum())

    def step_log_probs(self, trajectory: Trajectory) -> np.ndarray:
        """Returns `[T]` log p(observation t + 1, ended | observation t, action t), in nats."""
        self._require_fit("the code length")
        one = Transitions(max(len(trajectory), 1), self.fields)
        one.add(trajectory)
        each = self._member_log_probs(*one.arrays())
        return np.asarray(np.logaddexp.reduce(each, axis=0) - math.log(len(each)))

    def _member_log_probs(
        self, before: np.ndarray, actions: np.ndarray, after: np.ndarray, rewards: np.ndarray, ended: np.ndarray
    ) -> np.ndarray:
        """Returns `[K, N]` log p of each member."""
        inputs, classes = self._inputs(before, actions), self.fields.classes_of(after)
        changes = (after - before)[:, self.fields.numbers]
        outcome_inputs = self._outcome_inputs(before, actions, after)
        over = None if self._termination is None else self._ends(after)
        found = np.empty((self.settings.members, len(before)))
        for k in range(len(found)):
            member = np.full(len(before), k)
            predicted = self.dynamics.predict(member, inputs)
            squares = (changes - predicted.mean) ** 2 / predicted.variance
            total = -0.5 * (squares + np.log(predicted.variance) + LOG_2_PI).sum(axis=1)
            for j, probs in enumerate(predicted.probs):
                total += np.log(np.maximum(probs[np.arange(len(probs)), classes[:, j]], 1e-300))
            if over is None:
                probs = self.outcome.predict(member, outcome_inputs).probs[0]
                total += np.log(np.maximum(probs[np.arange(len(probs)), ended.astype(np.int64)], 1e-300))
            else:
                total += np.where(over == ended, 0.0, -np.inf)
            found[k] = total
        return found

    def disagreement(self, states: EnsembleStates, actions: Batch) -> np.ndarray:
        """Returns `[N]` how far the members disagree on what follows; noise is not counted.

        The variance of their means, per number in units of the variance of the changes seen, and per categorical
        variable the information in nats that the outcome would give about the member, added up; see `uncertainty`.
        """
        found = self.uncertainty(states, actions)
        return np.asarray((found.epistemic / self.dynamics.target_scale**2).sum(axis=1) + found.information.sum(axis=1))

    def uncertainty(self, states: EnsembleStates, actions: Batch) -> Uncertainty:
        """Returns how much of the uncertainty of what is observed next is ignorance, and how much noise.

        The law of total variance: Var[s'] = Var over members of the mean + mean over members of the variance; of
        classes, the mutual information with the member (Houlsby et al. 2011, eq. 2).

        Args:
            states: N of them. actions: `[N]` or `[N, D]`.
        """
        predictions = self._of_all(states, actions)
        means, variances = np.stack([p.mean for p in predictions]), np.stack([p.variance for p in predictions])
        information = np.zeros((len(states), len(self.fields.classes)))
        for j in range(len(self.fields.classes)):
            probs = np.stack([p.probs[j] for p in predictions])
            information[:, j] = _entropy(probs.mean(axis=0)) - _entropy(probs).mean(axis=0)
        return Uncertainty(means.var(axis=0), variances.mean(axis=0), np.maximum(information, 0.0))

    def mean(self, states: EnsembleStates, actions: Batch) -> np.ndarray:
        """Returns `[N, C]` the mean over members of the numbers observed next."""
        changes = np.mean([one.mean for one in self._of_all(states, actions)], axis=0)
        return np.asarray(states.flat[:, self.fields.numbers] + changes)

    def _of_all(self, states: EnsembleStates, actions: Batch) -> list[Prediction]:
        self._require_fit("the disagreement")
        inputs = self._inputs(states.flat, self._encoded(states, as_numpy(actions)))
        return [self.dynamics.predict(np.full(len(inputs), k), inputs) for k in range(self.settings.members)]

    # --------------------------------------------------------------------------------------------------- simulating

    def init(self, observations: Batch) -> EnsembleStates:
        """Returns the states of `[B, ...]` observations, in no member yet."""
        flat = self.fields.flat(as_numpy(observations))
        return EnsembleStates(flat, np.full(len(flat), -1))

    def update(self, states: EnsembleStates, actions: Batch, observations: Batch) -> EnsembleStates:
        """Returns the states of the observations, in the members that they were in."""
        return EnsembleStates(self.init(observations).flat, states.member)

    def observe(self, states: EnsembleStates) -> np.ndarray:
        """Returns `[B, ...]` observations of states; numbers may be such as the task never gives."""
        return self.fields.observations(states.flat)

    def step(self, states: EnsembleStates, actions: Batch, rng: np.random.Generator) -> ModelStep:
        """Returns a sampled successor for each of B states.

        A state in no member yet is put in one: neighbouring rows in different ones, so that as many particles of an
        action sequence as there are members meet all of them. The reward is the member's mean; the continuation its
        probability that the task goes on.
        """
        self._require_fit("a step")
        given = as_numpy(actions)
        inputs = self._inputs(states.flat, encoded := self._encoded(states, given))
        member, rows = states.member, np.arange(len(states))
        if self.settings.propagation == "mean":
            return self._mean_step(states, given, encoded, inputs)
        if self.settings.propagation == "ts1":
            member = rng.permutation(self.settings.members)[rows % self.settings.members]
        elif (member < 0).any():
            turn = int(rng.integers(self.settings.members))
            member = np.where(member < 0, (rows + turn) % self.settings.members, member)
        predicted = self.dynamics.predict(member, inputs)
        after = states.flat.copy()
        noise = rng.standard_normal(predicted.mean.shape) * np.sqrt(predicted.variance)
        self._move(after, predicted.mean + noise)
        for j, probs in enumerate(predicted.probs):
            drawn = (probs.cumsum(axis=1) < rng.random((len(rows), 1))).sum(axis=1).clip(0, probs.shape[1] - 1)
            after[:, self.fields.columns[j]] = self.fields.lows[j] + drawn
        reward, going_on = self._outcomes(member, states.flat, given, encoded, after)
        kept = member if self.settings.propagation == "ts-inf" else states.member
        return ModelStep(EnsembleStates(after, kept), reward, going_on)

    def roll(
        self, states: EnsembleStates, actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, EnsembleStates] | None:
        """Returns what H steps from each of N states give, by one kernel; None where observations have classes.

        The law of what it returns is that of H calls of `step`; the random numbers are others.

        Args:
            states: N of them. actions: `[N, H]` integers or `[N, H, D]`.

        Returns:
            `(reward [H, N], continuation [H, N], the last states)`. After an end, it goes on as if there were none.
        """
        if len(self.fields.classes):
            return None
        self._require_fit("a roll-out")
        count, horizon = actions.shape[:2]
        flattened = actions.reshape(count * horizon, *actions.shape[2:])
        encoded = self.fields.actions(flattened).reshape(count, horizon, -1)
        settings, rows = self.settings, np.arange(count)
        mean = settings.propagation == "mean"
        if mean:
            member = np.full((count, horizon), -1)
        elif settings.propagation == "ts1":
            turns = rng.permuted(np.tile(np.arange(settings.members), (horizon, 1)), axis=1)
            member = turns[:, rows % settings.members].T
        else:
            turn = int(rng.integers(settings.members))
            chosen = np.where(states.member < 0, (rows + turn) % settings.members, states.member)
            member = np.broadcast_to(chosen[:, None], (count, horizon))
        shape = (count, horizon, len(self.fields.numbers))
        noise = np.zeros(shape) if mean else rng.standard_normal(shape)
        after = self.dynamics.roll(member, states.flat, encoded, noise, self.fields.low, self.fields.high)
        following = after.reshape(horizon * count, -1)
        before = np.concatenate([states.flat[None], after[:-1]]).reshape(following.shape)
        given = np.swapaxes(actions, 0, 1).reshape(flattened.shape)
        taken = np.swapaxes(encoded, 0, 1).reshape(horizon * count, -1)
        whose = member.T.ravel()
        reward, going_on = self._outcomes_of(whose, before, given, taken, following)
        kept = member[:, -1].copy() if settings.propagation == "ts-inf" else states.member
        return (
            reward.reshape(horizon, count), going_on.reshape(horizon, count), EnsembleStates(after[-1].copy(), kept)
        )  # fmt: skip

    def _encoded(self, states: EnsembleStates, actions: np.ndarray) -> np.ndarray:
        if len(actions) != len(states):
            raise UsageError(f"{len(actions)} actions for {len(states)} states", expected="as many of each")
        return self.fields.actions(actions)

    def _move(self, after: np.ndarray, changes: np.ndarray) -> None:
        fields = self.fields
        if len(fields.numbers):
            moved = after[:, fields.numbers] + changes
            after[:, fields.numbers] = np.clip(moved, fields.low, fields.high)

    def _mean_step(
        self, states: EnsembleStates, given: np.ndarray, encoded: np.ndarray, inputs: np.ndarray
    ) -> ModelStep:
        count, after = self.settings.members, states.flat.copy()
        predictions = [self.dynamics.predict(np.full(len(states), k), inputs) for k in range(count)]
        self._move(after, np.mean([p.mean for p in predictions], axis=0))
        for j in range(len(self.fields.classes)):
            probs = np.mean([p.probs[j] for p in predictions], axis=0)
            after[:, self.fields.columns[j]] = self.fields.lows[j] + probs.argmax(axis=1)
        reward, going_on = self._outcomes_of(np.full(len(states), -1), states.flat, given, encoded, after)
        return ModelStep(EnsembleStates(after, states.member), reward, going_on)

    def _outcomes_of(
        self, member: np.ndarray, before: np.ndarray, given: np.ndarray, encoded: np.ndarray, after: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns what `_outcomes` does; where members are −1, the mean over all, of what is learned."""
        known = self._reward is not None and self._termination is not None
        if known or not len(member) or member[0] >= 0:
            return self._outcomes(member, before, given, encoded, after)
        each = [
            self._outcomes(np.full(len(after), k), before, given, encoded, after)
            for k in range(self.settings.members)
        ]  # fmt: skip
        reward, going_on = (np.mean([one[part] for one in each], axis=0) for part in (0, 1))
        return reward, going_on

    def _outcomes(
        self, member: np.ndarray, before: np.ndarray, given: np.ndarray, encoded: np.ndarray, after: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns `[B]` rewards and probabilities of going on."""
        predicted = None
        if self._reward is None or self._termination is None:
            predicted = self.outcome.predict(member, self._outcome_inputs(before, encoded, after))
        if self._reward is None:
            assert predicted is not None
            reward = predicted.mean[:, 0]
        else:
            seen, following = self.fields.observations(before), self.fields.observations(after)
            reward = np.asarray(self._reward(seen, given, following), np.float64)
            if reward.shape != (len(after),):
                raise UsageError(f"the reward function returned shape {reward.shape}", expected=f"[{len(after)}]")
        if self._termination is None:
            assert predicted is not None
            return reward, predicted.probs[0][:, 0]
        return reward, np.where(self._ends(after), 0.0, 1.0)

    def _ends(self, after: np.ndarray) -> np.ndarray:
        assert self._termination is not None
        ended = np.asarray(self._termination(self.fields.observations(after)))
        if ended.shape != (len(after),) or ended.dtype.kind != "b":
            raise UsageError(
                f"the termination function returned {ended.dtype} of shape {ended.shape}",
                expected=f"[{len(after)}] true or false",
            )
        return ended

    # ------------------------------------------------------------------------------------------------------ storing

    def state_dict(self) -> dict[str, Any]:
        """Returns networks, transitions remembered and the random state."""
        return {
            "fits": self.fits, "rng": rng_state(self._rng), "dynamics": self.dynamics.state_dict(),
            "outcome": self.outcome.state_dict(), "memory": self.memory.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replaces everything learned.

        Raises:
            UsageError: the state of a model of another shape, the field named.
        """
        for part in ("fits", "rng", "dynamics", "outcome", "memory"):
            if part not in state:
                raise UsageError(f"a stored state without {part}", expected="the state of an ensemble")
        self.dynamics.load_state_dict(state["dynamics"], "dynamics")
        self.outcome.load_state_dict(state["outcome"], "outcome")
        self.memory.load_state_dict(state["memory"])
        restore_rng(self._rng, state["rng"])
        self.fits = int(state["fits"])


def _entropy(probs: np.ndarray) -> np.ndarray:
    return np.asarray(-(probs * np.log(np.maximum(probs, 1e-300))).sum(axis=-1))
