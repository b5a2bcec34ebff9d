"""Tables of an assistance problem: whose mind it may be, what that mind remembers, and the state of the world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array, Controller
from inscape.theory_of_mind.minds import Mind, name_of
from inscape.theory_of_mind.parts.wanting import InTurn, Switching, goals_of, purpose_of
from inscape.world_models.tabular.arrays import require_memory
from inscape.world_models.tabular.model import TabularModel, absorb

if TYPE_CHECKING:
    from inscape.theory_of_mind.player_view import PlayerView
    from inscape.theory_of_mind.recursion.folding import PlayersTables


@dataclass(frozen=True)
class Counted:
    """What rewards of all players are worth to the helper: Σ_m weight_m · R_m."""

    weights: tuple[tuple[int, float], ...]

    def utility(self, rewards: Array, player: int) -> Array:
        """Returns `[...]` what rewards `[..., M]` are worth."""
        return np.asarray(sum(weight * rewards[..., m] for m, weight in self.weights))


def counted(counts: Mapping[int, float] | None, human: int, players: int) -> Counted:
    """Returns whose rewards the helper counts; None: the human's.

    Raises:
        UsageError: no such player; a weight that is no finite number.
    """
    given = {human: 1.0} if counts is None else counts
    if not isinstance(given, Mapping) or not given:
        raise UsageError(f"counts = {counts!r}", expected="{player: weight}", hint="{0: 1.0}, the rewards of player 0")
    pairs = []
    for player, weight in given.items():
        if player not in range(players):
            raise UsageError(f"counts of player {player!r}", expected=f"0 to {players - 1}")
        if isinstance(weight, bool) or not isinstance(weight, (int, float, np.number)) or not np.isfinite(weight):
            raise UsageError(f"counts[{player}] = {weight!r}", expected="a finite number")
        pairs.append((int(player), float(weight)))
    return Counted(tuple(pairs))


def purposes_of(mind: Mind, view: PlayerView, memories: int) -> list[Any]:
    """Returns what is wanted in each memory state of a mind: `[M]` purposes, or their names.

    Raises:
        UsageError: the mind pursues goals in turn, or does not say what it wants.
    """
    if isinstance(wants := getattr(mind, "wants", None), InTurn):
        raise UsageError(
            f"helping a mind that wants {wants}", expected="one goal at a time", hint="Switching(goals, rate)"
        )
    if wants is None:
        raise UsageError(
            f"helping a mind ({name_of(mind)}) that does not say what it wants",
            expected="a mind with an attribute `wants`: a purpose of the world, or the name of one",
        )
    goals = [purpose_of(view.world, goal, name_of(mind)) for goal in goals_of(wants)]
    return goals if isinstance(wants, Switching) else [goals[0]] * memories


class Entries:
    """Probabilities of the next (memory, state) of one mind, as they are gathered."""

    def __init__(self) -> None:
        self.row: list[Array] = []
        self.column: list[Array] = []
        self.mass: list[Array] = []

    def add(self, row: Array, column: Array, mass: Array) -> None:
        used = mass > 0
        self.row.append(row[used])
        self.column.append(column[used])
        self.mass.append(mass[used])

    def gathered(self, rows: int, size: int) -> tuple[Array, Array, Array]:
        """Returns `(next [rows, K], probability [rows, K], empty [rows])`, equal successors added up."""
        from scipy.sparse import coo_matrix

        data = np.concatenate(self.mass), (np.concatenate(self.row), np.concatenate(self.column))
        table = coo_matrix(data, (rows, size)).tocsr()
        table.sum_duplicates()
        counts = np.diff(table.indptr)
        wide = max(1, int(counts.max(initial=1)))
        following, probability = np.zeros((rows, wide), np.int64), np.zeros((rows, wide))
        at = np.repeat(np.arange(rows), counts), np.arange(len(table.data)) - np.repeat(table.indptr[:-1], counts)
        total = np.asarray(table.sum(axis=1)).ravel()
        following[at], probability[at] = table.indices, table.data / total[at[0]]
        probability[counts == 0, 0] = 1.0
        return following, probability, counts == 0


def mind_tables(
    view: PlayerView, helper: int, controller: Controller, purposes: list[Any], counts: Counted
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Returns what may follow where one mind acts: `(next, probability, reward, continuation, legal, terminal)`.

    States are m·S + s; next, probability and continuation `[M·S, A, K]`, reward and legal `[M·S, A]`.
    """
    size, memories = len(controller.log_probs), controller.num_memories
    actions = view.world.num_actions
    rows = memories * size * actions
    entries, rewards, legal, terminal = Entries(), [], [], []
    for m in range(memories):
        tables = view.tables(purposes[m])
        policy = np.exp(controller.log_probs[:, m])
        acts = np.asarray(tables.legal[:, view.player].any(axis=1))
        policy = np.where(acts[:, None], policy / policy.sum(axis=1, keepdims=True), 0.0)
        model = tables.against(helper, {view.player: policy}, counts)
        rewards.append(model.expected_reward())
        legal.append(model.legal)
        terminal.append(model.terminal)
        at = (m * size + np.arange(size))[:, None] * actions + np.arange(actions)
        if memories == 1:
            here = np.broadcast_to(at[:, :, None], model.next_state.shape)
            entries.add(here.ravel(), model.next_state.ravel(), model.probability.ravel())
        else:
            _remembering(entries, view, tables, helper, controller, m, policy, at)
    over = np.concatenate(terminal)
    gathered = entries.gathered(rows, memories * size)
    following, probability, empty = (t.reshape(memories * size, actions, -1) for t in gathered)
    ends = np.array(terminal)  # under the goal of before, whatever it switches to on arrival
    before = np.repeat(np.arange(memories), size)[:, None, None]
    # nothing follows where the mind holds all that may happen to be impossible
    continuation = np.where(empty, 0.0, 1.0 - ends[before, following % size])
    return following, probability, np.concatenate(rewards), continuation, np.concatenate(legal), over


