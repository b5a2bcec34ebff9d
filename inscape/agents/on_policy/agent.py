"""What PPO, A2C and recurrent PPO share: they act in copies for some steps, learn from those steps, and repeat.

An agent has the algorithm (schedule, loss), a learner runs it. PPO and A2C have three, with the same weights in the
same places. `torch_learner` is torch: any task, any device. `compiled_learner` is Numba, for small networks in
worlds with a law: no Python between environment steps, nor between gradient steps.
`cuda_learner` is torch with the world's copies on the GPU too. They agree to 1e-6 on the same batch
(tests/agents/on_policy). This module imports none of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from inscape.agents.acting import PolicyAgent
from inscape.agents.interface import Metrics, learning_task
from inscape.agents.learning.distributed import group_device, process_count, process_group
from inscape.agents.learning.rounds import say_rounds
from inscape.agents.on_policy.base import MOMENTS, BackendSettings, Learner, LossTerms, Schedule, law_of
from inscape.agents.renamed_settings import current_settings
from inscape.errors import UsageError
from inscape.world_models.networks.device import has_cuda, resolve_device
from inscape.world_models.networks.encoders.features import picture_layout
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from torch import Tensor

    from inscape.envs.tasks.task import Task


class OnPolicyAgent(PolicyAgent):
    """An actor-critic that collects `num_envs · num_steps` steps, learns from them, and forgets them.

    Time limits do not end the sum of rewards: where an episode was cut, the value of its last observation stands for
    the rest.

    Args:
        task: what to act in.
        seed: seed of weights, exploration and environment.
        device: `"auto"`, `"cpu"` or `"cuda"`.
        settings: an instance of the class attribute `Settings`.

    Raises:
        UsageError: unsupported spaces, or CUDA is not available.

    Attributes:
        steps: environment steps taken, in all copies together.
        learner: what acts and learns.
    """

    learner: Learner
    Settings: ClassVar[type[Any]]
    optimizer: ClassVar[str] = "adam"
    """"adam" or "rmsprop"."""
    epsilon: ClassVar[float] = 1e-5
    """The optimiser's ε."""

    def __init__(self, task: Task, seed: int = 0, device: str = "cpu", settings: Any = None) -> None:
        self.settings = settings or self.Settings()
        self.seed, self.steps = seed, 0
        self.learner = self.policy = self._make_learner(task, device)
        self._task: Task | None = None  # which it learns in

    # ------------------------------------------------------------------------------------------- what algorithms define

    def schedule(self, remaining: float) -> Schedule:
        """Returns how the next update goes; `remaining` is the part of the training still to come, 1 to 0."""
        return Schedule(self._rate(remaining))

    @abstractmethod
    def loss(self, terms: LossTerms, clip: float | Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the loss and its parts; what the compiled learner does by hand."""

    @abstractmethod
    def _make_learner(self, task: Task, device: str) -> Learner:
        """Returns what acts and learns."""

    def _rate(self, remaining: float) -> float:
        return float(self.settings.learning_rate * (remaining if self.settings.anneal == "linear" else 1.0))

    # ------------------------------------------------------------------------------------------- learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until at least `steps` environment steps in total (whole rounds of num_envs · num_steps); yields each.

        Resuming is exact in worlds with a law; in other environments a resumed run begins new episodes.

        Raises:
            UsageError: it has learned in another task; or an observation, a reward or a gradient is not finite (naming
                step, and copy or tensor).
        """
        if self._task is None:
            self.learner.begin(task, self.steps)
        self._task = learning_task(self, self._task, task)
        size = self.settings.num_envs * self.settings.num_steps
        say_rounds(self.name, self.steps, steps, size, "--num-envs, --num-steps")
        while self.steps < steps:
            schedule = self.schedule(max(0.0, 1.0 - self.steps / steps))
            metrics = self.learner.round(schedule, self.steps)
            self.steps += size
            yield {"steps": float(self.steps), **metrics, "learning_rate": schedule.rate}

    def state_values(self, observation: Array) -> Array:
        """Returns `[B]` V(s), its estimate of the discounted return, in the task's own units."""
        return super().state_values(observation) * self.learner.value_unit

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        return {"steps": self.steps, "backend": self.learner.backend, **self.learner.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Resumes from `state_dict()`, of any backend.

        Raises:
            UsageError: the state is of another kind of agent, or its weights or copies do not fit. Copies are checked
                when learning continues: acting does not use them.
        """
        if missing := {"steps", "backend", "network", "optimizer", "copies"} - set(state):
            raise UsageError(
                f"a state without {', '.join(sorted(missing))}", expected=f"a state of {self.name}, as it was saved"
            )
        moments = set(state["optimizer"]) - {"steps"}
        if moments and moments != MOMENTS[self.optimizer]:
            raise UsageError(
                f"a stored optimiser with moments {', '.join(sorted(moments))}",
                expected=f"{', '.join(sorted(MOMENTS[self.optimizer]))}: {self.optimizer}, of {self.name}",
            )
        self.steps, self._task = int(state["steps"]), None
        if current_settings(BackendSettings, {"backend": state["backend"]})["backend"] != self.learner.backend:
            # weights, moments and environments mean the same; the streams of exploration do not
            state = {**state, "acting": None, "exploring": None}
        self.learner.load_state_dict(state)


class ActorCriticAgent(OnPolicyAgent):
    """An on-policy agent without memory: run in torch, compiled or on a GPU, in one process or several.

    Raises:
        UsageError: unsupported spaces, CUDA is not available, or a backend where it cannot serve.
    """

    def run_worker(self, task: Task) -> None:
        """Learns along with process 0 of several (`inscape.agents.learning.distributed`), until that one is done."""
        from inscape.agents.on_policy.distributed_learner import DistributedLearner

        assert isinstance(self.learner, DistributedLearner), "several processes learn in torch"
        self.learner.run_worker(task)

    # ------------------------------------------------------------------------------------------- backends

    def _make_learner(self, task: Task, device: str) -> Learner:
        on_gpu = device.startswith("cuda") or (device == "auto" and has_cuda())
        obstacles = {
            "torch": "",
            "compiled": f"the device is {device}" if on_gpu else self._obstacle(task, "pictures"),
            "cuda": self._obstacle(task, "normalised"),
        }
        wanted = self.settings.backend
        if wanted == "auto":
            from inscape.envs.compile.cuda import has_card

            wanted = "cuda" if on_gpu and has_card() else "compiled"
            wanted = "torch" if obstacles[wanted] else wanted
        if obstacles[wanted]:
            raise UsageError(
                f"backend {wanted!r} for {self.name} on {task.name}: {obstacles[wanted]}",
                expected="a world with a law; compiled: the CPU, no pictures, one player, or several who act at once; "
                "cuda: one player, observations as they are",
                hint='backend "auto" takes torch where it must',
            )
        if wanted == "compiled":
            from inscape.agents.on_policy.compiled_learner import CompiledLearner

            return CompiledLearner(self, task)
        if wanted == "cuda":
            from inscape.agents.on_policy.cuda_learner import CudaLearner

            return CudaLearner(self, task, device)
        from inscape.agents.on_policy.torch_learner import ActorCritic, TorchLearner

        where = group_device(resolve_device(device))
        network, members = ActorCritic(task, self.settings, self.seed), process_group(str(where))
        if members is None:
            return TorchLearner(self, network, where)
        from inscape.agents.on_policy.distributed_learner import DistributedLearner

        return DistributedLearner(self, network, where, members)

    def _obstacle(self, task: Task, lacks: Literal["pictures", "normalised"]) -> str:
        """Returns what keeps a learner made for worlds with a law from serving; empty if nothing does."""
        world = law_of(task)
        if world is None:
            return "it has no law"
        if world.players > 1 and (lacks == "normalised" or task.world is not None):
            return f"it has {world.players} players"
        if lacks == "pictures" and picture_layout(task.observation_space) is not None:
            return "it observes pictures"
        if lacks == "normalised" and self.settings.normalize_observations:
            return "observations are normalised"
        if process_count() > 1:
            return "several processes learn together"
        return ""
