"""gymnax's CartPole: copies stepped under vmap inside a compiled scan, prepared actions, resets of its own."""

from __future__ import annotations

from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
from serving import Call, serve

SIZES = ((1024, 400), (4096, 100), (16384, 50))  # copies, steps of one compiled scan


def scan(copies: int, steps: int) -> Call:
    env, params = gymnax.make("CartPole-v1")
    actions = jnp.asarray(np.random.default_rng(0).integers(0, 2, (steps, copies)))

    @jax.jit
    def several_steps(key: Any, obs: Any, state: Any) -> Any:
        def body(carry: Any, action: Any) -> Any:
            key, _, state = carry
            key, own = jax.random.split(key)
            found = jax.vmap(env.step, (0, 0, 0, None))(jax.random.split(own, copies), state, action, params)
            return (key, found[0], found[1]), found[2].sum()

        return jax.lax.scan(body, (key, obs, state), actions)

    key = jax.random.PRNGKey(0)
    carry = [(key, *jax.vmap(env.reset, (0, None))(jax.random.split(key, copies), params))]

    def call() -> int:
        carry[0] = jax.block_until_ready(several_steps(*carry[0]))[0]
        return copies * steps

    return call


if __name__ == "__main__":
    serve(lambda: {f"gymnax, scan, {copies:,} copies": scan(copies, steps) for copies, steps in SIZES})
