"""Rules of a grid found in transitions: kinds of cells, moves, slips, fields and rewards, scored in bits."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.world_models.learned.program.effects import (
    END,
    REWARD,
    Rule,
    base_reward,
    find_rules,
    number_bits,
    predict,
)
from inscape.world_models.learned.program.geometry import STAY, candidates
from inscape.world_models.learned.program.layout import OPEN, WALL, Fit, Scene, decide, headings_of, ice_chances
from inscape.world_models.learned.program.moves import FIRM, SLIP_BITS, SLIPS, Slip, chances
from inscape.world_models.learned.program.transitions import Transitions

Array = np.ndarray[Any, Any]
KindKey = tuple[int, bool, tuple[int, ...]]
"""A kind of cell: how it is entered, whether moves slip there, which rules apply."""
MOST_SLIPS = 8


@dataclass(frozen=True, eq=False)
class GridProgram:
    """One program and its score.

    Attributes:
        fit: moves, slips, walls.
        rules: of fields, rewards and ends, in order.
        base: reward of a step where no rule says otherwise.
        kinds: the kinds of cells in use, the commonest first.
        labels: `[groups]` number of each group's kind, −1 where nothing was seen of it.
        program_bits, layout_bits, data_bits: lengths of rules, of the map, of the data given both.
        unexplained: `[U]` rows of the transitions that it holds to be impossible.
    """

    scene: Scene
    fit: Fit
    rules: tuple[Rule, ...]
    base: float
    kinds: tuple[KindKey, ...]
    labels: Array
    program_bits: float
    layout_bits: float
    data_bits: float
    unexplained: Array

    @property
    def bits(self) -> float:
        """The whole code: −log₂ of prior times likelihood."""
        return self.program_bits + self.layout_bits + self.data_bits

    def rules_of(self, target: int) -> list[Rule]:
        return [rule for rule in self.rules if rule.target == target]


def induce(
    data: Transitions, names: Sequence[str], sizes: Sequence[int], shape: tuple[int, int] | None,
    group: Array | None, most: int,
) -> list[GridProgram]:  # fmt: skip
    """Returns the best programs, best first: those that explain most, of these the shortest.

    Args:
        data: transitions.
        names: of the fields.
        sizes: of the fields, 0 where not known.
        shape, group: of the user's map; None: each cell is decided alone.
        most: how many to return.
    """
    found: list[GridProgram] = []
    for geometry in candidates(data, names, sizes, shape):
        scene = Scene.of(data, geometry, group)
        hypotheses: list[tuple[float, int, Slip, bool, Array]] = []
        width = geometry.width
        aslant = (scene.here // width != scene.there // width) & (scene.here % width != scene.there % width)
        for diagonal in (False, True) if aslant.any() else (False,):
            for slip in (FIRM, *SLIPS):
                for everywhere in (True,) if slip is FIRM else (True, False):
                    for bits, headings in headings_of(scene, slip, everywhere, diagonal):
                        cost = bits + 8 * (not everywhere) + 8 * diagonal + _heading_bits(headings)
                        if not diagonal or (headings % 2 == 1).any():
                            hypotheses.append((cost, len(hypotheses), slip, everywhere, headings))
        for _, _, slip, everywhere, headings in sorted(hypotheses, key=lambda row: row[:2])[:MOST_SLIPS]:
            fit = decide(scene, slip, everywhere, headings, bool(((headings % 2 == 1) & (headings != STAY)).any()))
            tried = np.unique(scene.group[scene.here])
            if slip is not FIRM and not everywhere and (fit.slips[tried].all() or not fit.slips[tried].any()):
                continue  # slippery everywhere, or nowhere: another hypothesis says so in fewer words
            found.extend(_programs(scene, fit))
        found.sort(key=_order)
        if found and not len(found[0].unexplained):
            break
    best = len(found[0].unexplained) if found else 0
    return [one for one in found if len(one.unexplained) == best][:most]


def _order(program: GridProgram) -> tuple[int, float]:
    return int(program.scene.data.count[program.unexplained].sum()), program.bits


def _programs(scene: Scene, fit: Fit) -> list[GridProgram]:
    """Returns the program of a fit, and its neighbours: other probabilities, other rules that explain as much."""
    explained = fit.probability() > 0
    base = base_reward(scene)
    lists: dict[int, list[Rule]] = {}
    alternatives: list[tuple[int, list[Rule]]] = []
    for target in (*scene.geometry.others, REWARD, END):
        rules, _, others = find_rules(scene, target, base if target == REWARD else 0.0, explained)
        lists[target] = rules
        alternatives += [(target, other) for other in others]
    right = explained.copy()
    for target, given in lists.items():
        right &= _says(scene, target, given, base)
    if fit.slip is FIRM:
        fits = [(0.0, fit)]
    elif fit.everywhere:
        named = chances(fit.meant, fit.astray, np.where(right, scene.data.count, 0))
        fits = [(bits, dataclasses.replace(fit, chance=chance)) for bits, chance in named]
    else:
        fits = ice_chances(scene, fit, right)
    found = [_scored(scene, other, lists, base, bits) for bits, other in fits]
    found += [_scored(scene, fits[0][1], lists | {target: other}, base, fits[0][0]) for target, other in alternatives]
    return found


def _says(scene: Scene, target: int, rules: Sequence[Rule], base: float) -> Array:
    """Returns `[N]` whether the rules of a target say what was seen."""
    data = scene.data
    wanted = data.reward if target == REWARD else data.ended if target == END else data.after[:, target]
    return np.asarray(predict(scene, rules, target, base if target == REWARD else 0.0) == wanted)


def _scored(scene: Scene, fit: Fit, lists: dict[int, list[Rule]], base: float, data_bits: float) -> GridProgram:
    rules = tuple(rule for target in lists for rule in lists[target])
    probability = fit.probability()
    for target, given in lists.items():
        probability = np.where(_says(scene, target, given, base), probability, 0.0)
    labels, kinds = _kinds(scene, fit, rules)
    literals = len(scene.literals)
    program = 2 + _heading_bits(fit.headings) + SLIP_BITS + fit.chance.bits * (fit.slip is not FIRM)
    program += 1 + 1 * (not fit.everywhere) + number_bits(base) + sum(rule.bits for rule in rules)
    for cls, _, marks in kinds[1:]:  # the commonest kind is the ground
        # one more kind; is it entered as ground or wall are; does one slip; and the rules that are about it
        program += (
            1 + 1 + math.log2(4 + literals) * (cls not in (OPEN, WALL)) + 1 + math.log2(1 + len(rules)) * len(marks)
        )
    return GridProgram(
        scene, fit, rules, base, kinds, labels, program, _layout_bits(scene, fit, labels, kinds), data_bits,
        np.flatnonzero(probability == 0),
    )  # fmt: skip


def _heading_bits(headings: Array) -> float:
    """Returns the bits of the actions' directions: the four of the compass in some order, or any at all."""
    if sorted(headings.tolist()) == [0, 2, 4, 6]:
        return 1 + math.log2(24)
    return 1 + math.log2(9) * len(headings)


