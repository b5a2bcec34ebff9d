"""Leduc poker: six cards, two rounds, a card on the table."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.rendering.scene import Circle, Rect, Scene, Shape, Text
from inscape.envs.world import World
from inscape.envs.worlds.multi_agent.checks import finite_number

CARDS = ("jack", "queen", "king")
FOLD, CALL, RAISE = range(3)
NOT_DEALT = 3
BETTING = ("", "c", "r", "cr", "rr", "crr", "cc", "rc", "crc", "rrc", "crrc", "rf", "crf", "rrf", "crrf")
"""What may be done in a round: c call (check), r raise, f fold; the first six go on."""
GO_ON, CALLED = (
    6,
    11,
)  # betting below GO_ON goes on; from there to CALLED a round ended by a call, from CALLED by a fold
NEXT = tuple(
    tuple(BETTING.index(done + move) if done + move in BETTING else -1 for move in "fcr") for done in BETTING[:GO_ON]
)
RAISES = tuple(done.count("r") for done in BETTING)
LENGTHS = tuple(map(len, BETTING))


class LeducState(NamedTuple):
    """Cards (0 jack, 1 queen, 2 king) of both players and on the table (3: not dealt yet), and the betting of each
    round: an index of `BETTING`."""

    first: int
    second: int
    table: int
    round_one: int
    round_two: int


class LeducPurpose(NamedTuple):
    """What each player antes, and by how much the bets of each round rise."""

    ante: float = 1.0
    bet_one: float = 2.0
    bet_two: float = 4.0


class LeducPoker(World):
    """Both ante and get one of six cards, two of each rank; after a round of betting a card is put on the table, and
    after another one cards are shown: a pair with the table wins, else the higher card; equal cards share.

    Actions: `fold` (legal when the other has raised), `call` (check, where there is nothing to call) and `raise` (at
        most two in a round).
    Observations: MultiDiscrete [3, 4, 15, 15]: the observer's own card, the table's (3: not dealt yet), and what was
        done in each round (an index of `BETTING`).
    Rewards: at the end, what the winner gets from the loser.
    Start: cards drawn without replacement; player_0 acts first in both rounds.
    End: terminated when one has folded, or the second round's bets are called.

    Args:
        ante: what each player puts in before the deal.
        bet_one: by how much a raise of the first round rises.
        bet_two: by how much a raise of the second round rises.

    Source: Southey, Bowling, Larson, Piccione, Burch, Billings & Rayner (2005), "Bayes' bluff: opponent modelling in
        poker", UAI.
    Version history: v0, first.
    """

    State = LeducState
    Purpose = LeducPurpose
    players = 2
    actions = ("fold", "call", "raise")
    initial_branches = 9
    branches = 3
    gamma = 1.0

    def setup(self, ante: float = 1.0, bet_one: float = 2.0, bet_two: float = 4.0) -> tuple[Any, LeducPurpose]:
        amounts = {"ante": ante, "bet_one": bet_one, "bet_two": bet_two}
        return self.Params(), LeducPurpose(*(finite_number(f"LeducPoker.{name}", x) for name, x in amounts.items()))

    @staticmethod
    def initial(params: Any, branch: int) -> tuple[float, LeducState]:
        first, second = branch // 3, branch % 3
        probability = 1.0 / 15.0 if first == second else 2.0 / 15.0
        return probability, LeducState(first, second, NOT_DEALT, 0, 0)

    @staticmethod
    def mover(params: Any, state: LeducState) -> int:
        betting = state.round_one if state.table == NOT_DEALT else state.round_two
        return LENGTHS[betting] % 2

    @staticmethod
    def legal(params: Any, state: LeducState, action: int) -> bool:
        betting = state.round_one if state.table == NOT_DEALT else state.round_two
        return betting < GO_ON and NEXT[betting][action] >= 0

    @staticmethod
    def transition(params: Any, state: LeducState, action: int, branch: int) -> tuple[float, LeducState]:
        if state.table != NOT_DEALT:
            after = NEXT[state.round_two][action]
            probability = 1.0 if branch == 0 else 0.0
            return probability, LeducState(state.first, state.second, state.table, state.round_one, after)
        after = NEXT[state.round_one][action]
        if after < GO_ON or after >= CALLED:
            probability = 1.0 if branch == 0 else 0.0
            return probability, LeducState(state.first, state.second, NOT_DEALT, after, 0)
        left = 2 - int(state.first == branch) - int(state.second == branch)
        return left / 4.0, LeducState(state.first, state.second, branch, after, 0)

    @staticmethod
    def reward(
        params: Any, purpose: LeducPurpose, state: LeducState, action: int, next_state: LeducState
    ) -> tuple[float, float]:
        one, two = next_state.round_one, next_state.round_two
        if one >= CALLED:  # whoever folds loses what was put in before the last raise
            stake = purpose.ante + (RAISES[one] - 1) * purpose.bet_one
            first_wins = LENGTHS[one] % 2 == 0  # the last to move has folded
        elif two >= CALLED:
            stake = purpose.ante + RAISES[one] * purpose.bet_one + (RAISES[two] - 1) * purpose.bet_two
            first_wins = LENGTHS[two] % 2 == 0
        elif two >= GO_ON:
            stake = purpose.ante + RAISES[one] * purpose.bet_one + RAISES[two] * purpose.bet_two
            if next_state.first == next_state.second:
                return 0.0, 0.0
            first_wins = next_state.first == next_state.table or (
                next_state.second != next_state.table and next_state.first > next_state.second
            )
        else:
            return 0.0, 0.0
        return (stake, 0.0 - stake) if first_wins else (0.0 - stake, stake)

    @staticmethod
    def terminal(params: Any, purpose: LeducPurpose, state: LeducState) -> bool:
        return state.round_one >= CALLED or state.round_two >= GO_ON

    @staticmethod
    def observation(params: Any, state: LeducState, player: int) -> tuple[int, int, int, int]:
        return (state.first if player == 0 else state.second), state.table, state.round_one, state.round_two

    @staticmethod
    def observations(params: Any) -> gym.Space[Any]:
        return gym.spaces.MultiDiscrete(np.array([len(CARDS), NOT_DEALT + 1, len(BETTING), len(BETTING)]))

    @staticmethod
    def describe(params: Any, purpose: LeducPurpose, state: LeducState) -> str:
        text = _what_was_done(purpose, state.table, state.round_one, state.round_two)
        if _is_shown(state):
            return f"{text} | first {CARDS[state.first]}, second {CARDS[state.second]}"
        if LeducPoker.terminal(params, purpose, state):
            return text
        player = LeducPoker.mover(params, state)
        card = CARDS[(state.first, state.second)[player]]
        return f"you are {('first', 'second')[player]}, your card: {card} | {text}"

    @staticmethod
    def describe_observation(params: Any, purpose: LeducPurpose, observation: tuple[int, int, int, int]) -> str:
        """Returns what a player perceives, as text."""
        card, *rest = observation
        return f"your card: {CARDS[card]} | {_what_was_done(purpose, *rest)}"

    @staticmethod
    def draw(params: Any, purpose: LeducPurpose, state: LeducState) -> Scene:
        """Returns the table; only the card of who is to move is open, and both where they are shown."""
        over = LeducPoker.terminal(params, purpose, state)
        return _drawn(state, None if over else LeducPoker.mover(params, state))

    @staticmethod
    def draw_view(params: Any, purpose: LeducPurpose, state: LeducState, player: int) -> Scene:
        """Returns the table as a player sees it: their own card is open, and both where they are shown."""
        return _drawn(state, player)


def _what_was_done(purpose: LeducPurpose, table: int, round_one: int, round_two: int) -> str:
    """Returns the table's card, the betting of both rounds and the stakes, as text."""
    words = {"c": "called", "r": "raised", "f": "folded"}
    said = []
    for name, betting in (("first round", round_one), ("second round", round_two)):
        moves = [f"{('first', 'second')[i % 2]} {words[move]}" for i, move in enumerate(BETTING[betting])]
        if moves:
            said.append(f"{name}: {', '.join(moves)}")
    card = "no card on the table yet" if table == NOT_DEALT else f"on the table: {CARDS[table]}"
    stakes = f"ante {purpose.ante:g}, raises of {purpose.bet_one:g} and {purpose.bet_two:g}"
    return " | ".join([card, *said, stakes])


