"""Any algorithm of Stable-Baselines3 and sb3-contrib as an agent: `sb3:ppo`, `sb3:dqn`, `sb3:sac`, …

The algorithms are theirs, untouched; ours are the environment they act in (`sb3_env`), the loop around their
`collect_rollouts` and `train` (a generator here), and the state as plain arrays instead of a pickle.

Source: Raffin et al. (2021), "Stable-Baselines3: Reliable Reinforcement Learning Implementations", JMLR 22(268).
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.callbacks import CallbackList
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from inscape.agents.acting import greedy_log_probs, restore_rng, rng_state, sample_actions
from inscape.agents.device import resolve_device
from inscape.agents.finite import divergence
from inscape.agents.interface import (
    Agent,
    Array,
    Metrics,
    RememberingAgent,
    State,
    as_agent,
    can_remember,
    can_score,
)
from inscape.agents.plugins import SB3_ALGORITHMS, find_entry
from inscape.agents.sb3_env import LawVecEnv, SeededVecEnv
from inscape.agents.tensors import not_finite, to_arrays, to_tensors
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.registry import Task

MASKED, RECURRENT = "maskable-ppo", "recurrent-ppo"


@dataclass(frozen=True)
class SB3Settings:
    """Settings of a Stable-Baselines3 algorithm. None leaves a setting at the algorithm's own default."""

    policy: str = ""
    """Name of the policy network; empty for MlpPolicy (ars: LinearPolicy; Dict observations: MultiInputPolicy)."""
    n_envs: int | None = None
    """Copies of the environment; None for 8 with on-policy algorithms and 1 with the others."""
    learning_rate: float | None = None
    """Step size of the optimiser at the beginning."""
    schedule: Literal["constant", "linear"] = "constant"
    """Whether learning_rate falls linearly to zero over the training."""
    anneal_clip: bool = False
    """PPO: whether clip_range falls linearly to zero over the training."""
    gamma: float | None = None
    """Discount per step."""
    batch_size: int | None = None
    """Size of a minibatch."""
    net_arch: tuple[int, ...] | None = None
    """Widths of the hidden layers."""
    lstm_hidden_size: int | None = None
    """recurrent-ppo: units of the LSTM, which net_arch follows."""
    n_steps: int | None = None
    """On-policy: steps each copy takes between updates."""
    n_epochs: int | None = None
    """On-policy: passes over the collected steps."""
    gae_lambda: float | None = None
    """On-policy: λ of generalised advantage estimation."""
    clip_range: float | None = None
    """PPO: how far the probability ratio may leave 1."""
    ent_coef: float | None = None
    """Weight of the entropy bonus."""
    vf_coef: float | None = None
    """On-policy: weight of the value loss."""
    max_grad_norm: float | None = None
    """Gradients are scaled down to this norm."""
    buffer_size: int | None = None
    """Off-policy: transitions kept for replay."""
    learning_starts: int | None = None
    """Off-policy: steps before the first update."""
    train_freq: int | None = None
    """Off-policy: steps of each copy between updates."""
    gradient_steps: int | None = None
    """Off-policy: gradient steps at each update; −1 for as many as steps taken."""
    tau: float | None = None
    """Off-policy: how far the target network moves at each update."""
    target_update_interval: int | None = None
    """DQN: steps between updates of the target network."""
    exploration_fraction: float | None = None
    """DQN: part of the training over which exploration falls."""
    exploration_final_eps: float | None = None
    """DQN: probability of a random action afterwards."""
    greedy: bool = True
    """How it acts outside `learn`: True takes the best action, False draws from the policy (DQN: with its ε)."""
    threads: int = 1
    """CPU threads torch uses while learning; more than one only pays for large networks."""
    steps_per_report: int = 2048
    """Off-policy: environment steps between two reports of `learn`."""
    save_replay: bool = True
    """Whether a checkpoint holds the replay buffer; without it, resuming is not exact."""
    load: str = ""
    """A .zip of Stable-Baselines3 to begin from. It is unpickled, which runs code: needs `trust`."""
    trust: bool = False
    """Whether to run the code in `load`."""

    def __post_init__(self) -> None:
        for name in (
            "n_envs", "lstm_hidden_size", "n_steps", "n_epochs", "batch_size", "buffer_size", "threads",
            "steps_per_report",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} = {value!r}", expected="an integer of at least 1")


