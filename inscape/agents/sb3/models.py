"""Models of Stable-Baselines3: their classes by name, from a zip, and their state as arrays."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from stable_baselines3.common.preprocessing import is_image_space

from inscape.agents.catalogue import SB3_ALGORITHMS
from inscape.agents.registry import find_entry
from inscape.agents.sb3.settings import RECURRENT
from inscape.envs.tasks.checking.contract import MASK_KEYS
from inscape.errors import UsageError
from inscape.trust import is_trusting
from inscape.world_models.networks.encoders.features import picture_layout
from inscape.world_models.networks.tensors import to_tensors
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


SB3_SMALLEST_PICTURE = 36
"""Pixels below which Stable-Baselines3's filters have nowhere left to go."""


def algorithm_class(algorithm: str) -> Any:
    """Returns the class of an algorithm by name.

    Raises:
        UsageError: unknown; the message lists those there are.
    """
    find_entry(f"sb3:{algorithm}")
    module, _, name = SB3_ALGORITHMS[algorithm][0].partition(":")
    return getattr(importlib.import_module(module), name)


def usual_policy(algorithm: str, task: Task) -> str:
    if algorithm == "ars":
        if isinstance(task.observation_space, gymnasium.spaces.Dict):
            raise UsageError(
                f"{task.name} observes {task.observation_space}, which sb3:ars does not take",
                expected="one array: its policy is linear",
                hint="--wrap gymnasium.wrappers:FlattenObservation; sb3:ppo takes a Dict of arrays",
            )
        return "LinearPolicy"
    kind = "MultiInput" if isinstance(task.observation_space, gymnasium.spaces.Dict) else "Mlp"
    if kind == "Mlp" and task.world is None and picture_layout(task.observation_space) is not None:
        kind = "Cnn"
        if not _takes_as_image(task.observation_space):
            raise UsageError(
                f"Stable-Baselines3 takes no pictures {task.observation_space.shape} of {task.observation_space.dtype}",
                expected="uint8 from 0 to 255, [height, width, channels] or [channels, height, width], 36 or wider",
                hint="gymnasium.wrappers.ReshapeObservation; ppo takes every layout",
            )
    if kind == "MultiInput":
        _require_pictures_among_parts(task)
    return f"{kind}LstmPolicy" if algorithm == RECURRENT else f"{kind}Policy"


def _require_pictures_among_parts(task: Task) -> None:
    """Raises for a part that Stable-Baselines3 would put through filters too large for it, or flatten as numbers."""
    for key, part in task.observation_space.spaces.items():  # type: ignore[attr-defined]
        filtered = bool(is_image_space(part, check_channels=False))
        if key not in MASK_KEYS and (filtered or picture_layout(part) is not None) and not _takes_as_image(part):
            raise UsageError(
                f"{task.name} observes {key!r}, {part.shape} of {part.dtype}, of which Stable-Baselines3 makes nothing",
                expected="pictures of uint8 from 0 to 255, [height, width, channels] or [channels, height, width], 36 "
                "or wider",
                hint="--wrap gymnasium.wrappers:FlattenObservation, or a wrapper that gives it another dtype or shape; "
                "ppo takes it as it is",
            )


def _takes_as_image(space: gymnasium.Space[Any]) -> bool:
    """Returns whether Stable-Baselines3 reads a space as pictures, of which its filters leave something."""
    picture = picture_layout(space)
    return (
        picture is not None
        and len(space.shape or ()) == 3
        and min(picture[0][1:]) >= SB3_SMALLEST_PICTURE
        and bool(is_image_space(space, check_channels=False))
    )


def load_zip(path: str | Path, algorithm: str, trust: bool, device: str = "cpu") -> Any:
    """Returns the Stable-Baselines3 model saved in a .zip. Such a file is unpickled, so it can run any code.

    Raises:
        UsageError: `trust` is False, and `inscape.trust.trusting` not in force; no such file; or it
            is not a model of this algorithm.
    """
    if not (trust or is_trusting()):
        raise UsageError(
            f"{path} is a Stable-Baselines3 zip: loading it unpickles, and so runs, what is in it",
            expected="a file whose maker you trust, and a word to that effect",
            hint="--trust",
        )
    if not Path(path).is_file():
        raise UsageError(f"no file {path}", expected="a .zip written by Stable-Baselines3")
    try:
        return algorithm_class(algorithm).load(path, device=device)
    except Exception as error:  # whatever a foreign archive raises, the file is what is wrong
        raise UsageError(
            f"{path} could not be loaded as a model of {algorithm}: {type(error).__name__}: {error}",
            expected=f"a .zip written by {SB3_ALGORITHMS[algorithm][0]}.save",
            hint="the algorithm it was trained with: sb3:<algorithm>",
        ) from error


def load_parameters(model: Any, arrays: dict[str, Any], name: str) -> None:
    parameters = {key: _with_int_keys(to_tensors(entry)) for key, entry in arrays.items()}
    try:
        model.set_parameters(parameters, exact_match=True, device=model.device)
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"stored weights do not fit {name}: {error}",
            expected="weights of the same algorithm with the same settings in the same task",
        ) from error


def _with_int_keys(entry: dict[str, Any]) -> dict[str, Any]:
    """Returns an optimiser's state with the numbers it uses as keys; anything else unchanged."""
    if "param_groups" not in entry:
        return entry
    return {**entry, "state": {int(number): moments for number, moments in entry["state"].items()}}


def attribute(model: Any, dotted: str) -> Any:
    for name in dotted.split("."):
        model = getattr(model, name)
    return model


def _replay_arrays(buffer: Any) -> dict[str, Array]:
    return {name: value for name, value in vars(buffer).items() if isinstance(value, np.ndarray)}


def replay_state(buffer: Any) -> State:
    filled = buffer.buffer_size if buffer.full else buffer.pos
    arrays = {name: array[:filled].copy() for name, array in _replay_arrays(buffer).items()}
    return {"pos": int(buffer.pos), "full": bool(buffer.full), "arrays": arrays}


def load_replay(buffer: Any, state: State) -> None:
    for name, array in _replay_arrays(buffer).items():
        stored = state["arrays"][name]
        if stored.shape[1:] != array.shape[1:] or len(stored) > len(array):
            raise UsageError(f"a replay buffer of shape {stored.shape} ({name})", expected=f"at most {array.shape}")
        array[: len(stored)] = stored
    buffer.pos, buffer.full = int(state["pos"]), bool(state["full"])
