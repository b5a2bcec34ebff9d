from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from gymnasium import spaces

from inscape import World
from inscape.envs.law import streams
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.world_models import (
    UCT,
    KnownModel,
    LearnedTabularModel,
    ModelStep,
    Plan,
    TabularModel,
    game_values,
    value_iteration,
)
from inscape.world_models.planning.tree_search.reference import PythonSearch
from tests.world_models.games import Board, CoinGame, TicTacToe
from tests.world_models.helpers import random_episodes, random_model


@pytest.fixture(scope="module")
def lake() -> Any:
    return resolve_task("FrozenLake").world


def start(world: Any) -> Any:
    return world.sample_initial(1, np.random.default_rng(0))


def in_python(options: UCT, model: Any, states: Any, seed: int) -> Plan:
    """The same search in Python, with the random stream that `plan` would draw from `seed`."""
    key = int(streams.random_keys(np.random.default_rng(seed), 1)[0])
    return PythonSearch(options, model, None, key).run(states)


def assert_same(first: Plan, second: Plan) -> None:
    assert first.action == second.action
    assert first.value == second.value
    np.testing.assert_array_equal(first.action_values, second.action_values)
    assert first.tree is not None
    assert second.tree is not None
    for name in ("visit_counts", "depth", "values", "terminal", "action_visits", "action_values"):
        np.testing.assert_array_equal(getattr(first.tree, name), getattr(second.tree, name))


# ------------------------------------------------------------------------------------------ against the exact optimum


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["FrozenLake", "FrozenLake8x8"])
def test_value_at_the_start_is_within_two_hundredths(name: str) -> None:
    world = resolve_task(name).world
    model = TabularModel.from_world(world)
    exact = value_iteration(model, 0.99, 1e-8)
    root = model.init(world.observe(start(world)))[0]
    for seed in range(20):
        plan = UCT(num_simulations=10_000, gamma=0.99).plan(world, start(world), np.random.default_rng(seed))[0]
        assert abs(plan.value - exact.values[root]) < 0.02, seed
        assert exact.q_values[root, plan.action] > exact.values[root] - 1e-6, seed


def test_random_tables_are_solved() -> None:
    for seed in range(5):
        model = random_model(seed, states=12, ending=0.3)
        exact = value_iteration(model, 0.9, 1e-8)
        plan = UCT(num_simulations=5000, gamma=0.9).plan(model, np.array([3]), np.random.default_rng(seed))[0]
        assert plan.value == pytest.approx(exact.values[3], abs=0.02)
        assert exact.q_values[3, plan.action] == pytest.approx(exact.values[3], abs=0.02)


def test_a_sampled_law_is_learned_by_frequency() -> None:
    world = CoinGame()
    model = KnownModel(world, compiled=False)  # the same source, uncompiled
    for options, planned in ((model, 0), (KnownModel(world, compiled=False), 1)):
        plan = UCT(num_simulations=2000, gamma=1.0).plan(options, start(world), np.random.default_rng(planned))[0]
        assert plan.action == 1
        assert plan.value == pytest.approx(1.2, abs=0.15)
        assert plan.tree is not None
        assert len(plan.tree) == 1 + 3 + 5 + 7


def test_planning_in_a_learned_model() -> None:
    task = resolve_task("FrozenLake", {"slip": 0.0})
    model = LearnedTabularModel.for_task(task)
    model.fit(random_episodes(task.env(), 3000, 0))
    plan = UCT(num_simulations=2000, gamma=0.9).plan(model, model.init(np.array([0])), np.random.default_rng(0))[0]
    assert plan.value == pytest.approx(0.9**5, abs=0.01)
    assert plan.tree is not None
    assert plan.tree.states.tolist()[0] == model.init(np.array([0]))[0]


# ------------------------------------------------------------------------------------------ routes agree


@pytest.mark.compiled
@pytest.mark.parametrize("options", [UCT(300, gamma=0.95), UCT(300, rollout="none", averaging_visits=0.0, max_depth=7)])
def test_compiled_plain_and_python_agree_number_for_number(lake: Any, options: UCT) -> None:
    compiled = options.plan(lake, start(lake), np.random.default_rng(5))[0]
    plain = options.plan(KnownModel(lake, compiled=False), start(lake), np.random.default_rng(5))[0]
    assert_same(compiled, plain)
    assert_same(compiled, in_python(options, KnownModel(lake), start(lake), 5))


