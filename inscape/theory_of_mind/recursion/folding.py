"""The others folded in: a world of several players as a model for one of them, given how the others act."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind.controllers import SUM_TOLERANCE, Array, check_world
from inscape.world_models.tabular.arrays import require_memory
from inscape.world_models.tabular.model import TabularModel, absorb

if TYPE_CHECKING:
    from inscape.envs.world import World


class Utility(Protocol):
    """What rewards of all players are worth to one of them; `Caring` is one."""

    def utility(self, rewards: Array, player: int) -> Array:
        """Returns `[...]` what rewards `[..., M]` are worth to a player."""
        ...


class PlayersTables:
    """The dynamics of an enumerable world of M players, and what each of J choices (joint actions, or moves in turn)
    pays every one of them.

    Args:
        world: a world of several players.
        purpose: a value or a name; None: the world's own.
        terminal: `[S]` bool, where it is over; None: where it is under the purpose.

    Attributes:
        next_state, probability: `[S, J, K]`.
        paid: `[S, J, K, M]` rewards; 0 for what cannot happen.
        moves: `[J, M]` each player's part of a choice; in turn, the move itself in every column.
        legal: `[S, M, A]` bool, what each player can do; of one who does not move, nothing.
        mover: `[S]` who moves; −1 where all act at once, or it is over.
        terminal: `[S]` bool.

    Raises:
        MissingLawError: one player, or a law that can only be sampled.
        TooManyStatesError: there are more states than can be enumerated.
    """

    def __init__(self, world: World, purpose: Any = None, terminal: Array | None = None) -> None:
        check_world(world)
        if world.players < 2:
            raise MissingLawError(f"{world.name} has one player", expected="a world of several players")
        self.world = world = world if purpose is None else world.with_purpose(purpose)
        law = world.dynamics()
        size, choices, width = law.next_state.shape
        players, actions = world.players, world.num_actions
        require_memory(8 * size * choices * (width * (players + 2) + players), f"the tables of {world.name}")
        self.next_state, self.states = law.next_state, law.states
        self.terminal = world.terminal_of(law.states) if terminal is None else terminal
        self.initial = law.initial
        numbers = np.arange(choices)
        self.moves = (
            world.joint_actions(numbers) if world.simultaneous else np.repeat(numbers[:, None], players, axis=1)
        )
        used = (law.probability > 0) & law.legal[:, :, None] & ~self.terminal[:, None, None]
        self.probability = np.where(used, law.probability, 0.0)
        state, choice, outcome = np.nonzero(used)
        taken = self.moves[choice] if world.simultaneous else choice
        self.paid = np.zeros((size, choices, width, players))
        if len(state):
            following = law.states[law.next_state[state, choice, outcome]]
            self.paid[state, choice, outcome] = world.reward_of(law.states[state], taken, following)
        self.legal = np.zeros((size, players, actions), np.bool_)
        if world.simultaneous:
            self.mover = np.full(size, -1)
            for player in range(players):
                for action in range(actions):
                    self.legal[:, player, action] = law.legal[:, self.moves[:, player] == action].any(axis=1)
        else:
            self.mover = np.where(self.terminal, -1, world.mover_of(law.states))
            going = np.flatnonzero(self.mover >= 0)
            self.legal[going, self.mover[going]] = law.legal[going]
        self.legal[self.terminal] = False
        self._choice_legal = law.legal

    @property
    def num_states(self) -> int:
        """S."""
        return len(self.terminal)

    def uniform(self, player: int) -> Array:
        """Returns `[S, A]`: every legal action alike; zero where the player does not act."""
        legal = self.legal[:, player].astype(float)
        return np.asarray(legal / np.maximum(legal.sum(axis=1, keepdims=True), 1.0))

    def rewards(self, player: int, caring: Utility | None = None) -> Array:
        """Returns `[S, J]` what a choice is expected to be worth to a player."""
        worth = self.paid[..., player] if caring is None else caring.utility(self.paid, player)
        return np.asarray((self.probability * worth).sum(axis=2))

    def against(self, player: int, policies: Mapping[int, ArrayLike], caring: Utility | None = None) -> TabularModel:
        """Returns the model of `player` where the others act by `policies` (see `against`); `caring`: what it wants."""
        players = self.world.players
        if not 0 <= player < players:
            raise UsageError(f"player {player} of {self.world.name}", expected=f"0 to {players - 1}")
        others = {m: self.checked(m, policies) for m in range(players) if m != player}
        actions = self.world.num_actions
        acting = np.asarray(self.legal[:, player].any(axis=1))
        # how likely a choice is, given the player's own action: [S, J]
        weight = np.where(self._choice_legal & ~self.terminal[:, None], 1.0, 0.0)
        own = self.moves[:, player]
        for m, policy in others.items():
            if self.world.simultaneous:
                weight = weight * policy[:, self.moves[:, m]]
            else:
                mine = self.mover == m
                weight[mine] *= policy[mine][:, self.moves[:, m]]
        if not self.world.simultaneous:
            own = np.where(acting[:, None], own, 0)  # while others move, there is one thing to do: action 0
        else:
            own = np.broadcast_to(own, weight.shape)
        legal = self.legal[:, player].copy()
        legal[~acting & ~self.terminal, 0] = True
        model = self._gathered(own, weight, weight * self.rewards(player, caring), actions)
        names = tuple(self.world.action_names)
        text = f"{self.world.name} for player {player}"
        return TabularModel(*model, legal, self.initial, self.terminal, name=text, action_names=names)

    def _gathered(self, own: Array, weight: Array, paid: Array, actions: int) -> tuple[Array, Array, Array, Array]:
        """Returns `(next_state, probability, reward, continuation) [S, A, K]`, equal successors added up."""
        from scipy.sparse import coo_matrix

        size = self.num_states
        row = (np.arange(size)[:, None] * actions + own)[:, :, None]
        mass = weight[:, :, None] * self.probability
        held = mass > 0
        rows, columns = np.broadcast_to(row, mass.shape)[held], self.next_state[held]
        table = coo_matrix((mass[held], (rows, columns)), (size * actions, size)).tocsr()
        table.sum_duplicates()
        worth = np.bincount(row[:, :, 0].ravel(), paid.ravel(), size * actions)
        total = np.asarray(table.sum(axis=1)).ravel()
        counts = np.diff(table.indptr)
        wide = max(1, int(counts.max(initial=1)))
        require_memory(32 * size * actions * wide, f"the model of one player of {self.world.name}")
        place = np.arange(len(table.data)) - np.repeat(table.indptr[:-1], counts)
        rows = np.repeat(np.arange(size * actions), counts)
        next_state: Array = np.repeat(np.arange(size), actions)[:, None].repeat(wide, axis=1)
        probability: Array = np.zeros((size * actions, wide))
        next_state[rows, place] = table.indices
        probability[rows, place] = table.data / total[rows]
        probability[counts == 0, 0] = 1.0
        reward = np.where(total > 0, worth / np.where(total > 0, total, 1.0), 0.0)[:, None].repeat(wide, axis=1)
        shape = (size, actions, wide)
        next_state, probability, reward = (t.reshape(shape) for t in (next_state, probability, reward))
        return absorb(next_state, probability, reward, 1.0 - self.terminal[next_state], self.terminal)

    def checked(self, player: int, policies: Mapping[int, ArrayLike]) -> Array:
        """Returns `[S, A]` the policy of a player; zero where it does not act. Raises UsageError if it is none."""
        if player not in policies:
            raise UsageError(
                f"no policy of player {player} of {self.world.name}", expected="one for every other player",
                hint="{player: probabilities [S, A]}",
            )  # fmt: skip
        policy = np.asarray(policies[player], np.float64)
        legal = self.legal[:, player]
        if policy.shape == legal.shape[1:]:
            policy = np.broadcast_to(policy, legal.shape)
        if policy.shape != legal.shape:
            raise UsageError(
                f"a policy of shape {list(policy.shape)} for player {player} of {self.world.name}",
                expected=f"[S, A] = {list(legal.shape)}, or [A]",
            )
        acts = np.asarray(legal.any(axis=1))
        wrong = ~((policy >= 0).all(axis=1) & (np.abs(policy.sum(axis=1) - 1) <= SUM_TOLERANCE))
        wrong = (wrong | (policy * ~legal > 0).any(axis=1)) & acts
        if wrong.any():
            s = int(np.argmax(wrong))
            raise UsageError(
                f"player {player} of {self.world.name} in {self.world.unpack(self.states, s)}: {policy[s].tolist()}",
                expected="a distribution over its legal actions",
            )
        return np.where(acts[:, None], policy, 0.0)


def against(world: World, player: int, policies: Mapping[int, ArrayLike], purpose: Any = None) -> TabularModel:
    """Returns the world as a model for one player, where all others act by given policies.

    What is best there is a best response; `solve` finds it. Where the others move in turn, their states stay, with one
    action (0) and their choice among the outcomes.

    Args:
        world: a world of several players that can be enumerated.
        player: whose model it is.
        policies: of every other player, `[S, A]` probabilities in the states of `world.dynamics()`, or `[A]`, the same
            everywhere; rows of states in which it does not act play no part.
        purpose: whose rewards count, a value or a name; None: the world's own.

    Raises:
        MissingLawError: one player, or a law that can only be sampled.
        UsageError: no such player; a policy is missing, or is none.
    """
    return PlayersTables(world, purpose).against(player, policies)


def follow(model: Any, policy: ArrayLike, gamma: float) -> Array:
    """Returns `[S, A]` Q of taking an action now and acting by a policy ever after; −inf where illegal.

    Args:
        model: a `TabularModel`, anything with `tabular()`, or an enumerable `World` of one player.
        policy: `[S, A]` probabilities.
        gamma: discount in [0, 1].

    Raises:
        UsageError: as `policy_evaluation`.
    """
    from inscape.world_models.planning.dynamic_programming import policy_evaluation
    from inscape.world_models.planning.problem import Problem
    from inscape.world_models.tabular.model import as_tabular

    table = as_tabular(model, "following a policy")
    values = policy_evaluation(table, np.asarray(policy, np.float64), gamma)
    q_values = Problem.of(table, gamma).action_values(values)
    q_values = np.where(table.legal, q_values, -np.inf)
    q_values[table.terminal] = 0.0
    return np.asarray(q_values)
