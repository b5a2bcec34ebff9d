"""`export`: a run's agent in a format of others."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from inscape.errors import UsageError, closest
from inscape.experiments.exporting.hub import HUB, pull, push, write_hub_folder
from inscape.experiments.runs.folders import open_run
from inscape.experiments.runs.resuming import load_agent
from inscape.experiments.runs.run import Run

SUFFIXES = {"onnx": ".onnx", "torchscript": ".pt", "sb3": ".zip", "hub-folder": "-hub"}
"""Format → what is added to the run's name where no place is given."""


def export(run: Run | str | Path, to: str, out: str | Path | None = None) -> Path | str:
    """Writes a trained agent in a format of others and returns where.

        export("runs/CartPole-ppo-seed0", "onnx")
        export("hub:somebody/cartpole", "hub-folder", out="runs/theirs")

    `"onnx"` and `"torchscript"` are the policy as it acts greedily: `observation` `[B, …]` as the environment gives it
    (and `action_mask` `[B, A]` in worlds with illegal actions) to `action` `[B, …]` as the environment takes it, and
    `scores` `[B, A]`: logits, action values or means. Both act without Inscape.

    Args:
        run: a run, its folder, or `hub:NAME`, which is downloaded first.
        to: "onnx"; "torchscript"; "sb3", a zip of Stable-Baselines3; "hub-folder", the run with a card, without
            pickles; or "hub:NAME", which uploads that.
        out: where to write; None for a name made of the run's, in the working folder.

    Raises:
        UsageError: no such format; the agent does not fit it; a package is missing; the place exists or cannot be
            written; the hub cannot be reached.
    """
    if to not in SUFFIXES and not to.startswith(HUB):
        known = [*SUFFIXES, f"{HUB}NAME"]
        raise UsageError(f"format {to!r}", expected=", ".join(known), hint=closest(to, known))
    if isinstance(run, str) and run.startswith(HUB):
        name = run.removeprefix(HUB)
        place = Path(out) if out is not None and to == "hub-folder" else Path("runs") / name.replace("/", "-")
        run = pull(name, place)
        if to == "hub-folder":
            return run
    run = run if isinstance(run, Run) else open_run(run)
    if to.startswith(HUB):
        return push(run, to.removeprefix(HUB))
    place = Path(f"{run.name}{SUFFIXES[to]}") if out is None else Path(out)
    if to == "hub-folder":
        return write_hub_folder(run, place)
    agent, task = load_agent(run)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir():
            raise UsageError(f"{place} is a folder", expected="a file to write", hint="another --out")
        if to == "sb3":
            from inscape.experiments.exporting.sb3_model import write_sb3

            return write_sb3(agent, task, place)
        from inscape.experiments.exporting.policy import exported_policy

        policy = exported_policy(agent, task)
        if to == "onnx":
            from inscape.experiments.exporting.onnx_graph import write_onnx

            return write_onnx(policy, place)
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript as a whole
            traced: Any = torch.jit.trace(policy, policy.examples(), check_trace=False)  # type: ignore[no-untyped-call]
            traced.save(str(place), _extra_files={"inscape.json": json.dumps(policy.about)})
        return place
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "open" not in str(error):
            raise
        raise UsageError(f"cannot write {place}: {error}", expected="a place that can be written") from error
