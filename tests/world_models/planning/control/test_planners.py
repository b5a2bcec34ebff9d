"""Planners over action sequences: against exact answers, against each other, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from inscape import make_world
from inscape.envs.law import streams
from inscape.errors import UsageError
from inscape.world_models import (
    CEM,
    ICEM,
    MPPI,
    KnownModel,
    ModelStep,
    RandomShooting,
    TabularModel,
    backward_induction,
)
from inscape.world_models.planning.control.proposals import Categorical, coloured_noise
from inscape.world_models.planning.control.returns import returns_of

PLANNERS = [
    CEM(horizon=6, population=12, elites=3),
    ICEM(horizon=6, population=12, elites=4, keep=0.5),
    MPPI(horizon=6, population=12),
    RandomShooting(horizon=6, population=12),
]
NAMES = [type(planner).__name__ for planner in PLANNERS]


class Linear:
    """x' = A x + B u, reward −(xᵀQx + uᵀRu): a model without strengths, whose optimum is known."""

    num_players = 1
    A = np.array([[1.0, 0.1], [0.0, 1.0]])
    B = np.array([[0.0], [0.1]])
    Q, R = np.diag([1.0, 0.1]), np.array([[0.1]])

    def __init__(self, limit: float = 20.0) -> None:
        self.action_space: Any = spaces.Box(-limit, limit, (1,), np.float64)

    def step(self, states: Any, actions: Any, rng: np.random.Generator) -> ModelStep:
        cost = np.einsum("bi,ij,bj->b", states, self.Q, states) + np.einsum("bi,ij,bj->b", actions, self.R, actions)
        return ModelStep(states @ self.A.T + actions @ self.B.T, -cost, np.ones(len(states)))

    def optimum(self, state: Any, horizon: int) -> tuple[float, float]:
        """Returns (first action, value) by Riccati's equation."""
        P, gain = np.zeros((2, 2)), np.zeros((1, 2))
        for _ in range(horizon):
            gain = np.linalg.solve(self.R + self.B.T @ P @ self.B, self.B.T @ P @ self.A)
            P = self.Q + self.A.T @ P @ (self.A - self.B @ gain)
        return float(-(gain @ state)[0]), float(-state @ P @ state)


