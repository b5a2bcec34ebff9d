"""Walls, doors, ice and one-way cells: what kind each cell is, given how moves go astray.

Cells are decided in groups: each cell alone, or, where the user gave a map, all cells of a letter together.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.world_models.learned.program.geometry import COMPASS, STAY, Geometry
from inscape.world_models.learned.program.moves import FIRM, FRACTIONS, FREE, Chance, Slip, chances
from inscape.world_models.learned.program.transitions import Transitions

Array = np.ndarray[Any, Any]

OPEN, WALL = 0, 1
ONE_WAY = {6: 2, 4: 3, 2: 4, 0: 5}
"""Direction → class of a cell that is left in that direction only, and never entered against it."""
FIRST_DOOR = 6
"""Class of a cell that lets in only who satisfies literal number 0; the next classes: literals 1, 2, …"""
EPSILON = 1e-3
"""Share of what nothing explains, while programs are compared; the final one has none."""
CLASS_BITS = {OPEN: 0.5, WALL: 2.0}
"""Bits of a cell's class while cells are decided; 6 for the others. The final code counts how common each kind is."""

Literal = tuple[int, int]
"""(field, value): the field has this value."""


@dataclass(eq=False)
class Scene:
    """The data seen as moves on a map.

    Attributes:
        here, there: `[N]` cells before and after.
        to, off: `[9, N]` the neighbours of `here`, and whether they are off the map.
        group: `[cells]` group of each cell.
        occupied: `[groups]` whether anyone was ever seen there.
        literals: what a door may ask of who enters.
        holds: `[L, N]` whether each literal holds before the move.
    """

    data: Transitions
    geometry: Geometry
    group: Array
    here: Array
    there: Array
    to: Array
    off: Array
    occupied: Array
    literals: tuple[Literal, ...]
    holds: Array

    @staticmethod
    def of(data: Transitions, geometry: Geometry, group: Array | None) -> Scene:
        """Returns the scene under one reading of observations; `group` None: each cell alone."""
        group = np.arange(geometry.cells) if group is None else group
        here, there = geometry.cell_of(data.before), geometry.cell_of(data.after)
        to, off = geometry.neighbours()
        occupied = np.zeros(int(group.max()) + 1, np.bool_)
        for cells in (here, there, geometry.cell_of(data.starts)):
            occupied[group[cells]] = True
        literals = tuple(
            (field, int(value))
            for field in geometry.others
            for value in np.unique(np.concatenate([data.before[:, field], data.after[:, field]]))
            if len(np.unique(data.before[:, field])) > 1
        )[:12]
        holds = np.array([data.before[:, field] == value for field, value in literals], np.bool_)
        return Scene(
            data, geometry, group, here, there, to[:, here], off[:, here], occupied, literals,
            holds.reshape(len(literals), len(data)),
        )  # fmt: skip


def blocked(scene: Scene, classes: Array, corners: bool) -> Array:
    """Returns `[9, N]` whether the way in each direction is barred before each transition, of groups' classes."""
    at, leads = classes[scene.group[scene.here]], classes[scene.group[np.minimum(scene.to, len(scene.group) - 1)]]
    barred = scene.off | (leads == WALL)
    for number in range(len(scene.literals) if (classes >= FIRST_DOOR).any() else 0):
        barred |= (leads == FIRST_DOOR + number) & ~scene.holds[number]
    for direction, cls in ONE_WAY.items():
        if not (classes == cls).any():
            continue
        for way, (down, right) in enumerate(COMPASS):
            barred[way] |= (at == cls) & (way != direction)
            if COMPASS[direction][0] * down + COMPASS[direction][1] * right < 0:
                barred[way] |= leads[way] == cls
    if corners:
        shut = scene.off | (leads == WALL)
        for way in (1, 3, 5, 7):
            barred[way] |= shut[way - 1] | shut[(way + 1) % 8]
    barred[STAY] = False
    return np.asarray(barred)


