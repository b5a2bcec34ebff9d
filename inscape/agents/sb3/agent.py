"""Any algorithm of Stable-Baselines3 and sb3-contrib as an agent: `sb3:ppo`, `sb3:dqn`, `sb3:sac`, …

The algorithms are unchanged. Inscape's are the environment they act in (`env`), the loop around their
`collect_rollouts` and `train` (a generator here), and the state as plain arrays instead of a pickle.

Source: Raffin et al. (2021), "Stable-Baselines3: Reliable Reinforcement Learning Implementations", JMLR 22(268).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.callbacks import CallbackList
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from inscape.agents.acting import greedy_log_probs, sample_actions
from inscape.agents.batches import count_of, is_array_space
from inscape.agents.interface import Agent, Metrics, learning_task
from inscape.agents.learning.rounds import say_rounds
from inscape.agents.sb3.env import LawVecEnv, gymnasium_copies
from inscape.agents.sb3.from_zero import from_zero, to_environment
from inscape.agents.sb3.global_rng import global_state, isolated_globals, seeded_globals
from inscape.agents.sb3.models import (
    algorithm_class,
    attribute,
    load_parameters,
    load_replay,
    replay_state,
    usual_policy,
)
from inscape.agents.sb3.models import load_zip as load_zip
from inscape.agents.sb3.policy import SB3Policy as SB3Policy
from inscape.agents.sb3.policy import as_sb3_policy as as_sb3_policy
from inscape.agents.sb3.settings import SB3Settings, constructor_arguments
from inscape.envs.tasks.checking.contract import MASK_KEYS
from inscape.errors import UsageError
from inscape.rng import restore_rng, rng_state
from inscape.world_models.networks.device import resolve_device
from inscape.world_models.networks.encoders.packing import flattens, is_text
from inscape.world_models.networks.finite_checks import divergence
from inscape.world_models.networks.tensors import learning_threads, not_finite, to_arrays
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

MASKED = "maskable-ppo"
_COUNTERS = (
    "num_timesteps",
    "_n_updates",
    "_episode_num",
    "_current_progress_remaining",
    "exploration_rate",
    "_n_calls",
)


class SB3Agent(Agent):
    """An algorithm of Stable-Baselines3, with its environment, its own random streams and a state without pickle.

    Args:
        task: what to act in.
        seed: seed of weights, exploration and environment.
        device: `"auto"`, `"cpu"` or `"cuda"`.
        settings: see `SB3Settings`.
        algorithm: its name, as in `catalogue.SB3_ALGORITHMS`.

    Raises:
        UsageError: unknown algorithm; spaces it does not take; a setting it does not have; a world with illegal actions
            and an algorithm without masks; a zip without trust.
    """

    def __init__(
        self,
        task: Task,
        seed: int = 0,
        device: str = "cpu",
        settings: SB3Settings | None = None,
        algorithm: str = "ppo",
    ) -> None:
        self.settings = settings or SB3Settings()
        self.name, self.algorithm, self.seed = f"sb3:{algorithm}", algorithm, seed
        self._device = resolve_device(device)
        # `act` uses a separate random generator, so evaluation does not affect training
        self._acting = np.random.default_rng([seed, 1])
        self._drawing = seeded_globals(seed * 2 + 1)
        self._task = task
        _require_masks_where_needed(task, algorithm)
        _require_spaces(task, self.name)
        # weights are orthogonalised: on more threads in another order of sums
        with isolated_globals(None), learning_threads(1):
            self.model, self._env = self._make(task)
            self._global_state = global_state()
        self._began = False
        if self.settings.load:
            _adopt(self, load_zip(self.settings.load, algorithm, self.settings.trust, str(self._device)), task)

    def _make(self, task: Task) -> tuple[Any, Any]:
        s, cls = self.settings, algorithm_class(self.algorithm)
        on_policy = not issubclass(cls, OffPolicyAlgorithm)
        n_envs = s.num_envs or (8 if on_policy else 1)
        if task.world is None:
            env: Any = gymnasium_copies(task, n_envs, self.seed, "" if self.algorithm == MASKED else self.name)
        else:
            env = LawVecEnv(task, n_envs, self.seed)
        policy = s.policy or usual_policy(self.algorithm, task)
        arguments = constructor_arguments(s, cls, self.name)
        try:
            model = cls(policy, env, seed=self.seed, device=self._device, **arguments)
        except UsageError:
            raise
        except (AssertionError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
            raise UsageError(
                f"{self.name} refuses {task.name}: {str(error) or type(error).__name__}",
                expected=f"spaces and settings it takes; here: {task.observation_space} → {task.action_space}",
                hint="sb3:ppo takes every kind of action; sb3:dqn finite ones; sb3:sac and sb3:td3 continuous ones",
            ) from error
        model.set_logger(Logger(folder=None, output_formats=[]))
        return model, env

    # ------------------------------------------------------------------------------------------- acting

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        if isinstance(self._task.action_space, gymnasium.spaces.Discrete):
            actions = sample_actions(self.action_log_probs(observation, action_mask), self._acting)
            return np.asarray(to_environment(actions, self._task.action_space))
        return self._predict(observation, None, action_mask)[0]

    def _predict(self, observation: Array, state: Any, action_mask: Array | None = None) -> tuple[Array, Any]:
        """Returns actions as the algorithm's policy chooses them, and the state of a recurrent policy (else None)."""
        seen = from_zero(observation, self._task.observation_space)
        starts = np.zeros(count_of(seen), np.bool_)
        masks = {"action_masks": action_mask} if self.algorithm == MASKED else {}
        with isolated_globals(self._drawing):
            actions, state = self.model.predict(
                seen, state=state, episode_start=starts, deterministic=self.settings.greedy, **masks
            )
            self._drawing = global_state()
        return np.asarray(to_environment(np.asarray(actions), self._task.action_space)), state

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities of the actions as it acts.

        With `greedy`, 0 for the best action. Otherwise those of the policy's distribution; of DQN and QR-DQN: ε spread
        evenly over the legal actions, the rest on the best. Illegal actions get −inf, and the others what is left.

        Raises:
            UsageError: the actions are not `Discrete`.
        """
        if not isinstance(self._task.action_space, gymnasium.spaces.Discrete):
            raise UsageError(
                f"log-probabilities of every action of {self.name}", expected="a task with Discrete actions"
            )
        scores, epsilon = self._scores(observation)
        if self.settings.greedy or epsilon is not None:
            log_probs = greedy_log_probs(scores, action_mask)
            return log_probs if self.settings.greedy or epsilon is None else _soften(log_probs, epsilon, action_mask)
        legal = scores if action_mask is None else np.where(action_mask, scores, -np.inf)
        return np.asarray(legal - np.log(np.exp(legal).sum(axis=1, keepdims=True)))

    def _scores(self, observation: Array) -> tuple[Array, float | None]:
        """Returns `[B, A]` log-probabilities or action values, and ε where they are values."""
        policy = self.model.policy
        policy.set_training_mode(False)
        with torch.no_grad():
            seen = from_zero(observation, self._task.observation_space)
            tensor, _ = policy.obs_to_tensor(seen)
            if hasattr(policy, "get_distribution"):
                logits = policy.get_distribution(tensor).distribution.logits
                return logits.cpu().numpy().astype(np.float64), None
            if hasattr(policy, "q_net"):
                return policy.q_net(tensor).cpu().numpy().astype(np.float64), float(self.model.exploration_rate)
            if hasattr(policy, "quantile_net"):
                values = policy.quantile_net(tensor).mean(dim=1)
                return values.cpu().numpy().astype(np.float64), float(self.model.exploration_rate)
            # a deterministic policy (ARS): all on the action it takes
            chosen, _ = policy.predict(seen, deterministic=True)
        return np.log(np.eye(int(self.model.action_space.n))[chosen] + 1e-300), None

    # ------------------------------------------------------------------------------------------- learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until at least `steps` environment steps in total; yields after each rollout and its update.

        Off-policy algorithms are reported every `report_every` steps.

        Raises:
            UsageError: it was made for another task, in which its environments are.
        """
        self._task = learning_task(self, self._task, task)
        model, threads = self.model, torch.get_num_threads()
        if model.num_timesteps >= steps:
            return
        if isinstance(model, OnPolicyAlgorithm):
            size = model.n_steps * model.n_envs
            say_rounds(self.name, model.num_timesteps, steps, size, "--num-envs, --num-steps")
        torch.set_num_threads(self.settings.threads)
        try:
            with self._isolated():
                # going on keeps the counters and asks for the steps that remain; beginning sets both
                remaining = steps - model.num_timesteps if self._began else steps
                total, callback = model._setup_learn(remaining, None, not self._began)
                self._began = True
                callback.on_training_start({}, {})
            while model.num_timesteps < total:
                model.ep_info_buffer.clear()
                model.logger.name_to_value.clear()
                model.logger.name_to_count.clear()
                self._require_finite_weights()
                with self._isolated():
                    self._advance(total, callback)
                self._require_finite_weights()
                yield self._metrics()
        finally:
            torch.set_num_threads(threads)

    def _require_finite_weights(self) -> None:
        """Their losses and gradients are out of reach; what they left of the weights is not."""
        if broken := not_finite(self.model.policy.named_parameters()):
            raise divergence(self.name, int(self.model.num_timesteps), math.nan, broken)

    def _advance(self, total: int, callback: CallbackList) -> None:
        model = self.model
        if isinstance(model, OnPolicyAlgorithm):
            model.collect_rollouts(model.env, callback, model.rollout_buffer, n_rollout_steps=model.n_steps)
            model._update_current_progress_remaining(model.num_timesteps, total)
            model.train()
        elif isinstance(model, OffPolicyAlgorithm):
            until = min(total, model.num_timesteps + self.settings.report_every)
            while model.num_timesteps < until:
                self._replay_round(callback)
        else:  # augmented random search
            model._update_current_progress_remaining(model.num_timesteps, total)
            model._do_one_update(callback, None)

    def _replay_round(self, callback: CallbackList) -> None:
        model = self.model
        rollout = model.collect_rollouts(
            model.env,
            train_freq=model.train_freq,
            action_noise=model.action_noise,
            callback=callback,
            learning_starts=model.learning_starts,
            replay_buffer=model.replay_buffer,
            log_interval=None,
        )
        if model.num_timesteps > model.learning_starts:
            gradient_steps = model.gradient_steps if model.gradient_steps >= 0 else rollout.episode_timesteps
            if gradient_steps > 0:
                model.train(batch_size=model.batch_size, gradient_steps=gradient_steps)

    def _metrics(self) -> Metrics:
        model = self.model
        logged = {name.removeprefix("train/"): value for name, value in model.logger.name_to_value.items()}
        metrics = {name: float(value) for name, value in logged.items() if isinstance(value, (int, float, np.number))}
        # not of Stable-Baselines3's buffer, of which the first reports are those of short episodes
        return {"steps": float(model.num_timesteps), **metrics, **self._env.episodes.report()}

    @contextmanager
    def _isolated(self) -> Iterator[None]:
        """Runs with the agent's own global random state: Stable-Baselines3 draws from the process-wide generators."""
        with isolated_globals(self._global_state):
            yield
            self._global_state = global_state()

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        model = self.model
        _, variables = model._get_torch_save_params()
        state: State = {
            "parameters": to_arrays(model.get_parameters()),
            "variables": {name: to_arrays(attribute(model, name)) for name in variables},
            "counters": {name: getattr(model, name) for name in _COUNTERS if hasattr(model, name)},
            "chance": self._global_state,
            "acting": rng_state(self._acting),
            "drawing": self._drawing,
            "space": rng_state(model.action_space.np_random),
            "began": self._began,
            "replay": None,
            "env": None,
        }
        if self._began and isinstance(self._env, LawVecEnv):
            state["env"] = self._env.state_dict()
            state["last_obs"] = None if model._last_obs is None else np.array(model._last_obs)
            state["last_starts"] = np.array(model._last_episode_starts)
        if self.settings.save_replay and getattr(model, "replay_buffer", None) is not None:
            state["replay"] = replay_state(model.replay_buffer)
        return state

    def load_state_dict(self, state: State) -> None:
        model = self.model
        load_parameters(model, state["parameters"], self.name)
        for name, value in state["variables"].items():
            attribute(model, name).data.copy_(torch.as_tensor(value))
        for name, value in state["counters"].items():
            setattr(model, name, value)
        self._global_state, self._began = state["chance"], bool(state["began"])
        restore_rng(self._acting, state["acting"])
        self._drawing = state["drawing"]
        restore_rng(model.action_space.np_random, state["space"])
        model._last_obs = None  # so that an environment that cannot be restored begins a new episode
        model._last_episode_starts = np.ones(model.n_envs, np.bool_)
        model.ep_info_buffer = None
        self._env.steps = model.num_timesteps // model.n_envs
        if state["env"] is not None and isinstance(self._env, LawVecEnv):
            self._env.reset()
            self._env.load_state_dict(state["env"])
            model._last_obs, model._last_episode_starts = state["last_obs"], np.array(state["last_starts"])
        if state["replay"] is not None:
            load_replay(model.replay_buffer, state["replay"])


