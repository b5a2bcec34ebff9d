"""Worlds broken on purpose, each by one small change to a good one: the named check must catch each."""

import random
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pytest

from inscape.envs.law import World
from inscape.envs.registry import make_world, resolve_task, world_specs
from inscape.envs.scene import Circle, Scene
from inscape.experiments.checking import CheckReport, chi_square_deviation
from inscape.experiments.world_checks import check_environment, check_world


class Place(NamedTuple):
    x: int


class Chance(NamedTuple):
    slip: float = 0.2
    length: int = 4


class Prize(NamedTuple):
    prize: float = 1.0


class Corridor(World):
    """Walk right to the end; a slip leaves you where you are."""

    State, Params, Purpose = Place, Chance, Prize
    actions = ("left", "right")
    branches = 2
    max_episode_steps = 30

    @staticmethod
    def initial(params: Any, branch: Any) -> Any:
        return 1.0, Place(0)

    @staticmethod
    def transition(params: Any, state: Any, action: Any, branch: Any) -> Any:
        if branch == 0:
            return params.slip, state
        return 1.0 - params.slip, Place(min(max(state.x + 2 * action - 1, 0), params.length))

    @staticmethod
    def reward(params: Any, purpose: Any, state: Any, action: Any, next_state: Any) -> Any:
        return purpose.prize if next_state.x == params.length else 0.0

    @staticmethod
    def terminal(params: Any, purpose: Any, state: Any) -> Any:
        return state.x == params.length

    @staticmethod
    def legal(params: Any, state: Any, action: Any) -> Any:
        return action == 1 or state.x > 0

    @staticmethod
    def observation(params: Any, state: Any) -> Any:
        return state.x

    @staticmethod
    def observations(params: Any) -> Any:
        return gymnasium.spaces.Discrete(params.length + 1)

    @staticmethod
    def state_of(params: Any, observation: Any) -> Any:
        return Place(observation)


class PlainCorridor(World):
    """The corridor with as little as a world can have: one field in the state, which is what is observed."""

    State, Params, Purpose = Place, Chance, Prize
    actions, branches, max_episode_steps = ("left", "right"), 2, 30
    initial, transition, reward = Corridor.initial, Corridor.transition, Corridor.reward

    @staticmethod
    def observations(params: Any) -> Any:
        return params.length + 1


class LeakyProbabilities(Corridor):
    @staticmethod
    def transition(params: Any, state: Any, action: Any, branch: Any) -> Any:
        return (params.slip, state) if branch == 0 else (0.9 - params.slip, Place(min(state.x + 1, params.length)))


class NegativeProbability(Corridor):
    @staticmethod
    def transition(params: Any, state: Any, action: Any, branch: Any) -> Any:
        return (-0.2, state) if branch == 0 else (1.2, Place(min(state.x + 1, params.length)))


class LeakyStart(Corridor):
    initial_branches = 2

    @staticmethod
    def initial(params: Any, branch: Any) -> Any:
        return 0.4, Place(branch)


class EndedStart(Corridor):
    @staticmethod
    def initial(params: Any, branch: Any) -> Any:
        return 1.0, Place(params.length)


class SecretDice(Corridor):
    @staticmethod
    def transition(params: Any, state: Any, action: Any, branch: Any) -> Any:
        probability = random.random()
        return (probability, state) if branch == 0 else (1.0 - probability, Place(min(state.x + 1, params.length)))


class Diary(Corridor):
    visits: list[int] = []  # noqa: RUF012 (that it is shared is the defect)

    @staticmethod
    def reward(params: Any, purpose: Any, state: Any, action: Any, next_state: Any) -> Any:
        Diary.visits.append(state.x)
        return float(len(Diary.visits))


class InfiniteReward(Corridor):
    @staticmethod
    def reward(params: Any, purpose: Any, state: Any, action: Any, next_state: Any) -> Any:
        return float("inf") if next_state.x == 2 else 0.0


class FloatInAnIntField(Corridor):
    @staticmethod
    def transition(params: Any, state: Any, action: Any, branch: Any) -> Any:
        return (params.slip, state) if branch == 0 else (1.0 - params.slip, Place(min(state.x + 0.5, params.length)))


class BareTuple(Corridor):
    @staticmethod
    def transition(params: Any, state: Any, action: Any, branch: Any) -> Any:
        class Other(NamedTuple):
            x: int

        return (params.slip, state) if branch == 0 else (1.0 - params.slip, Other(min(state.x + 1, params.length)))


class NoWayOut(Corridor):
    @staticmethod
    def legal(params: Any, state: Any, action: Any) -> Any:
        return state.x != 2


class UnseenObservation(Corridor):
    @staticmethod
    def observations(params: Any) -> Any:
        return gymnasium.spaces.Discrete(params.length)


class RoundedObservation(Corridor):
    @staticmethod
    def observation(params: Any, state: Any) -> Any:
        return state.x + 0.5


class WrongInverse(Corridor):
    @staticmethod
    def state_of(params: Any, observation: Any) -> Any:
        return Place(0)


class NumericTerminal(Corridor):
    @staticmethod
    def terminal(params: Any, purpose: Any, state: Any) -> Any:
        return 0.0


class Endless(Corridor):
    max_episode_steps = None

    @staticmethod
    def terminal(params: Any, purpose: Any, state: Any) -> Any:
        return False


