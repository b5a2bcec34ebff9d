"""One-hot features are looked up, and rows catch up with Adam's steps: the same weights as with the dense product."""

from __future__ import annotations

import math
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from inscape.agents.on_policy.a2c import A2C, A2CSettings
from inscape.agents.on_policy.base import Schedule
from inscape.agents.on_policy.compiled_learner import CompiledLearner
from inscape.agents.on_policy.ppo import PPO, PPOSettings
from inscape.agents.registry import make_agent
from inscape.agents.rollout import evaluate
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.world_models.networks.encoders.features import FeatureReader
from inscape.world_models.networks.finite_checks import DivergenceError
from inscape.world_models.networks.kernels import one_hot, perceptron
from tests.agents.exactness import assert_resuming_is_exact

AGENTS = {"ppo": (PPO, PPOSettings), "a2c": (A2C, A2CSettings)}
ACTIONS = 3


def learner(spec, space, **settings):
    """Returns a compiled learner for observations of a space, without a world."""
    task = SimpleNamespace(
        name="numbers", world=None, observation_space=space, action_space=gymnasium.spaces.Discrete(ACTIONS)
    )
    cls, of_class = AGENTS[spec]
    return CompiledLearner(cls(task, seed=1, settings=of_class(backend="torch", **settings)), task)


def batch_of(features, rng):
    rows = len(features)
    return (
        features, np.zeros((rows, 0), np.bool_), rng.integers(0, ACTIONS, rows), -3.0 * rng.random(rows),
        rng.normal(size=rows), rng.normal(size=rows),
    )  # fmt: skip


def moments(learner):
    return {name: parts for name, parts in learner.state_dict()["optimizer"].items() if name != "steps"}


def assert_equal(one, other):
    """Weights and moments, bit for bit."""
    for name, array in one.state_dict()["network"].items():
        assert_array_equal(array, other.state_dict()["network"][name], err_msg=name)
    for kind, parts in moments(one).items():
        for name, array in parts.items():
            assert_array_equal(array, moments(other)[kind][name], err_msg=f"{kind} {name}")


# ------------------------------------------------------------------------------------------- as the dense product


@pytest.mark.compiled
@pytest.mark.parametrize("spec", ["ppo", "a2c"])
@pytest.mark.parametrize(
    ("blocks", "hidden", "activation"),
    [((40,), (16, 8), "tanh"), ((7, 30, 5), (12,), "relu"), ((25,), (), "tanh"), ((9, 20), (8, 8, 4), "tanh")],
)
def test_updates_are_those_of_the_dense_layer(spec, blocks, hidden, activation):
    """Columns 0 and 1 are seen, then for hundreds of gradient steps not, then again, with column 4 for the first time:
    the same losses, weights and moments as of a learner that multiplies by ones and zeros. The learning rate falls, and
    rises again."""
    rng = np.random.default_rng(len(hidden))
    space, width = gymnasium.spaces.MultiDiscrete(blocks), sum(blocks)
    chosen = {"hidden": hidden, "activation": activation, "entropy_coef": 0.02}
    sparse = learner(spec, space, **chosen)
    dense = learner(spec, gymnasium.spaces.Box(0, 1, (width,)), **chosen)
    assert sparse._rows.shape[0] == width
    assert dense._rows.size == 0
    epochs, minibatches = (10, 4) if spec == "ppo" else (1, 1)
    taken = 0
    for turn, seen in enumerate(((0, 4), (0, 4), *[(2, 4)] * (12 if spec == "ppo" else 300), (0, 5), (2, 4), (2, 4))):
        observations = rng.integers(*seen, (24, len(blocks)))
        given = batch_of(sparse.reader.columns(observations), np.random.default_rng(turn))
        schedule = Schedule(1e-3 * (1.0 - 0.1 * (turn % 8)), 0.2 if spec == "ppo" else math.inf, epochs, minibatches)
        ours = sparse.update(given, schedule, 0)
        theirs = dense.update((sparse.reader(observations), *given[1:]), schedule, 0)
        for name, value in theirs.items():
            assert_allclose(ours[name], value, atol=1e-5, rtol=1e-5, err_msg=name)
        taken += theirs["updates"]
    steps = sparse._layer[1]
    assert (steps == one_hot.NEVER).any()  # never seen
    assert ((steps > 0) & (steps < taken)).any()  # behind, until the state is asked for
    first, second = sparse.state_dict(), dense.state_dict()
    for name, array in second["network"].items():
        assert_allclose(first["network"][name], array, rtol=1e-5, atol=2e-6, err_msg=name)
    for kind, parts in moments(dense).items():
        for name, array in parts.items():
            found = first["optimizer"][kind][name]
            assert_allclose(found, array, rtol=2e-4, atol=1e-5 * np.abs(array).max() + 1e-11, err_msg=f"{kind} {name}")
    assert first["optimizer"]["steps"] == second["optimizer"]["steps"] == taken