class RecurrentSB3Agent(SB3Agent):
    """sb3-contrib's recurrent PPO: an LSTM, whose hidden and cell state are what it remembers in each copy."""

    def initial_memory(self, count: int) -> Array:
        """Returns `[B, 2, layers, units]` float32, zero: hidden and cell state of the policy's LSTM."""
        layers, _, units = self.model.policy.lstm_hidden_state_shape
        return np.zeros((count, 2, layers, units), np.float32)

    def act_with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        actions, state = self._predict(observation, tuple(memory.transpose(1, 2, 0, 3)))
        return actions, np.stack(state).transpose(2, 0, 1, 3)

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        count = count_of(observation)
        return self.act_with_memory(observation, self.initial_memory(count), np.zeros(count))[0]

    def _scores(self, observation: Array) -> tuple[Array, float | None]:
        """Returns `[B, A]` log-probabilities at the first step of an episode."""
        seen = from_zero(observation, self._task.observation_space)
        policy, count = self.model.policy, count_of(seen)
        policy.set_training_mode(False)
        with torch.no_grad():
            tensor, _ = policy.obs_to_tensor(seen)
            hidden, cell = torch.from_numpy(self.initial_memory(count)).to(self._device).permute(1, 2, 0, 3)
            distribution, _ = policy.get_distribution(tensor, (hidden, cell), torch.zeros(count, device=self._device))
            return distribution.distribution.logits.cpu().numpy().astype(np.float64), None

    def state_dict(self) -> State:
        return {**super().state_dict(), "memory": [to_arrays(part) for part in self._parts()]}

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        for part, stored in zip(self._parts(), state["memory"], strict=True):
            part.copy_(torch.as_tensor(stored))

    def _parts(self) -> list[torch.Tensor]:
        """Returns what the copies being learned in remember: hidden and cell state, of the policy and of the critic."""
        states = self.model._last_lstm_states
        return [*states.pi, *states.vf]