# what concerns our side; everything else is handed to the algorithm's constructor
_OURS = frozenset(
    {
        "policy",
        "n_envs",
        "schedule",
        "anneal_clip",
        "net_arch",
        "lstm_hidden_size",
        "greedy",
        "threads",
        "steps_per_report",
        "save_replay",
        "load",
        "trust",
    }
)
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
        algorithm: its name, as in `plugins.SB3_ALGORITHMS`.

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
        # acting outside `learn` has chance of its own, so that evaluating in between changes nothing
        self._acting = np.random.default_rng([seed, 1])
        self._drawing = _seeded_globals(seed * 2 + 1)
        _require_masks_where_needed(task, algorithm)
        with _isolated_globals(None):
            self.model, self._env = self._make(task)
            self._chance = _global_state()
        self._began = False
        if self.settings.load:
            _adopt(self, load_zip(self.settings.load, algorithm, self.settings.trust, str(self._device)), task)

    def _make(self, task: Task) -> tuple[Any, Any]:
        s, cls = self.settings, algorithm_class(self.algorithm)
        on_policy = not issubclass(cls, OffPolicyAlgorithm)
        n_envs = s.n_envs or (8 if on_policy else 1)
        env = (
            LawVecEnv(task, n_envs, self.seed)
            if task.world is not None
            else make_vec_env(task.env, n_envs, self.seed, vec_env_cls=SeededVecEnv)
        )
        policy = s.policy or _usual_policy(self.algorithm, task)
        arguments = _arguments(s, cls, self.name)
        try:
            model = cls(policy, env, seed=self.seed, device=self._device, **arguments)
        except (AssertionError, ValueError, KeyError) as error:
            raise UsageError(
                f"{self.name} refuses {task.name}: {str(error) or type(error).__name__}",
                expected=f"spaces and settings it takes; here: {task.observation_space} → {task.action_space}",
                hint="sb3:ppo takes every kind of action; sb3:dqn finite ones; sb3:sac and sb3:td3 continuous ones",
            ) from error
        model.set_logger(Logger(folder=None, output_formats=[]))
        return model, env

    # ------------------------------------------------------------------------------------------- acting

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        space = self.model.action_space
        if isinstance(space, gymnasium.spaces.Discrete):
            return sample_actions(self.action_log_probs(observation, action_mask), self._acting) + int(space.start)
        return self._predict(observation, None)[0]

    def _predict(self, observation: Array, state: Any) -> tuple[Array, Any]:
        """Returns actions as theirs choose them, and the state of a recurrent policy (None of any other)."""
        starts = np.zeros(len(observation), np.bool_)
        with _isolated_globals(self._drawing):
            actions, state = self.model.predict(
                observation, state=state, episode_start=starts, deterministic=self.settings.greedy
            )
            self._drawing = _global_state()
        return np.asarray(actions), state

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities of the actions as it acts.

        With `greedy`, 0 for the best action. Otherwise those of the policy's distribution; of DQN and QR-DQN: ε spread
        evenly over the legal actions, the rest on the best. Illegal actions get −inf, and the others what is left.

        Raises:
            UsageError: the actions are not `Discrete`.
        """
        if not isinstance(self.model.action_space, gymnasium.spaces.Discrete):
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
            tensor, _ = policy.obs_to_tensor(np.asarray(observation))
            if hasattr(policy, "get_distribution"):
                logits = policy.get_distribution(tensor).distribution.logits
                return logits.cpu().numpy().astype(np.float64), None
            if hasattr(policy, "q_net"):
                return policy.q_net(tensor).cpu().numpy().astype(np.float64), float(self.model.exploration_rate)
            if hasattr(policy, "quantile_net"):
                values = policy.quantile_net(tensor).mean(dim=1)
                return values.cpu().numpy().astype(np.float64), float(self.model.exploration_rate)
            # a deterministic policy (ARS): all on the action it takes
            chosen, _ = policy.predict(np.asarray(observation), deterministic=True)
        return np.log(np.eye(int(self.model.action_space.n))[chosen] + 1e-300), None

    # ------------------------------------------------------------------------------------------- learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until at least `steps` environment steps in total; yields after each rollout and its update.

        Off-policy algorithms are reported every `steps_per_report` steps.
        """
        model, threads = self.model, torch.get_num_threads()
        if model.num_timesteps >= steps:
            return
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
            options = {"use_masking": isinstance(self._env, LawVecEnv)} if self.algorithm == MASKED else {}
            model.collect_rollouts(model.env, callback, model.rollout_buffer, n_rollout_steps=model.n_steps, **options)
            model._update_current_progress_remaining(model.num_timesteps, total)
            model.train()
        elif isinstance(model, OffPolicyAlgorithm):
            until = min(total, model.num_timesteps + self.settings.steps_per_report)
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
        ended = list(model.ep_info_buffer)
        if ended:
            metrics["episode_return"] = float(np.mean([episode["r"] for episode in ended]))
            metrics["episode_length"] = float(np.mean([episode["l"] for episode in ended]))
        return {"steps": float(model.num_timesteps), **metrics}

    @contextmanager
    def _isolated(self) -> Iterator[None]:
        """Runs with the agent's own global random state: Stable-Baselines3 draws from the process-wide generators."""
        with _isolated_globals(self._chance):
            yield
            self._chance = _global_state()

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        model = self.model
        _, variables = model._get_torch_save_params()
        state: State = {
            "parameters": to_arrays(model.get_parameters()),
            "variables": {name: to_arrays(_attribute(model, name)) for name in variables},
            "counters": {name: getattr(model, name) for name in _COUNTERS if hasattr(model, name)},
            "chance": self._chance,
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
            state["replay"] = _replay_state(model.replay_buffer)
        return state

    def load_state_dict(self, state: State) -> None:
        model = self.model
        _load_parameters(model, state["parameters"], self.name)
        for name, value in state["variables"].items():
            _attribute(model, name).data.copy_(torch.as_tensor(value))
        for name, value in state["counters"].items():
            setattr(model, name, value)
        self._chance, self._began = state["chance"], bool(state["began"])
        restore_rng(self._acting, state["acting"])
        self._drawing = state["drawing"]
        restore_rng(model.action_space.np_random, state["space"])
        model._last_obs = None  # so that an environment that cannot be restored begins a new episode
        model._last_episode_starts = np.ones(model.n_envs, np.bool_)
        model.ep_info_buffer = None
        if state["env"] is not None and isinstance(self._env, LawVecEnv):
            self._env.reset()
            self._env.load_state_dict(state["env"])
            model._last_obs, model._last_episode_starts = state["last_obs"], np.array(state["last_starts"])
        if state["replay"] is not None:
            _load_replay(model.replay_buffer, state["replay"])


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
        count = len(observation)
        return self.act_with_memory(observation, self.initial_memory(count), np.zeros(count))[0]

    def _scores(self, observation: Array) -> tuple[Array, float | None]:
        """Returns `[B, A]` log-probabilities at the first step of an episode."""
        policy, count = self.model.policy, len(observation)
        policy.set_training_mode(False)
        with torch.no_grad():
            tensor, _ = policy.obs_to_tensor(np.asarray(observation))
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


# ---------------------------------------------------------------------------------------------- the other way round


class SB3Policy:
    """An agent of ours where Stable-Baselines3 wants something with `predict`: see `as_sb3_policy`."""

    def __init__(self, agent: Agent, task: Task) -> None:
        self.agent, self.observation_space, self.action_space = agent, task.observation_space, task.action_space
        self._remembering = agent if can_remember(agent) else None
        scores = can_score(agent) and isinstance(task.action_space, gymnasium.spaces.Discrete)
        self._scores = scores and self._remembering is None
        self._memory: Array | None = None

    def predict(
        self,
        observation: Array,
        state: Any = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
        action_masks: Array | None = None,
    ) -> tuple[Array, Any]:
        """Returns the actions `[B, ...]` for a batch of observations, or one action for one; and what is remembered.

        Args:
            observation: `[B, ...]` as a `VecEnv` has them, or `[...]`.
            state: what the last call returned; None at first.
            episode_start: `[B]` bool, True where an episode begins; None: only where there is no `state`.
            deterministic: take the most probable action, where actions are `Discrete` and the agent has
                `action_log_probs` and no memory; any other acts as its settings say.
            action_masks: `[B, A]` bool, True where legal, as the `evaluate_policy` of sb3-contrib asks for them.
        """
        rows, masks = np.asarray(observation), action_masks
        alone = rows.ndim == len(self.observation_space.shape or ())
        if alone:
            rows, masks = rows[None], None if masks is None else masks.reshape(1, -1)
        if self._remembering is not None:
            memory = self._remembered(self._remembering, len(rows), state, episode_start)
            actions, self._memory = self._remembering.act_with_memory(rows, memory, np.zeros(len(rows)), masks)
            state = self._memory
        elif deterministic and self._scores:
            log_probs = self.agent.action_log_probs(rows, masks)  # type: ignore[attr-defined]
            actions = log_probs.argmax(axis=1) + int(self.action_space.start)  # type: ignore[attr-defined]
        else:
            actions = self.agent.act(rows, masks)
        return (actions[0] if alone else actions), state

    def _remembered(self, agent: RememberingAgent, count: int, state: Any, episode_start: Array | None) -> Array:
        fresh = agent.initial_memory(count)
        if state is None and episode_start is not None:
            state = self._memory  # sb3-contrib's masked evaluation (2.9) does not hand on what it was given
        if state is None or len(state) != count:
            return fresh
        if episode_start is None:
            return np.asarray(state)
        begins = np.asarray(episode_start, np.bool_).reshape(count, *[1] * (fresh.ndim - 1))
        return np.where(begins, fresh, state)


def as_sb3_policy(agent: Any, task: Task) -> SB3Policy:
    """Returns an agent as the `evaluate_policy` of Stable-Baselines3 takes one.

        evaluate_policy(as_sb3_policy(agent, task), env, n_eval_episodes=100)

    Where actions are illegal at times, take the one of `sb3_contrib.common.maskable.evaluation`, which asks the
    environment for masks (`LawVecEnv` has them). Agents that remember do so; of rewards, which a policy of
    Stable-Baselines3 is not told, they see 0.

    Args:
        agent: an `Agent`, or any object with `act`.
        task: what it acts in.

    Raises:
        UsageError: `agent` has no `act`, or the task has several players.
    """
    if task.world is not None and task.world.players > 1:
        raise UsageError(
            f"{task.name} has {task.world.players} players, and Stable-Baselines3 knows one",
            expected="a task of one player",
            hint="inscape.agents.rollout.evaluate_players",
        )
    return SB3Policy(as_agent(agent), task)


# ---------------------------------------------------------------------------------------------- making


def algorithm_class(algorithm: str) -> Any:
    """Returns the class of an algorithm by name.

    Raises:
        UsageError: unknown; the message lists those there are.
    """
    find_entry(f"sb3:{algorithm}")
    module, _, name = SB3_ALGORITHMS[algorithm][0].partition(":")
    return getattr(importlib.import_module(module), name)


def _arguments(settings: SB3Settings, cls: Any, name: str) -> dict[str, Any]:
    """Returns the constructor's arguments for what is set."""
    given = {
        field.name: getattr(settings, field.name)
        for field in dataclasses.fields(settings)
        if field.name not in _OURS and getattr(settings, field.name) is not None
    }
    accepted = inspect.signature(cls).parameters
    for setting in given:
        if setting not in accepted:
            mine = {field.name for field in dataclasses.fields(settings)} - _OURS
            raise UsageError(f"{name} has no setting {setting!r}", expected=", ".join(n for n in accepted if n in mine))
    if settings.schedule == "linear":
        rate = given.get("learning_rate", accepted["learning_rate"].default)
        given["learning_rate"] = _linear(rate)
    if settings.anneal_clip and "clip_range" in accepted:
        given["clip_range"] = _linear(given.get("clip_range", accepted["clip_range"].default))
    network: dict[str, Any] = {} if settings.net_arch is None else {"net_arch": list(settings.net_arch)}
    if settings.lstm_hidden_size is not None:
        if not name.endswith(RECURRENT):
            raise UsageError(f"{name} has no setting 'lstm_hidden_size'", expected=f"sb3:{RECURRENT}")
        network["lstm_hidden_size"] = settings.lstm_hidden_size
    return {**given, "policy_kwargs": network} if network else given


def _linear(initial: float) -> Any:
    # the last rollout may overshoot the total: without the bound the rate would turn negative
    return lambda remaining: max(0.0, remaining) * initial


def _usual_policy(algorithm: str, task: Task) -> str:
    if algorithm == "ars":
        return "LinearPolicy"
    kind = "MultiInput" if isinstance(task.observation_space, gymnasium.spaces.Dict) else "Mlp"
    return f"{kind}LstmPolicy" if algorithm == RECURRENT else f"{kind}Policy"


def _require_masks_where_needed(task: Task, algorithm: str) -> None:
    if algorithm != MASKED and task.world is not None and task.world.law_function("legal") is not None:
        raise UsageError(
            f"sb3:{algorithm} cannot be told which actions are legal, and {task.name} restricts them",
            expected="an algorithm that takes action masks",
            hint=f"sb3:{MASKED} or ppo",
        )


def _soften(greedy: Array, epsilon: float, action_mask: Array | None) -> Array:
    legal = np.ones(greedy.shape, np.bool_) if action_mask is None else action_mask
    with np.errstate(divide="ignore"):
        return np.asarray(np.log((1 - epsilon) * np.exp(greedy) + epsilon * legal / legal.sum(axis=1, keepdims=True)))


# ---------------------------------------------------------------------------------------------- zips


def load_zip(path: str | Path, algorithm: str, trust: bool, device: str = "cpu") -> Any:
    """Returns the Stable-Baselines3 model saved in a .zip. Such a file is unpickled, so it can run any code.

    Raises:
        UsageError: `trust` is False; no such file; it is not a model of this algorithm.
    """
    if not trust:
        raise UsageError(
            f"{path} is a Stable-Baselines3 zip: loading it unpickles, and so runs, what is in it",
            expected="a file whose maker you trust, and a word to that effect",
            hint="--trust",
        )
    if not Path(path).is_file():
        raise UsageError(f"no file {path}", expected="a .zip written by Stable-Baselines3")
    try:
        return algorithm_class(algorithm).load(path, device=device)
    except Exception as error:  # whatever a foreign archive raises, the file is what is wrong
        raise UsageError(
            f"{path} could not be loaded as a model of {algorithm}: {type(error).__name__}: {error}",
            expected=f"a .zip written by {SB3_ALGORITHMS[algorithm][0]}.save",
            hint="the algorithm it was trained with: sb3:<algorithm>",
        ) from error


def _adopt(agent: SB3Agent, model: Any, task: Task) -> None:
    """Lets the agent go on with a loaded model."""
    for what in ("observation_space", "action_space"):
        if getattr(model, what) != getattr(task, what):
            raise UsageError(
                f"the zip's {what} is {getattr(model, what)}",
                expected=f"that of {task.name}: {getattr(task, what)}",
            )
    if model.n_envs != agent._env.num_envs and isinstance(model, OnPolicyAlgorithm):
        # the rollout buffer's shape is fixed when a model is made: take the weights instead of the model
        _load_parameters(agent.model, to_arrays(model.get_parameters()), agent.name)
        return
    model.set_env(agent._env)
    model.set_logger(Logger(folder=None, output_formats=[]))
    agent.model = model


# ---------------------------------------------------------------------------------------------- state as arrays


def _load_parameters(model: Any, arrays: dict[str, Any], name: str) -> None:
    parameters = {key: _with_int_keys(to_tensors(entry)) for key, entry in arrays.items()}
    try:
        model.set_parameters(parameters, exact_match=True, device=model.device)
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"stored weights do not fit {name}: {error}",
            expected="weights of the same algorithm with the same settings in the same task",
        ) from error


