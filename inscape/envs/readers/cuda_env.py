"""Reads a world on a CUDA GPU: many copies, one kernel launch per step, torch tensors that never leave the GPU."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import gymnasium as gym
import numpy as np
import torch
from numba import cuda

from inscape.envs.compile import cuda as cuda_compile
from inscape.envs.law.states import States
from inscape.envs.readers.copies import OVER, ROWS, PackedCopies
from inscape.envs.readers.gym_env import initial_of
from inscape.envs.readers.random_play import LATER, RandomPlay, played
from inscape.envs.readers.vector_env import MODES, _batched
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.readers.batched import BatchedLaw

CUDA_STEPPING = "inscape.envs.kernels.cuda_stepping"
NO_FAULT = np.iinfo(np.int64).max
# What the kernel's kinds of fault are called, in its order.
FAULTS = ("", "an action out of range", "an illegal action", "a step after the episode's end, with autoreset disabled")
SM_COUNT = 132  # multiprocessors of an H100; what the simulator pretends to have


@dataclass(frozen=True)
class StepTensors:
    """Where a step's results are written; `CudaVectorEnv.step_tensors()` makes one.

    Attributes:
        results: what `step` returns when it writes here: views of these tensors in the shapes users see.
        arrays: the same memory as the kernels take it.
        obs, mask, movers: what a reset fills, as the kernels take it.
    """

    results: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]
    arrays: tuple[Any, ...]
    obs: Any
    mask: Any
    movers: Any


class CudaVectorEnv(gym.vector.VectorEnv[Any, Any, Any]):
    """`num_envs` copies of a world on a CUDA GPU, stepped together: `WorldVectorEnv` in torch tensors.

    Copy i of seed s produces the same trajectory as on the processor: integers, uniform random numbers and the order
    of operations are the same. Under `arithmetic="exact"` sums, products, quotients and square roots are too, bit for
    bit; sine, cosine, exponentials, logarithms and powers are CUDA's and may differ in the last bit (docs/cuda.md).

    `step` is one kernel launch on torch's current stream: it does not wait for the GPU, allocates nothing there and
    may be captured in a `torch.cuda.graph` (after a step outside of it, which compiles and loads the kernel). What it
    returns is memory of the environment, used in turn: results of a step are good until the step after the next. To
    keep them longer, copy them or give a `StepTensors` of your own as `out`.

    As nothing waits, a wrong action cannot raise where it is given. It counts as no step: the copy stays as it is, with
    reward 0 and both flags False. `check()` waits for the GPU and raises for the first such copy since the last
    check; call it where you synchronise anyway. Shapes and dtypes are checked at once.

    Same-step autoreset: `infos["final_obs"]` and `infos["_final_obs"]` are always there; rows are valid where the
    latter is True. Several players: as in `WorldVectorEnv`.

    Args:
        world: the law.
        num_envs: B.
        autoreset: `"same-step"`, `"next-step"` or `"disabled"`, as in `WorldVectorEnv`.
        max_episode_steps: the time limit, or None.
        arithmetic: `"exact"`, or `"fast"`: fused products and sums, and polynomials for sine and cosine.
        device: a CUDA device of torch. In numba-cuda's simulator the tensors are on the processor instead.
        dtype: what states and rewards are stored in; `torch.float32` (only with `"fast"`) halves their bytes. The law
            computes in float64 in any case.
    """

    def __init__(
        self,
        world: BatchedLaw,
        num_envs: int,
        autoreset: Literal["next-step", "same-step", "disabled"] = "same-step",
        max_episode_steps: int | None = None,
        arithmetic: Literal["exact", "fast"] = "exact",
        device: str | torch.device = "cuda",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        cuda_compile.require_cuda()
        world.require_probabilities()
        if autoreset not in MODES:
            raise UsageError(f"autoreset {autoreset!r}", expected=", ".join(MODES))
        if not isinstance(num_envs, (int, np.integer)) or num_envs < 1:
            raise UsageError(f"num_envs = {num_envs!r}", expected="an integer of at least 1")
        if dtype not in (torch.float64, torch.float32) or (dtype == torch.float32 and arithmetic == "exact"):
            raise UsageError(
                f"dtype {dtype} with arithmetic {arithmetic!r}", expected='torch.float64; torch.float32 with "fast"'
            )
        self.world = world
        self._made_with = num_envs, autoreset, max_episode_steps, arithmetic, device, dtype
        self.num_envs = int(num_envs)
        self.max_episode_steps = max_episode_steps
        self._mode, mode = MODES[autoreset]
        self.metadata = {"autoreset_mode": mode, "render_modes": []}
        self.single_observation_space = world.observation_space
        self.single_action_space = world.action_space
        everyone = (self.num_envs, world.players) if world.simultaneous else (self.num_envs,)
        self.observation_space = _batched(self.single_observation_space, everyone)
        self.action_space = _batched(self.single_action_space, everyone)
        self._simulated = cuda_compile.is_simulated()
        self.device = _device(device, self._simulated)
        self.dtype = dtype
        packed = world.packed
        self._kernels = cuda_compile.kernel(world.compiled_law, CUDA_STEPPING, arithmetic)
        self._restricts = world.law_function("legal") is not None
        self._takes_turns = world.players > 1 and not world.simultaneous
        self._launches: dict[tuple[str, int], Any] = {}
        self.threads_per_block = _threads_per_block(self.num_envs, self.device)
        self._blocks = -(-self.num_envs // self.threads_per_block)

        layout = world.layouts()[0]
        self._num_floats = layout.num_floats
        # each array has at least one element: an empty one has no address to hand to a kernel
        parts = (part if part.size else np.zeros(1, part.dtype) for part in packed)
        self._packed = tuple(self._array(self._tensor(part)) for part in parts)
        self._floats = torch.zeros(
            (layout.num_floats, self.num_envs) if layout.num_floats else (1, 1), dtype=dtype, device=self.device
        )
        self._ints = torch.zeros((layout.num_ints + ROWS, self.num_envs), dtype=torch.int64, device=self.device)
        self._copies = PackedCopies(world, self._floats, self._ints)
        self._copies.elapsed[:] = OVER
        self._fault = torch.full((1,), NO_FAULT, dtype=torch.int64, device=self.device)
        self._life = self._packed, self._array(self._floats), self._array(self._ints)
        self._fault_array = self._array(self._fault)
        self._limit = max_episode_steps or 0
        self._actions_shape = tuple(self.action_space.shape or ())
        self._action_dtypes = (torch.float64, torch.float32) if world.continuous else (torch.int64, torch.int32)
        self._turn = 0
        self._outputs = self.step_tensors(), self.step_tensors()

    def __getstate__(self) -> dict[str, Any]:
        """Returns what the copies were made with, their state, and the random state of the spaces."""
        spaces = ("observation_space", "action_space", "single_observation_space", "single_action_space")
        kept = {name: value for name, value in vars(self).items() if name in (*spaces, "world", "_made_with", "spec")}
        return {**kept, "copies": self.state_dict(), "fault": int(self._fault.item())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        CudaVectorEnv.__init__(self, state["world"], *state["_made_with"])
        self.load_state_dict(state.pop("copies"))
        self._fault.fill_(state.pop("fault"))
        vars(self).update(state)

    # ------------------------------------------------------------------------------------ memory

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        """Returns a copy of the array on the device."""
        return torch.tensor(array, device=self.device)

    def _array(self, tensor: torch.Tensor) -> Any:
        """Returns the tensor's memory as kernels take it."""
        if self._simulated:
            return tensor.numpy()
        with cuda.gpus[self.device.index]:
            return cuda.as_cuda_array(tensor.detach(), sync=False)

    def step_tensors(self) -> StepTensors:
        """Returns new memory for the results of a step, to be given to `step` as `out`."""
        count, world = self.num_envs, self.world
        one = world.observation_array(1)
        # batch axis last in memory, wide observations too: neighbouring threads write to neighbouring addresses
        kind = torch.from_numpy(one).dtype

        def memory(length: int, kind: torch.dtype, *shape: int) -> torch.Tensor:
            return torch.zeros((*reversed(shape), length), dtype=kind, device=self.device)

        def reversed_axes(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.permute(*reversed(range(tensor.ndim)))

        def observations(length: int) -> tuple[torch.Tensor, torch.Tensor]:
            if not world.is_wide():
                made = memory(length, kind, *reversed(one.shape[:-1]))
                return made, reversed_axes(made)
            by_copy = reversed_axes(memory(length, kind, *one.shape[1:]))
            return by_copy, by_copy.view(*by_copy.shape[:-1], *(world.observation_space.shape or ()))

        obs, seen = observations(count)
        final, final_seen = observations(count if self._mode == MODES["same-step"][0] else 1)
        rewards = memory(count, self.dtype, *((world.players,) if world.players > 1 else ()))
        terminated, truncated, ended = (memory(count, torch.bool) for _ in range(3))
        restricted = count if self._restricts else 1
        mask = reversed_axes(memory(restricted, torch.bool, *world.mask_array(1).shape[1:]))
        movers = memory(count if self._takes_turns else 1, torch.int64)
        infos = {}
        if self._takes_turns:
            infos["mover"] = movers
        if self._restricts:
            infos["action_mask"] = mask
        if self._mode == MODES["same-step"][0]:
            infos |= {"final_obs": final_seen, "_final_obs": ended}
        results = (seen, reversed_axes(rewards), terminated, truncated, infos)
        arrays = tuple(map(self._array, (obs, rewards, terminated, truncated, ended, final, mask, movers)))
        return StepTensors(results, arrays, arrays[0], arrays[6], arrays[7])

    def _launch(self, name: str, *arguments: Any) -> None:
        """Launches a kernel on torch's current stream, one thread per copy."""
        if self._simulated:
            getattr(self._kernels, name)[self._blocks, self.threads_per_block](*arguments)
            return
        stream = torch.cuda.current_stream(self.device).cuda_stream
        with cuda.gpus[self.device.index]:
            self._configured(name, stream)(*arguments)

    def _configured(self, name: str, stream: int) -> Any:
        launch = self._launches.get((name, stream))
        if launch is None:
            with warnings.catch_warnings():  # that few copies keep few multiprocessors busy
                warnings.simplefilter("ignore")
                configuration = (self._blocks, self.threads_per_block, cuda.external_stream(stream))
                launch = self._launches[name, stream] = getattr(self._kernels, name)[configuration]
        return launch

    # ------------------------------------------------------------------------------------ the environment

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Starts new episodes.

        Args:
            seed: as in `WorldVectorEnv`: s gives copy i the stream (s, i), a list gives copy i the stream (seed[i], 0).
            options: `"reset_mask"` `[B]` bool (a tensor on the device costs no transfer): only these copies;
                `"state"`: one start state for all of them.
        """
        options = options or {}
        chosen = torch.as_tensor(options.get("reset_mask", True), device=self.device)
        if chosen.ndim == 0:
            chosen = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        if chosen.shape != (self.num_envs,) or chosen.dtype != torch.bool:
            raise UsageError(
                f"reset_mask of shape {tuple(chosen.shape)}, {chosen.dtype}", expected=f"({self.num_envs},) bool"
            )
        self._seed(seed)
        out = self._next_output()
        self._launch("reset", *self._life, self._array(chosen.contiguous()), out.obs, out.mask, out.movers)
        if "state" in options:
            self._set_states(initial_of(self.world, options["state"]), chosen)
            nobody = torch.zeros_like(chosen)
            self._launch("reset", *self._life, self._array(nobody), out.obs, out.mask, out.movers)
        return out.results[0], self._infos_at_reset(out)

    def _infos_at_reset(self, out: StepTensors) -> dict[str, torch.Tensor]:
        return {name: value for name, value in out.results[4].items() if name in ("mover", "action_mask")}

    def _seed(self, seed: int | list[int | None] | None) -> None:
        given = self._copies.streams(seed)
        if given is not None:
            rows, keys = given
            self._copies.key[rows], self._copies.clock[rows] = self._tensor(keys), 0
        self._copies.keyed = True

    def step(
        self, actions: torch.Tensor, out: StepTensors | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """Steps every copy: `(obs, rewards, terminated, truncated, infos)`, tensors on the device.

        Args:
            actions: on the device, `[B]` int64 or int32, all at once `[B, M]`, continuous `[B, D]` float64 or float32.
                Each dtype compiles a kernel of its own.
            out: where to write; None for the environment's own memory, used in turn.

        Raises:
            UsageError: before the first reset; wrong shape, dtype or device. (Wrong actions: see `check`.)
        """
        if not self._copies.keyed:
            raise UsageError(
                f"step on {self.num_envs} copies of {self.world.name} before the first reset", hint="reset(seed=0)"
            )
        if (
            not isinstance(actions, torch.Tensor)
            or actions.dtype not in self._action_dtypes
            or actions.shape != self._actions_shape
            or actions.device != self.device
        ):
            raise self._refusal(actions)
        if out is None:
            out = self._next_output()
        given = self._array(actions if actions.is_contiguous() else actions.contiguous())
        self._launch("step", *self._life, given, *out.arrays, self._fault_array, self._mode, self._limit)
        obs, rewards, terminated, truncated, infos = out.results
        return obs, rewards, terminated, truncated, dict(infos)

    def _refusal(self, actions: Any) -> UsageError:
        kinds = " or ".join(str(kind) for kind in self._action_dtypes)
        found = f"a {type(actions).__name__}"
        if isinstance(actions, torch.Tensor):
            found = f"a tensor {tuple(actions.shape)} of {actions.dtype} on {actions.device}"
        return UsageError(
            f"actions for {self.world.name}: {found}",
            expected=f"a tensor {self._actions_shape} of {kinds} on {self.device}",
        )

    def _next_output(self) -> StepTensors:
        self._turn = 1 - self._turn
        return self._outputs[self._turn]

    def check(self) -> None:
        """Waits for the GPU and raises for the first copy given a wrong action since the last check.

        Raises:
            UsageError: naming the copy and what was wrong: out of range, illegal, or a step after the episode's end.
        """
        fault = int(self._fault.item())
        if fault == NO_FAULT:
            return
        self._fault.fill_(NO_FAULT)
        copy, kind = divmod(fault, self._kernels.KINDS)
        expected = {
            self._kernels.OUT_OF_RANGE: f"actions of {self.single_action_space}",
            self._kernels.ILLEGAL: "an action where infos['action_mask'][copy] is True",
            self._kernels.NOT_RUNNING: 'reset(options={"reset_mask": terminated | truncated})',
        }
        raise UsageError(
            f"copy {copy}: {FAULTS[kind]}, given to {self.world.name}",
            expected=expected[kind],
            hint="it was not taken, nor any other wrong action since the last check",
        )

    # ------------------------------------------------------------------------------------ random play

    def play(self, steps: int) -> RandomPlay:
        """Plays every copy `steps` steps at random, uniformly among the legal actions, in one kernel.

        The trajectories are those of `World.random_play` of this seed. Waits for the GPU at the end. Copies that were
        stepped before go on from where they are: what is left of that episode counts as one.
        """
        if not self._copies.keyed:
            self._seed(None)
        count, players = self.num_envs, self.world.players
        gained = torch.zeros(count if players == 1 else (players, count), dtype=torch.float64, device=self.device)
        returns = torch.zeros((players, count), dtype=torch.float64, device=self.device)
        episodes = torch.zeros((4, count), dtype=torch.int64, device=self.device)
        self._launch(
            "play", *self._life, self._array(gained), self._array(returns), self._array(episodes),
            self._limit, self._limit or LATER * steps, steps,
        )  # fmt: skip
        ended, *rest = episodes.sum(1).tolist()
        return played(np.append(returns.sum(1).cpu().numpy(), rest), count * steps, ended)

    # ------------------------------------------------------------------------------------ states

    @property
    def states(self) -> States:
        """The current states, packed, `[., B]`, in the memory of the processor (a copy; waits for the GPU)."""
        saved = self.state_dict()
        return PackedCopies(self.world, saved["floats"], saved["ints"]).states

    @states.setter
    def states(self, states: States) -> None:
        self._set_states(states, torch.ones(self.num_envs, dtype=torch.bool, device=self.device))

    def _set_states(self, states: States, chosen: torch.Tensor) -> None:
        if self._num_floats:
            floats = self._tensor(states.floats).to(self.dtype)
            self._floats[:] = torch.where(chosen, floats, self._floats)
        ints: Any = self._copies.states.ints
        ints[:] = torch.where(chosen, self._tensor(states.ints), ints)

    def state_dict(self) -> dict[str, Any]:
        """Returns everything the copies' future depends on, but the actions; `WorldVectorEnv` takes it too."""
        floats = self._floats[:, : self.num_envs].double().cpu().numpy().copy()
        if not self._num_floats:
            floats = np.zeros((0, self.num_envs))
        return {"floats": floats, "ints": self._ints.cpu().numpy().copy(), "keyed": self._copies.keyed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict()`, of this class or of `WorldVectorEnv`.

        Raises:
            UsageError: the state is of another number of copies or of another world.
        """
        floats, ints = np.asarray(state["floats"]), np.asarray(state["ints"])
        shape = (self._num_floats, self.num_envs)
        if floats.shape != shape or ints.shape != tuple(self._ints.shape):
            raise UsageError(
                f"an environment state of shapes {floats.shape}, {ints.shape}",
                expected=f"{shape}, {tuple(self._ints.shape)} ({self.num_envs} copies of {self.world.name})",
            )
        if self._num_floats:
            self._floats.copy_(self._tensor(floats))
        self._ints.copy_(self._tensor(ints))
        self._copies.keyed = bool(state["keyed"])


def _device(device: str | torch.device, simulated: bool) -> torch.device:
    """Returns the device with its number; the processor in the simulator."""
    if simulated:
        return torch.device("cpu")
    found = torch.device(device)
    if found.type != "cuda":
        raise UsageError(f"device {device!r}", expected='"cuda" or "cuda:1", a GPU')
    return found if found.index is not None else torch.device("cuda", torch.cuda.current_device())


def _threads_per_block(copies: int, device: torch.device) -> int:
    """Returns the threads of a block: as many as leave two blocks for every multiprocessor, from 32 to 256."""
    multiprocessors = (
        SM_COUNT if device.type == "cpu" else torch.cuda.get_device_properties(device).multi_processor_count
    )
    threads = 32
    while threads < 256 and copies >= 2 * threads * 2 * multiprocessors:
        threads *= 2
    return threads
