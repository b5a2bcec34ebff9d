"""MuZero: acts by a search in a model that it learns, and the model learns what the searches say.

Every action is that of a Gumbel search in the model, from the latent state of what is observed. Its improved policy and
its value are remembered with the step; remembered steps are searched again with the present model, a few before each
gradient step (reanalyse), so that targets are never old for long.

Sources: Schrittwieser et al. (2020), "Mastering Atari, Go, chess and shogi by planning with a learned model", Nature
588; (2021), "Online and offline reinforcement learning by planning with a learned model", NeurIPS (reanalyse);
Danihelka et al. (2022), "Policy improvement by planning with Gumbel", ICLR; Ye et al. (2021), NeurIPS; Antonoglou et
al. (2022), ICLR.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.acting import greedy_log_probs, sample_actions
from inscape.agents.batches import count_of
from inscape.agents.interface import Agent, Metrics, learning_task
from inscape.agents.learning.env_runner import EnvRunner
from inscape.agents.muzero.games import Games
from inscape.agents.muzero.learner import Learner
from inscape.agents.muzero.memory import GOING, LAST, TERMINATED, SearchMemory
from inscape.agents.muzero.settings import MuZeroSettings
from inscape.errors import UsageError
from inscape.rng import restore_rng, rng_state
from inscape.world_models.learned.muzero.model import MuZeroModel
from inscape.world_models.networks.finite_checks import divergence
from inscape.world_models.networks.tensors import learning_threads, load_optimizer, not_finite, optimizer_arrays
from inscape.world_models.networks.types import Array, State
from inscape.world_models.planning.interface import Plan, Plans
from inscape.world_models.planning.tree_search.batched import BatchedSearch
from inscape.world_models.planning.tree_search.gumbel import Gumbel

if TYPE_CHECKING:
    from inscape.envs.data.transition import Transition
    from inscape.envs.tasks.task import Task

logger = logging.getLogger(__name__)


class MuZero(Agent):
    """Learns a model by what its searches and episodes say, and acts by the search.

    Args:
        task: any observations that determine what follows, Discrete actions counted from 0; one player, or a world of
            two who move in turn and whose rewards add up to 0.
        seed: of weights, episodes and random numbers.
        settings: see `MuZeroSettings`.

    Attributes:
        model: the `MuZeroModel`: any planner can plan in it.
        steps: environment steps so far.

    Raises:
        UsageError: spaces or players it cannot take; a setting out of range.
    """

    name = "muzero"
    Settings = MuZeroSettings
    learns_with_players = True

    def __init__(self, task: Task, seed: int = 0, settings: MuZeroSettings | None = None) -> None:
        self.settings = s = settings or MuZeroSettings()
        self.seed, self.steps, self.updates = seed, 0, 0
        self._planner(1.0)  # its own checks of the settings
        if task.players > 1:
            Games.require(task)
        self.model = MuZeroModel(task.observation_space, task.action_space, s.model(), seed, min(task.players, 2))
        self.learner = Learner(self.model, s)
        self._rng, self._acting = (np.random.default_rng([seed, k]) for k in (2, 3))
        packing = self.model.network.encoder.packing
        self._task: Task | None = None
        self._packing = packing
        self._copies: EnvRunner | Games | None = None
        self._pending: State | None = None
        self.memory: SearchMemory | None = None

    # ------------------------------------------------------------------------------------------- searching

    def _planner(self, noise: float) -> Gumbel:
        s = self.settings
        return Gumbel(
            s.num_simulations, s.gamma, rollout="none", max_outcomes=1, value_range=s.value_range,
            value_scale=s.value_scale, noise=noise,
        )  # fmt: skip

    def _search(self, observation: Any, action_mask: Array | None, noise: float, rng: np.random.Generator) -> Plans:
        states = self.model.init(observation, action_mask)
        try:
            return BatchedSearch(self._planner(noise), self.model, states, rng, self.model.evaluate, keep=False).run()
        except UsageError as error:
            broken = not_finite(self.model.network.named_parameters())
            if broken:  # said of the model's weights, not of a state of its own
                raise divergence(self.name, self.steps, math.nan, broken) from error
            raise

    def plan_for(self, observation: Any, action_mask: Array | None = None) -> Plan | None:
        """Returns the search at one observation."""
        rows = np.asarray(observation)[None] if isinstance(observation, np.ndarray | np.generic | int) else observation
        mask = None if action_mask is None else np.asarray(action_mask)[None]
        return self._search(rows, mask, 0.0, np.random.default_rng(self.seed))[0]

    # ------------------------------------------------------------------------------------------- acting

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        return sample_actions(self.action_log_probs(observation, action_mask), self._acting)

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities as it acts: what the search proposes, or where not `greedy` its policy."""
        if not count_of(observation):
            return np.zeros((0, self.model.num_actions))
        plans = self._search(observation, action_mask, 0.0, np.random.default_rng(self.seed))
        if self.settings.greedy:
            return greedy_log_probs(np.eye(self.model.num_actions)[plans.actions], action_mask)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(plans.action_probs))

    def policy_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log π(a|s) of the network alone."""
        logits, _ = self.model.inference.predict(self.model.inference.represent(observation))
        scores = logits.astype(np.float64)
        if action_mask is not None:
            scores = np.where(action_mask, scores, -np.inf)
        scores = scores - scores.max(axis=1, keepdims=True)
        return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))

    def state_values(self, observation: Array) -> Array:
        """Returns `[B]` the network's V(s), of the player to move."""
        return self.model.inference.predict(self.model.inference.represent(observation))[1]

    # ------------------------------------------------------------------------------------------- learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until at least `steps` environment steps in total; yields every `report_every` and at the end.

        Resuming is exact in worlds with a law; in other environments a resumed run begins new episodes.

        Raises:
            UsageError: it has learned in another task; an observation or a reward is not finite.
            DivergenceError: a gradient is not finite.
        """
        s = self.settings
        self._task = task = learning_task(self, self._task, task)
        copies = self._begin(task)
        if self.steps < steps <= s.learning_starts:
            logger.warning(
                "%s learns nothing in %d steps: learning starts after %d (--learning-starts).",
                self.name, steps, s.learning_starts,
            )  # fmt: skip
        while self.steps < steps:
            metrics: list[dict[str, float]] = []
            with learning_threads(s.threads):
                while True:
                    before = self.steps
                    self._step(copies)
                    if self.steps > s.learning_starts:
                        metrics += self._update(before, max(0.0, 1.0 - self.steps / steps))
                    if self.steps // s.report_every > before // s.report_every or self.steps >= steps:
                        break
            means = {name: float(np.mean([one[name] for one in metrics])) for name in (metrics[-1] if metrics else {})}
            yield {"steps": float(self.steps), **copies.episodes(), **means, "updates": float(self.updates)}

    def _begin(self, task: Task) -> EnvRunner | Games:
        """Returns the copies acted in, made when they are first needed; and makes the memory."""
        s = self.settings
        if self._copies is not None:
            return self._copies
        pending, self._pending = self._pending, None
        state = None if pending is None else pending["copies"]
        begun = self.steps // s.num_envs
        self._copies = (
            Games(task, s.num_envs, self.seed, state)
            if task.players > 1
            else EnvRunner(task, s.num_envs, self.seed, steps=begun, state=state, packing=self._packing)
        )
        self.memory = SearchMemory(
            s.buffer_size // s.num_envs, s.num_envs, np.asarray(self._copies.observation), self.model.num_actions,
            s.gamma, task.players > 1, s.priority,
        )  # fmt: skip
        if pending is not None and pending["memory"] is not None:
            self.memory.load_state_dict(pending["memory"])
            if state is None or state.get("env", state) is None:
                self.memory.cut_off()
        return self._copies

    def _step(self, copies: EnvRunner | Games) -> None:
        """Acts once in every copy and remembers it, with what the search said."""
        s, memory, rows = self.settings, self.memory, np.arange(self.settings.num_envs)
        assert memory is not None
        observation, mask = np.array(copies.observation), copies.action_mask
        self.model.network.encoder.update(observation)
        legal = np.ones((len(rows), self.model.num_actions), np.bool_) if mask is None else np.array(mask, np.bool_)
        uniform = np.where(legal, self._rng.random(legal.shape), -1.0).argmax(axis=1)
        if self.steps < s.learning_starts:
            actions, policy, values = uniform, legal / legal.sum(axis=1, keepdims=True), np.zeros(len(rows))
        else:
            plans = self._searched(observation, legal)
            random = self._rng.random(len(rows)) < s.random_moves
            policy, values = plans.action_probs[rows], plans.values[rows]
            actions = np.where(random, uniform, plans.actions[rows])
        transition = copies.step(actions)
        kinds = np.where(transition.terminated, TERMINATED, GOING)
        memory.add(
            rows, kinds, observations=observation, masks=legal, actions=actions, rewards=transition.reward,
            policy=policy, values=values,
        )  # fmt: skip
        self._keep_last(transition)
        self.steps += s.num_envs

    def _searched(self, observation: Array, legal: Array) -> Plans:
        """Searches what is observed, and, in the same trees' waves, remembered steps again: what the search says of
        these now is remembered. Returns all plans, those of what is observed first."""
        s, memory = self.settings, self.memory
        assert memory is not None
        arrays, count = memory.arrays, len(observation)
        again = self._due(self.steps, self.steps + s.num_envs) * s.reanalyse
        places = memory.some(again, self._rng) if again else np.zeros(0, np.int64)
        rows = np.concatenate([observation, arrays["observations"][places]])
        plans = self._search(rows, np.concatenate([legal, arrays["masks"][places]]), s.exploration, self._rng)
        arrays["policy"][places], arrays["values"][places] = plans.action_probs[count:], plans.values[count:]
        return plans

    def _due(self, before: int, after: int) -> int:
        """Returns how many gradient steps are due for the environment steps from one number to another."""
        s = self.settings
        rounds = after // s.train_freq - max(before, s.learning_starts) // s.train_freq
        return max(0, rounds) * s.gradient_steps

    def _keep_last(self, transition: Transition) -> None:
        """Remembers the last observations of episodes that were cut off: their value is what would have followed. With
        chance codes those of all: which outcome the last step had is read from them."""
        assert self.memory is not None
        terminated = transition.terminated[transition.ended]
        kept = np.flatnonzero(~terminated | (self.settings.codes > 0))
        if not len(kept):
            return
        observation, values = np.asarray(transition.last_observation[kept]), np.zeros(len(kept))
        cut = np.flatnonzero(~terminated[kept])
        if len(cut) and self.steps >= self.settings.learning_starts:
            values[cut] = self._search(observation[cut], None, self.settings.exploration, self._rng).values
        ones = np.ones((len(kept), self.model.num_actions), np.bool_)
        self.memory.add(
            transition.ended[kept], np.full(len(kept), LAST), observations=observation, masks=ones, values=values
        )

    def _update(self, before: int, remaining: float) -> list[dict[str, float]]:
        """Takes the gradient steps that are due; `remaining` is the share of the training that is left."""
        s, memory = self.settings, self.memory
        assert memory is not None
        if not memory.ready:
            return []
        self.learner.set_rate(s.learning_rate * (0.1 + 0.9 * remaining if s.anneal == "linear" else 1.0))
        found = []
        for _ in range(self._due(before, self.steps)):
            drawn = memory.draw(s.batch_size, s.unroll, s.n_step, s.priority_beta, self._rng)
            metrics, errors = self.learner.step(drawn, self.steps)
            memory.update_priorities(drawn.places, errors)
            self.updates += 1
            found.append(metrics)
        return found

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        pending = self._pending or {"copies": None, "memory": None}
        return {
            "steps": self.steps, "updates": self.updates, "model": self.model.state_dict(),
            "optimizer": optimizer_arrays(self.learner.optimizer), "rng": rng_state(self._rng),
            "acting": rng_state(self._acting),
            "memory": pending["memory"] if self.memory is None else self.memory.state_dict(),
            "copies": pending["copies"] if self._copies is None else self._copies.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Resumes from `state_dict()`.

        Raises:
            UsageError: the weights are of other settings or of another world.
        """
        self.steps, self.updates = int(state["steps"]), int(state["updates"])
        self.model.load_state_dict(state["model"])
        load_optimizer(self.learner.optimizer, state["optimizer"])
        restore_rng(self._rng, state["rng"])
        restore_rng(self._acting, state["acting"])
        self._task, self._copies, self.memory = None, None, None
        self._pending = {"copies": state["copies"], "memory": state["memory"]}
