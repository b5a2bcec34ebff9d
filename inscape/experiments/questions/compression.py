"""Does compression predict planning? Bits that a learned model wastes, against the regret of planning in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import MissingLawError, UsageError
from inscape.experiments.runs.statistics import Interval, bootstrap_interval

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.experiments.report.sections import Section
    from inscape.experiments.trials.results import Results


def model_measures(agent: Any, task: Task, seed: int) -> dict[str, float]:
    """Returns how many bits an agent's learned table wastes, and what planning in it is worth; all exact.

    Returns:
        `bits`: D(law ‖ model) per step, the bits its predictions cost beyond what the world's own randomness does,
        averaged over all states and legal actions; `bits_on_path`: averaged over where the optimal policy goes;
        `entropy`: bits of the world's own randomness; `regret`: V* minus the value of the model's greedy policy at the
        start; `relative_regret`: as a share of V* minus the value of random play; `states`: how many the model knows;
        `steps`: how many it has learned from; `score`: the value.

    Raises:
        MissingLawError: the world cannot be enumerated.
        UsageError: the agent has not learned a table.
    """
    from inscape.world_models.planning.dynamic_programming import policy_evaluation, ties, value_iteration
    from inscape.world_models.planning.policies import occupancy
    from inscape.world_models.tabular.counts import LearnedTabularModel
    from inscape.world_models.tabular.model import TabularModel

    learned, world = getattr(agent, "model", None), task.world
    if not isinstance(learned, LearnedTabularModel):
        raise UsageError(
            f"{getattr(agent, 'name', agent)} has learned no table", expected="an agent with a tabular model",
            hint='{name = "mcts", model = "tabular"}',
        )  # fmt: skip
    if world is None:
        raise MissingLawError(f"{task.name} has no law", expected="a world that can be enumerated")
    law = TabularModel.from_world(world)
    gamma = min(world.gamma, 0.999)
    observations = world.observe(world.dynamics().states)
    solution = value_iteration(law, gamma, 1e-9)
    going = ~law.terminal

    wasted, entropy = _bits(law, learned, observations)
    pairs = law.legal & going[:, None]
    best = ties(np.where(law.legal, solution.q_values, -np.inf), 1e-9) & law.legal
    optimal = best / best.sum(axis=1, keepdims=True)
    visits = occupancy(law, optimal, gamma) * going
    weight = visits[:, None] * optimal

    table = learned.tabular()
    rows = table.init(observations)
    believed = np.where(law.legal, value_iteration(table, gamma, 1e-9).q_values[rows], -np.inf)
    chosen = ties(believed, 1e-9) & law.legal
    value = float(law.initial @ policy_evaluation(law, chosen / chosen.sum(axis=1, keepdims=True), gamma))
    random = law.legal / law.legal.sum(axis=1, keepdims=True)
    worst = float(law.initial @ policy_evaluation(law, random, gamma))
    optimum = float(law.initial @ solution.values)
    return {
        "bits": float(wasted[pairs].mean()),
        "bits_on_path": float((wasted * weight).sum() / weight.sum()),
        "entropy": float(entropy[pairs].mean()),
        "regret": max(0.0, optimum - value),
        "relative_regret": max(0.0, optimum - value) / (optimum - worst) if optimum > worst else 0.0,
        "states": float(table.num_states - 1),
        "steps": float(getattr(agent, "steps", 0)),
        "score": value,
    }


def _bits(law: Any, learned: Any, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns `([S, A] D(law ‖ model), [S, A] entropy of the law)`, of successor and end, in bits."""
    own, cross = np.zeros(law.legal.shape), np.zeros(law.legal.shape)
    for ended in (False, True):
        share = law.probability * ((1 - law.continuation) if ended else law.continuation)
        s, a, k = np.nonzero((share > 0) & (law.legal & ~law.terminal[:, None])[:, :, None])
        if not len(s):
            continue
        following = law.next_state[s, a, k]
        keys = s * law.num_actions + a, following.astype(np.int64)
        # outcomes that land in the same state are one event
        events, event = np.unique(np.stack(keys, axis=1), axis=0, return_inverse=True)
        probability = np.bincount(event.reshape(-1), share[s, a, k])
        at = np.divmod(events[:, 0], law.num_actions)
        coded = learned.transition_log_probs(
            observations[at[0]], at[1], observations[events[:, 1]], np.full(len(events), ended)
        )
        np.add.at(own, at, -probability * np.log2(probability))
        np.add.at(cross, at, -probability * coded / math.log(2))
    return cross - own, own


