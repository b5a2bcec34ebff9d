"""Settings of planners over action sequences: what planners and the agents that plan by them share, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.planning.tree_search.settings import require_count


@dataclass(frozen=True)
class ShootingSettings:
    """What all planners over action sequences have."""

    horizon: int = 30
    """Steps looked ahead; what is beyond counts 0, or what `evaluate` says."""
    population: int = 100
    """Action sequences rolled out per iteration."""
    particles: int = 1
    """Roll-outs per sequence, whose returns are averaged: above 1 where the model is stochastic. All sequences of an
    iteration meet the same random numbers."""

    def __post_init__(self) -> None:
        for name in ("horizon", "population", "particles"):
            require_count(self, name)


@dataclass(frozen=True)
class SampledSettings(ShootingSettings):
    """What planners that draw from a distribution, and move it, have too."""

    iterations: int = 3
    """Times the distribution is moved per decision."""
    initial_std: float = 0.5
    """Continuous actions: standard deviation that a decision starts with, in units of half the range of each."""
    uniform_share: float = 0.3
    """Discrete actions: weight of the uniform distribution in what a decision starts with, beside the last plan."""
    noise_exponent: float = 0.0
    """Colour β of the noise along a sequence, whose power falls as 1/f^β: 0 is independent from step to step, 2 holds
    on to a direction. Discrete actions keep their probabilities and become as persistent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count(self, "iterations")
        require_number(self, "initial_std", above=0.0)
        require_number(self, "uniform_share", least=0.0, most=1.0)
        require_number(self, "noise_exponent", least=0.0)


@dataclass(frozen=True)
class CEMSettings(SampledSettings):
    """Settings of the cross-entropy method."""

    elites: int | None = None
    """Best sequences of an iteration, which the distribution is fitted to; None: 10, or half of fewer than 20."""
    momentum: float = 0.1
    """Weight of the old mean and deviation (or probabilities) in the new ones."""
    fresh: float = 0.0
    """Share of a decision's first population that is drawn as if nothing had been planned yet: where the best sequences
    are of several kinds, so that the search can leave the kind it is at."""
    choose: Literal["mean", "best"] = "mean"
    """What is acted on: the last distribution's mean, or the best sequence; discrete actions have no mean."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.elites is not None:
            require_count(self, "elites")
        require_number(self, "momentum", least=0.0, below=1.0)
        require_number(self, "fresh", least=0.0, most=1.0)
        if self.elites is not None and self.elites > self.population:
            raise UsageError(
                f"elites = {self.elites} of population = {self.population}", expected="at most the population"
            )
        if self.choose not in ("mean", "best"):
            raise UsageError(f"choose = {self.choose!r}", expected="'mean' or 'best'")

    @property
    def elite_count(self) -> int:
        """How many elites there are."""
        return min(10, max(1, self.population // 2)) if self.elites is None else int(self.elites)


@dataclass(frozen=True)
class ICEMSettings(CEMSettings):
    """Settings of the improved cross-entropy method."""

    noise_exponent: float = 2.0
    """As in the cross-entropy method; here correlated by default."""
    choose: Literal["mean", "best"] = "best"
    """What is acted on: the best sequence of the last iteration, or the last distribution's mean."""
    keep: float = 0.3
    """Share of the elites that is rolled out again in the next iteration, and, a step on, in the next decision."""
    decay: float = 1.25
    """By which the population shrinks from one iteration to the next; it stays at least twice the elites."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number(self, "keep", least=0.0, most=1.0)
        require_number(self, "decay", least=1.0)


@dataclass(frozen=True)
class MPPISettings(SampledSettings):
    """Settings of model predictive path integral control."""

    iterations: int = 1
    """Times the distribution is moved per decision."""
    temperature: float = 0.2
    """λ: a sequence weighs exp(return/λ), λ in units of the standard deviation of the population's returns (Williams et
    al. have units of reward). Small: the best alone; large: all alike."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number(self, "temperature", above=0.0)


def require_gamma(planner: Any) -> None:
    """Raises UsageError unless the planner's discount is from 0 to 1."""
    require_number(planner, "gamma", least=0.0, most=1.0)


def require_number(
    settings: Any,
    name: str,
    *,
    least: float = -np.inf,
    above: float = -np.inf,
    most: float = np.inf,
    below: float = np.inf,
) -> None:
    """Raises UsageError unless the setting is a finite number within these limits."""
    value = getattr(settings, name)
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if number and np.isfinite(value) and least <= value <= most and above < value < below:
        return
    limits = [
        *([f"at least {least:g}"] if np.isfinite(least) else []),
        *([f"above {above:g}"] if np.isfinite(above) else []),
        *([f"at most {most:g}"] if np.isfinite(most) else []),
        *([f"below {below:g}"] if np.isfinite(below) else []),
    ]
    raise UsageError(f"{name} = {value!r}", expected=", ".join(["a finite number", *limits]))
