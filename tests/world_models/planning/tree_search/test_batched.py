"""Batched PUCT and Gumbel: against a plain reference, exact values, one another's routes, and bad input."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

from inscape import UsageError, World
from inscape.envs.law.states import States
from inscape.envs.tasks.resolve import resolve_task
from inscape.world_models import PUCT, Gumbel, KnownModel, PerceptronEvaluator, TabularModel, solve
from inscape.world_models.planning.tree_search.gumbel import considered_visits
from tests.world_models.planning.tree_search.batched_reference import Node, Search


def world_of(name: str, **settings: Any) -> World:
    world = resolve_task(name, settings).world
    assert world is not None
    return world


def lively(world: World, players: int) -> Any:
    """Returns an evaluation of states by a fixed pseudo-random function of what they are."""

    def evaluate(states: States) -> tuple[np.ndarray, np.ndarray]:
        code = (np.arange(1, 1 + len(states.ints)) @ (states.ints % 7919)).astype(float)
        values = np.sin(code[:, None] * 0.37 + np.arange(players) * 1.3)
        logits = np.cos(code[:, None] * 0.71 + np.arange(world.num_actions) * 2.1)
        return (values[:, 0] if players == 1 else values), logits

    return evaluate


class Race(NamedTuple):
    place: int
    turn: int


class ThreeInTurn(World):
    """Three players walk one counter to 7; who moves next may be the same; each is paid its own part of each step."""

    State = Race
    players = 3
    actions = ("one", "two", "stay")
    gamma = 1.0

    @staticmethod
    def initial(params: Any, branch: int) -> tuple[float, Race]:
        return 1.0, Race(0, 0)

    @staticmethod
    def mover(params: Any, state: Race) -> int:
        return state.turn

    @staticmethod
    def transition(params: Any, state: Race, action: int, branch: int) -> tuple[float, Race]:
        step = 0 if action == 2 else action + 1
        turn = state.turn if (state.place + step) % 3 == 0 else (state.turn + 1) % 3
        return 1.0, Race(state.place + step + (1 if action == 2 else 0), turn)

    @staticmethod
    def reward(params: Any, purpose: Any, state: Race, action: int, next_state: Race) -> tuple[float, float, float]:
        gained = 1.0 if next_state.place % 4 == 1 else -0.25 * action
        return (
            gained if state.turn == 0 else 0.125,
            gained if state.turn == 1 else 0.125,
            gained if state.turn == 2 else 0.125,
        )

    @staticmethod
    def terminal(params: Any, purpose: Any, state: Race) -> bool:
        return state.place >= 7


# ------------------------------------------------------------------------------------------------ agreement


@pytest.mark.quick("FrozenLake-puct", "three-puct")
@pytest.mark.parametrize("rule", ["puct", "gumbel"])
@pytest.mark.parametrize("name", ["FrozenLake", "TicTacToe", "three"])
def test_visits_are_those_of_the_reference(rule: str, name: str) -> None:
    world = ThreeInTurn() if name == "three" else world_of(name)
    model, evaluate, count = KnownModel(world), lively(world, world.players), 60
    states = world.sample_initial(3, np.random.default_rng(0))
    planner: Any = PUCT(count, gamma=0.9) if rule == "puct" else Gumbel(count, gamma=0.9, value_scale=0.3)
    search = planner.begin(model, states, np.random.default_rng(1), evaluate)
    plans = search.run()
    columns, roots = search.engine.columns, search.engine.roots
    for b in range(3):
        legal = int(model.legal_of(states[[b]]).sum())
        options = (
            {"exploration": 1.25, "exploration_base": 19652.0}
            if rule == "puct"
            else {
                "value_scale": 0.3,
                "value_offset": 50.0,
                "noise": columns.noise[b].copy(),
                "schedule": considered_visits(min(legal, 16), count),
            }
        )
        reference = Search(model, evaluate, states[[b]], rule, 0.9, **options)
        for k in range(count):
            reference.simulate(k)
        assert plans.visit_counts[b].tolist() == reference.root.tried.tolist()
        tried = reference.root.tried > 0
        np.testing.assert_allclose(plans.action_values[b, tried], reference.root.q[tried], atol=1e-12)
        np.testing.assert_allclose(columns.value[roots[b]], reference.root.mean, atol=1e-12)
        if rule == "gumbel":
            np.testing.assert_allclose(plans.action_probs[b], reference.improved(reference.root), atol=1e-12)
        assert columns.count[b] == count_nodes(reference.root)


def count_nodes(node: Node) -> int:
    return 1 + sum(count_nodes(child) for child, _ in node.children.values())


@pytest.mark.parametrize("planner", [PUCT(50, rollout="none"), Gumbel(50, rollout="none")])
@pytest.mark.parametrize("name", ["FrozenLake", "TicTacToe"])
def test_a_known_law_searched_as_any_model(planner: Any, name: str) -> None:
    """The compiled search of a law, and waves of calls of a model of it, are one search."""
    world = world_of(name)
    states = world.sample_initial(4, np.random.default_rng(0))

    def nothing(states: Any) -> tuple[np.ndarray, None]:
        return np.zeros((len(states), world.players)), None

    by_law = planner.plan(world, states, np.random.default_rng(1))
    by_model = planner.plan(world, states, np.random.default_rng(1), nothing)
    np.testing.assert_array_equal(by_law.visit_counts, by_model.visit_counts)
    np.testing.assert_array_equal(by_law.action_values, by_model.action_values)
    np.testing.assert_array_equal(by_law.actions, by_model.actions)


@pytest.mark.parametrize("planner", [PUCT(40), Gumbel(40)])
def test_a_row_of_a_batch_is_the_search_alone(planner: Any) -> None:
    world = world_of("TicTacToe")
    states = world.sample_initial(5, np.random.default_rng(0))
    whole = planner.plan(world, states, np.random.default_rng(3))
    rng = np.random.default_rng(3)  # draws the same keys one at a time
    for b in range(5):
        alone = planner.plan(world, states[[b]], rng)
        np.testing.assert_array_equal(alone.visit_counts[0], whole.visit_counts[b])
        np.testing.assert_array_equal(alone.action_values[0], whole.action_values[b])
        assert alone.action == whole.actions[b]


def small_problem(seed: int, states: int = 4, actions: int = 2) -> TabularModel:
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.full(states, 0.3), (actions, states))
    return TabularModel.from_arrays(P, rng.normal(size=(states, actions)))


@pytest.mark.parametrize("make", [PUCT, Gumbel])
def test_values_approach_the_exact_ones(make: Any) -> None:
    model, gamma = small_problem(0), 0.3
    solution = solve(model, gamma=gamma)
    errors = []
    for count in (20, 400):
        plans = make(count, gamma=gamma, rollout="none").plan(model, np.arange(4), np.random.default_rng(0))
        errors.append(float(np.abs(plans.values - solution.values).max()))
    assert errors[1] < min(0.12, 0.4 * errors[0])
    np.testing.assert_array_equal(plans.actions, solution.q_values.argmax(axis=1))


@pytest.mark.parametrize("make", [PUCT, Gumbel])
def test_players_in_the_other_order(make: Any) -> None:
    """The second player of a game with its signs and its players exchanged searches as the first one does."""
    world = world_of("TicTacToe")
    first = world.pack([world.State(0b1, 0b10, 0)])
    second = world.pack([world.State(0b1, 0b10, 1)])
    planner = make(80, rollout="none")
    one, other = (planner.plan(world, s, np.random.default_rng(2)) for s in (first, second))
    np.testing.assert_array_equal(one.visit_counts, other.visit_counts)
    np.testing.assert_array_equal(one.action_values, other.action_values)


def test_improved_policy_improves() -> None:
    """E[q] under π′ is at least that under the prior, where q is exact (6 arms), however few simulations."""
    rng = np.random.default_rng(0)
    P, R = np.zeros((6, 2, 2)), np.zeros((2, 6))
    P[:, :, 1] = 1.0
    for trial in range(20):
        R[0] = rng.normal(size=6)
        model = TabularModel.from_arrays(P, R, layout="ASS")
        logits = rng.normal(size=6) * 2

        def evaluate(states: Any, logits: np.ndarray = logits, R: np.ndarray = R) -> tuple[np.ndarray, np.ndarray]:
            prior = np.exp(logits) / np.exp(logits).sum()
            values = np.where(np.asarray(states) == 0, R[0] @ prior, 0.0)
            return values, np.tile(logits, (len(states), 1))

        prior = np.exp(logits) / np.exp(logits).sum()
        for count in (1, 2, 6, 16):
            plans = Gumbel(count, gamma=1.0).plan(model, [0], np.random.default_rng(trial), evaluate)
            assert plans.action_probs[0] @ R[0] >= prior @ R[0] - 1e-9


def test_halving_shares_visits() -> None:
    assert considered_visits(4, 8) == (0, 0, 0, 0, 1, 1, 2, 2)
    assert considered_visits(1, 3) == (0, 1, 2)
    assert considered_visits(16, 10) == (0,) * 10
    for actions in range(1, 20):
        for count in (1, 5, 33):
            assert len(considered_visits(actions, count)) == count


PLAIN = """
import numpy as np
from inscape.envs.tasks.resolve import resolve_task
from inscape.world_models import PUCT, Gumbel
world = resolve_task("TicTacToe").world
states = world.sample_initial(3, np.random.default_rng(0))
for planner in (PUCT(120), Gumbel(120)):
    plans = planner.plan(world, states, np.random.default_rng(5))
    print(plans.visit_counts.tolist(), plans.action_values.tolist(), plans.action_probs.tolist())