def test_tables_and_law_agree(lake: Any) -> None:
    model = TabularModel.from_world(lake)
    root = model.init(lake.observe(start(lake)))
    options = UCT(2000)
    on_tables = options.plan(model, root, np.random.default_rng(2))[0]
    assert_same(on_tables, in_python(options, model, root, 2))
    # the law's branches come in another order than its merged outcomes: roll-outs differ, what is found does not
    on_law = options.plan(lake, start(lake), np.random.default_rng(2))[0]
    assert on_law.value == pytest.approx(on_tables.value, abs=0.02)
    assert_same(UCT(2000, rollout="none").plan(lake, start(lake), np.random.default_rng(2))[0],
                UCT(2000, rollout="none").plan(model, root, np.random.default_rng(2))[0])  # fmt: skip


def test_fractional_endings_and_masks_agree() -> None:
    model = random_model(9, states=10, ending=0.8)
    options = UCT(400, gamma=0.9)
    assert_same(
        options.plan(model, np.array([4]), np.random.default_rng(1))[0], in_python(options, model, np.array([4]), 1)
    )


def test_room_that_is_not_used_changes_nothing() -> None:
    world, states = TicTacToe(), start(TicTacToe())
    plans = [UCT(800, max_nodes=room).plan(world, states, np.random.default_rng(0))[0] for room in (1000, 10_000_000)]
    assert_same(*plans)


def test_a_batch_is_its_rows_and_repeats(lake: Any) -> None:
    model = KnownModel(lake)
    states = model.init(np.array([0, 14, 6]))
    options = UCT(200)
    batch = options.plan(model, states, np.random.default_rng(3))
    keys = streams.random_keys(np.random.default_rng(3), 3)
    for b, plan in enumerate(batch):
        assert_same(plan, PythonSearch(options, model, None, int(keys[b])).run(states[b]))
    again = options.plan(model, states, np.random.default_rng(3))
    assert_same(batch[1], again[1])
    assert batch.actions.tolist() == [plan.action for plan in batch]
    np.testing.assert_allclose(batch.action_probs, batch.visit_counts / batch.visit_counts.sum(1, keepdims=True))
    other = options.plan(model, states, np.random.default_rng(4))
    assert not np.array_equal(batch[0].visit_counts, other[0].visit_counts)


# ------------------------------------------------------------------------------------------ two players in turn


@lru_cache(None)
def minimax(board: Board, action: int) -> float:
    """Value of an action for the player who takes it."""
    after = TicTacToe.transition((), board, action, 0)[1]
    if TicTacToe.terminal((), (), after):
        return float(TicTacToe.reward((), (), board, action, after)[board.turn])
    return -max(minimax(after, a) for a in moves(after))


def moves(board: Board) -> list[int]:
    return [a for a in range(9) if TicTacToe.legal((), board, a)]


def tactical_positions(count: int) -> list[Board]:
    """Positions from random play in which some move is worse than another."""
    rng, found = np.random.default_rng(0), list[Board]()
    while len(found) < count:
        board = Board(0, 0, 0)
        for _ in range(rng.integers(0, 7)):
            if not TicTacToe.terminal((), (), board):
                board = TicTacToe.transition((), board, int(rng.choice(moves(board))), 0)[1]
        if not TicTacToe.terminal((), (), board) and len({minimax(board, a) for a in moves(board)}) > 1:
            found.append(board)
    return found


@pytest.mark.slow
@pytest.mark.compiled
def test_tic_tac_toe_is_played_perfectly() -> None:
    world, positions = TicTacToe(), tactical_positions(60)
    plans = UCT(5000, gamma=1.0).plan(world, world.pack(positions), np.random.default_rng(0))
    for board, plan in zip(positions, plans, strict=True):
        best = max(minimax(board, a) for a in moves(board))
        assert minimax(board, plan.action) == best, board
        assert plan.value == pytest.approx(best, abs=0.15)  # for the player to move, crosses and noughts alike


