"""What must hold of a CUDA environment, on a GPU or in the simulator; run by `test_cuda_env.py` in either.

Not collected by itself: where there is neither card nor simulator nothing here can run.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from inscape.envs.compile.cuda import is_simulated
from inscape.envs.readers.cuda_env import CudaVectorEnv
from inscape.envs.registry import make_world
from inscape.envs.world import World
from inscape.errors import UsageError

COPIES = 5
# one number observed, masks in turn, masks of all at once or none, wide observations, continuous actions
WORLDS = ("CartPole", "FrozenLake8x8", "ConnectFour", "RockPaperScissors", "EmptyRoom", "MountainCarContinuous")
# laws with a sine or cosine, which a GPU computes by its own library
CUDA_FUNCTIONS = {"CartPole", "MountainCarContinuous"}


class OrbitState(NamedTuple):
    x: float
    y: float
    count: int


class OrbitParams(NamedTuple):
    turn: float = 0.1


class Orbit(World):
    """Sums, products, a quotient, a root and random numbers: what must have the processor's bits."""

    State = OrbitState
    Params = OrbitParams
    actions = ("on", "back")
    noise = 1
    initial_noise = 2

    @staticmethod
    def initial(params: OrbitParams, noise: tuple[float, float]) -> OrbitState:
        return OrbitState(noise[0] + 0.5, noise[1] - 0.3, 0)

    @staticmethod
    def transition(params: OrbitParams, state: OrbitState, action: int, noise: tuple[float]) -> OrbitState:
        turn = params.turn if action == 0 else -params.turn
        x = state.x - turn * state.y + 0.01 * noise[0]
        y = state.y + turn * x
        length = math.sqrt(x * x + y * y)
        return OrbitState(x / (0.1 + 0.9 * length), y * 1.01 + 1e-3, state.count + 1)

    @staticmethod
    def reward(params: OrbitParams, purpose: Any, state: OrbitState, action: int, next_state: OrbitState) -> float:
        return next_state.x * next_state.y + 0.1

    @staticmethod
    def terminal(params: OrbitParams, purpose: Any, state: OrbitState) -> bool:
        return state.y > 2.0


def both(world: World, mode: Any = "same-step", copies: int = COPIES, limit: int | None = 7) -> tuple[Any, Any]:
    return (
        world.vector_env(copies, mode, max_episode_steps=limit),
        world.vector_env(copies, mode, max_episode_steps=limit, device="cuda"),
    )


def assert_same(expected: np.ndarray, found: torch.Tensor, bits: bool, what: Any) -> None:
    array = found.cpu().numpy()
    assert array.shape == expected.shape, what
    assert array.dtype == expected.dtype, what
    if bits or array.dtype.kind != "f":
        np.testing.assert_array_equal(array, expected, err_msg=str(what))
    else:
        np.testing.assert_allclose(array, expected, rtol=1e-6, atol=1e-8, err_msg=str(what))


def assert_same_infos(expected: dict[str, Any], found: dict[str, Any], bits: bool, what: Any) -> None:
    always = {name for name in found if name not in ("final_obs", "_final_obs")}
    assert always == {name for name in expected if name not in ("final_obs", "_final_obs")}
    for name in always:
        assert_same(expected[name], found[name], bits, (what, name))
    if "_final_obs" in expected:
        ended = expected["_final_obs"]
        np.testing.assert_array_equal(found["_final_obs"].cpu().numpy(), ended)
        assert_same(
            expected["final_obs"][ended], found["final_obs"][torch.from_numpy(ended)], bits, (what, "final_obs")
        )