"""


@pytest.mark.compiled
def test_compiled_and_plain_give_the_same_bits(capsys: pytest.CaptureFixture[str]) -> None:
    environment = {**os.environ, "INSCAPE_KERNELS": "plain"}
    plain = subprocess.run(
        [sys.executable, "-c", PLAIN], env=environment, capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    exec(PLAIN, {})
    assert capsys.readouterr().out == plain


# ------------------------------------------------------------------------------------------------ parts


def test_subtrees_are_kept() -> None:
    world = world_of("TicTacToe")
    model, rng = KnownModel(world), np.random.default_rng(0)
    states = world.sample_initial(3, rng)
    for evaluate in (None, lambda s: (np.zeros((len(s), 2)), None)):
        search = PUCT(150, rollout="none").begin(world, states, np.random.default_rng(1), evaluate)
        plans = search.run()
        following, _, _ = world.step(states, plans.actions, rng)
        columns, roots = search.engine.columns, search.engine.roots
        known = columns.tried[roots, plans.actions].copy()
        assert search.advance(plans.actions, following).all()
        assert (columns.visits[roots] == known).all()
        assert (columns.tried[roots].sum(axis=1) == known - 1).all()
        # every node kept is what the law says follows its parent
        for b in range(3):
            for node in roots[b] + np.arange(1, columns.count[b]):
                parent, action = int(columns.parent[node]), int(columns.action[node])
                assert columns.child[parent, columns.slot[node]] == node
                there = model.outcomes(search.engine.states_of(np.array([parent])), np.array([action]))[1]
                assert there.keys() == search.engine.states_of(np.array([node])).keys()
        again = search.run(50)
        assert (again.visit_counts.sum(axis=1) == known - 1 + 50).all()
        elsewhere = world.pack([world.State(0b1, 0b110000000, 1)] * 3)
        assert not search.advance(again.actions, elsewhere).any()
        assert (search.run(20).visit_counts.sum(axis=1) == 20).all()


def test_a_full_tree_goes_on() -> None:
    world = world_of("TicTacToe")
    for evaluate in (None, lambda s: (np.zeros((len(s), 2)), None)):
        planner = PUCT(100, max_nodes=20, keep_trees=True)
        plan = planner.plan(
            world, world.sample_initial(1, np.random.default_rng(0)), np.random.default_rng(0), evaluate
        )
        assert plan[0].visit_counts.sum() == 100
        assert plan[0].tree is not None
        assert len(plan[0].tree) == 20


@pytest.mark.parametrize("make", [PUCT, Gumbel])
def test_leaves_of_a_wave(make: Any) -> None:
    """Four leaves at a time: as many simulations, a quarter of the calls, other leaves."""
    world = world_of("TicTacToe")
    sizes: list[int] = []
    of = lively(world, 2)

    def evaluate(states: States) -> Any:
        sizes.append(len(states))
        return of(states)

    plans = make(101, leaves=4).plan(
        world, world.sample_initial(2, np.random.default_rng(0)), np.random.default_rng(0), evaluate
    )
    assert (plans.visit_counts.sum(axis=1) == 101).all()
    assert len(sizes) == 1 + 26
    assert np.mean(sizes[1:-1]) > 5


def test_root_noise_changes_the_prior_of_legal_actions() -> None:
    world = world_of("TicTacToe")
    states = world.pack([world.State(0b1, 0b10, 0)])
    search = PUCT(5, dirichlet_fraction=0.5, rollout="none").begin(world, states, np.random.default_rng(0))
    search.run()
    prior = search.engine.columns.prior[0]
    assert prior[:2].tolist() == [0.0, 0.0]
    assert prior.sum() == pytest.approx(1.0)
    assert np.ptp(prior[2:]) > 0.01


@pytest.mark.parametrize("name", ["TicTacToe", "FrozenLake"])
def test_a_network_inside_the_search_and_called(name: str) -> None:
    """Compiled into the search of a law, and called for waves of states, it leads to the same plans."""
    world, rng = world_of(name), np.random.default_rng(0)
    width, outputs = (18, 11) if name == "TicTacToe" else (16, 5)
    layers = [(rng.normal(size=(8, width)), rng.normal(size=8)), (rng.normal(size=(outputs, 8)) / 4, np.zeros(outputs))]
    evaluator = PerceptronEvaluator(world, layers, value_unit=0.5)
    states = world.sample_initial(3, rng)
    inside = Gumbel(40).plan(world, states, np.random.default_rng(1), evaluator)
    called = Gumbel(40).plan(world, states, np.random.default_rng(1), lambda s: evaluator(s))
    np.testing.assert_array_equal(inside.visit_counts, called.visit_counts)
    np.testing.assert_allclose(inside.action_values, called.action_values, rtol=1e-6)
    features = evaluator.reader(world.observe(states))
    h = np.maximum(features @ np.asarray(layers[0][0]).T + layers[0][1], 0)
    expected = h @ np.asarray(layers[1][0]).T
    values, logits = evaluator(states)
    np.testing.assert_allclose(logits, expected[:, : world.num_actions], rtol=1e-5)
    np.testing.assert_allclose(values.reshape(3, -1), 0.5 * expected[:, world.num_actions :], rtol=1e-5)


def test_a_model_that_only_samples() -> None:
    """A walk with a noisy step that cannot be listed: outcomes are kept as √n, and values are near the mean."""

    class Walk:
        from gymnasium.spaces import Discrete

        action_space, num_players = Discrete(2), 1

        def init(self, observations: Any) -> np.ndarray:
            return np.asarray(observations, float)

        update = step_calls = None

        def step(self, states: Any, actions: Any, rng: np.random.Generator) -> Any:
            from inscape.world_models import ModelStep

            noise = rng.normal(size=len(states))
            reward = np.where(np.asarray(actions) == 1, 1.0, 0.0) + noise
            return ModelStep(states + 1.0, reward, np.where(states + 1.0 >= 2.0, 0.0, 1.0))

        def state_dict(self) -> dict[str, Any]:
            return {}

        def load_state_dict(self, state: dict[str, Any]) -> None: ...

    for planner in (PUCT(600, max_outcomes=30, gamma=1.0), Gumbel(600, max_outcomes=30, gamma=1.0)):
        plans = planner.plan(Walk(), np.zeros(8), np.random.default_rng(0))
        assert (plans.actions == 1).mean() > 0.7
        assert plans.values.mean() == pytest.approx(2.0, abs=0.6)


class Noisy(World):
    """Two steps; action `b` earns 1 and noise, `a` noise alone. The noise is a continuum: outcomes are sampled."""

    class State(NamedTuple):
        at: float
        steps: int

    actions = ("a", "b")
    noise = 1

    @staticmethod
    def initial(params: Any, branch: int) -> tuple[float, Any]:
        return 1.0, Noisy.State(0.0, 0)

    @staticmethod
    def transition(params: Any, state: Any, action: int, noise: Any) -> Any:
        return Noisy.State(noise[0] - 0.5, state.steps + 1)

    @staticmethod
    def reward(params: Any, purpose: Any, state: Any, action: int, next_state: Any) -> float:
        return action + next_state.at

    @staticmethod
    def terminal(params: Any, purpose: Any, state: Any) -> bool:
        return state.steps >= 2


@pytest.mark.parametrize("make", [PUCT, Gumbel])
def test_a_law_that_only_samples(make: Any) -> None:
    world = Noisy()
    states = world.sample_initial(6, np.random.default_rng(0))
    search = make(300, gamma=1.0, max_outcomes=12).begin(world, states, np.random.default_rng(1))
    plans = search.run()
    assert (plans.actions == 1).all()
    np.testing.assert_allclose(plans.values, 2.0, atol=0.45)
    columns = search.engine.columns
    kept = (columns.child[search.engine.roots].reshape(6, 2, 12) >= 0).sum(axis=2)
    tried = columns.tried[search.engine.roots]
    assert (kept <= np.minimum(12, np.sqrt(tried) + 1)).all()
    assert kept.max() == 12


# ------------------------------------------------------------------------------------------------ bad input


class Stuck(World):
    """Action `on` leads to a state in which nothing is legal."""

    State = Race
    actions = ("on", "stay")

    @staticmethod
    def initial(params: Any, branch: int) -> tuple[float, Race]:
        return 1.0, Race(0, 0)

    @staticmethod
    def transition(params: Any, state: Race, action: int, branch: int) -> tuple[float, Race]:
        return 1.0, Race(state.place + 1 - action, 0)

    @staticmethod
    def reward(params: Any, purpose: Any, state: Race, action: int, next_state: Race) -> float:
        return 0.0

    @staticmethod
    def legal(params: Any, state: Race, action: int) -> bool:
        return state.place < 3


@pytest.mark.parametrize("make", [PUCT, Gumbel])
@pytest.mark.parametrize("how", ["law", "model"])
def test_all_actions_masked_names_the_state(make: Any, how: str) -> None:
    world = Stuck()
    evaluate = None if how == "law" else lambda s: (np.zeros(len(s)), None)
    with pytest.raises(UsageError, match=r"no legal action.*place=3"):
        make(100, rollout="none").plan(world, world.State(0, 0), np.random.default_rng(0), evaluate)


@pytest.mark.parametrize("make", [PUCT, Gumbel])
def test_refusals(make: Any) -> None:
    rng = np.random.default_rng(0)
    game = world_of("TicTacToe")
    start = game.sample_initial(1, rng)
    over = game.pack([game.State(0, 0b111, 0)])
    with pytest.raises(UsageError, match="terminal"):
        make().plan(game, over, rng)
    with pytest.raises(UsageError, match="at once"):
        make().plan(world_of("StagHunt"), start, rng)
    with pytest.raises(UsageError, match="finitely many actions"):
        make().plan(world_of("Pendulum"), world_of("Pendulum").sample_initial(1, rng), rng)
    with pytest.raises(UsageError, match="an environment"):
        make().plan(world_of("FrozenLake").env(), start, rng)
    with pytest.raises(UsageError, match="batch of 0"):
        make().plan(game, start[np.zeros(1, bool)], rng)
    with pytest.raises(UsageError, match="finite values"):
        make().plan(game, start, rng, lambda s: (np.full((len(s), 2), np.nan), None))
    with pytest.raises(UsageError, match="prior logits"):
        make().plan(game, start, rng, lambda s: (np.zeros((len(s), 2)), np.zeros((len(s), 4))))
    with pytest.raises(UsageError, match="GiB"):
        make(max_nodes=10**9).plan(game, start, rng)
    for wrong in ({"num_simulations": 0}, {"gamma": 1.5}, {"leaves": 0}, {"value_range": (1.0, 1.0)}, {"rollout": "x"}):
        with pytest.raises(UsageError):
            make(**wrong)
    search = make(5).begin(game, start, rng)
    with pytest.raises(UsageError, match="num_simulations"):
        search.run(0)
    with pytest.raises(UsageError, match="one a tree"):
        search.advance([0, 1], start)


def test_settings_out_of_range() -> None:
    for wrong in ({"dirichlet_fraction": 1.5}, {"dirichlet_alpha": 0.0}, {"exploration": -1.0}):
        with pytest.raises(UsageError):
            PUCT(**wrong)  # type: ignore[arg-type]
    for out in ({"max_considered": 0}, {"noise": -1.0}, {"value_scale": float("inf")}):
        with pytest.raises(UsageError):
            Gumbel(**out)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="11 outputs"):
        PerceptronEvaluator(world_of("TicTacToe"), [(np.zeros((3, 18)), np.zeros(3))])
