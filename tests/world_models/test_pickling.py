"""Models, planners and observers through pickle and copy: they answer as before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from inscape import make_agent, make_world, resolve_task, rollout
from inscape.theory_of_mind import Observer, minds_grid
from inscape.world_models import UCT, BeliefFilter, KnownModel, TabularModel
from inscape.world_models.tabular.as_world import world_of
from inscape.world_models.tabular.counts import LearnedTabularModel
from tests.envs.pickling_cases import WAYS, in_a_new_process, plain

START, LAKE = np.array([0, 4]), resolve_task("FrozenLake")


def learned() -> LearnedTabularModel:
    task = resolve_task("FrozenLake")
    model = LearnedTabularModel.for_task(task)
    model.fit(rollout(make_agent("random", task), task, episodes=4, seed=0))
    model.tabular()
    return model


def observer() -> Observer:
    world = make_world("FourGoals")
    watching = Observer(world, minds_grid(["A", "B"], [1.0, 4.0], ["hard"]))
    watching.update(0, int(np.flatnonzero(world.dynamics().legal[0])[0]))
    return watching


def one_step(model: Any) -> list[Any]:
    step = model.step(model.init(START), np.array([1, 2]), np.random.default_rng(0))
    return [plain(step.reward), plain(step.continuation), plain(step.legal)]


def searched(planner: UCT) -> list[Any]:
    world = make_world("FrozenLake")
    plan = planner.plan(world, world.sample_initial(1, np.random.default_rng(0)), np.random.default_rng(1))
    return [plain(plan.action_values), plain(plan.visit_counts)]


OBJECTS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "known": (lambda: KnownModel(make_world("FrozenLake", slip=0.5)), one_step),
    "known, plain": (lambda: KnownModel(make_world("FrozenLake"), compiled=False), one_step),
    "tabular": (lambda: TabularModel.from_world(make_world("FrozenLake", slip=0.5)), one_step),
    "tables": (
        lambda: TabularModel.from_world(make_world("FrozenLake")), lambda m: [plain(m.legal), plain(m.terminal)]
    ),
    "learned": (learned, one_step),
    "learned, fitted again": (
        learned,
        lambda m: m.fit(rollout(make_agent("random", LAKE), LAKE, 2, 5)).held_out_bits_per_step,
    ),
    "tables as a world": (
        lambda: world_of(TabularModel.from_world(make_world("FrozenLake"))),
        lambda w: plain(w.step(w.pack([w.State(0, False)]), np.array([1]), np.random.default_rng(0))[1:]),
    ),
    "search": (lambda: UCT(num_simulations=20, rollout="none"), searched),
    "belief": (
        lambda: BeliefFilter.from_world(make_world("Tiger")),
        lambda f: plain(f.filter(np.array([2, 0, 0]), np.array([0, 0])).beliefs),
    ),
    "observer": (observer, lambda o: [plain(o.posterior()), o.log_evidence(), o.steps, plain(o.action_log_probs(1))]),
    "dynamics": (lambda: make_world("FrozenLake").dynamics(), lambda d: plain(d.probability)),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", OBJECTS)
def test_a_copy_answers_the_same(kind: str, way: str) -> None:
    make, ask = OBJECTS[kind]
    value = make()
    twin = WAYS[way](value)
    assert type(twin) is type(value)
    assert ask(twin) == ask(value)


def test_an_observer_goes_on_from_its_evidence_by_itself() -> None:
    watching = observer()
    twin = WAYS["deepcopy"](watching)
    before = plain(watching.posterior())
    action = int(np.flatnonzero(watching.dynamics.legal[0])[0])
    twin.update(0, action)
    assert plain(watching.posterior()) == before != plain(twin.posterior())


def test_models_work_in_a_new_process() -> None:
    """One process for all: starting one costs more than the models."""
    kinds = ("known", "tabular", "learned")
    values = [OBJECTS[kind][0]() for kind in kinds]
    code = "from tests.world_models.test_pickling import one_step\nprint([one_step(each) for each in value])"
    assert in_a_new_process(values, code) == str([OBJECTS[kind][1](value) for kind, value in zip(kinds, values)])