def random_actions(world: World, copies: int, infos: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
    if world.continuous:
        return rng.uniform(world.action_low, world.action_high, (copies, len(world.action_low)))
    mask = infos.get("action_mask", world.mask_array(copies))
    mask = mask | ~mask.any(-1, keepdims=True)  # an ended game has no legal move; what is given then is ignored
    chosen: np.ndarray = np.where(mask, rng.random(mask.shape), -1.0).argmax(-1)
    return chosen


def on_device(env: CudaVectorEnv, array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array).to(env.device)


@pytest.mark.parametrize("mode", ["same-step", "next-step", "disabled"])
@pytest.mark.parametrize("name", [*WORLDS, "Orbit"])
def test_lives_are_those_of_the_processor(name, mode):
    world = Orbit() if name == "Orbit" else make_world(name)
    bits = is_simulated() or name not in CUDA_FUNCTIONS
    cpu, card = both(world, mode)
    (obs, infos), (seen, infos_seen) = cpu.reset(seed=3), card.reset(seed=3)
    assert_same(obs, seen, bits, "reset")
    assert_same_infos(infos, infos_seen, bits, "reset")
    rng = np.random.default_rng(0)
    ended = 0
    for t in range(18):
        actions = random_actions(world, COPIES, infos, rng)
        expected = cpu.step(actions)
        found = card.step(on_device(card, actions))
        for one, other, what in zip(expected[:4], found[:4], ("obs", "reward", "terminated", "truncated")):
            assert_same(one, other, bits, (name, mode, t, what))
        infos = expected[4]
        assert_same_infos(infos, found[4], bits, (name, mode, t))
        over = expected[2] | expected[3]
        ended += over.sum()
        if mode == "disabled" and over.any():
            obs, infos = cpu.reset(options={"reset_mask": over})
            seen, infos_seen = card.reset(options={"reset_mask": found[2] | found[3]})
            assert_same(obs, seen, bits, (name, t, "reset"))
            assert_same_infos(infos, infos_seen, bits, (name, t, "reset"))
    assert ended >= 2 * COPIES
    card.check()
    saved, also = cpu.state_dict(), card.state_dict()
    assert_same(saved["ints"], torch.from_numpy(also["ints"]), True, "ints")
    assert_same(saved["floats"], torch.from_numpy(also["floats"]), bits, "floats")


def test_a_life_goes_on_elsewhere():
    world = Orbit()
    cpu, card = both(world)
    cpu.reset(seed=1)
    actions = np.array([0, 1, 0, 1, 1])
    for _ in range(4):
        cpu.step(actions)
    card.load_state_dict(cpu.state_dict())
    for _ in range(5):
        expected, found = cpu.step(actions), card.step(on_device(card, actions))
        assert_same(expected[0], found[0], True, "obs")
    another = world.vector_env(COPIES, "same-step", max_episode_steps=7)
    another.load_state_dict(card.state_dict())
    np.testing.assert_array_equal(another.step(actions)[0], cpu.step(actions)[0])
    with pytest.raises(UsageError, match=r"5 copies of Orbit"):
        card.load_state_dict(world.vector_env(3).state_dict())


def test_own_seeds_and_start_states():
    world = make_world("FrozenLake8x8")
    cpu, card = both(world)
    for env in (cpu, card):
        env.reset(seed=[4, None, 6, 7, 8])
    np.testing.assert_array_equal(cpu.state_dict()["ints"][:, [0, 2, 3, 4]], card.state_dict()["ints"][:, [0, 2, 3, 4]])
    start = world.unpack(world.sample_initial(1, np.random.default_rng(0)))._replace(cell=9)
    obs, _ = cpu.reset(seed=0, options={"state": start})
    seen, _ = card.reset(seed=0, options={"state": start})
    assert obs.tolist() == seen.tolist() == [9] * COPIES
    card.states = world.sample_initial(COPIES, np.random.default_rng(0))
    assert card.states.ints.tolist() == [[0] * COPIES]


def test_wrong_actions_are_no_step_and_are_named():
    world = make_world("ConnectFour", rows=4, columns=4)
    card = world.vector_env(COPIES, "same-step", device="cuda")
    card.reset(seed=0)
    for _ in range(4):
        card.step(torch.zeros(COPIES, dtype=torch.int64, device=card.device))
    card.check()
    before = card.state_dict()["ints"]
    _, rewards, terminated, truncated, infos = card.step(torch.tensor([1, 2, 0, 4, 0], device=card.device))
    after = card.state_dict()["ints"]
    assert (before != after).any(0).tolist() == [True, True, False, False, False]
    assert rewards[2].tolist() == [0.0, 0.0]
    assert not (terminated | truncated).any()
    assert not infos["action_mask"][2, 0]
    with pytest.raises(UsageError, match="copy 2: an illegal action, given to ConnectFour"):
        card.check()
    card.check()  # said once
    card.step(torch.tensor([1, 2, 3, -1, 0], device=card.device))
    with pytest.raises(UsageError, match="copy 3: an action out of range"):
        card.check()


def test_steps_after_the_end_are_named():
    card = make_world("FrozenLake8x8").vector_env(COPIES, "disabled", max_episode_steps=1, device="cuda")
    card.reset(seed=0)
    actions = torch.zeros(COPIES, dtype=torch.int64, device=card.device)
    card.step(actions)
    card.reset(options={"reset_mask": torch.arange(COPIES, device=card.device) != 3})
    card.step(actions)
    with pytest.raises(UsageError, match="copy 3: a step after the episode's end"):
        card.check()


def test_not_a_number_is_out_of_range():
    card = make_world("MountainCarContinuous").vector_env(3, "same-step", device="cuda")
    card.reset(seed=0)
    card.step(torch.tensor([[0.5], [float("nan")], [2.0]], dtype=torch.float64, device=card.device))
    with pytest.raises(UsageError, match="copy 1: an action out of range"):
        card.check()


def test_shapes_and_dtypes_are_refused_at_once():
    card = make_world("FrozenLake8x8").vector_env(3, "same-step", device="cuda")
    good = torch.zeros(3, dtype=torch.int64, device=card.device)
    with pytest.raises(UsageError, match="before the first reset"):
        card.step(good)
    card.reset(seed=0)
    for wrong in (good[:2], good.double(), good.bool(), [0, 0, 0]):
        with pytest.raises(UsageError, match=r"expected: a tensor \(3,\) of torch.int64 or torch.int32"):
            card.step(wrong)
    with pytest.raises(UsageError, match="reset_mask"):
        card.reset(options={"reset_mask": np.ones(2, bool)})
    with pytest.raises(UsageError, match="2 seeds for 3 copies"):
        card.reset(seed=[1, 2])


def test_what_cannot_be_made():
    world = make_world("FrozenLake8x8")
    for wrong in ({"autoreset": "never"}, {"dtype": torch.float32}, {"dtype": torch.float16}, {"arithmetic": "exakt"}):
        with pytest.raises(UsageError):
            CudaVectorEnv(world, 3, **wrong)
    with pytest.raises(UsageError, match="num_envs"):
        CudaVectorEnv(world, 0)


def test_narrow_actions_and_narrow_states():
    world = Orbit()
    wide = CudaVectorEnv(world, COPIES, max_episode_steps=7, arithmetic="fast")
    narrow = CudaVectorEnv(world, COPIES, max_episode_steps=7, arithmetic="fast", dtype=torch.float32)
    actions = torch.tensor([0, 1, 0, 1, 0], device=wide.device)
    (obs, _), (seen, _) = wide.reset(seed=0), narrow.reset(seed=0)
    for _ in range(6):
        torch.testing.assert_close(obs, seen)
        obs, rewards, *_ = wide.step(actions)
        seen, rewards_seen, *_ = narrow.step(actions.int())
        assert rewards_seen.dtype == torch.float32
        torch.testing.assert_close(rewards.float(), rewards_seen)


def test_results_last_until_the_step_after_the_next_or_where_they_are_put():
    card = Orbit().vector_env(COPIES, "same-step", device="cuda")
    obs, _ = card.reset(seed=0)
    actions = torch.zeros(COPIES, dtype=torch.int64, device=card.device)
    first = obs.clone()
    following = card.step(actions)[0]
    assert torch.equal(obs, first)
    second = following.clone()
    mine = card.step_tensors()
    third = card.step(actions, out=mine)[0]
    assert third.data_ptr() == mine.results[0].data_ptr()
    card.step(actions)
    assert torch.equal(following, second)
    kept = third.clone()
    for _ in range(3):
        card.step(actions)
    assert torch.equal(third, kept)


@pytest.mark.parametrize("name", ["ConnectFour", "FrozenLake8x8"])
def test_random_play_is_that_of_the_processor(name):
    world = make_world(name)
    steps = 30
    cpu = world.random_play(COPIES, steps, seed=2, threads=1)
    card = CudaVectorEnv(world, COPIES, max_episode_steps=world.max_episode_steps)
    card._seed(2)
    found = card.play(steps)
    assert (found.steps, found.episodes, found.mean_length) == (cpu.steps, cpu.episodes, cpu.mean_length)
    assert found.episodes > 0
    np.testing.assert_array_equal(found.mean_return, cpu.mean_return)  # sums of whole numbers
    assert card.play(steps).episodes > 0


@pytest.mark.parametrize("copies", [1, 33])
def test_a_copy_lives_the_same_life_in_any_company(copies):
    world = Orbit()
    alone, company = (CudaVectorEnv(world, n, max_episode_steps=7) for n in (1, copies))
    alone.reset(seed=5)
    company.reset(seed=5)
    for t in range(9):
        one = alone.step(torch.full((1,), t % 2, device=alone.device))
        many = company.step(torch.full((copies,), t % 2, device=company.device))
        for a, b in zip(one[:4], many[:4]):
            assert torch.equal(a[0], b[0])
