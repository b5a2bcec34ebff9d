"""What a planner is: given a model and states, it returns plans."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, overload

import numpy as np

from inscape import html
from inscape.errors import UsageError
from inscape.world_models.interface import Batch, as_numpy

Evaluate = Callable[[Any], tuple[Batch, Batch | None]]
"""Model states to values `[B]` (or `[B, M]` for M players) and prior logits `[B, A]` over actions (None: no prior).
Planners never ask for the value of a terminal state."""


@dataclass(frozen=True, eq=False)
class SearchTree:
    """What a search has seen. Row 0 is the root; a state reached along several paths is one node.

    Attributes:
        states: N model states (`States` for a known world, `[N]` indices for a tabular model).
        visit_counts: `[N]` int64 passes through the node.
        depth: `[N]` int64 steps from the root when first found.
        values: `[N]` float64 estimated values for the player to move there; NaN where never visited, 0 where terminal.
        terminal: `[N]` bool.
        action_visits: `[N, A]` int64.
        action_values: `[N, A]` float64 for the player to move; −inf where illegal, or never tried nor proven.
        closed: `[A]` bool, actions of the root of which nothing is left to learn, so that they collect no more visits:
            their value is proven, or they cannot be better than another is at least; empty for searches without proofs.
    """

    states: Any
    visit_counts: np.ndarray
    depth: np.ndarray
    values: np.ndarray
    terminal: np.ndarray
    action_visits: np.ndarray
    action_values: np.ndarray
    closed: np.ndarray = field(default_factory=lambda: np.zeros(0, np.bool_))

    def __len__(self) -> int:
        return len(self.visit_counts)


_NONE = np.empty((0, 0))
_COUNTED = ("visit_counts", "simulations")
_ROWS = ("values", "action_values", "visit_counts", "action_probs", "simulations", "sequences", "carried")


@dataclass(frozen=True, eq=False)
class Plan:
    """What a planner proposes in one state.

    Attributes:
        action: the proposed action, an integer or `[D]` floats.
        action_values: `[A]` float64 estimated values for the player to move; −inf where illegal or never tried. Empty
            (`[0]`) for planners that do not compare finitely many actions; so are the next two.
        visit_counts: `[A]` int64 times the action was taken in this state (in a world with cycles a simulation may pass
            it more than once).
        value: estimated value of the state for the player to move.
        tree: what was searched; None for planners without one.
        simulations: simulations run (fewer than asked for when `max_nodes` was reached).
        action_probs: `[A]` float64 distribution over actions that the search arrived at: what a policy is trained
            towards. A search by visits: the share of visits.
        metrics: what else the planner reports, by name.
        action_names: `[A]` the names of the actions; empty where they have none, or the planner does not know them.
        sequence: `[H]` integers or `[H, D]` floats, the actions planned one after another; empty for planners that plan
            one action.
    """

    action: int | np.ndarray
    action_values: np.ndarray
    visit_counts: np.ndarray
    value: float
    tree: SearchTree | None = None
    simulations: int = 0
    action_probs: np.ndarray = field(default_factory=lambda: np.empty(0))
    metrics: dict[str, float] = field(default_factory=dict)
    action_names: tuple[str, ...] = ()
    sequence: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def action_name(self) -> str:
        """The name of the proposed action; its number, or numbers, where it has none."""
        named = self.action_names and np.ndim(self.action) == 0
        return self.action_names[int(self.action)] if named else _as_text(self.action)

    def __repr__(self) -> str:
        return f"Plan({self.action_name}, value {self.value:.4g}, {self.simulations:,} simulations)"

    def _repr_html_(self) -> str:
        note = f"{self.simulations:,} simulations" if self.simulations else ""
        count, counted = len(self.action_values), len(self.visit_counts) > 0
        rows: list[list[object]] = [[self._name_of(a), float(self.action_values[a])] for a in range(count)]
        for row, visits in zip(rows, self.visit_counts):
            row.append(f"{int(visits):,}")
        columns = ("action", "value", *(["visits"] if counted else []))
        best = int(self.action) if np.ndim(self.action) == 0 and count else -1
        table = html.table(columns, rows, columns[1:], best) if count else ""
        return html.block(f"{self.action_name}, value {html.number(self.value)}", table, note=note)

    def _name_of(self, action: int) -> str:
        return self.action_names[action] if self.action_names else str(action)


@dataclass(frozen=True, eq=False)
class Plans(Sequence[Plan]):
    """What a planner proposes in B states: `len(plans)`, `plans[b]` is the `Plan` of one, `plans[2:5]` are `Plans`.

    What a planner does not have may be left out.

    Attributes:
        actions: `[B]` int64, or `[B, D]` float64.
        values: `[B]` float64.
        action_values: `[B, A]` float64; empty (`[B, 0]`) without; so are the next two.
        visit_counts: `[B, A]` int64.
        action_probs: `[B, A]` float64.
        simulations: `[B]` int64; 0 without.
        trees: one for each state, or none at all.
        metrics: `[B]` each.
        action_names: `[A]` the names of the actions; empty where they have none.
        sequences: `[B, H]` integers or `[B, H, D]` floats; empty for planners that plan one action.
        carried: `[B, K]` float64, what the planner goes on from when it is given these plans as `previous`; empty for
            planners that always begin anew.

    Raises:
        UsageError: one of them has not B rows.
    """

    actions: np.ndarray
    values: np.ndarray
    action_values: np.ndarray = field(default_factory=lambda: _NONE)
    visit_counts: np.ndarray = field(default_factory=lambda: _NONE)
    action_probs: np.ndarray = field(default_factory=lambda: _NONE)
    simulations: np.ndarray = field(default_factory=lambda: _NONE)
    trees: tuple[SearchTree, ...] = ()
    metrics: dict[str, np.ndarray] = field(default_factory=dict)
    action_names: tuple[str, ...] = ()
    sequences: np.ndarray = field(default_factory=lambda: _NONE)
    carried: np.ndarray = field(default_factory=lambda: _NONE)

    def __post_init__(self) -> None:
        count = len(self.actions)
        for name in _ROWS:
            column = getattr(self, name)
            if column is _NONE:
                shape = (count,) if name == "simulations" else (count, 0)
                object.__setattr__(self, name, np.zeros(shape, np.int64 if name in _COUNTED else np.float64))
            elif len(column) != count:
                raise UsageError(f"plans with {name} of shape {column.shape}", expected=f"{count} rows")
        for name, column in self.metrics.items():
            if np.shape(column) != (count,):
                raise UsageError(f"plans with {name} of shape {np.shape(column)}", expected=f"[{count}]")
        if self.trees and len(self.trees) != count:
            raise UsageError(f"plans with {len(self.trees)} trees", expected=f"{count}, or none")

    @staticmethod
    def of(plans: Sequence[Plan]) -> Plans:
        """Returns single plans as a batch; there must be at least one, all by the same planner."""
        if not plans:
            raise UsageError("no plan", expected="at least one")
        trees = tuple(plan.tree for plan in plans if plan.tree is not None)
        return Plans(
            actions=np.array([plan.action for plan in plans]),
            values=np.array([plan.value for plan in plans], np.float64),
            action_values=_rows([plan.action_values for plan in plans]),
            visit_counts=_rows([plan.visit_counts for plan in plans]),
            action_probs=_rows([plan.action_probs for plan in plans]),
            simulations=np.array([plan.simulations for plan in plans], np.int64),
            trees=trees if len(trees) == len(plans) else (),
            metrics={name: np.array([plan.metrics[name] for plan in plans]) for name in plans[0].metrics},
            action_names=plans[0].action_names,
            sequences=np.array([plan.sequence for plan in plans]),
        )

    @property
    def action(self) -> int | np.ndarray:
        """The action of the only plan.

        Raises:
            UsageError: there are several: `actions`.
        """
        return self._only().action

    @property
    def value(self) -> float:
        """The value of the only plan; of several: `values`."""
        return self._only().value

    @property
    def tree(self) -> SearchTree | None:
        """The tree of the only plan; of several: `trees`."""
        return self._only().tree

    def _only(self) -> Plan:
        if len(self) != 1:
            raise UsageError(f"{len(self)} plans", expected="one", hint="plans[b], actions, values, trees")
        return self[0]

    def __len__(self) -> int:
        return len(self.actions)

    def __iter__(self) -> Iterator[Plan]:
        return (self[b] for b in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Plan: ...
    @overload
    def __getitem__(self, index: slice) -> Plans: ...
    def __getitem__(self, index: int | slice) -> Plan | Plans:
        if isinstance(index, slice):
            return Plans(
                self.actions[index],
                self.values[index],
                self.action_values[index],
                self.visit_counts[index],
                self.action_probs[index],
                self.simulations[index],
                self.trees[index],
                {name: column[index] for name, column in self.metrics.items()},
                self.action_names,
                self.sequences[index],
                self.carried[index],
            )
        action = self.actions[index]
        return Plan(
            action=int(action) if self.actions.ndim == 1 else action,
            action_values=self.action_values[index],
            visit_counts=self.visit_counts[index],
            value=float(self.values[index]),
            tree=self.trees[index] if self.trees else None,
            simulations=int(self.simulations[index]),
            action_probs=self.action_probs[index],
            metrics={name: float(column[index]) for name, column in self.metrics.items()},
            action_names=self.action_names,
            sequence=self.sequences[index],
        )

    def __repr__(self) -> str:
        return f"Plans[{', '.join(repr(plan) for plan in self[:3])}{', …' if len(self) > 3 else ''}]"

    def _repr_html_(self) -> str:
        if len(self) == 1:
            return self[0]._repr_html_()
        rows = [[k, plan.action_name, plan.value, f"{plan.simulations:,}"] for k, plan in enumerate(self)]
        columns = ("state", "action", "value", "simulations")
        return html.block(f"{len(self)} plans", html.table(columns, rows, columns[2:]))


def _as_text(action: int | np.ndarray) -> str:
    """Returns an action without a name as text."""
    if np.ndim(action) == 0:
        return str(int(action))
    return "(" + ", ".join(f"{float(number):.4g}" for number in np.ravel(action)) + ")"


def _rows(rows: list[np.ndarray]) -> np.ndarray:
    """Returns `[B, A]`; a batch of one, of which agents ask the most, without copying."""
    return rows[0][None] if len(rows) == 1 else np.array(rows)


class Planner(Protocol):
    """Given a model, never an environment."""

    def plan(self, model: Any, states: Any, rng: np.random.Generator, evaluate: Evaluate | None = None) -> Plans:
        """Returns a plan for each of B model states.

        Args:
            model: a `WorldModel` with the strengths the planner needs, or a `World`, whose law it then simulates.
            states: B model states: what `model.init` or `model.update` returned (`States` for a world).
            rng: gives the planner its own random numbers; the environment's are never used.
            evaluate: values, and a prior over actions, of states where the planner stops to look ahead.

        Raises:
            UsageError: the model is an environment, or lacks a strength the planner needs.
        """
        ...


def evaluated(evaluate: Evaluate, states: Any, players: int, actions: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns checked values `[B, M]` and prior logits `[B, A]` (or None) of B states.

    Raises:
        UsageError: they are of another shape, or not finite (logits may be −inf, but not a whole row).
    """
    answer = evaluate(states)
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise UsageError(
            f"evaluate returned a {type(answer).__name__}",
            expected="a pair: values [B] or [B, M], and prior logits [B, A] or None",
            hint="return values, None",
        )
    count, logits = len(states), answer[1]
    values = np.asarray(as_numpy(answer[0]), np.float64)
    if values.shape not in ((count, players), *([(count,)] if players == 1 else [])) or not np.isfinite(values).all():
        wanted = f"[{count}, {players}]" if players > 1 else f"[{count}]"
        raise UsageError(
            f"evaluate returned values {values.tolist()} of shape {list(values.shape)} for a batch of {count}",
            expected=f"{wanted} finite values",
        )
    values = values.reshape(count, players)
    if logits is None:
        return values, None
    prior = np.asarray(as_numpy(logits), np.float64)
    if prior.shape == (count, actions) and np.isfinite(prior).all():
        return values, prior
    hopeless = np.isnan(prior) | np.isposinf(prior)
    if prior.shape != (count, actions) or hopeless.any() or np.isneginf(prior).all(axis=1).any():
        raise UsageError(
            f"evaluate returned prior logits {prior.tolist()} of shape {list(prior.shape)}",
            expected=f"[{count}, {actions}] finite logits, −inf for what is impossible",
        )
    return values, prior