class Silent(Corridor):
    @staticmethod
    def describe(params: Any, purpose: Any, state: Any) -> Any:
        return None


class UnknownColour(Corridor):
    @staticmethod
    def draw(params: Any, purpose: Any, state: Any) -> Any:
        return Scene(1, 1, (Circle(0.5, 0.5, 0.3, fill="mauve"),))


class ForgetfulSettings(Corridor):
    def setup(self, slip: float = 0.2) -> Any:
        ForgetfulSettings.made = getattr(ForgetfulSettings, "made", 0) + 1
        return Chance(slip, length=3 + ForgetfulSettings.made), Prize()


class RaisesAtTheEnd(Corridor):
    @staticmethod
    def transition(params: Any, state: Any, action: Any, branch: Any) -> Any:
        return (1.0, Place([1, 2, 3][state.x])) if branch == 0 else (0.0, state)


class TablesWritten(Corridor):
    class Params(NamedTuple):
        length: int = 4
        table: np.ndarray = np.zeros(8)

    @staticmethod
    def transition(params: Any, state: Any, action: Any, branch: Any) -> Any:
        params.table[7] += 1.0
        return (1.0, Place(min(state.x + 1, params.length))) if branch == 0 else (0.0, state)


class HalfCompiled(Corridor):
    """Integers wrap at 64 bits when compiled, and do not in Python."""

    @staticmethod
    def reward(params: Any, purpose: Any, state: Any, action: Any, next_state: Any) -> Any:
        return 1.0 if (next_state.x + 2**62) * 4 > 0 else 0.0


class CannotCompile(Corridor):
    @staticmethod
    def terminal(params: Any, purpose: Any, state: Any) -> Any:
        return state._asdict()["x"] == params.length


BROKEN: list[tuple[type[World], str, str]] = [
    (LeakyProbabilities, "probabilities", r"Place\(x=0\), action 1 \(right\).*sum to 0\.9"),
    (NegativeProbability, "probabilities", r"-0\.2"),
    (LeakyStart, "initial distribution", r"sum to 0\.8"),
    (EndedStart, "initial distribution", "is terminal"),
    (SecretDice, "pure", "transition at"),
    (Diary, "pure", "reward at"),
    (InfiniteReward, "reward", "inf"),
    (FloatInAnIntField, "state fields", r"x = 0\.5 \(float\)"),
    (BareTuple, "state fields", "not a State"),
    (NoWayOut, "legal", r"no action is legal at Place\(x=2\)"),
    (UnseenObservation, "observation", "outside observation_space"),
    (RoundedObservation, "observation", r"0\.5"),
    (WrongInverse, "state_of", r"state_of\(1\) gave Place\(x=0\)"),
    (NumericTerminal, "terminal", "expected True or False"),
    (Endless, "terminal", "never end"),
    (Silent, "text", "None"),
    (UnknownColour, "scene", "mauve"),
    (ForgetfulSettings, "settings", "settings are not complete"),
    (RaisesAtTheEnd, "initial distribution", "IndexError"),
    (TablesWritten, "parameters unchanged", "read-only"),
    (HalfCompiled, "plain equals compiled", "reward"),
    (CannotCompile, "compiles", ""),
]


def failed(report: CheckReport) -> dict[str, str]:
    return {check.name: check.message for check in report.failures}


@pytest.mark.parametrize(("broken", "check", "said"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_world_is_caught_by_the_named_check(broken: type[World], check: str, said: str) -> None:
    import re

    found = failed(check_world(broken()))
    assert check in found
    assert re.search(said, found[check], re.DOTALL), found[check]


def test_the_good_world_passes_every_check() -> None:
    report = check_world(Corridor())
    assert failed(report) == {}
    skipped = {check.name for check in report.checks if check.passed is None}
    assert skipped == {"mover", "purposes", "Gymnasium's check_env"}


def test_a_state_of_one_field_is_observed_as_a_number_by_plain_and_compiled_law_alike() -> None:
    assert failed(check_world(PlainCorridor())) == {}


@pytest.mark.parametrize("name", [spec.name for spec in world_specs()])
def test_every_registered_world_keeps_the_contract(name: str) -> None:
    assert failed(check_world(make_world(name))) == {}


def test_an_ordinary_environment_is_checked_as_far_as_it_goes() -> None:
    report = check_environment(resolve_task("CartPole-v1"))
    assert report.passed
    assert [check.passed for check in report.checks] == [True, True, None]


def test_chi_square_deviation_agrees_with_scipy() -> None:
    from scipy import stats

    rng = np.random.default_rng(0)
    p = np.array([0.1, 0.2, 0.3, 0.4])
    for shift in (0.0, 0.01, 0.02):
        counts = rng.multinomial(4000, np.array([0.1 + shift, 0.2, 0.3, 0.4 - shift]))
        exact = stats.norm.isf(stats.chisquare(counts, 4000 * p).pvalue)
        assert chi_square_deviation(counts, p) == pytest.approx(exact, abs=0.1)


def test_chi_square_deviation_of_the_impossible_and_of_the_certain() -> None:
    assert chi_square_deviation(np.array([99, 1]), np.array([1.0, 0.0])) == float("inf")
    assert chi_square_deviation(np.array([100]), np.array([1.0])) == 0.0
    rare = chi_square_deviation(np.array([999, 1]), np.array([0.999, 0.001]))
    assert np.isfinite(rare)
