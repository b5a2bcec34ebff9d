"""Several processes that learn as one: `torchrun --nproc-per-node 2 -m inscape train ppo CartPole`.

The environment copies of one run are shared out, and so are the rows of every minibatch. What the copies did is
gathered by all, gradients are added up over the processes, and random numbers are drawn as one process would draw them:
so the weights are those of one process with all the copies, but for the order in which the same numbers are added.

Process 0 drives: it has the run folder, says when a round begins and asks for the state of the others' copies when it
saves. The others follow (`ProcessGroup.orders`). Nothing is pickled on the way: states travel as JSON and raw arrays.

Source: synchronous data parallelism, Chen et al. (2016), "Revisiting Distributed Synchronous SGD", arXiv 1604.00981.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.interface import Metrics
from inscape.errors import UsageError
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def process_count() -> int:
    """Returns how many processes `torchrun` started for this run; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_number() -> int:
    """Returns which of them this one is. Process 0 has the run folder."""
    return int(os.environ.get("RANK", "0"))


def group_device(device: torch.device) -> torch.device:
    """Returns the card of this process where each has its own; any other device as it is."""
    import torch

    if device.type != "cuda" or device.index is not None or process_count() == 1:
        return device
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def part_of(state: State, number: int, count: int) -> State:
    """Returns the copies of process `number` of `count` from what a run saved of all its copies.

    Raises:
        UsageError: as many processes did not save it.
    """
    parts = state.get("parts", [state])
    if len(parts) != count:
        raise UsageError(
            f"the copies of {len(parts)} processes, to be gone on with by {count}",
            expected="as many processes as the run was started with",
            hint=f"torchrun --nproc-per-node {len(parts)} -m inscape train --resume RUN",
        )
    part: State = parts[number]
    return part


def mean_of(parts: Sequence[Mapping[str, Any]]) -> Metrics:
    """Returns the means over the episodes of all processes from those of each, whose `count` says of how many."""
    total = sum(part["count"] for part in parts)
    names = [name for name in max(parts, key=len) if name != "count"]
    return {name: sum(part["count"] * part[name] for part in parts if name in part) / total for name in names}


_met: list[ProcessGroup] = []
_parted = False


def process_group(device: str) -> ProcessGroup | None:
    """Returns the processes that learn together, met on the first call; None where this one is alone, or so again."""
    if process_count() == 1 or _parted:
        return None
    if not _met:
        _met.append(ProcessGroup(device))
    return _met[0]


def dismiss() -> None:
    """Parts from the other processes, if there are any; process 0 lets them go."""
    global _parted
    while _met:
        _met.pop().dismiss()
    _parted = process_count() > 1