def _with_int_keys(entry: dict[str, Any]) -> dict[str, Any]:
    """Returns an optimiser's state with the numbers it uses as keys; anything else unchanged."""
    if "param_groups" not in entry:
        return entry
    return {**entry, "state": {int(number): moments for number, moments in entry["state"].items()}}


def _attribute(model: Any, dotted: str) -> Any:
    for name in dotted.split("."):
        model = getattr(model, name)
    return model


def _replay_arrays(buffer: Any) -> dict[str, Array]:
    return {name: value for name, value in vars(buffer).items() if isinstance(value, np.ndarray)}


def _replay_state(buffer: Any) -> State:
    filled = buffer.buffer_size if buffer.full else buffer.pos
    arrays = {name: array[:filled].copy() for name, array in _replay_arrays(buffer).items()}
    return {"pos": int(buffer.pos), "full": bool(buffer.full), "arrays": arrays}


def _load_replay(buffer: Any, state: State) -> None:
    for name, array in _replay_arrays(buffer).items():
        stored = state["arrays"][name]
        if stored.shape[1:] != array.shape[1:] or len(stored) > len(array):
            raise UsageError(f"a replay buffer of shape {stored.shape} ({name})", expected=f"at most {array.shape}")
        array[: len(stored)] = stored
    buffer.pos, buffer.full = int(state["pos"]), bool(state["full"])


