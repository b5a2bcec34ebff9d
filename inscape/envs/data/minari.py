"""Episodes as Minari data sets, and Minari data sets as episodes (extra `data`).

    trajectories_to_minari(rollout(agent, task, 100, seed=0), "inscape/frozenlake/ppo-v0")
    trajectories = trajectories_from_minari("inscape/frozenlake/ppo-v0")

What comes back is what was stored, bit for bit: a data set has no place for states and names of tasks, so they go where
Minari allows more, into `infos` and the metadata; others can read the set without knowing of them.

Source: Minari, https://minari.farama.org, "Dataset standards".
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from inscape import trust
from inscape.envs.data.trajectory import Trajectory
from inscape.envs.law.states import States
from inscape.envs.registry import gymnasium_spec
from inscape.envs.tasks.checking.batches import ARRAY_SPACES
from inscape.envs.tasks.resolve import as_task, task_from_json
from inscape.envs.tasks.task import Task
from inscape.errors import UsageError

if TYPE_CHECKING:
    from minari import MinariDataset

    from inscape.envs.tasks.resolve import Given

TASK = "inscape_task"
"""Metadata of a data set: the task as JSON."""
CODE, SIGNATURE = "inscape_code", "inscape_signature"
"""Metadata of a data set: where the files lie that the task names, and the signature of who recorded it."""
AGENT, SEED = "inscape_agent", "inscape_seed"
"""Metadata of an episode: who acted, and the seed of the rollout it is from. (Minari's own `seed` would be that of one
environment's `reset`, which episodes played side by side do not have.)"""
FLOATS, INTS, MASK = "state_floats", "state_ints", "action_mask"
"""In `infos`: packed states `[T+1, ·]` and action masks `[T, A]`."""


def trajectories_to_minari(
    trajectories: Sequence[Trajectory], dataset_id: str, *, world: Given | None = None, **about: Any
) -> MinariDataset:
    """Returns a new local Minari data set that holds these episodes, losslessly.

    The environment is recorded where it has a Gymnasium id that can be written (`dataset.recover_environment()`): not
    of an environment in hand, nor where a class or a function in hand was registered. Observations and actions of
    several parts are arrays in episodes, as `gymnasium.spaces.flatten` makes them, and so in the data set.

    Args:
        trajectories: at least one, all of one task of one player.
        dataset_id: its name, `[namespace/]name-vN`.
        world: what they were played in, where that was in hand and has no name by which it is found again.
        about: what Minari stores about a data set that may be published: `author`, `author_email`,
            `code_permalink`, `description`.

    Raises:
        UsageError: the extra `data` is missing; no trajectories, or of several tasks, or of several players; a task
            that is not recorded in them; a name that is taken or that Minari does not take.
    """
    minari = _minari()
    task = _one_task(trajectories, world)
    agents = sorted({trajectory.agent for trajectory in trajectories})
    buffers = [_buffer(trajectory) for trajectory in trajectories]
    spec = _spec(task)
    try:
        dataset = minari.create_dataset_from_buffers(
            dataset_id,
            buffers,
            env=spec,
            observation_space=_recorded(task.observation_space, trajectories[0].observations),
            action_space=_recorded(task.action_space, trajectories[0].actions),
            algorithm_name=", ".join(agents),
            data_format="hdf5",
            jpeg_encoding=False,  # pictures come back as they were
            **about,
        )
    except ValueError as error:
        raise UsageError(
            f"Minari does not take {dataset_id!r}: {error}", expected="a new name such as frozenlake/ppo-v0"
        ) from error
    said = json.dumps(task.to_json())
    code = json.dumps(trust.code_record(trust.task_code_names(task.to_json())))
    signature = trust.sign("data set", f"{said}\n{code}".encode())
    dataset.storage.update_metadata({TASK: said, CODE: code, SIGNATURE: signature})
    dataset.storage.update_episode_metadata([{AGENT: one.agent, SEED: one.seed} for one in trajectories])
    return dataset


def trajectories_from_minari(dataset: MinariDataset | str) -> list[Trajectory]:
    """Returns the episodes of any Minari data set.

    Where the last step is marked neither as terminated nor as truncated, the data simply end: truncated.

    Args:
        dataset: a data set, or the name of a local one; nothing is downloaded.

    Raises:
        UsageError: the extra `data` is missing; there is no such data set; its observations or actions are not arrays.
    """
    minari = _minari()
    if isinstance(dataset, str):
        try:
            dataset = minari.load_dataset(dataset)
        except FileNotFoundError as error:
            raise UsageError(
                f"no Minari data set {dataset!r} here",
                expected="one of minari list local",
                hint=f"minari download {dataset}",
            ) from error
    for what, space in (("observations", dataset.observation_space), ("actions", dataset.action_space)):
        if space.shape is None:
            raise UsageError(f"the {what} of {dataset.id} are {space}", expected="arrays")
    metadata = dataset.storage.metadata
    task = _stored_task(metadata, dataset.id) if TASK in metadata else _task_of(dataset.env_spec)
    episodes = list(dataset.storage.get_episode_metadata(dataset.episode_indices))
    algorithm = metadata.get("algorithm_name", "")
    return [
        _trajectory(episode, of_episode, task, algorithm)
        for episode, of_episode in zip(dataset.iterate_episodes(), episodes, strict=True)
    ]


def _stored_task(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns the task that a data set holds; the code that it names may run if this user signed it."""
    said, code = str(metadata[TASK]), str(metadata.get(CODE, "{}"))
    signed = trust.is_signed("data set", f"{said}\n{code}".encode(), metadata.get(SIGNATURE))
    try:
        task: dict[str, Any] = json.loads(said)
        record = json.loads(code)
        if not (isinstance(task, dict) and isinstance(record, dict)):
            raise TypeError("not a JSON object")
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError(
            f"the metadata {TASK!r} of {name} cannot be read: {error}", expected="a task as JSON, as inscape stores it"
        ) from error
    if signed or trust.is_trusting():
        task = trust.located(task, record)
    if signed:
        trust.allow(trust.task_code_names(task))
    return task


def _minari() -> Any:
    try:
        import h5py  # noqa: F401  what Minari stores data sets with, and does not install by itself
        import minari
    except ImportError as error:
        raise UsageError(
            f"Minari data sets need a package that is not installed: {error.name}",
            hint="pip install 'inscape[data]'",
        ) from error
    return minari


def _recorded(space: gym.Space[Any], rows: np.ndarray) -> gym.Space[Any]:
    """Returns the space of rows in an episode: of several parts, those of their flattened arrays."""
    if isinstance(space, ARRAY_SPACES):
        return space
    kind = rows.dtype
    if kind.kind == "O":
        raise UsageError(f"elements of {space} in a data set", expected="elements of one size, that flatten to arrays")
    try:
        low, high = (getattr(gym.spaces.flatten_space(space), side) for side in ("low", "high"))
    except (NotImplementedError, AttributeError):  # a space of a package
        low = high = np.zeros(0)
    if low.shape != rows.shape[1:]:  # texts, as hashed words
        low, high = np.full(rows.shape[1:], -np.inf), np.full(rows.shape[1:], np.inf)
    limits: Any = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    if kind.kind != "f":
        low, high = np.maximum(low, limits.min), np.minimum(high, limits.max)
    return gym.spaces.Box(low.astype(kind), high.astype(kind), dtype=kind.type)


def _one_task(trajectories: Sequence[Trajectory], world: Given | None) -> Task:
    tasks = {json.dumps(trajectory.task, sort_keys=True): trajectory.task for trajectory in trajectories}
    if len(tasks) != 1 or not next(iter(tasks.values())):
        raise UsageError(
            f"{len(trajectories)} episodes of {len(tasks)} tasks ({', '.join(tasks) or 'none'})",
            expected="at least one episode, all of one task that is recorded in them",
        )
    task = task_from_json(next(iter(tasks.values()))) if world is None else as_task(world)
    if task.players > 1:
        raise UsageError(f"episodes of {task.name}, which has {task.players} players", expected="a task of one player")
    return task


def _spec(task: Task) -> gym.envs.registration.EnvSpec | None:
    """Returns what Gymnasium makes the task from; None for a world in a file, and for what cannot be written."""
    found = gymnasium_spec(task.name) if task.world is None else gym.registry.get(f"inscape/{task.name}-v0")
    if found is None:
        return None
    spec = copy.deepcopy(found)
    spec.kwargs.update(task.settings)
    try:
        spec.to_json()
    except (ValueError, TypeError):  # a class or a function in hand was registered, or given as an argument
        return None
    return spec


def _task_of(spec: gym.envs.registration.EnvSpec | None) -> dict[str, Any]:
    return {} if spec is None else {"name": spec.id, "settings": dict(spec.kwargs)}


def _buffer(trajectory: Trajectory) -> Any:
    from minari.data_collector import EpisodeBuffer

    last = np.arange(len(trajectory)) == len(trajectory) - 1
    infos: dict[str, np.ndarray] = {}
    if trajectory.states is not None:
        infos |= {FLOATS: trajectory.states.floats.T, INTS: trajectory.states.ints.T}
    if trajectory.action_masks is not None:
        infos[MASK] = trajectory.action_masks
    return EpisodeBuffer(
        observations=trajectory.observations,
        actions=trajectory.actions,
        rewards=trajectory.rewards,
        terminations=last & trajectory.terminated,
        truncations=last & trajectory.truncated,
        # no array without entries: HDF5 cannot grow what has no extent
        infos={name: array for name, array in infos.items() if array.size} or None,
    )


def _trajectory(episode: Any, of_episode: dict[str, Any], task: dict[str, Any], algorithm: str) -> Trajectory:
    infos = episode.infos or {}
    states = None
    if FLOATS in infos or INTS in infos:
        empty = np.zeros((len(episode) + 1, 0))
        floats, ints = infos.get(FLOATS, empty), infos.get(INTS, empty)
        states = States(np.array(floats.T, np.float64, order="C"), np.array(ints.T, np.int64, order="C"))
    terminated = bool(episode.terminations[-1])
    return Trajectory(
        observations=np.asarray(episode.observations),
        actions=np.asarray(episode.actions),
        rewards=np.asarray(episode.rewards, np.float64),
        terminated=terminated,
        truncated=bool(episode.truncations[-1]) or not terminated,
        states=states,
        action_masks=infos[MASK].astype(np.bool_) if MASK in infos else None,
        task=task,
        agent=str(of_episode.get(AGENT, algorithm)),
        seed=int(of_episode.get(SEED, of_episode.get("seed", 0))),
    )
