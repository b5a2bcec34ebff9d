"""Games of two players given by a payoff table, played once or several times; the 11–20 money request game."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.rendering.scene import Line, Rect, Scene, Shape, Text
from inscape.envs.world import World
from inscape.envs.worlds.multi_agent.checks import finite_number, whole_number
from inscape.envs.worlds.multi_agent.grid_moves import per_player
from inscape.errors import UsageError, closest


@dataclass(frozen=True)
class NamedGame:
    """A game known by name.

    Attributes:
        actions: names of the actions, the same for both.
        payoffs: `[A][A]` what the player of the rows gets; the game is symmetric, so the other gets the transpose.
        source: where it is from.
    """

    actions: tuple[str, ...]
    payoffs: tuple[tuple[float, ...], ...]
    source: str


GAMES = {
    "rock-paper-scissors": NamedGame(
        ("rock", "paper", "scissors"), ((0, -1, 1), (1, 0, -1), (-1, 1, 0)), "1 for a win, −1 for a loss"
    ),
    "prisoners-dilemma": NamedGame(
        ("cooperate", "defect"), ((3, 0), (5, 1)), "payoffs of Axelrod (1984), The Evolution of Cooperation, figure 1"
    ),
    "stag-hunt": NamedGame(
        ("stag", "hare"), ((4, 0), (3, 3)), "Rousseau's story: a stag takes two (4 each), a hare (3) takes nobody else"
    ),
    "schelling": NamedGame(
        ("heads", "tails"), ((1, 0), (0, 1)), "Schelling (1960), The Strategy of Conflict, ch. 3: name the same side"
    ),
}
"""Names that `payoffs` takes."""
SHOWN_CELLS = 16  # a larger table is not spelt out


class MatrixState(NamedTuple):
    """Rounds played, and the last action of each player, counted from 1 (0: none yet)."""

    round: int
    first: int
    second: int


class MatrixParams(NamedTuple):
    """The rules.

    Attributes:
        payoffs: `[2, A, A]` player, action of the first, action of the second (0 where one of them is illegal).
        rounds: to play.
        rows, columns: of the table.
        remember: whether the last joint action is observed.
    """

    payoffs: np.ndarray
    rounds: int
    rows: int
    columns: int
    remember: bool


class MatrixPurpose(NamedTuple):
    """Each player's weight of what the other gets (0 selfish, 1 prosocial, −1 competitive)."""

    care: tuple[float, float] = (0.0, 0.0)


def legal_in_rectangle(params: MatrixParams, state: MatrixState, player: int, action: int) -> bool:
    """Returns whether the table has that row (player 0) or column (player 1): the law of tables that are not square."""
    return action < (params.rows if player == 0 else params.columns)