def _kinds(scene: Scene, fit: Fit, rules: Sequence[Rule]) -> tuple[Array, tuple[KindKey, ...]]:
    """Returns the number of each group's kind, −1 where nothing was seen of it, and the kinds, commonest first."""
    touched = scene.occupied.copy()
    touched[np.unique(scene.group[scene.here])] = True
    ways = np.unique([fit.slip.heading(int(h), b) for h in np.unique(fit.headings) for b in range(len(fit.slip.turns))])
    for way in ways:
        touched[scene.group[scene.to[way][~scene.off[way]]]] = True
    left = np.zeros(len(touched), np.bool_)
    left[scene.group[scene.here]] = True
    # where nobody set out from, whether moves slip is not known: as most cells of the same rules do
    keys: dict[int, KindKey] = {}
    marks = {
        g: tuple(k for k, rule in enumerate(rules) if rule.groups is not None and g in rule.groups)
        for g in np.flatnonzero(touched).tolist()
    }
    slippery = not fit.everywhere and fit.slip is not FIRM
    common = Counter(bool(fit.slips[g]) for g in np.flatnonzero(touched & left).tolist())
    mostly = slippery and common[True] > common[False]
    for g, marked in marks.items():
        cls = int(fit.classes[g])
        slips = slippery and cls != WALL and (bool(fit.slips[g]) if left[g] else mostly)
        keys[g] = (cls, slips, marked)
    order = [key for key, _ in Counter(keys.values()).most_common()]
    order.sort(key=lambda key: key[0] == WALL)  # the ground is no wall; stable otherwise
    labels = np.full(len(touched), -1)
    for g, key in keys.items():
        labels[g] = order.index(key)
    return labels, tuple(order)


def _layout_bits(scene: Scene, fit: Fit, labels: Array, kinds: Sequence[KindKey]) -> float:
    """Returns the code length of the labels in order, each by the frequencies before it, ½ added to each kind's.

    Which cells are slippery is integrated out with the data. A cell where nobody ever was counts only if somebody
    failed to get there, or may have: nothing else depends on it.
    """
    kinds_but_ice = list(dict.fromkeys((cls, marks) for cls, _, marks in kinds))
    matters = scene.occupied.copy()
    stays = (scene.here == scene.there) & (scene.data.count > 0)
    meant = fit.headings[scene.data.action]
    for branch in range(len(fit.slip.turns)):
        ways = np.array([fit.slip.heading(way, branch) for way in range(9)])[meant]
        rows = np.flatnonzero(stays & ((branch == 0) | fit.slips[scene.group[scene.here]]))
        matters[scene.group[scene.to[ways[rows], rows]]] = True
    counts, bits = np.full(max(len(kinds_but_ice), 1), 0.5), 0.0
    for label in labels[matters & (labels >= 0)].tolist():
        number = kinds_but_ice.index((kinds[label][0], kinds[label][2]))
        bits -= math.log2(counts[number] / counts.sum())
        counts[number] += 1
    return bits
