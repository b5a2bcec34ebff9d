"""Guess two thirds of the average."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.law.tools import replaced
from inscape.envs.rendering.scene import Circle, Line, Polygon, Rect, Scene, Shape, player_color
from inscape.envs.world import World
from inscape.envs.worlds.multi_agent.checks import finite_number, whole_number
from inscape.envs.worlds.multi_agent.grid_moves import own_first

MOST_PLAYERS = 32  # a reward has one entry per player, and each is compiled
CLOSE = 1e-9  # guesses at the same distance tie, whatever rounding does to it


class GuessState(NamedTuple):
    """Rounds played, and each player's last guess plus 1 (0: none yet)."""

    round: int
    guesses: tuple[int, ...]


class GuessParams(NamedTuple):
    """Rounds to play, the highest number, and the guesses before the first round: a 0 for each player."""

    rounds: int
    highest: int
    none_yet: tuple[int, ...]


class GuessPurpose(NamedTuple):
    """The fraction of the average that is aimed at, and what winning is worth to each player."""

    fraction: float
    prizes: tuple[float, ...]


class GuessTwoThirds(World):
    """All name a number at once; who is nearest to two thirds of the average wins the prize.

    Actions: the numbers `0` … `highest`.
    Observations: MultiDiscrete: rounds played, then the last guesses plus 1 (0: none yet): the observer's own, then the
        others' in their order.
    Rewards: the prize, shared equally among those at the least distance; 0 for the others.
    Start: nothing guessed.
    End: terminated after `rounds` rounds.

    Args:
        players: how many, 2 to 32.
        highest: the highest number.
        fraction: of the average, which is aimed at.
        prize: what winning is worth.
        rounds: how often the game is played.

    Source: Nagel (1995), "Unraveling in guessing games", American Economic Review 85(5). With a fraction below 1, all
        naming 0 is the only outcome left when dominated numbers are struck out again and again.
    Version history: v0, first.
    """

    State = GuessState
    Params = GuessParams
    Purpose = GuessPurpose
    simultaneous = True
    players = 3
    gamma = 1.0

    @classmethod
    def sized(cls, players: int = 3, highest: int = 100, **others: Any) -> dict[str, Any]:
        count = whole_number("GuessTwoThirds.players", players, 2, MOST_PLAYERS)
        numbers = range(whole_number("GuessTwoThirds.highest", highest, 1) + 1)
        return {
            "players": count,
            "lengths": {"guesses": count, "prizes": count, "none_yet": count},
            "actions": tuple(str(number) for number in numbers),
        }

    def setup(
        self, players: int = 3, highest: int = 100, fraction: float = 2 / 3, prize: float = 1.0, rounds: int = 1
    ) -> tuple[GuessParams, GuessPurpose]:
        params = GuessParams(whole_number("GuessTwoThirds.rounds", rounds, 1), highest, (0,) * players)
        prizes = (finite_number("GuessTwoThirds.prize", prize),) * players
        return params, GuessPurpose(finite_number("GuessTwoThirds.fraction", fraction), prizes)

    @staticmethod
    def initial(params: GuessParams, branch: int) -> tuple[float, GuessState]:
        return 1.0, GuessState(0, params.none_yet)

    @staticmethod
    def transition(
        params: GuessParams, state: GuessState, action: tuple[int, ...], branch: int
    ) -> tuple[float, GuessState]:
        guesses = state.guesses
        for player in range(len(guesses)):
            guesses = replaced(guesses, player, action[player] + 1)
        return 1.0, GuessState(min(state.round + 1, params.rounds), guesses)

    @staticmethod
    def reward(
        params: GuessParams, purpose: GuessPurpose, state: GuessState, action: tuple[int, ...], next_state: GuessState
    ) -> tuple[float, ...]:
        target = aim(purpose, action)
        least = abs(action[0] - target)
        for player in range(1, len(action)):
            distance = abs(action[player] - target)
            least = distance if distance < least else least
        winners = 0
        for player in range(len(action)):
            winners += abs(action[player] - target) <= least + CLOSE
        gained, share = purpose.prizes, 1.0 / winners
        for player in range(len(action)):
            won = abs(action[player] - target) <= least + CLOSE
            gained = replaced(gained, player, gained[player] * share if won else 0.0)
        return gained

    @staticmethod
    def terminal(params: GuessParams, purpose: GuessPurpose, state: GuessState) -> bool:
        return state.round >= params.rounds

    @staticmethod
    def observation(params: GuessParams, state: GuessState, player: int) -> tuple[int, ...]:
        return (state.round, *own_first(state.guesses, player))

    @staticmethod
    def observations(params: GuessParams) -> gym.Space[Any]:
        return gym.spaces.MultiDiscrete(np.array([params.rounds + 1] + [params.highest + 2] * len(params.none_yet)))

    @staticmethod
    def describe(params: GuessParams, purpose: GuessPurpose, state: GuessState) -> str:
        text = f"name a number from 0 to {params.highest}; nearest to {purpose.fraction:.3g} of the average wins"
        if state.round >= params.rounds:
            text = f"all {params.rounds} rounds are played"
        text += f" | round {min(state.round + 1, params.rounds)} of {params.rounds}, {len(state.guesses)} players"
        if state.round:
            last = tuple(guess - 1 for guess in state.guesses)
            text += f" | last: {', '.join(map(str, last))}; aimed at {aim(purpose, last):.4g}"
        return text

    @staticmethod
    def draw(params: GuessParams, purpose: GuessPurpose, state: GuessState) -> Scene:
        """Returns a scale from 0 up: the players at their last guesses, an arrow at what was aimed at."""
        left, right, base = 0.4, 4.6, 1.9
        shapes: list[Shape] = [Rect(0, 0, 5, 2.5, fill="paper"), Line(left, base, right, base, "muted", 0.1)]
        shapes += [Line(x, base - 0.15, x, base, "muted", 0.06) for x in np.linspace(left, right, 11).tolist()]
        if state.round:
            last = tuple(guess - 1 for guess in state.guesses)
            scale, radius = (right - left) / params.highest, 0.26
            at = left + min(aim(purpose, last), params.highest) * scale
            tip = ((at, base), (at - 0.3, base + 0.5), (at + 0.3, base + 0.5))
            shapes.append(Polygon(tip, fill="goal", layer="moving"))
            for player, guess in enumerate(last):
                below = sum(abs(other - guess) * scale < 2 * radius for other in last[:player])
                x, y = left + guess * scale, base - 0.3 - 0.4 * below
                shapes.append(Circle(x, y, radius, player_color(player), "ink", 0.05, "moving"))
        return Scene(5, 2.5, tuple(shapes))


def aim(purpose: GuessPurpose, guesses: tuple[int, ...]) -> float:
    """Returns the fraction of the average of the guesses (compiled with the law)."""
    total = 0
    for player in range(len(guesses)):
        total += guesses[player]
    return purpose.fraction * total / len(guesses)