def test_masks_are_respected_at_every_node() -> None:
    world = TicTacToe()
    plan = UCT(3000, gamma=1.0).plan(world, world.pack([Board(0b1, 0b10, 0)]), np.random.default_rng(0))[0]
    tree = plan.tree
    assert tree is not None
    assert np.isneginf(plan.action_values[:2]).all()
    legal = world.legal_actions(tree.states)
    assert (tree.action_visits[~legal] == 0).all()
    assert np.isneginf(tree.action_values[~legal]).all()
    np.testing.assert_array_equal(tree.terminal, world.terminal_of(tree.states))
    assert (tree.action_visits[tree.terminal] == 0).all()
    assert (tree.values[tree.terminal] == 0).all()


def test_the_search_in_python_plays_too() -> None:
    world = TicTacToe()
    win_or_lose = Board(0b000000011, 0b000011000, 0)
    plan = in_python(UCT(150, gamma=1.0), KnownModel(world), world.pack([win_or_lose]), 0)
    assert plan.action == 2
    assert plan.value == pytest.approx(1.0, abs=0.15)


def test_a_solved_tree_ends_early_with_exact_values() -> None:
    world = TicTacToe()
    late = [board for board in tactical_positions(200) if len(moves(board)) <= 3]
    assert len(late) >= 10
    for seed, board in enumerate(late):
        options = UCT(100_000, exploration=50.0, gamma=1.0)
        plan = options.plan(world, world.pack([board]), np.random.default_rng(seed))[0]
        assert plan.simulations < 100_000
        exact = {a: minimax(board, a) for a in moves(board)}
        assert {a: plan.action_values[a] for a in moves(board)} == exact
        assert plan.value == max(exact.values())


@pytest.mark.quick("options0")
@pytest.mark.parametrize("options", [UCT(400, gamma=1.0), UCT(400, gamma=1.0, averaging_visits=5.0)])
def test_games_that_are_solved_agree_number_for_number(options: UCT) -> None:
    world = TicTacToe()
    for seed, board in enumerate(tactical_positions(3)):
        compiled = options.plan(world, world.pack([board]), np.random.default_rng(seed))[0]
        assert_same(compiled, in_python(options, KnownModel(world), world.pack([board]), seed))


@pytest.mark.quick("options1")
@pytest.mark.parametrize("options", [UCT(30, gamma=1.0), UCT(70, gamma=0.9, solver=False), UCT(12, gamma=0.0)])
def test_games_whose_wins_are_known_agree_number_for_number(options: UCT) -> None:
    for name, settings in (("TicTacToe", {}), ("ConnectFour", {"rows": 4, "columns": 4})):
        world = resolve_task(name, settings).world
        assert world is not None
        assert_same(
            options.plan(world, start(world), np.random.default_rng(3))[0],
            in_python(options, KnownModel(world), start(world), 3),
        )


def test_proven_values_are_those_of_brute_force() -> None:
    world, rng = resolve_task("TicTacToe").world, np.random.default_rng(0)
    assert world is not None
    proven = 0
    for seed, board in enumerate(tactical_positions(40)):
        own, other = (board.crosses, board.noughts)[:: 1 if board.turn == 0 else -1]
        states = world.pack([world.State(own, other, board.turn)])
        plan = UCT(300, gamma=1.0).plan(world, states, rng)[0]
        best = max(minimax(board, a) for a in moves(board))
        if plan.simulations < 300:  # proven
            proven += 1
            assert plan.value == best, board
            assert minimax(board, plan.action) == best, (seed, board)
    assert proven > 35


@pytest.mark.compiled
@pytest.mark.slow  # 14 s, of which compiling ten
def test_tic_tac_toe_loses_no_line_at_two_hundred_simulations() -> None:
    """The wrong answers are in the first move: 16 % of them before forced replies were foreseen."""
    world = resolve_task("TicTacToe").world
    assert world is not None
    openings = world.pack([world.State(0, 1 << cell, 1) for cell in range(9)])
    holding = {
        0: {4},
        2: {4},
        6: {4},
        8: {4},
        4: {0, 2, 6, 8},
        1: {0, 2, 4, 7},
        3: {0, 4, 5, 6},
        5: {2, 3, 4, 8},
        7: {1, 4, 6, 8},
    }
    for seed in range(20):
        plans = UCT(200, gamma=1.0).plan(world, openings, np.random.default_rng(seed))
        for cell, plan in enumerate(plans):
            assert plan.action in holding[cell], (seed, cell)


