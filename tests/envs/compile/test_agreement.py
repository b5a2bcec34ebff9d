"""Every kernel that reads a world, compiled against plain, on one world of each kind.

`tests/envs/readers/test_readers.py` compares the law over batches on more worlds; learners' and searches' kernels are
compared where they are tested.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from inscape.envs.compile.switch import is_plain, plain_kernels
from inscape.envs.registry import make_world
from inscape.envs.world import World
from tests.conftest import slow_but

STEPS, LIMIT = 25, 7
MODES = ("next-step", "same-step", "disabled")
# The kind of each, and the modes in which it is stepped: a kernel is compiled for each, which takes most of the time.
# `make test-slow` steps all of them in all modes.
KINDS = {
    "FrozenLake": ("outcomes one after another", MODES),
    "EmptyRoom": ("wide observations, their views apart", ("same-step",)),
    "SkiResort": ("some actions illegal", ("next-step",)),
    "Pendulum": ("continuous actions and states, starts drawn", ("same-step",)),
    "KuhnPoker": ("players in turn, who see different things", ("disabled",)),
    "Spread": ("players all at once", ("next-step",)),
}

pytestmark = pytest.mark.compiled


@pytest.mark.parametrize(
    ("name", "modes"),
    [
        # tests/envs/readers/test_readers.py has the law of a wide world and of players in turn and all at once
        *slow_but(
            [(name, KINDS[name][1]) for name in ("FrozenLake", "Pendulum")],
            ((name, modes) for name, (_, modes) in KINDS.items()),
        ),
        *(pytest.param(name, MODES, marks=pytest.mark.slow) for name, (_, modes) in KINDS.items() if modes != MODES),
    ],
)
def test_every_reader_compiled_and_plain(name: str, modes: tuple[str, ...]) -> None:
    compiled, plain = make_world(name), make_world(name)
    found = list(answers(compiled, modes))
    with plain_kernels():
        expected = list(answers(plain, modes))
    assert len(found) == len(expected) > len(modes) * STEPS
    for (what, one), (_, other) in zip(found, expected, strict=True):
        one, other = np.asarray(one), np.asarray(other)
        # a compiled sine, logarithm or exponential may differ from the C library's in its last bit
        assert one.shape == other.shape and np.allclose(one, other, rtol=0, atol=1e-12), what


def answers(world: World, modes: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    """Yields what each reader of a world says, with one seed."""
    for mode in modes:
        copies = world.vector_env(5, autoreset=mode, max_episode_steps=LIMIT)
        yield mode, copies.reset(seed=3)[0].copy()
        rng = np.random.default_rng(0)
        for t in range(STEPS):
            obs, *rest, infos = copies.step(world.random_actions(copies.states, rng))
            yield f"{mode}, step {t}", obs.copy()
            for value in (*rest, infos.get("action_mask", 0)):
                yield f"{mode}, step {t}", np.array(value, np.float64)
            if "final_obs" in infos:
                yield f"{mode}, last of episodes, step {t}", infos["final_obs"][infos["_final_obs"]]
            over = rest[1] | rest[2]
            if mode == "disabled" and over.any():
                yield f"{mode}, step {t}", copies.reset(options={"reset_mask": over})[0].copy()
    if world.players == 1:
        yield from episodes(world)
    elif world.simultaneous:
        yield from rounds(world)
    else:
        yield from turns(world)
    played = world.random_play(6, 40, seed=1, max_episode_steps=LIMIT)
    yield "random play", [played.episodes, played.mean_length, *played.mean_return]
    if not world.noise and not world.initial_noise and not world.is_wide():
        law = world.dynamics()
        for table in (law.states.floats, law.states.ints, law.next_state, law.probability, law.legal, law.initial):
            yield "dynamics", table


def episodes(world: World) -> Iterator[tuple[str, object]]:
    env = world.env(max_episode_steps=LIMIT)
    obs, _ = env.reset(seed=4)
    rng = np.random.default_rng(1)
    for t in range(STEPS):
        yield f"environment, step {t}", obs
        obs, reward, terminated, truncated, _ = env.step(world.random_actions(env.states, rng)[0])
        yield f"environment, step {t}", [reward, terminated, truncated]
        assert type(reward) is float and type(terminated) is type(truncated) is bool
        if terminated or truncated:
            obs, _ = env.reset()


def rounds(world: World) -> Iterator[tuple[str, object]]:
    env = world.parallel_env(max_episode_steps=LIMIT)
    rng = np.random.default_rng(1)
    env.reset(seed=4)
    for t in range(LIMIT):
        actions = {agent: int(rng.integers(world.num_actions)) for agent in env.agents}
        for row in env.step(actions)[:4]:
            yield f"parallel environment, step {t}", np.array([np.asarray(v, np.float64) for v in row.values()])


def turns(world: World) -> Iterator[tuple[str, object]]:
    env = world.aec_env(max_episode_steps=LIMIT)
    rng = np.random.default_rng(1)
    start = world.unpack(world.sample_initial(1, rng, compiled=False))
    for options in (None, None, {"state": start}):
        env.reset(seed=int(rng.integers(100)), options=options)
        while env.agents and not any((*env.terminations.values(), *env.truncations.values())):
            seen = env.observe(env.agent_selection)
            legal = np.ones(world.num_actions)
            if isinstance(seen, dict):
                seen, legal = seen["observation"], seen["action_mask"]
            yield "observed in turn", seen
            yield "legal in turn", legal
            env.step(int(rng.choice(np.flatnonzero(legal))))
            yield "rewards in turn", list(env.rewards.values())


def test_inside_the_block_kernels_are_plain() -> None:
    world = make_world("FrozenLake")
    with plain_kernels():
        assert is_plain()
        assert not hasattr(world.kernel("inscape.envs.kernels.batch").steps, "py_func")
    assert not is_plain()
    assert hasattr(world.kernel("inscape.envs.kernels.batch").steps, "py_func")
