"""Monte Carlo tree search: UCT over states, on a known law, on tables, or on any world model.

What is searched is a graph: a state reached along several paths is one node. Chance is explicit (closed loop): an
action's outcomes are nodes of their own, weighted by their exact probabilities where the law can be enumerated and by
how often they were sampled where it cannot. Where sampled states hardly repeat, an action tried n times keeps about √n
outcomes and returns to them, else no outcome would ever be searched twice. Each node keeps one value per player, and
the player to move there maximises its own. The value of a terminal state is never asked for.

One simulation descends from the root by upper confidence bounds to a state or action not tried before, values a new
state by a roll-out, and brings the values along its path up to date. A state's value is the average over its visits, as
in plain UCT, as long as something within reach is untried: roll-outs are noisy, and the best of several noisy values is
too high. It moves to that of the best action once nearly all has been tried. Ties, among untried actions too, are
broken at random. Once every state within reach has been visited, a simulation ends when it has come back to its own
path a random number of times (usually once), at the value known there.

The solver (`solver`, where outcomes can be listed) keeps a lower and an upper bound on each state's value for who moves
there. Ends are exact; an action lies between the expectations of its outcomes' bounds, a state between the highest of
its actions'. An action that cannot be better than another is at least, and one that is known, is not simulated again
and no longer counts in averages; outcomes of which nothing is left to learn are not followed. Where the law says what
can be earned (`World.return_bounds`, and `World.zero_sum` of two players), a win ends a proof at once, and roll-outs
take wins in one move and avoid actions after which another player has one. Of two players, new states are looked at for
wins and losses that cannot be helped; where all replies but one lose at once, the one is followed in the same
simulation; and when a state gets its row, the actions that this proves are closed before they are tried. A graph in
which nothing is untried is solved by sweeps. A search that knows its root ends early.

Memory is one row per state (`kernels/search_arrays.py`), reserved at once and taken as it is written to. Where actions
have one outcome, a state gets a row when it is reached again.

Sources: UCB1 in trees: Kocsis & Szepesvári (2006), ECML; backups with known outcome probabilities (DP-UCT): Keller &
Helmert (2013), "Trial-based heuristic tree search for finite horizon MDPs", ICAPS, section 4; a value that moves from
the average to the best action as visits grow: Coulom (2006), "Efficient selectivity and backup operators in Monte-Carlo
tree search", CG, section 3; subtrees known exactly: Winands, Björnsson & Saito (2008), "Monte-Carlo tree search
solver", CG; bounds: Cazenave & Saffidine (2010), "Score bounded Monte-Carlo tree search", CG, section 3; decisive and
anti-decisive moves: Teytaud & Teytaud (2010), "On the huge benefit of decisive moves in Monte-Carlo tree
search algorithms", CIG; one node per state, values recomputed from children, visits of the child state in the
exploration term: Saffidine, Cazenave & Méhat (2012), "UCD: upper confidence bound for rooted directed acyclic graphs",
Knowledge-Based Systems 34; √n outcomes: Couëtoux et al. (2011), "Continuous upper confidence trees",
LION 5, section 3.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
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
    checked_states,
    no_legal_action,
    no_number,
    no_sum_of_zero,
    plan_from_tree,
    terminal_root,
)
from inscape.world_models.planning.tree_search.settings import TreeSearchSettings, UCTSettings
from inscape.world_models.tabular.as_world import world_of
from inscape.world_models.tabular.counts import LearnedTabularModel
from inscape.world_models.tabular.model import TabularModel

if TYPE_CHECKING:
    from inscape.envs.world import World
    from inscape.world_models.planning.kernels.search_arrays import SearchArrays, SearchSettings

TEMPLATE = "inscape.world_models.planning.kernels.uct"
WITHOUT_PAUSE = 100_000
"""Simulations between two chances for Ctrl-C: a second or two of the slowest laws."""

FIRST_LOOK = 16
"""Simulations in plain Python after which it is first compared with compiling."""


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
        states = checked_states(states, model)
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
    plans, b = [], 0
    while b < len(keys):
        left = (len(keys) - 1 - b) * options.num_simulations  # of the searches after this one
        if left and choice.choose(world, TEMPLATE, "search", left, compiled):
            plans += _run_in_threads(options, world, states[np.arange(b, len(keys))], keys[b:])
            break
        try:
            with np.errstate(all="ignore"):
                plans.append(_run(options, world, states[[b]], int(keys[b]), compiled, left))
        except choice.PLAIN_FAILURES as error:
            if compiled is not None:
                raise
            choice.refuse_unless_arithmetic(error)
            plans.append(_run(options, world, states[[b]], int(keys[b]), True, left))
        b += 1
    return plans


def _run_in_threads(options: UCT, world: World, states: States, keys: np.ndarray) -> list[Plan]:
    """Returns a plan per column of `states`, searched on all cores; each has memory and random numbers of its own."""
    first = _run(options, world, states[[0]], int(keys[0]), True, 0)  # compiles, once
    with ThreadPoolExecutor(min(_cores(), len(keys))) as pool:
        jobs = [pool.submit(_run, options, world, states[[b]], int(keys[b]), True, 0) for b in range(1, len(keys))]
        return [first, *(job.result() for job in jobs)]


def _cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run(options: UCT, world: World, root: States, key: int, compiled: bool | None, left: int) -> Plan:
    """Runs the kernel until all is simulated.

    Now and then the kernel returns for nothing: while it runs, Ctrl-C waits; and plain Python may give way to compiled
    code, which goes on with the same memory. `left` simulations are to follow.
    """
    from inscape.world_models.planning.kernels import search_arrays as entries

    settings = _kernel_settings(options, world, compiled)
    graph = _allocate(world, settings)
    graph.floats[:, 0], graph.ints[:, 0] = root.floats[:, 0], root.ints[:, 0]
    done = 0
    while True:
        ahead = options.num_simulations - done
        first = min(ahead, max(FIRST_LOOK, done))  # of plain Python, before it is compared again
        known = choice.usage(world, TEMPLATE, "search").units > 0
        fast = choice.choose(world, TEMPLATE, "search", ahead + left if known else first, compiled)
        kernels = world.kernel(TEMPLATE, fast)
        until = done + min(ahead, WITHOUT_PAUSE if fast or compiled is False else first)
        began = time.thread_time()
        memory = graph if fast else _as_python_numbers(graph)
        kernels.search(world.packed, memory, key, settings, until)
        if compiled is None and not fast:
            simulated = int(graph.counts[entries.SIMULATIONS]) - done
            choice.usage(world, TEMPLATE, "search").charge(simulated, time.thread_time() - began)
        if graph.counts[entries.STUCK]:
            raise _why_stuck(world, graph, settings)
        done = int(graph.counts[entries.SIMULATIONS])
        solved = graph.words[entries.KIND] == entries.SOLVED
        if solved or done < until or done >= options.num_simulations:
            return _plan_of(world, graph, settings, done, int(key))


def _kernel_settings(options: UCT, world: World, compiled: bool | None) -> SearchSettings:
    """Returns the settings as the kernel takes them, with the room a search may come to use."""
    from inscape.world_models.planning.kernels import search_arrays as words

    actions, values = world.num_actions, 1 if world.zero_sum else world.players
    exact = world.is_enumerable
    outcomes = world.count_outcomes(compiled=compiled)[0] if exact else 1
    single = exact and outcomes == 1
    state = world.empty_states(1)
    at_values = words.SUMS + 2 * values
    at_actions = at_values + 2 * values
    at_outcomes = at_actions + (1 + values) * actions
    lower = at_outcomes + (1 + values if single else 2) * actions
    row = lower + 3
    row += row % 2 + 2 * (len(state.floats) + len(state.ints))
    new_nodes = outcomes if exact else options.max_depth
    most = options.num_simulations * new_nodes + 1
    nodes = min(most, options.max_nodes) + new_nodes + 1
    links = 0 if single else min(options.num_simulations * new_nodes, nodes * actions * outcomes if exact else most)
    bounds = world.return_bounds() or (-np.inf, np.inf)
    return words.SearchSettings(
        row=row,
        values=values,
        at_values=at_values,
        at_actions=at_actions,
        at_outcomes=at_outcomes,
        lower=lower,
        upper=lower + 1,
        depth=lower + 2,
        single=single,
        exact=exact,
        new_nodes=new_nodes,
        new_links=0 if single else new_nodes,
        max_nodes=nodes - 1,
        max_links=links + new_nodes,
        rolls=options.rollout == "uniform",
        solver=options.solver and exact,
        wins=options.solver and single and world.players > 1 and bounds[1] < np.inf,
        zero_sum=world.zero_sum,
        low=float(bounds[0]),
        high=float(bounds[1]),
        averaging=-1.0 if options.averaging_visits is None else float(options.averaging_visits),
        gamma=float(options.gamma),
        exploration=options.exploration_for(world.players),
        max_depth=options.max_depth,
    )


def bytes_per_node(options: UCT, world: World) -> int:
    """Returns how many bytes a search of the world's law takes for each node, with its entry in the table of states;
    outcomes of actions that may have several come on top."""
    return 4 * _kernel_settings(options, world, None).row + 8


def _as_python_numbers(graph: SearchArrays) -> SearchArrays:
    """Returns views of the same memory that give Python's numbers: plain Python is twice as fast with them."""
    view: Any = memoryview
    return type(graph)(*map(view, graph))


