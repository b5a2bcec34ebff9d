"""The fewest terms that explain a column of numbers: beam search over sets of terms, by orthogonal projection.

Sources: Brunton, Proctor & Kutz (2016), PNAS 113 (sparse regression over a library, SINDy); Kaheman, Kutz & Brunton
(2020), Proc. R. Soc. A 476 (implicit equations, SINDy-PI); Pati, Rezaiifar & Krishnaprasad (1993) (orthogonal matching
pursuit, of which this keeps a beam). Thresholding the full solution, as SINDy does, does not work here: over the small
angles of a balanced pole, terms such as θ, sin θ and sin θ·cos θ are the same to four digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
BEAM = 40
"""Sets of terms kept at each size."""


@dataclass(frozen=True, eq=False)
class Selection:
    """A set of terms with their coefficients.

    Attributes:
        terms: numbers of the columns, ascending.
        coefficients: `[K]`.
        error: root mean square of what is left.
    """

    terms: tuple[int, ...]
    coefficients: Array
    error: float


def select(columns: Array, target: Array, tolerance: float, most: int, costs: Sequence[float]) -> Selection | None:
    """Returns the smallest set of columns that leaves no more than `tolerance`; of several, the least costly.

    Args:
        columns: `[N, C]` values of the candidate terms.
        target: `[N]` what is to be explained.
        tolerance: root mean square that counts as explained.
        most: terms at most.
        costs: `[C]` complexity of each term.
    """
    found = sets_of_size(columns, target, tolerance, most, costs)
    return next((best for best in found if best.error <= tolerance), None)


def best_by_evidence(columns: Array, target: Array, most: int, costs: Sequence[float], floor: float) -> Selection:
    """Returns the set with the least description length: N·log₂ of the error plus the cost of each coefficient.

    Args:
        columns, target, most, costs: as `select`.
        floor: error below which nothing is gained.
    """
    count = len(target)
    each = 0.5 * np.log2(max(count, 2))  # bits of a coefficient (Schwarz 1978)

    def length(found: Selection) -> float:
        return float(count * np.log2(max(found.error, floor)) + sum(each + costs[k] for k in found.terms))

    return min(sets_of_size(columns, target, 0.0, most, costs), key=length)


def sets_of_size(columns: Array, target: Array, tolerance: float, most: int, costs: Sequence[float]) -> list[Selection]:
    """Returns the best set of each size from 0 up, until one leaves no more than `tolerance` or `most` is reached."""
    count = len(target)
    scale = np.sqrt((columns**2).mean(axis=0))
    usable = scale > 0
    unit = columns / np.where(usable, scale, 1.0)
    kept: list[Selection] = [_solved(columns, target, ())]
    beam: list[tuple[int, ...]] = [()]
    price = np.asarray(costs, np.float64)
    while kept[-1].error > tolerance and len(beam[0]) < min(most, count - 1):
        scored: dict[tuple[int, ...], tuple[float, float]] = {}
        for terms in beam:
            basis = np.linalg.qr(unit[:, terms])[0] if terms else np.zeros((count, 0))
            left = target - basis @ (basis.T @ target)
            rest = unit - basis @ (basis.T @ unit)
            rest -= basis @ (basis.T @ rest)  # twice: columns that are nearly the same
            norms = (rest**2).sum(axis=0)
            fits = usable & (norms > 1e-13 * count)
            fits[list(terms)] = False
            gains = np.where(fits, (left @ rest) ** 2 / np.where(fits, norms, 1.0), -1.0)
            remains = float(left @ left)
            for k in np.argsort(-gains, kind="stable")[:BEAM].tolist():
                if gains[k] >= 0:
                    key = tuple(sorted((*terms, k)))
                    score = (max(remains - gains[k], 0.0), float(price[list(key)].sum()))
                    scored[key] = min(score, scored.get(key, score))
        if not scored:
            break
        beam = sorted(scored, key=lambda key: (scored[key], key))[:BEAM]
        near = [_solved(columns, target, key) for key in beam]
        explained = [(price[list(one.terms)].sum(), one.error, one) for one in near if one.error <= tolerance]
        if explained:
            kept.append(min(explained, key=lambda entry: entry[:2])[2])
        else:
            kept.append(min(near, key=lambda one: one.error))
    return kept


def _solved(columns: Array, target: Array, terms: tuple[int, ...]) -> Selection:
    chosen = columns[:, list(terms)]
    coefficients = np.linalg.lstsq(chosen, target, rcond=None)[0] if terms else np.zeros(0)
    error = float(np.sqrt(np.mean((target - chosen @ coefficients) ** 2)))
    return Selection(terms, coefficients, error)
