"""Small worlds with answers one can write down, and an observer recomputed densely, sharing no code with ours."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from inscape.envs.data.trajectory import Trajectory
from inscape.envs.world import World


class CorridorState(NamedTuple):
    cell: int


class CorridorParams(NamedTuple):
    length: int = 5
    slip: float = 0.0  # probability of moving the other way
    gate: bool = False  # the right end cannot be left to the left


class CorridorPurpose(NamedTuple):
    goal: int = 4
    cost: float = 0.0


class Corridor(World):
    """Cells in a row; 1 for entering the goal."""

    State, Params, Purpose = CorridorState, CorridorParams, CorridorPurpose
    actions = ("left", "right")
    branches = 2
    gamma = 0.9

    @staticmethod
    def initial(params, branch):
        return 1.0, CorridorState(params.length // 2)

    @staticmethod
    def roots(params):
        return [CorridorState(cell) for cell in range(params.length)]

    @staticmethod
    def legal(params, state, action):
        return not (params.gate and state.cell == params.length - 1 and action == 0)

    @staticmethod
    def transition(params, state, action, branch):
        step = 2 * action - 1 if branch == 0 else 1 - 2 * action
        probability = 1.0 - params.slip if branch == 0 else params.slip
        return probability, CorridorState(min(max(state.cell + step, 0), params.length - 1))

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return (1.0 if next_state.cell == purpose.goal else 0.0) - purpose.cost

    @staticmethod
    def terminal(params, purpose, state):
        return state.cell == purpose.goal

    @staticmethod
    def purposes(params, purpose):
        ends = {"left end": 0, "middle": params.length // 2, "right end": params.length - 1}
        return {name: purpose._replace(goal=cell) for name, cell in ends.items()}


class ForkState(NamedTuple):
    stage: int


class ForkPurpose(NamedTuple):
    sure: float = 0.4


class Fork(World):
    """Stop at once for `sure`, or go on to a second choice between 1 and 0: the three backups value it differently."""

    State, Purpose = ForkState, ForkPurpose
    actions = ("stop", "go on")
    gamma = 0.5

    @staticmethod
    def initial(params, branch):
        return 1.0, ForkState(0)

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, ForkState(1 if state.stage == 0 and action == 1 else 2)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        if state.stage == 0:
            return purpose.sure if action == 0 else 0.0
        return 1.0 if action == 0 else 0.0

    @staticmethod
    def terminal(params, purpose, state):
        return state.stage == 2

    @staticmethod
    def purposes(params, purpose):
        return {"prize": purpose}


class Dense:
    """An observer recomputed from the law's Python functions with dense matrices and linear-space products."""

    def __init__(self, world: World, minds: Any, gamma: float) -> None:
        self.law, self.params = type(world), world.params
        self.states = [world.unpack(world.dynamics().states, i) for i in range(len(world.dynamics()))]
        self.actions = world.num_actions
        self.transition = self.dense(self.params)
        self.legal = np.array([[self.allowed(s, a) for a in range(self.actions)] for s in self.states])
        self.policies = np.array([self.policy(world, mind, gamma) for mind in minds])
        self.over = np.array([self.ends(self.purpose(world, mind)) for mind in minds])

    def allowed(self, state: Any, action: int) -> bool:
        legal = self.law.law_function("legal")
        return True if legal is None else bool(legal(self.params, state, action))

    def dense(self, params: Any) -> np.ndarray:
        branches = self.law.law_function("branches")
        count = self.law.branches if branches is None else branches(params)
        index = {state: i for i, state in enumerate(self.states)}
        table = np.zeros((len(self.states), self.actions, len(self.states)))
        for i, a, b in itertools.product(range(len(self.states)), range(self.actions), range(count)):
            probability, following = self.law.law_function("transition")(params, self.states[i], a, b)
            if probability > 0:
                table[i, a, index[following]] += probability
        return table

    def purpose(self, world: World, mind: Any) -> Any:
        return world.goals[mind.goal] if isinstance(mind.goal, str) else mind.goal

    def ends(self, purpose: Any) -> np.ndarray:
        return np.array([bool(self.law.law_function("terminal")(self.params, purpose, s)) for s in self.states])

    def policy(self, world: World, mind: Any, gamma: float) -> np.ndarray:
        believed = self.params if mind.params is None else mind.params
        purpose, table = self.purpose(world, mind), self.dense(believed)
        over = self.ends(purpose)
        pay = np.zeros_like(table)
        for i, a, j in zip(*np.nonzero(table)):
            pay[i, a, j] = self.law.law_function("reward")(believed, purpose, self.states[i], a, self.states[j])
        values = np.zeros(len(self.states))
        for _ in range(3000):
            q = np.einsum("iaj,iaj->ia", table, pay + gamma * (~over * values)[None, None])
            q[~self.legal] = -np.inf
            values = np.where(over, 0.0, self.backed_up(q, mind))
        q[over] = 0.0
        return self.softmax(q, mind.beta)

    def backed_up(self, q: np.ndarray, mind: Any) -> np.ndarray:
        if mind.backup == "hard":
            return q.max(axis=1)
        if mind.backup == "maxent":
            return np.log(np.exp(mind.beta * q).sum(axis=1)) / mind.beta
        return (self.softmax(q, mind.beta) * np.where(self.legal, q, 0.0)).sum(axis=1)

    def softmax(self, q: np.ndarray, beta: float) -> np.ndarray:
        weights = np.exp(beta * np.where(self.legal, q, 0.0)) * self.legal
        return weights / weights.sum(axis=1, keepdims=True)

    def future(self, g: int, start: int, horizon: int) -> np.ndarray:
        """Distribution over states `horizon` steps on, by walking every sequence of actions and outcomes."""
        found = np.zeros(len(self.states))

        def walk(s: int, left: int, weight: float) -> None:
            if left == 0 or self.over[g, s]:
                found[s] += weight
                return
            for a in range(self.actions):
                for j in np.flatnonzero(self.transition[s, a]):
                    walk(int(j), left - 1, weight * self.policies[g, s, a] * self.transition[s, a, j])

        walk(start, horizon, 1.0)
        return found


def simulate(
    world: World, policy: np.ndarray, steps: int, rng: np.random.Generator, start: int | None = None
) -> Trajectory:
    """An episode of `policy [S, A]`, sampled from the enumerated tables; it ends at the world's own purpose."""
    law = world.dynamics()
    over = world.terminal_of(law.states)
    path = [int(rng.choice(len(law), p=law.initial)) if start is None else start]
    actions: list[int] = []
    while len(actions) < steps and not over[path[-1]]:
        s = path[-1]
        actions.append(int(rng.choice(policy.shape[1], p=policy[s])))
        path.append(int(rng.choice(law.next_state[s, actions[-1]], p=law.probability[s, actions[-1]])))
    states = law.states[np.array(path)]
    return Trajectory(
        world.observe(states), np.array(actions, np.int64), np.zeros(len(actions)), bool(over[path[-1]]), False, states
    )
