"""Agents through pickle, copy and new processes: a copy acts and learns on as the agent itself does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numba
import numpy as np
import pytest

from inscape import make_agent, resolve_task
from tests.envs.pickling_cases import WAYS, in_a_new_process, plain

AGENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("FrozenLake", {}),
    "q-learning": ("FrozenLake", {"steps_per_report": 50}),
    "double-q-learning": ("FrozenLake", {"steps_per_report": 50}),
    "dyna-q": ("FrozenLake", {"steps_per_report": 50}),
    "ppo": ("FrozenLake", {"num_envs": 2, "num_steps": 8, "minibatches": 2, "epochs": 1, "backend": "torch"}),
    "a2c": ("FrozenLake", {"num_envs": 2, "num_steps": 4, "backend": "torch"}),
    "dqn": ("FrozenLake", {"learning_starts": 20, "buffer_size": 100, "batch_size": 8, "report_every": 40}),
    "value-iteration": ("FrozenLake", {}),
    "mcts": ("FrozenLake", {"num_simulations": 10, "rollout": "none"}),
    "reinforce": ("FrozenLake", {}),
}
SEEN = np.array([0, 1, 4])


def choices(agent: Any) -> list[Any]:
    return [plain(agent.act(SEEN)) for _ in range(5)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", AGENTS)
def test_a_copy_acts_as_the_agent_does(name: str, way: str) -> None:
    if name == "mcts" and numba.config.DISABLE_JIT:
        pytest.skip("random numbers of a search as plain Python")
    where, settings = AGENTS[name]
    agent = make_agent(name, resolve_task(where), seed=2, settings=settings or None)
    agent.act(SEEN)
    first, second = WAYS[way](agent), WAYS[way](agent)
    assert (type(first), first.name) == (type(agent), agent.name)
    there = choices(first)
    assert choices(agent) == there
    assert choices(second) == there  # neither of the others made it draw


@pytest.mark.quick(every=2)
@pytest.mark.parametrize("way", ["pickle 5", "cloudpickle", "deepcopy"])
@pytest.mark.parametrize("name", ["q-learning", "dyna-q", "ppo", "a2c", "dqn"])
def test_a_copy_made_amid_learning_learns_the_same(name: str, way: str) -> None:
    where, settings = AGENTS[name]
    task = resolve_task(where)
    agent = cast(Any, make_agent(name, task, seed=2, settings=settings))
    next(agent.learn(task, 400))
    twin = WAYS[way](agent)
    assert twin.steps == agent.steps > 0
    ours, theirs = (list(learner.learn(task, 160)) for learner in (agent, twin))
    assert len(ours) == len(theirs) > 0
    assert plain(agent.state_dict()) == plain(twin.state_dict())


def test_a_learner_works_in_a_new_process() -> None:
    task = resolve_task("FrozenLake")
    agent = cast(Any, make_agent("q-learning", task, seed=1, settings={"steps_per_report": 50}))
    next(agent.learn(task, 100))
    code = "import numpy as np\nprint(value.steps, value.act(np.array([0, 1, 4])).tolist())"
    assert in_a_new_process(agent, code) == f"{agent.steps} {agent.act(SEEN).tolist()}"


OWN = """
import numpy as np

class Drifting:
    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
    def act(self, observation):
        return self.rng.integers(0, 4, len(observation))

class Counting(Drifting):
    steps = 0
    def learn(self, task, steps):
        while self.steps < steps:
            self.steps += 10
            yield {"steps": float(self.steps)}
    def state_dict(self):
        return {"steps": self.steps, "rng": self.rng.bit_generator.state}
    def load_state_dict(self, state):
        self.steps, self.rng.bit_generator.state = state["steps"], state["rng"]
"""


@pytest.mark.parametrize("name", ["Drifting", "Counting"])
def test_an_agent_of_a_file_goes_on_in_a_new_process_and_here(name: str, tmp_path: Path) -> None:
    path = tmp_path / "drifting.py"
    path.write_text(OWN)
    agent = cast(Any, make_agent(f"{path}:{name}", resolve_task("FrozenLake"), seed=3))
    agent.act(SEEN)
    twins = [way(agent) for way in WAYS.values()]
    code = "import numpy as np\nprint([value.act(np.array([0, 1, 4])).tolist() for _ in range(5)])"
    there = in_a_new_process(agent, code)
    assert there == str(choices(agent))
    assert all(str(choices(twin)) == there for twin in twins)
