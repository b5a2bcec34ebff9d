"""Levels of players whose wants are private: each infers the others' from what they do, as players one level below.

Finitely nested interactive decision problems, exact: where everybody remembers what it saw and did, what the others are
believed to be is a function of the information set, and answering them is answering the population they are drawn from.

Sources: Gmytrasiewicz & Doshi (2005), "A framework for sequential planning in multi-agent settings", Journal of
Artificial Intelligence Research 24; guilt as a type: Ray, King-Casas, Montague & Dayan (2008), "Bayesian model of
behaviour in economic games", NeurIPS; populations: Kuhn (1953).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.parts.choosing import Chooses
from inscape.theory_of_mind.parts.wanting import Caring, fingerprint
from inscape.theory_of_mind.recursion.games import Hidden, Policies, check_response
from inscape.theory_of_mind.recursion.levels import MOST_LEVELS
from inscape.world_models.planning.games.tree import GameTree

SUM_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class InteractiveLevels:
    """The policies of levels 0 to k of every type of every player.

    Attributes:
        game: what is played, as a tree of information sets.
        types: by player, what its types want.
        priors: by player, `[T]` how common its types are.
        policies: by level and player, `[T, I, A]`; of the I information sets a player's own rows count.
        chooses: how levels above 0 choose.
    """

    game: Hidden
    types: tuple[tuple[Caring | None, ...], ...]
    priors: tuple[Array, ...]
    policies: tuple[tuple[Array, ...], ...]
    chooses: Chooses

    def __len__(self) -> int:
        return len(self.policies)

    def __getitem__(self, level: int) -> tuple[Array, ...]:
        return self.policies[level]

    @property
    def top(self) -> tuple[Array, ...]:
        """The highest level."""
        return self.policies[-1]

    def population(self, level: int) -> Policies:
        """Returns what a player of a level does whose type is not known, one array `[I, A]` for each player."""
        return tuple(
            self.game.mixed(list(self.policies[level][player]), self.priors[player], player)
            for player in range(self.game.players)
        )

    def about(self, player: int, level: int) -> Array:
        """Returns `[N, T]` P(type of `player` | history), of one who takes it to be of `level`, in all N histories.

        In histories that no type would have brought about, it is the prior.

        Raises:
            UsageError: there is no such player or level.
        """
        if not 0 <= player < self.game.players or not 0 <= level < len(self):
            raise UsageError(
                f"player {player}, level {level}", expected=f"0 to {self.game.players - 1}, 0 to {len(self) - 1}"
            )
        reach = np.array([self.game.tree.reach(policy)[player] for policy in self.policies[level][player]]).T
        joint = reach * self.priors[player]
        total = joint.sum(axis=1, keepdims=True)
        return np.asarray(np.where(total > 0, joint / np.where(total > 0, total, 1.0), self.priors[player]))


def interactive_levels(
    world: Any,
    types: Mapping[int, Sequence[Caring | None]],
    k: int,
    chooses: Any = "best",
    base: Any = "uniform",
    priors: Mapping[int, ArrayLike] | None = None,
) -> InteractiveLevels:
    """Returns the policies of levels 0 to k: level j takes the others to be of level j − 1 and of an unknown type.

        interactive_levels(world, {0: [None, Caring(world.purpose, guilt=0.7)]}, 3, chooses=5.0)

    What is known of another's type at a decision follows from its moves so far by Bayes' rule. The time is linear in k.

    Args:
        world: a world of several players (its class or its name), or a `GameTree`, whose episodes end.
        types: by player, what it may want: `Caring`, or None: its own reward. Players left out have that one type.
        k: the highest level, at least 0.
        chooses: `"best"` (ties alike), or β: a logit response.
        base: level 0: `"uniform"`; `"myopic"`, which answers uniform others by what is paid before its own next move;
            or by player a policy `[I, A]`, the same for all types, or `[T, I, A]`.
        priors: by player, `[T]` probabilities of its types; None: each alike.

    Raises:
        UsageError: k below 0; types, priors or a base that are none; a type with a goal other than the world's.
        MissingLawError: as `GameTree.from_world`.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 0 <= k <= MOST_LEVELS:
        raise UsageError(f"level {k!r}", expected=f"a whole number from 0 to {MOST_LEVELS}")
    rule = check_response(chooses)
    tree = world if isinstance(world, GameTree) else GameTree.from_world(world)
    players = range(tree.players)
    kinds = _types(types, tree, world)
    shares = tuple(_prior((priors or {}).get(player), len(kinds[player]), player) for player in players)
    games = tuple(tuple(_as_wanted(tree, player, kind) for kind in kinds[player]) for player in players)
    game = Hidden(tree)
    levels = InteractiveLevels(game, kinds, shares, (_base(game, games, rule, base),), rule)
    for level in range(k):
        others = levels.population(level)
        answers = tuple(np.array([each.respond(others, player, rule) for each in games[player]]) for player in players)
        levels = replace(levels, policies=(*levels.policies, answers))
    return levels


