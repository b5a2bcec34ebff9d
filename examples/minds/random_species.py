"""Agents that act at random, each in a way of its own: which species is one of, and what will it do next?

A mind remembers what it has done: a Dirichlet distribution over policies is Polya's urn.

Source: Rabinowitz et al. (2018), "Machine theory of mind", ICML, section 3.1: policies from a Dirichlet distribution
with concentration alpha; the best predictor is (n + alpha) / (N + 5 alpha).
"""

import itertools

import numpy as np

from inscape.envs import enumerated_world
from inscape.theory_of_mind import Controller, Observer, Step

counts = [n for n in itertools.product(range(6), repeat=5) if sum(n) <= 5]
after = [
    [counts.index((*n[:a], n[a] + 1, *n[a + 1 :])) if sum(n) < 5 else i for a in range(5)] for i, n in enumerate(counts)
]
world = enumerated_world("anywhere", "12345", lambda s, a: s, lambda s, a, t: 0.0)


class Species:
    """Agents whose policies are drawn from Dirichlet(alpha)."""

    def __init__(self, alpha):
        self.alpha, self.name = alpha, f"alpha = {alpha}"

    def controller(self, world, player=0):
        urn = np.array(counts) + self.alpha
        memory = np.array(after).T[None, :, None, :, None]
        start = np.eye(len(counts))[:1]
        return Controller(
            np.log(urn / urn.sum(axis=1, keepdims=True))[None], start, Step(memory, np.ones(memory.shape))
        )


watch = Observer(world, [Species(alpha) for alpha in (0.01, 0.1, 1.0)])
species = [watch.update(0, action, 0) for action in "22422"][-1]
ahead = watch.predict(0).action_probs
print(species, ahead)
