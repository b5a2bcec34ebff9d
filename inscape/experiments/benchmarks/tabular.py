"""The comparison that teaches: tabular methods against each other and against the exact values, over many seeds.

Prediction, of the policy that acts at random: Monte Carlo waits for whole returns (no bias from estimates, more
variance), temporal differences believe their neighbours (less variance, biased while the neighbours are wrong). Control
with a little exploration throughout: off-policy methods value the best they could do, on-policy methods what they do.

Source: Sutton & Barto (2018), chapters 5 to 7, Examples 6.2 and 6.6.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.acting import greedy_log_probs
from inscape.agents.registry import make_agent
from inscape.agents.rollout import evaluate
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.experiments.runs.storage.files import write_text
from inscape.world_models.planning.dynamic_programming import policy_evaluation, value_iteration
from inscape.world_models.tabular.model import TabularModel

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

PREDICTION: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("Monte Carlo, first visit", "monte-carlo", {"visits": "first"}),
    ("Monte Carlo, every visit", "monte-carlo", {"visits": "every"}),
    ("TD(0.9)", "td-lambda", {"trace_decay": 0.9}),
    ("TD(0.5)", "td-lambda", {"trace_decay": 0.5}),
    ("TD(0)", "td-lambda", {"trace_decay": 0.0}),
)
"""(title, agent, settings) of what estimates the values of random play; all with the same step sizes."""

CONTROL: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("Monte Carlo, on-policy", "monte-carlo", {"visits": "first"}),
    ("Monte Carlo, off-policy", "monte-carlo", {"visits": "off-policy"}),
    ("SARSA", "sarsa", {}),
    ("expected SARSA", "expected-sarsa", {}),
    ("SARSA of 4 steps", "n-step-sarsa", {"n": 4}),
    ("Q-learning", "q-learning", {}),
    ("double Q-learning", "double-q-learning", {}),
    ("Dyna-Q, 10 a step", "dyna-q", {"planning_steps": 10}),
)
EPSILON = 0.1
"""Exploration of the methods of control, throughout."""


def bench_tabular(worlds: Sequence[str], steps: int, seeds: int, seed: int) -> dict[str, Any]:
    """Returns, for each world, `{"exact": …, "prediction": [row, …], "control": [row, …]}`.

    Args:
        worlds: names of enumerable worlds of one player with finite observations, each seen whole.
        steps: environment steps per learner.
        seeds: learners per method.
        seed: of the first of them.

    Raises:
        UsageError: an environment without a law; or as the tabular agents and `TabularModel.from_world`.
    """
    return {name: _compare(resolve_task(name), steps, seeds, seed) for name in worlds}


def _compare(task: Task, steps: int, seeds: int, seed: int) -> dict[str, Any]:
    if task.world is None:
        raise UsageError(f"{task.name}, whose law is not known", expected="an Inscape world: inscape list worlds")
    world, gamma = task.world, min(task.world.gamma, 0.99)
    model = TabularModel.from_world(world)
    states = world.dynamics().states
    going, legal = ~model.terminal, model.legal
    initial = np.asarray(model.initial)
    random_policy = legal / np.maximum(1, legal.sum(axis=1, keepdims=True))
    random_values = policy_evaluation(model, random_policy, gamma)
    solution = value_iteration(model, gamma, 1e-8)
    observed = world.observe(states)
    common = {"gamma": gamma, "seeds": seeds, "report_every": max(1, steps // 10)}

    prediction = []
    for title, name, own in PREDICTION:
        settings = {**common, "epsilon_start": 1.0, "epsilon_end": 1.0, "learning_rate_power": 0.8, **own}
        agent: Any = make_agent(name, task, seed, settings=settings)
        list(agent.learn(task, steps))
        rows = agent.rows(observed)
        if name == "td-lambda":
            values, counts = agent.tables["values"][:, rows], agent.tables["counts"][:, rows]
        else:
            q, counts = agent.tables["q"][:, rows], agent.tables["counts"][:, rows].sum(axis=2)
            values = (q * random_policy).sum(axis=2)
        seen = going & (counts > 0).all(axis=0)
        start = values @ initial
        prediction.append({
            "method": title,
            "bias": float(start.mean() - random_values @ initial),
            "deviation": float(start.std()),
            "rms_error": float(np.sqrt(((values - random_values)[:, seen] ** 2).mean())),
        })  # fmt: skip

    control = []
    for title, name, own in CONTROL:
        settings = {**common, "epsilon_start": EPSILON, "epsilon_end": EPSILON, **own}
        agent = make_agent(name, task, seed, settings=settings)
        online = [row.get("episode_return", np.nan) for row in agent.learn(task, steps)]
        tables = agent.tables["q"][:, agent.rows(observed)]
        policies = [np.exp(greedy_log_probs(q, legal | ~going[:, None])) for q in tables]
        values = np.array([policy_evaluation(model, policy, gamma) @ initial for policy in policies])
        believed = np.where(legal, tables, -np.inf).max(axis=2, where=going[:, None], initial=-np.inf)
        believed = np.where(going, believed, 0.0) @ initial
        control.append({
            "method": title,
            "online_return": float(online[-1]),
            "greedy_value": float(values.mean()),
            "solved": float((values >= solution.values @ initial - 0.01 * abs(solution.values @ initial)).mean()),
            "believed_value": float(believed.mean()),
            "greedy_length": float(evaluate(agent, task, 20, seed).lengths.mean()),
        })  # fmt: skip
    exact = {"random": float(random_values @ initial), "best": float(solution.values @ initial), "gamma": gamma}
    return {"exact": exact, "prediction": prediction, "control": control}


def save_bench(found: dict[str, Any], settings: dict[str, Any], out: str) -> Path:
    """Writes `results.json` in the folder `out`, which is made; returns its path."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.json"
    write_text(path, json.dumps({"settings": settings, "worlds": found}, indent=2) + "\n")
    return path