def arrivals(scene: Scene, barred: Array, headings: Array, slip: Slip) -> tuple[Array, Array]:
    """Returns `[N]` the probability of what was seen if the move went as meant, and if it went astray."""
    lands = np.where(barred, scene.here, scene.to) == scene.there
    meant = headings[scene.data.action]
    rows = np.arange(len(scene.data))
    straight = lands[meant, rows].astype(np.float64)
    astray = np.zeros(len(rows))
    for branch, share in enumerate(slip.shares, 1):
        ways = np.array([slip.heading(way, branch) for way in range(9)])
        astray += float(share) * lands[ways[meant], rows]
    if slip is FIRM:
        astray = straight
    return straight, np.where(meant == STAY, straight, astray)


def headings_of(scene: Scene, slip: Slip, everywhere: bool, diagonal: bool) -> list[tuple[float, Array]]:
    """Returns the most likely direction of each action while every cell never occupied is taken for a wall.

    Returns:
        `(bits, [A] directions)`: the likeliest of each action by itself, and, where four actions were seen, the
        likeliest that are the four of the compass in some order.
    """
    data = scene.data
    barred = blocked(scene, np.where(scene.occupied, OPEN, WALL), False)
    ways = [0, 2, 4, 6, STAY] + ([1, 3, 5, 7] if diagonal else [])
    actions = int(data.action.max()) + 1
    places = scene.group[scene.here]
    best: dict[bool, tuple[float, Array]] = {}
    for p in (0.1, 0.2, 1 / 3, 0.5, 2 / 3, 0.8) if slip is not FIRM else (0.0,):
        bits, chosen = 0.0, np.full(actions, STAY)
        table = np.zeros((actions, len(ways)))
        for action in range(actions):
            rows = data.action == action
            costs = []
            for way in ways:
                straight, astray = arrivals(scene, barred, np.full(actions, way), slip)
                slipping = _log2((1 - p) * straight + p * astray)[rows] * data.count[rows]
                if everywhere:
                    costs.append(-slipping.sum())
                    continue
                firm = _log2(straight)[rows] * data.count[rows]
                sums = np.zeros((2, len(scene.occupied)))
                np.add.at(sums[0], places[rows], slipping)
                np.add.at(sums[1], places[rows], firm)
                costs.append(-sums.max(axis=0).sum())
            if rows.any():
                pick = int(np.argmin(costs))
                table[action] = costs
                chosen[action], bits = ways[pick], bits + costs[pick]
        if bits < best.get(False, (math.inf, chosen))[0]:
            best[False] = bits, chosen
        if actions == 4:
            orders = list(itertools.permutations(range(4)))  # of ways: north, east, south, west
            spent = [sum(table[action, way] for action, way in enumerate(order)) for order in orders]
            pick = int(np.argmin(spent))
            if spent[pick] < best.get(True, (math.inf, chosen))[0]:
                best[True] = float(spent[pick]), np.array([ways[way] for way in orders[pick]])
    if len(best) == 2 and (best[True][1] == best[False][1]).all():
        del best[False]
    return list(best.values())


@dataclass(frozen=True, eq=False)
class Fit:
    """How cells were decided under one hypothesis of moves.

    Attributes:
        classes: `[groups]` `OPEN`, `WALL`, one-way, door.
        slips: `[groups]` whether moves may go astray there.
        meant, astray: `[N]` as `arrivals`, the second equal to the first where moves are firm.
        chance: of going astray.
        bits: of the data and of the probability's name, the cells' kinds given.
    """

    slip: Slip
    everywhere: bool
    headings: Array
    corners: bool
    classes: Array
    slips: Array
    meant: Array
    astray: Array
    chance: Chance
    bits: float

    def probability(self) -> Array:
        """Returns `[N]` the probability of each move seen; 0: not explained."""
        return np.asarray((1 - self.chance.value) * self.meant + self.chance.value * self.astray)