def test_gradients_are_clipped_by_the_norm_of_all_of_them():
    """Columns that come several times in a minibatch are added up before they are squared."""
    rng = np.random.default_rng(0)
    settings = {"hidden": (8,), "max_grad_norm": 1e-3, "normalize_advantages": False}
    sparse = learner("ppo", gymnasium.spaces.Discrete(6), **settings)
    dense = learner("ppo", gymnasium.spaces.Box(0, 1, (6,)), **settings)
    observations = np.array([0, 0, 0, 3, 3, 5, 0, 3])
    given = batch_of(sparse.reader.columns(observations), rng)
    sparse.update(given, Schedule(1e-3, 0.2), 0)
    dense.update((sparse.reader(observations), *given[1:]), Schedule(1e-3, 0.2), 0)
    assert_allclose(
        moments(sparse)["first"]["actor.0.weight"], moments(dense)["first"]["actor.0.weight"], rtol=1e-4, atol=1e-10
    )
    norms = [np.sqrt(sum((part.astype(float) ** 2).sum() for part in moments(one)["first"].values())) for one in
             (sparse, dense)]  # fmt: skip
    assert_allclose(norms, 0.1 * 1e-3, rtol=1e-3)


# ------------------------------------------------------------------------------------------- missed steps


def layer_of(rows, steps, rate, momentum=True, window=4096):
    """Returns a layer that is up to date with `steps` steps."""
    decay = 0.999 if momentum else 0.99
    return (
        rows, np.full(len(rows), steps), np.array([steps, steps]), np.empty(window, np.float32),
        np.empty(window, np.float32), (momentum, 1e-5, decay),
    )  # fmt: skip


def some_rows(rng, count=5, width=24):
    rows = rng.normal(0.0, 0.1, (count, 3, width)).astype(np.float32)
    rows[:, one_hot.FIRST] *= 10.0 ** rng.uniform(-8, 0, (count, width))
    rows[:, one_hot.SECOND] = 10.0 ** rng.uniform(-14, -1, (count, width))
    rows[0, one_hot.FIRST] = 0.0
    rows[1, one_hot.FIRST :] = 0.0
    return rows


def miss(layer, steps, rates):
    """Lets all rows miss so many steps."""
    for _ in range(steps):
        one_hot.record(layer, rates(int(layer[2][one_hot.NOW])))
        layer[2][one_hot.NOW] += 1


@pytest.mark.compiled
@pytest.mark.parametrize("momentum", [True, False])
@pytest.mark.parametrize("begun", [0, 7, 5000])
def test_missed_steps_are_those_of_the_optimiser_without_gradient(momentum, begun):
    """Against the dense optimiser with zeros for gradients, before and after moments have decayed to nothing."""
    rows = some_rows(np.random.default_rng(begun))
    W, M, V = (rows[:, part].copy().reshape(-1) for part in range(3))
    layer, zeros = layer_of(rows, begun, 1e-3, momentum), np.zeros(W.size, np.float32)

    def rates(step):
        return 1e-3 if step % 200 < 100 else 5e-4

    for steps in (1, 30, 300):
        for _ in range(steps):
            now = int(layer[2][one_hot.NOW])
            if momentum:
                perceptron.adam(W, zeros, M, V, now + 1, rates(now), 1.0, 1e-5)
            else:
                perceptron.rmsprop(W, zeros, V, rates(now), 1.0, 0.99, 1e-5)
            miss(layer, 1, rates)
        one_hot.catch_up_all(layer)
        assert_allclose(rows[:, one_hot.WEIGHT].reshape(-1), W, rtol=1e-5, atol=1e-8)
        assert_allclose(rows[:, one_hot.SECOND].reshape(-1), V, rtol=5e-5, atol=1e-29)
        if momentum:
            assert_allclose(rows[:, one_hot.FIRST].reshape(-1), M, rtol=5e-5, atol=1e-11)


@pytest.mark.quick("False")
@pytest.mark.parametrize("momentum", [True, False])
def test_it_never_matters_when_rows_catch_up(momentum):
    """In one go, after every step, in pieces, or because the history is full: bit for bit the same."""
    total = 700
    reference = None
    for pieces, window in (([total], 4096), ([1] * total, 4096), ([3, 1, 96, 150, 50, 397, 3], 4096), ([total], 64)):
        rows = some_rows(np.random.default_rng(2))
        layer = layer_of(rows, 3, 1e-3, momentum, window)
        for steps in pieces:
            miss(layer, steps, lambda step: 1e-3 * (1.0 - step / 2000))
            one_hot.catch_up_all(layer)
        assert (layer[1] == 3 + total).all()
        reference = rows if reference is None else reference
        assert_array_equal(rows, reference)


def test_moments_end_at_zero_and_stay_numbers():
    rows = some_rows(np.random.default_rng(3))
    layer = layer_of(rows, 10, 1e-3)
    layer[2][one_hot.NOW] += 1
    layer[3][0], layer[4][0] = perceptron.adam_scales(11, 1e-3)
    one_hot.catch_up_all(layer)
    rows[:, one_hot.FIRST] = 0.0
    layer[2][one_hot.NOW] += 10**6
    one_hot.catch_up_all(layer)
    assert np.isfinite(rows).all()
    assert (rows[:, one_hot.SECOND] == 0.0).all()


