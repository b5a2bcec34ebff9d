"""What the compiled and the plain tree search share: tables, errors, the plan made from a tree."""

from __future__ import annotations

from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.planning.interface import Plan, SearchTree

_NUMBERS = np.maximum(1.0, np.arange(8192.0))


TABLES = np.stack([1.0 / np.sqrt(_NUMBERS), np.sqrt(np.log(_NUMBERS))])


def plan_from_tree(tree: SearchTree, simulations: int) -> Plan:
    """Returns the plan a finished search proposes: the action of highest value at the root, then of most visits."""
    values, visits = tree.action_values[0], tree.action_visits[0]
    best = np.flatnonzero(values == values.max())
    action = int(best[visits[best].argmax()])
    total = int(visits.sum())
    # a search of one simulation values the root and tries nothing
    probs = visits / total if total else np.where(np.arange(len(visits)) == action, 1.0, 0.0)
    return Plan(action, values, visits, float(values[action]), tree, simulations, probs)


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


def no_number(owner: str, rewards: np.ndarray) -> UsageError:
    return UsageError(
        f"the search met the reward {rewards[~np.isfinite(rewards)][0]} in {owner}",
        expected="a finite number",
        hint="fix `reward`: inscape check",
    )
