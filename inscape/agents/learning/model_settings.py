"""Settings of learning a world model: what it learns from and how it acts; with the model's own they are a run's."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import Any, Literal

from inscape.agents.learning.settings_checks import require_counts, require_shares, require_weights
from inscape.errors import UsageError

Source = Literal["random", "epsilon-greedy", "disagreement", "planning", "posterior"]
SOURCES: tuple[Source, ...] = ("random", "epsilon-greedy", "disagreement", "planning", "posterior")


@dataclass(frozen=True)
class ModelLearningSettings:
    """What a world model learns from, and how it is acted on."""

    collect: Source = "random"
    """Who acts while it learns: random play; the plan made in the model, with random actions at rate epsilon; what
    leads to where the model is least certain (disagreement); the plan alone; the plan in a law drawn from the
    posterior for each episode (posterior sampling)."""
    data: str = ""
    """Recorded episodes to learn from instead: FILE.npz, a run folder, or minari:NAME."""
    epsilon: float = 0.1
    """Probability of a random action, with --collect epsilon-greedy."""
    round_steps: int = 100
    """Environment steps between two fits, at least."""
    round_growth: float = 0.25
    """Or this share of the steps taken so far, if that is more: fits become rarer as there is more to fit."""
    replay_steps: int = 1_000_000
    """Models that see earlier episodes again: steps that are kept, the newest."""
    planner: str = "auto"
    """How it plans when it acts: a planner's name; auto: exactly where the model has tables, else by search."""
    planner_settings: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Settings of that planner, by name and value."""
    gamma: float | None = None
    """Discount per step of its plans; None for the world's own, at most 0.99 where that is needed to come to an end."""

    def __post_init__(self) -> None:
        if self.collect not in SOURCES:
            raise UsageError(f"collect = {self.collect!r}", expected=", ".join(SOURCES))
        if self.data and self.collect != "random":
            raise UsageError(
                f"collect = {self.collect!r} with data = {self.data!r}", expected="one of them: what is learned from"
            )
        require_shares(self, "epsilon")
        require_counts(self, "round_steps", "replay_steps")
        require_weights(self, "round_growth")
        if self.gamma is not None:
            require_shares(self, "gamma")


@functools.cache
def run_settings_class(own: type | None) -> type[ModelLearningSettings]:
    """Returns the dataclass of a run's settings: `own`, those of the model, and `ModelLearningSettings`.

    Raises:
        UsageError: `own` is not frozen, has a setting without a default, or one called like those of every model.
    """
    if own is None:
        return ModelLearningSettings
    fields = [one for one in dataclasses.fields(own) if one.init]
    if not own.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise UsageError(f"{own.__name__}, which is not frozen", expected="@dataclass(frozen=True)")
    common = {one.name for one in dataclasses.fields(ModelLearningSettings)}
    for one in fields:
        if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            raise UsageError(f"{own.__name__}.{one.name} without a default", expected="a default for every setting")
        if one.name in common:
            raise UsageError(
                f"{own.__name__}.{one.name}, which is a setting of every model's run", expected="another name",
                hint=", ".join(sorted(common)),
            )  # fmt: skip

    def post_init(self: Any) -> None:
        ModelLearningSettings.__post_init__(self)
        model_settings(self, own)  # its own checks

    def reduce(self: Any) -> tuple[Any, ...]:
        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        return _made_again, (own, values)

    body = {
        "__post_init__": post_init, "__reduce__": reduce, "__module__": own.__module__,
        "__doc__": f"{own.__doc__ or 'The model.'}\n\nWith what it learns from, and how it is acted on.",
    }  # fmt: skip
    made = type(own.__name__, (own, ModelLearningSettings), body)
    return dataclass(frozen=True)(made)


def model_settings(settings: Any, own: type | None) -> Any:
    """Returns the model's own settings out of those of its run; None where it has none."""
    if own is None:
        return None
    return own(**{one.name: getattr(settings, one.name) for one in dataclasses.fields(own) if one.init})


def _made_again(own: type, values: dict[str, Any]) -> Any:
    return run_settings_class(own)(**values)
