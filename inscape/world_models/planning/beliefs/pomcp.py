"""POMCP: Monte Carlo tree search over what may be done and observed, from a belief.

A simulation draws a state from the belief and descends along actions (by upper confidence bounds) and the observations
that follow, to a history that is new; no belief is computed on the way. The search is compiled over the world's law.

As in `UCT`, the scale of exploration is the range of action values met, and a history's value moves from the average
over visits to that of the best action as visits grow: plain averages are too low wherever exploring is costly.

Sources: Silver & Veness (2010), "Monte-Carlo planning in large POMDPs", NIPS (PO-UCT and POMCP); values between the
average and the best action: Coulom (2006), CG, section 3.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

import numpy as np

from inscape.envs.compile import choice
from inscape.envs.law import streams
from inscape.envs.law.states import States
from inscape.envs.world import World
from inscape.errors import MissingLawError, TooManyStatesError, UsageError
from inscape.world_models.belief.model import BeliefModel
from inscape.world_models.belief.particles import ParticleBelief, ParticleBeliefs, ParticleModel
from inscape.world_models.interface import check_gamma, refuse_environment
from inscape.world_models.known import KnownModel
from inscape.world_models.planning.beliefs.guide import Guide, guide_of
from inscape.world_models.planning.interface import Evaluate, Plan, Plans
from inscape.world_models.planning.kernels import history_arrays as entries
from inscape.world_models.planning.kernels.history_arrays import HistoryArrays
from inscape.world_models.planning.tree_search.common import no_legal_action, no_number
from inscape.world_models.planning.tree_search.settings import require_count

TEMPLATE = "inscape.world_models.planning.kernels.pomcp"
WITHOUT_PAUSE = 100_000
"""Simulations between two chances for Ctrl-C."""
FIRST_LOOK = 16
"""Simulations in plain Python after which it is first compared with compiling."""
FIRST_ROOM = 256
LARGEST, GUIDED_AVERAGING = float(np.finfo(float).max), 1.0
"""The largest setting; `averaging_visits` where histories are valued by bounds and it is left open."""
CALIBRATIONS, SHORT = 3, 20
"""How many searches there are before the search itself, to find where between bounds values lie; how much shorter."""
MOST_STATES = 50_000
"""States up to which beliefs are exact where it is left open."""
PER_NODE = (
    "links", "visits", "able", "tried", "rewards", "futures", "counted", "guided", "floor", "earned", "arrived",
    "action_value", "value", "leaf",
)  # fmt: skip


class _Root(NamedTuple):
    """Where a search begins.

    Attributes:
        world, particles, weights: K particles `[., K]` of a world, with weights `[K]`.
        guide: bounds by state, what is between which values new histories; or None.
        numbers: `[K]` of the particles' states in it.
        bounds: (lower, upper) on the value of this belief.
    """

    world: World
    particles: States
    weights: np.ndarray
    guide: Guide | None = None
    numbers: np.ndarray = np.zeros(0, np.int64)
    bounds: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class POMCPSettings:
    """What the planner `POMCP` and the agent `pomcp` have in common."""

    num_simulations: int = 10_000
    """Simulations per decision: each adds at most one history."""
    exploration: float = 0.3
    """Weight of the UCB1 term, relative to the range of action values seen so far in the search."""
    rollout: Literal["auto", "uniform", "informed", "none"] = "auto"
    """How a new history is valued: by the return of uniformly random legal actions (`uniform`); by what lies between
    bounds at the states that came there (`informed`, where the world can be enumerated); or as 0 (`none`). `auto`:
    informed up to 50,000 states, else uniform."""
    averaging_visits: float | None = None
    """Visits after which a history's value is that of its best action rather than the average over visits; None: 1
    where histories are valued by bounds, which have little noise, else 10."""
    upper_weight: float | None = None
    """Weight of the upper bound, from 0 to 1, where histories are valued by bounds; the lower one has the rest. None:
    found by short searches, which are too short to tell where there are many actions and observations: there 0.3, with
    averaging_visits = 30, earns more (RockSample)."""
    max_depth: int = 100
    """Longest descent, and longest roll-out (what is beyond counts 0)."""

    def __post_init__(self) -> None:
        for name in ("num_simulations", "max_depth"):
            require_count(self, name)
        for name, most in (("exploration", LARGEST), ("averaging_visits", LARGEST), ("upper_weight", 1.0)):
            value = getattr(self, name)
            if value is None and name != "exploration":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= most:
                raise UsageError(
                    f"{name} = {value!r}", expected="a finite number of at least 0" + ", at most 1" * (most == 1.0)
                )
        if self.rollout not in ("auto", "uniform", "informed", "none"):
            raise UsageError(f"rollout = {self.rollout!r}", expected="'auto', 'uniform', 'informed' or 'none'")


@dataclass(frozen=True)
class POMCP(POMCPSettings):
    """The planner: `POMCP(num_simulations=10_000).plan(BeliefModel.from_world(world), beliefs, rng)[0]`."""

    gamma: float = 0.95
    """Discount per step, from 0 to 1."""
    max_nodes: int = 2_000_000
    """Most histories kept; the search stops early when they are used up (see `Plan.simulations`)."""
    num_particles: int = 1000
    """Particles of the first belief, where a world of more than 50,000 states is given."""

    begins_in_beliefs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("max_nodes", "num_particles"):
            require_count(self, name)
        check_gamma(self.gamma)

    def plan(self, model: Any, states: Any, rng: np.random.Generator, evaluate: Evaluate | None = None) -> Plans:
        """Returns a plan for each of B beliefs, each searched with its own random stream.

        Args:
            model: a `BeliefModel` (exact beliefs `[B, S]`), a `ParticleModel` (`ParticleBeliefs`), or a `World` or
                `KnownModel`: then `states` are states of it, and each search begins from what is known to one who
                observes them as the first of an episode.
            states: B beliefs (or states) of that model.
            rng: gives each search its own random stream.
            evaluate: must be None: POMCP values histories, not states.

        Raises:
            UsageError: a belief is no distribution, or its task is over; the model is of another kind, or an
                environment; a state that is not terminal has no legal action; states that look the same differ in what
                is legal.
            MissingLawError: several players.
        """
        if evaluate is not None:
            raise UsageError("evaluate for POMCP, which values histories", expected="None", hint="UCT takes it")
        streams.require_generator(rng)
        roots = self._roots(model, states, rng)
        keys = streams.random_keys(rng, len(roots))
        return Plans.of([self._search(root, int(key)) for root, key in zip(roots, keys, strict=True)])

    def _roots(self, model: Any, states: Any, rng: np.random.Generator) -> list[_Root]:
        """Returns where the search of each belief begins."""
        if isinstance(model, KnownModel):
            model = model.world
        if not isinstance(model, World):
            refuse_environment(model, "POMCP")
        if isinstance(model, World):
            given = model.as_states(states)
            over = np.flatnonzero(model.terminal_of(given))
            if len(over):
                raise UsageError(
                    f"the state {model.unpack(given, int(over[0]))} of {model.name} is terminal",
                    expected="a state in which something can still be done",
                )
            world, seed = model, int(rng.integers(2**31))
            model = _beliefs_over(world) or ParticleModel(world, self.num_particles, seed)
            states = model.init(world.observe(given))
        if isinstance(model, ParticleModel):
            if not isinstance(states, ParticleBeliefs):
                raise UsageError(f"states of type {type(states).__name__}", expected="ParticleBeliefs: model.init(...)")
            exact = None
            if self.rollout == "informed":
                exact = _exact(model.world)
            elif self.rollout == "auto" and self.gamma < 1.0:
                exact = _beliefs_over(model.world)
            if exact is not None:
                return _roots_of_exact(exact, np.array([_frequencies(exact, row) for row in states.rows]), self.gamma)
            return [_Root(model.world, row.states, row.weights) for row in states.rows]
        if isinstance(model, BeliefModel):
            informed = self.rollout == "informed" or (self.rollout == "auto" and self.gamma < 1.0)
            return _roots_of_exact(model, np.asarray(states, np.float64), self.gamma if informed else None)
        raise UsageError(
            f"POMCP with a {type(model).__name__}", expected="a world, a BeliefModel or a ParticleModel",
            hint="BeliefModel(tables, observations)",
        )  # fmt: skip

    def _search(self, root: _Root, key: int) -> Plan:
        try:
            with np.errstate(all="ignore"):
                return self._calibrated(root, key, None)
        except choice.PLAIN_FAILURES as error:
            choice.refuse_unless_arithmetic(error)
            return self._calibrated(root, key, True)

    def _calibrated(self, root: _Root, key: int, compiled: bool | None) -> Plan:
        """Searches; where there are bounds, first a few times in short, to find what lies between them.

        New histories are worth (1 − w)·lower + w·upper, w such that the belief itself is worth what its search says.
        Values that are too high, or too low, everywhere would mislead: what is searched less keeps more of the error.
        """
        if self.upper_weight is not None:
            return self._run(root, key, compiled, self.upper_weight)
        share, (low, high) = 0.5, root.bounds
        if root.guide is not None and high > low:
            short = replace(self, num_simulations=max(1, self.num_simulations // SHORT))
            for _ in range(CALIBRATIONS):
                found = short._run(root, key, compiled, share)
                share = min(1.0, max(0.0, (found.value - low) / (high - low)))
        return self._run(root, key, compiled, share)

    def _run(self, root: _Root, key: int, compiled: bool | None, share: float = 0.5) -> Plan:
        """Runs the kernel until all is simulated, enlarging its memory when it asks for more."""
        world = root.world
        memory = _allocate(root, share, min(FIRST_ROOM, self.max_nodes), self.max_depth)
        if root.guide is not None:  # of the present belief, what is expected is known exactly
            memory.guided[0], memory.arrived[0] = root.weights @ memory.guide[root.numbers], 1
            memory.earned[0] = root.weights @ root.guide.rewards[root.numbers]
            memory.floor[0] = memory.guided[0, world.num_actions :].max()
        averaging = self.averaging_visits
        if averaging is None:
            averaging = GUIDED_AVERAGING if root.guide is not None else 10.0
        rolls = self.rollout == "uniform" or (self.rollout == "auto" and root.guide is None)
        done = 0
        while True:
            ahead = self.num_simulations - done
            first = min(ahead, max(FIRST_LOOK, done))
            usage = choice.usage(world, TEMPLATE, "search")
            fast = choice.choose(world, TEMPLATE, "search", ahead if usage.units > 0 else first, compiled)
            kernels = world.kernel(TEMPLATE, fast)
            until = done + min(ahead, WITHOUT_PAUSE if fast or compiled is False else first)
            began = time.thread_time()
            kernels.search(
                world.packed, memory, key, until, len(memory.visits), rolls, averaging,
                self.gamma, self.exploration, self.max_depth,
            )  # fmt: skip
            nodes, now = int(memory.counts[entries.NODES]), int(memory.counts[entries.SIMULATIONS])
            if not fast:
                usage.charge(now - done, time.thread_time() - began)
            self._require_sound(world, memory, nodes)
            done = now
            full = done < until and nodes >= self.max_nodes
            if done >= self.num_simulations or full:
                return self._plan_of(memory, done, key)
            if done < until:
                memory = _enlarge(memory, min(4 * nodes, self.max_nodes))
                kernels.rehash(memory)

    def _require_sound(self, world: World, memory: HistoryArrays, nodes: int) -> None:
        stuck = int(memory.counts[entries.STUCK])
        if stuck == entries.NO_ACTION:
            raise no_legal_action(world.name)
        if stuck == entries.DIFFERENT:
            raise UsageError(
                f"states of {world.name} that look the same differ in what is legal",
                expected="the same legal actions in states that look the same",
                hint="an observation that shows the mask",
            )
        for name, of in (("rewards", "for an action"), ("leaf", "as the return of random actions")):
            column = getattr(memory, name)[:nodes]
            if not np.isfinite(column).all():
                raise no_number(world.name, float(column[~np.isfinite(column)].flat[0]), of)

    def _plan_of(self, memory: HistoryArrays, simulations: int, key: int) -> Plan:
        tried = memory.tried[0].copy()
        values = np.where(tried > 0, memory.action_value[0], -np.inf)
        total = int(tried.sum())
        best = np.flatnonzero(tried == tried.max())
        best = best[values[best] == values[best].max()]
        action = int(best[int(streams.uniform(key, 1 << 62) * len(best))])
        return Plan(
            action, values, tried, float(values[action]), None, simulations, tried / total,
            {"histories": float(memory.counts[entries.NODES])},
        )  # fmt: skip


def _roots_of_exact(model: BeliefModel, beliefs: np.ndarray, gamma: float | None) -> list[_Root]:
    """Returns where searches of exact beliefs begin: in the tables, guided by the informed bound where γ is given."""
    from inscape.world_models.tabular.as_world import hidden_world_of

    count = model.tables.num_states
    if beliefs.ndim != 2 or beliefs.shape[1] != count:
        raise UsageError(f"beliefs of shape {list(beliefs.shape)}", expected=f"[B, {count}] probabilities of states")
    if not (np.isfinite(beliefs).all() and (beliefs >= 0).all() and (np.abs(beliefs.sum(axis=1) - 1) < 1e-6).all()):
        raise UsageError("beliefs that are no distributions", expected="non-negative rows that sum to 1")
    over = model.terminal_of(beliefs)
    if over.any():
        raise UsageError(f"belief {int(np.argmax(over))}: the task is over", expected="a belief in which it goes on")
    world = hidden_world_of(model)
    states = world.pack([(s, False) for s in range(count)])
    guide = None if gamma is None else guide_of(model, gamma)
    roots = []
    for belief in beliefs * ~model.tables.terminal:
        possible = np.flatnonzero(belief)
        weights, bounds = belief[possible] / belief.sum(), (0.0, 0.0)
        legal = np.asarray(model.tables.legal[possible].all(axis=0))
        if guide is not None and legal.any():
            bounds = guide.bounds(weights, possible, legal)
        roots.append(_Root(world, states[possible], weights, guide, possible, bounds))
    return roots


_exact_models: WeakKeyDictionary[World, BeliefModel] = WeakKeyDictionary()


_too_large: WeakSet[World] = WeakSet()


def _exact(world: World) -> BeliefModel:
    """Returns the exact model of a world; the same one each time."""
    if world not in _exact_models:
        _exact_models[world] = BeliefModel.from_world(world)
    return _exact_models[world]


def _beliefs_over(world: World) -> BeliefModel | None:
    """Returns the exact model of a world of one player; None where it has too many states, or can only be sampled."""
    if world.players > 1 or not world.is_enumerable or world in _too_large:
        return None
    if world not in _exact_models:
        try:
            world.dynamics(max_states=MOST_STATES)
        except (TooManyStatesError, MissingLawError):  # too many, or its initial states can only be sampled
            _too_large.add(world)
            return None
    return _exact(world)


def _frequencies(exact: BeliefModel, row: ParticleBelief) -> np.ndarray:
    """Returns `[S]` the weight of each enumerated state among a belief's particles."""
    assert exact.filter.world is not None
    numbers = exact.filter.world.dynamics().index_of(row.states)
    return np.bincount(numbers, row.weights, exact.tables.num_states)