def _types(given: Any, tree: GameTree, world: Any) -> tuple[tuple[Caring | None, ...], ...]:
    if not isinstance(given, Mapping) or not all(player in range(tree.players) for player in given):
        raise UsageError(f"types = {given!r}", expected=f"{{player: [types]}}, players 0 to {tree.players - 1}")
    own, named = _purposes(world)
    found = tuple(tuple(given.get(player, (None,))) for player in range(tree.players))
    for player, kinds in enumerate(found):
        if not kinds or not all(kind is None or isinstance(kind, Caring) for kind in kinds):
            raise UsageError(f"types of player {player}: {kinds!r}", expected="one or more Caring(…), or None")
        for kind in kinds:
            goal = (
                None if kind is None else named.get(kind.goal, kind.goal) if isinstance(kind.goal, str) else kind.goal
            )
            if goal is not None and own is not None and fingerprint(goal) != fingerprint(own):
                raise UsageError(
                    f"a type of player {player} with the goal {getattr(kind, 'goal', None)!r}",
                    expected="the world's own purpose: types differ in how they care",
                )
    return found


def _purposes(world: Any) -> tuple[Any, Mapping[str, Any]]:
    """Returns a world's own purpose and its named ones; of a tree nothing is known."""
    from inscape.envs.tasks.resolve import resolve_task

    found = None if isinstance(world, GameTree) else resolve_task(world).world
    return (None, {}) if found is None else (found.purpose, found.goals)


def _prior(given: Any, count: int, player: int) -> Array:
    if given is None:
        return np.full(count, 1.0 / count)
    found = np.asarray(given, np.float64)
    if found.shape != (count,) or not (found >= 0).all() or not abs(found.sum() - 1) <= SUM_TOLERANCE:
        raise UsageError(
            f"the prior {given!r} of player {player}", expected=f"[{count}] probabilities, one for each type"
        )
    return found


def _as_wanted(tree: GameTree, player: int, kind: Caring | None) -> Hidden:
    """Returns the game in which what a player gets is worth what one of its types thinks of it."""
    if kind is None:
        return Hidden(tree)
    payoff = tree.payoff.copy()
    payoff[:, player] = kind.utility(tree.payoff, player)
    return Hidden(replace(tree, payoff=payoff))


def _base(game: Hidden, games: tuple[tuple[Hidden, ...], ...], rule: Chooses, base: Any) -> tuple[Array, ...]:
    uniform = tuple(game.uniform(player) for player in range(game.players))
    if isinstance(base, str) and base == "uniform":
        return tuple(np.repeat(uniform[player][None], len(kinds), axis=0) for player, kinds in enumerate(games))
    if isinstance(base, str) and base == "myopic":
        return tuple(np.array([_myopic(each, player, rule) for each in kinds]) for player, kinds in enumerate(games))
    if not isinstance(base, Mapping) or not all(player in base for player in range(game.players)):
        raise UsageError(f"base = {base!r}", expected="'uniform', 'myopic', or {player: policy} for every player")
    found = []
    for player, kinds in enumerate(games):
        policy = np.asarray(base[player], np.float64)
        policies = policy if policy.ndim == 3 else np.repeat(policy[None], len(kinds), axis=0)
        if len(policies) != len(kinds):
            raise UsageError(
                f"{len(policies)} policies of player {player}", expected=f"one for each of {len(kinds)} types"
            )
        found.append(np.array([game.checked(each, player) for each in policies]))
    return tuple(found)


def _myopic(game: Hidden, player: int, rule: Chooses) -> Array:
    """Returns `[I, A]` what answers uniform others by what is paid before the player's own next move."""
    tree = game.tree
    policy, answer = tree.uniform_policy(), tree.uniform_policy()
    made: Array = np.zeros(len(tree), np.int64)  # own moves on the way to each history
    for depth in range(1, len(tree.depth_starts) - 1):
        here = np.arange(tree.depth_starts[depth], tree.depth_starts[depth + 1])
        made[here] = made[tree.parent[here]] + (tree.mover[tree.parent[here]] == player)
    own = tree.owner == player
    for moves in sorted(set(tree.own_moves[own].tolist())):
        near = replace(tree, payoff=np.where(made[:, None] <= moves + 1, tree.payoff, 0.0))
        sets = np.flatnonzero(own & (tree.own_moves == moves))
        answer[sets] = np.exp(
            rule.log_probs(Hidden(near).move_values((policy,) * tree.players, player)[sets], tree.legal[sets])
        )
    return np.asarray(answer)
