"""The CUDA vector environment: against the CPU's in the simulator, and on a GPU where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from inscape.envs.compile.cuda import has_card
from inscape.envs.registry import make_world
from inscape.errors import UsageError

ROOT = Path(__file__).parents[3]


def run_cases(*options: str, **environment: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        "tests/envs/readers/cuda_cases.py",
        *options,
    ]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


@pytest.mark.slow
def test_cases_in_the_simulator():
    """Of the lives of copies one way of beginning again; one world goes through all."""
    run_cases("-k", "Orbit or not (next-step or disabled)", NUMBA_ENABLE_CUDASIM="1")


@pytest.mark.slow
def test_all_cases_in_the_simulator():
    run_cases(NUMBA_ENABLE_CUDASIM="1")


def test_without_a_card_it_says_so():
    if has_card():
        pytest.skip("there is a GPU")
    world = make_world("FrozenLake8x8")
    with pytest.raises(UsageError, match=r"numba-cuda is not installed|no CUDA device"):
        world.vector_env(4, device="cuda")
    assert world.vector_env(4, device="auto").reset(seed=0)[0].shape == (4,)


# ---------------------------------------------------------------------------------------------- on a GPU


@pytest.fixture
def card() -> torch.device:
    if not has_card():
        pytest.skip("no CUDA device")
    return torch.device("cuda", torch.cuda.current_device())


@pytest.mark.gpu
def test_cases_on_the_card(card):
    run_cases(NUMBA_ENABLE_CUDASIM="0")


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["FrozenLake8x8", "Taxi", "ConnectFour", "KuhnPoker", "DoorKey", "StagHunt"])
def test_thousands_of_lives_have_the_processors_bits(card, name):
    world = make_world(name)
    cpu = world.vector_env(4096, "same-step")
    gpu = world.vector_env(4096, "same-step", device="cuda")
    _, infos = cpu.reset(seed=0)
    gpu.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(200):
        mask = infos.get("action_mask", world.mask_array(4096))
        actions = np.where(mask, rng.random(mask.shape), -1.0).argmax(-1)
        expected = cpu.step(actions)
        infos = expected[4]
        found = gpu.step(torch.from_numpy(actions).to(card))
        for one, other in zip(expected[:4], found[:4]):
            np.testing.assert_array_equal(one, other.cpu().numpy())
    gpu.check()
    np.testing.assert_array_equal(cpu.state_dict()["ints"], gpu.state_dict()["ints"])


@pytest.mark.gpu
def test_cart_poles_agree_until_they_fall(card):
    """Sine and cosine are CUDA's: the same to the last bit or two, so the same episodes and nearly the same motion."""
    world = make_world("CartPole")
    cpu, gpu = (world.vector_env(4096, "same-step", device=device) for device in ("cpu", "cuda"))
    cpu.reset(seed=0)
    gpu.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(60):
        actions = rng.integers(2, size=4096)
        expected, found = cpu.step(actions), gpu.step(torch.from_numpy(actions).to(card))
        np.testing.assert_allclose(expected[0], found[0].cpu().numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(expected[2], found[2].cpu().numpy())


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["CartPole", "ConnectFour"])
def test_a_captured_graph_replays_the_same_lives(card, name):
    world = make_world(name)
    steps, copies = 8, 1024
    eager, captured = (world.vector_env(copies, "same-step", device="cuda") for _ in range(2))
    eager.reset(seed=0)
    captured.reset(seed=0)
    generator = torch.Generator(card).manual_seed(0)
    actions = torch.randint(world.num_actions, (3 * steps, copies), device=card, generator=generator)
    given = torch.empty((steps, copies), dtype=torch.int64, device=card)
    side = torch.cuda.Stream()  # as torch's documentation asks: a warm-up on another stream, then the capture
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        captured.step(actions[0])
    torch.cuda.current_stream().wait_stream(side)
    captured.reset(seed=0)
    outputs = [captured.step_tensors() for _ in range(steps)]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for t in range(steps):
            captured.step(given[t], out=outputs[t])
    for start in range(0, 3 * steps, steps):
        given.copy_(actions[start : start + steps])
        graph.replay()
        for t in range(steps):
            expected = eager.step(actions[start + t])
            for one, other in zip(expected[:4], outputs[t].results[:4]):
                assert torch.equal(one, other)
    np.testing.assert_array_equal(eager.state_dict()["ints"], captured.state_dict()["ints"])


@pytest.mark.gpu
def test_a_step_runs_on_the_current_stream_after_what_is_there(card):
    world = make_world("FrozenLake8x8")
    expected, found = (world.vector_env(65536, "same-step", device="cuda") for _ in range(2))
    for env in (expected, found):
        env.reset(seed=0)
        env.step(torch.zeros(65536, dtype=torch.int64, device=card))
    actions = torch.randint(4, (65536,), device=card)
    wanted = expected.step(actions)[0].clone()
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    late = torch.zeros(65536, dtype=torch.int64, device=card)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)  # some 0.1 s: a step on another stream would not wait for the copy below
        late.copy_(actions)
        obs = found.step(late)[0]
        assert not stream.query()  # and nothing waited for the card
    stream.synchronize()
    assert torch.equal(obs, wanted)


@pytest.mark.gpu
def test_a_step_neither_waits_nor_allocates(card):
    env = make_world("ConnectFour").vector_env(4096, "same-step", device="cuda")
    env.reset(seed=0)
    actions = torch.zeros(4096, dtype=torch.int64, device=card)
    for _ in range(3):
        env.step(actions)
    torch.cuda.synchronize()
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(10):
            env.step(actions)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before
