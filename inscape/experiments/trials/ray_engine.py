"""Trials on a Ray cluster. What runs where and when is Ray's to decide; this hands trials over and counts results."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from inscape.errors import UsageError
from inscape.experiments.trials.jobs import ATTEMPTS, IN_NOTEBOOK, Job
from inscape.experiments.trials.remote import order_of, perform_order
from inscape.experiments.trials.trial import TrialResult
from inscape.experiments.trials.worker import failed, perform

PENDING = 500
"""Trials at most that Ray has at a time, running or waiting for a processor."""
ANSWER_SECONDS = 4.0
"""How long is waited for the head of a cluster to answer."""
STORE_BYTES = 256 << 20
"""Shared memory of a cluster of this machine's own: worlds go through it."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What begins a connection of HTTP/2 (RFC 9113, section 3.4), which gRPC speaks: the other side answers alike."""


@dataclass(frozen=True)
class RayEngine:
    """Runs trials on a Ray cluster, each on one processor (and one GPU, where `device` is "cuda").

        experiment.run("experiments/lake", engine=RayEngine("10.0.0.5:6379"))

    A trial whose process or machine dies is begun again elsewhere, three times at most; so is what a killed driver
    left, when the same experiment is run again. Machines need the same Inscape. Files of worlds and agents are sent
    along; run folders are kept where a machine sees the experiment's folder (a shared disk), numbers always.

    Attributes:
        address: `HOST:PORT` of the head, on a machine of the cluster; "auto" for the cluster that this machine belongs
            to; "local" for one of its own; None for `RAY_ADDRESS`, or without it one of its own.
    """

    address: str | None = None

    def __call__(self, due: Sequence[Job], jobs: int | None) -> Iterator[TrialResult]:
        """Runs jobs and yields their results as they come.

        Args:
            due: the jobs.
            jobs: how many at once; None for as many as the cluster has processors.

        Raises:
            UsageError: Ray is not installed, or the cluster does not answer.
        """
        deadline = getattr(due, "deadline", None)
        elsewhere = [job for job in due if IN_NOTEBOOK not in job.payload]
        if elsewhere:
            with _connected(self.address, jobs) as ray:
                yield from _on_cluster(ray, elsewhere, jobs, deadline)
        for job in due:
            if IN_NOTEBOOK in job.payload and (deadline is None or time.monotonic() < deadline):
                yield perform(job.trial, job.payload, job.root)


def _on_cluster(ray: ModuleType, due: Sequence[Job], jobs: int | None, deadline: float | None) -> Iterator[TrialResult]:
    gpu = [job for job in due if job.trial.device == "cuda"]
    if gpu and not ray.cluster_resources().get("GPU"):
        print(f"the Ray cluster has no GPU; {len(gpu)} trials wait for one", file=sys.stderr)
    until = None if deadline is None else time.time() + deadline - time.monotonic()
    task = ray.remote(max_retries=0)(perform_order)  # what dies is counted, and begun again, below
    waiting, running = deque(due), dict[Any, Job]()
    worlds, contents = dict[bytes, Any](), dict[str, bytes]()
    no_folder = 0
    try:
        while waiting or running:
            while waiting and len(running) < min(jobs or PENDING, PENDING):
                job = waiting.popleft()
                if job.payload not in worlds:
                    worlds[job.payload] = ray.put(job.payload)
                gpus = 1 if job.trial.device == "cuda" else 0
                options = {"num_cpus": 1, "num_gpus": gpus, "name": job.trial.name}
                running[task.options(**options).remote(order_of(job, until, contents), worlds[job.payload])] = job
            ray.wait(list(running), num_returns=1)
            for ready in ray.wait(list(running), num_returns=len(running), timeout=0)[0]:
                job = running.pop(ready)
                try:
                    result = ray.get(ready)
                except ray.exceptions.RayTaskError as error:  # before the trial: no Inscape there, most likely
                    yield failed(job.trial, f"could not be begun on a machine of the cluster: {_last(error)}")
                except ray.exceptions.RayError as error:
                    if job.attempt < ATTEMPTS:
                        waiting.appendleft(replace(job, attempt=job.attempt + 1))
                    else:
                        why = f"its process or machine died {ATTEMPTS} times: {_last(error)}"
                        yield failed(job.trial, why, ATTEMPTS)
                else:
                    if result is not None:
                        no_folder += job.root is not None and result.finished and not result.run
                        yield replace(result, attempts=job.attempt)
    finally:
        for ready in running:
            with suppress(Exception):  # the cluster may be gone
                ray.cancel(ready, force=True)
        if no_folder:
            hint = "an --out on a disk that all machines share keeps them"
            print(
                f"{no_folder} trials ran where the folder is not seen: numbers, no run folders; {hint}", file=sys.stderr
            )


def _last(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


# ---------------------------------------------------------------------------------------------- the connection


def require_ray() -> ModuleType:
    """Returns the package.

    Raises:
        UsageError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no reports to its makers
    os.environ.setdefault(
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
    )  # trials without a GPU: Ray leaves the variable alone
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise UsageError(
            "--engine ray needs the package ray", expected="it installed", hint='pip install "inscape[ray]"'
        ) from error
    module: ModuleType = ray
    return module


@contextmanager
def _connected(address: str | None, jobs: int | None) -> Iterator[ModuleType]:
    """Within the block this process belongs to a cluster; one that it belonged to before, it still does after."""
    address = address if address is not None else os.environ.get("RAY_ADDRESS") or "local"
    parsed = _parsed(address)
    ray = require_ray()
    if ray.is_initialized():
        there = ray.get_runtime_context().gcs_address
        if parsed is not None and parsed[1] != int(there.rpartition(":")[2]):
            raise UsageError(f"this process belongs to the cluster at {there}", hint="ray.shutdown() first")
        yield ray
        return
    if parsed is not None:
        _require_answer(address, *parsed)
    own = {"num_cpus": jobs, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    try:
        ray.init(
            address,
            logging_level="ERROR",
            log_to_driver=False,
            namespace="inscape",
            **(own if address == "local" else {}),
        )
    except (Exception, SystemExit) as error:  # Ray exits where it cannot connect
        raise UsageError(
            f"no Ray cluster at {address!r}: {_last(error)}",
            expected="the address of a running cluster, of the same Ray and Python, that this machine belongs to",
            hint="ray start --address HOST:PORT on this machine; or no --address: a cluster of its own",
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _parsed(address: str) -> tuple[str, int] | None:
    """Returns the host and the port of an address; None for "auto" and "local"."""
    if address in ("auto", "local"):
        return None
    host, _, port = str(address).rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or "/" in host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65_536:
        raise UsageError(
            f"address {address!r}", expected='HOST:PORT of the cluster\'s head, "auto" or "local"',
            hint="--address 10.0.0.5:6379, as `ray start --head` prints it, on a machine of the cluster",
        )  # fmt: skip
    return host, int(port)


def _require_answer(address: str, host: str, port: int) -> None:
    """Raises `UsageError` if nothing that speaks gRPC is at an address. Ray itself would try for two minutes."""
    try:
        with socket.create_connection((host, port), timeout=ANSWER_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") in ("", "0"):
                connection.settimeout(ANSWER_SECONDS)
                connection.sendall(_PREFACE)
                answer = connection.recv(9)
                if len(answer) < 4 or answer[3] != 4:  # the frame type SETTINGS
                    raise OSError("something else answers")
    except (OSError, UnicodeError) as error:
        why = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or error
        raise UsageError(
            f"no Ray cluster at {address!r}: {why}",
            expected="the address of a running cluster's head",
            hint="ray status; ray start --head prints the address",
        ) from error
