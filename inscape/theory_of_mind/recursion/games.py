"""Games as level-k thinking needs them: what is a policy there, and what answers the others' policies.

Three kinds: all choose once (a table of payoffs), everybody sees everything (states), hidden information (a tree).
Policies are one array for each player: `[A]` probabilities, `[S, A]`, or `[I, A]` over the tree's information sets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from inscape.errors import MissingLawError, TooManyStatesError, UsageError
from inscape.theory_of_mind.controllers import SUM_TOLERANCE, Array
from inscape.theory_of_mind.parts.choosing import Best, Chooses, Proportional, Softmax
from inscape.theory_of_mind.parts.planning import Planning
from inscape.theory_of_mind.recursion.folding import PlayersTables
from inscape.world_models.interface import check_gamma
from inscape.world_models.planning.dynamic_programming import policy_evaluation
from inscape.world_models.planning.games.matrix import payoffs_of
from inscape.world_models.planning.games.tree import GameTree
from inscape.world_models.tabular.model import observation_keys

Policies = tuple[Array, ...]


class Game(ABC):
    """A game of M players with finitely many policies to mix.

    Attributes:
        name: for messages.
        players: M.
        action_names: of the A actions.
    """

    name: str
    players: int
    action_names: tuple[str, ...]

    @abstractmethod
    def uniform(self, player: int) -> Array:
        """Returns the policy of one who takes every legal action alike."""

    @abstractmethod
    def respond(self, policies: Policies, player: int, chooses: Chooses) -> Array:
        """Returns the policy of a player who knows the others' policies and chooses by `chooses`."""

    @abstractmethod
    def returns(self, policies: Policies) -> Array:
        """Returns `[M]` expected returns; raises UsageError as `nash_conv`."""

    @abstractmethod
    def mixed(self, policies: Sequence[Array], weights: Array, player: int) -> Array:
        """Returns what a member of a population does, of whom a share `weights[n]` acts by `policies[n]`."""

    @abstractmethod
    def checked(self, policy: Any, player: int) -> Array:
        """Returns a policy as float64, or raises UsageError."""

    def all_checked(self, policies: Any) -> Policies:
        """Returns one policy for each player, or raises UsageError."""
        if len(policies) != self.players:
            raise UsageError(
                f"{len(policies)} policies in {self.name}", expected=f"one for each of {self.players} players"
            )
        return tuple(self.checked(policy, player) for player, policy in enumerate(policies))

    def nash_conv(self, policies: Policies) -> float:
        """Returns Σ_i (best response of i − what i earns): 0 exactly in a Nash equilibrium.

        Raises:
            UsageError: another number of policies, or one that is none.
        """
        policies = self.all_checked(policies)
        earned, total = self.returns(policies), 0.0
        for player in range(self.players):
            best = self.respond(policies, player, Best())
            total += self.returns((*policies[:player], best, *policies[player + 1 :]))[player] - earned[player]
        return float(total)

    def exploitability(self, policies: Policies) -> float:
        """Returns `nash_conv` divided by the number of players: what a best responder gains on average."""
        return self.nash_conv(policies) / self.players

    def _check_shape(self, policy: Any, shape: tuple[int, ...], player: int) -> Array:
        found = np.asarray(policy, np.float64)
        if found.shape != shape:
            raise UsageError(
                f"a policy of shape {list(found.shape)} for player {player} of {self.name}", expected=f"{list(shape)}"
            )
        return found


class OneShot(Game):
    """All players choose once, at once: `payoffs [M, A, …, A]`."""

    def __init__(self, payoffs: Array, name: str = "the game", action_names: Sequence[str] | None = None) -> None:
        self.payoffs, self.name = payoffs, name
        self.players = len(payoffs)
        self.action_names = tuple(action_names) if action_names else tuple(map(str, range(max(payoffs.shape[1:]))))

    def uniform(self, player: int) -> Array:
        size = self.payoffs.shape[1 + player]
        return np.full(size, 1.0 / size)

    def values(self, policies: Policies, player: int) -> Array:
        """Returns `[A]` what each action of a player is worth against the others."""
        table = self.payoffs[player]
        for other in reversed(range(self.players)):
            if other != player:
                table = np.tensordot(table, policies[other], axes=([other], [0]))
        return np.asarray(table)

    def respond(self, policies: Policies, player: int, chooses: Chooses) -> Array:
        values = self.values(policies, player)
        return np.asarray(np.exp(chooses.log_probs(values[None], np.ones((1, len(values)), np.bool_))[0]))

    def returns(self, policies: Policies) -> Array:
        policies = self.all_checked(policies)
        return np.array([self.values(policies, i) @ policies[i] for i in range(self.players)])

    def mixed(self, policies: Sequence[Array], weights: Array, player: int) -> Array:
        return np.asarray(np.tensordot(weights, np.array(policies), axes=1))

    def checked(self, policy: Any, player: int) -> Array:
        found = self._check_shape(policy, self.payoffs.shape[1 + player : 2 + player], player)
        if (found < 0).any() or not abs(found.sum() - 1) <= SUM_TOLERANCE:
            raise UsageError(f"the policy {found.tolist()} of player {player}", expected="a distribution")
        return found


