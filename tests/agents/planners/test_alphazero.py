"""AlphaZero: its gradient against torch, its targets by hand, resumed equals never stopped, refusals, and learning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from inscape import UsageError, make_agent, plan
from inscape.agents.kernels import search_imitation
from inscape.agents.planners.alphazero import AlphaZero, AlphaZeroSettings
from inscape.agents.planners.search_games import PositionMemory, SearchGames
from inscape.agents.presets import PRESETS
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import PartialObservationError

SMALL: dict[str, Any] = {
    "num_envs": 6, "num_simulations": 6, "num_steps": 4, "gradient_steps": 2, "batch_size": 8, "hidden": (16,),
    "buffer_size": 64,
}  # fmt: skip


def learned(name: str, steps: int, seed: int = 0, **settings: Any) -> AlphaZero:
    task = resolve_task(name)
    agent = AlphaZero(task, seed, AlphaZeroSettings(**{**SMALL, **settings}))
    for _ in agent.learn(task, steps):
        pass
    return agent


# ------------------------------------------------------------------------------------------------ parts


def test_the_gradient_is_that_of_torch() -> None:
    rng = np.random.default_rng(0)
    sizes, N, A, M = (5, 7, 6), 9, 4, 2
    X = rng.normal(size=(N, 5)).astype(np.float32)
    legal = rng.random((N, A)) < 0.7
    legal[:, 0] = True
    policy = np.where(legal, rng.random((N, A)), 0.0)
    policy = np.where(legal, policy / policy.sum(axis=1, keepdims=True), -1.0).astype(np.float32)
    values = rng.normal(size=(N, M)).astype(np.float32)
    layers = [torch.nn.Linear(5, 7), torch.nn.Linear(7, 6)]
    W = np.concatenate([p.detach().numpy().reshape(-1) for layer in layers for p in layer.parameters()])
    before = W.copy()
    working = (
        np.zeros((N, 5), np.float32), np.zeros(N * 13, np.float32), np.zeros((N, 6), np.float32), np.zeros_like(W),
        np.zeros((2, N * 7), np.float32),
    )  # fmt: skip
    parts = np.zeros(search_imitation.PARTS)
    moments = np.zeros((2, len(W)), np.float32)
    rate, coef, decay, unit = 1e-3, 0.7, 0.1, 2.0
    done = search_imitation.imitate(
        (W, np.array(sizes, np.int64), 1, unit), (moments[0], moments[1]), (X, policy, values), np.arange(N)[None],
        (np.zeros(0, np.int64), np.float32(1)), working, (rate, coef, 1e9, decay), 0, parts,
    )  # fmt: skip
    assert done == 1
    out = layers[1](torch.relu(layers[0](torch.tensor(X))))
    logits = torch.where(torch.tensor(legal), out[:, :A], torch.tensor(-torch.inf))
    log_p = torch.log_softmax(logits, dim=1)
    cross = -(torch.tensor(np.maximum(policy, 0)) * torch.where(torch.tensor(legal), log_p, 0.0)).sum(1).mean()
    squares = ((out[:, A:] - torch.tensor(values) / unit) ** 2).mean()
    (cross + coef * squares).backward()
    G = np.concatenate([p.grad.numpy().reshape(-1) for layer in layers for p in layer.parameters()])  # type: ignore[union-attr]
    np.testing.assert_allclose(working[3], G, atol=1e-6)
    assert parts[0] == pytest.approx(cross.item(), abs=1e-6)
    assert parts[1] == pytest.approx(squares.item(), abs=1e-6)
    # Adam's first step is the rate against the gradient's sign, after the decay
    moved = before * (1 - rate * decay) - rate * np.sign(G)
    clear = np.abs(G) > 1e-4
    np.testing.assert_allclose(W[clear], moved[clear], atol=1e-6)


class Told:
    """A search that says what it is told: `value [G, M]`, `mover [G]` and actions."""

    def __init__(self, value: np.ndarray, mover: np.ndarray, actions: np.ndarray, probs: np.ndarray) -> None:
        from types import SimpleNamespace as Made

        columns = Made(value=value, mover=mover)
        self.engine = Made(roots=np.arange(len(mover)), columns=columns)
        self._plans = Made(actions=actions, action_probs=probs)

    def run(self) -> Any:
        return self._plans


@pytest.mark.parametrize(("random", "lam", "first", "second"), [(0.0, 1.0, 1.0, -1.0), (0.0, 0.5, 0.5, -0.65)])
def test_what_values_learn_is_what_followed(random: float, lam: float, first: float, second: float) -> None:
    """The first player wins TicTacToe in five moves: its positions learn 1, the other's −1; λ mixes the search's."""
    world = resolve_task("TicTacToe").world
    assert world is not None
    games = SearchGames(world, 1, np.random.default_rng(0), random, lam, 1.0, None)
    memory = PositionMemory(20, np.zeros((1, 18), np.int8), 9, 2)
    said = np.array([[0.3, -0.3]])
    for turn, action in enumerate((0, 3, 1, 4, 2)):
        told = Told(said, np.array([turn % 2]), np.array([action]), np.full((1, 9), 1 / 9))
        games.move(lambda states, told=told: told, lambda s: (np.zeros((1, 2)), None), memory)  # type: ignore[misc]
    assert len(memory) == 5
    returns = memory.arrays[2][:5]  # the last position first
    np.testing.assert_allclose(returns[:, 0], -returns[:, 1], atol=1e-6)
    assert returns[0].tolist() == [1.0, -1.0]
    # one move before: λ·1 + (1 − λ)·0.3 for the first player, of which the second sees the negative
    assert returns[1, 0] == pytest.approx(-(lam + (1 - lam) * 0.3))
    assert (memory.arrays[1][0] == -1).sum() == 4  # taken cells


def test_a_random_move_is_not_learned_from() -> None:
    world = resolve_task("TicTacToe").world
    assert world is not None
    games = SearchGames(world, 2, np.random.default_rng(0), 1.0, 1.0, 1.0, None)
    memory = PositionMemory(40, np.zeros((1, 18), np.int8), 9, 2)
    turn = 0
    while not len(memory):
        told = Told(np.tile([0.25, -0.25], (2, 1)), np.full(2, turn % 2), np.zeros(2, int), np.full((2, 9), 1 / 9))
        games.move(lambda states, told=told: told, lambda s: (np.zeros((1, 2)), None), memory)  # type: ignore[misc]
        turn += 1
    assert set(np.abs(memory.arrays[2][: len(memory)]).reshape(-1).tolist()) == {0.25}


def test_a_ring_of_positions() -> None:
    memory = PositionMemory(3, np.zeros((1, 2), np.int8), 2, 1)
    for k in range(5):
        memory.add(np.full((1, 2), k), np.full((1, 2), 0.5), np.full((1, 1), k))
    assert sorted(memory.arrays[2][:, 0].tolist()) == [2, 3, 4]
    other = PositionMemory(3, np.zeros((1, 2), np.int8), 2, 1)
    other.load_state_dict(memory.state_dict())
    np.testing.assert_array_equal(other.arrays[0], memory.arrays[0])
    with pytest.raises(UsageError, match="stored memory"):
        PositionMemory(3, np.zeros((1, 4), np.int8), 2, 1).load_state_dict(memory.state_dict())


# ------------------------------------------------------------------------------------------------ the agent


@pytest.mark.parametrize("name", ["TicTacToe", "FrozenLake"])
def test_resumed_is_as_if_never_stopped(name: str) -> None:
    whole, task = learned(name, 72), resolve_task(name)
    first = AlphaZero(task, 0, AlphaZeroSettings(**SMALL))
    next(first.learn(task, 72))
    assert first.steps == 24
    other = AlphaZero(task, 0, AlphaZeroSettings(**SMALL))
    other.load_state_dict(first.state_dict())
    for _ in other.learn(task, 72):
        pass
    one, two = whole.state_dict(), other.state_dict()
    np.testing.assert_array_equal(one["network"], two["network"])
    np.testing.assert_array_equal(one["moments"], two["moments"])
    assert one["rng"] == two["rng"]
    for key, value in one["games"].items():
        if key != "episodes":
            np.testing.assert_array_equal(value, two["games"][key])


def test_it_acts_by_search_or_by_the_network() -> None:
    task = resolve_task("TicTacToe")
    world = task.world
    assert world is not None
    agent = learned("TicTacToe", 48, play="network")
    states = world.pack([world.State(0, 0, 0), world.State(0b11, 0b11000, 0)])
    observation, legal = world.observe(states), world.legal_actions(states)
    network = agent.act(observation, legal)
    log_probs = agent.policy_log_probs(observation, legal)
    np.testing.assert_array_equal(network, log_probs.argmax(axis=1))
    searching = AlphaZero(task, 0, AlphaZeroSettings(**{**SMALL, "num_simulations": 200}))
    searching.load_state_dict(agent.state_dict())
    assert searching.act(observation, legal)[1] == 2  # wins at once
    assert searching.act(observation[1], legal[1]) == 2
    only = np.zeros((2, 9), np.bool_)  # a caller may allow less than the law
    only[:, [5, 7]] = True
    assert set(searching.act(observation, only)) <= {5, 7}
    assert np.exp(searching.action_log_probs(observation, only)).sum(axis=1).tolist() == [1.0, 1.0]
    found = searching.plan_for(observation[1])
    assert found is not None
    assert found.visit_counts.sum() == 200
    assert agent.state_values(observation).shape == (2,)


def test_the_unit_of_values_grows_without_changing_them() -> None:
    agent = learned("TicTacToe", 72)
    observation = np.zeros((1, 3, 3, 2), np.int8)
    before = agent.state_values(observation)
    agent._widen(7.0)
    np.testing.assert_allclose(agent.state_values(observation), before, rtol=1e-5)


def test_a_network_for_plans() -> None:
    agent = learned("TicTacToe", 48)
    one = plan("TicTacToe", network=agent, num_simulations=30, seed=1)
    assert one.simulations == 30
    assert one.visit_counts.sum() == 30
    with pytest.raises(UsageError, match="observations"):
        plan("ConnectFour", network=agent)
    with pytest.raises(UsageError, match="as a network"):
        plan("TicTacToe", network=make_agent("random", "TicTacToe"))


def test_refusals() -> None:
    for name, error in (
        ("Pendulum", UsageError),
        ("StagHunt", UsageError),
        ("KuhnPoker", PartialObservationError),
    ):
        with pytest.raises(error):
            AlphaZero(resolve_task(name))
    for wrong in (
        {"num_simulations": 0}, {"random_moves": 1.5}, {"search": "uct"}, {"play": "x"}, {"gamma": 2.0},
        {"normalize_observations": True}, {"hidden": (0,)},
    ):  # fmt: skip
        with pytest.raises(UsageError):
            AlphaZeroSettings(**wrong)  # type: ignore[arg-type]
    agent = learned("TicTacToe", 24)
    with pytest.raises(UsageError, match="weights"):
        AlphaZero(resolve_task("TicTacToe"), 0, AlphaZeroSettings(hidden=(4,))).load_state_dict(agent.state_dict())


def lost_lines(agent: AlphaZero) -> int:
    """Returns how many lines of TicTacToe the network alone loses, in either seat, against every reply."""
    world = agent.world
    dynamics = world.dynamics()
    states, legal = dynamics.states, dynamics.legal
    over, mover = world.terminal_of(states), world.mover_of(states)
    masks = np.where(over[:, None], True, legal)
    best = agent.policy_log_probs(world.observe(states), masks).argmax(axis=1)
    won = np.array([_won(world, states, i) for i in range(len(states))])
    start = int(dynamics.index_of(world.sample_initial(1, np.random.default_rng(0)))[0])
    lost = 0
    for seat in (0, 1):
        waiting = [start]
        while waiting:
            s = waiting.pop()
            if over[s]:
                lost += bool(won[s]) and 1 - int(mover[s]) != seat
            elif mover[s] == seat:
                waiting.append(int(dynamics.next_state[s, best[s], 0]))
            else:
                waiting += [int(n) for n in dynamics.next_state[s, legal[s], 0]]
    return lost


def _won(world: Any, states: Any, index: int) -> bool:
    """Returns whether whoever moved last has a line."""
    from inscape.envs.worlds.multi_agent.boards import has_line

    return has_line(world.params, world.unpack(states, index).other)


@pytest.mark.slow
@pytest.mark.compiled(all=False)
def test_the_network_alone_loses_no_line_of_tic_tac_toe() -> None:
    task = resolve_task("TicTacToe")
    preset = PRESETS["alphazero"]["tictactoe"]
    agent = AlphaZero(task, 0, AlphaZeroSettings(**preset.settings))
    assert lost_lines(agent) > 0
    for _ in agent.learn(task, preset.steps):
        pass
    assert lost_lines(agent) == 0
