"""Agents broken on purpose: the named check must catch each."""

import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.tasks.task import Task
from inscape.errors import UsageError
from inscape.experiments.checks.agents import ROWS, check_agent, check_agent_spec
from inscape.experiments.checks.report import CheckReport
from tests.conftest import EXAMPLES
from tests.experiments.checks.test_worlds import Corridor


class Good:
    """Goes right with probability 0.75, left otherwise, where both are legal."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def probabilities(self, observation: Any, action_mask: Any) -> Any:
        p = np.tile([0.25, 0.75], (len(observation), 1))
        if action_mask is not None:
            p = np.where(action_mask, p, 0.0)
        return p / p.sum(axis=1, keepdims=True)

    def act(self, observation: Any, action_mask: Any = None) -> Any:
        p = self.probabilities(observation, action_mask)
        return (self.rng.random(len(p))[:, None] > p.cumsum(axis=1)).sum(axis=1)

    def action_log_probs(self, observation: Any, action_mask: Any = None) -> Any:
        with np.errstate(divide="ignore"):
            return np.log(self.probabilities(observation, action_mask))

    def learn(self, task: Any, steps: int) -> Any:
        for done in range(500, steps + 1, 500):
            yield {"steps": float(done)}

    def state_dict(self) -> Any:
        return {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: Any) -> None:
        self.rng.bit_generator.state = state["rng"]


class OneForAll(Good):
    def act(self, observation: Any, action_mask: Any = None) -> Any:
        return 1


class FloatActions(Good):
    def act(self, observation: Any, action_mask: Any = None) -> Any:
        return np.ones(len(observation))


class OutOfRange(Good):
    def act(self, observation: Any, action_mask: Any = None) -> Any:
        return np.full(len(observation), 2)


class IgnoresTheMask(Good):
    def act(self, observation: Any, action_mask: Any = None) -> Any:
        return np.ones(len(observation), int)


class Scribbles(Good):
    def act(self, observation: Any, action_mask: Any = None) -> Any:
        actions = super().act(observation, action_mask)
        observation += 1
        return actions


class HasItsOwnDice(Good):
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng()


class DoesNotNormalise(Good):
    def action_log_probs(self, observation: Any, action_mask: Any = None) -> Any:
        return super().action_log_probs(observation, action_mask) - 0.1


class HopesForTheIllegal(Good):
    def action_log_probs(self, observation: Any, action_mask: Any = None) -> Any:
        return super().action_log_probs(observation)


class SaysAnotherThing(Good):
    def action_log_probs(self, observation: Any, action_mask: Any = None) -> Any:
        log_probs = np.log(np.tile([0.4, 0.6], (len(observation), 1)))
        if action_mask is not None:
            log_probs = np.where(action_mask, log_probs, -np.inf)
            log_probs -= np.log(np.exp(log_probs).sum(axis=1, keepdims=True))
        return log_probs


class LooksAtTheNeighbours(Good):
    def probabilities(self, observation: Any, action_mask: Any) -> Any:
        p = super().probabilities(observation, action_mask)
        p = 0.7 * p + 0.3 * np.roll(p, 1, axis=0) if len(p) > 1 else p
        p = np.where(action_mask, p, 0.0)
        return p / p.sum(axis=1, keepdims=True)


class ForgetsItsDice(Good):
    def state_dict(self) -> Any:
        return {}

    def load_state_dict(self, state: Any) -> None:
        pass


class LosesCount(Good):
    def learn(self, task: Any, steps: int) -> Any:
        yield {"steps": 1000.0}
        yield {"steps": 500.0}


class SavesItself(Good):
    def state_dict(self) -> Any:
        return {"me": self}


class Recalls(Good):
    """Remembers the last observation of its copy; never in doubt."""

    def initial_memory(self, count: int) -> Any:
        return np.zeros((count, 1))

    def probabilities(self, observation: Any, action_mask: Any) -> Any:
        p = np.tile([0.0, 1.0], (len(observation), 1))
        return p if action_mask is None else np.where(action_mask.all(axis=1)[:, None], p, action_mask)

    def act_with_memory(self, observation: Any, memory: Any, reward: Any, action_mask: Any = None) -> Any:
        return self.act(observation, action_mask), np.asarray(observation, float).reshape(len(observation), -1)[:, :1]


class KeepsItself(Recalls):
    count = 0

    def act_with_memory(self, observation: Any, memory: Any, reward: Any, action_mask: Any = None) -> Any:
        self.count += 1
        return self.act(observation, action_mask), memory + self.count


class WritesInPlace(Recalls):
    def act_with_memory(self, observation: Any, memory: Any, reward: Any, action_mask: Any = None) -> Any:
        memory += 1
        return self.act(observation, action_mask), memory


class BeginsOtherwise(Recalls):
    def act_with_memory(self, observation: Any, memory: Any, reward: Any, action_mask: Any = None) -> Any:
        return action_mask.argmax(axis=1), memory


class RemembersTheNeighbours(Recalls):
    def act_with_memory(self, observation: Any, memory: Any, reward: Any, action_mask: Any = None) -> Any:
        return self.act(observation, action_mask), memory + len(observation)


BROKEN: list[tuple[type[Good], str, str]] = [
    (OneForAll, "acts", "shape"),
    (FloatActions, "acts", "dtype float64"),
    (OutOfRange, "acts", "action 2"),
    (IgnoresTheMask, "legal actions", "illegal action 1"),
    (Scribbles, "observations unchanged", "changed the observations"),
    (HasItsOwnDice, "same seed, same actions", "one seed"),
    (DoesNotNormalise, "log-probabilities", r"sum to 0\.90"),
    (HopesForTheIllegal, "log-probabilities", "illegal action"),
    (SaysAnotherThing, "acts as it says", "frequencies"),
    (LooksAtTheNeighbours, "rows independent", "row"),
    (ForgetsItsDice, "state round trip", "acts differently"),
    (LosesCount, "learns", "from 1000"),
    (SavesItself, "state round trip", "holds what a checkpoint cannot: state.me"),
    (KeepsItself, "memory", "was not given"),
    (WritesInPlace, "memory", "changed the memory"),
    (BeginsOtherwise, "memory", "otherwise than act"),
    (RemembersTheNeighbours, "memory", "rows around"),
]


@pytest.fixture(scope="module")
def corridor() -> Task:
    world = Corridor()
    return Task("Corridor", world, {}, world.max_episode_steps)


def failed(report: CheckReport) -> dict[str, str]:
    return {check.name: check.message for check in report.failures}


@pytest.mark.parametrize(("broken", "check", "said"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_agent_is_caught_by_the_named_check(corridor: Task, broken: type[Good], check: str, said: str) -> None:
    found = failed(check_agent(broken, corridor, broken.__name__))
    assert check in found
    assert re.search(said, found[check]), found[check]


def test_the_good_agent_passes_every_check(corridor: Task) -> None:
    for good in (Good, Recalls):
        report = check_agent(good, corridor)
        assert [(c.name, c.message) for c in report.checks if c.passed is not True] == []
    assert "memory" in {check.name for check in report.checks}


def test_an_agent_with_act_alone_passes_and_the_rest_is_skipped() -> None:
    class Bare:
        def act(self, observation: Any) -> Any:
            return np.zeros(len(observation), int)

    report = check_agent(lambda seed: Bare(), resolve_task("CartPole"))
    assert report.passed
    assert sum(check.passed is None for check in report.checks) >= 5


def test_continuous_actions_are_checked() -> None:
    class Strong:
        def act(self, observation: Any) -> Any:
            return np.full((len(observation), 1), 99.0)

    report = check_agent(lambda seed: Strong(), resolve_task("Pendulum-v1"))
    assert "99" in failed(report)["acts"]
    assert isinstance(resolve_task("Pendulum-v1").action_space, gymnasium.spaces.Box)


# two layers of 64 units take seconds of plain Python
SMALLER: dict[str, dict[str, Any]] = {
    "self-play": {"learner_settings": {"hidden": (8,), "num_envs": 8, "num_steps": 32}, "games": 4},
    "independent:ppo": {"hidden": (8,), "num_envs": 8, "num_steps": 32},
}


@pytest.mark.quick("sb3:ppo-CartPole", "self-play-TicTacToe")
@pytest.mark.parametrize(
    ("agent", "world"),
    [
        ("random", "FrozenLake"),
        ("q-learning", "FrozenLake"),
        ("value-iteration", "FrozenLake"),
        pytest.param("mcts", "FrozenLake", marks=pytest.mark.compiled(all=False)),  # thousands of searches
        pytest.param("ppo", "CartPole", marks=pytest.mark.compiled(all=False)),
        ("sb3:ppo", "CartPole"),
        pytest.param("mcts", "TicTacToe", marks=pytest.mark.compiled(all=False)),  # thousands of searches
        ("self-play", "TicTacToe"),
        ("independent:ppo", "RockPaperScissors"),
        ("ppo", "RockPaperScissors"),
    ],
)
def test_our_agents_keep_the_contract(agent: str, world: str) -> None:
    assert failed(check_agent_spec(agent, task=resolve_task(world), settings=SMALLER.get(agent))) == {}


def test_with_several_players_the_first_ones_part_is_checked() -> None:
    class First:
        def act(self, observation: Any) -> Any:
            return np.zeros(len(observation), int)

    class FirstLegal:
        """Looks at what it is shown: whenever the first player of tic-tac-toe is to move, an odd number is free."""

        free: list[int] = []

        def act(self, observation: Any, action_mask: Any = None) -> Any:
            self.free.extend(action_mask.sum(axis=1))
            return action_mask.argmax(axis=1)

    game = resolve_task("TicTacToe")
    assert "illegal" in failed(check_agent(lambda seed: First(), game))["acts"]
    assert failed(check_agent(lambda seed: FirstLegal(), game)) == {}
    free = FirstLegal.free[:ROWS]
    assert set(free) >= {9, 7, 5} and all(number % 2 == 1 for number in free)
    ppo = {check.name: check for check in check_agent_spec("ppo", task=game).checks}
    assert ppo["learns"].passed is None and "in turn" in ppo["learns"].message
    assert failed(check_agent(lambda seed: First(), resolve_task("RockPaperScissors"))) == {}


def test_without_a_task_the_first_is_taken_in_which_the_agent_can_act_at_all() -> None:
    example = EXAMPLES / "balance.py"
    report = check_agent_spec(f"{example}:Balance")
    assert report.subject.endswith("Balance in CartPole")
    assert report.passed


def test_without_a_task_one_that_the_agent_accepts_is_found(tmp_path: Path) -> None:
    (tmp_path / "pusher.py").write_text(
        "import numpy as np\nfrom inscape.errors import UsageError\n"
        "class Pusher:\n"
        "    def __init__(self, task):\n"
        "        if not hasattr(task.action_space, 'high'):\n            raise UsageError('only continuous actions')\n"
        "    def act(self, observation):\n        return np.zeros((len(observation), 1))\n"
    )
    assert check_agent_spec(f"{tmp_path / 'pusher.py'}:Pusher").subject.endswith("Pusher in Pendulum-v1")
    with pytest.raises(UsageError, match="only continuous"):
        check_agent_spec(f"{tmp_path / 'pusher.py'}:Pusher", task=resolve_task("CartPole"))
