"""Monte Carlo tree search: UCT over states, on a known law, on tables, or on any world model.

What is searched is a graph: a state reached along several paths is one node. Chance is explicit (closed loop): an
action's outcomes are nodes of their own, weighted by their exact probabilities where the law can be enumerated and by
how often they were sampled where it cannot. Where sampled states hardly repeat, an action tried n times keeps about √n
outcomes and returns to them, else no outcome would ever be searched twice. Each node keeps one value per player, and
the player to move there maximises its own. The value of a terminal state is never asked for.

One simulation descends from the root by upper confidence bounds to a state or action not tried before, values a new
state by a roll-out, and brings the values along its path up to date, and then those of a few states that lead to what
changed. A state's value is the average over its visits, as in plain UCT, as long as something within reach is untried:
roll-outs are noisy, and the best of several noisy values is too high. It moves to that of the best action once nearly
all has been tried, and is that where all that may follow is known exactly (by an exact law); a search that knows its
root exactly ends early. Ties, among untried actions too, are broken at random. Once every state within reach has been
visited, a simulation ends when it has come back to its own path a random number of times (usually once), at the value
known there.

Sources: UCB1 in trees: Kocsis & Szepesvári (2006), ECML; backups with known outcome probabilities (DP-UCT): Keller &
Helmert (2013), "Trial-based heuristic tree search for finite horizon MDPs", ICAPS, section 4; a value that moves from
the average to the best action as visits grow: Coulom (2006), "Efficient selectivity and backup operators in Monte-Carlo
tree search", CG, section 3; subtrees known exactly: Winands, Björnsson & Saito (2008), "Monte-Carlo tree search
solver", CG; one node per state, values recomputed from children, visits of the child state in the
exploration term: Saffidine, Cazenave & Méhat (2012), "UCD: upper confidence bound for rooted directed acyclic graphs",
Knowledge-Based Systems 34; telling predecessors of changes: Moore & Atkeson (1993), "Prioritized sweeping", Machine
Learning 13 (here first come, first served); √n outcomes: Couëtoux et al. (2011), "Continuous upper confidence trees",
LION 5, section 3.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.envs.compile import choice
from inscape.envs.law import streams
from inscape.envs.law.states import States
from inscape.errors import UsageError
from inscape.world_models.interface import num_actions
from inscape.world_models.known import KnownModel, as_model
from inscape.world_models.planning.interface import Evaluate, Plan, Plans, SearchTree
from inscape.world_models.planning.tree_search.common import (
    TABLES,
    no_legal_action,
    no_number,
    plan_from_tree,
    terminal_root,
)
from inscape.world_models.planning.tree_search.settings import TreeSearchSettings, UCTSettings
from inscape.world_models.tabular.as_world import world_of
from inscape.world_models.tabular.counts import LearnedTabularModel
from inscape.world_models.tabular.model import TabularModel

if TYPE_CHECKING:
    from inscape.envs.world import World
    from inscape.world_models.planning.kernels.search_arrays import SearchArrays

TEMPLATE = "inscape.world_models.planning.kernels.uct"
WITHOUT_PAUSE = 100_000
"""Simulations between two chances for Ctrl-C: a second or two of the slowest laws."""

FIRST_LOOK = 16
"""Simulations in plain Python after which it is first compared with compiling."""
FIRST_ROOM = 256
PER_NODE = ("node", "action", "value", "leaf", "action_value")
PER_EDGE = ("edge", "weight", "edge_reward")


@dataclass(frozen=True)
class UCT(UCTSettings):
    """The planner, made of its settings: `UCT(num_simulations=1000, gamma=0.99).plan(model, states, rng)[0]`."""

    @classmethod
    def from_settings(cls, settings: TreeSearchSettings, gamma: float) -> UCT:
        """Returns the planner with the settings that every tree search has, and a discount."""
        return cls(gamma=gamma, **{f.name: getattr(settings, f.name) for f in fields(TreeSearchSettings)})

    def plan(self, model: Any, states: Any, rng: np.random.Generator, evaluate: Evaluate | None = None) -> Plans:
        """Returns a plan for each of B states, each searched with its own random stream.

        Args:
            model: a `World` or `KnownModel`, a `TabularModel`, known or learned (both compiled, unless the search takes
                less time than compiling it), or any other `WorldModel` with finitely many actions (Python); several
                players need `mover_of`.
            states: a batch of B model states: `States`, `[B]` state numbers, or what `model.init` returned. One state
                of a world, or one number, is a batch of one.
            rng: gives each search its own random stream; the environment's is never touched.
            evaluate: values of new states, used instead of a roll-out (see `Evaluate`); it is never given a terminal
                state, and its prior must be None, for UCT takes none. With one, the search runs in Python.

        Raises:
            UsageError: a state is terminal, or not one of the model's; a state that is not terminal has no legal
                action; the model is an environment, or its actions are not `Discrete`.
        """
        model = as_model(model, "UCT")
        num_actions(model, "UCT")
        if isinstance(model, LearnedTabularModel):
            model = model.tabular()
        states = _checked_states(states, model)
        keys = streams.random_keys(rng, len(states))
        if evaluate is None and isinstance(model, (KnownModel, TabularModel)):
            return Plans.of(self._plan_by_kernel(model, states, keys))
        from inscape.world_models.planning.tree_search.reference import PythonSearch

        searches = [PythonSearch(self, model, evaluate, int(key)) for key in keys]
        return Plans.of([search.run(states[[b]]) for b, search in enumerate(searches)])

    def _plan_by_kernel(self, model: KnownModel | TabularModel, states: Any, keys: np.ndarray) -> list[Plan]:
        if isinstance(model, KnownModel):
            return _search_world(self, model.world, states, keys, compiled=model.compiled)
        world = world_of(model)
        packed = world.pack([(int(s), False) for s in states])
        return [_with_numbers(plan) for plan in _search_world(self, world, packed, keys, compiled=None)]


# ------------------------------------------------------------------------------------------- the search by a kernel


def _search_world(options: UCT, world: World, states: States, keys: np.ndarray, *, compiled: bool | None) -> list[Plan]:
    """Returns one plan per column of `states`, searched by the kernel bound to the world's law.

    `compiled` None: as plain Python until what is left of the search would take longer than compiling it.
    """
    over = np.flatnonzero(world.terminal_of(states, compiled=compiled))
    if len(over):
        raise terminal_root(world.unpack(states, int(over[0])), world.name)
    plans = []
    for b, key in enumerate(keys):
        left = (len(keys) - 1 - b) * options.num_simulations  # of the searches after this one
        try:
            with np.errstate(all="ignore"):
                plans.append(_run(options, world, states[[b]], int(key), compiled, left))
        except choice.PLAIN_FAILURES as error:
            if compiled is not None:
                raise
            choice.refuse_unless_arithmetic(error)
            plans.append(_run(options, world, states[[b]], int(key), True, left))
    return plans


def _run(options: UCT, world: World, root: States, key: int, compiled: bool | None, left: int) -> Plan:
    """Runs the kernel until all is simulated, enlarging its memory when it asks for more.

    Now and then the kernel returns for nothing: while it runs, Ctrl-C waits; and plain Python may give way to compiled
    code, which goes on with the same memory. `left` simulations are to follow.
    """
    from inscape.world_models.planning.kernels import search_arrays as entries

    graph = _allocate(world, FIRST_ROOM, options.max_depth)
    graph.floats[:, 0], graph.ints[:, 0] = root.floats[:, 0], root.ints[:, 0]
    exact = world.is_enumerable
    width = world.count_outcomes(compiled=compiled)[0] if exact else 1
    widths = (width, width if exact else options.max_depth)
    averaging = -1.0 if options.averaging_visits is None else options.averaging_visits
    done = 0
    while True:
        limits = (len(graph.node) - 1, len(graph.edge))  # the last column is where new states are written
        ahead = options.num_simulations - done
        first = min(ahead, max(FIRST_LOOK, done))  # of plain Python, before it is compared again
        known = choice.usage(world, TEMPLATE, "search").units > 0
        fast = choice.choose(world, TEMPLATE, "search", ahead + left if known else first, compiled)
        kernels = world.kernel(TEMPLATE, fast)
        until = done + min(ahead, WITHOUT_PAUSE if fast or compiled is False else first)
        began = time.thread_time()
        memory = graph if fast else _as_python_numbers(graph)
        kernels.search(
            world.packed, memory, key, until, limits, widths, exact, options.rollout == "uniform",
            averaging, options.gamma, options.exploration, options.max_depth,
        )  # fmt: skip
        _require_numbers(world, graph)
        if compiled is None and not fast:
            simulated = int(graph.counts[entries.SIMULATIONS]) - done
            choice.usage(world, TEMPLATE, "search").charge(simulated, time.thread_time() - began)
        if graph.counts[entries.STUCK]:
            raise no_legal_action(world.name)
        nodes, edges, done = (int(graph.counts[row]) for row in (entries.NODES, entries.EDGES, entries.SIMULATIONS))
        full = done < until and nodes > options.max_nodes
        solved = graph.node[0, entries.KIND] == entries.SOLVED
        if done >= options.num_simulations or full or solved:
            return _plan_of(graph, nodes, done, int(key), world.name)
        if done == until:
            continue
        graph = _enlarge(world, graph, min(2 * nodes, options.max_nodes) + width + 1, 2 * edges + widths[1])
        kernels.rehash(graph)


def _require_numbers(world: World, graph: SearchArrays) -> None:
    """Raises UsageError, with state and action, where the law gave a reward that is no finite number."""
    from inscape.world_models.planning.kernels import search_arrays as columns

    rewards = graph.edge_reward[: graph.counts[columns.EDGES]]
    wrong = np.flatnonzero(~np.isfinite(rewards).all(axis=1))
    if len(wrong):
        edge = int(wrong[0])
        node = int(graph.edge[edge, columns.PARENT])
        (action,) = (a for a in range(graph.action.shape[1]) if edge in _edges_of(graph, node, a))
        state = world.unpack(States(graph.floats, graph.ints), node)
        where = f"in {state} for action {action} ({world.action_names[action]})"
        raise no_number(world.name, float(rewards[edge][~np.isfinite(rewards[edge])][0]), where)
    leaves = graph.leaf[: graph.counts[columns.NODES]]
    wrong = np.flatnonzero(~np.isfinite(leaves).all(axis=1))
    if len(wrong):
        node = int(wrong[0])
        total = float(leaves[node][~np.isfinite(leaves[node])][0])
        state = world.unpack(States(graph.floats, graph.ints), node)
        raise no_number(world.name, total, f"as the return of random actions from {state}")


def _edges_of(graph: SearchArrays, node: int, action: int) -> list[int]:
    """Returns the outcomes of an action."""
    from inscape.world_models.planning.kernels import search_arrays as columns

    found, link = [], int(graph.action[node, action, columns.FIRST])
    while link > 0:
        found.append(link - 1)
        link = int(graph.edge[link - 1, columns.NEXT])
    return found


def _as_python_numbers(graph: SearchArrays) -> SearchArrays:
    """Returns views of the same memory that give Python's numbers: plain Python is twice as fast with them."""
    view: Any = memoryview
    return type(graph)(*map(view, graph))