@pytest.mark.compiled
@pytest.mark.slow
@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (4, 5), (5, 4)])
def test_small_connect_four_is_proven_a_draw(rows: int, columns: int) -> None:
    """As alpha-beta and the literature have it; 5×5 in benchmarks/exact_games.py."""
    world = resolve_task("ConnectFour", {"rows": rows, "columns": columns}).world
    assert world is not None
    plan = UCT(3_000_000, gamma=1.0, max_nodes=2_000_000).plan(world, start(world), np.random.default_rng(0))[0]
    assert plan.simulations < 3_000_000
    assert plan.value == 0.0


def test_forced_replies_are_followed() -> None:
    """Three in a row with both ends open, one ply from now: every line of it is forced, and proven without the tree."""
    world = resolve_task("ConnectFour").world
    assert world is not None
    states = start(world)
    for column in (2, 2, 3, 3):  # a third disc on the ground at 1 or 4 leaves two columns that win
        states, _, _ = world.step(states, np.array([column]), np.random.default_rng(0))
    options = UCT(200, gamma=1.0)
    plan = options.plan(world, states, np.random.default_rng(0))[0]
    assert plan.action in (1, 4)
    assert plan.value == 1.0
    assert plan.simulations <= 7  # each action once, at most
    assert_same(plan, in_python(options, KnownModel(world), states, 0))
    # with γ < 1 a later loss is less of one: what is forced for the undiscounted is not taken for it
    late = UCT(200, gamma=0.9).plan(world, states, np.random.default_rng(0))[0]
    assert late.value == pytest.approx(0.81)


def test_discounted_games_are_proven_exactly() -> None:
    world = resolve_task("TicTacToe").world
    assert world is not None
    proven = 0
    for seed, board in enumerate(tactical_positions(12)):
        if len(moves(board)) > 6:
            continue
        own, other = (board.crosses, board.noughts)[:: 1 if board.turn == 0 else -1]
        states = world.pack([world.State(own, other, board.turn)])
        plan = UCT(2000, gamma=0.8).plan(world, states, np.random.default_rng(seed))[0]
        if plan.simulations < 2000:
            proven += 1
            assert plan.value == pytest.approx(discounted(board, 0.8), abs=1e-6), board
    assert proven > 3


def discounted(board: Board, gamma: float) -> float:
    """Value for the player to move."""
    worth = []
    for a in moves(board):
        after = TicTacToe.transition((), board, a, 0)[1]
        over = TicTacToe.terminal((), (), after)
        reward = float(TicTacToe.reward((), (), board, a, after)[board.turn])
        worth.append(reward if over else -gamma * discounted(after, gamma))
    return max(worth)


def test_a_win_in_one_is_proven_at_once() -> None:
    world = resolve_task("ConnectFour").world
    assert world is not None
    states = start(world)
    for column in (3, 0, 3, 0, 3, 0):
        states, _, _ = world.step(states, np.array([column]), np.random.default_rng(0))
    plan = UCT(5000, gamma=1.0).plan(world, states, np.random.default_rng(0))[0]
    assert (plan.action, plan.value) == (3, 1.0)
    assert plan.simulations <= 8


@pytest.mark.parametrize("rollout", ["uniform", "none"])
def test_one_simulation_proposes_a_random_legal_action(rollout: Any) -> None:
    world, proposed = TicTacToe(), set()
    for seed in range(40):
        for plan in (
            UCT(1, gamma=1.0, rollout=rollout).plan(
                world, world.pack([Board(0b1, 0b10, 0)]), np.random.default_rng(seed)
            )[0],
            in_python(UCT(1, gamma=1.0, rollout=rollout), KnownModel(world), world.pack([Board(0b1, 0b10, 0)]), seed),
        ):
            assert np.isfinite(plan.value)
            assert plan.action_probs[:2].sum() == 0
            proposed.add(plan.action)
    assert proposed == set(range(2, 9))