class ProcessGroup:
    """The processes of one run. Every method but `share` is called by all of them, in the same order.

    Attributes:
        count: how many there are.
        number: which one this is.
    """

    def __init__(self, device: str) -> None:
        import torch
        from torch import distributed

        self.device = torch.device(device)
        self.count, self.number = process_count(), process_number()
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo")

    # ------------------------------------------------------------------------------------------- shares

    def copies(self, num_envs: int) -> int:
        """Returns how many of the run's copies are this process's.

        Raises:
            UsageError: they cannot be shared out evenly.
        """
        if num_envs % self.count:
            raise UsageError(
                f"num_envs = {num_envs} for {self.count} processes",
                expected=f"a multiple of {self.count}: each process has as many copies as any other",
                hint=f"--num-envs {(num_envs // self.count + 1) * self.count}",
            )
        return num_envs // self.count

    def share(self, rows: int) -> tuple[slice, float]:
        """Returns this process's part of so many rows, and its weight in their mean."""
        bounds = [rows * k // self.count for k in range(self.count + 1)]
        begin, end = bounds[self.number], bounds[self.number + 1]
        # a part without rows takes one that does not count: the mean of nothing would not be a number
        return slice(begin, max(end, begin + 1)) if begin < rows else slice(0, 1), (end - begin) / rows

    # ------------------------------------------------------------------------------------------- collectives

    def joined(self, part: Tensor) -> Tensor:
        """Returns `[T, B, ...]` of all copies from the `[T, b, ...]` of each process, in the order of the copies."""
        import torch
        from torch import distributed

        sent = part.to(self.device).contiguous()
        flat = sent.to(torch.uint8) if sent.dtype == torch.bool else sent
        parts = [torch.empty_like(flat) for _ in range(self.count)]
        distributed.all_gather(parts, flat)
        return torch.cat(parts, dim=1).to(dtype=sent.dtype, device=part.device)

    def joined_array(self, part: Array) -> Array:
        """The same for arrays."""
        import torch

        return self.joined(torch.from_numpy(np.ascontiguousarray(part))).numpy()

    def add_up(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Returns the sum of each tensor over the processes, the same bits in all of them; one message for all."""
        import torch
        from torch import distributed

        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        sums = torch.split(flat, [tensor.numel() for tensor in tensors])
        return [total.view_as(tensor) for total, tensor in zip(sums, tensors, strict=True)]

    def broadcast(self, message: State | None = None) -> State:
        """Returns what process 0 tells all; the others give nothing."""
        return self._exchanged(message, only_first=True)[0]

    def gathered(self, message: State) -> list[State]:
        """Returns what each process tells the others, in order."""
        return self._exchanged(message, only_first=False)

    def _exchanged(self, message: State | None, only_first: bool) -> list[State]:
        import torch
        from torch import distributed

        data = b"" if message is None else to_bytes(message)
        length = torch.tensor([len(data)], dtype=torch.int64, device=self.device)
        lengths = [torch.zeros_like(length) for _ in range(self.count)]
        distributed.all_gather(lengths, length)
        longest = max(int(length) for length in lengths)
        sent = torch.zeros(longest, dtype=torch.uint8)
        sent[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else sent[:0]
        sent = sent.to(self.device)
        if only_first:
            distributed.broadcast(sent, src=0)
            found = [sent]
        else:
            found = [torch.empty_like(sent) for _ in range(self.count)]
            distributed.all_gather(found, sent)
        _wait_for_release([sent, length, *found, *lengths])
        return [from_bytes(f.cpu().numpy()[: int(n)].tobytes()) for f, n in zip(found, lengths, strict=False)]

    # ------------------------------------------------------------------------------------------- who drives

    def orders(self) -> Iterator[State]:
        """Yields what process 0 asks of the others, until it says that it is done.

        Raises:
            SystemExit: process 0 is gone; it has said why.
        """
        while True:
            try:
                order = self.broadcast()
            except RuntimeError:
                raise SystemExit(1) from None
            if order["do"] == "end":
                return
            yield order

    def dismiss(self) -> None:
        """Leaves the processes; process 0 ends its orders: it will not learn on."""
        from torch import distributed

        if self.number == 0:
            self.broadcast({"do": "end"})
        distributed.destroy_process_group()


def _wait_for_release(tensors: Sequence[Tensor]) -> None:
    """Waits until torch's threads have let go of what was sent: done while Python ends, it would abort the process."""
    until = time.monotonic() + 1.0
    while any(tensor._use_count() > 1 for tensor in tensors) and time.monotonic() < until:  # type: ignore[attr-defined]
        time.sleep(0.0002)


# --- states as bytes -------------------------------------------------------------------------------------------------


def to_bytes(state: State) -> bytes:
    """Returns nested dicts and lists of arrays and JSON values as bytes: a JSON header, then the arrays one by one.

    Raises:
        TypeError: a key is no text, or a value is of another kind.
    """
    arrays: list[bytes] = []
    header = json.dumps(_described(state, arrays)).encode()
    return len(header).to_bytes(8, "little") + header + b"".join(arrays)


def from_bytes(data: bytes) -> State:
    """Returns what `to_bytes` was given; tuples as lists."""
    end = 8 + int.from_bytes(data[:8], "little")
    found: State = _rebuilt(json.loads(data[8:end]), memoryview(data), [end])
    return found


def _described(value: Any, arrays: list[bytes]) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("an array of Python objects cannot be sent")
        arrays.append(value.tobytes())
        return {"__array__": [value.dtype.str, list(value.shape)]}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"keys {list(value)} cannot be sent: they must be text")
        return {key: _described(entry, arrays) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_described(entry, arrays) for entry in value]
    return value


def _rebuilt(value: Any, data: memoryview, at: list[int]) -> Any:
    if isinstance(value, list):
        return [_rebuilt(entry, data, at) for entry in value]
    if not isinstance(value, dict):
        return value
    if list(value) == ["__array__"]:
        name, shape = value["__array__"]
        dtype, begin = np.dtype(name), at[0]
        at[0] += dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(data[begin : at[0]], dtype).reshape(shape).copy()
    return {key: _rebuilt(entry, data, at) for key, entry in value.items()}