def _allocate(world: World, nodes: int, max_depth: int) -> SearchArrays:
    from inscape.world_models.planning.kernels.search_arrays import SearchArrays

    actions, players, edges = world.num_actions, world.players, 4 * nodes
    states = world.empty_states(nodes)
    reward_out = np.zeros(1) if players == 1 else np.zeros((players, 1))
    return SearchArrays(
        floats=states.floats,
        ints=states.ints,
        bits=states.floats.view(np.int64),
        slots=np.full(2 * nodes + 1, -1, np.int64),
        node=np.zeros((nodes, 8), np.int64),
        action=np.zeros((nodes, actions, 5), np.int64),
        value=np.zeros((nodes, players)),
        leaf=np.zeros((nodes, players)),
        action_value=np.zeros((nodes, actions, players)),
        edge=np.zeros((edges, 4), np.int64),
        weight=np.zeros(edges),
        edge_reward=np.zeros((edges, players)),
        path=np.zeros(max_depth + 1, np.int64),
        queue=np.zeros(nodes, np.int64),
        counts=np.zeros(10, np.int64),
        span=np.array([np.inf, -np.inf]),
        tables=TABLES,
        reward_out=reward_out,
        reward=reward_out.reshape(-1),
        total=np.zeros(players),
    )


def _enlarge(world: World, graph: SearchArrays, nodes: int, edges: int) -> SearchArrays:
    """Returns a graph with more room and the same content; the table of states is left empty."""
    from inscape.world_models.planning.kernels.search_arrays import HEAD

    old_nodes, old_edges = len(graph.node), len(graph.edge)
    nodes, edges = max(nodes, old_nodes), max(edges, old_edges)

    def longer(old: np.ndarray, length: int) -> np.ndarray:
        new = np.zeros((length, *old.shape[1:]), old.dtype)
        new[: len(old)] = old
        return new

    states = world.empty_states(nodes)
    states.floats[:, :old_nodes], states.ints[:, :old_nodes] = graph.floats, graph.ints
    queue = longer(np.roll(graph.queue, -graph.counts[HEAD]), nodes)
    graph.counts[HEAD] = 0
    per_node = {name: longer(getattr(graph, name), nodes) for name in PER_NODE}
    per_edge = {name: longer(getattr(graph, name), edges) for name in PER_EDGE}
    slots = np.full(2 * nodes + 1, -1, np.int64)
    return graph._replace(
        floats=states.floats, ints=states.ints, bits=states.floats.view(np.int64), slots=slots, queue=queue,
        **per_node, **per_edge,
    )  # fmt: skip


