"""A custom world: an elevator. Try `inscape train q-learning examples/elevator.py:Elevator`."""
from typing import NamedTuple

from inscape import World


class State(NamedTuple):
    floor: int
    calls: int  # bit k is set while someone waits on floor k

class Params(NamedTuple):
    floors: int = 5
    arrivals: float = 0.2  # probability of a new call per step, on any floor alike

class Purpose(NamedTuple):
    favourite: int = -1  # a floor whose people count three times; -1: none

class Elevator(World):
    """Fetch the people who wait: 1 for each (3 on the favourite floor), -0.1 per step for each still waiting."""
    State, Params, Purpose = State, Params, Purpose
    actions, max_episode_steps, gamma = ("up", "down", "open"), 100, 0.95
    branches = staticmethod(lambda params: params.floors + 1)  # no call, or one on floor 0, 1, ...

    def initial(params, branch):
        return 1.0, State(0, 1)
    def transition(params, state, action, branch):
        floor = min(max(state.floor + (action == 0) - (action == 1), 0), params.floors - 1)
        calls = state.calls & ~(1 << floor) if action == 2 else state.calls
        if branch == 0:
            return 1 - params.arrivals, State(floor, calls)
        return params.arrivals / params.floors, State(floor, calls | 1 << (branch - 1))
    def reward(params, purpose, state, action, next_state):
        fetched = action == 2 and (state.calls >> state.floor) & 1
        waiting = sum([(state.calls >> k) & 1 for k in range(params.floors)])
        return fetched * (3.0 if state.floor == purpose.favourite else 1.0) - 0.1 * waiting
    def observations(params):
        return params.floors, 2**params.floors  # how many values each field of the state takes
    def purposes(params, purpose):
        return {f"floor {k}": Purpose(k) for k in range(params.floors)} | {"fair": Purpose()}
