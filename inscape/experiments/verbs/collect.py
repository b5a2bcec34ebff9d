"""`inscape.collect`: recorded episodes of a world, gathered by random play, by plans, or where a model knows least."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inscape.agents.learning.model_settings import ModelLearningSettings
from inscape.agents.models.collecting import Collector, gathered
from inscape.envs.tasks.resolve import as_task
from inscape.errors import whole_number
from inscape.experiments.verbs.models import model_given
from inscape.world_models.catalogue import build_model, find_model
from inscape.world_models.interface import fit_model

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory


def collect(
    world: Any, source: str = "random", steps: int = 10_000, *, model: Any = None, seed: int = 0,
    gamma: float | None = None, **settings: Any,
) -> list[Trajectory]:  # fmt: skip
    """Returns recorded episodes of a world, of `steps` steps in all; the last one is cut.

        episodes = collect("FrozenLake", "disagreement", 2_000, model="tabular")
        train("tabular", "FrozenLake", data=episodes)

    Args:
        world: a name, a world, an environment, a task.
        source: who acts: `"random"`; `"epsilon-greedy"`, the plan made in the model with random actions; `"planning"`,
            the plan alone; `"disagreement"`, what leads to where the model is least certain; `"posterior"`, the plan in
            a law drawn for each episode.
        steps: environment steps.
        model: the model that these need: a name, learned on the way; or one in hand, or a run, which is not changed.
        seed: of everything random.
        gamma: discount of the plans; None for the world's, at most 0.99.
        settings: of `ModelLearningSettings`, by name, say `epsilon=0.3`, `round_steps=500`.

    Raises:
        UsageError: no such world, source or model; the model lacks what the source needs; a setting out of range.
    """
    task, steps = as_task(world), whole_number("steps =", steps, 1)
    seed = whole_number("seed", seed)
    chosen = ModelLearningSettings(collect=source, **settings)  # type: ignore[arg-type]
    own = isinstance(model, str) and (find_model(model) is not None or ":" in model)
    made = build_model(model, task, None, seed) if own else None if model is None else model_given(model, task)[0]
    if gamma is None:
        gamma = min(task.world.gamma, 0.99) if task.world is not None else 0.99
    collector = Collector(task, made, chosen, gamma, seed)
    if not own:
        collector.ready()
    kept: list[Trajectory] = []

    def fit(new: Any) -> None:
        kept.extend(new)
        if own:
            fit_model(made, kept if getattr(made, "replays", False) else new)

    for _ in gathered(collector, steps, fit):
        pass
    return kept
