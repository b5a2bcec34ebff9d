"""Episodes of text environments played by a language model, side by side, every token kept as it was drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inscape.agents.llm.generation.conversation import Conversation
from inscape.agents.llm.generation.generating import Reply, Tokens

MAX_TURNS = 10_000
"""Turns after which an episode is cut where nothing else ends it."""


@dataclass(frozen=True, eq=False)
class Exchange:
    """One turn.

    Attributes:
        context: tokens that the reply followed.
        reply: what was drawn.
        text: what was observed.
        reward: of the turn.
        problem: why the answer did nothing, or None.
        left_out: earlier turns that were not in the context.
    """

    context: Tokens
    reply: Reply
    text: str
    reward: float
    problem: str | None
    left_out: int


@dataclass(eq=False)
class TextEpisode:
    """An episode.

    Attributes:
        turns: in order.
        terminated: by the environment's rule; else a limit ended it.
        info: of the last turn.
    """

    turns: list[Exchange] = field(default_factory=list)
    terminated: bool = False
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def rewards(self) -> NDArray[np.float64]:
        """`[T]`."""
        return np.array([turn.reward for turn in self.turns])

    @property
    def problems(self) -> dict[str, int]:
        """How many turns had which problem."""
        kinds = [turn.problem for turn in self.turns if turn.problem is not None]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def play(
    envs: Sequence[Any],
    seeds: Sequence[int],
    begin: Callable[[Any], Conversation],
    replies: Callable[[Sequence[Tokens], Sequence[tuple[int, int]]], list[Reply]],
    room: int,
) -> list[TextEpisode]:
    """Returns an episode of each of B text environments.

    A reply that was cut at its budget is handed on as it is only where the environment can tell that it is whole: its
    answer is marked and ended; otherwise the turn is a `"cut"` one, which the environment is told as an empty answer.

    Args:
        envs: B `TextEnv`s.
        seeds: of their resets.
        begin: makes a conversation for an environment.
        replies: draws a reply to each context, given `(episode, turn)` for each.
        room: tokens of a context at most.
    """
    episodes = [TextEpisode() for _ in envs]
    talks = [begin(env) for env in envs]
    texts: list[str] = []
    for env, seed, talk in zip(envs, seeds, talks, strict=True):
        text, _ = env.reset(seed=int(seed))
        texts.append(text)
        talk.observe(text)
    live = list(range(len(envs)))
    turn = 0
    while live and turn < MAX_TURNS:
        contexts = [talks[k].context(room) for k in live]
        drawn = replies([tokens for tokens, _ in contexts], [(k, turn) for k in live])
        going = []
        for k, (tokens, left_out), reply in zip(live, contexts, drawn, strict=True):
            env, episode = envs[k], episodes[k]
            cut = reply.cut and not reply.text.endswith(tuple(env.stop))
            text, reward, terminated, truncated, info = env.step("" if cut else env.cue + reply.text)
            problem = "cut" if cut and info.get("problem") == "empty" else info.get("problem")
            episode.turns.append(Exchange(tokens, reply, texts[k], float(reward), problem, left_out))
            episode.terminated, episode.info = terminated, info
            if terminated or truncated:
                continue
            talks[k].answer(reply)
            talks[k].observe(text)
            texts[k] = text
            going.append(k)
        live, turn = going, turn + 1
    return episodes
