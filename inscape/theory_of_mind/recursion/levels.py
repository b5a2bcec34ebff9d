"""Level-k thinking and cognitive hierarchies: level 0 is given, level k answers those below.

Sources: level k: Nagel (1995), "Unraveling in guessing games", American Economic Review 85(5); Stahl & Wilson (1995),
Games and Economic Behavior 10; a population of levels, Poisson: Camerer, Ho & Chong (2004), "A cognitive hierarchy
model of games", Quarterly Journal of Economics 119(3), Eqs. 1–3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.parts.choosing import Chooses
from inscape.theory_of_mind.parts.numbers import finite_number
from inscape.theory_of_mind.recursion.games import Game, Policies, Seen, as_game, check_response

MOST_LEVELS = 100_000


@dataclass(frozen=True, eq=False)
class Levels:
    """The policies of levels 0 to k in a game.

    Attributes:
        game: what is played.
        policies: by level, one array for each player (see `recursion.games`).
        chooses: how levels above 0 choose.
        tau: mean of the Poisson population that a level believes itself above; None: the level just below, only.
    """

    game: Game
    policies: tuple[Policies, ...]
    chooses: Chooses
    tau: float | None

    def __len__(self) -> int:
        return len(self.policies)

    def __getitem__(self, level: int) -> Policies:
        return self.policies[level]

    @property
    def top(self) -> Policies:
        """The highest level."""
        return self.policies[-1]

    def shares(self) -> Array:
        """Returns `[k + 1]` how common each level is: Poisson(tau), cut off above k; the top alone without tau."""
        if self.tau is None:
            return np.asarray(np.eye(len(self))[-1])
        return poisson(self.tau, len(self))

    def population(self) -> Policies:
        """Returns what a member of the population does, one array for each player: the prediction of the model."""
        shares = self.shares()
        return tuple(
            self.game.mixed([policies[i] for policies in self.policies], shares, i) for i in range(self.game.players)
        )

    def choices(self, level: int, player: int = 0) -> list[str]:
        """Returns the names of the actions a player of a level takes, in a game of one choice."""
        policy = self.policies[level][player]
        if policy.ndim != 1:
            raise UsageError(f"choices in {self.game.name}", expected="a game in which all choose once")
        return [self.game.action_names[a] for a in np.flatnonzero(policy > 1e-12)]


def poisson(tau: float, count: int) -> Array:
    """Returns `[count]` probabilities of 0 … count − 1 under Poisson(tau), divided by their sum."""
    logs = _poisson_logs(tau, count)
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum())


def _poisson_logs(tau: float, count: int) -> Array:
    """Returns `[count]` logs of Poisson(tau), up to a constant."""
    levels = np.arange(count)
    if tau == 0:
        return np.where(levels == 0, 0.0, -np.inf)
    return np.asarray(levels * math.log(tau) - np.array([math.lgamma(k + 1.0) for k in levels]))


def level_k(game: Any, k: int, base: Any = "uniform", chooses: Any = "best", gamma: float | None = None) -> Levels:
    """Returns the policies of levels 0 to k: level j takes the others to be of level j − 1.

        level_k("MoneyRequest", 3, base={0: "20", 1: "20"}).choices(2)          ['18']
        level_k([rows, rows.T], 2, chooses=2.0).top[0]

    The time is linear in k; where levels repeat themselves, they are not computed again.

    Args:
        game: payoffs, a world of several players, its name, a `GameTree` (see `as_game`).
        k: the highest level, at least 0.
        base: level 0: `"uniform"`, or for every player (or all alike) a policy, the name or number of an action (in
            a game of several states: wherever it is legal, elsewhere any), by player number.
        chooses: `"best"` (ties alike), or β: a logit response.
        gamma: discount; None: the world's own.

    Raises:
        UsageError: k below 0; a base that is no policy.
        MissingLawError: no game of several players whose law is known.
    """
    return _levels(as_game(game, gamma), k, base, check_response(chooses), None)


def cognitive_hierarchy(
    game: Any, k: int, tau: float, base: Any = "uniform", chooses: Any = "best", gamma: float | None = None
) -> Levels:
    """Returns the policies of levels 0 to k: level j takes the others to be of levels 0 to j − 1, in the proportions of
    Poisson(tau); `population()` is what is then seen.

    In a game of several moves whose states all see, a player of a lower level is taken to be drawn anew at every move.

    Args:
        game, k, base, chooses, gamma: as in `level_k`.
        tau: mean of the population's levels, at least 0 (Camerer et al. find 1.5 on average).

    Raises:
        UsageError: as `level_k`; tau below 0.
    """
    return _levels(as_game(game, gamma), k, base, check_response(chooses), finite_number("tau", tau))


def _levels(game: Game, k: int, base: Any, chooses: Chooses, tau: float | None) -> Levels:
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 0 <= k <= MOST_LEVELS:
        raise UsageError(f"level {k!r}", expected=f"a whole number from 0 to {MOST_LEVELS}")
    levels: list[Policies] = [base_policies(game, base)]
    below = levels[0]  # what a member of the levels so far does
    logs = _poisson_logs(0.0 if tau is None else tau, k + 1)
    upto = np.logaddexp.accumulate(logs)  # in logs: beside the highest levels, shares of the lowest may underflow
    seen = {_key(levels[0]): 0}
    for level in range(1, k + 1):
        answer = tuple(game.respond(below, i, chooses) for i in range(game.players))
        levels.append(answer)
        if tau is None:
            below = answer
            first = seen.setdefault(_key(answer), level)
            if first < level:  # from here on the same again
                period = level - first
                levels += [levels[first + (n - first) % period] for n in range(level + 1, k + 1)]
                break
        else:
            pair = np.exp([upto[level - 1] - upto[level], logs[level] - upto[level]])
            below = tuple(game.mixed([below[i], answer[i]], pair, i) for i in range(game.players))
    return Levels(game, tuple(levels), chooses, tau)


def _key(policies: Policies) -> bytes:
    return b"|".join(policy.tobytes() for policy in policies)


def base_policies(game: Game, base: Any) -> Policies:
    """Returns level 0 as policies (see `level_k`)."""
    by_player = base if isinstance(base, Mapping) else dict.fromkeys(range(game.players), base)
    missing = [i for i in range(game.players) if i not in by_player]
    if missing:
        raise UsageError(f"no level 0 of player {missing[0]} of {game.name}", expected="one for every player")
    return tuple(_base_policy(game, by_player[i], i) for i in range(game.players))


def _base_policy(game: Game, base: Any, player: int) -> Array:
    uniform = game.uniform(player)
    if isinstance(base, str) and base == "uniform":
        return uniform
    if isinstance(base, (str, int, np.integer)) and not isinstance(base, bool):
        if uniform.ndim != 1 and not isinstance(game, Seen):
            raise UsageError(f"the action {base!r} as level 0 of {game.name}", expected="a policy, or 'uniform'")
        names = game.action_names[: uniform.shape[-1]]
        number = names.index(base) if base in names else base
        if isinstance(number, str) or not 0 <= number < uniform.shape[-1]:
            raise UsageError(f"the action {base!r} as level 0 of {game.name}", expected=", ".join(names[:20]))
        taken = np.eye(uniform.shape[-1])[int(number)]
        if uniform.ndim == 1:
            return np.asarray(taken)
        return np.where(uniform[:, int(number), None] > 0, taken, uniform)
    return game.checked(base, player)
