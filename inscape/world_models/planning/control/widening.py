"""Tree search over continuous actions and outcomes by double progressive widening.

A state that was visited n times considers about `action_width · n^action_exponent` actions, an action that was taken n
times keeps about `outcome_width · n^outcome_exponent` outcomes. A new action is uniform in the box, or, with
probability `local`, drawn nearer to the best action so far than to any other (its Voronoi cell), so that the best is
refined. Between the actions there are, UCB1 decides. A law that draws nothing has one outcome for each action.

Sources: double progressive widening: Couëtoux, Hoock, Sokolovska, Teytaud & Bonnard (2011), "Continuous upper
confidence trees", LION 5, section 3; actions drawn in the best one's Voronoi cell: Kim, Lee, Lim, Kaelbling &
Lozano-Pérez (2020), "Monte Carlo tree search in continuous spaces using Voronoi optimistic optimization with regret
bounds", AAAI, algorithm 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from gymnasium import spaces

from inscape.envs.compile import choice
from inscape.envs.law import streams
from inscape.envs.law.states import States
from inscape.errors import UsageError
from inscape.world_models.interface import check_gamma
from inscape.world_models.known import KnownModel, as_model
from inscape.world_models.planning.control.search import action_bounds
from inscape.world_models.planning.control.settings import require_number
from inscape.world_models.planning.interface import Evaluate, Plan, Plans
from inscape.world_models.planning.tree_search.common import checked_states, no_number, terminal_root
from inscape.world_models.planning.tree_search.settings import require_count

if TYPE_CHECKING:
    from inscape.envs.world import World
    from inscape.world_models.planning.kernels.widening_arrays import WideningArrays

TEMPLATE = "inscape.world_models.planning.kernels.widening"
PAUSE = 20_000
"""Simulations between two chances for Ctrl-C."""


@dataclass(frozen=True)
class DPW:
    """The planner: `DPW(num_simulations=2000).plan(world, states, rng)[0].action` is `[D]` floats."""

    num_simulations: int = 1000
    """Simulations per decision: each adds at most one action and one outcome."""
    gamma: float = 0.99
    """Discount per step, from 0 to 1."""
    action_width: float = 1.0
    """Actions considered in a state after n visits: action_width · n^action_exponent, at least one."""
    action_exponent: float = 0.5
    """See `action_width`; from 0 to 1."""
    outcome_width: float = 1.0
    """Outcomes kept of an action after n visits, where the law draws any: outcome_width · n^outcome_exponent."""
    outcome_exponent: float = 0.5
    """See `outcome_width`; from 0 to 1."""
    local: float = 0.5
    """Probability that a new action is drawn near the best one so far, not in the whole box."""
    exploration: float = 0.3
    """Weight of the UCB1 term, relative to the range of action values seen so far in the search."""
    rollout: Literal["uniform", "none"] = "uniform"
    """How a new state is valued: by the return of uniformly random actions, or as 0."""
    max_depth: int = 50
    """Steps looked ahead, roll-out included; what is beyond counts 0."""

    def __post_init__(self) -> None:
        for name in ("num_simulations", "max_depth"):
            require_count(self, name)
        check_gamma(self.gamma)
        for name in ("action_width", "outcome_width"):
            require_number(self, name, above=0.0)
        for name in ("action_exponent", "outcome_exponent", "local"):
            require_number(self, name, least=0.0, most=1.0)
        require_number(self, "exploration", least=0.0)
        if self.rollout not in ("uniform", "none"):
            raise UsageError(f"rollout = {self.rollout!r}", expected="'uniform' or 'none'")

    def plan(self, model: Any, states: Any, rng: np.random.Generator, evaluate: Evaluate | None = None) -> Plans:
        """Returns a plan for each of B states, each searched with its own random stream.

        The action is the one of highest value among those visited at least half as often as the most visited; `metrics`
        has how many were considered (`root_actions`) and how often the
        best was taken (`root_visits`).

        Args:
            model: a `World` or `KnownModel` of one player whose actions are a bounded `Box` with one axis.
            states: a batch of B states. rng: gives each search its own random stream.
            evaluate: must be None: new states are valued by roll-outs.

        Raises:
            UsageError: the model is another one, or a state terminal; `evaluate` is given; a reward is not a finite
                number.
        """
        model = as_model(model, "DPW")
        if not isinstance(model, KnownModel) or model.world.players > 1:
            several = isinstance(model, KnownModel)
            raise UsageError(
                f"DPW on {model.world.name + ', which has several players' if several else type(model).__name__}",
                expected="a world of one player, whose law is known",
                hint="ICEM, CEM or MPPI for any other model of one player",
            )
        if isinstance(model.action_space, spaces.Discrete):
            raise UsageError(
                f"DPW on {model.world.name}, whose actions are {model.action_space}",
                expected="continuous actions: a bounded Box",
                hint="UCT for finitely many actions",
            )
        if evaluate is not None:
            raise UsageError("evaluate given to DPW", expected="None: new states are valued by roll-outs")
        _, low, high = action_bounds(model.action_space, "DPW")
        states = checked_states(states, model)
        world = model.world
        over = np.flatnonzero(world.terminal_of(states, compiled=model.compiled))
        if len(over):
            raise terminal_root(world.unpack(states, int(over[0])), world.name)
        keys = streams.random_keys(rng, len(states))
        plans = [self._search(model, states[[b]], int(keys[b]), low, high) for b in range(len(states))]
        return Plans.of(plans)

    def _search(self, model: KnownModel, root: States, key: int, low: np.ndarray, high: np.ndarray) -> Plan:
        from inscape.world_models.planning.kernels import widening_arrays as at

        world, done = model.world, 0
        G = self._memory(world, low, high)
        G.floats[:, 0], G.ints[:, 0] = root.floats[:, 0], root.ints[:, 0]
        settings = at.WideningSettings(
            float(self.action_width), float(self.action_exponent), float(self.outcome_width),
            float(self.outcome_exponent), float(self.local), float(self.exploration), float(self.gamma),
            self.max_depth, self.rollout == "uniform",
            world.is_enumerable and world.count_outcomes(compiled=model.compiled)[0] == 1,
        )  # fmt: skip
        while done < self.num_simulations:
            count = min(PAUSE, self.num_simulations - done)
            with np.errstate(all="ignore"):
                choice.call(
                    world, TEMPLATE, "search", count * self.max_depth, world.packed, G, key, settings, count,
                    compiled=model.compiled,
                )  # fmt: skip
            if G.counts[at.TROUBLE]:
                raise self._no_number(world, G)
            done += count
        tried = []
        a = int(G.node[0, at.LAST])
        while a >= 0:
            tried.append(a)
            a = int(G.action[a, at.BEFORE])
        visits, worth = G.action[tried, at.VISITS], G.worth[tried]
        best = int(np.where(2 * visits >= visits.max(), worth, -np.inf).argmax())
        metrics = {"root_actions": float(len(tried)), "root_visits": float(visits[best])}
        none = np.zeros(0)
        return Plan(
            G.actions[tried[best]].copy(), none, none.astype(np.int64), float(worth[best]),
            simulations=self.num_simulations, action_probs=none, metrics=metrics,
        )  # fmt: skip

    def _memory(self, world: World, low: np.ndarray, high: np.ndarray) -> WideningArrays:
        from inscape.world_models.planning.kernels import widening_arrays as at

        nodes, actions = self.num_simulations + 2, self.num_simulations + 1
        states = world.empty_states(nodes)
        node, action = np.zeros((nodes, 6), np.int64), np.zeros((actions, 6), np.int64)
        node[0, at.LAST], node[0, at.BEFORE] = -1, -1
        counts = np.zeros(4, np.int64)
        counts[at.NODES] = 1
        return at.WideningArrays(
            floats=states.floats, ints=states.ints, bits=states.floats.view(np.int64), node=node, action=action,
            actions=np.zeros((actions, len(low))), worth=np.zeros(actions), earned=np.zeros(nodes),
            low=low, high=high, span=np.array([np.inf, -np.inf]), path=np.zeros(self.max_depth + 1, np.int64),
            reached=np.zeros(self.max_depth + 1, np.int64), counts=counts,
        )  # fmt: skip

    def _no_number(self, world: World, G: WideningArrays) -> UsageError:
        from inscape.world_models.planning.kernels import widening_arrays as at

        made = int(G.counts[at.NODES]) - 1
        if G.counts[at.TROUBLE] < 0:
            state = world.unpack(States(G.floats, G.ints), made)
            return no_number(world.name, float("nan"), f"in a roll-out of random actions from {state}")
        action = G.actions[int(G.counts[at.TROUBLE]) - 1].tolist()
        state = world.unpack(States(G.floats, G.ints), made)
        return no_number(world.name, float(G.earned[made]), f"for action {action} that led to {state}")
