"""Rules of what happens where one lands: fields that change, rewards, ends. Decision lists, found greedily."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.world_models.learned.program.layout import Literal, Scene

Array = np.ndarray[Any, Any]
REWARD, END = -1, -2
"""Targets of rules beside the numbers of fields."""
ROW_BITS = 20.0
"""What it is worth to explain one more transition, while rules are chosen."""


@dataclass(frozen=True)
class Rule:
    """If the action, the cell landed in and one field are so, then the target becomes `value`.

    Attributes:
        target: a field's number, `REWARD` or `END`.
        value: what it becomes; with `add` what is added to it.
        add: whether the value is added (fields only).
        action: None for every action.
        condition: a literal about the fields before the move (`END`: of the state itself); None: always.
        groups: groups of cells landed in; None: everywhere.
        bits: what it costs to write down, the groups apart.
    """

    target: int
    value: float
    add: bool
    action: int | None
    condition: Literal | None
    groups: frozenset[int] | None
    bits: float


def number_bits(value: float) -> float:
    """Returns the length of a number's code: 1 for 0, 2 for 1; else a sign and 2·log₂(1 + n) + 1 for each of numerator
    and decimal places, after 2 bits."""
    if value in (0.0, 1.0):
        return 1.0 + value
    places = next((k for k in range(7) if round(value, k) == value), 7)
    return 2 + 1 + 2 * math.log2(1 + abs(round(value * 10**places))) + 1 + 2 * math.log2(1 + places)


def base_reward(scene: Scene) -> float:
    """Returns the commonest reward: what a step pays where no rule says otherwise."""
    values, index = np.unique(scene.data.reward, return_inverse=True)
    return float(values[np.bincount(index, scene.data.count).argmax()])


def find_rules(scene: Scene, target: int, base: float, use: Array) -> tuple[list[Rule], Array, list[list[Rule]]]:
    """Returns the rules of one target, which rows they leave unexplained, and other lists that explain as much.

    Args:
        scene: the data on its map.
        target: a field's number, `REWARD` or `END`.
        base: the value where no rule fires (rewards, ends; fields keep theirs).
        use: `[N]` bool, rows whose landing cell is known.
    """
    wanted = _wanted(scene, target)
    others: list[list[Rule]] = []
    rules: list[Rule] = []
    while True:
        open_rows = use & (predict(scene, rules, target, base) != wanted)
        if not open_rows.any() or len(rules) == 8:
            break
        scored = sorted(
            ((_gain(scene, rule, rules, base, wanted, open_rows, use), k, rule)
             for k, rule in enumerate(_candidates(scene, target, rules, wanted, open_rows, use))),
            key=lambda row: (-row[0], row[1]),
        )  # fmt: skip
        if not scored or scored[0][0] <= 0:
            break
        if not rules:
            near = [rule for gain, _, rule in scored[1:] if gain > scored[0][0] - 8]
            others = [[rule] for rule in near[:3] if (predict(scene, [rule], target, base) == wanted)[use].all()]
        rules.append(scored[0][2])
    failed = use & (predict(scene, rules, target, base) != wanted)
    return rules, failed, [] if failed.any() or len(rules) != 1 else others


def fires(scene: Scene, rule: Rule) -> Array:
    """Returns `[N]` whether a rule applies."""
    data = scene.data
    on = np.ones(len(data), np.bool_)
    if rule.action is not None:
        on &= data.action == rule.action
    if rule.condition is not None:
        field, value = rule.condition
        on &= (data.after if rule.target == END else data.before)[:, field] == value
    if rule.groups is not None:
        on &= np.isin(scene.group[scene.there], list(rule.groups))
    return np.asarray(on)


def predict(scene: Scene, rules: Sequence[Rule], target: int, base: float) -> Array:
    """Returns `[N]` what a decision list says: the first rule that applies."""
    start = np.full(len(scene.data), base) if target < 0 else scene.data.before[:, target].astype(np.float64)
    said, free = start.copy(), np.ones(len(start), np.bool_)
    for rule in rules:
        on = free & fires(scene, rule)
        said[on] = start[on] + rule.value if rule.add else rule.value
        free &= ~on
    return np.asarray(said)


def _wanted(scene: Scene, target: int) -> Array:
    if target == REWARD:
        return scene.data.reward
    if target == END:
        return scene.data.ended.astype(np.float64)
    return scene.data.after[:, target].astype(np.float64)


def _candidates(
    scene: Scene, target: int, rules: Sequence[Rule], wanted: Array, open_rows: Array, use: Array
) -> Iterator[Rule]:
    data, actions = scene.data, int(scene.data.action.max()) + 1
    free = use.copy()
    for rule in rules:
        free &= ~fires(scene, rule)
    state = data.after if target == END else data.before
    groups = scene.group[scene.there]
    names = [None] if target == END else [None, *sorted(set(data.action[open_rows].tolist()))]
    literals = [None, *(lit for lit in scene.literals if (state[open_rows, lit[0]] == lit[1]).any())]
    values = [(float(value), False) for value in np.unique(wanted[open_rows])]
    if target >= 0:
        steps = np.unique(wanted[open_rows] - data.before[open_rows, target])
        values += [(float(step), True) for step in steps if step != 0]
    for action in names:
        for literal in literals:
            on = free if action is None else free & (data.action == action)
            if literal is not None:
                on = on & (state[:, literal[0]] == literal[1])
            if not (on & open_rows).any():
                continue
            for value, add in values:
                right = (data.before[:, target] + value if add else value) == wanted
                useful = set(groups[on & right & open_rows].tolist()) - set(groups[on & ~right].tolist())
                # a rule: which target, and whether it asks for an action, for a field, and which
                bits = 1 + math.log2(2 + len(scene.geometry.others)) + (0 if target == END else 1 + number_bits(value))
                bits += 1 + (0 if action is None else math.log2(actions))
                bits += 0 if literal is None else math.log2(len(scene.literals))
                if not (on & ~right).any():
                    yield Rule(target, value, add, action, literal, None, bits)
                if useful:
                    yield Rule(target, value, add, action, literal, frozenset(useful), bits)


def _gain(
    scene: Scene, rule: Rule, rules: Sequence[Rule], base: float, wanted: Array, open_rows: Array, use: Array
) -> float:
    """Returns bits gained: rows explained, less what the rule costs and what it marks on the map."""
    still = use & (predict(scene, [*rules, rule], rule.target, base) != wanted)
    marks = 0.0 if rule.groups is None else 5.0 * len(rule.groups)
    named = 1.0 * (rule.action is not None) + 1.0 * (rule.condition is not None)
    # a rule for everywhere that was seen in one place only is a guess about all others
    places = len(set(scene.group[scene.there][open_rows].tolist()))
    guess = 6.0 if rule.groups is None and rule.action is None and places < 3 else 0.0
    return ROW_BITS * (int(open_rows.sum()) - int(still.sum())) - rule.bits - marks - named - guess
