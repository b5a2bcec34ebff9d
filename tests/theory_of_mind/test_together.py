"""Minds solved side by side do what each does alone; what they take is said before it is taken."""

import numpy as np
import pytest

from inscape import UsageError, make_world
from inscape.theory_of_mind import (
    Best,
    Exponential,
    Hyperbolic,
    InTurn,
    Observer,
    Params,
    Planning,
    PlanningMind,
    Softmax,
    Switching,
    grid,
    minds_grid,
    together,
)
from inscape.theory_of_mind.mind_policies import policies_of
from inscape.world_models.tabular import arrays
from tests.theory_of_mind.worlds import Corridor, CorridorParams


def check_alone(world, minds, gamma=None):
    policies = policies_of(world, minds, world.gamma if gamma is None else gamma)
    for g, mind in enumerate(minds):
        alone = mind.controller(world) if gamma is None else policies_of(world, [mind], gamma)
        table = alone.log_probs[:, 0] if gamma is None else alone.log_probs[0]
        np.testing.assert_allclose(policies.log_probs[policies.first_row[g]], table, atol=1e-9)


@pytest.mark.parametrize("at_once", [2, 32])
def test_minds_of_all_kinds_do_what_each_does_alone(monkeypatch, at_once):
    monkeypatch.setattr(together, "BYTES_AT_ONCE", 1)
    monkeypatch.setattr(together, "LEAST_AT_ONCE", at_once)
    world = Corridor(slip=0.1)
    plans = [Planning("soft-eval"), Planning("maxent"), Planning("hard"), Planning("hard", discount=Exponential(0.5)),
             Planning("soft-eval", horizon=2), Planning("hard", discount=Hyperbolic(1.0)),
             Planning("soft-eval", pays="leaving")]  # fmt: skip
    minds = [
        *grid(wants=["left end", "right end"], chooses=[Softmax(0.0), Softmax(3.0, lapse=0.1), Best()], plans=plans),
        *grid(wants=["left end", "middle"], chooses=Softmax(2.0), plans=plans[:3], believes=Params(CorridorParams())),
        *grid(wants=["left end", "middle"], chooses=Softmax(2.0), plans=plans[:3], can=["right", ("left", "right")]),
        PlanningMind(InTurn(("left end", "right end")), 2.0, "hard"),
        PlanningMind(Switching(("left end", "right end"), 0.1), 2.0, "soft-eval"),
    ]
    order = np.random.default_rng(0).permutation(len(minds))
    check_alone(world, [minds[g] for g in order])


def test_without_discount_and_with_ties():
    world = Corridor(slip=0.2)
    check_alone(world, minds_grid(world.goals, [0.0, 2.0], ["soft-eval", "hard"]), gamma=1.0)
    even = Observer(Corridor(), [PlanningMind("middle", chooses=Best(), plans=Planning("hard")), *minds_grid(
        ["left end", "right end"], [1.0, 2.0], "hard")])  # fmt: skip
    assert np.isclose(np.exp(even.policies.log_probs[0, 2]), 0.5).all()


def test_values_are_held_for_some_problems_at_a_time(monkeypatch):
    monkeypatch.setattr(together, "BYTES_AT_ONCE", 1)
    monkeypatch.setattr(together, "LEAST_AT_ONCE", 3)
    world = Corridor()
    solver = together.MindSolver(world, 0.9)
    minds = minds_grid(world.goals, [1.0, 2.0, 3.0, 4.0], "soft-eval")
    seen = []
    for group in together.share_out(solver, minds):
        assert sum(key[0] == "values" for key in solver._solved) == len(group) == 3
        seen += group
    assert sorted(seen) == list(range(12))
    assert not any(key[0] == "values" for key in solver._solved)


def test_what_many_minds_take_is_said_before_it_is_taken(monkeypatch):
    monkeypatch.setattr(arrays, "available_memory", lambda: 50_000)
    world = make_world("FourGoals")
    with pytest.raises(UsageError, match=r"what 400 minds do in FourGoals would take .* GiB") as caught:
        Observer(world, minds_grid(world.goals, np.arange(1.0, 101.0), "hard"))
    assert "ParticleObserver" in str(caught.value)


def test_memory_is_what_is_free_and_what_the_process_may_still_take(monkeypatch):
    resource = pytest.importorskip("resource")
    free = arrays.available_memory()
    assert free is not None and free > 0
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (2**20, 2**20))
    assert arrays.available_memory() == 1  # it has taken more than that already