def decide(scene: Scene, slip: Slip, everywhere: bool, headings: Array, corners: bool) -> Fit:
    """Returns the cells' kinds under one hypothesis of moves, by coordinate ascent on data and prior together.

    Where some cells are slippery and some are not, both follow from how probable a slip is: several are tried first.
    """
    if slip is FIRM or everywhere:
        return _ascend(scene, slip, everywhere, headings, corners, 0.2)
    fits = [_ascend(scene, slip, everywhere, headings, corners, p) for p in (0.1, 0.3, 2 / 3, 0.85)]
    tried = np.bincount(scene.group[scene.here], minlength=len(scene.occupied)) > 0

    def bits(fit: Fit) -> float:
        share, count = fit.slips[tried].mean(), tried.sum()
        mixed = 0.0 if share in (0.0, 1.0) else -share * math.log2(share) - (1 - share) * math.log2(1 - share)
        return fit.bits + float(mixed * count)

    return min(fits, key=bits)


def _ascend(scene: Scene, slip: Slip, everywhere: bool, headings: Array, corners: bool, first: float) -> Fit:
    groups = len(scene.occupied)
    classes = np.where(scene.occupied, OPEN, WALL)
    slips = np.full(groups, slip is not FIRM)
    place, count = scene.group[scene.here], scene.data.count
    near = [np.flatnonzero(((scene.group[scene.to] == g) & ~scene.off).any(axis=0)) for g in range(groups)]
    chance = Chance(first if slip is not FIRM else 0.0, 0.0, None)

    def outcome(given: Array, p: float) -> tuple[Array, Array, Array]:
        straight, astray = arrivals(scene, blocked(scene, given, corners), headings, slip)
        astray = np.where(slips[place], astray, straight)
        return straight, astray, _log2((1 - p) * straight + p * astray) * count

    straight, astray, logs = outcome(classes, chance.value)
    for sweep in range(4):
        before = classes.copy(), slips.copy(), chance.value
        if slip is not FIRM:
            if everywhere or sweep:
                chance = chances(straight, astray, count, 1)[0][1]
            if not everywhere:
                full_straight, full_astray = arrivals(scene, blocked(scene, classes, corners), headings, slip)
                p = chance.value
                gain = np.zeros(groups)
                np.add.at(
                    gain, place, (_log2((1 - p) * full_straight + p * full_astray) - _log2(full_straight)) * count
                )
                tried = np.bincount(place, minlength=groups) > 0
                common = (slips & tried).sum() / max(tried.sum(), 1)
                odds = math.log2((common + 0.05) / (1.05 - common)) if sweep else 0.0
                slips = gain + odds > 0
        straight, astray, logs = outcome(classes, chance.value)
        for g in range(groups):
            if not len(near[g]) and not (place == g).any():
                continue
            for cls in _options(scene, g, classes, near[g], headings, straight, astray, sweep):
                trial = classes.copy()
                trial[g] = cls
                other = outcome(trial, chance.value)
                gained = other[2].sum() - logs.sum()
                if gained > CLASS_BITS.get(cls, 6.0) - CLASS_BITS.get(int(classes[g]), 6.0) + 1e-9:
                    classes, (straight, astray, logs) = trial, other
        if (classes == before[0]).all() and (slips == before[1]).all() and chance.value == before[2]:
            break
    if slip is not FIRM:
        chance = chances(straight, astray, count, 1)[0][1]
        logs = _log2((1 - chance.value) * straight + chance.value * astray) * count
    bits = float(-logs.sum()) + chance.bits
    return Fit(slip, everywhere, headings, corners, classes, slips, straight, astray, chance, bits)


def _options(
    scene: Scene, g: int, classes: Array, near: Array, headings: Array, straight: Array, astray: Array, sweep: int
) -> list[int]:
    """Returns the other classes that group `g` may have: doors and one-way cells only beside what is not explained."""
    options = [OPEN] if scene.occupied[g] else [OPEN, WALL]
    around = np.union1d(near, np.flatnonzero(scene.group[scene.here] == g))
    meant = scene.to[headings[scene.data.action], np.arange(len(scene.data))]
    refused = (scene.group[meant] == g) & (scene.there == scene.here) & (meant != scene.here)
    if (
        (refused.any() and scene.occupied[g])
        or ((straight[around] == 0) & (astray[around] == 0)).any()
        or (sweep and classes[g] >= 2)
    ):
        options += [*ONE_WAY.values(), *(FIRST_DOOR + k for k in range(len(scene.literals)))]
    return [cls for cls in options if cls != classes[g]]


