"""Rounds of acting and learning that stay on the device: environments, networks and update in torch tensors.

On a GPU the world's copies are a `CudaVectorEnv`; nothing is copied to the CPU and Python waits for the GPU
once a round, to read the metrics. From the second round on, the steps of a round are one CUDA graph and a gradient step
is another, so that a round costs a launch or two for each, however many kernels it runs. On the CPU the same code
runs with the same tensors, without graphs: that is what the tests run (tests/agents/on_policy/test_cuda_learner.py).

Source of the technique: NVIDIA (2021), "Accelerating PyTorch with CUDA Graphs", pytorch.org/blog.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from inscape.agents.interface import Metrics
from inscape.agents.learning.distributed import part_of
from inscape.agents.learning.episode_log import EpisodeLog
from inscape.agents.learning.normalization import ReturnNormalizer, load_reward_scale, squared_deviation
from inscape.agents.on_policy.base import Algorithm, LossTerms, Schedule
from inscape.agents.on_policy.torch_learner import (
    ActorCritic,
    load_moments,
    make_optimizer,
    minibatches,
    named_moments,
    weights_of_actions,
)
from inscape.errors import UsageError
from inscape.world_models.networks.device import resolve_device
from inscape.world_models.networks.distributions import CategoricalActions, GaussianActions
from inscape.world_models.networks.encoders.moments import merged_moments
from inscape.world_models.networks.finite_checks import divergence
from inscape.world_models.networks.policy import TorchPolicy
from inscape.world_models.networks.tensors import learning_threads, load_module, to_arrays
from inscape.world_models.networks.types import State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.envs.world import World


class HostCopies:
    """A vector environment on the CPU with the interface of `CudaVectorEnv`: tensors in, tensors out."""

    def __init__(self, world: World, count: int, limit: int | None) -> None:
        self._env = world.vector_env(count, "same-step", limit)
        self._last: Tensor | None = None

    def reset(self, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        observation, infos = self._env.reset(seed=seed)
        return torch.tensor(observation), {name: torch.tensor(value) for name, value in infos.items()}

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Tensor]]:
        observation, *rest, infos = self._env.step(actions.numpy())
        found = {name: torch.tensor(value) for name, value in infos.items()}
        seen = torch.tensor(observation)
        found.setdefault("final_obs", torch.zeros_like(seen))
        reward, terminated, truncated = (torch.tensor(np.ascontiguousarray(array)) for array in rest)
        return seen, reward, terminated, truncated, found

    def check(self) -> None:
        """Nothing waits here: a wrong action has raised already."""

    def state_dict(self) -> State:
        return self._env.state_dict()

    def load_state_dict(self, state: State) -> None:
        self._env.load_state_dict(state)


class CudaLearner(TorchPolicy):
    """Collects with `num_envs` copies and learns from what they did, on the device."""

    backend = "cuda"
    network: ActorCritic

    def __init__(self, agent: Algorithm, task: Task, device: str) -> None:
        self.agent, self.settings = agent, agent.settings
        where = resolve_device(device)
        super().__init__(ActorCritic(task, self.settings, agent.seed).to(where), where, agent.seed, agent.name)
        self.optimizer = make_optimizer(agent, list(self.network.parameters()), self.device)
        if self.device.type == "cuda":
            for group in self.optimizer.param_groups:  # read by the graph at each replay
                group["lr"] = torch.tensor(group["lr"], device=self.device)
                group["capturable"] = True
        family = self.network.distribution
        assert isinstance(family, CategoricalActions | GaussianActions), "the actions a world can have"
        self._family = family
        s = self.settings
        self._rewards = ReturnNormalizer(s.num_envs, s.gamma) if s.normalize_rewards else None  # between rounds
        self._log = EpisodeLog(s.num_envs)
        self._env: Any = None
        self._pending: State | None = None
        self._t: dict[str, Tensor] = {}
        self._part_names: list[str] = []
        self._graphs: dict[str, torch.cuda.CUDAGraph] = {}
        self._warm: set[str] = set()

    # ------------------------------------------------------------------------------------------- memory

    def begin(self, task: Task, steps: int) -> None:
        world, s = task.world, self.settings
        assert world is not None
        if self.device.type == "cuda":
            self._env = world.vector_env(s.num_envs, "same-step", task.max_episode_steps, device=str(self.device))
        else:
            self._env = HostCopies(world, s.num_envs, task.max_episode_steps)
        observation, infos = self._env.reset(seed=self.agent.seed)
        self._log = EpisodeLog(s.num_envs)
        self._t = self._make_tensors(observation, infos.get("action_mask"))
        if self._pending is not None:
            stored = part_of(self._pending, 0, 1)
            self._env.load_state_dict(stored["env"])
            kept = {"observation": "observation", "running": "returns", "lengths": "lengths"}
            if "mask" in self._t:
                kept["mask"] = "action_mask"
            self._log.load_state_dict(stored.get("episodes"))
            for name, stored_name in kept.items():
                self._t[name].copy_(torch.as_tensor(np.asarray(stored[stored_name])))
        self._pending = None
        self._write_scale()

    def _write_scale(self) -> None:
        """Writes what is known of the rewards' scale where rounds read it."""
        if self._rewards is not None:
            known = self._rewards
            self._t["scale_running"].copy_(torch.from_numpy(known.running))
            moments = torch.tensor([known.mean, known.variance, known.weight], dtype=torch.float64)
            self._t["scale_moments"].copy_(moments)

    def _read_scale(self) -> None:
        """Reads it back, for what is saved and for values in the task's own units."""
        if self._rewards is not None:
            running, moments = (self._t[name].cpu().numpy() for name in ("scale_running", "scale_moments"))
            mean, variance, weight = moments.tolist()
            self._rewards.load_state_dict(
                {"running": running.copy(), "mean": mean, "variance": variance, "weight": weight}
            )

    def _make_tensors(self, observation: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """Returns all memory of a round, so that every round uses the same addresses."""
        s, network = self.settings, self.network
        time, count, width = s.num_steps, s.num_envs, network.encoder.width

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=self.device)

        family = self._family
        actions = family.mode(zeros(count, family.width))
        noise_type = torch.float32 if isinstance(family, GaussianActions) else torch.float64
        tensors = {
            "observation": observation.clone(),
            "noise": zeros(time, count, network.scores, dtype=noise_type),
            "features": zeros(time + 1, count, width),
            "actions": torch.zeros((time, *actions.shape), dtype=actions.dtype, device=self.device),
            "log_probs": zeros(time, count),
            "rewards": zeros(time, count, dtype=torch.float64),
            "terminated": zeros(time, count, dtype=torch.bool),
            "truncated": zeros(time, count, dtype=torch.bool),
            "cut_values": zeros(time, count),
            "advantages": zeros(time, count),
            "returns": zeros(time, count),
            "running": zeros(count, dtype=torch.float64),
            "lengths": zeros(count, dtype=torch.int64),
            "episodes": zeros(2, time, count, dtype=torch.float64),  # return and length until each step
            "explained": zeros(2, dtype=torch.float64),  # variance of returns, and of what values miss
            "rows": zeros(time * count, dtype=torch.int64),  # of a minibatch, at most all
            "clip": zeros(),
            "broken": zeros(dtype=torch.bool),
        }
        if isinstance(family, GaussianActions):  # half the range, its centre and bounds
            rows = [part.reshape(-1) for part in (family.half, family.centre, family.space.low, family.space.high)]
            tensors["scaling"] = torch.as_tensor(np.stack(rows), dtype=torch.float64, device=self.device)
        if self._rewards is not None:
            tensors["scaled"] = zeros(time, count, dtype=torch.float64)
            tensors["scale_running"] = zeros(count, dtype=torch.float64)
            tensors["scale_moments"] = zeros(3, dtype=torch.float64)  # mean, variance, weight
        if mask is not None:
            tensors["mask"] = mask.clone()
            tensors["masks"] = zeros(time, *mask.shape, dtype=torch.bool)
        return tensors

    # ------------------------------------------------------------------------------------------- learning

    def round(self, schedule: Schedule, steps: int) -> Metrics:
        with learning_threads(self.settings.threads):
            self.collect()
            return self._report(*self.update(schedule), steps)

    def collect(self) -> None:
        """Acts for num_steps in every copy and works out advantages; everything stays in `self._t`."""
        noise = self._t["noise"]
        if isinstance(self._family, GaussianActions):
            noise.normal_(generator=self.exploring)
        else:
            noise.uniform_(generator=self.exploring)
        self._run("collect", self._steps)

    def _steps(self) -> None:
        t, network, s = self._t, self.network, self.settings
        with torch.no_grad():
            for step in range(s.num_steps):
                features = network.encoder(t["observation"])
                t["features"][step].copy_(features)
                mask = t.get("mask")
                if mask is not None:
                    t["masks"][step].copy_(mask)
                outputs = network.outputs(features, mask)
                chosen = self._family.drawn(outputs, t["noise"][step])
                t["actions"][step].copy_(chosen)
                t["log_probs"][step].copy_(network.distribution.log_prob(outputs, chosen))
                seen, reward, terminated, truncated, infos = self._env.step(self._for_environment(chosen))
                t["rewards"][step].copy_(reward)
                t["terminated"][step].copy_(terminated)
                t["truncated"][step].copy_(truncated)
                t["cut_values"][step].copy_(network.values(network.encoder(infos["final_obs"])))
                over = terminated | truncated
                t["running"] += reward
                t["lengths"] += 1
                t["episodes"][0, step].copy_(t["running"])
                t["episodes"][1, step].copy_(t["lengths"])
                t["running"].masked_fill_(over, 0.0)
                t["lengths"].masked_fill_(over, 0)
                t["observation"].copy_(seen)
                if mask is not None:
                    mask.copy_(infos["action_mask"])
            t["features"][s.num_steps].copy_(network.encoder(t["observation"]))
            self._advantages()

    def _advantages(self) -> None:
        """Generalised advantages: Schulman et al. (2016), equation 16."""
        t, s = self._t, self.settings
        rewards = t["rewards"] if self._rewards is None else self._scaled_rewards(self._rewards)
        shape = t["features"].shape
        values = self.network.values(t["features"].reshape(-1, shape[-1])).reshape(shape[:2]).double()
        over = t["terminated"] | t["truncated"]
        follows = torch.where(over, t["cut_values"].double(), values[1:]) * ~t["terminated"]
        errors = rewards + s.gamma * follows - values[:-1]
        running = torch.zeros_like(errors[0])
        for step in reversed(range(s.num_steps)):
            running = errors[step] + s.gamma * s.gae_lambda * running * ~over[step]
            t["advantages"][step].copy_(running)
        returns = t["advantages"].double() + values[:-1]
        t["returns"].copy_(returns)
        t["explained"].copy_(torch.stack([returns.var(correction=0), (returns - values[:-1]).var(correction=0)]))

    def _scaled_rewards(self, known: ReturnNormalizer) -> Tensor:
        """Returns `[T, B]` rewards as `ReturnNormalizer` divides and counts them, without a word to the CPU."""
        t, s = self._t, self.settings
        running, over = t["scale_running"], t["terminated"] | t["truncated"]
        for step in range(s.num_steps):  # `scaled` holds the returns so far, until they are counted
            running.mul_(s.gamma).add_(t["rewards"][step])
            t["scaled"][step].copy_(running)
            running.masked_fill_(over[step], 0.0)
        mean, variance, weight = t["scale_moments"].unbind()
        more, spread = t["scaled"].mean(), t["scaled"].var(correction=0)
        mean, variance, weight = merged_moments(mean, variance, weight, more, spread, t["scaled"].numel())
        t["scale_moments"].copy_(torch.stack([mean, variance, weight]))
        deviation = squared_deviation(mean, variance, known.epsilon).sqrt()
        t["scaled"].copy_((t["rewards"] / deviation).clamp(-known.clip, known.clip))
        return t["scaled"]

    def _for_environment(self, actions: Tensor) -> Tensor:
        if isinstance(self._family, CategoricalActions):
            return actions + self._family.start
        half, centre, low, high = self._t["scaling"]
        taken: Tensor = (actions.double() * half + centre).clamp(low, high)
        return taken

    def update(self, schedule: Schedule) -> tuple[Tensor, int]:
        """Runs the epochs of minibatch gradient steps.

        Returns:
            `[steps, parts]` of the loss in the last epoch, and how many steps there were in all of them.
        """
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(schedule.rate)
            else:
                group["lr"] = schedule.rate
        t = self._t
        t["clip"].fill_(schedule.clip)
        t["broken"].zero_()
        parts: list[Tensor] = []
        updates = 0
        for _ in range(schedule.epochs):
            order = torch.randperm(t["log_probs"].numel(), generator=self.exploring, device=self.device)
            parts.clear()
            for rows in minibatches(order, schedule.minibatches):
                t["rows"][: len(rows)].copy_(rows)
                self._run(f"step of {len(rows)}", partial(self._gradient_step, len(rows)))
                parts.append(t["parts"].clone())
            updates += len(parts)
            if math.isfinite(schedule.target_kl):  # waits for the GPU, once a pass
                kl = torch.stack(parts)[:, self._part_names.index("kl")].mean()
                if float(kl) > schedule.target_kl:
                    break
        return torch.stack(parts), updates

    def _gradient_step(self, count: int) -> None:
        t, s, network = self._t, self.settings, self.network
        rows = t["rows"][:count]

        def picked(name: str, skip: int = 2) -> Tensor:
            whole = t[name][: s.num_steps]
            return whole.reshape(-1, *whole.shape[skip:])[rows]

        features = picked("features")
        outputs = network.outputs(features, picked("masks") if "masks" in t else None)
        returns = picked("returns")
        terms = LossTerms(
            network.distribution.log_prob(outputs, picked("actions")),
            picked("log_probs"),
            weights_of_actions(picked("advantages"), returns, s.normalize_advantages),
            network.values(features),
            returns,
            network.distribution.entropy(outputs),
        )
        loss, parts = self.agent.loss(terms, t["clip"])  # a tensor, so that a graph reads what it is now
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        # a CUDA graph cannot raise: a gradient that is not finite is zeroed, and reported after the round
        fine = norm.isfinite()
        t["broken"].logical_or_(~fine)
        for gradient in gradients:
            gradient.copy_(torch.where(fine, gradient, torch.zeros_like(gradient)))
        usable = torch.where(fine, norm, torch.zeros_like(norm))
        nn.utils.clip_grads_with_norm_(network.parameters(), s.max_grad_norm, usable)
        self.optimizer.step()
        if "parts" not in t:
            self._part_names = list(parts)
            t["parts"] = torch.zeros(len(parts), device=self.device)
        t["parts"].copy_(torch.stack(list(parts.values())))

    def _run(self, name: str, work: Callable[[], None]) -> None:
        """Does the work; on a GPU, from its second time on, as a CUDA graph."""
        if self.device.type != "cuda" or name not in self._warm:
            self._warm.add(name)
            work()
            return
        if name not in self._graphs:
            graph = torch.cuda.CUDAGraph()
            self.optimizer.zero_grad(set_to_none=True)  # gradients live in the graph's own memory
            with torch.cuda.graph(graph):
                work()
            self._graphs[name] = graph
        self._graphs[name].replay()

    def _report(self, parts: Tensor, updates: int, steps: int) -> Metrics:
        """Waits for the device, raises for what went wrong since the last round, and returns the metrics."""
        self._env.check()
        t = self._t
        fine = torch.stack([t["rewards"].isfinite().all(), t["features"].isfinite().all(), ~t["broken"]])
        if not bool(fine.all()):
            self._explain(steps)
        self._read_scale()
        means = parts.mean(dim=0).tolist()
        variance, missed = t["explained"].tolist()
        metrics = {**dict(zip(self._part_names, means, strict=True)), "updates": float(updates)}
        metrics["explained_variance"] = 1.0 - missed / variance if variance > 0 else 0.0
        ended, (returns, lengths) = (t["terminated"] | t["truncated"]).cpu().numpy(), t["episodes"].cpu().numpy()
        self._log.add(ended, returns, lengths)
        return metrics | self._log.report()

    def _explain(self, steps: int) -> None:
        t = self._t
        for name, what in (("rewards", "the reward"), ("features", "the observation")):
            wrong = (~t[name].isfinite()).nonzero()
            if len(wrong):
                step, copy = wrong[0][:2].tolist()
                raise UsageError(
                    f"{what} of copy {copy} at step {steps // self.settings.num_envs + step} is not finite",
                    expected="finite numbers",
                    hint="inscape check WORLD",
                )
        broken = [f"weights {name}" for name, p in self.network.named_parameters() if not bool(p.isfinite().all())]
        raise divergence(self.agent.name, steps, math.nan, broken)

    @property
    def value_unit(self) -> float:
        """What values are to be multiplied by to be in the task's own units."""
        return 1.0 if self._rewards is None else self._rewards.deviation

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        return {
            "network": to_arrays(self.network.state_dict()),
            "optimizer": named_moments(self.optimizer, self.network),
            **self.rng_state(),
            "reward_scale": None if self._rewards is None else self._rewards.state_dict(),
            "copies": self._pending if self._env is None else self._copies_state(),
        }

    def _copies_state(self) -> State:
        t = self._t
        return {
            "env": self._env.state_dict(),
            "observation": t["observation"].cpu().numpy().copy(),
            "action_mask": t["mask"].cpu().numpy().copy() if "mask" in t else None,
            "returns": t["running"].cpu().numpy().copy(),
            "lengths": t["lengths"].cpu().numpy().copy(),
            "episodes": self._log.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        load_module(self.network, state["network"])
        load_moments(self.optimizer, self.network, state["optimizer"])
        self.load_rng_state(state)
        load_reward_scale(self._rewards, state["reward_scale"])
        self._env, self._pending = None, state["copies"]
        self._graphs.clear()
        self._warm.clear()
