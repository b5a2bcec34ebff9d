"""A tabular model learned by counting: Dirichlet over successors, mean rewards, learned endings.

Works for any task with a finite action set and observations that repeat: an Inscape world or any Gymnasium environment
with Discrete or MultiDiscrete observations (it counts what it sees, so a Box works where its values repeat).

Sources: Dirichlet counts as a posterior over transition laws: Strens (2000), "A Bayesian framework for reinforcement
learning", ICML; the estimator of endings: Krichevsky & Trofimov (1981), IEEE Trans. Inf. Theory 27(2); optimism in
the face of unknown actions: Brafman & Tennenholtz (2002), "R-max", JMLR 3; code length of what is predicted before it
is learned: Dawid (1984), JRSS A 147(2).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from gymnasium import spaces

from inscape.errors import UsageError
from inscape.world_models.interface import Batch, FitReport, ModelStep, fit_model
from inscape.world_models.tabular.model import (
    ObservationIndex,
    TabularModel,
    absorb,
    check_rows,
    observation_keys,
)
from inscape.world_models.tabular.sparse import drawn as sparse_law
from inscape.world_models.tabular.sparse import information, predictive

if TYPE_CHECKING:
    import gymnasium as gym

    from inscape.envs.data.trajectory import Trajectory

HELD_OUT = 0.2


@dataclass(frozen=True)
class TabularModelSettings:
    """How counts become a model."""

    prior: Literal["dirichlet", "sparse"] = "dirichlet"
    """What is held before anything is seen: a Dirichlet over all observations; or sparse, that an action has few
    successors, which may well be equally probable (`inscape.world_models.tabular.sparse`): fewer samples where so."""

    unknown: Literal["pessimistic", "optimistic"] = "pessimistic"
    """What an action never tried in a state is taken to do: pessimistic, stay there at the lowest reward seen;
    optimistic (R-max), lead to a place that pays `highest_reward` for ever."""
    highest_reward: float | None = None
    """Optimistic: what no reward exceeds. None: the highest seen plus a hundred times the range seen (1 while all were
    equal), for a reward not seen yet must be worth leaving the best one seen for, however far away."""
    known_after: int = 20
    """Optimistic: tries after which an action is taken to do what it did. After n fewer, it is with probability
    1 − n/known_after taken to lead where one never tried does, so that one unlucky try does not close a way."""
    concentration: float = 0.5
    """Prior mass of the Dirichlet over successors, spread over the observation space. It is what a surprise costs in
    bits, and how far `sample_model` strays from the counts; planning uses the successors seen, by frequency."""

    def __post_init__(self) -> None:
        if self.prior not in ("dirichlet", "sparse"):
            raise UsageError(f"prior = {self.prior!r}", expected="'dirichlet' or 'sparse'")
        if self.unknown not in ("pessimistic", "optimistic"):
            raise UsageError(f"unknown = {self.unknown!r}", expected="'pessimistic' or 'optimistic'")
        if self.highest_reward is not None and not math.isfinite(self.highest_reward):
            raise UsageError(f"highest_reward = {self.highest_reward}", expected="a finite number, or None")
        if isinstance(self.known_after, bool) or not isinstance(self.known_after, int) or self.known_after < 1:
            raise UsageError(f"known_after = {self.known_after!r}", expected="a whole number of at least 1")
        if not 0 < self.concentration < math.inf:
            raise UsageError(f"concentration = {self.concentration}", expected="a positive number")


@dataclass
class _Outcome:
    """What followed one (state, action), by successor."""

    count: int = 0
    ended: int = 0
    reward: float = 0.0  # sum


@dataclass(eq=False)
class LearnedTabularModel:
    """A `WorldModel` learned from episodes; its states are `[B]` state numbers in the order they were first seen.

    The last state number stands for every observation not seen yet. Until something is fitted there is only that one.

    Args:
        num_actions: number of actions.
        settings: how counts become a model.
        num_observations: size of the observation space where it is finite, for code lengths; None: one more than the
            observations seen.
        observation_space: for `observe`; None: states cannot be shown.
    """

    num_actions: int
    settings: TabularModelSettings = field(default_factory=TabularModelSettings)
    num_observations: int | None = None
    observation_space: Any = None

    num_players = 1

    def __post_init__(self) -> None:
        if self.num_actions < 1:
            raise UsageError(f"num_actions = {self.num_actions}", expected="at least one action")
        self._index: dict[bytes, int] = {}
        self._counts: list[list[dict[int, _Outcome]]] = []  # [state][action] successor -> what happened
        self._legal: list[np.ndarray] = []
        self._starts: dict[int, int] = {}
        self._lowest, self._highest = math.inf, -math.inf
        self._table: TabularModel | None = None

    @property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(self.num_actions)

    @staticmethod
    def for_task(task: Any, settings: TabularModelSettings | None = None) -> LearnedTabularModel:
        """Returns an untrained model for a task, what stands for one (`resolve_task`), or anything with
        `observation_space` and `action_space`.

        Raises:
            UsageError: the task's actions are not Discrete, counted from 0.
        """
        if isinstance(task, (str, type)) or not hasattr(task, "action_space"):
            from inscape.envs.tasks.resolve import resolve_task

            task = resolve_task(task)
        actions = task.action_space
        if type(actions).__name__ != "Discrete" or actions.start != 0:
            raise UsageError(
                f"the action space {actions}",
                expected="Discrete actions, counted from 0, for a tabular model",
                hint="a model-free agent such as ppo",
            )
        return LearnedTabularModel(
            int(actions.n),
            settings or TabularModelSettings(),
            finite_size(task.observation_space),
            task.observation_space,
        )

    # ------------------------------------------------------------------------------------------------ learning

    def fit(self, trajectories: Iterable[Trajectory]) -> FitReport:
        """Learns from episodes (see `learn`) and returns the report."""
        return fit_model(self, trajectories)

    def learn(self, trajectories: Iterable[Trajectory]) -> Iterator[FitReport]:
        """Adds episodes to the counts and reports once how well they were predicted. Calling again adds more.

        The held-out score codes the last fifth of the new transitions by the model of all before them; then they are
        counted too. With fewer than five transitions there is none.

        Raises:
            UsageError: an episode's actions are not integers below `num_actions`, or a reward is not finite.
        """
        episodes = [self._coded(trajectory) for trajectory in trajectories]
        total = sum(len(actions) for _, actions, _, _ in episodes)
        boundary = total - int(HELD_OUT * total)
        prequential, held_out, held_out_steps, seen = 0.0, 0.0, 0, 0
        later: list[tuple[int, int, int, float, bool]] = []
        for states, actions, rewards, terminated in episodes:
            for t, action in enumerate(actions):
                ended = terminated and t == len(actions) - 1
                record = (int(states[t]), int(action), int(states[t + 1]), float(rewards[t]), ended)
                if seen < boundary:
                    prequential -= self._log_predictive(*record)
                    self._count(*record)
                else:
                    held_out -= self._log_predictive(*record)
                    held_out_steps += 1
                    later.append(record)
                seen += 1
        for record in later:
            prequential -= self._log_predictive(*record)
            self._count(*record)
        self._table = None
        tried = sum(bool(outcomes) for state in self._counts for outcomes in state)
        yield FitReport(
            transitions=total,
            held_out_bits_per_step=held_out / held_out_steps / math.log(2) if held_out_steps else math.nan,
            prequential_bits_per_step=prequential / total / math.log(2) if total else math.nan,
            metrics={"states": float(len(self._index)), "state_actions": float(tried)},
        )

    def _coded(self, trajectory: Trajectory) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
        actions = np.asarray(trajectory.actions)
        if actions.ndim != 1 or actions.dtype.kind not in "iu":
            raise UsageError(
                f"actions of shape {actions.shape} and dtype {actions.dtype}",
                expected="[T] integers, for a tabular model",
            )
        wrong = (actions < 0) | (actions >= self.num_actions)
        if wrong.any():
            raise UsageError(
                f"actions holding action {actions[wrong][0]}", expected=f"actions from 0 to {self.num_actions - 1}"
            )
        if len(trajectory.observations) != len(actions) + 1:
            raise UsageError(
                f"observations of shape {np.shape(trajectory.observations)} with {len(actions)} actions",
                expected=f"[{len(actions) + 1}, ...]: one more than actions",
            )
        rewards = np.asarray(trajectory.rewards, np.float64)
        if rewards.shape != actions.shape:
            raise UsageError(
                f"rewards of shape {rewards.shape}", expected=f"{actions.shape}: one finite reward per step"
            )
        if not np.isfinite(rewards).all():
            t = int(np.flatnonzero(~np.isfinite(rewards))[0])
            raise UsageError(f"rewards with {rewards[t]} at step {t}", expected="one finite reward per step")
        masks = trajectory.action_masks
        if masks is not None and np.shape(masks)[1:] != (self.num_actions,):
            raise UsageError(
                f"action_masks of shape {np.shape(masks)}", expected=f"[{len(actions)}, {self.num_actions}]"
            )
        states = np.array([self._number(key) for key in observation_keys(trajectory.observations)], np.int64)
        if len(actions):
            self._starts[int(states[0])] = self._starts.get(int(states[0]), 0) + 1
        if trajectory.action_masks is not None:
            for state, mask in zip(states, trajectory.action_masks):
                self._legal[state] = np.asarray(mask, bool)
        return states, actions, rewards, bool(trajectory.terminated)

    def _number(self, key: bytes) -> int:
        state = self._index.setdefault(key, len(self._index))
        if state == len(self._counts):
            self._counts.append([{} for _ in range(self.num_actions)])
            self._legal.append(np.ones(self.num_actions, bool))
        return state

    def _count(self, state: int, action: int, following: int, reward: float, ended: bool) -> None:
        outcome = self._counts[state][action].setdefault(following, _Outcome())
        outcome.count += 1
        outcome.ended += ended
        outcome.reward += reward
        self._lowest, self._highest = min(self._lowest, reward), max(self._highest, reward)

    # ------------------------------------------------------------------------------------------------ prediction

    def _log_predictive(self, state: int, action: int, following: int, _: float, ended: bool) -> float:
        """Returns log P(following, ended | state, action), in nats.

        P(s'|s,a) = (n(s,a,s') + c/O) / (n(s,a) + c) with concentration c over O observations; an end is predicted by
        (ends + ½)/(n + 1) of that successor.
        """
        outcomes = self._counts[state][action] if state < len(self._counts) else {}
        prior = self.settings.concentration
        size = max(self.num_observations or 0, len(self._index) + (self.num_observations is None))
        total = sum(outcome.count for outcome in outcomes.values())
        known = outcomes.get(following, _Outcome())
        if self.settings.prior == "sparse":
            successor = self._sparse_log_predictive(outcomes, following, size)
        else:
            successor = math.log((known.count + prior / size) / (total + prior))
        happened = known.ended if ended else known.count - known.ended
        return successor + math.log((happened + 0.5) / (known.count + 1.0))

    def _sparse_log_predictive(self, outcomes: dict[int, _Outcome], following: int, size: int) -> float:
        counts = tuple(outcome.count for outcome in outcomes.values())
        seen, others = predictive(counts, max(size, len(counts) + (following not in outcomes)))
        if following in outcomes:
            return math.log(seen[list(outcomes).index(following)])
        return math.log(max(others, 1e-300) / max(size - len(counts), 1))

    def log_prob(self, trajectory: Trajectory) -> float:
        """Returns Σ_t log P(next observation, terminated | observation, action), in nats; nothing is learned.

        An observation never seen costs what the prior reserves for one.
        """
        unseen = len(self._index)
        states = [self._index.get(key, unseen) for key in observation_keys(trajectory.observations)]
        total, last = 0.0, len(trajectory.actions) - 1
        for t, action in enumerate(trajectory.actions):
            ended = bool(trajectory.terminated) and t == last
            total += self._log_predictive(states[t], int(action), states[t + 1], 0.0, ended)
        return total

    def transition_log_probs(
        self, observations: np.ndarray, actions: np.ndarray, next_observations: np.ndarray, terminated: np.ndarray
    ) -> np.ndarray:
        """Returns `[B]` log P(next observation, terminated | observation, action), in nats; nothing is learned.

        Args:
            observations, next_observations: `[B, …]`.
            actions: `[B]` numbers.
            terminated: `[B]` bool: the task ended there.
        """
        unseen = len(self._index)
        states, following = (
            [self._index.get(key, unseen) for key in observation_keys(given)]
            for given in (observations, next_observations)
        )
        rows = zip(states, np.asarray(actions).tolist(), following, np.asarray(terminated).tolist(), strict=True)
        return np.array([self._log_predictive(s, int(a), then, 0.0, bool(end)) for s, a, then, end in rows])

    # ------------------------------------------------------------------------------------------------ as tables

    def tabular(self) -> TabularModel:
        """Returns the model of the observed frequencies (kept until `fit` is called again)."""
        if self._table is None:
            self._table = self._tables(None)
        return self._table

    def sample_model(self, rng: np.random.Generator) -> TabularModel:
        """Returns a draw from the posterior over models: what Thompson sampling plans in.

        The probabilities of successors are Dirichlet: their counts plus the concentration, shared evenly among all
        observations. Those not seen here share few of it each; a draw of theirs lies nearly all on one, so that one,
        chosen at random, has it: another state, or the last one, which stands for what was never seen. Its reward is
        the mean of those seen here. Each successor's probability of ending is Beta with its counts plus ½ where both
        were seen.
        """
        return self._tables(rng)

    def disagreement(self, states: Batch, actions: Batch) -> np.ndarray:
        """Returns `[B]` the information in nats that the next successor would give about the law P(·|s, a).

        I = H[mean] − E[H] = Σ_k p_k·(ψ(α_k + 1) − ψ(α_0 + 1) − ln p_k), p = α/α_0, of the Dirichlet posterior α: with
        n tries of K successors about (K − 1)/2n; noise that is known adds nothing.
        """
        from scipy.special import digamma

        size = max(self.num_observations or 0, len(self._index) + (self.num_observations is None), 1)
        prior, found = self.settings.concentration, []
        for state, action in zip(np.asarray(states).tolist(), np.asarray(actions).tolist(), strict=True):
            outcomes = self._counts[state][action] if state < len(self._counts) else {}
            if self.settings.prior == "sparse":
                found.append(information(tuple(outcome.count for outcome in outcomes.values()), size))
                continue
            alpha = np.array([outcome.count for outcome in outcomes.values()], np.float64) + prior / size
            unseen, total = size - len(alpha), prior + sum(outcome.count for outcome in outcomes.values())
            share = np.append(alpha, prior / size) / total
            times = np.append(np.ones(len(alpha)), unseen)
            gain = share * (digamma(share * total + 1.0) - digamma(total + 1.0) - np.log(share))
            found.append(max(0.0, float(times @ gain)))
        return np.array(found, np.float64)

    def _tables(self, rng: np.random.Generator | None) -> TabularModel:
        states, actions = len(self._index) + 1, self.num_actions
        rows = [outcomes for state in self._counts for outcomes in state]
        width = 1 + max([1, *(len(outcomes) for outcomes in rows)])  # the last: for what was not seen
        next_state = np.zeros((states, actions, width), np.int32)
        probability = np.zeros((states, actions, width))
        reward = np.zeros((states, actions, width))
        continuation = np.ones((states, actions, width))
        self._fill_unknown(next_state, probability, reward)
        arrivals, endings = np.zeros(states), np.zeros(states)
        for row, outcomes in enumerate(rows):
            if not outcomes:
                continue
            at = divmod(row, actions)
            count = np.array([outcome.count for outcome in outcomes.values()], np.float64)
            ended = np.array([outcome.ended for outcome in outcomes.values()], np.float64)
            k = slice(0, len(count))
            next_state[at][k] = list(outcomes)
            next_state[at][len(count) :] = 0
            probability[at] = 0.0
            earned = np.array([outcome.reward for outcome in outcomes.values()])
            reward[at][k] = earned / count
            continuation[at][k] = 1.0 - _frequency(ended, count, rng)
            if rng is None:
                probability[at][k] = self._mean_of_seen(count)
                if self.settings.prior == "sparse":  # a successor never seen leads where nothing is known
                    probability[at][len(count)] = max(0.0, 1.0 - probability[at][k].sum())
                    next_state[at][len(count)] = states - 1
                    reward[at][len(count)] = earned.sum() / count.sum()
            else:
                probability[at][k], unseen, successor = self._draw(list(outcomes), count, rng)
                other = len(count)
                next_state[at][other], probability[at][other] = successor, unseen
                reward[at][other] = earned.sum() / count.sum()
            self._doubt(at, int(count.sum()), next_state, probability, reward)
            np.add.at(arrivals, list(outcomes), count)
            np.add.at(endings, list(outcomes), ended)
        # a state is terminal if every arrival there ended the task and nothing was ever done in it
        idle = np.array([not any(outcomes for outcomes in state) for state in self._counts] + [False])
        terminal = idle & (arrivals > 0) & (endings == arrivals)
        tables = absorb(next_state, probability, reward, continuation, terminal)
        legal = np.stack([*self._legal, np.ones(actions, bool)])
        index = ObservationIndex(list(self._index), "the learned model", default=states - 1)
        return TabularModel(*tables, legal, self._initial(states), terminal, index, "the learned tabular model")

    def _fill_unknown(self, next_state: np.ndarray, probability: np.ndarray, reward: np.ndarray) -> None:
        """Writes what untried actions are taken to do; the last state stands for the unseen and does so for ever."""
        optimistic = self.settings.unknown == "optimistic"
        probability[:, :, 0] = 1.0
        if self._starts:
            reward[:, :, 0] = self._promised() if optimistic else self._lowest
        stay = np.arange(len(next_state))
        next_state[:, :, 0] = len(next_state) - 1 if optimistic else stay[:, None]

    def _promised(self) -> float:
        """Returns the reward of the place where what is not known is taken to lead."""
        if self.settings.highest_reward is not None:
            return max(self.settings.highest_reward, self._highest)
        return self._highest + 100.0 * (self._highest - self._lowest or 1.0)

    def _doubt(
        self, at: tuple[int, int], tries: int, next_state: np.ndarray, probability: np.ndarray, reward: np.ndarray
    ) -> None:
        """Moves what is not known yet of an action tried to the place of the highest reward, where it is optimistic."""
        doubt = 1.0 - tries / self.settings.known_after
        if self.settings.unknown != "optimistic" or doubt <= 0.0:
            return
        p = probability[at]
        p *= 1.0 - doubt
        last = len(p) - 1  # free, or what a draw left for the unseen, which then leads there too
        p[last] += doubt
        next_state[at][last], reward[at][last] = len(next_state) - 1, self._promised()

    def _draw(self, seen: list[int], count: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float, int]:
        """Returns drawn probabilities of the successors seen, of another one, and which that is."""
        known, unseen = len(self._index), len(self._index)
        size = max(self.num_observations or 0, known + (self.num_observations is None))
        if self.settings.prior == "sparse":
            law, left = sparse_law(tuple(count.astype(int).tolist()), size, rng)
            candidates = np.setdiff1d(np.arange(known), seen)
            which = int(rng.integers(max(size - len(seen), 1)))
            return law, left, int(candidates[which]) if which < len(candidates) else unseen
        share, others = self.settings.concentration / size, size - len(seen)
        if others == 0:
            return np.asarray(rng.dirichlet(count + share)), 0.0, unseen
        drawn = rng.dirichlet(np.append(count + share, share * others))
        which = int(rng.integers(others))
        candidates = np.setdiff1d(np.arange(known), seen)
        return drawn[:-1], float(drawn[-1]), int(candidates[which]) if which < len(candidates) else unseen

    def _mean_of_seen(self, count: np.ndarray) -> np.ndarray:
        """Returns what is planned with of the successors seen: their frequencies, which leave nothing for others; or a
        sparse prior's mean, which does."""
        if self.settings.prior != "sparse":
            return np.asarray(count / count.sum())
        size = max(self.num_observations or 0, len(self._index) + (self.num_observations is None))
        seen, _ = predictive(tuple(count.astype(int).tolist()), size)
        return np.asarray(seen)

    def sample_optimistic(self, rng: np.random.Generator) -> TabularModel:
        """Returns a draw as `sample_model`, in which actions never tried lead to the best place there is, whatever
        the settings: what posterior sampling explores by."""
        own = self.settings
        self.settings = replace(own, unknown="optimistic", known_after=1)
        try:
            return self._tables(rng)
        finally:
            self.settings = own

    def _initial(self, states: int) -> np.ndarray:
        initial = np.zeros(states)
        for state, count in self._starts.items():
            initial[state] = count
        if not self._starts:
            initial[-1] = 1.0
        return np.asarray(initial / initial.sum())

    def successor_counts(self) -> list[list[np.ndarray]]:
        """Returns how often each successor was seen: an array for each state and action, in order of first sight."""
        return [
            [np.array([outcome.count for outcome in row.values()], np.float64) for row in actions]
            for actions in self._counts
        ]

    def tried(self) -> np.ndarray:
        """Returns `[S, A]` how often each action was seen taken in each state (never in the last, the unseen one)."""
        counts = np.zeros((len(self._index) + 1, self.num_actions), np.int64)
        for state, actions in enumerate(self._counts):
            counts[state] = [sum(outcome.count for outcome in outcomes.values()) for outcomes in actions]
        return counts

    def observations_of(self, states: np.ndarray, space: gym.Space[Any]) -> np.ndarray:
        """Returns `[B, ...]` observations of `[B]` state numbers; the unseen state looks like the first one seen."""
        keys = list(self._index)
        dtype = np.int64 if space.dtype is None or space.dtype.kind in "iub" else np.float32
        rows = [np.frombuffer(keys[s if s < len(keys) else 0], dtype) for s in np.asarray(states).tolist()]
        return np.stack(rows).reshape(len(rows), *(space.shape or ()))

    # ------------------------------------------------------------------------------------------------ as a WorldModel

    def observe(self, states: np.ndarray) -> np.ndarray:
        """Returns `[B, ...]` observations of `[B]` state numbers; the unseen state looks like the first one seen.

        Raises:
            UsageError: the model was made without its observation space.
        """
        if self.observation_space is None:
            raise UsageError("observations of a model without a space", expected="LearnedTabularModel.for_task(task)")
        return self.observations_of(states, self.observation_space)

    def init(self, observations: Batch) -> np.ndarray:
        """Returns `[B]` state numbers; observations never seen share the last one."""
        return self.tabular().init(observations)

    def update(self, states: np.ndarray, actions: Batch, observations: Batch) -> np.ndarray:
        """Returns `[B]` state numbers of the observations: this model takes an observation for the state."""
        check_rows(states, observations)
        return self.init(observations)

    def step(self, states: np.ndarray, actions: np.ndarray, rng: np.random.Generator) -> ModelStep:
        return self.tabular().step(states, actions, rng)

    def legal_of(self, states: np.ndarray) -> np.ndarray:
        return self.tabular().legal_of(states)

    def terminal_of(self, states: np.ndarray) -> np.ndarray:
        return self.tabular().terminal_of(states)

    def outcomes(
        self, states: np.ndarray, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self.tabular().outcomes(states, actions)

    def keys(self, states: np.ndarray) -> list[bytes]:
        return self.tabular().keys(states)

    # ------------------------------------------------------------------------------------------------ storage

    def state_dict(self) -> dict[str, Any]:
        """Returns everything learned, as arrays: what `load_state_dict` takes."""
        rows = [
            (state, action, following, outcome.count, outcome.ended, outcome.reward)
            for state, actions in enumerate(self._counts)
            for action, outcomes in enumerate(actions)
            for following, outcome in outcomes.items()
        ]
        return {
            "observations": _as_bytes(list(self._index)),
            "counts": np.array([row[:5] for row in rows], np.int64).reshape(-1, 5),
            "rewards": np.array([row[5] for row in rows], np.float64),
            "legal": np.array(self._legal, bool).reshape(-1, self.num_actions),
            "starts": np.array(list(self._starts.items()), np.int64).reshape(-1, 2),
            "reward_range": np.array([self._lowest, self._highest]),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replaces everything learned by what `state_dict` returned.

        Raises:
            UsageError: it is not that of a tabular model, or of one with another number of actions.
        """
        names = ("observations", "counts", "rewards", "legal", "starts", "reward_range")
        if missing := [name for name in names if name not in state]:
            raise UsageError(f"a stored tabular model without {', '.join(missing)}", expected=", ".join(names))
        state = {name: state[name] for name in names}
        _check_stored(state, self.num_actions)
        self.__post_init__()
        for key in np.asarray(state["observations"], np.uint8):
            self._number(key.tobytes())
        self._legal = [np.array(row, bool) for row in state["legal"]]
        for row, reward in zip(
            np.asarray(state["counts"]).tolist(), np.asarray(state["rewards"]).tolist(), strict=True
        ):
            self._counts[row[0]][row[1]][row[2]] = _Outcome(row[3], row[4], reward)
        self._starts = {int(s): int(n) for s, n in state["starts"]}
        self._lowest, self._highest = (float(bound) for bound in state["reward_range"])


def _check_stored(state: dict[str, Any], actions: int) -> None:
    """Raises UsageError, with the field, what was found and expected, unless it is what `state_dict` returns."""

    def refuse(name: str, found: object, expected: str) -> UsageError:
        return UsageError(f"a stored tabular model with {name} {found}", expected=expected)

    try:
        arrays = {name: np.asarray(value) for name, value in state.items()}
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"a stored tabular model without arrays: {error}", expected="what state_dict returned"
        ) from error
    shape = {name: array.shape for name, array in arrays.items()}
    if len(shape["observations"]) != 2:
        raise refuse("observations", f"of shape {shape['observations']}", "shape [states, bytes of a key]")
    states, rows = shape["observations"][0], (shape["counts"] or (0,))[0]
    wanted = {
        "legal": (states, actions), "counts": (rows, 5), "rewards": (rows,), "starts": (*shape["starts"][:1], 2),
        "reward_range": (2,),
    }  # fmt: skip
    for name, expected in wanted.items():
        if shape[name] != expected:
            note = f" (of {actions} actions)" if name == "legal" else ""
            raise refuse(name, f"of shape {shape[name]}", f"shape {expected}{note}")
    for name, kinds in (("observations", "u"), ("counts", "iu"), ("starts", "iu"), ("rewards", "f"), ("legal", "b")):
        if arrays[name].dtype.kind not in kinds and arrays[name].size:
            raise refuse(name, f"of dtype {arrays[name].dtype}", {"b": "bool", "f": "float64"}.get(kinds, "integers"))
    counts, starts = arrays["counts"].reshape(-1, 5), arrays["starts"].reshape(-1, 2)
    for name, column, limit in (
        ("counts, column state,", counts[:, 0], states), ("counts, column action,", counts[:, 1], actions),
        ("counts, column successor,", counts[:, 2], states), ("starts, column state,", starts[:, 0], states),
    ):  # fmt: skip
        if ((column < 0) | (column >= limit)).any():
            raise refuse(name, f"from {column.min()} to {column.max()}", f"0 to {limit - 1}")
    if (counts[:, 3] < 1).any() or (counts[:, 4] < 0).any() or (counts[:, 4] > counts[:, 3]).any():
        raise refuse("counts", "that are below 1, or with more ends than arrivals", "ends from 0 to the count")
    if (starts[:, 1] < 1).any():
        raise refuse("starts", f"down to {starts[:, 1].min()}", "at least 1")
    if not np.isfinite(arrays["rewards"]).all():
        raise refuse("rewards", "that are no numbers", "finite sums")
    low, high = (float(bound) for bound in arrays["reward_range"])
    if np.isnan([low, high]).any() or (rows > 0 and not -math.inf < low <= high < math.inf):
        raise refuse("reward_range", f"{low} to {high}", "finite bounds in order")
    keys = {row.tobytes() for row in np.ascontiguousarray(arrays["observations"])}
    if len(keys) != states:
        raise refuse("observations", f"of {len(keys)} different keys in {states} rows", "each once")


def _frequency(ended: np.ndarray, count: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
    """Returns how often each successor ended the task; a posterior draw where it did both."""
    if rng is None:
        return np.asarray(ended / count)
    draw = rng.beta(ended + 0.5, count - ended + 0.5)
    return np.where((ended == 0) | (ended == count), ended / count, draw)


def _as_bytes(keys: Sequence[bytes]) -> np.ndarray:
    """Returns `[n, width]` uint8; the keys of one task all have the same width."""
    width = len(keys[0]) if keys else 0
    return np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), width).copy()


def finite_size(space: gym.Space[Any]) -> int | None:
    """Returns how many observations a space holds, or None if they cannot be counted."""
    kind = type(space).__name__
    if kind == "Discrete":
        return int(space.n)  # type: ignore[attr-defined]
    if kind == "MultiDiscrete":
        return int(np.prod(space.nvec, dtype=np.float64))  # type: ignore[attr-defined]
    if kind == "MultiBinary":
        return int(2 ** np.prod(space.n))  # type: ignore[attr-defined]
    return None
