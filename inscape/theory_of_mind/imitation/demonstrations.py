"""What there is to imitate: decisions of an expert, from an agent that acts or from recorded episodes."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from inscape.agents.adapters import as_agent, for_task
from inscape.agents.interface import Agent, can_remember, can_score
from inscape.agents.registry import find_entry, make_agent
from inscape.agents.rollout import rollout
from inscape.envs.data.trajectory import Trajectory
from inscape.envs.tasks.checking.contract import integer_range, mask_sizes
from inscape.errors import UsageError
from inscape.theory_of_mind.imitation.settings import ImitationSettings
from inscape.world_models.networks.encoders.packing import packing_of
from inscape.world_models.networks.numpy_distributions import half_range
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

# experiments stand on theory of mind, which names what it asks of them and does not import it
EPISODES = "inscape.experiments.runs.storage.episodes:load_trajectories"
RUNS = "inscape.experiments.runs.resuming:load_agent"
SOURCES = (
    "--expert value-iteration, --expert RUN, or --data FILE.npz|RUN|minari:NAME; in Python also data=[trajectories]"
)


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """N decisions of an expert, episode after episode.

    Attributes:
        observations: `[N, ...]`; packed, where they are of several parts.
        actions: `[N, ...]` as the network's distribution has them: from 0, or in units of half the range.
        action_masks: `[N, A]` bool, True where legal; None where every action is.
        targets: `[N, A]` probabilities with which the expert takes each action; None where only its actions are known.
        next_observations: `[N, ...]` what followed; None where nobody asks.
        terminated: `[N]` bool: the task ended there.
        episode: `[N]` int64, which episode each belongs to.
        mean_return: of the episodes; None where that is not known.
    """

    observations: Array
    actions: Array
    action_masks: Array | None
    targets: Array | None
    next_observations: Array | None
    terminated: Array
    episode: Array
    mean_return: float | None = None

    def __len__(self) -> int:
        return len(self.actions)

    def of(self, rows: Any) -> Demonstrations:
        """Returns some of the decisions."""
        return Demonstrations(
            self.observations[rows], self.actions[rows],
            None if self.action_masks is None else self.action_masks[rows],
            None if self.targets is None else self.targets[rows],
            None if self.next_observations is None else self.next_observations[rows],
            self.terminated[rows], self.episode[rows], self.mean_return,
        )  # fmt: skip

    def joined(self, other: Demonstrations) -> Demonstrations:
        """Returns the decisions of both, without what followed; a mask that one lacks stands for all actions.

        Raises:
            UsageError: only one has targets.
        """
        if (self.targets is None) != (other.targets is None):
            raise UsageError("decisions with and without probabilities", expected="all of one kind")
        masks = None
        if self.action_masks is not None and other.action_masks is not None:
            masks = np.concatenate([self.action_masks, other.action_masks])
        elif (known := self.action_masks if other.action_masks is None else other.action_masks) is not None:
            width = known.shape[1]
            masks = np.concatenate(
                [
                    np.ones((len(one), width), bool) if one.action_masks is None else one.action_masks
                    for one in (self, other)
                ]
            )
        return Demonstrations(
            np.concatenate([self.observations, other.observations]),
            np.concatenate([self.actions, other.actions]),
            masks,
            None if self.targets is None or other.targets is None else np.concatenate([self.targets, other.targets]),
            None,
            np.concatenate([self.terminated, other.terminated]),
            np.concatenate([self.episode, other.episode]),
            self.mean_return,
        )  # fmt: skip

    def state_dict(self) -> State:
        """Returns them as a checkpoint stores them."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_state(cls, state: State | None) -> Demonstrations | None:
        """Returns what `state_dict` stored."""
        if state is None:
            return None
        arrays: dict[str, Any] = {
            name: value if value is None or name == "mean_return" else np.array(value) for name, value in state.items()
        }
        return cls(**arrays)


def network_actions(actions: Any, space: gymnasium.Space[Any]) -> Array:
    """Returns `[N, ...]` actions of the environment as a network's distribution has them (`to_environment` undone)."""
    array = np.asarray(actions)
    if isinstance(space, gymnasium.spaces.Box):
        centre, half = half_range(space)
        return np.asarray((array - centre) / half, np.float32).reshape(len(array), -1)
    array = array.astype(np.int64) - np.asarray(getattr(space, "start", 0))
    return np.asarray(array if isinstance(space, gymnasium.spaces.Discrete) else array.reshape(len(array), -1))


def demonstrations_of(task: Task, trajectories: Sequence[Trajectory]) -> Demonstrations:
    """Returns the decisions of recorded episodes of a task.

    Raises:
        UsageError: there are none; what they observe or do is not of the task's spaces; an action that was not legal.
    """
    given: list[Any] = list(trajectories) if isinstance(trajectories, (list, tuple)) else [trajectories]
    if wrong := [one for one in given if not isinstance(one, Trajectory)]:
        raise UsageError(f"data of {type(wrong[0]).__name__}", expected="a list of Trajectory", hint="rollout(…)")
    given = [one for one in given if len(one)]
    if not given:
        raise UsageError("no decision to imitate", expected="episodes with at least one action")
    space, observed, packing = task.action_space, task.observation_space, packing_of(task.observation_space)
    seen, following, actions, masks = [], [], [], []
    for number, one in enumerate(given):
        one.require_whole()
        rows = _observations(one.observations, observed, packing, number)
        legal = one.action_masks
        _check_actions(one.actions, space, legal, number)
        seen.append(rows[:-1])
        following.append(rows[1:])
        actions.append(network_actions(one.actions, space))
        masks.append(legal)
    width = next((mask.shape[1] for mask in masks if mask is not None), None)
    ends = [np.arange(len(one)) == len(one) - 1 for one in given]
    return Demonstrations(
        np.concatenate(seen),
        np.concatenate(actions),
        None
        if width is None
        else np.concatenate(
            [np.ones((len(one), width), bool) if mask is None else mask for one, mask in zip(given, masks)]
        ),
        None,
        np.concatenate(following),
        np.concatenate([end & one.terminated for end, one in zip(ends, given)]),
        np.repeat(np.arange(len(given)), [len(one) for one in given]),
        float(np.mean([one.total_reward for one in given])),
    )


