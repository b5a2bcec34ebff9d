"""Many copies of a world: among how many others, on how many threads, and what becomes of the arrays returned."""

from __future__ import annotations

import numpy as np
import pytest

from inscape.envs.kernels.stepping import TILE
from inscape.envs.registry import make_world
from inscape.envs.tasks.resolve import resolve_task

LIMIT = 12


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("name", "autoreset"),
    [
        ("CartPole", "same-step"),
        pytest.param("EmptyRoom", "same-step", marks=pytest.mark.slow),
        pytest.param("CartPole", "next-step", marks=pytest.mark.slow),
        pytest.param("TicTacToe", "same-step", marks=pytest.mark.slow),
    ],
)
def test_more_copies_than_a_round_of_passes_holds(name, autoreset):
    """Copies of the second round live as they would in the first one: alone, with their own streams."""
    world = make_world(name)
    count = TILE + 40
    many, few = (world.vector_env(n, autoreset, max_episode_steps=LIMIT, threads=1) for n in (count, 40))
    many.reset(seed=5)
    few.reset(seed=5, options={"first_copy": TILE})
    for t in range(30):
        actions = world.random_actions(many.states, np.random.default_rng(t))
        (obs, *rest, _), (few_obs, *few_rest, _) = many.step(actions), few.step(actions[TILE:])
        assert np.array_equal(obs[TILE:], few_obs)
        assert all(np.array_equal(x[TILE:], y) for x, y in zip(rest, few_rest))


@pytest.mark.compiled
@pytest.mark.parametrize(
    "name", ["CartPole", *(pytest.param(name, marks=pytest.mark.slow) for name in ("FrozenLake8x8", "FourGoals"))]
)
def test_two_threads_live_the_same_life_as_one(name):
    world = resolve_task(name).world
    one, two = (world.vector_env(8192, "same-step", max_episode_steps=25, threads=threads) for threads in (1, 2))
    a, b = one.reset(seed=0)[0], two.reset(seed=0)[0]
    rng = np.random.default_rng(0)
    for _ in range(60):
        assert np.array_equal(a, b)
        actions = rng.integers(0, world.num_actions, 8192)
        (a, *rest_a, _), (b, *rest_b, _) = one.step(actions), two.step(actions)
        assert all(np.array_equal(x, y) for x, y in zip(rest_a, rest_b))


@pytest.mark.compiled
def test_what_a_step_returns_is_never_written_again():
    """Large outputs are used again once nobody holds them, and only then."""
    env = make_world("CartPole").vector_env(20_000, "same-step")
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    kept, copies, seen = [], [], set()
    for t in range(12):
        obs, rewards, _, _, infos = env.step(rng.integers(0, 2, 20_000))
        if t % 2 == 0:
            kept.append((obs[5:9], rewards, infos.get("final_obs", obs)[:7]))  # views hold the whole
            copies.append(tuple(part.copy() for part in kept[-1]))
    for before, after in zip(copies, kept):
        assert all(np.array_equal(a, b) for a, b in zip(before, after))
    del kept, obs, rewards, infos
    for _ in range(8):
        obs, *_ = env.step(rng.integers(0, 2, 20_000))
        seen.add(obs.base.ctypes.data if obs.base is not None else obs.ctypes.data)
    assert len(seen) <= 4