class TableOfPayoffs(World):
    """The law of games in which both choose at once and a table says what each gets."""

    State = MatrixState
    Params = MatrixParams
    Purpose = MatrixPurpose
    players = 2
    simultaneous = True
    gamma = 1.0

    def _game(
        self, table: np.ndarray, rounds: int, remember: bool, care: float | Sequence[float]
    ) -> tuple[MatrixParams, MatrixPurpose]:
        _, rows, columns = table.shape
        square = np.zeros((2, max(rows, columns), max(rows, columns)))
        square[:, :rows, :columns] = table
        params = MatrixParams(square, whole_number(f"{self.name}.rounds", rounds, 1), rows, columns, bool(remember))
        first, second = per_player("care", care, 2)
        return params, MatrixPurpose((first, second))

    @staticmethod
    def initial(params: MatrixParams, branch: int) -> tuple[float, MatrixState]:
        return 1.0, MatrixState(0, 0, 0)

    @staticmethod
    def transition(
        params: MatrixParams, state: MatrixState, action: tuple[int, int], branch: int
    ) -> tuple[float, MatrixState]:
        return 1.0, MatrixState(min(state.round + 1, params.rounds), action[0] + 1, action[1] + 1)

    @staticmethod
    def reward(
        params: MatrixParams,
        purpose: MatrixPurpose,
        state: MatrixState,
        action: tuple[int, int],
        next_state: MatrixState,
    ) -> tuple[float, float]:
        first, second = params.payoffs[0, action[0], action[1]], params.payoffs[1, action[0], action[1]]
        return first + purpose.care[0] * second, second + purpose.care[1] * first

    @staticmethod
    def terminal(params: MatrixParams, purpose: MatrixPurpose, state: MatrixState) -> bool:
        return state.round >= params.rounds

    @staticmethod
    def observation(params: MatrixParams, state: MatrixState, player: int) -> tuple[int, int, int]:
        own = state.first if player == 0 else state.second
        other = state.second if player == 0 else state.first
        return state.round, (own if params.remember else 0), (other if params.remember else 0)

    @staticmethod
    def observations(params: MatrixParams) -> gym.Space[Any]:
        actions = max(params.rows, params.columns) + 1
        return gym.spaces.MultiDiscrete(np.array([params.rounds + 1, actions, actions]))

    @staticmethod
    def purposes(params: MatrixParams, purpose: MatrixPurpose) -> dict[str, MatrixPurpose]:
        return {
            "selfish": MatrixPurpose((0.0, 0.0)),
            "prosocial": MatrixPurpose((1.0, 1.0)),
            "competitive": MatrixPurpose((-1.0, -1.0)),
        }


class MatrixGame(TableOfPayoffs):
    """Both choose at once; a table says what each gets. With more rounds, the last choices are seen before the next.

    Actions: `names`, the same for both; where the table is not square, the player with fewer has the first ones.
    Observations: MultiDiscrete: rounds played, the observer's last action and the other's, counted from 1 (0: none, or
        not `remember`ed).
    Rewards: each player's entry of the table, and `care` times the other's.
    Start: no round played.
    End: terminated after `rounds` rounds.

    Args:
        payoffs: rock-paper-scissors, prisoners-dilemma, stag-hunt, schelling, or a table `[2, A, B]`: what the first
            and what the second player gets for each row (the first's action) and column (the second's).
        names: names of the actions; by default those of the named game, or `action 1`, …
        rounds: how often the game is played.
        remember: whether players observe the last joint action.
        care: weight of what the other gets: one number, or one per player.

    Source: von Neumann & Morgenstern (1944); the named games: `inscape.envs.worlds.multi_agent.matrix_game.GAMES`.
    Version history: v0, first.
    """

    @classmethod
    def sized(cls, payoffs: Any = "rock-paper-scissors", names: Sequence[str] = (), **others: Any) -> dict[str, Any]:
        table, given = payoff_table(payoffs), tuple(names)
        _, rows, columns = table.shape
        count = max(rows, columns)
        if given and len(given) != count:
            raise UsageError(f"{len(given)} names for {count} actions: {', '.join(map(str, given))}")
        if not given:
            known = isinstance(payoffs, str)
            given = GAMES[payoffs].actions if known else tuple(f"action {k}" for k in range(1, count + 1))
        # a table with the same actions for both restricts nobody, and its observations need no mask
        return {"actions": given} | ({} if rows == columns else {"legal": staticmethod(legal_in_rectangle)})

    def setup(
        self,
        payoffs: str | np.ndarray = "rock-paper-scissors",
        names: tuple[str, ...] = (),
        rounds: int = 1,
        remember: bool = True,
        care: float | Sequence[float] = 0.0,
    ) -> tuple[MatrixParams, MatrixPurpose]:
        return self._game(payoff_table(payoffs), rounds, remember, care)

    @classmethod
    def describe(cls, params: MatrixParams, purpose: MatrixPurpose, state: MatrixState) -> str:
        text = f"round {state.round + 1} of {params.rounds}, both choose at once"
        if state.round >= params.rounds:
            text = f"all {params.rounds} rounds are played"
        if state.round and params.remember:
            text += f" | last: first {cls.actions[state.first - 1]}, second {cls.actions[state.second - 1]}"
        if params.rows * params.columns <= SHOWN_CELLS:
            cells = [
                f"{first}-{second} {params.payoffs[0, row, column]:g}, {params.payoffs[1, row, column]:g}"
                for row, first in enumerate(cls.actions[: params.rows])
                for column, second in enumerate(cls.actions[: params.columns])
            ]
            text += f" | payoffs of first, second: {'; '.join(cells)}"
        return text

    @classmethod
    def draw(cls, params: MatrixParams, purpose: MatrixPurpose, state: MatrixState) -> Scene:
        """Returns the table: what the first (left) and the second player gets; a frame is what was played."""
        edge, names = 0.5, _short_names(cls.actions)
        low, high = min(0.0, float(params.payoffs.min())), max(0.0, float(params.payoffs.max()))
        scale = 0.8 / (high - low or 1.0)
        shapes: list[Shape] = [
            Rect(0, 0, edge + params.columns, edge + params.rows, fill="paper"),
            Rect(0, edge, 0.14, params.rows, fill="player0"),
            Rect(edge, 0, params.columns, 0.14, fill="player1"),
        ]
        shapes += [Text(0.32, edge + row + 0.5, names[row], 0.26, "ink") for row in range(params.rows)]
        shapes += [Text(edge + column + 0.5, 0.32, names[column], 0.26, "ink") for column in range(params.columns)]
        for row in range(params.rows):
            for column in range(params.columns):
                x, y = edge + column, edge + row
                zero = y + 0.1 + high * scale
                shapes.append(Rect(x, y, 1, 1, stroke="line", line_width=0.03))
                shapes.append(Line(x + 0.12, zero, x + 0.88, zero, stroke="muted", line_width=0.03))
                for player in (0, 1):
                    tall = float(params.payoffs[player, row, column]) * scale
                    left, top = x + 0.18 + 0.36 * player, zero - max(tall, 0.0)
                    shapes.append(Rect(left, top, 0.28, abs(tall), fill=f"player{player}"))
        if state.round:
            x, y = edge + state.second - 0.95, edge + state.first - 0.95
            shapes.append(Rect(x, y, 0.9, 0.9, stroke="ink", line_width=0.08, radius=0.1, layer="moving"))
        return Scene(edge + params.columns, edge + params.rows, tuple(shapes))