def _allocate(root: _Root, share: float, nodes: int, max_depth: int) -> HistoryArrays:
    world, particles, weights = root[:3]
    guide, immediate = np.zeros((0, world.num_actions)), np.zeros((0, 0))
    if root.guide is not None:
        guide = np.hstack([share * root.guide.upper, (1.0 - share) * root.guide.lower])
        immediate = root.guide.rewards
    at = world.empty_states(1)
    seen = world.observation_array(1)
    flat = seen.reshape(-1)
    observed = np.zeros((len(flat), nodes + 1))
    actions, reward_out = world.num_actions, np.zeros(1)
    per_action = (nodes + 1, actions)
    return HistoryArrays(
        floats=np.ascontiguousarray(particles.floats),
        ints=np.ascontiguousarray(particles.ints),
        cumulative=np.cumsum(weights),
        seen=seen,
        flat=flat,
        observed=observed,
        bits=observed.view(np.int64),
        links=np.zeros(nodes + 1, np.int64),
        slots=np.full(2 * nodes + 3, -1, np.int64),
        visits=np.zeros(nodes, np.int64),
        able=np.zeros(per_action, np.int64),
        tried=np.zeros(per_action, np.int64),
        rewards=np.zeros(per_action),
        futures=np.zeros(per_action),
        counted=np.zeros(nodes + 1),
        guide=guide,
        immediate=immediate,
        guided=np.zeros((nodes + 1, guide.shape[1])),
        floor=np.zeros(nodes + 1),
        earned=np.zeros(per_action),
        arrived=np.zeros(nodes + 1, np.int64),
        at_floats=at.floats,
        at_ints=at.ints,
        action_value=np.zeros(per_action),
        value=np.zeros(nodes + 1),
        leaf=np.zeros(nodes + 1),
        path=np.zeros(max_depth + 1, np.int64),
        taken=np.zeros(max_depth + 1, np.int64),
        gained=np.zeros(max_depth + 1),
        counts=np.array([1, 0, 0, 0], np.int64),
        span=np.array([np.inf, -np.inf]),
        reward_out=reward_out,
        reward=reward_out,
        total=np.zeros(1),
    )


def _enlarge(memory: HistoryArrays, nodes: int) -> HistoryArrays:
    """Returns a tree with more room and the same content; the table of histories is left empty."""
    nodes = max(nodes, len(memory.visits))
    longer = {}
    for name in PER_NODE:
        old = getattr(memory, name)
        new = np.zeros((nodes + (name != "visits"), *old.shape[1:]), old.dtype)
        new[: len(old)] = old
        longer[name] = new
    observed = np.zeros((len(memory.observed), nodes + 1))
    observed[:, : memory.observed.shape[1]] = memory.observed
    slots = np.full(2 * nodes + 3, -1, np.int64)
    return memory._replace(observed=observed, bits=observed.view(np.int64), slots=slots, **longer)