def _allocate(world: World, s: SearchSettings) -> SearchArrays:
    """Returns memory for a search.

    All of it is reserved at once, zeros that the operating system provides page by page as they are written to: what a
    search does not come to use is never taken, and nothing is copied as it grows.
    """
    from inscape.world_models.planning.kernels.search_arrays import SearchArrays

    players, nodes = world.players, s.max_nodes + 1
    state = world.empty_states(1)
    memory = np.zeros(nodes * (s.row // 2) + 8, np.int64)
    begin = -memory.ctypes.data % 64 // 8  # rows of a multiple of 64 bytes, then, are whole cache lines
    rows = memory[begin : begin + nodes * (s.row // 2)].reshape(nodes, -1)
    first = s.row // 2 - len(state.floats) - len(state.ints)
    bits, ints = rows[:, first : first + len(state.floats)].T, rows[:, first + len(state.floats) :].T
    words = rows.reshape(-1).view(np.int32)
    links = np.zeros(s.max_links * (3 + s.values), np.int32)
    reward_out = np.zeros(1) if players == 1 else np.zeros((players, 1))
    return SearchArrays(
        words=words,
        reals=words.view(np.float32),
        doubles=words.view(np.float64),
        floats=bits.view(np.float64),
        ints=ints,
        bits=bits,
        slots=np.full(2 * nodes + 1, -1, np.int32),
        links=links,
        link_reals=links.view(np.float32),
        path=np.zeros((2, s.max_depth + 1), np.int64),
        counts=np.zeros(13, np.int64),
        span=np.array([np.inf, -np.inf]),
        tables=TABLES,
        choices=np.zeros(world.num_actions, np.int64),
        scores=np.zeros((2, max(world.num_actions, s.values))),
        reward_out=reward_out,
        reward=reward_out.reshape(-1),
        total=np.zeros(players),
    )


def _plan_of(world: World, graph: SearchArrays, s: SearchSettings, simulations: int, key: int) -> Plan:
    from inscape.world_models.planning.kernels import search_arrays as at

    nodes, actions = int(graph.counts[at.NODES]), world.num_actions
    words = graph.words.reshape(-1, s.row)[:nodes]
    reals = graph.reals.reshape(-1, s.row)[:nodes]
    counts = words[:, s.at_actions : s.at_actions + actions]
    table = reals[:, s.at_actions + actions : s.at_outcomes].reshape(nodes, s.values, actions)
    player, kind, rows = words[:, at.PLAYER], words[:, at.KIND], np.arange(nodes)
    sign, own = (1.0 - 2.0 * player, 0 * player) if s.zero_sum else (np.ones(nodes), player)
    visits = np.where(counts != at.ILLEGAL, np.where(counts < 0, -1 - counts, counts), 0).astype(np.int64)
    values = sign * reals[rows, s.at_values + own]
    tree = SearchTree(
        states=States(graph.floats[:, :nodes].copy(), graph.ints[:, :nodes].copy()),
        visit_counts=words[:, at.VISITS].astype(np.int64),
        depth=words[:, s.depth].astype(np.int64),
        values=np.where(kind == at.UNVISITED, np.nan, values),
        terminal=kind == at.TERMINAL,
        action_visits=visits,
        action_values=np.where((counts != 0) & (counts != at.ILLEGAL), sign[:, None] * table[rows, own], -np.inf),
    )
    legal = counts[0] != at.ILLEGAL
    if s.solver and legal.any():
        with np.errstate(all="ignore"):
            world.kernel(TEMPLATE, False).bound(_as_python_numbers(graph), s, 0, actions)
        closed, low = legal & (counts[0] < 0), graph.scores[0, :actions]
        tree.action_values[0] = np.where(closed & np.isfinite(low), low, tree.action_values[0])
    else:
        closed = np.zeros(actions, bool)
    return plan_from_tree(tree, simulations, legal, key, world.name, closed)


def _why_stuck(world: World, graph: SearchArrays, s: SearchSettings) -> UsageError:
    """Returns what to raise where a search is stuck: what the law did wrong, and where."""
    from inscape.world_models.planning.kernels import search_arrays as at

    if graph.counts[at.STUCK] == at.NO_ACTION:
        return no_legal_action(world.name)
    if graph.counts[at.STUCK] == at.NO_SUM_OF_ZERO:
        return no_sum_of_zero(world.name)
    state = world.unpack(States(graph.floats, graph.ints), int(graph.counts[at.PLACE]))
    action = int(graph.counts[at.ACTION])
    where = f"in {state} for action {action} ({world.action_names[action]})"
    numbers = graph.reward
    if action < 0:
        numbers, where = graph.total, f"as the return of random actions from {state}"
    return no_number(world.name, float(numbers[~(np.abs(numbers) < at.LARGEST)][0]), where)


def _with_numbers(plan: Plan) -> Plan:
    """Returns the plan with its tree's states as numbers of the tabular model."""
    assert plan.tree is not None
    return replace(plan, tree=replace(plan.tree, states=plan.tree.states.ints[0]))