class Hidden:
    """A model that is a `KnownModel` to nobody: what is asked of it goes the way of any model."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def test_cem_finds_the_optimum_of_a_linear_quadratic_world():
    model, state = Linear(), np.array([1.0, -0.5])
    action, value = model.optimum(state, 12)
    planner = CEM(horizon=12, population=200, iterations=25, elites=20, gamma=1.0)
    plan = planner.plan(model, state[None], np.random.default_rng(0))[0]
    assert plan.value == pytest.approx(value, rel=1e-4)
    assert plan.action[0] == pytest.approx(action, abs=0.05)
    assert plan.value <= value
    path = ICEM(horizon=12, population=200, iterations=25, elites=20, gamma=1.0, noise_exponent=0.5, decay=1.0)
    assert path.plan(model, state[None], np.random.default_rng(0)).value == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize("planner", [CEM, ICEM, RandomShooting], ids=lambda cls: cls.__name__)
def test_the_best_sequence_of_a_deterministic_world_is_that_of_backward_induction(planner):
    world = make_world("FrozenLake-firm")
    model, horizon = TabularModel.from_world(world), 7
    start = int(np.flatnonzero(model.initial)[0])
    exact = backward_induction(model, horizon, gamma=0.9)
    settings = {"population": 3000} | ({} if planner is RandomShooting else {"elites": 100})
    plan = planner(horizon=horizon, gamma=0.9, **settings).plan(model, np.array([start]), np.random.default_rng(0))[0]
    assert plan.value == pytest.approx(exact.values[0, start], abs=1e-12)
    assert plan.value > 0.5
    assert plan.action in np.flatnonzero(exact.q_values[0, start] == exact.q_values[0, start].max())


def test_mean_return_of_a_sequence_is_the_exact_one():
    world = make_world("FrozenLake")
    table, gamma = TabularModel.from_world(world), 0.9
    sequence = np.array([2, 2, 1, 1, 1, 2, 2, 1])
    weight, exact = table.initial.copy(), 0.0
    for t, a in enumerate(sequence):
        flow = weight[:, None] * table.probability[:, a]
        exact += gamma**t * float((flow * table.reward[:, a]).sum())
        weight = np.bincount(table.next_state[:, a].ravel(), (flow * table.continuation[:, a]).ravel(), len(weight))
    start = world.sample_initial(1, np.random.default_rng(0))
    for model, states in ((KnownModel(world), start), (table, np.flatnonzero(table.initial))):
        found = returns_of(model, states, sequence[None, None], gamma, streams.stream_keys(1, 6000)[None], None)
        assert found[0, 0] == pytest.approx(exact, abs=4 * np.sqrt(exact / 6000))


@pytest.mark.parametrize("name", ["Pendulum", "CartPole", "FrozenLake-firm", "CartPoleSwingUp"])
@pytest.mark.parametrize("planner", PLANNERS, ids=NAMES)
def test_the_kernel_and_any_model_give_the_same_plans(name, planner):
    world = make_world(name)
    states = world.sample_initial(2, np.random.default_rng(0))
    value = lambda at: (0.1 * world.observe(at).reshape(len(at), -1).sum(axis=1), None)  # noqa: E731
    one = planner.plan(world, states, np.random.default_rng(3), value)
    other = planner.plan(Hidden(KnownModel(world)), states, np.random.default_rng(3), value)
    assert np.array_equal(one.actions, other.actions)
    assert one.values == pytest.approx(other.values, rel=1e-12)


@pytest.mark.parametrize("name", ["Pendulum", "FrozenLake"])
@pytest.mark.parametrize("planner", PLANNERS, ids=NAMES)
def test_a_row_of_a_batch_is_the_single_call(name, planner):
    world = make_world(name)
    states = world.sample_initial(3, np.random.default_rng(0))
    keys = streams.random_keys(np.random.default_rng(5), 3)
    first = planner.plan(world, states, keys)
    plans = planner.plan(world, states, keys, previous=first)
    for b in range(3):
        alone = planner.plan(world, states[[b]], keys[[b]], previous=first[b : b + 1])
        assert np.array_equal(alone.sequences[0], plans.sequences[b])
        assert np.array_equal(alone.carried[0], plans.carried[b])
        assert alone.values[0] == plans.values[b]


def test_a_decision_starts_from_the_plan_before_a_step_on():
    world, rng = make_world("Pendulum"), np.random.default_rng(0)
    states = world.sample_initial(2, rng)
    planner = RandomShooting(horizon=4, population=1)
    one = planner.plan(world, states, rng)
    two = planner.plan(world, states, rng, previous=one)
    assert np.array_equal(two.sequences[:, :3], one.sequences[:, 1:])
    assert np.array_equal(two.sequences[:, 3], one.sequences[:, 3])
    cem = CEM(horizon=4, population=300, initial_std=1e-6)
    first = cem.plan(world, states, rng)
    assert first.sequences == pytest.approx(0.0, abs=1e-4)  # nothing planned yet: the middle of the range
    goes_on = cem.plan(world, states, rng, previous=planner_plans(first, 1.5))
    assert goes_on.sequences == pytest.approx(1.5, abs=1e-4)
    icem = ICEM(horizon=4, population=2, elites=2, iterations=1, keep=1.0)
    one = icem.plan(world, states, rng)
    assert np.array_equal(one.carried[:, 4:7], one.sequences[:, 1:, 0])  # the best elite, a step on


def test_a_fresh_share_can_leave_the_last_plan():
    world, rng = make_world("Pendulum"), np.random.default_rng(0)
    states = world.sample_initial(1, rng)
    settings = {"horizon": 4, "population": 60, "iterations": 1, "initial_std": 1e-6, "elites": 60}
    last = planner_plans(CEM(**settings).plan(world, states, rng), 1.0)
    shares = [CEM(fresh=fresh, **settings).plan(world, states, rng, previous=last) for fresh in (0.0, 0.5, 1.0)]
    assert [float(plans.sequences.mean()) for plans in shares] == pytest.approx([1.0, 0.55, 0.1], abs=0.02)


def planner_plans(plans: Any, mean: float) -> Any:
    import dataclasses

    return dataclasses.replace(plans, carried=np.full_like(plans.carried, mean))


@pytest.mark.compiled
def test_compiled_plans_are_those_of_plain_python_on_any_number_of_threads(monkeypatch):
    from inscape.world_models.planning.control import returns

    world = make_world("CartPole")
    states = world.sample_initial(2, np.random.default_rng(0))
    planner = CEM(horizon=8, population=40)
    plain = planner.plan(KnownModel(world, compiled=False), states, np.random.default_rng(0))
    one = planner.plan(KnownModel(world, compiled=True), states, np.random.default_rng(0))
    monkeypatch.setattr(returns, "PARALLEL_FROM", 1)
    several = planner.plan(KnownModel(world, compiled=True), states, np.random.default_rng(0))
    for other in (one, several):
        assert np.array_equal(plain.sequences, other.sequences)
        assert np.array_equal(plain.values, other.values)


def test_illegal_actions_are_never_proposed():
    world = make_world("CliffWalking")
    model = TabularModel.from_world(world)
    legal = model.legal.copy()
    legal[:, 1:] = False  # only action 0
    import dataclasses

    table = dataclasses.replace(model, legal=legal)
    state = np.flatnonzero(model.initial)[:1]
    for planner in PLANNERS:
        plans = planner.plan(table, state, np.random.default_rng(0))
        assert plans.actions.tolist() == [0]


@pytest.mark.parametrize("horizon", [1, 2, 7, 30])
@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.5])
def test_coloured_noise_has_variance_one_and_the_power_asked_for(horizon, exponent):
    noise = coloured_noise([np.random.default_rng(0)], (8000,), horizon, exponent)[0]
    assert noise.var(axis=0) == pytest.approx(1.0, abs=0.07)
    if horizon == 30:
        power = (np.abs(np.fft.rfft(noise)) ** 2).mean(axis=0)
        assert power[1:5] / power[1] == pytest.approx(np.arange(1.0, 5.0) ** -exponent, abs=0.06)


@pytest.mark.parametrize("exponent", [0.0, 2.0])
def test_choices_have_their_probabilities_whatever_the_colour(exponent):
    probs = np.random.default_rng(0).dirichlet(np.ones(3), (1, 12))
    probs[0, 3] = [0.0, 1.0, 0.0]
    drawn = Categorical(probs).sample([np.random.default_rng(1)], 8000, exponent)[0]
    share = (drawn[..., None] == np.arange(3)).mean(axis=0)
    assert share == pytest.approx(probs[0], abs=0.025)


def test_value_at_the_horizon_counts_where_the_task_goes_on():
    class Ending(Linear):
        def step(self, states: Any, actions: Any, rng: np.random.Generator) -> ModelStep:
            step = super().step(states, actions, rng)
            return ModelStep(step.states, np.zeros(len(states)), np.where(states[:, 0] > 0, 0.0, 1.0))

    plans = RandomShooting(horizon=2, population=3, gamma=0.5).plan(
        Ending(),
        np.array([[1.0, 0.0], [-1.0, 0.0]]),
        np.random.default_rng(0),
        lambda at: (np.full(len(at), 8.0), None),
    )
    assert plans.values.tolist() == [0.0, 2.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CEM(horizon=0), "horizon"),
        (lambda: MPPI(population=0), "population"),
        (lambda: CEM(population=5, elites=6), "elites = 6 of population = 5"),
        (lambda: ICEM(elites=0), "elites"),
        (lambda: CEM(elites=2.5), "elites"),
        (lambda: RandomShooting(particles=0), "particles"),
        (lambda: CEM(iterations=0), "iterations"),
        (lambda: CEM(gamma=1.5), "gamma"),
        (lambda: CEM(gamma=float("nan")), "gamma"),
        (lambda: MPPI(temperature=0.0), "temperature"),
        (lambda: ICEM(momentum=1.0), "momentum"),
        (lambda: ICEM(keep=1.2), "keep"),
        (lambda: CEM(fresh=1.5), "fresh"),
        (lambda: CEM(initial_std=0.0), "initial_std"),
        (lambda: CEM(choose="worst"), "choose"),
        (lambda: CEM(horizon=True), "horizon"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


class Broken(Linear):
    def __init__(self, reward: float = 0.0, continuation: float = 1.0) -> None:
        super().__init__()
        self.reward, self.continuation = reward, continuation

    def step(self, states: Any, actions: Any, rng: np.random.Generator) -> ModelStep:
        return ModelStep(states, np.full(len(states), self.reward), np.full(len(states), self.continuation))


def test_models_that_cannot_be_planned_in_are_refused():
    planner, rng, one = CEM(horizon=3, population=12), np.random.default_rng(0), np.zeros((1, 2))
    with pytest.raises(UsageError, match="bounded"):
        planner.plan(Linear(np.inf), one, rng)
    for wrong in (Broken(reward=np.nan), Broken(reward=np.inf), Broken(continuation=np.nan)):
        with pytest.raises(UsageError, match="Broken gave the (reward|continuation) (nan|inf)"):
            planner.plan(wrong, one, rng)
    several = Linear()
    several.action_space = spaces.MultiDiscrete([2, 2])
    with pytest.raises(UsageError, match="Discrete actions, counted from 0, or a Box"):
        planner.plan(several, one, rng)
    with pytest.raises(UsageError, match="2 players"):
        planner.plan(make_world("TicTacToe"), make_world("TicTacToe").sample_initial(1, rng), rng)
    with pytest.raises(UsageError, match="at once"):
        planner.plan(make_world("GuessTwoThirds"), None, rng)
    with pytest.raises(UsageError, match="an environment"):
        planner.plan(make_world("Pendulum").env(), None, rng)
    with pytest.raises(UsageError, match="a batch of 0"):
        planner.plan(Linear(), np.zeros((0, 2)), rng)


def test_a_terminal_state_and_foreign_plans_are_refused():
    world, rng = make_world("CartPole"), np.random.default_rng(0)
    with pytest.raises(UsageError, match="terminal"):
        CEM(horizon=2).plan(world, world.State(5.0, 0.0, 0.0, 0.0), rng)
    states = world.sample_initial(2, rng)
    plans = CEM(horizon=3, population=12).plan(world, states, rng)
    for planner, at in ((CEM(horizon=4, population=12), states), (CEM(horizon=3, population=12), states[[0]])):
        with pytest.raises(UsageError, match="previous"):
            planner.plan(world, at, rng, previous=plans)


def test_the_example_runs():
    import runpy

    swing_up = runpy.run_path("examples/plan_control.py")["swing_up"]
    assert -60.0 < swing_up(steps=4, horizon=5, population=10) < 0.0


def test_a_small_population_needs_no_elites_named() -> None:
    assert [CEM(population=n).elite_count for n in (1, 8, 20, 100)] == [1, 4, 10, 10]
    world = make_world("CartPole")
    states = world.sample_initial(1, np.random.default_rng(0))
    for planner in (CEM(population=8, horizon=5), ICEM(population=1, horizon=5)):
        assert planner.plan(world, states, np.random.default_rng(0)).actions[0] in (0, 1)