def test_ties_are_broken_at_random_and_by_the_key_alone() -> None:
    model = alike(4)
    plans = [UCT(50).plan(model, np.array([0]), np.random.default_rng(seed))[0] for seed in range(60)]
    assert {plan.action for plan in plans} == {0, 1, 2, 3}
    again = UCT(50).plan(model, np.array([0]), np.random.default_rng(7))[0]
    assert again.action == plans[7].action


def alike(actions: int) -> TabularModel:
    """A state, and actions that all end with the same reward."""
    return TabularModel(
        next_state=np.tile(np.array([1, 1], np.int32)[:, None, None], (1, actions, 1)),
        probability=np.ones((2, actions, 1)),
        reward=np.array([1.0, 0.0])[:, None, None] * np.ones((1, actions, 1)),
        continuation=np.zeros((2, actions, 1)),
        legal=np.ones((2, actions), bool),
        initial=np.array([1.0, 0.0]),
        terminal=np.array([False, True]),
    )


# ------------------------------------------------------------------------------------------ any world model


class Corridor:
    """A model with no strength at all: walk 0 … 4 to the right, +1 and the end at 4."""

    action_space, num_players = spaces.Discrete(2), 1

    def init(self, observations: np.ndarray) -> np.ndarray:
        return np.asarray(observations)

    def step(self, states: np.ndarray, actions: np.ndarray, rng: np.random.Generator) -> ModelStep:
        following = np.clip(states + np.where(actions == 1, 1, -1), 0, 4)
        done = following == 4
        return ModelStep(following, done.astype(float), 1.0 - done)


class KeyedCorridor(Corridor):
    def keys(self, states: np.ndarray) -> list[bytes]:
        return [bytes([int(state)]) for state in states]


class TorchCorridor(KeyedCorridor):
    """The same in tensors that carry gradients, as a network's would."""

    def init(self, observations: Any) -> Any:
        return torch.as_tensor(observations)

    def step(self, states: Any, actions: Any, rng: np.random.Generator) -> ModelStep:
        following = torch.clamp(states + torch.where(torch.as_tensor(actions) == 1, 1, -1), 0, 4)
        reward = (following == 4).double().requires_grad_()
        return ModelStep(following, reward, 1 - reward)

    def legal_of(self, states: Any) -> Any:
        return torch.ones((len(states), 2), dtype=torch.bool)


def test_a_model_in_torch_is_searched_alike() -> None:
    options = UCT(100, gamma=0.9, max_depth=30)
    plans = [
        options.plan(model, model.init(np.array([1, 2])), np.random.default_rng(0))
        for model in (KeyedCorridor(), TorchCorridor())
    ]
    for first, second in zip(*plans, strict=True):
        assert_same(first, second)


def test_several_players_need_to_know_who_moves() -> None:
    class Rivals(KeyedCorridor):
        num_players = 2

    with pytest.raises(UsageError, match=r"needs a model with mover_of\(\), and Rivals has none[\s\S]*: keys"):
        UCT(5).plan(Rivals(), np.array([1]), np.random.default_rng(0))


@pytest.mark.parametrize("model", [Corridor(), KeyedCorridor()])
def test_a_model_that_only_steps(model: Corridor) -> None:
    plan = UCT(400, gamma=0.9, max_depth=30).plan(model, model.init(np.array([1])), np.random.default_rng(0))[0]
    assert plan.action == 1
    assert plan.tree is not None
    if isinstance(model, KeyedCorridor):
        assert len(plan.tree) == 5
        assert plan.value == pytest.approx(0.9**2, abs=0.02)
    else:  # every sample is a state of its own: the same search, in a tree that grows
        assert len(plan.tree) > 100
        assert 0.4 < plan.value < 0.9**2


