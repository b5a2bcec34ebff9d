"""PPO compiled end to end with JAX, in the style that PureJaxRL made popular (environment: gymnax); see `solving.py`.

4 copies × 128 steps, 4 epochs of 4 minibatches, two 64 × 64 tanh networks, Adam from 2.5e-4 to zero over 500,000 steps.
A time limit is bootstrapped from. With JAX_COMPILATION_CACHE_DIR set, what was compiled once is loaded.
"""

from __future__ import annotations

import time
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from solving import Check, answer

COPIES, STEPS, EPOCHS, MINIBATCHES = 4, 128, 4, 4
GAMMA, LAM, CLIP, ENTROPY, RATE = 0.99, 0.95, 0.2, 0.01, 2.5e-4
UPDATES = 500_000 // (COPIES * STEPS)
AT_ONCE = 4  # updates of one compiled call: 2,048 steps

ENV, PARAMS = gymnax.make("CartPole-v1")
OPTIMIZER = optax.chain(optax.clip_by_global_norm(0.5), optax.scale_by_adam(eps=1e-5), optax.scale(-1.0))


def layers(key: Any, sizes: tuple[int, ...], last: float) -> list[Any]:
    keys = jax.random.split(key, len(sizes) - 1)
    gains = [2**0.5] * (len(sizes) - 2) + [last]
    return [
        (jax.nn.initializers.orthogonal(gain)(k, (a, b)), jnp.zeros(b))
        for k, gain, a, b in zip(keys, gains, sizes[:-1], sizes[1:], strict=True)
    ]


def output(weights: list[Any], x: Any) -> Any:
    for w, b in weights[:-1]:
        x = jnp.tanh(x @ w + b)
    return x @ weights[-1][0] + weights[-1][1]


def start(key: Any) -> Any:
    actor, critic, first, rest = jax.random.split(key, 4)
    networks = {"actor": layers(actor, (4, 64, 64, 2), 0.01), "critic": layers(critic, (4, 64, 64, 1), 1.0)}
    obs, state = jax.vmap(ENV.reset, (0, None))(jax.random.split(first, COPIES), PARAMS)
    return networks, OPTIMIZER.init(networks), obs, state, rest, jnp.int32(0)


def values(networks: Any, obs: Any) -> Any:
    return output(networks["critic"], obs)[..., 0]


def log_probs(networks: Any, obs: Any, actions: Any) -> tuple[Any, Any]:
    """Returns log π of the actions, and of all of them."""
    every = jax.nn.log_softmax(output(networks["actor"], obs))
    return jnp.take_along_axis(every, actions[..., None], -1)[..., 0], every


def collect(networks: Any, obs: Any, state: Any, key: Any) -> tuple[Any, Any]:
    def step(carry: Any, _: Any) -> Any:
        obs, state, key = carry
        key, chance, own = jax.random.split(key, 3)
        actions = jax.random.categorical(chance, output(networks["actor"], obs))
        taken, _ = log_probs(networks, obs, actions)
        keys = jax.random.split(own, COPIES)
        after, state, reward, terminated, truncated, info = jax.vmap(ENV.step, (0, 0, 0, None))(
            keys, state, actions, PARAMS
        )
        cut = truncated & ~terminated
        paid = reward + GAMMA * values(networks, info["final_observation"]) * cut
        return (after, state, key), (obs, actions, taken, values(networks, obs), paid, terminated | truncated)

    return jax.lax.scan(step, (obs, state, key), None, STEPS)


def advantages(rewards: Any, values_: Any, ended: Any, last_value: Any) -> Any:
    def back(carry: Any, row: Any) -> Any:
        advantage, following = carry
        reward, value, end = row
        on = 1.0 - end
        advantage = reward + GAMMA * following * on - value + GAMMA * LAM * on * advantage
        return (advantage, value), advantage

    return jax.lax.scan(back, (jnp.zeros(COPIES), last_value), (rewards, values_, ended), reverse=True)[1]


def loss(networks: Any, batch: Any) -> Any:
    obs, actions, before, advantage, target = batch
    now, every = log_probs(networks, obs, actions)
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    ratio = jnp.exp(now - before)
    gain = jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * advantage).mean()
    entropy = -(jnp.exp(every) * every).sum(-1).mean()
    return -gain + 0.5 * jnp.square(target - values(networks, obs)).mean() - ENTROPY * entropy


def update(carry: Any, _: Any) -> Any:
    networks, moments, obs, state, key, done = carry
    rate = RATE * (1.0 - done / UPDATES)
    (obs, state, key), (seen, actions, taken, old, paid, ended) = collect(networks, obs, state, key)
    found = advantages(paid, old, ended, values(networks, obs))
    batch = [x.reshape((COPIES * STEPS, *x.shape[2:])) for x in (seen, actions, taken, found, found + old)]

    def epoch(carry: Any, key: Any) -> Any:
        order = jax.random.permutation(key, COPIES * STEPS)
        parts = [x[order].reshape((MINIBATCHES, -1, *x.shape[1:])) for x in batch]

        def gradient_step(carry: Any, part: Any) -> Any:
            networks, moments = carry
            change, moments = OPTIMIZER.update(jax.grad(loss)(networks, part), moments, networks)
            return (jax.tree.map(lambda w, d: w + rate * d, networks, change), moments), None

        return jax.lax.scan(gradient_step, carry, parts)

    key, own = jax.random.split(key)
    (networks, moments), _ = jax.lax.scan(epoch, (networks, moments), jax.random.split(own, EPOCHS))
    return (networks, moments, obs, state, key, done + 1), None


STARTED = jax.jit(start)
GO_ON = jax.jit(lambda carry: jax.lax.scan(update, carry, None, AT_ONCE)[0])


def greedy(networks: Any) -> Any:
    """Returns `act`, in NumPy: 500 small calls of JAX would take longer."""
    weights = jax.tree.map(np.asarray, networks["actor"])

    def act(obs: np.ndarray) -> np.ndarray:
        x = obs
        for w, b in weights[:-1]:
            x = np.tanh(x @ w + b)
        return (x @ weights[-1][0] + weights[-1][1]).argmax(-1)

    return act


class JaxPPO:
    def prepare(self) -> None:
        jax.block_until_ready(GO_ON(STARTED(jax.random.PRNGKey(0))))

    def solve(self, seed: int, check: Check) -> None:
        carry = STARTED(jax.random.PRNGKey(seed))
        for calls in range(1, UPDATES // AT_ONCE + 1):
            carry = jax.block_until_ready(GO_ON(carry))
            if check(calls * AT_ONCE * COPIES * STEPS, greedy(carry[0])):
                return

    def speed(self, seconds: float) -> float:
        carry = jax.block_until_ready(GO_ON(STARTED(jax.random.PRNGKey(0))))
        done, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < seconds:
            carry = jax.block_until_ready(GO_ON(carry))
            done += AT_ONCE * COPIES * STEPS
        return done / spent


if __name__ == "__main__":
    answer({"ppo": JaxPPO})