def _is_shown(state: LeducState) -> bool:
    return GO_ON <= state.round_two < CALLED


def _drawn(state: LeducState, viewer: int | None) -> Scene:
    """Returns the table; of the players' cards that are not shown to both only the viewer's is open."""
    shapes: list[Shape] = [Rect(0, 0, 5.6, 3, fill="start")]
    betting = BETTING[state.round_one], BETTING[state.round_two]
    for player, card in enumerate((state.first, state.second)):
        x, color = 0.3 + 3.5 * player, f"player{player}"
        is_open = _is_shown(state) or player == viewer
        folded = any(done.endswith("f") and (len(done) - 1) % 2 == player for done in betting)
        ground = "line" if folded else "paper" if is_open else color
        shapes.append(Rect(x, 0.25, 1.5, 1.7, ground, color, 0.1, radius=0.15, layer="moving"))
        if is_open:
            shapes.append(Text(x + 0.75, 1.1, CARDS[card][0].upper(), 0.85, "ink", layer="moving"))
        # the ante, and a chip for each raise that was made
        raises = sum(done[player::2].count("r") for done in betting)
        for chip in range(1 + raises):
            shapes.append(Circle(x + 0.2 + 0.36 * chip, 2.45, 0.2, color, "ink", 0.05, layer="moving"))
    ground = "line" if state.table == NOT_DEALT else "paper"
    shapes.append(Rect(2.05, 0.25, 1.5, 1.7, ground, "ink", 0.06, radius=0.15, layer="moving"))
    if state.table != NOT_DEALT:
        shapes.append(Text(2.8, 1.1, CARDS[state.table][0].upper(), 0.85, "ink", layer="moving"))
    return Scene(5.6, 3, tuple(shapes))