def _remembering(
    entries: Entries, view: PlayerView, tables: PlayersTables, helper: int, controller: Controller, m: int,
    policy: Array, at: Array,
) -> None:  # fmt: skip
    """Adds what follows memory m of a mind whose memory depends on what it did and on where that led."""
    size = len(policy)
    dynamics, step = view.dynamics(), controller.step
    if step.next_memory is None or step.probability is None:
        following, shares = np.full((1, 1, 1, 1), m), np.ones((1, 1, 1, 1))
    else:
        following, shares = np.broadcast_arrays(step.next_memory[:, :, :, m], step.probability[:, :, :, m])
    legal = tables.legal[:, view.player]
    acts = np.asarray(legal.any(axis=1))
    for own in range(policy.shape[1] if acts.any() else 1):
        # where it cannot be done, any other action stands in: it has no weight
        taken = np.where(legal[:, own], own, legal.argmax(axis=1))
        pure = np.zeros_like(policy)
        pure[acts, taken[acts]] = 1.0
        weight = np.where(acts, policy[:, own], float(own == 0))
        model = tables.against(helper, {view.player: pure}, None)
        s, a, k = np.nonzero(model.probability * (weight > 0)[:, None, None] > 0)
        arriving = model.next_state[s, a, k]
        # which outcome of the mind's own action that is, in the dynamics its step is about
        own_action = np.where(acts[s], own, 0)
        outcome = (dynamics.next_state[s, own_action] == arriving[:, None]).argmax(axis=1)
        index = tuple(np.where(n == 1, 0, i) for n, i in zip(following.shape, (s, own_action, outcome)))
        mass = (weight[s] * model.probability[s, a, k])[:, None] * shares[index]
        row = np.broadcast_to(at[s, a][:, None], mass.shape)
        entries.add(row.ravel(), (following[index] * size + arriving[:, None]).ravel(), mass.ravel())


def stacked(
    view: PlayerView, helper: int, controllers: list[Controller], purposes: list[list[Any]], prior: Array,
    counts: Counted, name: str,
) -> tuple[TabularModel, Array, Array, Array]:  # fmt: skip
    """Returns the tables of all minds, one after the other, and `[X]` the mind, memory and world state of each row."""
    size, actions = len(view.dynamics()), view.world.num_actions
    total = size * sum(c.num_memories for c in controllers)
    require_memory(40 * total * actions * 4, f"an assistance problem of {total:,} states ({name})")
    parts, base, mind_of, memory_of, initial = [], 0, [], [], []
    first = view.dynamics().initial
    for g, (controller, wanted) in enumerate(zip(controllers, purposes)):
        following, *rest = mind_tables(view, helper, controller, wanted, counts)
        parts.append((following + base, *rest))
        rows = size * controller.num_memories
        mind_of.append(np.full(rows, g))
        memory_of.append(np.repeat(np.arange(controller.num_memories), size))
        initial.append((prior[g] * first[:, None] * controller.start).T.ravel())
        base += rows
    wide = max(part[0].shape[2] for part in parts)

    def padded(array: Array) -> Array:
        return np.pad(array, ((0, 0), (0, 0), (0, wide - array.shape[2])))

    following, probability, continuation = (np.concatenate([padded(part[i]) for part in parts]) for i in (0, 1, 3))
    reward, legal, terminal = (np.concatenate([part[i] for part in parts]) for i in (2, 4, 5))
    start = np.concatenate(initial)
    if not start.sum() > 0:
        raise UsageError("no mind of the prior can begin in a first state of the world", expected="one that can")
    tables = absorb(
        following, probability, np.broadcast_to(reward[:, :, None], following.shape), continuation, terminal
    )
    names = tuple(view.world.action_names)
    model = TabularModel(*tables, legal, start / start.sum(), terminal, name=name, action_names=names)
    return model, np.concatenate(mind_of), np.concatenate(memory_of), np.tile(np.arange(size), total // size)