class MoneyRequest(TableOfPayoffs):
    """The 11–20 money request game: ask for an amount; who asks for just one less than the other gets a bonus.

    Actions: the amounts, `11` … `20`.
    Observations: as MatrixGame's.
    Rewards: the amount asked for, and `bonus` if it is one below the other's.
    Start: nothing asked for.
    End: terminated after `rounds` rounds.

    Args:
        low, high: least and highest amount.
        bonus: for undercutting the other by exactly one.
        rounds: how often the game is played.
        remember: whether players observe the last joint action.
        care: weight of what the other gets: one number, or one per player.

    Source: Arad & Rubinstein (2012), "The 11–20 money request game", American Economic Review 102(7). Its equilibrium
        asks for 15, 16, 17, 18, 19, 20 with probabilities 25, 25, 20, 15, 10, 5 %.
    Version history: v0, first.
    """

    @classmethod
    def sized(cls, low: int = 11, high: int = 20, **others: Any) -> dict[str, Any]:
        whole_number("MoneyRequest.low", low, 0)
        whole_number("MoneyRequest.high", high, low + 1)
        return {"actions": tuple(str(amount) for amount in range(low, high + 1))}

    def setup(
        self,
        low: int = 11,
        high: int = 20,
        bonus: float = 20.0,
        rounds: int = 1,
        remember: bool = True,
        care: float | Sequence[float] = 0.0,
    ) -> tuple[MatrixParams, MatrixPurpose]:
        asked = np.arange(low, high + 1)
        first = asked[:, None] + finite_number("MoneyRequest.bonus", bonus) * (asked[:, None] == asked[None, :] - 1)
        return self._game(np.stack([first, first.T]), rounds, remember, care)

    @classmethod
    def describe(cls, params: MatrixParams, purpose: MatrixPurpose, state: MatrixState) -> str:
        text = f"all {params.rounds} rounds are played"
        if state.round < params.rounds:
            text = (
                f"round {state.round + 1} of {params.rounds}, both choose at once: you get what you ask for, "
                f"and {_bonus(params):g} more if it is one below the other's"
            )
        if state.round and params.remember:
            text += f" | last: first asked for {cls.actions[state.first - 1]}, second {cls.actions[state.second - 1]}"
        return text

    @classmethod
    def draw(cls, params: MatrixParams, purpose: MatrixPurpose, state: MatrixState) -> Scene:
        """Returns a column for each player, as tall as what was asked for, and the bonus on top of it."""
        most = float(params.payoffs.max())
        shapes: list[Shape] = [Rect(0, 0, 4, 4, fill="paper")]
        shapes.append(Line(0.2, 3.7, 3.8, 3.7, stroke="muted", line_width=0.1))
        for player, action in enumerate((state.first, state.second)):
            x = 0.5 + 1.6 * player
            shapes.append(Rect(x, 0.3, 1.4, 3.4, stroke="line", line_width=0.06))
            if state.round:
                asked = float(cls.actions[action - 1])
                got = float(params.payoffs[player, state.first - 1, state.second - 1])
                tall, reach = 3.4 * asked / most, 3.4 * got / most
                shapes.append(Rect(x, 3.7 - reach, 1.4, max(reach - tall, 0.0), fill="goal", layer="moving"))
                shapes.append(Rect(x, 3.7 - tall, 1.4, tall, fill=f"player{player}", layer="moving"))
                shapes.append(Text(x + 0.7, 3.7 - tall / 2, cls.actions[action - 1], 0.45, "paper", layer="moving"))
        return Scene(4, 4, tuple(shapes))


