"""The tiger problem: which door hides the tiger is heard, not seen. Try `python examples/small_tiger.py`."""
from typing import NamedTuple

import numpy as np

from inscape import World
from inscape.world_models import BeliefFilter


class State(NamedTuple):
    tiger: int  # 0: left, 1: right
    heard: int  # 2: nothing yet

class SmallTiger(World):
    """Listening is right 85 times in 100; after a door is opened the tiger is placed again."""
    State, gamma, max_episode_steps = State, 0.95, 100
    actions, branches, initial_branches = ("listen", "open left", "open right"), 4, 2

    def initial(params, branch):
        return 0.5, State(branch, 2)
    def transition(params, state, action, branch):
        tiger, heard = branch // 2, branch % 2
        if action != 0:
            return 0.25, State(tiger, heard)
        return (tiger == state.tiger) * (0.85 if heard == tiger else 0.15), State(tiger, heard)
    def reward(params, purpose, state, action, next_state):
        return -1.0 if action == 0 else -100.0 if action - 1 == state.tiger else 10.0
    def observation(params, state):
        return state.heard
    def observations(params):
        return 3  # what is heard: one of three values

def belief_after(*heard):
    """Returns P(tiger left), P(tiger right) after listening and hearing these doors."""
    tiger = BeliefFilter.from_world(SmallTiger())
    episode = tiger.filter(np.array([2, *heard]), np.zeros(len(heard), int))
    return [float(p[-1]) for p in tiger.marginal(episode.beliefs, "tiger").values()]

if __name__ == "__main__":
    print("heard left:", belief_after(0), " left twice:", belief_after(0, 0), " left, right:", belief_after(0, 1))
