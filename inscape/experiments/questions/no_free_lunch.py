"""No free lunch: agents against worlds, and the theorem itself, by enumeration.

The theorem: averaged over all functions from a finite domain to a finite set of values, every searcher that does not
visit a point twice sees the same values. What makes one searcher better than another is that not all functions matter
alike.

Sources: Wolpert & Macready (1997), "No free lunch theorems for optimization", IEEE Transactions on Evolutionary
Computation 1(1), theorem 1; where it ends (sets of functions that are not closed under permutation of the domain):
Schumacher, Vose & Whitley (2001), "The no free lunch and problem description length", GECCO.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError, whole_number
from inscape.experiments.runs.statistics import interquartile_mean, stratified_bootstrap_interval

if TYPE_CHECKING:
    from inscape.experiments.report.sections import Section
    from inscape.experiments.trials.results import Results

Searcher = Callable[[Sequence[int], Sequence[int], int], int]
"""`searcher(points visited, values seen there, number of points)` returns the point to visit next."""

POINTS, VALUES = 6, 4
MOST_FUNCTIONS = 1_000_000


def all_functions(points: int = POINTS, values: int = VALUES) -> np.ndarray:
    """Returns `[values ** points, points]` every function from `points` points to the values 0 … values − 1.

    Raises:
        UsageError: there are more than a million.
    """
    points, values = whole_number("points", points, 1), whole_number("values", values, 1)
    if values**points > MOST_FUNCTIONS:
        raise UsageError(f"{values}^{points} functions", expected=f"at most {MOST_FUNCTIONS:,}", hint="fewer points")
    return np.array(list(itertools.product(range(values), repeat=points)), np.int64)


def values_seen(searcher: Searcher, functions: np.ndarray, steps: int | None = None) -> np.ndarray:
    """Returns `[F, steps]` the values that a searcher sees, one after another, in each of F functions.

    Args:
        searcher: says where to look next.
        functions: `[F, points]` values.
        steps: how many points it visits; None for all.

    Raises:
        UsageError: the searcher names a point that there is not.
    """
    count = functions.shape[1]
    steps = count if steps is None else steps
    seen = np.empty((len(functions), steps), np.int64)
    answers: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
    for row, function in enumerate(functions.tolist()):
        points: tuple[int, ...] = ()
        values: tuple[int, ...] = ()
        for _ in range(steps):
            if (points, values) not in answers:  # of all functions that look alike so far
                point = int(searcher(points, values, count))
                if not 0 <= point < count:
                    raise UsageError(
                        f"a searcher that goes to point {point}", expected=f"a point from 0 to {count - 1}"
                    )
                answers[points, values] = point
            point = answers[points, values]
            points, values = (*points, point), (*values, function[point])
        seen[row] = values
    return seen


def best_so_far(seen: np.ndarray) -> np.ndarray:
    """Returns `[F, steps]` the best value among those seen so far."""
    return np.asarray(np.maximum.accumulate(seen, axis=1))


def _free(points: Sequence[int], count: int) -> list[int]:
    return [point for point in range(count) if point not in points]


def in_order(points: Sequence[int], values: Sequence[int], count: int) -> int:
    """From the first point to the last."""
    return _free(points, count)[0]


def shuffled(points: Sequence[int], values: Sequence[int], count: int) -> int:
    """A fixed order that was drawn once."""
    order = np.random.default_rng(0).permutation(count)
    return int(order[len(points)])


def climbing(points: Sequence[int], values: Sequence[int], count: int) -> int:
    """The free point nearest to the best one."""
    if not points:
        return count // 2
    best = points[int(np.argmax(values))]
    return min(_free(points, count), key=lambda point: abs(point - best))


def fleeing(points: Sequence[int], values: Sequence[int], count: int) -> int:
    """The free point farthest from the best one."""
    if not points:
        return count // 2
    best = points[int(np.argmax(values))]
    return max(_free(points, count), key=lambda point: abs(point - best))


def modelling(points: Sequence[int], values: Sequence[int], count: int) -> int:
    """The free point that a straight line through the two nearest visited ones predicts to be best."""
    if len(points) < 2:
        return (0, count - 1)[len(points)]

    def predicted(point: int) -> float:
        one, other = sorted(range(len(points)), key=lambda k: abs(points[k] - point))[:2]
        slope = (values[other] - values[one]) / (points[other] - points[one])
        return values[one] + slope * (point - points[one])

    return max(_free(points, count), key=predicted)


def forgetful(points: Sequence[int], values: Sequence[int], count: int) -> int:
    """In order too, but every point twice: the theorem is not about it."""
    return len(points) // 2


SEARCHERS: Mapping[str, Searcher] = {
    "in order": in_order,
    "shuffled": shuffled,
    "climbing": climbing,
    "fleeing": fleeing,
    "modelling": modelling,
}
"""Searchers that visit no point twice."""


def theorem(points: int = POINTS, values: int = VALUES) -> dict[str, Any]:
    """Returns what the theorem says, enumerated.

    Returns:
        `functions`: how many; `means`: for each searcher `[points]` the mean over all functions of the best value after
        each visit; `forgetful`: the same of one that visits points twice; `difference`: the largest between the means
        of two searchers without repetition; `same_sequences`: whether each sequence of values is seen in equally many
        functions by all of them, which is the theorem; `smooth`: the means over those functions alone whose neighbours
        differ by 1 at most, `smooth_functions`: how many those are.
    """
    functions = all_functions(points, values)
    seen = {name: values_seen(searcher, functions) for name, searcher in SEARCHERS.items()}
    means = {name: best_so_far(found).mean(axis=0) for name, found in seen.items()}
    table = np.array(list(means.values()))
    sequences = [np.unique(found, axis=0, return_counts=True) for found in seen.values()]
    same = all(np.array_equal(a, b) for found in sequences[1:] for a, b in zip(found, sequences[0], strict=True))
    smooth = np.abs(np.diff(functions, axis=1)).max(axis=1, initial=0) <= 1
    return {
        "functions": len(functions),
        "means": means,
        "forgetful": best_so_far(values_seen(forgetful, functions)).mean(axis=0),
        "difference": float(np.ptp(table, axis=0).max()),
        "same_sequences": bool(same),
        "smooth": {name: best_so_far(found[smooth]).mean(axis=0) for name, found in seen.items()},
        "smooth_functions": int(smooth.sum()),
    }


def no_free_lunch_sections(results: Results) -> list[Section]:
    """Returns who is best where, and the theorem."""
    return [*_agents(results), *_theorem()]


def _agents(results: Results) -> list[Section]:
    from inscape.experiments.report.sections import Label, TableSection, TextSection
    from inscape.experiments.trials.results import scores_array

    scores = {world: scores_array(results, world, results.agents) for world in results.worlds}
    agents = [a for a in results.agents if all(a in found for found in scores.values())]
    if not agents:
        return [TextSection("No agent has results in every world", "")]
    iqm = np.array([[float(interquartile_mean(scores[w][a])) for w in results.worlds] for a in agents])
    low, high = iqm.min(axis=0), iqm.max(axis=0)
    wins = (iqm >= high - 1e-9 * np.maximum(1.0, np.abs(high))).sum(axis=1)
    # 1 for the best in a world; those with the same score share the mean of their places
    ranks = 1 + (iqm[None] > iqm[:, None]).sum(axis=1) + ((iqm[None] == iqm[:, None]).sum(axis=1) - 1) / 2
    runs = min(len(found[a]) for found in scores.values() for a in agents)
    cells: list[tuple[Any, ...]] = []
    for k, agent in enumerate(agents):
        columns = [(scores[w][agent][:runs] - low[j]) / (high[j] - low[j] or 1.0) for j, w in enumerate(results.worlds)]
        overall = stratified_bootstrap_interval(np.stack(columns, axis=1))
        worst = results.worlds[int(ranks[k].argmax())]
        cells.append((Label(agent, k), overall, int(wins[k]), float(ranks[k].mean()), float(ranks[k].max()), worst))
    cells.sort(key=lambda row: row[3])
    everywhere = [agent for k, agent in enumerate(agents) if wins[k] == len(results.worlds)]
    champions = int((wins > 0).sum())
    answer = (
        f"{everywhere[0]} is best, or equal to the best, in every world: these worlds are too much alike."
        if everywhere
        else f"No agent is best everywhere: {champions} of {len(agents)} are best in some world, and the best on"
        f" average ({cells[0][0].text}) is number {cells[0][4]:.3g} in {cells[0][5]}."
    )
    note = (
        f"Interquartile mean of scores normalised in each world (0 the worst agent there, 1 the best), over "
        f"{len(results.worlds)} worlds and {runs} seeds, with its interval; worlds in which it is best; its mean and "
        "its worst place."
    )
    heads = ("agent", "score", "best in", "mean place", "worst place", "there")
    best = tuple(
        (world, agents[int(iqm[:, j].argmax())], float(high[j]), agents[int(iqm[:, j].argmin())], float(low[j]))
        for j, world in enumerate(results.worlds)
    )
    return [
        TextSection("Agents against worlds", answer),
        TableSection("Agents over all worlds", heads, tuple(cells), note),
        TableSection("Best and worst in each world", ("world", "best", "score", "worst", "its score"), best),
    ]


def _theorem() -> list[Section]:
    from inscape.experiments.report.sections import TableSection, TextSection

    found = theorem()
    steps = range(1, POINTS + 1)
    rows = [(name, *map(float, means)) for name, means in found["means"].items()]
    rows.append(("every point twice", *map(float, found["forgetful"])))
    smooth = tuple((name, *map(float, means)) for name, means in found["smooth"].items())
    verdict = (
        f"All {found['functions']:,} functions from {POINTS} points to {VALUES} values: the means of the best value "
        f"seen differ by {found['difference']:.1g} at most between searchers that visit no point twice"
        + (", and each sequence of values is seen in equally many functions." if found["same_sequences"] else ".")
        + f" Of the {found['smooth_functions']} functions alone whose neighbours differ by 1 at most, they do differ: "
        "assumptions that hold are what makes a method good."
    )
    columns = ("searcher", *(f"after {k}" for k in steps))
    return [
        TextSection("The theorem", verdict),
        TableSection("Mean best value over all functions", columns, tuple(rows)),
        TableSection("Over smooth functions alone", columns, smooth),
    ]