def _bonus(params: MatrixParams) -> float:
    """Returns what undercutting by one adds, read off the table."""
    return float(params.payoffs[0, 0, 1] - params.payoffs[0, 0, 0])


def _short_names(names: tuple[str, ...]) -> list[str]:
    """Returns the names' initials where they differ, else their numbers."""
    initials = [name[:1].upper() for name in names]
    return initials if len(set(initials)) == len(names) else [str(k) for k in range(1, len(names) + 1)]


def payoff_table(payoffs: Any) -> np.ndarray:
    """Returns the payoffs `[2, A, B]` of a named game, or as given.

    Raises:
        UsageError: no such game, a table of another shape, or an entry that is not a finite number.
    """
    expected = "two tables of the same size, [2, A, B]: the first player's payoffs and the second's"
    if isinstance(payoffs, str):
        if payoffs not in GAMES:
            raise UsageError(f"no game named {payoffs!r}", expected=expected, hint=closest(payoffs, GAMES))
        first = np.array(GAMES[payoffs].payoffs, np.float64)
        return np.stack([first, first.T])
    try:
        table = np.array(payoffs, np.float64)
    except (TypeError, ValueError) as error:
        found = f"payoffs = {payoffs!r}: rows of different lengths, or entries that are no numbers"
        raise UsageError(found, expected=expected) from error
    if table.ndim != 3 or table.shape[0] != 2 or 0 in table.shape:
        hint = "where one wins what the other loses: [table, -table]" if table.ndim == 2 else ""
        raise UsageError(f"a payoff table of shape {list(table.shape)}", expected=expected, hint=hint)
    if not np.isfinite(table).all():
        player, row, column = np.argwhere(~np.isfinite(table))[0]
        raise UsageError(
            f"payoff {table[player, row, column]} of player {player} at row {row}, column {column}",
            expected="finite numbers",
        )
    return table
