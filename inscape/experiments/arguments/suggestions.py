"""What a line most likely means: agent and world in the wrong order, options by the names that other tools use."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from inscape.errors import UsageError

_OF_OTHERS: dict[str, tuple[str, ...]] = {
    "learning-rate": ("lr", "step-size", "actor-lr", "policy-lr"),
    "anneal": ("lr-schedule", "anneal-lr"),
    "num-envs": ("n-envs", "num-env", "n-env", "nenvs", "num-copies", "copies", "vec-envs"),
    "num-steps": ("n-steps", "nsteps", "rollout-length", "rollout-steps", "horizon", "unroll-length"),
    "steps": (
        "total-timesteps",
        "timesteps",
        "n-timesteps",
        "num-timesteps",
        "total-steps",
        "train-steps",
        "max-steps",
    ),
    "entropy-coef": ("ent-coef", "entropy", "entropy-coeff", "entropy-cost", "alpha"),
    "value-coef": ("vf-coef", "vf-coeff", "value-loss-coef", "value-coeff"),
    "clip": ("clip-range", "clip-coef", "clip-param", "eps-clip", "clip-epsilon", "clip-ratio"),
    "epochs": ("n-epochs", "num-epochs", "update-epochs", "noptepochs", "ppo-epochs"),
    "minibatches": (
        "num-minibatches",
        "n-minibatches",
        "nminibatches",
        "num-mini-batch",
        "minibatch-size",
        "batch-size",
    ),
    "batch-size": ("batch", "minibatch-size", "mini-batch-size"),
    "buffer-size": ("replay-size", "replay-buffer-size", "memory-size", "buffer", "memory-capacity"),
    "gamma": ("discount", "discount-factor"),
    "gae-lambda": ("lam", "lambda", "gae-lam", "tau"),
    "max-grad-norm": ("grad-clip", "clip-grad", "gradient-clip", "max-grad"),
    "hidden": ("hidden-sizes", "hidden-size", "hidden-dim", "net-arch", "layers", "hidden-layers"),
    "activation": ("activation-fn",),
    "target-update-interval": ("target-update", "target-update-freq", "target-network-frequency", "target-freq"),
    "epsilon-fraction": ("exploration-fraction",),
    "epsilon-start": ("start-e", "eps-start", "exploration-initial-eps", "epsilon"),
    "epsilon-end": ("end-e", "eps-end", "exploration-final-eps", "final-epsilon"),
    "epsilon": ("eps",),
    "train-freq": ("train-frequency", "update-every", "train-every"),
    "gradient-steps": ("num-updates", "updates-per-step", "utd"),
    "learning-starts": ("start-steps", "warmup", "warmup-steps", "random-steps"),
    "normalize-observations": ("norm-obs", "normalize-obs", "normalise-observations"),
    "normalize-rewards": ("norm-reward", "norm-rewards", "normalize-reward", "normalise-rewards", "normalize"),
    "normalize-advantages": ("norm-adv", "normalize-advantage", "normalise-advantages"),
    "evaluate-every": ("eval-freq", "eval-every", "eval-interval"),
    "evaluate-episodes": ("eval-episodes", "n-eval-episodes", "num-eval-episodes"),
    "episodes": ("n-episodes", "num-episodes", "n-eval-episodes", "eval-episodes"),
    "simulations": ("num-simulations", "n-simulations", "rollouts", "iterations"),
    "out": (
        "output",
        "output-dir",
        "outdir",
        "out-dir",
        "log-dir",
        "logdir",
        "log-folder",
        "save-path",
        "save-dir",
        "save",
    ),
    "save": ("video", "record", "gif", "output", "out", "record-video", "capture-video"),
    "resume": ("continue", "restore", "checkpoint", "ckpt", "from-checkpoint", "trained-agent"),
    "device": ("gpu", "cuda", "use-cuda", "accelerator"),
    "seed": ("random-seed", "rng-seed"),
    "load": ("model", "model-path", "load-path", "trained-agent"),
}
"""Our option → what others call it."""
_NAMES = {
    **dict.fromkeys(("env", "env-id", "env-name", "environment", "world", "game", "task"), "WORLD"),
    **dict.fromkeys(("algo", "algorithm", "agent", "policy-name"), "AGENT"),
}
"""What others give as an option, and here is a name without one."""


def require_agent_first(command: str, names: Sequence[str]) -> None:
    """Raises UsageError where a line names a world where its agent should be.

    Args:
        command: name of the command.
        names: the first words of its line.
    """
    if not names or _is_agent(names[0]):
        return
    if len(names) == 2 and _is_agent(names[1]):
        raise UsageError(
            f"{names[0]} where an agent should be, and the agent {names[1]} where a world should be",
            expected=f"inscape {command} AGENT WORLD",
            hint=f"did you mean inscape {command} {names[1]} {names[0]}?",
        )
    if len(names) == 1 and _is_world(names[0]):
        agent = "ppo" if command == "train" else "random"
        raise UsageError(
            f"the world {names[0]} where an agent should be",
            expected=f"inscape {command} AGENT WORLD",
            hint=f"inscape {command} {agent} {names[0]}",
        )


def _is_agent(word: str) -> bool:
    """Whether every part of a word with commas is the name of an agent; imports no file."""
    from inscape.agents.registry import INDEPENDENT_PREFIX, SB3_PREFIX, agent_names
    from inscape.world_models.catalogue import model_names

    known = {name.lower() for name in (*agent_names(), *model_names())}
    parts = [part.strip().lower() for part in word.split(",")]
    return all(part in known or part.startswith((SB3_PREFIX, INDEPENDENT_PREFIX)) for part in parts)


def _is_world(word: str) -> bool:
    """Whether a word is the name of a world; imports no file."""
    from pathlib import Path

    from inscape.envs.registry import load_spec

    return ":" not in word and "/" not in word and not Path(word).exists() and load_spec(word) is not None


def options_of(
    kind: type, settings: object | None, prefix: str, world: object | None, planner: object | None = None
) -> set[str]:
    """Returns the names of a command's options, without dashes in front: those of its dataclass, of the agent's
    settings under a prefix, of the world's and the planner's."""
    own = {f.name for f in dataclasses.fields(kind)}
    of_agent = [f.name for f in dataclasses.fields(settings)] if dataclasses.is_dataclass(settings) else []
    of_world = [f.name for f in dataclasses.fields(world)] if dataclasses.is_dataclass(world) else []
    of_planner = [f.name for f in dataclasses.fields(planner)] if dataclasses.is_dataclass(planner) else []
    names = own | {prefix + name for name in of_agent}
    names |= {f"world.{name}" for name in of_world} | {f"planner.{name}" for name in of_planner}
    return {name.replace("_", "-") for name in names}


def require_known_words(words: Iterable[str], options: set[str], command: str, prefix: str = "") -> None:
    """Raises UsageError for an option that other tools have and this command calls otherwise.

    What is unknown altogether is left to the parser, which has a suggestion of its own.

    Args:
        words: the line after the command.
        options: names of the command's options, as `options_of` returns them.
        command: its name.
        prefix: what the agent's settings have in front, `"agent."` or nothing.
    """
    for word in words:
        if not word.startswith("--"):
            continue
        name = word[2:].partition("=")[0].replace("_", "-")
        bare = name.removeprefix("no-")
        if name in options or bare in options or prefix + bare in options:
            continue
        if name.lower() in _NAMES:
            raise UsageError(
                f"no option {word.partition('=')[0]}", expected=f"{_NAMES[name.lower()]} by its name alone",
                hint=f"inscape {command} AGENT WORLD",
            )  # fmt: skip
        for ours, theirs in _OF_OTHERS.items():
            found = next((option for option in (ours, prefix + ours) if option in options), None)
            if found is not None and bare.lower() in theirs:
                raise UsageError(
                    f"no option {word.partition('=')[0]}", expected="an option of the command, the agent or the world",
                    hint=f"did you mean --{found}? (inscape {command} --help, with the names before it, lists all)",
                )  # fmt: skip
