"""TextArena (https://github.com/LeonGuertler/TextArena): its games for one player as text environments."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from inscape.envs.text.conventions.foreign import GlobalRandom, known, number, package
from inscape.envs.text.interface import TextEnv, Turn
from inscape.errors import UsageError

INSTALL = "textarena"


class TextArenaEnv(TextEnv):
    """A game of TextArena for one player: `text_env("textarena:GuessTheNumber-v0")`.

    `reset(seed=s)` begins the game that TextArena begins with that seed; it draws from a global generator, which this
    keeps apart. TextArena rewards at the end only. An answer that it calls an invalid move is counted as `"illegal"`; a
    game that ends by TextArena's own limit of turns is terminated, since that limit is a rule of the game.

    Args:
        game: its id.
        max_turns: turns of an episode at most, beside the game's own limit.
        settings: of the game.

    Raises:
        UsageError: TextArena is not installed, has no such game, or the game is not for one player.
    """

    def __init__(self, game: str, *, max_turns: int | None = None, **settings: Any) -> None:
        arena = package("textarena", INSTALL)
        registry: Mapping[str, Any] = package("textarena.envs.registration", INSTALL).ENV_REGISTRY
        self._game, self.max_turns = known(game, registry, "textarena"), max_turns
        with contextlib.redirect_stdout(io.StringIO()):  # downloads tell of themselves
            self._fresh = arena.make(game, **settings)
        self.env = self._fresh
        self._random = GlobalRandom()

    @property
    def name(self) -> str:
        return f"textarena:{self._game}"

    def _begin(self, seed: int | None, options: Mapping[str, Any]) -> str:
        return self._started(int(self.np_random.integers(2**31)) if seed is None else seed)

    def begin(self, rng: np.random.Generator, options: Mapping[str, Any]) -> str:
        """Starts an episode and returns its first text."""
        return self._started(int(rng.integers(2**31)))

    def _started(self, seed: int) -> str:
        self._random.seed(seed)
        # TextArena's wrappers keep what was observed through resets: a game played again would show the last one's
        self.env = copy.deepcopy(self._fresh)
        try:
            with self._random.own():
                self.env.reset(num_players=1, seed=seed)
                return self._read()
        except AssertionError as error:
            raise UsageError(f"{self.name}: {error}", expected="a game for one player") from error

    def _read(self) -> str:
        seen = self.env.get_observation()[1]
        return seen if isinstance(seen, str) else "\n".join(str(message[1]) for message in seen)

    def respond(self, answer: str) -> Turn:
        """Returns what follows an answer."""
        with self._random.own():
            done, info = self.env.step(answer)
            text = self._read()
        state = self.env.state
        if not done:
            return Turn(text, problem="illegal" if state.made_invalid_move else None, info=dict(info))
        rewards, told = self.env.close()
        own = told[0]
        info = {**info, "reason": own.get("reason"), "turn_count": own.get("turn_count")}
        reward = number((rewards or {}).get(0), self.name)
        return Turn(text, reward, True, "illegal" if own.get("invalid_move") else None, info)
