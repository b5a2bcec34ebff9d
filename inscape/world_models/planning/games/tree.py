"""A game of several players as a tree of histories with information sets, read from a world's law.

A player knows what it observed whenever it moved, and what it did (perfect recall). Players who act at once choose one
after another, without seeing the others' choices. Sources: Kuhn (1953), "Extensive games and the problem of
information", Contributions to the Theory of Games II; Osborne & Rubinstein (1994), chapter 11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.errors import MissingLawError, UsageError
from inscape.world_models.tabular.arrays import require_memory

Array = np.ndarray[Any, Any]
DEEPEST = 10_000
"""Moves in a row that a game may have."""


@dataclass(frozen=True, eq=False)
class GameTree:
    """The N histories of a game, by depth, and its I information sets.

    Attributes:
        name: of the game.
        players: M.
        parent: `[N]` history before the last move; −1 for those the game begins with.
        action: `[N]` the last move, an action number.
        chance: `[N]` probability of this outcome of that move; of the beginning, for those the game begins with.
        payoff: `[N, M]` what the last move paid (discounted from the beginning).
        mover: `[N]` who moves; −1 at the end.
        information_set: `[N]` in which the mover finds itself; −1 at the end.
        depth_starts: `[D + 1]` first history of each depth, and N.
        owner: `[I]` player of each information set.
        legal: `[I, A]` bool.
        own_moves: `[I]` how many moves its player made before.
        observations: `[I, ...]` what the player observes there.
        action_names: of the A actions.
    """

    name: str
    players: int
    parent: Array
    action: Array
    chance: Array
    payoff: Array
    mover: Array
    information_set: Array
    depth_starts: Array
    owner: Array
    legal: Array
    own_moves: Array
    observations: Array
    action_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.parent)

    @property
    def num_actions(self) -> int:
        return int(self.legal.shape[1])

    @property
    def num_information_sets(self) -> int:
        return len(self.owner)

    @staticmethod
    def from_world(world: Any, max_histories: int = 1_000_000) -> GameTree:
        """Returns the tree of a world (a `World`, its class, or a name) of two or more players.

        Args:
            world: a world whose law can be enumerated and whose episodes end.
            max_histories: how many histories it may have.

        Raises:
            MissingLawError: the law can only be sampled, or there is one player, or none (an environment).
            UsageError: there are more histories, or more than 10,000 moves in a row.
        """
        from inscape.envs.tasks.resolve import resolve_task

        task = resolve_task(world)
        if task.world is None or task.world.players < 2:
            raise MissingLawError(
                f"{task.name} is not a game whose law is known",
                expected="a world of several players",
                hint="inscape.solve for one player; inscape list worlds",
            )
        return _Builder(task.world, max_histories).build()

    # ------------------------------------------------------------------------------------------------ policies

    def uniform_policy(self) -> Array:
        """Returns `[I, A]`: every legal action alike."""
        return np.asarray(self.legal / self.legal.sum(axis=1, keepdims=True))

    def policy_of(self, agent: Any) -> Array:
        """Returns `[I, A]` how an agent with `action_log_probs` plays in every information set.

        The agent sees the observation alone: it should need no memory.
        """
        log_probs = getattr(agent, "action_log_probs", None)
        if log_probs is None:
            raise UsageError(
                f"{type(agent).__name__} does not say how likely its actions are", expected="action_log_probs"
            )
        observations = self.observations
        found = np.exp(np.asarray(log_probs(observations, self.legal), np.float64))
        return self.checked(np.where(self.legal, found, 0.0) / np.where(self.legal, found, 0.0).sum(1, keepdims=True))

    def checked(self, policy: Array) -> Array:
        """Returns `[I, A]` float64, or raises UsageError naming the information set."""
        found = np.asarray(policy, np.float64)
        if found.shape != self.legal.shape:
            raise UsageError(
                f"a policy of shape {list(found.shape)} for {self.name}", expected=f"[I, A] = {list(self.legal.shape)}"
            )
        wrong = ~(np.abs(found.sum(axis=1) - 1.0) <= 1e-6) | ~(found >= 0).all(axis=1) | (found * ~self.legal).any(1)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise UsageError(
                f"the policy of {self.name} in information set {at} is {found[at].tolist()}",
                expected="probabilities of the legal actions that sum to one",
            )
        return found

    # ------------------------------------------------------------------------------------------------- sweeping

    def reach(self, policy: Array) -> Array:
        """Returns `[M + 1, N]` probabilities of reaching each history: what each player adds to it, and chance."""
        reach = np.ones((self.players + 1, len(self)))
        reach[-1] = self.chance
        for depth in range(1, len(self.depth_starts) - 1):
            here = slice(self.depth_starts[depth], self.depth_starts[depth + 1])
            before = self.parent[here]
            reach[:, here] *= reach[:, before]
            moved = policy[self.information_set[before], self.action[here]]
            reach[self.mover[before], np.arange(here.start, here.stop)] *= moved
        return reach

    def values(self, policy: Array) -> tuple[Array, Array]:
        """Returns `[N, M]` values of every history, and `[N, A, M]` values of the moves, under a policy `[I, A]`."""
        size, actions = len(self), self.num_actions
        values, move_values = np.zeros((size, self.players)), np.zeros((size, actions, self.players))
        for depth in reversed(range(len(self.depth_starts) - 1)):
            first, last = self.depth_starts[depth], self.depth_starts[depth + 1]
            if depth + 2 < len(self.depth_starts):
                below = slice(last, self.depth_starts[depth + 2])
                to = (self.parent[below] - first) * actions + self.action[below]
                paid = self.chance[below, None] * (self.payoff[below] + values[below])
                for player in range(self.players):
                    found = np.bincount(to, paid[:, player], (last - first) * actions)
                    move_values[first:last, :, player] = found.reshape(-1, actions)
                moving = self.mover[first:last] >= 0
                chosen = policy[self.information_set[first:last][moving]]
                values[first:last][moving] = np.einsum("na,nam->nm", chosen, move_values[first:last][moving])
        return values, move_values

    def expected_returns(self, policy: Array) -> Array:
        """Returns `[M]` expected return of every player under a policy `[I, A]`."""
        values, _ = self.values(self.checked(policy))
        first = slice(0, self.depth_starts[1])
        return np.asarray(self.chance[first] @ values[first])

    def best_response(self, policy: Array, player: int) -> tuple[float, Array]:
        """Returns what `player` earns at best against the others' policy, and `[I, A]` the policy with its moves in it.

        Raises:
            UsageError: there is no such player; the policy is not one.
        """
        if not 0 <= player < self.players:
            raise UsageError(f"player {player} of {self.name}", expected=f"0 to {self.players - 1}")
        best = self.checked(policy).copy()
        reach = self.reach(best)
        others = np.prod(np.delete(reach, player, axis=0), axis=0)
        mine = self.mover == player
        own = self.owner == player
        for moves in sorted(set(self.own_moves[own].tolist()), reverse=True):  # the last decisions first
            _, move_values = self.values(best)
            here = np.flatnonzero(mine & (self.own_moves[self.information_set] == moves))
            gain = np.zeros(self.legal.shape)
            np.add.at(gain, self.information_set[here], others[here, None] * move_values[here, :, player])
            sets = np.flatnonzero(own & (self.own_moves == moves))
            choice = np.where(self.legal[sets], gain[sets], -np.inf).argmax(axis=1)
            best[sets] = np.eye(self.num_actions)[choice]
        return float(self.expected_returns(best)[player]), best

    def nash_conv(self, policy: Array) -> float:
        """Returns Σ_i (best response of i − what i earns): 0 exactly in a Nash equilibrium."""
        earned = self.expected_returns(policy)
        return float(sum(self.best_response(policy, i)[0] - earned[i] for i in range(self.players)))

    def exploitability(self, policy: Array) -> float:
        """Returns `nash_conv` divided by the number of players: what a best responder gains on average."""
        return self.nash_conv(policy) / self.players

    def table(self, policy: Array, player: int | None = None) -> list[tuple[int, str, dict[str, float]]]:
        """Returns a row for each information set: player, what it observes, and the legal actions' probabilities."""
        rows = []
        for i in range(self.num_information_sets):
            if player is None or self.owner[i] == player:
                legal = {self.action_names[a]: float(policy[i, a]) for a in np.flatnonzero(self.legal[i])}
                rows.append((int(self.owner[i]), str(self.observations[i].tolist()), legal))
        return rows


