"""The same law under numba-cuda's simulator: what the CUDA reader will launch, without a card."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import numpy as np
from numba import cuda
from inscape.envs import compile as compiler, streams
from inscape.envs.law import States
from inscape.envs.registry import make_world

for name in ("CartPole", "FrozenLake8x8"):
    world = make_world(name)
    packed = world.packed
    law = compiler.law_module(type(world), compiled=False)  # the source numba-cuda compiles

    @cuda.jit
    def step(P, F, I, actions, keys):
        i = cuda.grid(1)
        if i < actions.shape[0]:
            params = law.load_params(P)
            state = law.load_state(F, I, i)
            law.store_state(F, I, i, law.sample_transition(params, state, actions[i], keys[i], 0))

    states = world.sample_initial(16, np.random.default_rng(0))
    keys = streams.stream_keys(0, 16)
    actions = np.arange(16) % world.num_actions
    expected, _, _ = world.step_with_keys(states, actions, keys)
    on_card = states.copy()
    step[2, 8](packed, on_card.floats, on_card.ints, actions, keys)
    assert np.array_equal(on_card.floats, expected.floats), name
    assert np.array_equal(on_card.ints, expected.ints), name
    print("same", name)
"""


def test_the_law_runs_as_a_cuda_kernel():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}, capture_output=True, text=True
    )
    assert done.stdout.split() == ["same", "CartPole", "same", "FrozenLake8x8"], done.stderr[-2000:]
