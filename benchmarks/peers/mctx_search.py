"""mctx's Gumbel and MuZero policies: 64 trees × 128 simulations × 4 actions, jitted, on the CPU.

`mlp`: a model of two layers of 64 over a state of 64 numbers, heads for reward, value and policy. `none`: nothing is
computed. `peaked`: a prior of logits 8, 0, 0, 0 below the root, where the trees become deep and thin.
"""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp
import mctx
from serving import Call, serve

TREES, SIMULATIONS, ACTIONS, WIDTH = 64, 128, 4, 64
KEYS = jax.random.split(jax.random.PRNGKey(0), 5)
WEIGHTS = {
    name: jax.random.normal(key, shape) * 0.1
    for name, key, shape in zip(
        ("first", "second", "policy", "value", "reward"),
        KEYS,
        ((WIDTH + ACTIONS, 64), (64, WIDTH), (WIDTH, ACTIONS), (WIDTH, 1), (WIDTH, 1)),
        strict=True,
    )
}


def mlp(weights: Any, key: Any, action: Any, state: Any) -> Any:
    x = jnp.concatenate([state, jax.nn.one_hot(action, ACTIONS)], -1)
    h = jax.nn.relu(jax.nn.relu(x @ weights["first"]) @ weights["second"])
    return mctx.RecurrentFnOutput(
        reward=(h @ weights["reward"])[:, 0],
        discount=jnp.full(h.shape[:1], 0.99),
        prior_logits=h @ weights["policy"],
        value=(h @ weights["value"])[:, 0],
    ), h


def constant(*logits: float) -> Any:
    def step(weights: Any, key: Any, action: Any, state: Any) -> Any:
        zeros = jnp.zeros(len(state))
        prior = jnp.tile(jnp.array(logits), (len(state), 1))
        return mctx.RecurrentFnOutput(reward=zeros, discount=zeros + 0.99, prior_logits=prior, value=zeros), state

    return step


def search(policy: Any, step: Any, width: int) -> Call:
    start = jax.random.normal(jax.random.PRNGKey(1), (TREES, width))

    @jax.jit
    def run(weights: Any, key: Any, state: Any) -> Any:
        root = mctx.RootFnOutput(prior_logits=jnp.zeros((TREES, ACTIONS)), value=jnp.zeros(TREES), embedding=state)
        found = policy(weights, key, root, step, num_simulations=SIMULATIONS)
        return found.action, found.action_weights

    key = [jax.random.PRNGKey(2)]

    def call() -> int:
        key[0], own = jax.random.split(key[0])
        jax.block_until_ready(run(WEIGHTS, own, start))
        return TREES * SIMULATIONS

    return call


if __name__ == "__main__":
    models = {
        "mlp": (mlp, WIDTH),
        "none": (constant(0.0, 0.0, 0.0, 0.0), 1),
        "peaked": (constant(8.0, 0.0, 0.0, 0.0), 1),
    }
    policies = {"gumbel": mctx.gumbel_muzero_policy, "puct": mctx.muzero_policy}
    chosen = sys.argv[1:] or list(policies)
    serve(lambda: {f"{rule} {name}": search(policies[rule], *models[name]) for rule in chosen for name in models})