def compression_sections(results: Results) -> list[Section]:
    """Returns how bits and regret go together, in each world and at equal numbers of steps."""
    from inscape.experiments.report.sections import CurvesSection, TableSection, TextSection

    rows: list[tuple[Any, ...]] = []
    overall: dict[str, list[Interval | None]] = {name: [] for name in _BITS}
    for world in results.worlds:
        own = [r for r in results if r.world == world and r.finished and "bits" in r.measures]
        if len({r.seed for r in own}) < 2:
            continue
        found = [_correlation(own, bits, equal) for equal in (False, True) for bits in _BITS]
        for name, value in zip(_BITS, found[2:], strict=True):
            overall[name].append(value)
        rows.append((world, len(own), *(value if value is not None else None for value in found)))
    if not rows:
        raise UsageError("no bits among the results", expected='measures = ["model"], and at least two seeds')
    mean = {
        n: float(np.mean([v.estimate for v in found if v is not None])) for n, found in overall.items() if any(found)
    }
    curves = {
        measure: tuple(_curve(results, world, measure) for world in results.worlds if results.measured(measure, world))
        for measure in ("bits", "relative_regret")
    }
    answer = "With more steps both bits and regret fall, so that they go together."
    if len(mean) == len(_BITS):
        said = ", ".join(f"{value:.2f} for {_BITS[name]}" for name, value in mean.items())
        more = "more" if mean["bits_on_path"] > mean["bits"] else "no more"
        answer += (
            f" Beyond that, among models of one number of steps, the rank correlation of bits and regret is {said}, on"
            f" average over worlds: bits where the optimal policy goes tell {more} than bits everywhere."
        )
    note = "Spearman's rank correlation with the regret of planning in the model, intervals over seeds."
    columns = ("world", "models", "all, everywhere", "all, on path", "equal steps, everywhere", "equal steps, on path")
    return [
        TextSection("Bits against regret", answer),
        TableSection("Rank correlations", columns, tuple(rows), note),
        CurvesSection("Bits wasted per step", curves["bits"], "bits", note="Everywhere, beyond the world's entropy."),
        CurvesSection("Regret of planning in the model", curves["relative_regret"], "share of V* − random play"),
    ]


_BITS = {"bits": "bits everywhere", "bits_on_path": "bits on the optimal path"}


def _correlation(own: list[Any], bits: str, equal: bool) -> Interval | None:
    """Returns the rank correlation of bits and regret over seeds and steps, or the mean of those at equal steps."""
    from scipy.stats import rankdata

    groups = sorted({(r.agent, r.steps) for r in own} if equal else {("", 0)})
    seeds = sorted({r.seed for r in own})
    tables = []
    for group in groups:
        by_seed: dict[int, list[tuple[float, float]]] = {}
        for r in own:
            if not equal or (r.agent, r.steps) == group:
                by_seed.setdefault(r.seed, []).append((r.measures[bits], r.measures["regret"]))
        tables.append(by_seed)

    def estimate(chosen: list[int]) -> float:
        found = []
        for by_seed in tables:
            pairs = np.array([pair for seed in chosen for pair in by_seed.get(seed, [])])
            if len(pairs) > 2 and np.ptp(pairs, axis=0).min() > 1e-12:
                found.append(float(np.corrcoef(rankdata(pairs[:, 0]), rankdata(pairs[:, 1]))[0, 1]))
        return float(np.mean(found)) if found else math.nan

    whole = estimate(seeds)
    rng = np.random.default_rng(0)
    drawn = [estimate([seeds[k] for k in rng.integers(len(seeds), size=len(seeds))]) for _ in range(RESAMPLES)]
    drawn = [value for value in drawn if math.isfinite(value)]
    if not math.isfinite(whole) or not drawn:  # every model plans alike
        return None
    return Interval(whole, *map(float, np.quantile(drawn, (0.025, 0.975))))


RESAMPLES = 200


def _curve(results: Results, world: str, measure: str) -> Any:
    from inscape.experiments.report.sections import Curve

    found: dict[int, list[float]] = {}
    for r in results:
        if r.world == world and measure in r.measures:
            found.setdefault(r.steps, []).append(r.measures[measure])
    points = [(steps, bootstrap_interval(found[steps], resamples=500)) for steps in sorted(found)]
    return Curve(
        world,
        [float(steps) for steps, _ in points],
        [point.estimate for _, point in points],
        [point.low for _, point in points],
        [point.high for _, point in points],
    )
