"""A recurrent latent state that foresees observations, rewards and endings, learned by the evidence lower bound.

Its code length is a bound: `log_prob` is at most the model's log-probability, `bits` at least its code length; equal
without stochastic variables. The first observation of an episode is given, as for every model.

Sources: Hafner et al. (2019), ICML; (2023), arXiv:2301.04104; Chung et al. (2015), NeurIPS; the bound by particles:
Maddison et al. (2017), "Filtering variational objectives", NeurIPS, equation 4.
"""

from __future__ import annotations

import copy
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from inscape.errors import UsageError, whole_number
from inscape.rng import restore_rng, rng_state
from inscape.world_models.episodes import check_episodes
from inscape.world_models.interface import Batch, FitReport, ModelStep, as_numpy
from inscape.world_models.learned.latent.network import LatentNetwork
from inscape.world_models.learned.latent.sequences import SequenceMemory
from inscape.world_models.learned.latent.settings import LatentSettings
from inscape.world_models.learned.latent.training import Training, stored
from inscape.world_models.networks.device import resolve_device
from inscape.world_models.networks.tensors import (
    learning_threads,
    load_module,
    load_optimizer,
    optimizer_arrays,
    to_arrays,
)

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.tasks.task import Task

HELD_OUT_STEPS = 5_000
"""Held-out steps that a report is made of at most, while learning."""


