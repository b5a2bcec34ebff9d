"""pymdp's agent in its own T-maze: prints its posteriors over policies and its time per step, as JSON.

Run by `benchmarks/active_inference.py --pymdp PYTHON`, with the Python of an environment that has
`inferactively-pymdp` 1.0 installed. A step is that of its demonstrations: infer states, infer policies, choose.
Two agents: the NumPy one of the earlier releases (`pymdp.legacy`), and the JAX one, called as its demonstrations call
it, and with the whole step compiled (`jax.jit`); what is compiled in first steps is not counted.
"""

from __future__ import annotations

import json
import sys
import time

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
from pymdp.agent import Agent  # noqa: E402
from pymdp.legacy.agent import Agent as LegacyAgent  # noqa: E402
from pymdp.legacy.envs.tmaze import TMazeEnvNullOutcome  # noqa: E402

STEPS = 200
OBSERVED = ([0, 0, 0], [3, 0, 1])  # the centre; then the cue: the reward is on the left
CUE = 3


def tables():
    """Returns observation, transition, preferences and start of the T-maze, as pymdp writes them."""
    env = TMazeEnvNullOutcome(reward_probs=[0.98, 0.02])
    likelihood, transition = env.get_likelihood_dist(), env.get_transition_dist()
    preferences = [np.zeros(4), np.array([0.0, 3.0, -3.0]), np.zeros(3)]
    start = [np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.5, 0.5])]
    return likelihood, transition, preferences, start


def legacy(depth):
    """Returns the posteriors at the start and after the cue, and seconds per step, of the NumPy agent."""
    likelihood, transition, preferences, start = tables()

    def objects(rows):
        out = np.empty(len(rows), object)
        for k, row in enumerate(rows):
            out[k] = row
        return out

    agent = LegacyAgent(A=likelihood, B=transition, C=objects(preferences), D=objects(start), control_fac_idx=[0],
                        policy_len=depth, gamma=16.0)  # fmt: skip
    posteriors = []
    for t, observation in enumerate(OBSERVED):
        if t:
            agent.action = np.array([CUE, 0])
        agent.infer_states(observation)
        posterior, _ = agent.infer_policies()
        posteriors.append(np.asarray(posterior, np.float64).ravel().tolist())
    began = time.process_time()
    for _ in range(STEPS):
        agent.action = np.array([CUE, 0])
        agent.infer_states(OBSERVED[1])
        agent.infer_policies()
        agent.sample_action()
    return posteriors, (time.process_time() - began) / STEPS


def by_jax(depth, wrap):
    """As `legacy`, of the JAX agent; `wrap` compiles a step, or does not."""
    likelihood, transition, preferences, start = tables()
    agent = Agent(A=[jnp.asarray(a) for a in likelihood], B=[jnp.asarray(b) for b in transition],
                  C=[jnp.asarray(c) for c in preferences], D=[jnp.asarray(d) for d in start], policy_len=depth,
                  control_fac_idx=[0], gamma=16.0, num_iter=1)  # fmt: skip

    def one(observation, prior):
        believed = agent.infer_states(observation, prior)
        posterior, _ = agent.infer_policies(believed)
        action = agent.sample_action(posterior)
        return posterior, action, agent.update_empirical_prior(jnp.array([[CUE, 0]]), believed)

    step = wrap(one)
    prior, posteriors = agent.D, []
    for observation in OBSERVED:
        posterior, _, prior = step([jnp.array([[o]]) for o in observation], prior)
        prior = prior[0] if isinstance(prior, tuple) else prior
        posteriors.append(np.asarray(posterior, np.float64).ravel().tolist())
    given = [jnp.array([[o]]) for o in OBSERVED[1]]
    jax.block_until_ready(step(given, prior))
    steps = STEPS if wrap is jax.jit else 3
    began = time.process_time()
    for _ in range(steps):
        jax.block_until_ready(step(given, prior))
    return posteriors, (time.process_time() - began) / steps


def main():
    depth = int(sys.argv[1])
    found = {}
    runs = {
        "NumPy": lambda: legacy(depth),
        "JAX": lambda: by_jax(depth, lambda step: step),
        "JAX, compiled": lambda: by_jax(depth, jax.jit),
    }
    for name, run in runs.items():
        posteriors, seconds = run()
        found[name] = {"posteriors": posteriors, "seconds": seconds}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