def _adopt(agent: SB3Agent, model: Any, task: Task) -> None:
    """Makes the agent continue with a loaded model."""
    for what in ("observation_space", "action_space"):
        if getattr(model, what) != getattr(agent.model, what):
            raise UsageError(
                f"the zip's {what} is {getattr(model, what)}",
                expected=f"that of {task.name}: {getattr(agent.model, what)}",
            )
    if model.n_envs != agent._env.num_envs and isinstance(model, OnPolicyAlgorithm):
        # the rollout buffer's shape is fixed when a model is made: take the weights instead of the model
        load_parameters(agent.model, to_arrays(model.get_parameters()), agent.name)
        return
    model.set_env(agent._env)
    model.set_logger(Logger(folder=None, output_formats=[]))
    agent.model = model


def _require_masks_where_needed(task: Task, algorithm: str) -> None:
    if algorithm != MASKED and task.world is not None and task.world.law_function("legal") is not None:
        raise UsageError(
            f"sb3:{algorithm} takes no action masks, and {task.name} restricts them",
            expected="an algorithm that takes action masks",
            hint=f"sb3:{MASKED} or ppo",
        )


def _require_spaces(task: Task, name: str) -> None:
    """Raises for spaces that Stable-Baselines3 does not take, before it raises somewhere inside."""
    spaces, observed, actions = gymnasium.spaces, task.observation_space, task.action_space
    parts: list[tuple[str, Any]] = [("observes", observed)]
    if isinstance(observed, spaces.Dict):
        parts = [(f"observes {key!r},", part) for key, part in observed.spaces.items() if key not in MASK_KEYS]
        if not parts:
            raise UsageError(f"{task.name} observes an action mask alone", expected="a part beside it")
    for what, space in [*parts, ("takes the actions", actions)]:
        if not is_array_space(space):
            raise UsageError(
                f"{task.name} {what} {space}, which {name} does not take",
                expected="Box, Discrete, MultiDiscrete, MultiBinary; observations also a Dict of them, not nested",
                hint=_way_out(what, observed),
            )
        if what.startswith("observes") and (wrong := _unreadable(space)):
            raise UsageError(
                f"{task.name} {what} {space}, which {name} does not take",
                expected=wrong,
                hint="--wrap gymnasium.wrappers:FlattenObservation; ppo, a2c and dqn of inscape take it as it is",
            )
    if len(actions.shape or ()) > 1 and not isinstance(actions, spaces.Box):
        raise UsageError(
            f"{task.name} takes the actions {actions}, which {name} does not",
            expected="MultiDiscrete and MultiBinary actions of one dimension",
            hint="ppo takes those of several dimensions",
        )