# ---------------------------------------------------------------------------------------------- process-wide chance


def _global_state() -> State:
    name, keys, position, has_gauss, cached = np.random.get_state()
    version, words, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state().numpy().copy(),
        "numpy": {"name": str(name), "keys": np.array(keys), "rest": [int(position), int(has_gauss), float(cached)]},
        "python": {"version": version, "words": np.array(words, np.uint64), "gauss": gauss},
    }


def _set_global_state(state: State) -> None:
    torch.set_rng_state(torch.from_numpy(np.array(state["torch"])))
    numpy_state = state["numpy"]
    np.random.set_state((numpy_state["name"], np.array(numpy_state["keys"]), *numpy_state["rest"]))
    python = state["python"]
    random.setstate((python["version"], tuple(int(word) for word in python["words"]), python["gauss"]))


def _seeded_globals(seed: int) -> State:
    """Returns the process-wide random state that a seed gives, and leaves the present one alone."""
    with _isolated_globals(None):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        return _global_state()


@contextmanager
def _isolated_globals(state: State | None) -> Iterator[None]:
    """Runs with the given process-wide random state (None: as it is) and puts back what there was."""
    before = _global_state()
    if state is not None:
        _set_global_state(state)
    try:
        yield
    finally:
        _set_global_state(before)
