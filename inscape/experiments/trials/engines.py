"""Engines by name: what runs the trials of an experiment."""

from __future__ import annotations

from inscape.errors import UsageError, closest
from inscape.experiments.trials.jobs import Engine

ENGINES = ("local", "ray")
"""Worker processes of this machine; a Ray cluster."""


def engine_of(engine: Engine | str | None, address: str | None = None) -> Engine | None:
    """Returns an engine; None for worker processes of this machine.

    Args:
        engine: its name, or what runs jobs.
        address: of the cluster, for "ray"; None for `RAY_ADDRESS`, and without it a cluster of this machine's own.

    Raises:
        UsageError: there is no engine of that name; an address with one that has none.
    """
    if engine == "ray":
        from inscape.experiments.trials.ray_engine import RayEngine

        return RayEngine(address)
    if address is not None:
        raise UsageError(f"an address, {address!r}, and no cluster", expected="both", hint="--engine ray --address …")
    if engine is None or engine == "local":
        return None
    if isinstance(engine, str) or not callable(engine):
        expected = f"{', '.join(ENGINES)}; or RayEngine(address)"
        raise UsageError(f"no engine {engine!r}", expected=expected, hint=closest(str(engine), ENGINES))
    return engine