def _unreadable(space: gymnasium.Space[Any]) -> str:
    """Returns what Stable-Baselines3 expects in place of an array it cannot make an input of; "" where it can."""
    shape = space.shape or ()
    if isinstance(space, gymnasium.spaces.Box) and (not shape or 0 in shape):
        return "arrays of one number or more, with at least one axis"
    if isinstance(space, gymnasium.spaces.MultiDiscrete) and len(shape) > 1:
        return "MultiDiscrete observations of one dimension"
    return ""


def _way_out(what: str, observed: gymnasium.Space[Any]) -> str:
    """Returns what to do about a space that Stable-Baselines3 does not take."""
    if not what.startswith("observes"):
        return "a wrapper that gives the environment actions of another space: --wrap file.py:MyWrapper"
    texts = isinstance(observed, gymnasium.spaces.Dict) and any(map(is_text, observed.spaces.values()))
    if texts or not flattens(observed):
        keys = [key for key, part in observed.spaces.items() if is_array_space(part)] if texts else []  # type: ignore[attr-defined]
        only = f"--wrap gymnasium.wrappers:FilterObservation:filter_keys={','.join(keys)}; " if keys else ""
        return f"{only}ppo, a2c and dqn of inscape take it as it is"
    return "--wrap gymnasium.wrappers:FlattenObservation; ppo, a2c and dqn of inscape take it as it is"


def _soften(greedy: Array, epsilon: float, action_mask: Array | None) -> Array:
    legal = np.ones(greedy.shape, np.bool_) if action_mask is None else action_mask
    with np.errstate(divide="ignore"):
        return np.asarray(np.log((1 - epsilon) * np.exp(greedy) + epsilon * legal / legal.sum(axis=1, keepdims=True)))
