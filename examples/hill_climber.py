"""A custom learner. Try: inscape train examples/hill_climber.py:HillClimber CartPole --steps 200000"""

import numpy as np

from inscape import rollout


class HillClimber:
    """Changes a straight line through what it sees, and keeps the change if the next episodes go as well or better."""

    def __init__(self, task, seed=0):
        self.rng = np.random.default_rng(seed)
        self.weights, self.best, self.steps = np.zeros(task.observation_space.shape[0]), 0.0, 0

    def act(self, observation):
        return (observation @ self.weights > 0).astype(np.int64)

    def learn(self, task, steps):
        """Yields where `state_dict` holds everything; its driver logs, evaluates and saves in between."""
        while self.steps < steps:
            kept = self.weights
            self.weights = kept + self.rng.normal(size=kept.shape)
            episodes = rollout(self, task, 16, seed=int(self.rng.integers(2**31)))
            self.steps += sum(len(episode.actions) for episode in episodes)
            found = float(np.mean([episode.total_reward for episode in episodes]))
            self.weights, self.best = (self.weights, found) if found >= self.best else (kept, self.best)
            yield {"steps": float(self.steps), "episode_return": found, "best": self.best}

    def state_dict(self):
        return {
            "weights": self.weights,
            "best": self.best,
            "steps": self.steps,
            "rng": self.rng.bit_generator.state,
        }

    def load_state_dict(self, state):
        self.weights, self.best, self.steps = np.array(state["weights"]), state["best"], state["steps"]
        self.rng.bit_generator.state = state["rng"]