def _plan_of(graph: SearchArrays, nodes: int, simulations: int, key: int, owner: str) -> Plan:
    from inscape.world_models.planning.kernels import search_arrays as columns

    kind, player = graph.node[:nodes, columns.KIND], graph.node[:nodes, columns.PLAYER]
    values = graph.value[np.arange(nodes), player]
    action_visits = graph.action[:nodes, :, columns.TRIED].copy()
    own = graph.action_value[np.arange(nodes), :, player]
    tree = SearchTree(
        states=States(graph.floats[:, :nodes].copy(), graph.ints[:, :nodes].copy()),
        visit_counts=graph.node[:nodes, columns.VISITS].copy(),
        depth=graph.node[:nodes, columns.DEPTH].copy(),
        values=np.where(kind == columns.UNVISITED, np.nan, values),
        terminal=kind == columns.TERMINAL,
        action_visits=action_visits,
        action_values=np.where(action_visits > 0, own, -np.inf),
    )
    legal = graph.action[0, :, columns.LEGAL] > 0
    return plan_from_tree(tree, simulations, legal, key, owner)


# ------------------------------------------------------------------------------------------- what can go wrong


def _checked_states(states: Any, model: Any) -> Any:
    """Returns the batch of states as the model has them."""
    if isinstance(model, KnownModel):
        states = model.world.as_states(states)
    if isinstance(model, TabularModel):
        states = np.atleast_1d(np.asarray(states))
        if states.ndim != 1 or states.dtype.kind not in "iu":
            raise UsageError(f"states of shape {states.shape}, {states.dtype}", expected="[B] integers: state numbers")
        wrong = (states < 0) | (states >= model.num_states)
        if wrong.any():
            raise UsageError(f"state {states[wrong][0]}", expected=f"a state from 0 to {model.num_states - 1}")
    if len(states) == 0:
        raise UsageError("a batch of 0 states to plan for", expected="at least one")
    return states


def _with_numbers(plan: Plan) -> Plan:
    """Returns the plan with its tree's states as numbers of the tabular model."""
    assert plan.tree is not None
    return replace(plan, tree=replace(plan.tree, states=plan.tree.states.ints[0]))
