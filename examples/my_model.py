"""A custom world model, learned by counting; examples/my_planner.py plans in it.

inscape train examples/my_model.py:MyModel FrozenLake --steps 2000
"""

import numpy as np
from gymnasium import spaces

from inscape.world_models import FitReport, ModelStep


class MyModel:
    """For tasks with Discrete observations and actions; a state is the number observed. UCT can search it."""

    def __init__(self, states, actions):
        self.action_space, self.num_players = spaces.Discrete(actions), 1
        self.counts = np.full((states, actions, states), 0.01)  # how often a state followed; a little for those unseen
        self.rewards, self.ends = np.zeros(self.counts.shape), np.zeros(self.counts.shape)

    @staticmethod
    def for_task(task):
        return MyModel(int(task.observation_space.n), int(task.action_space.n))

    def init(self, observations):
        return np.asarray(observations)

    def update(self, states, actions, observations):
        return self.init(observations)  # what is observed is the state, whatever was before

    def step(self, states, actions, rng):
        cumulative = self.counts[states, actions].cumsum(axis=1)
        following = (cumulative <= rng.random(len(states))[:, None] * cumulative[:, -1:]).sum(axis=1)
        at = states, actions, following
        return ModelStep(following, self.rewards[at] / self.counts[at], 1 - self.ends[at] / self.counts[at])

    def keys(self, states):
        return [b"%d" % state for state in states]  # lets a search know a state when it meets it again

    def learn(self, trajectories):
        for episode in trajectories:
            at = episode.observations[:-1], episode.actions, episode.observations[1:]
            np.add.at(self.counts, at, 1)
            np.add.at(self.rewards, at, episode.rewards)
            self.ends[tuple(index[-1] for index in at)] += episode.terminated
        yield FitReport(transitions=sum(len(episode) for episode in trajectories))

    def log_prob(self, episode):
        at = episode.observations[:-1], episode.actions, episode.observations[1:]
        ended = (self.ends[at] + 0.5) / (self.counts[at] + 1)
        goes_on = np.where(np.arange(len(episode)) == len(episode) - 1, not episode.terminated, True)
        likelihood = self.counts[at] / self.counts[at[:2]].sum(axis=1) * np.where(goes_on, 1 - ended, ended)
        return float(np.log(likelihood).sum())

    def state_dict(self):
        return {"counts": self.counts.copy(), "rewards": self.rewards.copy(), "ends": self.ends.copy()}

    def load_state_dict(self, state):
        self.counts, self.rewards, self.ends = (np.array(state[name]) for name in ("counts", "rewards", "ends"))