class _Builder:
    """Expands histories depth by depth; each depth is one batch of calls of the law."""

    def __init__(self, world: Any, most: int) -> None:
        from inscape.world_models.known import KnownModel

        world.require_enumerable("a game tree")
        self.world, self.most = world, most
        self.model = None if world.simultaneous else KnownModel(world)
        self.players = world.players
        self.actions = int(world.num_actions)
        self.columns: dict[str, list[Array]] = {
            name: [] for name in ("parent", "action", "chance", "payoff", "mover", "information_set")
        }
        self.starts = [0]
        self.sets: dict[tuple[Any, ...], int] = {}
        self.memories: dict[tuple[Any, ...], int] = {}
        self.owner: list[int] = []
        self.legal: list[Array] = []
        self.own_moves: list[int] = []
        self.observations: list[Array] = []

    def build(self) -> GameTree:
        world = self.world
        probability, states = world.initial_outcomes()
        possible = np.flatnonzero(probability > 0)
        states, count = states[possible], len(possible)
        memory, moves = np.zeros((count, self.players), np.int64), np.zeros((count, self.players), np.int64)
        before = np.full(count, -1)
        came = before, np.full(count, -1), probability[possible], np.zeros((count, self.players))
        discount = 1.0
        for _ in range(DEEPEST):
            if world.simultaneous:
                states, memory, moves, came = self._at_once(states, memory, moves, came, discount)
            else:
                states, memory, moves, came = self._in_turn(states, memory, moves, came, discount)
            discount *= world.gamma
            if not len(came[0]):
                return self._finished()
        raise UsageError(
            f"a game of {world.name} may last more than {DEEPEST:,} moves", expected="a game that ends",
            hint="inscape.world_models.planning.games needs every history: search instead (inscape plan)",
        )  # fmt: skip

    def _record(self, came: Any, mover: Array, information_set: Array) -> Array:
        """Adds a depth of histories; returns their numbers."""
        first = self.starts[-1]
        parent = came[0]
        if first + len(parent) > self.most:
            raise UsageError(
                f"{self.world.name} has more than {self.most:,} histories",
                expected="a smaller game",
                hint="inscape plan searches large ones; max_histories allows more",
            )
        for name, column in zip(self.columns, (*came, mover, information_set), strict=True):
            self.columns[name].append(column)
        self.starts.append(first + len(parent))
        return np.arange(first, first + len(parent))

    def _in_turn(self, states: Any, memory: Array, moves: Array, came: Any, discount: float) -> Any:
        world, model = self.world, self.model
        assert model is not None
        over = model.terminal_of(states)
        mover = np.where(over, -1, model.mover_of(states))
        going = np.flatnonzero(~over)
        information_set = np.full(len(over), -1)
        legal = np.zeros((len(over), self.actions), bool)
        for player in range(self.players):
            rows = np.flatnonzero(mover == player)
            if len(rows):
                legal[rows] = model.legal_of(states[rows])
                seen = np.asarray(world.observe(states[rows], player))
                information_set[rows] = self._sets(player, memory[rows], moves[rows], seen, legal[rows])
        numbers = self._record(came, mover, information_set)
        source, action = (part for part in np.nonzero(legal))
        if not len(source):
            return states[going[:0]], memory[:0], moves[:0], tuple(part[:0] for part in came)
        probability, following, reward, _ = model.outcomes(states[source], action)
        row, k = np.nonzero(probability > 0)
        after = following[row * probability.shape[1] + k]
        source, action = source[row], action[row]
        memory, moves = self._remembered(memory[source], moves[source], mover[source], information_set[source], action)
        payoff = discount * np.asarray(reward)[row, k]
        return after, memory, moves, (numbers[source], action, probability[row, k], payoff)

    def _at_once(self, states: Any, memory: Array, moves: Array, came: Any, discount: float) -> Any:
        """Expands one move of everybody: a depth for each player, whose choices the others do not see."""
        world = self.world
        over = world.terminal_of(states)
        going = np.flatnonzero(~over)
        allowed = np.zeros((len(over), self.players, self.actions), bool)
        if len(going):
            masks = np.asarray(world.legal_actions(states[going]))
            allowed[going] = masks.reshape(len(going), self.players, self.actions)
        joint = np.zeros((len(over), 0), np.int64)  # the choices so far, of each history here
        state_of, alive = np.arange(len(over)), ~over
        for player in range(self.players):
            mover = np.where(alive, player, -1)
            information_set = np.full(len(mover), -1)
            rows = np.flatnonzero(alive)
            legal = np.zeros((len(mover), self.actions), bool)
            if len(rows):
                legal[rows] = allowed[state_of[rows], player]
                seen = np.asarray(world.observe(states[state_of[rows]], player))
                information_set[rows] = self._sets(player, memory[rows], moves[rows], seen, legal[rows])
            numbers = self._record(came, mover, information_set)
            source, action = np.nonzero(legal)
            joint = np.concatenate([joint[source], action[:, None]], axis=1)
            memory, moves = self._remembered(
                memory[source], moves[source], mover[source], information_set[source], action
            )
            state_of, alive = state_of[source], np.ones(len(source), bool)
            nothing = np.zeros((len(source), self.players))
            came = numbers[source], action, np.ones(len(source)), nothing
        if not len(state_of):
            return states[going[:0]], memory, moves, came
        sources = states[state_of]
        probability, following = world.outcomes(sources, joint)
        width = probability.shape[1]
        row, k = np.nonzero(probability > 0)
        after = following[row * width + k]
        reward = world.reward_of(sources[row], joint[row], after)
        numbers, action, _, _ = came
        came = numbers[row], action[row], probability[row, k], discount * np.asarray(reward)
        return after, memory[row], moves[row], came

    def _sets(self, player: int, memory: Array, moves: Array, seen: Array, legal: Array) -> list[int]:
        """Returns the information set of each row: what the player remembers, and observes now."""
        found = []
        for row in range(len(memory)):
            key = player, int(memory[row, player]), seen[row].tobytes()
            number = self.sets.get(key)
            if number is None:
                number = self.sets[key] = len(self.sets)
                self.owner.append(player)
                self.legal.append(legal[row])
                self.own_moves.append(int(moves[row, player]))
                self.observations.append(seen[row])
            elif not np.array_equal(self.legal[number], legal[row]):
                raise UsageError(
                    f"player {player} of {self.world.name} observes {seen[row].tolist()} in two states with different "
                    "legal actions",
                    expected="a player who knows what it may do",
                )
            found.append(number)
        return found

    def _remembered(
        self, memory: Array, moves: Array, mover: Array, information_set: Array, action: Array
    ) -> tuple[Array, Array]:
        """Returns what everybody remembers after the moves: the mover also what it saw and did."""
        memory, moves = memory.copy(), moves.copy()
        for row in range(len(memory)):
            key = int(information_set[row]), int(action[row])
            memory[row, mover[row]] = self.memories.setdefault(key, len(self.memories) + 1)
        moves[np.arange(len(moves)), mover] += 1
        return memory, moves

    def _finished(self) -> GameTree:
        columns = {name: np.concatenate(parts) for name, parts in self.columns.items()}
        size = len(columns["parent"])
        require_memory(8 * size * (self.actions + 3) * self.players, f"values of {size:,} histories")
        return GameTree(
            name=self.world.name,
            players=self.players,
            **columns,
            depth_starts=np.array(self.starts),
            owner=np.array(self.owner),
            legal=np.array(self.legal),
            own_moves=np.array(self.own_moves),
            observations=np.array(self.observations),
            action_names=tuple(map(str, self.world.action_names)),
        )
