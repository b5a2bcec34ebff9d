"""What the compiled and the plain tree search share: tables, errors, the plan made from a tree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from inscape.envs.law.streams import uniform
from inscape.errors import UsageError
from inscape.world_models.known import KnownModel
from inscape.world_models.planning.interface import Plan, SearchTree
from inscape.world_models.tabular.model import TabularModel

_NUMBERS = np.maximum(1.0, np.arange(8192.0))


LAST = 1 << 62
"""Number of the search's stream that breaks ties in the end: no simulation gets there."""

TABLES = np.stack([1.0 / np.sqrt(_NUMBERS), np.sqrt(np.log(_NUMBERS))])


def plan_from_tree(
    tree: SearchTree, simulations: int, legal: np.ndarray, key: int, owner: str, closed: np.ndarray | None = None
) -> Plan:
    """Returns the plan a finished search proposes: the action of highest value at the root, then one whose value is
    proven, then of most visits.

    Actions alike in both are as likely. A search that tried nothing (one simulation values the root) proposes a random
    legal action, its value being that of the root.

    Args:
        tree: what was searched. simulations: how many there were.
        legal: `[A]` bool, at the root.
        key: of the search's random stream.
        owner: whose law it is, for messages.
        closed: `[A]` bool, of which nothing was left to learn; None: none.

    Raises:
        UsageError: no action is legal at the root.
    """
    values, visits = tree.action_values[0], tree.action_visits[0]
    if not legal.any():
        raise no_legal_action(owner)
    total = int(visits.sum())
    if total == 0:
        best, probs = np.flatnonzero(legal), legal / legal.sum()
    else:
        best, probs = np.flatnonzero(values == values.max()), visits / total
        if closed is not None and closed[best].any():
            best = best[closed[best]]
        best = best[visits[best] == visits[best].max()]
    action = int(best[int(uniform(key, LAST) * len(best))])
    tree = tree if closed is None else replace(tree, closed=closed)
    value = float(values[action] if total else tree.values[0])
    return Plan(action, values, visits, value, tree, simulations, probs)


def terminal_root(state: Any, owner: str) -> UsageError:
    return UsageError(
        f"the state {state} of {owner} is terminal", expected="a state in which something can still be done"
    )


def no_legal_action(owner: str) -> UsageError:
    return UsageError(
        f"the search met a state of {owner} that is not terminal and has no legal action",
        expected="at least one legal action in every state that is not terminal",
        hint="fix `legal` or `terminal`: inscape check",
    )


def no_sum_of_zero(owner: str) -> UsageError:
    return UsageError(
        f"{owner} declares zero_sum, and the rewards of a transition do not add up to 0",
        expected="two players, and rewards that add up to 0",
        hint="zero_sum = False, or fix `reward`",
    )


def no_number(owner: str, reward: float, where: str) -> UsageError:
    return UsageError(
        f"the search met the reward {reward} in {owner}, {where}",
        expected="a finite number, below 1e38",
        hint="fix `reward`: inscape check",
    )


def checked_states(states: Any, model: Any) -> Any:
    """Returns the batch of states as the model has them; raises UsageError for what is none."""
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