class Seen(Game):
    """Everybody sees everything: policies are `[S, A]` over the states of the world.

    Args:
        world: a world of several players that can be enumerated.
        gamma: discount.
        plans: how a player plans who does not simply take the best.
    """

    def __init__(self, world: Any, gamma: float, plans: Planning | None = None) -> None:
        self.tables, self.gamma = PlayersTables(world), gamma
        self.name, self.players, self.action_names = world.name, world.players, tuple(world.action_names)
        self.plans = Planning("soft-eval") if plans is None else plans

    def uniform(self, player: int) -> Array:
        return self.tables.uniform(player)

    def respond(self, policies: Policies, player: int, chooses: Chooses) -> Array:
        model = self.tables.against(player, dict(enumerate(policies)))
        q_values = self.plans.action_values(model, chooses, self.gamma)
        legal = self.tables.legal[:, player]
        acts = legal.any(axis=1)
        policy = np.zeros(legal.shape)
        policy[acts] = np.exp(chooses.log_probs(q_values[acts], legal[acts]))
        return policy

    def returns(self, policies: Policies) -> Array:
        policies, found = self.all_checked(policies), []
        for player in range(self.players):
            model = self.tables.against(player, dict(enumerate(policies)))
            policy = policies[player].copy()
            waits = ~self.tables.legal[:, player].any(axis=1)
            policy[waits] = np.eye(policy.shape[1])[0]
            found.append(model.initial @ policy_evaluation(model, policy, self.gamma))
        return np.array(found)

    def mixed(self, policies: Sequence[Array], weights: Array, player: int) -> Array:
        return np.asarray(np.tensordot(weights, np.array(policies), axes=1))

    def checked(self, policy: Any, player: int) -> Array:
        return self.tables.checked(player, {player: policy})


class Hidden(Game):
    """Players see different things, and remember them: policies are `[I, A]`, of which a player's own rows count."""

    def __init__(self, tree: GameTree) -> None:
        self.tree, self.name, self.players, self.action_names = tree, tree.name, tree.players, tree.action_names

    def uniform(self, player: int) -> Array:
        return self.tree.uniform_policy()

    def joined(self, policies: Policies) -> Array:
        """Returns `[I, A]` the rows of every player's own policy."""
        return np.array(policies)[self.tree.owner, np.arange(self.tree.num_information_sets)]

    def move_values(self, policies: Policies, player: int) -> Array:
        """Returns `[I, A]` what each move of a player is worth to it where it stands, if all go on by their policies.

        Where the others never let it come to, everything is alike: 0.
        """
        tree, policy = self.tree, self.joined(policies)
        # what is reached does not depend on the player's own moves where it remembers them (perfect recall)
        others = np.prod(np.delete(tree.reach(policy), player, axis=0), axis=0)
        _, move_values = tree.values(policy)
        here = np.flatnonzero(tree.mover == player)
        gain, reach = np.zeros(tree.legal.shape), np.zeros(len(tree.legal))
        np.add.at(gain, tree.information_set[here], others[here, None] * move_values[here, :, player])
        np.add.at(reach, tree.information_set[here], others[here])
        return np.asarray(gain / np.where(reach > 0, reach, 1.0)[:, None])

    def respond(self, policies: Policies, player: int, chooses: Chooses) -> Array:
        tree, policy = self.tree, self.joined(policies).copy()
        own = tree.owner == player
        for moves in sorted(set(tree.own_moves[own].tolist()), reverse=True):  # the last decisions first
            sets = np.flatnonzero(own & (tree.own_moves == moves))
            values = self.move_values((policy,) * self.players, player)[sets]
            policy[sets] = np.exp(chooses.log_probs(values, tree.legal[sets]))
        return policy

    def returns(self, policies: Policies) -> Array:
        return self.tree.expected_returns(self.joined(self.all_checked(policies)))

    def mixed(self, policies: Sequence[Array], weights: Array, player: int) -> Array:
        """By how often each member would come to an information set: Kuhn's theorem."""
        tree = self.tree
        weights = np.asarray(weights, np.float64)
        total = np.zeros(tree.legal.shape)
        reached = np.zeros((len(policies), len(tree.legal)))
        for n, policy in enumerate(policies):
            own = tree.reach(policy)[player]
            moving = np.flatnonzero(tree.mover == player)
            reached[n, tree.information_set[moving]] = own[moving]  # the same in every history of a set
            total += weights[n] * reached[n][:, None] * policy
        share = weights @ reached
        average = np.tensordot(weights, np.array(policies), axes=1)  # where no member comes to
        return np.asarray(np.where(share[:, None] > 0, total / np.where(share > 0, share, 1.0)[:, None], average))

    def checked(self, policy: Any, player: int) -> Array:
        found = self._check_shape(policy, self.tree.legal.shape, player)
        own = (self.tree.owner == player)[:, None]
        return self.tree.checked(np.where(own, found, self.tree.uniform_policy()))


