"""Every environment with named actions as a text environment: its state described, its answers read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from inscape.envs.text.answers import read_answer
from inscape.envs.text.interface import TextEnv, Turn
from inscape.errors import PartialObservationError, TooManyStatesError, UsageError

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

MAX_NUMBERS = 256
"""Longest observation that is spelt out number by number."""


def observation_text(observation: NDArray[Any]) -> str:
    """Returns an observation as text, number by number: `"observation 0.12 -3"` (three significant digits).

    Raises:
        UsageError: it has too many numbers to read, or is made of something else.
    """
    values = np.asarray(observation).reshape(-1)
    if values.dtype.kind not in "iufb" or len(values) > MAX_NUMBERS:
        raise UsageError(
            f"an observation of {len(values)} values of dtype {values.dtype} for a language model",
            expected=f"at most {MAX_NUMBERS} numbers, or a world whose observations determine its state",
            hint="give the world a `describe`, or use another agent",
        )
    # + 0.0 turns −0.0 into 0.0: one number, one text
    words = (f"{value + 0.0:.3g}" if values.dtype.kind == "f" else str(int(value)) for value in values.tolist())
    return "observation " + " ".join(words)


def action_names_of(task: Task) -> tuple[str, ...]:
    """Returns the names of a task's actions: the world's own, or their numbers in an environment that names none.

    Raises:
        UsageError: the action space is not one finite choice, or two actions share a name.
    """
    space = task.action_space
    if not isinstance(space, gym.spaces.Discrete):
        raise UsageError(
            f"the action space {space} of {task.name}",
            expected="a Discrete one: the language model chooses among named actions",
            hint="ppo or sb3:sac for continuous actions",
        )
    names = task.action_names
    if len(set(names)) < len(names):
        raise UsageError(f"the actions of {task.name} are {', '.join(names)}", expected="names that differ")
    return names


class Describer:
    """Turns observations into text that says no more than they do.

    The text is the world's own `describe_observation` of what is perceived; where it has none but what is perceived
    determines the state, `describe` of the state; elsewhere the numbers of the observation are written out.
    """

    def __init__(self, task: Task) -> None:
        self._world = task.world

    def describe(self, observations: NDArray[Any]) -> list[str]:
        """Returns a text for each of `[B, ...]` observations.

        Raises:
            UsageError: an observation cannot be written out.
        """
        if self._world is not None:
            seen = self._world.describe_seen(observations)
            if seen is not None:
                return seen
            try:
                states = self._world.states_of(observations)
            except (PartialObservationError, TooManyStatesError):
                self._world = None  # the text may hold no more than the observation does
            else:
                return [self._world.describe_state(states, b) for b in range(len(observations))]
        return [observation_text(row) for row in observations]


class DescribedEnv(TextEnv):
    """A world, or a Gymnasium environment with discrete actions, played through text.

    `reset(seed=s)` begins the episode that `task.env().reset(seed=s)` begins. Each text describes what is perceived,
    then names the actions that are legal now. An answer is read by `read_answer`; one that names no action, or an
    illegal one, does nothing but count as a turn, and the text says so.

    Args:
        task: what is played.
        penalty: what an answer with a problem costs.
        max_turns: turns of an episode at most, answers with problems included; None: twice the task's limit, where it
            has one.
        list_actions: whether texts name the legal actions.

    Raises:
        UsageError: its actions are not one finite choice, or it has several players.
    """

    cue = "action:"

    def __init__(
        self, task: Task, *, penalty: float = 0.0, max_turns: int | None = None, list_actions: bool = True
    ) -> None:
        if task.players > 1:
            raise UsageError(
                f"{task.name} has {task.players} players",
                expected="one player",
                hint=f"without text:, where `llm` scores the actions: inscape evaluate llm {task.name}",
            )
        if max_turns is not None and max_turns < 1:
            raise UsageError(f"max_turns = {max_turns}", expected="at least 1, or None")
        if not penalty >= 0:  # written so that NaN is refused too
            raise UsageError(f"penalty = {penalty!r}", expected="a number of at least 0")
        self.task, self.penalty, self.list_actions = task, float(penalty), list_actions
        limit = task.max_episode_steps
        self.max_turns = max_turns if max_turns is not None else None if limit is None else 2 * limit
        self.actions = action_names_of(task)
        self.env = task.env()
        self._describer = Describer(task)
        self.history = 0 if _determines_state(task) else None
        self._body = ""
        self.instructions = f"You act in {task.name}. Answer with one line: action: NAME"

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def legal(self) -> NDArray[np.bool_]:
        """`[A]`, True where the action is legal now."""
        return self._legal

    def _begin(self, seed: int | None, options: Mapping[str, Any]) -> Turn:
        observation, info = self.env.reset(seed=seed, options=dict(options) or None)
        return Turn(self._read(observation, info), info=info)

    def respond(self, answer: str) -> Turn:
        """Returns what follows an answer."""
        read = read_answer(answer, self.actions)
        problem = read.problem
        if read.action is not None and not self._legal[read.action]:
            problem = "illegal"
        if read.action is None or problem is not None:
            return Turn(f"{_told(problem, read.text)}\n{self._text_now()}", problem=problem, info=dict(self._info))
        offset = int(getattr(self.task.action_space, "start", 0))
        observation, reward, terminated, truncated, info = self.env.step(read.action + offset)
        text = self._read(observation, info)
        return Turn(text, float(reward), terminated, None, {**info, "action": read.action, "truncated": truncated})

    def _read(self, observation: Any, info: Mapping[str, Any]) -> str:
        self._info = {name: info[name] for name in ("action_mask",) if name in info}
        mask = info.get("action_mask")
        self._legal = np.ones(len(self.actions), np.bool_) if mask is None else np.asarray(mask, np.bool_)
        self.observation = observation
        self._body = self._describer.describe(np.asarray(observation)[None])[0].rstrip()
        return self._text_now()

    def _text_now(self) -> str:
        names = [name for name, legal in zip(self.actions, self._legal, strict=True) if legal]
        listed = f"\nactions: {', '.join(names)}" if self.list_actions else ""
        return f"{self._body}{listed}"

    def close(self) -> None:
        self.env.close()


def _determines_state(task: Task) -> bool:
    """Whether what is perceived is all there is to know."""
    world = task.world  # asked of the law's functions: to invert its observations would enumerate a large world
    if world is None:
        return False
    return world.law_function("state_of") is not None or world.law_function("observation") is None


def _told(problem: str | None, read: str) -> str:
    shown = read if len(read) <= 60 else read[:57] + "..."
    return {
        "empty": "That answer was empty.",
        "illegal": f"The action {shown!r} is illegal here.",
        "ambiguous": f"The answer {shown!r} may mean several actions.",
    }.get(problem or "", f"The answer {shown!r} names no action.")
