"""The agent that learns a latent model of its world, and to act by what it imagines in it.

Worlds may hide their state: it acts on the model's state, which holds what was seen. Illegal actions are never taken;
imagined ones are not known to be illegal.

Source: Hafner et al. (2020), "Dream to control", ICLR; (2023), "Mastering diverse domains through world models",
arXiv:2301.04104.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from inscape.agents.acting import greedy_log_probs
from inscape.agents.batches import count_of
from inscape.agents.imagination.actor_critic import ActorCritic, Imagination, encoded
from inscape.agents.imagination.settings import DreamerSettings
from inscape.agents.interface import Agent, Metrics, learning_task
from inscape.agents.learning.env_runner import EnvRunner
from inscape.errors import UsageError
from inscape.rng import restore_rng, rng_state
from inscape.world_models.learned.latent.model import LatentModel
from inscape.world_models.learned.latent.sequences import SequenceMemory
from inscape.world_models.learned.latent.training import Training
from inscape.world_models.networks.distributions import CategoricalActions
from inscape.world_models.networks.tensors import (
    learning_threads,
    load_module,
    load_optimizer,
    optimizer_arrays,
    step_if_finite,
    to_arrays,
)
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

logger = logging.getLogger(__name__)
PIECE = 64
"""Steps of an episode under way that are remembered at once."""


class Dreamer(Agent):
    """Learns a model by the evidence lower bound, and an actor and a critic from what it imagines.

    Args:
        task: any observations, any actions; one player.
        seed: of weights, episodes and random numbers.
        device: `"auto"`, `"cpu"` or `"cuda"`.
        settings: see `DreamerSettings`.

    Attributes:
        model: the `LatentModel`: it can be searched, scored and imagined in as any other.
        steps: environment steps so far.

    Raises:
        UsageError: spaces it cannot take; a setting out of range.
    """

    name = "dreamer"
    Settings = DreamerSettings

    def __init__(
        self, task: Task, seed: int = 0, device: str = "cpu", settings: DreamerSettings | None = None
    ) -> None:  # fmt: skip
        self.settings, self.seed, self.steps, self.updates = settings or DreamerSettings(), seed, 0, 0
        s = self.settings
        self.model = LatentModel(task.observation_space, task.action_space, s.model(), seed, device)
        network = self.model.network
        generator = torch.Generator().manual_seed(seed + 1)
        made = ActorCritic(network.feature, task.action_space, s, generator)
        self.actor_critic = made.to(self.model.device)
        self.training = Training(network, self.model.settings)
        self.imagination = Imagination(self.model, self.actor_critic, s)
        self._width = network.feature + network.actions + 1
        self._rng, self._acting = (np.random.default_rng([seed, stream]) for stream in (3, 4))
        self._generator = torch.Generator(self.model.device).manual_seed(seed)
        self._acting_generator = torch.Generator(self.model.device).manual_seed(seed + 2)
        rows = self._row_kind(task)
        self.memory = SequenceMemory(s.buffer_size, sum(network.parts.sizes), network.action_rows, rows)
        self._task: Task | None = None
        self._copies: EnvRunner | None = None
        self._pending: State | None = None
        self._known = self.initial_memory(s.num_envs)
        self._pieces: list[dict[str, Any]] = [_piece() for _ in range(s.num_envs)]

    def _row_kind(self, task: Task) -> Any:
        """Returns the kind of number that observations are remembered as: bytes stay bytes."""
        space, packing = task.observation_space, self.model.network.parts.packing
        given = [space] if packing is None else [part.space for part in packing.parts]
        kinds = {np.dtype(one.dtype) for one in given}
        return kinds.pop() if len(kinds) == 1 and next(iter(kinds)).itemsize == 1 else np.float32

    # -------------------------------------------------------------------------------------------------------- acting

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        return self.act_with_memory(
            observation, self.initial_memory(count_of(observation)), np.zeros(count_of(observation)), action_mask
        )[0]

    def initial_memory(self, count: int) -> Array:
        """Returns `[count, F + A + 1]` zeros: nothing seen, nothing done."""
        return np.zeros((count, self._width), np.float32)

    def act_with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        features = self._filtered(observation, memory)
        actions = self._chosen(features, action_mask, self.settings.greedy, self._acting_generator)
        return self.actor_critic.distribution.to_environment(actions), self._noted(features, actions)

    @torch.no_grad()
    def _filtered(self, observation: Array, memory: Array) -> Tensor:
        """Returns `[B, F]` model states with this observation taken in."""
        model, network = self.model, self.model.network
        rows = network.parts.rows(observation)
        embedded = network.embed(network.parts.tensors(rows, model.device))
        kept = torch.as_tensor(np.asarray(memory, np.float32), device=model.device)
        features, acted, going = torch.split(kept, [network.feature, network.actions, 1], -1)
        start = network.before(len(rows))
        first = network.first_ahead(start)
        foreseen = torch.where(going > 0, network.ahead(features, acted), first)
        held = torch.where(going > 0, features, start) if network.feedback else features
        z = None
        if network.z_width:
            z = network.drawn(network.posterior(torch.cat([foreseen, embedded], -1)), None)
        return network.arrived(held, foreseen, z, embedded, acted)

    @torch.no_grad()
    def _chosen(self, features: Tensor, action_mask: Array | None, greedy: bool, generator: torch.Generator) -> Tensor:
        nets = self.actor_critic
        mask = None if action_mask is None else torch.as_tensor(np.asarray(action_mask, np.bool_))
        outputs = nets.outputs(features, None if mask is None else mask.to(features.device))
        return nets.distribution.mode(outputs) if greedy else nets.distribution.sample(outputs, generator)

    def _noted(self, features: Tensor, actions: Tensor) -> Array:
        acted = encoded(self.model, self.actor_critic.distribution, actions)
        going = torch.ones(len(features), 1, device=features.device)
        return np.asarray(torch.cat([features, acted, going], -1).cpu().numpy())

    def policy_log_probs(
        self, observation: Array, action_mask: Array | None = None, memory: Array | None = None,
        reward: Array | None = None,
    ) -> Array:  # fmt: skip
        """Returns `[B, A]` log π(a | state), whether or not it acts greedily; without memory, as at the first step.

        Raises:
            UsageError: the actions are not `Discrete`.
        """
        distribution = self.actor_critic.distribution
        if not isinstance(distribution, CategoricalActions):
            raise UsageError("log-probabilities of actions that are not Discrete", expected="Discrete actions")
        known = self.initial_memory(count_of(observation)) if memory is None else memory
        features = self._filtered(observation, known)
        mask = None if action_mask is None else torch.as_tensor(np.asarray(action_mask, np.bool_))
        with torch.no_grad():
            return np.asarray(distribution.log_probs(self.actor_critic.outputs(features, mask)).double().cpu().numpy())

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities as it acts at the first step of an episode.

        Raises:
            UsageError: the actions are not `Discrete`.
        """
        log_probs = self.policy_log_probs(observation, action_mask)
        return greedy_log_probs(log_probs) if self.settings.greedy else log_probs

    def state_values(self, observation: Array, memory: Array | None = None, reward: Array | None = None) -> Array:
        """Returns `[B]` V, the critic's estimate of the discounted return; without memory, as at the first step."""
        known = self.initial_memory(count_of(observation)) if memory is None else memory
        with torch.no_grad():
            values = self.actor_critic.values(self._filtered(observation, known))
        return np.asarray(values.double().cpu().numpy())

    # ------------------------------------------------------------------------------------------------------ learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until at least `steps` environment steps in total; yields every `report_every` and at the end.

        Resuming is exact in worlds with a law; in other environments a resumed run begins new episodes.

        Raises:
            UsageError: it has learned in another task; an observation or a reward is not finite.
            DivergenceError: a gradient is not finite.
        """
        s = self.settings
        self._task = learning_task(self, self._task, task)
        if self._copies is None:
            packing = self.model.network.parts.packing
            self._copies = EnvRunner(
                task, s.num_envs, self.seed, steps=self.steps // s.num_envs, state=self._pending, packing=packing
            )
            if self._pending is None or self._pending["env"] is None:
                self._known, self._pieces = self.initial_memory(s.num_envs), [_piece() for _ in range(s.num_envs)]
            self._pending = None
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
                    self._step(self._copies)
                    if self.steps > s.learning_starts and self.memory.written:
                        metrics += self._updates(before)
                    if self.steps // s.report_every > before // s.report_every or self.steps >= steps:
                        break
            names = metrics[-1] if metrics else {}
            means = {name: float(np.mean([one[name] for one in metrics if name in one])) for name in names}
            yield {"steps": float(self.steps), **self._copies.episodes(), **means, "updates": float(self.updates)}

    def _step(self, copies: EnvRunner) -> None:
        """Acts once in every copy and remembers what came of it."""
        s, network = self.settings, self.model.network
        rows = network.parts.rows(copies.observation)
        features = self._filtered(copies.observation, self._known)
        if self.steps < s.learning_starts:
            actions = self._uniform(copies.action_mask)
        else:
            actions = self._chosen(features, copies.action_mask, False, self._generator)
        given = self.actor_critic.distribution.to_environment(actions)
        self._known = self._noted(features, actions)
        transition = copies.step(given)
        self.steps += s.num_envs
        after = network.parts.rows(copies.observation)
        last = network.parts.rows(transition.last_observation) if len(transition.ended) else after[:0]
        ended = {int(copy): k for k, copy in enumerate(transition.ended)}
        for copy, piece in enumerate(self._pieces):
            if not piece["observations"]:
                piece["observations"].append(rows[copy].copy())
            piece["observations"].append((last[ended[copy]] if copy in ended else after[copy]).copy())
            piece["actions"].append(np.ravel(given[copy]).astype(np.float32))
            piece["rewards"].append(float(transition.reward[copy]))
            if copy in ended or len(piece["rewards"]) >= PIECE:
                over = copy in ended and bool(transition.terminated[copy])
                self.memory.add(
                    np.stack(piece["observations"]), np.stack(piece["actions"]), piece["rewards"], over, piece["begins"]
                )
                self._pieces[copy] = _piece(begins=copy in ended)
        if len(transition.ended):
            self._known[transition.ended] = 0.0

    def _uniform(self, action_mask: Array | None) -> Tensor:
        nets, count = self.actor_critic, self.settings.num_envs
        device = self.model.device
        if hasattr(nets.distribution, "centre"):  # within the bounds, or ±1 where there are none
            size = (count, nets.distribution.width // 2)
            return torch.as_tensor(self._acting.uniform(-1, 1, size), dtype=torch.float32, device=device)
        outputs = torch.zeros(count, nets.distribution.width, device=device)
        if action_mask is not None:
            legal = torch.as_tensor(np.asarray(action_mask, np.bool_), device=device)
            outputs = outputs.masked_fill(~legal, -torch.inf)
        return nets.distribution.sample(outputs, self._generator)

    def _updates(self, before: int) -> list[dict[str, float]]:
        """Takes the gradient steps that are due; returns what to report of each."""
        s = self.settings
        rounds = self.steps // s.train_freq - max(before, s.learning_starts) // s.train_freq
        found = []
        if not self.model.scaled:  # once, from the first steps: later ones would change what states mean
            self.model.network.parts.fit(self.memory.observations[: len(self.memory)])
            self.model.scaled = True
            for _ in range(s.initial_steps):
                self._model_step()
        for _ in range(rounds * s.gradient_steps):
            model_metrics, features, weight = self._model_step()
            loss, metrics = self.imagination.loss(features, weight, self._rng, self._generator)
            self.imagination.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            step_if_finite(
                self.imagination.optimizer, self.actor_critic, 100.0, float(loss.detach()), self.steps, self.name
            )
            self.actor_critic.follow(s.tau)
            self.updates += 1
            found.append({**model_metrics, **metrics})
        return found

    def _model_step(self) -> tuple[dict[str, float], Tensor, Tensor]:
        """Takes a gradient step of the model; returns what to report, the states `[N, F]` it saw, and their weights."""
        s = self.settings
        sequences = self.memory.draw(s.batch_size, s.length, self._rng)
        metrics, run, known = self.training.step(sequences, self._rng, 1.0, self.steps)
        ended = torch.as_tensor(sequences.ended, device=known.device)
        return metrics, run.features.detach().flatten(0, 1), (known * (1 - ended)).flatten()

    # -------------------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        return {
            "steps": self.steps, "updates": self.updates, "model": self.model.state_dict(),
            "actor_critic": to_arrays(self.actor_critic.state_dict()),
            "optimizers": [optimizer_arrays(one) for one in (self.training.optimizer, self.imagination.optimizer)],
            "scale": self.imagination.scale, "memory": self.memory.state_dict(),
            "rngs": [rng_state(self._rng), rng_state(self._acting)],
            "generators": [one.get_state().numpy().copy() for one in (self._generator, self._acting_generator)],
            "known": self._known.copy(), "copies": self._pending if self._copies is None else self._copies.state_dict(),
            "pieces": [
                {"begins": piece["begins"], "rewards": list(piece["rewards"]),
                 "observations": np.array(piece["observations"]), "actions": np.array(piece["actions"])}
                for piece in self._pieces
            ],
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        self.steps, self.updates = int(state["steps"]), int(state["updates"])
        self.model.load_state_dict(state["model"])
        load_module(self.actor_critic, state["actor_critic"])
        for optimizer, arrays in zip(
            (self.training.optimizer, self.imagination.optimizer), state["optimizers"], strict=True
        ):
            load_optimizer(optimizer, arrays)
        self.imagination.scale = float(state["scale"])
        self.memory.load_state_dict(state["memory"])
        for rng, kept in zip((self._rng, self._acting), state["rngs"], strict=True):
            restore_rng(rng, kept)
        for one, arrays in zip((self._generator, self._acting_generator), state["generators"], strict=True):
            one.set_state(torch.from_numpy(np.array(arrays, np.uint8)))
        self._known = np.array(state["known"], np.float32)
        self._pieces = [
            {**piece, "rewards": list(piece["rewards"]), "observations": list(np.asarray(piece["observations"])),
             "actions": list(np.asarray(piece["actions"]))}
            for piece in state["pieces"]
        ]  # fmt: skip
        self._task, self._copies, self._pending = None, None, state["copies"]


def _piece(begins: bool = True) -> dict[str, Any]:
    """Returns a piece of an episode with nothing in it yet."""
    return {"begins": begins, "observations": [], "actions": [], "rewards": []}
