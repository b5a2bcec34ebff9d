"""The model that a search plans in: latent states, rewards, endings, values and a policy; no observations.

It has no code length: it does not say what will be observed. `prediction_scores` scores what it does say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces

from inscape.envs.tasks.checking.batches import rows_of
from inscape.errors import UsageError, whole_number
from inscape.rng import drawn_indices
from inscape.world_models.interface import ModelStep
from inscape.world_models.learned.muzero.inference import Inference
from inscape.world_models.learned.muzero.network import MuZeroNetwork
from inscape.world_models.learned.muzero.settings import MuZeroModelSettings
from inscape.world_models.networks.tensors import load_module, to_arrays

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory

Array = np.ndarray


class MuZeroModel:
    """Representation, dynamics and prediction: a `WorldModel` in which rewards, endings and values can be foreseen.

        model = agent.model                                        # of a trained `muzero`
        states = model.init(observations, action_mask)
        Gumbel(16).plan(model, states, rng, model.evaluate)        # any planner of models
        model.prediction_scores(trajectories, horizon=5)           # how far to trust it

    Args:
        observation_space: Discrete, MultiDiscrete, MultiBinary, Box, or several such parts.
        action_space: Discrete, counted from 0.
        settings: see `MuZeroModelSettings`.
        seed: of the first weights.
        players: 1, or 2 who act in turn and whose rewards add up to 0.

    Attributes:
        network: see `MuZeroNetwork`.
        exact: whether outcomes are listed: with chance codes. Without, `step` is deterministic.

    A model state is a row `[D + 1 + A]` of float32: the latent state, who moves (0: who moves at the root, in whose
    place the network sees the game), and which actions are legal. After a step every action counts as legal: the model
    is told of a root, and learns by the search's policy which actions lead nowhere.

    Raises:
        UsageError: spaces it cannot take, or settings out of range.
    """

    def __init__(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any],
        settings: MuZeroModelSettings | None = None, seed: int = 0, players: int = 1,
    ) -> None:  # fmt: skip
        self.settings = settings or MuZeroModelSettings()
        if not isinstance(action_space, spaces.Discrete) or action_space.start != 0:
            raise UsageError(
                f"muzero with actions {action_space}", expected="a Discrete action space, counted from 0",
                hint="dreamer or sac for continuous actions",
            )  # fmt: skip
        if players not in (1, 2):
            raise UsageError(f"muzero with {players} players", expected="1, or 2 who act in turn")
        self.observation_space, self.action_space = observation_space, action_space
        self.num_players, self.num_actions = players, int(action_space.n)
        generator = torch.Generator().manual_seed(whole_number("seed", seed))
        self.network = MuZeroNetwork(observation_space, self.num_actions, self.settings, generator)
        self.inference = Inference(self.network)

    @property
    def exact(self) -> bool:
        return self.settings.codes > 0

    # ------------------------------------------------------------------------------------------- as a WorldModel

    def init(self, observations: Any, action_mask: Array | None = None) -> Array:
        """Returns `[B, D + 1 + A]` states of `[B, ...]` observations; `action_mask [B, A]`, None: every action."""
        latent = self.inference.represent(observations)
        legal = np.ones((len(latent), self.num_actions), np.float32)
        if action_mask is not None:
            legal[:] = action_mask
        return np.concatenate([latent, np.zeros((len(latent), 1), np.float32), legal], axis=1)

    def update(self, states: Array, actions: Any, observations: Any) -> Array:
        """Returns the states of observations: nothing earlier is remembered."""
        return self.init(observations)

    def _latent(self, states: Array) -> Array:
        return np.ascontiguousarray(states[:, : self.settings.latent])

    def _states(self, latent: Array, movers: Array) -> Array:
        """Returns states after a step by `movers`."""
        following = (1 - movers) if self.num_players == 2 else movers
        legal = np.ones((len(latent), self.num_actions), np.float32)
        return np.concatenate([latent, following.astype(np.float32)[:, None], legal], axis=1)

    def _rewards(self, reward: Array, movers: Array) -> Array:
        """Returns rewards of all players, of the mover's `[B]`."""
        if self.num_players == 1:
            return reward
        signed = np.where(movers == 0, reward, -reward)
        return np.stack([signed, -signed], axis=-1)

    def step(self, states: Array, actions: Any, rng: np.random.Generator) -> ModelStep:
        """Returns the step of each of B states; with chance codes a code is drawn."""
        latent, movers = self._latent(states), self.mover_of(states)
        choice = np.asarray(actions, np.int64)
        if self.settings.codes:
            latent, probability = self.inference.after(latent, choice)
            choice = drawn_indices(probability, rng.random(len(latent)))
        following, reward, going = self.inference.follow(latent, choice)
        return ModelStep(self._states(following, movers), self._rewards(reward, movers), going)

    def outcomes(self, states: Array, actions: Any) -> tuple[Array, Array, Array, Array]:
        """Returns the outcomes of each of B actions, one for each chance code."""
        codes, movers = self.settings.codes, self.mover_of(states)
        latent, probability = self.inference.after(self._latent(states), np.asarray(actions, np.int64))
        count = len(latent)
        following, reward, going = self.inference.follow(
            np.repeat(latent, codes, axis=0), np.tile(np.arange(codes), count)
        )
        repeated = np.repeat(movers, codes)
        rewards = self._rewards(reward, repeated).reshape(count, codes, -1)
        if self.num_players == 1:
            rewards = rewards[..., 0]
        return probability, self._states(following, repeated), rewards, going.reshape(count, codes)

    def legal_of(self, states: Array) -> Array:
        """Returns `[B, A]` bool: what was legal at a root, and every action after a step."""
        return states[:, self.settings.latent + 1 :] > 0

    def mover_of(self, states: Array) -> Array:
        """Returns `[B]` who moves: 0 at a root."""
        return states[:, self.settings.latent].astype(np.int64)

    def evaluate(self, states: Array) -> tuple[Array, Array]:
        """Returns values `[B]`, of two players `[B, 2]`, and prior logits `[B, A]`, as a search asks for them."""
        logits, values = self.inference.predict(self._latent(states))
        return self._rewards(values, self.mover_of(states)), logits

    # ------------------------------------------------------------------------------------------- scores

    def prediction_scores(
        self, trajectories: Sequence[Trajectory], horizon: int = 5, gamma: float = 0.99
    ) -> dict[str, list[float]]:
        """Returns how well rewards, endings and values are foreseen, by the number of steps imagined before.

        From every step of the episodes the actions taken are imagined; with chance codes the likeliest outcome follows.

        Args:
            trajectories: episodes of one player.
            horizon: K, steps imagined.
            gamma: discount of the returns that values are compared with; episodes cut off count as far as they go.

        Returns:
            `{"reward_error", "ending_bits", "value_error"}`, lists of K numbers: mean |r̂ − r|; mean −log₂ of the
            probability given to the task's going on or ending; mean |v̂ − G| of episodes that terminated, else NaN.

        Raises:
            UsageError: no step, or players are 2.
        """
        if self.num_players != 1:
            raise UsageError("scores of predictions for two players", expected="a model of one player")
        names = ("reward_error", "ending_bits", "value_error")
        total, count = np.zeros((3, horizon)), np.zeros((3, horizon))
        for trajectory in trajectories:
            self._score(trajectory, gamma, total, count)
        if not count[0, 0]:
            raise UsageError("no step to score", expected="at least one episode with a step")
        with np.errstate(invalid="ignore"):
            means = np.where(count > 0, total / count, math.nan)
        return {name: row.tolist() for name, row in zip(names, means, strict=True)}

    def _score(self, trajectory: Trajectory, gamma: float, total: Array, count: Array) -> None:
        rewards = np.asarray(trajectory.rewards, np.float64)
        steps, over = len(rewards), bool(trajectory.terminated)
        actions = np.asarray(trajectory.actions, np.int64).reshape(steps)
        returns = np.zeros(steps + 1)
        for t in range(steps - 1, -1, -1):
            returns[t] = rewards[t] + gamma * returns[t + 1]
        states = self.init(rows_of(trajectory.observations, slice(steps)))
        latent = self._latent(states)
        for k in range(min(total.shape[1], steps)):
            there = np.arange(steps - k)  # starts from which step k is still in the episode
            latent, choice = latent[there], actions[there + k]
            if over:
                _, values = self.inference.predict(latent)
                total[2, k] += np.abs(values - returns[there + k]).sum()
                count[2, k] += len(there)
            if self.settings.codes:
                latent, probability = self.inference.after(latent, choice)
                choice = probability.argmax(axis=1)
            latent, reward, going = self.inference.follow(latent, choice)
            ended = over & (there + k == steps - 1)
            total[0, k] += np.abs(reward - rewards[there + k]).sum()
            total[1, k] -= np.log2(np.maximum(np.where(ended, 1 - going, going), 1e-12)).sum()
            count[:2, k] += len(there)

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> dict[str, Any]:
        arrays: dict[str, Any] = to_arrays(self.network.state_dict())
        return {"network": arrays}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes stored weights.

        Raises:
            UsageError: they are of other settings or another world.
        """
        load_module(self.network, state["network"])
        self.inference.refresh()