def _observations(rows: Array, space: gymnasium.Space[Any], packing: Any, number: int) -> Array:
    if packing is not None:
        return np.asarray(packing(rows))
    array = np.asarray(rows)
    if array.shape[1:] != (space.shape or ()):
        raise UsageError(
            f"episode {number} with observations of shape {array.shape[1:]}", expected=f"observations of {space}",
            hint="episodes of the same world",
        )  # fmt: skip
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UsageError(f"episode {number} with observations that are not finite", expected="finite numbers")
    if array.dtype.kind in "iu" and not isinstance(space, gymnasium.spaces.Box):
        low, high = integer_range(space)
        if ((array < low) | (array >= high)).any():
            raise UsageError(f"episode {number} with observations out of range", expected=f"observations of {space}")
    return array


def _check_actions(actions: Array, space: gymnasium.Space[Any], legal: Array | None, number: int) -> None:
    array = np.asarray(actions)
    if array.shape[1:] != (space.shape or ()):
        raise UsageError(
            f"episode {number} with actions of shape {array.shape[1:]}", expected=f"actions of {space}",
            hint="episodes of one player in the same world",
        )  # fmt: skip
    if isinstance(space, gymnasium.spaces.Box):
        inside = (array >= space.low) & (array <= space.high)  # a NaN is neither
    elif array.dtype.kind not in "iub":
        raise UsageError(f"episode {number} with actions of dtype {array.dtype}", expected=f"actions of {space}")
    else:
        low, high = integer_range(space)
        inside = (array >= low) & (array < high)
    wrong = ~inside.reshape(len(array), -1).all(axis=1)
    if legal is not None and not wrong.any():
        sizes = np.array(mask_sizes(space))
        firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        numbers = (array - np.asarray(getattr(space, "start", 0))).reshape(len(array), -1)
        wrong = ~np.take_along_axis(np.asarray(legal), numbers + firsts, axis=1).all(axis=1)
    if wrong.any():
        step = int(np.argmax(wrong))
        raise UsageError(
            f"episode {number}, step {step}: action {array[step]}, which is not possible there",
            expected=f"legal actions of {space}",
        )


# ---------------------------------------------------------------------------------------------------- where from


def named_expert(settings: ImitationSettings, task: Task, seed: int) -> Agent:
    """Returns the agent that settings name as the expert, made for a task.

    Raises:
        UsageError: none is named; it would have to be trained first; or a run whose code is not trusted.
    """
    name = settings.expert
    if not name:
        raise UsageError(f"nobody to imitate in {task.name}", expected="an expert, or recorded episodes", hint=SOURCES)
    if Path(name).is_dir():
        if settings.expert_settings:
            raise UsageError(
                f"settings {settings.expert_settings} of the run {name}", expected="those it was trained with"
            )
        agent, _ = _called(RUNS)(name)
        return for_task(as_agent(agent), task)
    entry = find_entry(name)
    if entry is not None and entry.learns and entry.name != "mcts":
        raise UsageError(
            f"expert = {name!r}, which has not been trained",
            expected="an agent that needs no training, or a run folder",
            hint=f"inscape train {name} {task.name} --out runs/expert, then --expert runs/expert",
        )  # fmt: skip
    return make_agent(name, task, seed=seed, settings=dict(settings.expert_settings) or None)


def gathered(settings: Any, task: Task, seed: int, expert: Any = None) -> Demonstrations:
    """Returns what settings say is to be imitated: recorded episodes, or those that the expert plays now.

    Args:
        settings: `CloneSettings` or `AIRLSettings`.
        task: what is acted in.
        seed: of the expert and its episodes.
        expert: an agent in hand instead of the named one.

    Raises:
        UsageError: as `named_expert` and `demonstrations_of`; the expert gives no probabilities, where those are
            imitated.
    """
    wants_probabilities = getattr(settings, "labels", "actions") == "probabilities"
    if settings.data and expert is None:
        if wants_probabilities:
            raise UsageError("labels = 'probabilities' of recorded episodes", expected="labels 'actions'")
        return demonstrations_of(task, _called(EPISODES)(settings.data))
    agent = named_expert(settings, task, seed) if expert is None else for_task(as_agent(expert), task)
    found = demonstrations_of(task, rollout(agent, task, settings.expert_episodes, seed))
    if not wants_probabilities:
        return found
    if packing_of(task.observation_space) is not None:
        raise UsageError(
            f"labels = 'probabilities' in {task.name}, whose observations have several parts",
            expected="labels 'actions'",
        )
    targets = probabilities_of(agent, found.observations, found.action_masks)
    return replace(found, targets=targets)


def probabilities_of(agent: Agent, observations: Any, action_masks: Array | None) -> Array:
    """Returns `[N, A]` probabilities of an expert's actions.

    Raises:
        UsageError: it cannot say them.
    """
    if not can_score(agent) or can_remember(agent):
        raise UsageError(
            f"labels = 'probabilities' of {agent.name}", hint="labels 'actions'",
            expected="an expert with action_log_probs, and without memory",
        )  # fmt: skip
    return np.asarray(np.exp(agent.action_log_probs(observations, action_masks)), np.float32)


def _called(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
