"""A custom agent: any class with `act`. Try: inscape observe examples/my_agent.py:MyAgent FourGoals"""

import numpy as np


class MyAgent:
    """Wanders down and right through a grid, at random: an observer may guess where it is going."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)

    def act(self, observation):
        """Takes a batch of cells `[B]`, returns a move for each, `[B]`: 1 is down, 2 is right."""
        return self.rng.integers(1, 3, len(observation))