def test_the_value_of_a_terminal_state_is_never_asked_for() -> None:
    asked: list[int] = []

    def value(states: np.ndarray) -> Any:
        asked.extend(states.tolist())
        return np.where(states == 4, 1000.0, 0.0), None

    plan = UCT(200, gamma=0.9).plan(KeyedCorridor(), np.array([2]), np.random.default_rng(0), evaluate=value)[0]
    assert asked
    assert 4 not in asked
    assert plan.value == pytest.approx(0.9, abs=0.05)


def test_given_values_guide_a_search_on_a_known_law(lake: Any) -> None:
    model = TabularModel.from_world(lake)
    exact = value_iteration(model, 0.99, 1e-9).values
    root = model.init(lake.observe(start(lake)))
    options = UCT(100, averaging_visits=0.0)  # these values have no noise
    guided = options.plan(model, root, np.random.default_rng(0), evaluate=lambda s: (exact[s], None))[0]
    alone = UCT(100, rollout="none").plan(model, root, np.random.default_rng(0))[0]
    assert abs(guided.value - exact[root[0]]) < 0.2 < abs(alone.value - exact[root[0]])


# ------------------------------------------------------------------------------------------ limits and refusals


def test_max_nodes_stops_the_search_early() -> None:
    world = TicTacToe()
    plan = UCT(5000, gamma=1.0, max_nodes=300).plan(world, start(world), np.random.default_rng(0))[0]
    assert plan.tree is not None
    assert 300 < len(plan.tree) <= 302
    assert plan.simulations < 5000
    assert plan.visit_counts.sum() == plan.simulations - 1  # the first simulation values the root itself