def as_game(given: Any, gamma: float | None = None, plans: Planning | None = None) -> Game:
    """Returns what is given as a game.

    Args:
        given: payoffs `[M, A, …, A]`, or a pair of tables `[A, B]`; a world of several players, its class or its name;
            a `GameTree`; a `Game`.
        gamma: discount; None: the world's own.
        plans: how players plan in a world of states that everybody sees.

    Raises:
        UsageError: payoffs of another shape, or not finite.
        MissingLawError: one player, or a law that can only be sampled.
    """
    if gamma is not None:
        check_gamma(gamma)
    if isinstance(given, Game):
        return given
    if isinstance(given, GameTree):
        return Hidden(given)
    if isinstance(given, (np.ndarray, list, tuple)):
        return OneShot(_payoffs(given))
    from inscape.envs.tasks.resolve import resolve_task

    task = resolve_task(given)
    world = task.world
    if world is None or world.players < 2:
        raise MissingLawError(
            f"{task.name} is no game of several players whose law is known", expected="a world such as KuhnPoker"
        )
    if world.simultaneous:
        try:
            return OneShot(payoffs_of(given), world.name, world.action_names)
        except UsageError:  # it goes on after a choice, or begins in several states
            pass
    if sees_everything(world):
        return Seen(world, world.gamma if gamma is None else gamma, plans)
    return Hidden(GameTree.from_world(given))


def sees_everything(world: Any) -> bool:
    """Returns whether every player's observation determines the state; False where states cannot be enumerated."""
    try:
        states = world.dynamics().states
    except TooManyStatesError:
        return False
    for player in range(world.players):
        keys = observation_keys(world.observe(states, player))
        if len(set(keys)) < len(keys):
            return False
    return True


def _payoffs(given: Any) -> Array:
    try:
        table = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(
            "payoffs that are no numbers, or tables of different shapes", expected="[M, A, …, A]"
        ) from error
    if table.ndim < 3 or table.ndim != len(table) + 1 or not np.isfinite(table).all():
        raise UsageError(
            f"payoffs of shape {list(table.shape)}",
            expected="[M, A, …, A] finite numbers: player, then an action of each of the M players",
            hint="as_game([rows, rows.T]) for a symmetric game of two",
        )
    return table


def check_response(chooses: Any) -> Chooses:
    """Returns how a player chooses: `"best"` is `Best()`, a number β is `Softmax(β)`.

    Raises:
        UsageError: it is none of these.
    """
    if chooses == "best":
        return Best()
    if isinstance(chooses, (Best, Softmax, Proportional)):
        return chooses
    if isinstance(chooses, (int, float, np.number)) and not isinstance(chooses, bool):
        return Softmax(float(chooses))
    raise UsageError(
        f"chooses = {chooses!r}", expected="'best', Best(), Softmax(beta), Proportional() or a number, beta"
    )