class LatentModel:
    """A recurrent latent state learned by the evidence lower bound: from numbers, pictures, sentences, or all of them.

        model = LatentModel.for_task("CartPole", LatentSettings(updates=500))
        fit_model(model, trajectories)
        model.log_prob(trajectory)           # nats: a lower bound on the log-probability (exact with stochastic=0)
        model.step(states, actions, rng)     # imagined: what planners ask for
        model.complete(observations, given=["'text'"])   # a picture foreseen from its caption

    Args:
        observation_space: Discrete, MultiDiscrete, MultiBinary, Box, Text, or a Dict or Tuple of them.
        action_space: Discrete, MultiDiscrete, MultiBinary or Box.
        settings: see `LatentSettings`.
        seed: of the first weights, the order of training, and the particles of `log_prob`.
        device: `"auto"`, `"cpu"` or `"cuda"`.

    Attributes:
        filters: True: one observation in mid-episode does not make a state.
        network: see `LatentNetwork`.

    Model states are `[B, F]` float32 arrays.

    Raises:
        UsageError: spaces it cannot take, or settings out of range.
    """

    filters = True
    num_players = 1

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        settings: LatentSettings | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.settings = settings or LatentSettings()
        self.action_space, self.observation_space = action_space, observation_space
        self.seed, self.device = whole_number("seed", seed), resolve_device(device)
        generator = torch.Generator().manual_seed(self.seed)
        network = LatentNetwork(observation_space, action_space, self.settings, generator)
        self.network = network.to(self.device)
        self.learned, self.scaled = 0, False
        self._progress: dict[str, Any] | None = None

    @classmethod
    def for_task(
        cls, task: Any, settings: LatentSettings | None = None, seed: int = 0, device: str = "cpu"
    ) -> LatentModel:
        """Returns a model of a task, a world, or what stands for one.

        Raises:
            UsageError: its observations or actions cannot be taken; several players.
        """
        from inscape.envs.tasks.resolve import as_task

        given: Task = as_task(task)
        if given.players != 1:
            raise UsageError(f"{given.name} has {given.players} players", expected="a world of one player")
        return cls(given.observation_space, given.action_space, settings, seed, device)

    @property
    def exact_code_length(self) -> bool:
        """Whether `log_prob` is the model's log-probability, rather than a lower bound on it."""
        return self.settings.stochastic == 0

    # ---------------------------------------------------------------------------------------------------- learning

    def learn(self, trajectories: Iterable[Trajectory]) -> Iterator[FitReport]:
        """Learns from episodes, on top of what was learned, and reports every `report_every` gradient steps.

        A state stored at a report goes on bit for bit when it is given the same episodes again.

        Raises:
            UsageError: no episode with a step; numbers that are not finite, or not in the space (episode named).
            DivergenceError: a gradient is not finite.
        """
        episodes = list(trajectories)
        check_episodes(episodes, "the latent model")
        episodes = [episode for episode in episodes if len(episode)]
        s, progress = self.settings, self._progress
        order = np.random.default_rng((self.seed, self.learned, 0)).permutation(len(episodes))
        rng = np.random.default_rng((self.seed, self.learned, 1))
        aside = int(s.held_out * len(episodes))
        held_out, kept = [episodes[k] for k in order[:aside]], [episodes[k] for k in order[aside:]]
        memory = self._memory(kept)
        training = Training(self.network, s)
        averaged = copy.deepcopy(self.network) if s.average else None
        done = 0
        if progress is not None:
            done = int(progress["update"])
            load_optimizer(training.optimizer, progress["optimizer"])
            restore_rng(rng, progress["rng"])
            if averaged is not None:
                load_module(averaged, progress["averaged"])
        steps = sum(len(episode) for episode in kept)
        for update in range(done + 1, s.updates + 1):
            with learning_threads(1):
                parts, _, _ = training.step(
                    memory.draw(s.batch_size, s.length, rng), rng, self._share(update), update
                )  # fmt: skip
                if averaged is not None:
                    _follow(averaged, self.network, min(s.average, update / (update + 10)))
            last = update == s.updates
            if last and averaged is not None:
                self.network.load_state_dict(averaged.state_dict())
            if update % s.report_every == 0 or last:
                self._progress = None if last else {
                    "update": update, "optimizer": optimizer_arrays(training.optimizer), "rng": rng_state(rng),
                    "averaged": None if averaged is None else to_arrays(averaged.state_dict()),
                }  # fmt: skip
                self.learned += last
                bits = self._bits(held_out)
                yield FitReport(steps, bits, metrics={"updates": float(update), **parts})

    def _share(self, update: int) -> float:
        """Returns the share of the learning rate: rising over the first twentieth; then constant, or falling to 0."""
        total = self.settings.updates
        warm = max(1, total // 20)
        if update < warm:
            return update / warm
        if self.settings.schedule == "constant":
            return 1.0
        return 0.5 + 0.5 * math.cos(math.pi * (update - warm) / max(1, total - warm + 1))

    def _memory(self, episodes: Sequence[Trajectory]) -> SequenceMemory:
        network = self.network
        rows = []
        for number, episode in enumerate(episodes):
            try:
                rows.append(network.parts.rows(episode.observations))
            except UsageError as error:
                raise UsageError(f"episode {number}: {error.found}", expected=error.expected) from error
        if not self.scaled:
            network.parts.fit(np.concatenate(rows))
            self.scaled = True
        made = SequenceMemory(sum(map(len, rows)), rows[0].shape[1], network.action_rows, rows[0].dtype)
        for row, episode in zip(rows, episodes, strict=True):
            made.add(row, episode.actions, episode.rewards, episode.terminated)
        return made

    def _bits(self, episodes: Sequence[Trajectory]) -> float:
        """Returns bits a step of the first of these episodes, at least; NaN without one."""
        nats, steps = 0.0, 0
        for episode in episodes:
            if steps >= HELD_OUT_STEPS:
                break
            nats -= self.log_prob(episode)
            steps += len(episode)
        return nats / steps / math.log(2) if steps else math.nan

    # ----------------------------------------------------------------------------------------------------- scoring

    def log_prob(self, trajectory: Trajectory) -> float:
        """Returns a lower bound on Σ log P(next observation, ended | all before, actions), in nats.

        Without stochastic variables it is that sum; else an estimate of the bound by `samples` particles, with random
        numbers that are the same whenever the episode is scored. Of continuous observations it is a log-density.
        """
        return float(self.step_log_probs(trajectory).sum())

    @torch.no_grad()
    def step_log_probs(self, trajectory: Trajectory) -> np.ndarray:
        """Returns `[T]` what each step adds to `log_prob`, in nats."""
        if not len(trajectory):
            return np.zeros(0)
        network = self.network
        observed, actions = self._read(trajectory)
        ended = torch.zeros(len(trajectory) + 1, 1, device=self.device)
        ended[-1] = float(trajectory.terminated)
        jacobian = torch.stack([
            part.jacobian(values) for part, values in zip(network.parts.each, observed, strict=True)  # type: ignore[operator]
        ]).sum(0)[1:, 0]  # fmt: skip
        # other numbers for each episode: were they the same, their luck would not average out over episodes
        own = zlib.crc32(np.ascontiguousarray(trajectory.observations).tobytes())
        rng = np.random.default_rng((self.seed, 2, own))
        if network.z_width and self.settings.samples > 1:
            return stored(self._particles(observed, actions, ended, rng).double() + jacobian)
        noise = network.noise(rng, len(actions), 1) if network.z_width else None
        run = network.run(network.embed(observed), actions, network.before(1), noise)
        z = None if run.z is None else run.z[1:]
        found = network.observed_log_prob(run.foreseen[1:], z, [one[1:] for one in observed])
        found = found.double() + network.ending_log_prob(run.features[1:], ended[1:])
        if run.posterior is not None and run.prior is not None:
            found = found - network.divergence(run.posterior[1:], run.prior[1:])
        return stored(found[:, 0] + jacobian)

    def _particles(self, observed: list[Tensor], actions: Tensor, ended: Tensor, rng: np.random.Generator) -> Tensor:
        """Returns `[T]` log of the mean weight of particles, which are drawn anew by their weights after each step."""
        network, count = self.network, self.settings.samples
        embedded = network.embed(observed).expand(-1, count, -1)
        acted = actions.expand(-1, count, -1)
        start = network.before(count)
        foreseen = network.first_ahead(start)
        z = network.drawn(network.posterior(torch.cat([foreseen, embedded[0]], -1)), network.noise(rng, count))
        features = network.arrived(start, foreseen, z, embedded[0], torch.zeros_like(acted[0]))
        found = []
        for t in range(1, len(actions)):
            foreseen = network.ahead(features, acted[t])
            p, q = network.prior(foreseen), network.posterior(torch.cat([foreseen, embedded[t]], -1))
            z = network.drawn(q, network.noise(rng, count))
            features = network.arrived(features, foreseen, z, embedded[t], acted[t])
            weight = network.observed_log_prob(foreseen, z, [one[t].expand(count, -1) for one in observed])
            weight = weight + network.density(p, z) - network.density(q, z)
            weight = weight + network.ending_log_prob(features, ended[t].expand(count))
            found.append(weight.logsumexp(0) - math.log(count))
            share = weight.double().softmax(0).cumsum(0)
            at = (torch.arange(count, device=self.device) + rng.random()) / count
            features = features[torch.searchsorted(share, at).clamp(max=count - 1)]
        return torch.stack(found)

    def _read(self, trajectory: Trajectory) -> tuple[list[Tensor], Tensor]:
        """Returns an episode as parts `[T + 1, 1, size]`, and `[T + 1, 1, A]` actions, each before its observation."""
        network = self.network
        rows = network.parts.rows(trajectory.observations)[:, None]
        taken = np.reshape(np.asarray(trajectory.actions), (len(trajectory), 1, network.action_rows))
        low = np.broadcast_to(network.action_low, (1, 1, network.action_rows)).astype(taken.dtype)
        actions = network.action_features(np.concatenate([low, taken]))
        return network.parts.tensors(rows, self.device), actions

    @torch.no_grad()
    def activations(self, trajectory: Trajectory) -> np.ndarray:
        """Returns `[T + 1, F]` the states after the first observation and after each step: for probes."""
        observed, actions = self._read(trajectory)
        run = self.network.run(self.network.embed(observed), actions, self.network.before(1), None)
        return stored(run.features[:, 0])

    # -------------------------------------------------------------------------------------------------- simulating

    @torch.no_grad()
    def init(self, observations: Batch) -> np.ndarray:
        """Returns the states after the first `[B, ...]` observations of episodes."""
        network = self.network
        rows = network.parts.rows(_array(observations))
        embedded = network.embed(network.parts.tensors(rows, self.device))
        held = network.before(len(rows))
        zero = torch.zeros(len(rows), network.actions, device=self.device)
        return self._taken_in(held, network.first_ahead(held), embedded, zero)

    @torch.no_grad()
    def update(self, states: Any, actions: Batch, observations: Batch) -> np.ndarray:
        """Returns the states after `actions` in `states` and `[B, ...]` observations; of the posterior, the mean."""
        network = self.network
        rows = network.parts.rows(_array(observations))
        embedded = network.embed(network.parts.tensors(rows, self.device))
        held, acted = self._given(states, actions)
        return self._taken_in(held, network.ahead(held, acted), embedded, acted)

    def _given(self, states: Any, actions: Batch) -> tuple[Tensor, Tensor]:
        held = torch.as_tensor(np.asarray(states, np.float32), device=self.device)
        taken = np.reshape(as_numpy(actions), (len(held), self.network.action_rows))
        return held, self.network.action_features(taken)

    def _taken_in(self, held: Tensor, foreseen: Tensor, embedded: Tensor, acted: Tensor) -> np.ndarray:
        network = self.network
        z = None
        if network.z_width:
            z = network.drawn(network.posterior(torch.cat([foreseen, embedded], -1)), None)
        return stored(network.arrived(held, foreseen, z, embedded, acted))

    @torch.no_grad()
    def step(self, states: Any, actions: Batch, rng: np.random.Generator) -> ModelStep:
        """Returns a sampled successor for each of B states; reward and continuation as expected there."""
        features = self.imagined(*self._given(states, actions), rng)
        reward = stored(self.network.reward_mean(features)).astype(np.float64)
        return ModelStep(stored(features), reward, stored(self.network.continuation(features)).astype(np.float64))

    def imagined(self, features: Tensor, actions: Tensor, rng: np.random.Generator) -> Tensor:
        """Returns `[B, F]` states drawn after `[B, A]` encoded actions in `[B, F]` states."""
        network = self.network
        foreseen = network.ahead(features, actions)
        z = network.drawn(network.prior(foreseen), network.noise(rng, len(features))) if network.z_width else None
        embedded = None
        if network.feedback:
            raws = network.decoded(foreseen, z)
            seen = [part.sample(raw, rng) for part, raw in zip(network.parts.each, raws, strict=True)]  # type: ignore[operator]
            embedded = network.embed(seen)
        return network.arrived(features, foreseen, z, embedded, actions)

    # -------------------------------------------------------------------------------------------------- predicting

    @torch.no_grad()
    def predict(self, states: Any, actions: Batch) -> dict[str, np.ndarray]:
        """Returns `[B, size]` of each part of the next observation: likeliest values, or means; z at its own."""
        foreseen = self.network.ahead(*self._given(states, actions))
        z = self.network.drawn(self.network.prior(foreseen), None) if self.network.z_width else None
        return self._shown(foreseen, z)

    @torch.no_grad()
    def complete(
        self, observations: Batch, given: Sequence[str], states: Any = None, actions: Batch | None = None
    ) -> dict[str, np.ndarray]:
        """Returns `[B, size]` of each part of observations, foreseen from some of their parts.

        Args:
            observations: `[B, ...]`; what is not among `given` is not looked at.
            given: names of parts (`network.parts.names`).
            states, actions: before them; None at the beginning of episodes.

        Raises:
            UsageError: no such part, or nothing stochastic that would carry one part to another.
        """
        network, names = self.network, self.network.parts.names
        if unknown := [name for name in given if name not in names]:
            raise UsageError(f"no part {unknown[0]!r} of an observation", expected=", ".join(map(repr, names)))
        if not network.z_width:
            raise UsageError("stochastic = 0: the parts of an observation are drawn apart", expected="stochastic > 0")
        rows = network.parts.rows(_array(observations))
        shown = torch.tensor([float(name in given) for name in names], device=self.device).expand(len(rows), -1)
        embedded = network.embed(network.parts.tensors(rows, self.device), shown if len(names) > 1 else None)
        if states is None:
            foreseen = network.first_ahead(network.before(len(rows)))
        else:
            foreseen = network.ahead(*self._given(states, actions))
        return self._shown(foreseen, network.drawn(network.posterior(torch.cat([foreseen, embedded], -1)), None))

    def _shown(self, foreseen: Tensor, z: Tensor | None) -> dict[str, np.ndarray]:
        raws, parts = self.network.decoded(foreseen, z), self.network.parts
        return {
            name: stored(part.mean(raw))  # type: ignore[operator]
            for name, part, raw in zip(parts.names, parts.each, raws, strict=True)
        }

    # ----------------------------------------------------------------------------------------------------- storing

    def state_dict(self) -> dict[str, Any]:
        """Returns weights, how often it learned, and, in the middle of that, all that it goes on from."""
        return {
            "weights": to_arrays(self.network.state_dict()), "learned": self.learned, "scaled": self.scaled,
            "progress": self._progress,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replaces everything learned.

        Raises:
            UsageError: the state of a model of another shape, the field named.
        """
        own, given = self.network.state_dict(), state.get("weights", {})
        for name, value in own.items():
            if name not in given or np.shape(given[name]) != tuple(value.shape):
                found = np.shape(given[name]) if name in given else "nothing"
                raise UsageError(f"weights {name}: {found}", expected=str(tuple(value.shape)))
        load_module(self.network, given)
        self.learned, self.scaled = int(state["learned"]), bool(state["scaled"])
        self._progress = state["progress"]


def _array(observations: Batch) -> Any:
    """Returns a batch of observations: tensors as arrays, batches of several parts as they are."""
    return observations if isinstance(observations, (dict, tuple, list)) else as_numpy(observations)


def _follow(averaged: LatentNetwork, network: LatentNetwork, decay: float) -> None:
    with torch.no_grad():
        for mean, now in zip(averaged.parameters(), network.parameters(), strict=True):
            mean.lerp_(now, 1 - decay)
        for kept, buffer in zip(averaged.buffers(), network.buffers(), strict=True):
            kept.copy_(buffer)
