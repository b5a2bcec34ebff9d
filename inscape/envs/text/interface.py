"""The interface of text environments: observations and answers are `str`, otherwise a Gymnasium environment.

GEM's convention (`reset(seed) -> (str, info)`, `step(answer) -> (str, float, bool, bool, info)`) and Gymnasium's agree
on this; an environment of this interface serves both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.errors import UsageError

LONGEST = 1 << 20
"""Characters of the longest text of the spaces."""


class AnyText(gym.spaces.Text):
    """Any text up to a length, of whatever characters: `gymnasium.spaces.Text` takes the listed ones only."""

    def __init__(self, max_length: int = LONGEST, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(max_length, min_length=0, seed=seed)

    def contains(self, x: Any) -> bool:
        """Returns whether `x` is a text that is not too long."""
        return isinstance(x, str) and len(x) <= self.max_length

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """Returns a text of up to 16 letters and digits."""
        letters = list(self.character_list)
        return "".join(self.np_random.choice(letters, size=int(self.np_random.integers(1, 17))))

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, AnyText) and other.max_length == self.max_length

    def __repr__(self) -> str:
        return f"AnyText({self.max_length})"


class Turn(NamedTuple):
    """What an environment answers to an answer.

    Attributes:
        text: what the agent reads next.
        reward: of this turn.
        terminated: whether the episode ended by the environment's own rule.
        problem: why the answer did nothing (`"empty"`, `"unknown"`, `"ambiguous"`, `"cut"`, `"illegal"`, or a word
            of the environment's own), or None.
        info: anything else; `problem` and `problems` are added.
    """

    text: str
    reward: float = 0.0
    terminated: bool = False
    problem: str | None = None
    info: Mapping[str, Any] = {}


class TextEnv(gym.Env[str, str]):
    """A text environment. A subclass writes `begin` and `respond`; turns, limits, problems and seeds are kept here.

    Attributes:
        instructions: what the agent is told once, before the first observation.
        max_turns: turns after which an episode is truncated, or None.
        penalty: what an answer with a problem costs, on top of the environment's reward.
        cue: how an answer begins; a model is asked to go on from there.
        stop: texts that end an answer.
        history: turns before the present one that an answer may depend on; None: all.

    `info` holds `"problem"` (of this turn, where there is one) and `"problems"`: how many of each kind the episode has
    had so far. An answer with a problem counts as a turn and is never taken for another.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"]}
    instructions: str = ""
    max_turns: int | None = None
    penalty: float = 0.0
    cue: str = ""
    stop: tuple[str, ...] = ("\n",)
    history: int | None = None
    longest: ClassVar[int] = LONGEST

    observation_space: gym.spaces.Space[str] = AnyText()
    action_space: gym.spaces.Space[str] = AnyText()

    _running = False
    _turns = 0
    _text = ""

    def begin(self, rng: np.random.Generator, options: Mapping[str, Any]) -> str | Turn:
        """Starts an episode and returns its first text (or a `Turn`, whose `info` counts).

        Args:
            rng: draws whatever is drawn: the same seed gives the same episode.
            options: of `reset`.
        """
        raise NotImplementedError

    def respond(self, answer: str) -> Turn:
        """Returns what follows an answer."""
        raise NotImplementedError

    def solution(self) -> str | None:
        """Returns an answer, without the cue, that is right here; None where the environment knows none.

        For demonstrations to imitate, and for the scripted solvers of tests; agents that learn do not ask.
        """
        return None

    @property
    def name(self) -> str:
        """Its name, for messages."""
        return type(self).__name__

    @property
    def turns(self) -> int:
        """Turns of this episode so far."""
        return self._turns

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Starts an episode; returns its first text and infos."""
        super().reset(seed=seed)
        self._turns, self._problems = 0, dict[str, int]()
        begun = self._begin(seed, options or {})
        turn = begun if isinstance(begun, Turn) else Turn(begun)
        self._text, self._running = turn.text, not turn.terminated
        return turn.text, {**turn.info, "problems": {}}

    def _begin(self, seed: int | None, options: Mapping[str, Any]) -> str | Turn:
        """Starts an episode; environments that hand the seed on overwrite this."""
        return self.begin(self.np_random, options)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Takes an answer; returns text, reward, whether the episode terminated, was truncated, and infos.

        Raises:
            UsageError: the answer is not text, or no episode is under way.
        """
        if not isinstance(action, str):
            raise UsageError(f"the answer {action!r} to {self.name}", expected="a text (str)")
        if not self._running:
            raise UsageError(
                f"step on {self.name} after the episode's end, or before the first reset",
                expected="a running episode",
                hint="call reset() first",
            )
        if len(action) > self.longest:
            turn = Turn(self._text, problem="too long")
        else:
            turn = self.respond(action)
        reward = float(turn.reward)
        if turn.problem is not None:
            self._problems[turn.problem] = self._problems.get(turn.problem, 0) + 1
            reward -= self.penalty
        self._turns += 1
        info = {**turn.info, "problems": dict(self._problems)}
        if turn.problem is not None:
            info["problem"] = turn.problem
        # an environment behind this one may end an episode by a limit of its own, in the step that terminates it too
        limited = self.max_turns is not None and self._turns >= self.max_turns
        truncated = bool(info.pop("truncated", False)) or (limited and not turn.terminated)
        self._text, self._running = turn.text, not (turn.terminated or truncated)
        return turn.text, reward, turn.terminated, truncated, info

    def render(self) -> Any:
        """Returns the text that the agent reads now."""
        return self._text
