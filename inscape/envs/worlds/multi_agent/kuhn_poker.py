"""Kuhn poker: three cards, one bet, a hidden card each."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.rendering.scene import Circle, Rect, Scene, Shape, Text
from inscape.envs.world import World
from inscape.envs.worlds.multi_agent.checks import finite_number

CARDS = ("jack", "queen", "king")
HISTORIES = ("", "p", "b", "pb", "pp", "bp", "bb", "pbp", "pbb")
OPEN, PASSED, BET, RAISED, SHOWN, SECOND_FOLDED, CALLED, FIRST_FOLDED, CALLED_LATE = range(9)
HISTORY_TEXTS = (
    "nobody has acted",
    "first passed",
    "first bet",
    "first passed, second bet",
    "both passed: cards are shown",
    "first bet, second folded",
    "first bet, second called: cards are shown",
    "first passed, second bet, first folded",
    "first passed, second bet, first called: cards are shown",
)


class KuhnState(NamedTuple):
    """Cards of both players (0 jack, 1 queen, 2 king) and what was done: an index of `HISTORIES` (p pass, b bet)."""

    first: int
    second: int
    history: int


class KuhnPurpose(NamedTuple):
    """What each player antes, and what a bet adds to it."""

    ante: float = 1.0
    bet: float = 1.0


class KuhnPoker(World):
    """Both ante and get one of three cards; the player who stays in with the higher card takes the pot.

    Actions: `pass` (check, or fold when the other has bet) and `bet` (or call). Both are always legal.
    Observations: MultiDiscrete [3, 9]: the observer's own card, and what was done: nothing, p, b, pb, pp, bp, bb, pbp,
        pbb. The other's card is never observed.
    Rewards: at the end, what the winner gets from the loser: the ante, and the bet if it was called.
    Start: two different cards out of jack, queen, king, the six deals equally likely; player_0 acts first.
    End: terminated when both have passed, or a bet was called or not.

    Args:
        ante: what each player puts in before the deal.
        bet: what a bet adds.

    Source: Kuhn (1950), "A simplified two-person poker", Contributions to the Theory of Games I. With stakes 1 and 1
        the game's value for the first player is −1/18.
    Version history: v0, first.
    """

    State = KuhnState
    Purpose = KuhnPurpose
    players = 2
    actions = ("pass", "bet")
    initial_branches = 6
    gamma = 1.0

    def setup(self, ante: float = 1.0, bet: float = 1.0) -> tuple[Any, KuhnPurpose]:
        return self.Params(), KuhnPurpose(finite_number("KuhnPoker.ante", ante), finite_number("KuhnPoker.bet", bet))

    @staticmethod
    def initial(params: Any, branch: int) -> tuple[float, KuhnState]:
        first = branch // 2
        second = (first + 1 + branch % 2) % 3
        return 1.0 / 6.0, KuhnState(first, second, OPEN)

    @staticmethod
    def mover(params: Any, state: KuhnState) -> int:
        return 1 if state.history in (PASSED, BET) else 0

    @staticmethod
    def transition(params: Any, state: KuhnState, action: int, branch: int) -> tuple[float, KuhnState]:
        history = state.history
        if history == OPEN:
            history = BET if action == 1 else PASSED
        elif history == PASSED:
            history = RAISED if action == 1 else SHOWN
        elif history == BET:
            history = CALLED if action == 1 else SECOND_FOLDED
        elif history == RAISED:
            history = CALLED_LATE if action == 1 else FIRST_FOLDED
        return 1.0, KuhnState(state.first, state.second, history)

    @staticmethod
    def reward(
        params: Any, purpose: KuhnPurpose, state: KuhnState, action: int, next_state: KuhnState
    ) -> tuple[float, float]:
        history = next_state.history
        if history < SHOWN:
            return 0.0, 0.0
        called = history in (CALLED, CALLED_LATE)
        stake = purpose.ante + purpose.bet if called else purpose.ante
        if history == SECOND_FOLDED:
            first_wins = True
        elif history == FIRST_FOLDED:
            first_wins = False
        else:
            first_wins = next_state.first > next_state.second
        return (stake, 0.0 - stake) if first_wins else (0.0 - stake, stake)

    @staticmethod
    def terminal(params: Any, purpose: KuhnPurpose, state: KuhnState) -> bool:
        return state.history >= SHOWN

    @staticmethod
    def observation(params: Any, state: KuhnState, player: int) -> tuple[int, int]:
        return (state.first if player == 0 else state.second), state.history

    @staticmethod
    def observations(params: Any) -> gym.Space[Any]:
        return gym.spaces.MultiDiscrete(np.array([len(CARDS), len(HISTORIES)]))

    @staticmethod
    def describe(params: Any, purpose: KuhnPurpose, state: KuhnState) -> str:
        text = HISTORY_TEXTS[state.history]
        if _is_shown(state):
            return f"{text} | first {CARDS[state.first]}, second {CARDS[state.second]}"
        if state.history >= SHOWN:
            return text
        player = KuhnPoker.mover(params, state)
        stakes = f"ante {purpose.ante:g}, bet {purpose.bet:g}"
        card = CARDS[(state.first, state.second)[player]]
        return f"you are {('first', 'second')[player]}, your card: {card} | {text} | {stakes}"

    @staticmethod
    def describe_observation(params: Any, purpose: KuhnPurpose, observation: tuple[int, int]) -> str:
        """Returns what a player perceives, as text."""
        card, history = observation
        turn = "" if history >= SHOWN else f"; {('first', 'second')[int(history in (PASSED, BET))]} is to act"
        return f"your card: {CARDS[card]} | {HISTORY_TEXTS[history]}{turn} | ante {purpose.ante:g}, bet {purpose.bet:g}"

    @staticmethod
    def draw(params: Any, purpose: KuhnPurpose, state: KuhnState) -> Scene:
        """Returns the table; only the card of who is to move is open, and both where they are shown."""
        return _table(state, None if state.history >= SHOWN else KuhnPoker.mover(params, state))

    @staticmethod
    def draw_view(params: Any, purpose: KuhnPurpose, state: KuhnState, player: int) -> Scene:
        """Returns the table as a player sees it: their own card is open, and both where they are shown."""
        return _table(state, player)


def _table(state: KuhnState, viewer: int | None) -> Scene:
    """Returns the table; of the cards that are not shown to both only the viewer's is open."""
    bets = (state.history in (BET, SECOND_FOLDED, CALLED, CALLED_LATE), "b" in HISTORIES[state.history][1:2])
    folded = FIRST_FOLDED, SECOND_FOLDED
    shapes: list[Shape] = [Rect(0, 0, 4, 3, fill="start")]
    for player, card in enumerate((state.first, state.second)):
        x, color = 0.3 + 1.9 * player, f"player{player}"
        is_open = _is_shown(state) or player == viewer
        away = state.history == folded[player]
        ground = "line" if away else "paper" if is_open else color
        shapes.append(Rect(x, 0.25, 1.5, 1.7, ground, color, 0.1, radius=0.15, layer="moving"))
        if is_open:
            shapes.append(Text(x + 0.75, 1.1, CARDS[card][0].upper(), 0.85, "ink", layer="moving"))
        # the ante, and beside it the bet
        for chip in range(1 + bets[player]):
            shapes.append(Circle(x + 0.4 + 0.7 * chip, 2.45, 0.28, color, "ink", 0.06, layer="moving"))
    return Scene(4, 3, tuple(shapes))


def _is_shown(state: KuhnState) -> bool:
    return state.history in (SHOWN, CALLED, CALLED_LATE)