# ------------------------------------------------------------------------------------------- whole runs


@pytest.fixture(scope="module")
def grid():
    return resolve_task("GridWorld", {"map": ["S..S....", "........", "...S....", ".....S.G"]})


SMALL = {"num_envs": 4, "num_steps": 16, "hidden": (16, 8), "epochs": 3, "minibatches": 4, "backend": "compiled"}


def test_resuming_is_exact(grid, tmp_path):
    """Saving brings all rows up to date: it changes nothing."""
    whole, resumed = assert_resuming_is_exact("ppo", grid, SMALL, 64 * 8, 3, tmp_path / "ppo")
    assert_equal(whole.learner, resumed.learner)
    settings = {name: value for name, value in SMALL.items() if name not in ("epochs", "minibatches")}
    whole, resumed = assert_resuming_is_exact("a2c", grid, settings, 64 * 16, 5, tmp_path / "a2c")
    assert_equal(whole.learner, resumed.learner)


def test_looking_at_it_changes_nothing(grid):
    """Acting, values and states asked for in between, however often."""
    one, other = (make_agent("ppo", grid, seed=2, settings=SMALL) for _ in range(2))
    for row, _ in zip(one.learn(grid, 64 * 6), other.learn(grid, 64 * 6), strict=True):
        one.act(np.arange(32))
        one.state_values(np.array([int(row["steps"]) % 32]))
        if int(row["steps"]) % 128 == 0:
            one.state_dict()
        evaluate(one, grid, 1, seed=0)
    assert_equal(one.learner, other.learner)


def test_it_acts_as_its_state_says(grid):
    """Rows that are behind are brought up to date before they are asked: torch, with the same weights, agrees."""
    agent = make_agent("ppo", grid, seed=2, settings=SMALL)
    list(agent.learn(grid, 64 * 6))
    assert (agent.learner._layer[1] < agent.learner._updates).any()
    everywhere = np.arange(32)
    found = agent.state_values(everywhere), agent.policy_log_probs(everywhere)
    other = make_agent("ppo", grid, settings={**SMALL, "backend": "torch"})
    other.load_state_dict(agent.state_dict())
    assert_allclose(found[0], other.state_values(everywhere), atol=1e-6)
    assert_allclose(found[1], other.policy_log_probs(everywhere), atol=1e-6)


def test_what_it_holds_does_not_grow_with_the_columns_times_the_rows():
    """Of 200² cells, no array of features is made: what a round needs is some rows."""
    text = "S" + "." * 39_998 + "G"
    task = resolve_task("GridWorld", {"map": [text[k * 200 : k * 200 + 200] for k in range(200)]})
    agent = make_agent("ppo", task, settings={**SMALL, "num_envs": 16, "num_steps": 8})
    next(agent.learn(task, 128))
    arrays = agent.learner._arrays
    sizes = [part.nbytes for name in ("rows", "memory", "memories") for part in arrays[name] if hasattr(part, "nbytes")]
    assert max(sizes) < 100_000
    assert max(part.nbytes for part in arrays["memories"][-1]) <= 40_000 * 8


# ------------------------------------------------------------------------------------------- refusals


def test_observations_outside_the_space_are_refused(grid):
    reader = FeatureReader(gymnasium.spaces.MultiDiscrete([3, 4], start=[1, 0]))
    assert_array_equal(reader.columns(np.array([[1, 0], [3, 3]])), [[0, 3], [2, 6]])
    for wrong in ([0, 0], [4, 0], [1, -1], [1, 4]):
        with pytest.raises(UsageError, match=r"row 1[\s\S]*MultiDiscrete"):
            reader.columns(np.array([[1, 0], wrong]))
    agent = make_agent("ppo", grid, settings=SMALL)
    with pytest.raises(UsageError, match=r"Discrete\(32\)"):
        agent.act(np.array([32]))


def test_divergence_names_the_first_weights(grid):
    agent = make_agent("ppo", grid, settings=SMALL)
    state = agent.state_dict()
    state["network"]["critic.0.weight"][:, 0] = np.nan
    agent.load_state_dict(state)
    with pytest.raises(DivergenceError, match=r"weights critic\.0\.weight"):
        next(agent.learn(grid, 1000))


def test_gradients_that_are_not_finite_are_named():
    sparse = learner("ppo", gymnasium.spaces.Discrete(6), hidden=(8,), normalize_advantages=False)
    given = batch_of(np.zeros((8, 1), np.int64), np.random.default_rng(0))
    given[5][:] = np.inf
    with pytest.raises(DivergenceError, match=r"gradient of critic\.0\.weight"):
        sparse.update(given, Schedule(1e-3, 0.2), 0)