def test_a_terminal_state_is_refused(lake: Any) -> None:
    model = TabularModel.from_world(lake)
    with pytest.raises(UsageError, match="terminal"):
        UCT(10).plan(lake, lake.states_of(np.array([5])), np.random.default_rng(0))
    with pytest.raises(UsageError, match="terminal"):
        UCT(10).plan(model, model.init(np.array([5])), np.random.default_rng(0))
    with pytest.raises(UsageError, match="state 99"):
        UCT(10).plan(model, np.array([99]), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_simulations": 0}, "num_simulations = 0"),
        ({"num_simulations": 2.5}, "num_simulations = 2.5"),
        ({"gamma": float("nan")}, "gamma"),
        ({"exploration": -1.0}, "exploration"),
        ({"averaging_visits": float("inf")}, "averaging_visits"),
        ({"rollout": "clever"}, "rollout"),
    ],
)
def test_settings_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        UCT(**options)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((np.zeros((1, 3)), None), r"shape \[1, 3\] for a batch of 1[\s\S]*expected: \[1\] finite"),
        ((np.array([np.nan]), None), "nan"),
        (np.zeros(1), "evaluate returned a ndarray[\\s\\S]*try: return values, None"),
        ((np.zeros(1), np.zeros((1, 3))), r"prior logits .* of shape \[1, 3\][\s\S]*expected: \[1, 2\]"),
        ((np.zeros(1), np.zeros((1, 2))), "UCT takes no prior"),
    ],
)
def test_evaluations_it_cannot_use_are_refused(answer: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        UCT(5).plan(KeyedCorridor(), np.array([1]), np.random.default_rng(0), evaluate=lambda s: answer)


def test_values_in_torch_will_do() -> None:
    def value(states: np.ndarray) -> Any:
        return torch.full((len(states),), 0.5, requires_grad=True), None

    plan = UCT(50, gamma=0.9).plan(KeyedCorridor(), np.array([2]), np.random.default_rng(0), evaluate=value)[0]
    assert plan.action == 1


def test_who_is_no_model_is_refused(lake: Any) -> None:
    rng, task = np.random.default_rng(0), resolve_task("FrozenLake")
    with pytest.raises(UsageError, match=r"UCT was given an environment[\s\S]*try: its law: env.unwrapped.world"):
        UCT(5).plan(task.env(), None, rng)
    with pytest.raises(UsageError, match=r"an environment[\s\S]*LearnedTabularModel"):
        UCT(5).plan(resolve_task("CartPole-v1").env(), None, rng)
    with pytest.raises(UsageError, match=r"UCT was given a task[\s\S]*task.world"):
        UCT(5).plan(task, None, rng)
    with pytest.raises(UsageError, match="the class KeyedCorridor"):
        UCT(5).plan(KeyedCorridor, np.array([1]), rng)
    with pytest.raises(UsageError, match="object, which has no action_space and no step"):
        UCT(5).plan(object(), np.array([1]), rng)
    with pytest.raises(UsageError, match="UCT chooses among finitely many actions"):
        UCT(5).plan(resolve_task("Pendulum").world, None, rng)


def test_states_it_cannot_start_from_are_refused(lake: Any) -> None:
    rng, model = np.random.default_rng(0), TabularModel.from_world(lake)
    with pytest.raises(UsageError, match=r"states of type ndarray[\s\S]*model.init"):
        UCT(5).plan(lake, np.array([0]), rng)
    with pytest.raises(UsageError, match=r"shape \(1, 1\)"):
        UCT(5).plan(model, np.zeros((1, 1), np.int64), rng)
    with pytest.raises(UsageError, match="a batch of 0 states"):
        UCT(5).plan(model, np.zeros(0, np.int64), rng)


def test_the_pauses_in_which_ctrl_c_is_heard_change_nothing(lake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    options = UCT(num_simulations=3000)
    whole = options.plan(lake, start(lake), np.random.default_rng(0))[0]
    monkeypatch.setattr("inscape.world_models.planning.tree_search.uct.WITHOUT_PAUSE", 7)
    assert_same(whole, options.plan(lake, start(lake), np.random.default_rng(0))[0])


# ------------------------------------------------------------------------------------------ three players in turn


class Heap(NamedTuple):
    left: int
    turn: int


class Empty(NamedTuple):
    pass


class LastOneLoses(World):
    """Three players in turn take one or two of a heap. Who takes the last pays 3: 2 to the next, 1 to the one after."""

    State, Params, Purpose = Heap, Empty, Empty
    players, gamma = 3, 1.0
    actions = ("one", "two")

    @staticmethod
    def initial(params: Empty, branch: int) -> tuple[float, Heap]:
        return 1.0, Heap(7, 0)

    @staticmethod
    def mover(params: Empty, state: Heap) -> int:
        return state.turn

    @staticmethod
    def legal(params: Empty, state: Heap, action: int) -> bool:
        return action < state.left

    @staticmethod
    def transition(params: Empty, state: Heap, action: int, branch: int) -> tuple[float, Heap]:
        return 1.0, Heap(state.left - 1 - action, (state.turn + 1) % 3)

    @staticmethod
    def reward(params: Empty, purpose: Empty, state: Heap, action: int, following: Heap) -> tuple[float, float, float]:
        if following.left > 0:
            return 0.0, 0.0, 0.0
        if state.turn == 0:
            return -3.0, 2.0, 1.0
        return (1.0, -3.0, 2.0) if state.turn == 1 else (2.0, 1.0, -3.0)

    @staticmethod
    def terminal(params: Empty, purpose: Empty, state: Heap) -> bool:
        return state.left == 0

    @staticmethod
    def observation(params: Empty, state: Heap, player: int) -> tuple[int, int]:
        return state.left, state.turn

    @staticmethod
    def observations(params: Empty) -> Any:
        return spaces.MultiDiscrete(np.array([8, 3]))


def test_three_players_each_maximise_their_own() -> None:
    """max^n: the root's value is that of backward induction, in every state and for whoever moves."""
    world = LastOneLoses()
    exact = game_values(world)
    every = world.dynamics().states
    going_on = np.flatnonzero(~world.terminal_of(every))
    assert len(going_on) > 9
    for number in going_on:
        states = every[[number]]
        turn = int(world.mover_of(states)[0])
        plan = UCT(1500, gamma=1.0).plan(world, states, np.random.default_rng(int(number)))[0]
        value = exact.value_of(states)[0, turn]
        assert plan.value == pytest.approx(value, abs=0.1 if plan.simulations == 1500 else 1e-6), world.unpack(states)
        following, reward, _ = world.step(states, np.array([plan.action]), np.random.default_rng(0))
        after = 0.0 if world.terminal_of(following)[0] else exact.value_of(following)[0, turn]
        assert reward[0, turn] + after == pytest.approx(value)
