"""One player's side of a PettingZoo environment: the learner's seat acts, the others' moves happen inside `step`.

What `opponents_env` does with a law, by a Python loop over copies; Parallel and AEC environments alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inscape.envs.law import streams
from inscape.envs.tasks.checking.batches import batch_of
from inscape.envs.tasks.opponents import MOST_BEGINNINGS, Array, Opponents, SeatVectorEnv
from inscape.envs.tasks.pettingzoo import Game, PettingZooTask
from inscape.envs.tasks.pettingzoo_players import number_of_actions, taken_apart
from inscape.errors import UsageError
from inscape.rng import drawn_indices

MOST_MOVES = 100_000
"""Moves of others, one after another, after which the learner's turn is no longer waited for."""


class PettingZooOpponentsVectorEnv(SeatVectorEnv):
    """`num_envs` copies of a PettingZoo environment, as one of its players meets it; reset in the same step.

    An episode begins with a seat for the learner, opponents for the other seats, and their moves until it is the
    learner's turn; it ends when the learner's part does, by `terminated` or `truncated` as its own flags say. A step's
    reward is what the environment gives the learner's player at its next turn, or at its end; what it is given before
    its first action follows from none of them and is left out.

    Copy i of seed s begins with `copy_seeds`, and draws seats and opponents' choices from a stream of its own.

    Args:
        task: the environment, with Discrete actions.
        num_envs: B.
        opponents: who the others are.
        seat: the learner's player; None for one drawn at random for each episode.
    """

    def __init__(self, task: PettingZooTask, num_envs: int, opponents: Opponents, seat: int | None = None) -> None:
        super().__init__(task, num_envs, opponents, seat)
        self.task, self._restricts = task, False
        self.games = [Game(task, number=number) for number in range(num_envs)]
        self._actions, self._first_action = number_of_actions(task), int(getattr(task.action_space, "start", 0))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts new episodes; without a seed the streams go on.

        Args:
            seed: of all copies.
            options: `"first_copy"`: how many copies other processes have before these.
        """
        seeds: list[int | None] = [None] * self.num_envs
        if seed is not None:
            first = int((options or {}).get("first_copy", 0))
            self._start_streams(seed, first)
            seeds[:] = streams.copy_seeds(seed, self.num_envs, first)
        self._begin(self._everyone, seeds)
        observation, masks = self._looks(self._everyone, self._seat)
        return observation, _told(masks)

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        chosen = np.asarray(actions)
        self._require_legal(chosen)
        for copy, action in enumerate(chosen):
            self.games[copy].act(action)
        self._let_others_move(self._everyone)
        rewards = np.array([game.collected()[seat] for game, seat in zip(self.games, self._seat, strict=True)])
        terminated, truncated = self._flags("terminated"), self._flags("truncated")
        truncated &= ~terminated
        over = np.flatnonzero(terminated | truncated)
        infos: dict[str, Any] = {}
        if len(over):
            infos = self._end_infos(self._looks(over, self._seat[over])[0], over)
            self._begin(over, [None] * len(over))
        observation, masks = self._looks(self._everyone, self._seat)
        return observation, rewards, terminated, truncated, _told(masks) | infos

    # ------------------------------------------------------------------------------------------------ episodes

    def _begin(self, rows: Array, seeds: list[int | None]) -> None:
        """Begins episodes in these copies and lets the others move until the learner is to act."""
        for _ in range(MOST_BEGINNINGS):
            self._take_seats(rows)
            for copy, seed in zip(rows, seeds, strict=True):
                self.games[copy].begin(seed)
            self._let_others_move(rows)
            for copy in rows:
                self.games[copy].collected()
            rows = rows[(self._flags("terminated") | self._flags("truncated"))[rows]]
            seeds = [None] * len(rows)
            if not len(rows):
                return
        raise UsageError(
            f"{MOST_BEGINNINGS} episodes of {self.task.name} in a row ended before "
            f"{self.task.player_names[self._seat[rows[0]]]} had a turn",
            expected="an environment in which every player acts",
        )

    def _let_others_move(self, rows: Array) -> None:
        """Plays on in these copies until the learner is to act there, or its part is over."""
        for _ in range(MOST_MOVES):
            rows = np.array([copy for copy in rows if self._waits(copy)], np.int64)
            if not len(rows):
                return
            movers = np.array([self.games[copy].mover for copy in rows])
            numbers = self._uniforms(rows)
            for player in np.unique(movers):
                at = movers == player
                observation, masks = self._looks(rows[at], movers[at])
                probability = self.opponents.probabilities(self._opponent[rows[at]], movers[at], observation, masks)
                for copy, action in zip(rows[at], drawn_indices(probability, numbers[at]), strict=True):
                    self.games[copy].act(action + self._first_action)
        raise UsageError(
            f"after {MOST_MOVES:,} moves of others in {self.task.name} it is still not the turn of "
            f"{self.task.player_names[self._seat[rows[0]]]}, whose part is not over either",
            expected="an environment in which every player acts again, or its end is reported to it",
        )

    def _waits(self, copy: int) -> bool:
        game, seat = self.games[copy], self._seat[copy]
        return bool(seat not in game.last and game.mover != seat)

    # ------------------------------------------------------------------------------------------------ looking

    def _looks(self, rows: Array, players: Array) -> tuple[Any, Array | None]:
        """Returns `[n, ...]` what these players observe, at their turn or at their end, and `[n, A]` what is legal."""
        seen_by: list[Any] = []
        masks = np.ones((len(rows), self._actions), np.bool_)
        for row, (copy, player) in enumerate(zip(rows, players, strict=True)):
            game = self.games[copy]
            told = game.last.get(int(player))
            seen, info = told or (game.seen, game.info)
            seen, mask = taken_apart(self.task, self.task.contracts[player], seen, info, game.place, acts=told is None)
            seen_by.append(seen)
            if mask is not None:
                masks[row], self._restricts = mask, True
        return batch_of(self.single_observation_space, seen_by), masks if self._restricts else None

    def _flags(self, name: str) -> Array:
        """Returns `[B]` one of the flags of the learner's players."""
        return np.array([getattr(game, name)[seat] for game, seat in zip(self.games, self._seat, strict=True)])

    def _require_legal(self, actions: Array) -> None:
        """Refuses an illegal action, which some environments would take for the end of the game."""
        _, masks = self._looks(self._everyone, self._seat)
        index = actions - self._first_action
        legal = np.ones((self.num_envs, self._actions), np.bool_) if masks is None else masks
        within = (index >= 0) & (index < self._actions)
        illegal = ~(within & legal[self._everyone, np.where(within, index, 0)])
        self._refuse_illegal(illegal, actions, self.task.player_names, self.task.name)

    def close(self, **kwargs: Any) -> None:
        for game in self.games:
            game.close()


def _told(masks: Array | None) -> dict[str, Any]:
    return {} if masks is None else {"action_mask": masks}