def _log2(p: Array) -> Array:
    """Returns log₂ of probabilities of where one lands, a little of it for what nothing explains."""
    return np.asarray(np.log2((1 - EPSILON) * p + EPSILON / 16))


THETAS = (np.arange(48) + 0.5) / 48
THETA_LOGS = np.log2(THETAS**-0.5 * (1 - THETAS) ** -0.5 / (THETAS**-0.5 * (1 - THETAS) ** -0.5).sum())
"""Shares of slippery cells, with the log₂ of their prior: Beta(½, ½)."""


def ice_chances(scene: Scene, fit: Fit, use: Array, most: int = 6) -> list[tuple[float, Fit]]:
    """Returns the likeliest probabilities of going astray where some cells are slippery, which ones integrated out.

    The evidence is ∫ Π over cells (θ·L(slippery) + (1 − θ)·L(firm)) dBeta(θ; ½, ½), where L is the probability of all
    moves made from the cell.

    Args:
        use: `[N]` bool, rows that count.

    Returns:
        `(bits of the data, fit)`, the best first, data and the name of p together; a fit's cells are the likeliest.
    """
    groups, place = len(scene.occupied), scene.group[scene.here]
    count = np.where(use, scene.data.count, 0)
    straight, astray = arrivals(scene, blocked(scene, fit.classes, fit.corners), fit.headings, fit.slip)

    def summed(logs: Array) -> Array:
        """Returns `[..., left groups]` sums of `[..., N]`."""
        at = np.zeros((len(scene.data), groups))
        at[np.arange(len(place)), place] = count
        return np.asarray(np.where(count > 0, logs, 0.0) @ at)[..., np.bincount(place, count, groups) > 0]

    left = np.flatnonzero(np.bincount(place, count, groups) > 0)
    floor = 1e-30
    firm = summed(np.log2(np.maximum(straight, floor)))

    def evidence(p: Array) -> tuple[Array, Array]:
        """Returns `[P]` bits, and `[P, left]` whether each cell is likelier to be slippery."""
        slipping = summed(np.log2(np.maximum((1 - p)[:, None] * straight + p[:, None] * astray, floor)))
        each = np.logaddexp2(np.log2(THETAS) + slipping[:, :, None], np.log2(1 - THETAS) + firm[None, :, None])
        whole = each.sum(axis=1) + THETA_LOGS
        total = np.logaddexp2.reduce(whole, axis=1)
        share = (np.exp2(whole - total[:, None]) * THETAS).sum(axis=1)
        icy = slipping - firm + np.log2(share / (1 - share))[:, None] > 0
        return -total, icy

    keys = list(FRACTIONS)
    named = np.array([float(key) for key in keys])
    prior = -np.log2(np.array(list(FRACTIONS.values())))
    bits, icy = evidence(named)
    options = [
        (float(bits[k]), Chance(float(named[k]), float(prior[k]), keys[k]), icy[k])
        for k in np.argsort(bits + prior, kind="stable")[:most]
    ]
    fine = np.arange(1, 200) / 200
    curve, cells = evidence(fine)
    best = int(np.argmin(curve))
    around = curve[max(best - 1, 0) : best + 2]
    bend = (around[0] - 2 * around[1] + around[2]) * math.log(2) * 200**2 if len(around) == 3 else 0.0
    error = 1 / math.sqrt(bend) if bend > 1 else 1.0
    cost = -math.log2(FREE) - math.log2(min(1.0, math.sqrt(2 * math.pi) * error))
    options.append((float(curve[best]), Chance(float(fine[best]), cost, None, error), cells[best]))
    found = []
    for spent, chance, slippery in sorted(options, key=lambda one: one[0] + one[1].bits)[:most]:
        slips = np.zeros(groups, np.bool_)
        slips[left] = slippery
        masked = np.where(slips[place], astray, straight)
        found.append((spent, dataclasses.replace(fit, slips=slips, meant=straight, astray=masked, chance=chance)))
    return found
