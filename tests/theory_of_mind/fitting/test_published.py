"""Fits of published choices: the 11–20 money request game of Arad & Rubinstein (2012), American Economic Review 102(7).

Their table 1 prints the requests of 108 subjects in per cent; the estimate of τ is the one their section on cognitive
hierarchies is cited for (2.36).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape import make_world
from inscape.theory_of_mind import (
    Best,
    Choices,
    Controller,
    LevelK,
    Planning,
    PlanningMind,
    cognitive_hierarchy,
    compare_minds,
    fit_minds,
    read_choices,
    refine_mind,
)

PER_CENT = {11: 4, 12: 0, 13: 3, 14: 6, 15: 1, 16: 6, 17: 32, 18: 30, 19: 12, 20: 6}
EQUILIBRIUM = [0, 0, 0, 0, 0.25, 0.25, 0.20, 0.15, 0.10, 0.05]


@dataclass(frozen=True)
class Requests:
    """Requests amounts with given probabilities, and with probability `lapse` any."""

    probs: tuple[float, ...]
    lapse: float = 0.0

    def controller(self, world: Any, player: int = 0) -> Controller:
        shares = (1 - self.lapse) * np.array(self.probs) + self.lapse / 10
        with np.errstate(divide="ignore"):
            return Controller.memoryless(_everywhere(np.log(shares), world))


@dataclass(frozen=True)
class Population:
    """One of a Poisson population of levels, level 0 of which requests 20."""

    tau: float = field(default=2.0, metadata={"range": (0.1, 10.0)})
    lapse: float = 0.2

    def controller(self, world: Any, player: int = 0) -> Controller:
        levels = cognitive_hierarchy(world, 12, self.tau, base="20")
        shares = (1 - self.lapse) * levels.population()[player] + self.lapse / 10
        return Controller.memoryless(_everywhere(np.log(shares), world))


def _everywhere(log_probs: np.ndarray, world: Any) -> np.ndarray:
    return np.tile(log_probs, (len(world.dynamics()), 1))


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> Choices:
    path: Path = tmp_path_factory.mktemp("requests") / "requests.csv"
    subjects = [str(amount) for amount, count in PER_CENT.items() for _ in range(count)]
    path.write_text("subject,request\n" + "".join(f"s{n},{amount}\n" for n, amount in enumerate(subjects)))
    return read_choices(path, make_world("MoneyRequest"), columns={"action": "request"}, player=0)


def test_levels_are_as_common_as_printed(requests: Choices) -> None:
    world = requests.worlds[0]
    levels: list[Any] = [Requests((0,) * 9 + (1.0,))]  # level 0 requests 20, level k 20 − k
    levels += [
        PlanningMind(world.purpose, plans=Planning("hard"), chooses=Best(), others=LevelK(k - 1, base="20"))
        for k in range(1, 10)
    ]
    fit = fit_minds(requests, levels, concentration=0)
    assert fit.population == pytest.approx([PER_CENT[20 - k] / 100 for k in range(10)], abs=1e-9)
    assert fit.population[1:4].sum() == pytest.approx(0.74)  # "74 % … 17, 18, 19"


def test_the_hierarchy_is_as_deep_as_published(requests: Choices) -> None:
    found = refine_mind(requests, Population(), ["tau", "lapse"], intervals="wald")
    tau = found.estimates["tau"]
    assert tau.low < 2.36 < tau.high
    assert tau.value == pytest.approx(2.36, abs=0.2)  # 2.51, with errors that are uniform over all amounts
    equilibrium = refine_mind(requests, Requests(tuple(EQUILIBRIUM), 0.2), ["lapse"], intervals="wald")
    assert found.log_likelihood > equilibrium.log_likelihood + 20
    models = {"hierarchy": [found.mind], "equilibrium": [equilibrium.mind]}
    compared = compare_minds(requests, models, people="alike", folds=5)
    assert compared["equilibrium"].low > 0
