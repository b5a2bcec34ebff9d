"""Games that a search plays against itself, all side by side, and the positions that are learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.learning.episode_log import EpisodeLog
from inscape.envs.law.states import States
from inscape.errors import UsageError
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from inscape.envs.world import World
    from inscape.world_models.planning.interface import Evaluate


class PositionMemory:
    """A ring of positions: what the mover observed, the search's policy (−1: illegal), returns, the mover's first.

    Args:
        size: how many are remembered. observations: one batch, for its type and width.
        actions, players: A, M.
    """

    def __init__(self, size: int, observations: Array, actions: int, players: int) -> None:
        self.arrays = (
            np.zeros((size, observations[0].size), observations.dtype),
            np.zeros((size, actions), np.float32),
            np.zeros((size, players), np.float32),
        )
        self.added = 0

    def __len__(self) -> int:
        return min(self.added, len(self.arrays[0]))

    def add(self, observations: Array, policy: Array, values: Array) -> None:
        """Adds n positions."""
        size = len(self.arrays[0])
        places = (self.added + np.arange(len(policy))) % size
        for table, rows in zip(self.arrays, (observations, policy, values), strict=True):
            table[places] = rows
        self.added += len(policy)

    def state_dict(self) -> State:
        count = len(self)
        names = ("observations", "policy", "values")
        return {"added": self.added, **{n: a[:count].copy() for n, a in zip(names, self.arrays, strict=True)}}

    def load_state_dict(self, state: State) -> None:
        self.added = int(state["added"])
        for name, table in zip(("observations", "policy", "values"), self.arrays, strict=True):
            rows = np.asarray(state[name])
            if len(rows) != len(self) or rows.shape[1:] != table.shape[1:]:
                raise UsageError(
                    f"a stored memory with {name} of shape {list(rows.shape)}",
                    expected=f"[{len(self)}, {table.shape[1]}]: the same world and buffer_size",
                )
            table[: len(self)] = rows


class SearchGames:
    """G games, in each of which the same search moves for every player.

    A share of the moves is random, so that positions come up that good play never meets; what is learned for the
    position of such a move is what the search said, since what followed was not its own play.

    Args:
        world: whose law is played. count: G. rng: of the games.
        random_moves: the share. return_lambda: λ: what is learned for a position is a mean of what followed (1) and
            of what the search said of the position that followed (0), as in TD(λ).
        gamma: discount.
    """

    def __init__(
        self, world: World, count: int, rng: np.random.Generator, random_moves: float, return_lambda: float,
        gamma: float, limit: int | None,
    ) -> None:  # fmt: skip
        self.world, self.rng = world, rng
        self._random, self._lambda, self._gamma, self._limit = random_moves, return_lambda, gamma, limit
        self.states = world.sample_initial(count, rng)
        self.length = np.zeros(count, np.int64)
        self._totals = np.zeros(count)
        self.log = EpisodeLog(count)
        observed = self._observed()
        self._observations = np.zeros((count, 16, observed.shape[1]), observed.dtype)
        self._policy = np.zeros((count, 16, world.num_actions), np.float32)
        # of each position: the search's value and the reward of the move, of every player; whether the move was random
        self._values, self._rewards = (np.zeros((count, 16, world.players)) for _ in range(2))
        self._is_random, self._mover = np.zeros((count, 16), np.bool_), np.zeros((count, 16), np.int64)

    _PER_POSITION = ("_observations", "_policy", "_values", "_rewards", "_is_random", "_mover")

    def _observed(self) -> Array:
        """Returns `[G, n]` what the movers observe."""
        return np.asarray(self.world.observe(self.states)).reshape(len(self.states), -1)

    def move(self, search: Callable[[States], Any], evaluate: Evaluate, memory: PositionMemory) -> None:
        """Plays one move in every game; positions of games that end go into the memory.

        Args:
            search: returns a `BatchedSearch` over the states.
            evaluate: values the positions in which a time limit cuts a game.
        """
        world, rows = self.world, np.arange(len(self.states))
        found = search(self.states)
        plans = found.run()
        legal = world.legal_actions(self.states)
        self._make_room()
        at = self.length
        roots = found.engine.roots
        self._observations[rows, at] = self._observed()
        self._policy[rows, at] = np.where(legal, plans.action_probs, -1.0)
        self._values[rows, at] = found.engine.columns.value[roots]
        self._mover[rows, at] = found.engine.columns.mover[roots]
        random = self.rng.random(len(rows)) < self._random
        others = np.where(legal, self.rng.random(legal.shape), -1.0).argmax(axis=1)
        self._is_random[rows, at] = random
        self.states, rewards, ended = world.step(self.states, np.where(random, others, plans.actions), self.rng)
        self._rewards[rows, at] = np.asarray(rewards).reshape(len(rows), -1)
        self._totals += self._rewards[rows, at, 0]
        self.length = at + 1
        cut = ~ended if self._limit is not None else np.zeros(len(rows), np.bool_)
        if self._limit is not None:
            cut &= self.length >= self._limit
        over = ended | cut
        self.log.add(over[None], self._totals[None], self.length[None])
        if over.any():
            self._remember(np.flatnonzero(over), cut, evaluate, memory)

    def _remember(self, games: Array, cut: Array, evaluate: Evaluate, memory: PositionMemory) -> None:
        """Puts the positions of games that are over into the memory, and begins new ones."""
        players = self.world.players
        returns = np.zeros((len(games), players))
        if (late := np.flatnonzero(cut[games])).size:
            returns[late] = np.asarray(evaluate(self.states[games[late]])[0]).reshape(-1, players)
        lengths = self.length[games]
        following = returns.copy()  # what the search, or the end, says of the position after
        for t in range(int(lengths.max()) - 1, -1, -1):
            there = t < lengths
            ahead = self._lambda * returns + (1.0 - self._lambda) * following
            value = self._values[games, t]
            fresh = np.where(self._is_random[games, t, None], value, self._rewards[games, t] + self._gamma * ahead)
            returns[there], following[there] = fresh[there], value[there]
            kept = games[there]
            order = (self._mover[kept, t, None] + np.arange(players)) % players
            memory.add(
                self._observations[kept, t], self._policy[kept, t], np.take_along_axis(returns[there], order, axis=1)
            )
        begun = self.world.sample_initial(len(games), self.rng)
        self.states.floats[:, games], self.states.ints[:, games] = begun.floats, begun.ints
        self.length[games], self._totals[games] = 0, 0.0

    def _make_room(self) -> None:
        if int(self.length.max()) < self._policy.shape[1]:
            return
        for name in self._PER_POSITION:
            table = getattr(self, name)
            setattr(self, name, np.concatenate([table, np.zeros_like(table)], axis=1))

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        longest = int(self.length.max(initial=0))
        tables = {name.lstrip("_"): getattr(self, name)[:, :longest].copy() for name in self._PER_POSITION}
        past = np.arange(longest) >= self.length[:, None]  # of earlier games
        for table in tables.values():
            table[past] = 0
        return {
            "floats": self.states.floats.copy(), "ints": self.states.ints.copy(), "length": self.length.copy(),
            "totals": self._totals.copy(), "episodes": self.log.state_dict(), **tables,
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Goes on from a `state_dict`.

        Raises:
            UsageError: it is of another number of games, or of another world.
        """
        stored = States(np.array(state["floats"], np.float64), np.array(state["ints"], np.int64))
        if len(stored) != len(self.states):
            raise UsageError(f"{len(stored)} stored games", expected=f"{len(self.states)}: num_envs as it was")
        self.world.require_states(stored, "stored games")
        self.states = stored
        self.length, self._totals = np.array(state["length"], np.int64), np.array(state["totals"], np.float64)
        self.log.load_state_dict(state["episodes"])
        longest = int(self.length.max(initial=0))
        while self._policy.shape[1] < longest:
            for name in self._PER_POSITION:
                table = getattr(self, name)
                setattr(self, name, np.concatenate([table, np.zeros_like(table)], axis=1))
        for name in self._PER_POSITION:
            getattr(self, name)[:, :longest] = state[name.lstrip("_")]
