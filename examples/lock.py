"""A combination lock: a wrong digit puts it back to the start. Learned by chance in about 4 ** length steps; with a
curriculum over its length in hundreds:

inscape train q-learning examples/lock.py:Lock --steps 20000 --curriculum length=2,4,6,8,10,12
"""

from typing import Any, NamedTuple

import gymnasium as gym

from inscape import World


class State(NamedTuple):
    at: int  # digits that are right so far


class Params(NamedTuple):
    length: int = 12


class Lock(World):
    State, Params = State, Params
    actions = ("0", "1", "2", "3")
    max_episode_steps = 60

    @staticmethod
    def initial(params: Params, branch: int) -> tuple[float, State]:
        return 1.0, State(0)

    @staticmethod
    def transition(params: Params, state: State, action: int, branch: int) -> tuple[float, State]:
        digit = (state.at * state.at + 3 * state.at // 2 + 1) % 4
        return 1.0, State(state.at + 1 if action == digit else 0)

    @staticmethod
    def reward(params: Params, purpose: Any, state: State, action: int, next_state: State) -> float:
        return 1.0 if next_state.at == params.length else 0.0

    @staticmethod
    def terminal(params: Params, purpose: Any, state: State) -> bool:
        return state.at == params.length

    @staticmethod
    def observation(params: Params, state: State) -> int:
        return state.at

    @staticmethod
    def observations(params: Params) -> gym.Space[Any]:
        return gym.spaces.Discrete(params.length + 1)
