"""Alpha-beta with a table of positions: exact play in games of two players with opposite rewards, who see everything.

The search deepens by one ply at a time, so that it can stop at any time with the best action found, and so that what
was best before is looked at first. A state reached along several paths is searched once. Where a value rests on the
ends of the game alone, and not on where the search was cut off, it is proven, and the search ends.

Sources: alpha-beta: Knuth & Moore (1975), "An analysis of alpha-beta pruning", Artificial Intelligence 6(4); table of
positions and deepening: Slate & Atkin (1977), "Chess 4.5"; killers: Akl & Newborn (1977), ACM; history of good moves:
Schaeffer (1989), IEEE PAMI 11(11); chance events by their expectation: Michie (1966), "Game-playing and game-learning
automata".
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.envs.compile import choice
from inscape.envs.world import World
from inscape.errors import MissingLawError, PartialObservationError, TooManyStatesError, UsageError
from inscape.world_models.interface import check_gamma, num_actions
from inscape.world_models.known import KnownModel, as_model
from inscape.world_models.planning.interface import Evaluate, Plan, Plans
from inscape.world_models.planning.tree_search.common import no_legal_action, terminal_root
from inscape.world_models.tabular.arrays import require_memory

if TYPE_CHECKING:
    from inscape.envs.law.states import States
    from inscape.world_models.planning.kernels.alpha_beta_arrays import AlphaBetaArrays

TEMPLATE = "inscape.world_models.planning.kernels.alpha_beta"
DEEPEST = 400
"""Plies, at most."""
FIRST_LOOK = 64
"""Nodes in plain Python after which it is first compared with compiling."""
WITHOUT_PAUSE = 2_000_000
"""Nodes between two chances for Ctrl-C."""


@dataclass(frozen=True)
class AlphaBeta:
    """The planner, made of its settings: `AlphaBeta(depth=8).plan("ConnectFour", states, rng)[0]`."""

    depth: int | None = None
    """Plies to look ahead; None: as far as `max_nodes` allows, or to the end of the game."""
    max_nodes: int = 1_000_000
    """States to enter before it stops, with the best action of the deepest search that was completed."""
    gamma: float = 1.0
    """Discount per step, from 0 to 1."""
    win: float | None = None
    """A return that nobody can exceed: a line that reaches it is not improved upon. None: the world's own setting `win`
    where it has one, as the board games have; else unknown, and more is searched."""
    table_entries: int = 2**20
    """States that are remembered."""
    every_action: bool = False
    """Whether the value of every action is wanted, not of the best alone: takes longer."""

    def __post_init__(self) -> None:
        for name, lowest in (("max_nodes", 1), ("table_entries", 4)):
            count = getattr(self, name)
            if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < lowest:
                raise UsageError(f"{name} = {count!r}", expected=f"a whole number, at least {lowest}")
        depth = self.depth
        if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int | np.integer) or depth < 1):
            raise UsageError(f"depth = {depth!r}", expected="a number of plies, at least 1, or None")
        if depth is not None and depth > DEEPEST:
            raise UsageError(f"depth = {depth}", expected=f"at most {DEEPEST} plies")
        check_gamma(self.gamma)
        if self.win is not None and not 0.0 < self.win < np.inf:
            raise UsageError(f"win = {self.win}", expected="a positive return that nobody can exceed, or None")

    def plan(self, model: Any, states: Any, rng: np.random.Generator, evaluate: Evaluate | None = None) -> Plans:
        """Returns a plan for each of B states; nothing is random.

        `action_values` are exact for the proposed action; of others they say what they are worth at most (with
        `every_action`: exactly). `metrics`: `proven` 1.0 where no deeper search could change the value, `depth` of the
        last search completed, `nodes`; `simulations` are the nodes too.

        Args:
            model: a world of two players who move in turn (or its `KnownModel`), whose outcomes can be listed.
            states: a batch of B of its states.
            rng: not used.
            evaluate: must be None: where the search is cut off a state is worth 0.

        Raises:
            MissingLawError: the model is no such world.
            UsageError: the players do not earn opposite amounts, or do not see everything; a state is terminal; a
                return exceeds `win`; an `evaluate` is given.
        """
        if evaluate is not None:
            raise UsageError("alpha-beta with an evaluate", expected="None: it searches to the end, or to `depth`")
        world = _world_of(model)
        states = world.as_states(states)
        if len(states) == 0:
            raise UsageError("a batch of 0 states to plan for", expected="at least one")
        _require_everything_is_seen(world, states)
        compiled = model.compiled if isinstance(model, KnownModel) else None
        over = np.flatnonzero(world.terminal_of(states, compiled=compiled))
        if len(over):
            raise terminal_root(world.unpack(states, int(over[0])), world.name)
        return Plans.of([self._search(world, states[[b]], compiled) for b in range(len(states))])

    # ------------------------------------------------------------------------------------------------ the search

    def _search(self, world: World, root: States, compiled: bool | None) -> Plan:
        from inscape.world_models.planning.kernels import alpha_beta_arrays as entries

        win = self._win_of(world)
        width = world.count_outcomes(compiled=compiled)[0]
        deepest = DEEPEST if self.depth is None else self.depth
        memory = self._allocate(world, root, 2 + deepest * (2 if width > 1 else 1))
        player = int(world.mover_of(root)[0])
        found: Plan | None = None
        for depth in range(1, deepest + 1):
            memory.counts[[entries.FRAME, entries.PHASE]] = 0, entries.ENTER
            memory.frame[0, [entries.PLAYER, entries.REMAIN]] = player, depth
            window = memory.window[0]
            window[[entries.ALPHA, entries.FIRST_ALPHA]], window[[entries.BETA, entries.FIRST_BETA]] = -win, win
            memory.root_values[:] = np.nan
            self._run(world, memory, win, compiled)
            if memory.counts[entries.PHASE] != entries.DONE:
                break  # out of nodes
            low, high = memory.counts[entries.LOW_PROVEN], memory.counts[entries.HIGH_PROVEN]
            found = self._plan_of(memory, depth, bool(low and high))
            if low and high:
                break
        if found is None:
            raise UsageError(
                f"max_nodes = {self.max_nodes}: not enough to look at each action once",
                expected=f"more than {memory.counts[entries.NODES]}",
            )
        nodes = int(memory.counts[entries.NODES])
        return replace(found, simulations=nodes, metrics={**found.metrics, "nodes": float(nodes)})

    def _run(self, world: World, memory: AlphaBetaArrays, win: float, compiled: bool | None) -> None:
        """Runs the kernel until this search is done, or the nodes are used up."""
        from inscape.world_models.planning.kernels import alpha_beta_arrays as entries

        counts = memory.counts
        while counts[entries.PHASE] != entries.DONE and counts[entries.NODES] < self.max_nodes:
            before = int(counts[entries.NODES])
            usage = choice.usage(world, TEMPLATE, "search")
            first = max(FIRST_LOOK, before)  # of plain Python, before it is compared again
            fast = choice.choose(world, TEMPLATE, "search", first, compiled)
            until = min(self.max_nodes, before + (WITHOUT_PAUSE if fast or compiled is False else first))
            kernels = world.kernel(TEMPLATE, fast)
            began = time.thread_time()
            view: Any = memoryview
            arrays = memory if fast else type(memory)(*map(view, memory))
            try:
                with np.errstate(all="ignore"):
                    kernels.search(world.packed, arrays, until, self.gamma, win, self.every_action)
            except choice.PLAIN_FAILURES as error:
                if fast or compiled is not None:
                    raise
                choice.refuse_unless_arithmetic(error)
                raise UsageError(
                    f"the law of {world.name} raises {type(error).__name__}: {error}", hint="inscape check"
                ) from error
            if compiled is None and not fast:
                usage.charge(int(counts[entries.NODES]) - before, time.thread_time() - began)
            if counts[entries.FAULT]:
                raise _fault(world.name, int(counts[entries.FAULT]), win)

    def _win_of(self, world: World) -> float:
        if self.win is not None:
            return float(self.win)
        own = getattr(world.purpose, "win", None)
        return float(own) if isinstance(own, int | float) and 0.0 < own < np.inf else float(np.inf)

    def _allocate(self, world: World, root: States, frames: int) -> AlphaBetaArrays:
        from inscape.world_models.planning.kernels.alpha_beta_arrays import BUCKET, AlphaBetaArrays

        actions = num_actions(world, "alpha-beta")
        columns = world.empty_states(1 + frames * actions)
        columns.floats[:, 0], columns.ints[:, 0] = root.floats[:, 0], root.ints[:, 0]
        words = len(columns.floats) + len(columns.ints)
        entries = max(BUCKET, min(self.table_entries, 2 * self.max_nodes) // BUCKET * BUCKET)
        require_memory(entries * (8 * words + 32), f"a table of {entries:,} states")
        reward_out = np.zeros((2, 1))
        return AlphaBetaArrays(
            floats=columns.floats,
            ints=columns.ints,
            bits=columns.floats.view(np.int64),
            frame=np.zeros((frames, 12), np.int64),
            window=np.zeros((frames, 7 + actions)),
            order=np.zeros((frames, actions), np.int64),
            child=np.zeros((frames, actions), np.int64),
            child_reward=np.zeros((frames, actions)),
            killers=np.zeros((frames, 2), np.int64),
            history=np.zeros((2, actions)),
            keys=np.zeros((entries, words), np.int64),
            known=np.zeros((entries, 2)),
            info=np.zeros((entries, 4), np.int32),
            root_values=np.full(actions, np.nan),
            counts=np.zeros(6, np.int64),
            result=np.zeros(1),
            reward_out=reward_out,
            reward=reward_out.reshape(-1),
        )

    def _plan_of(self, memory: AlphaBetaArrays, depth: int, proven: bool) -> Plan:
        from inscape.world_models.planning.kernels import alpha_beta_arrays as entries

        action, value = int(memory.frame[0, entries.BEST]), float(memory.result[0])
        values = np.where(np.isnan(memory.root_values), -np.inf, memory.root_values)
        return Plan(
            action=action,
            action_values=values,
            visit_counts=np.zeros(len(values), np.int64),
            value=value,
            action_probs=np.eye(len(values))[action],
            metrics={"proven": float(proven), "depth": float(depth)},
        )


def _world_of(model: Any) -> World:
    known = as_model(model, "alpha-beta")
    if not isinstance(known, KnownModel):
        raise MissingLawError(
            f"alpha-beta on a {type(known).__name__}", expected="a world, whose law says who moves", hint="uct"
        )
    return two_in_turn(known.world)


def two_in_turn(world: World) -> World:
    """Returns the world.

    Raises:
        MissingLawError: it is not one of two players who move in turn, whose outcomes can be listed.
    """
    if world.players != 2 or world.simultaneous:
        raise MissingLawError(
            f"alpha-beta on {world.name}",
            expected="a world of two players who move in turn, such as TicTacToe or ConnectFour",
            hint="uct, which plans for one player, or for more than two",
        )
    world.require_enumerable("alpha-beta")
    return world


def _require_everything_is_seen(world: World, states: States) -> None:
    try:
        world.states_of(world.observe(states))
    except TooManyStatesError:
        return  # too many to compare: `inscape check` looks for it
    except PartialObservationError as error:
        raise PartialObservationError(
            f"alpha-beta needs to see the state, and {error.found}",
            expected="a game without hidden cards",
            hint="cfr, where information is hidden",
        ) from error


def _fault(name: str, fault: int, win: float) -> UsageError:
    from inscape.world_models.planning.kernels import alpha_beta_arrays as entries

    if fault == entries.NO_LEGAL_ACTION:
        return no_legal_action(name)
    if fault == entries.NOT_OPPOSED:
        return UsageError(
            f"the players of {name} do not earn opposite amounts",
            expected="rewards that sum to zero at every step",
            hint="uct, or game_values, where each player maximises its own",
        )
    if fault == entries.NO_NUMBER:
        return UsageError(f"a reward of {name} is not a finite number", hint="fix `reward`: inscape check")
    if fault == entries.ABOVE_WIN:
        return UsageError(
            f"a return of {name} exceeds win = {win:g}",
            expected="a return that nobody can exceed",
            hint="a larger win, or win=inf through the world's own setting",
        )
    return UsageError(f"a game of {name} has more than {DEEPEST} plies in a row", hint="depth=8")
