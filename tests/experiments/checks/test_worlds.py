"""Worlds broken on purpose, each by one small change to a good one: the named check must catch each."""

import math
import random
import re
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pytest

from inscape.envs.compile.switch import is_plain
from inscape.envs.law.tools import replaced
from inscape.envs.registry import make_world, world_specs
from inscape.envs.rendering.scene import Circle, Scene
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.world import World
from inscape.experiments.checks.law import Law
from inscape.experiments.checks.readers import Environments, welch_deviation
from inscape.experiments.checks.report import CheckReport, Failed, chi_square_deviation
from inscape.experiments.checks.worlds import check_environment, check_world
from tests.conftest import ONE_OF_EACH_KIND, slow_but
from tests.envs.multi_worlds import Tag, Walkers


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
    visits: list[int] = []

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


# --- several players, who act in turn (Tag) or all at once (Walkers) ---


class OneReward(Tag):
    @staticmethod
    def reward(params: Any, purpose: Any, state: Any, action: Any, next_state: Any) -> Any:
        return 1.0 if next_state.score >= 5 else 0.0


class StrangerMoves(Tag):
    @staticmethod
    def mover(params: Any, state: Any) -> Any:
        return state.turn + 1


class NobodyMoves(Tag):
    mover = None


class OnlookerOutside(Tag):
    """Who acts sees what is declared; who waits does not."""

    @staticmethod
    def observation(params: Any, state: Any, player: Any) -> Any:
        return state.score if player == state.turn else state.score + 20


class Namesakes(Tag):
    player_names = ("ann", "ann")


class NumericMask(Tag):
    @staticmethod
    def legal(params: Any, state: Any, action: Any) -> Any:
        return action + state.score


class ThirdReward(Walkers):
    @staticmethod
    def reward(params: Any, purpose: Any, state: Any, action: Any, next_state: Any) -> Any:
        return 1.0, 0.0, 0.0


class StuckWalker(Walkers):
    @staticmethod
    def legal(params: Any, state: Any, player: Any, action: Any) -> Any:
        return player == 0 or state.xs[1] != 2


class LeakyTogether(Walkers):
    """Probabilities are right but where both go right."""

    @staticmethod
    def transition(params: Any, state: Any, action: Any, branch: Any) -> Any:
        probability, following = Walkers.transition(params, state, action, branch)
        return (probability if action != (1, 1) else 0.45), following


class LongerState(Walkers):
    @staticmethod
    def transition(params: Any, state: Any, action: Any, branch: Any) -> Any:
        following = state._replace(xs=replaced(state.xs, 0, 0), t=state.t + 1)
        return (0.5, following) if state.t < 2 else (0.5, following._replace(xs=(*state.xs, 0)))


class FalseSight(Walkers):
    """The second player sees something else when compiled: integers wrap at 64 bits."""

    @staticmethod
    def observation(params: Any, state: Any, player: Any) -> Any:
        return player if (state.t + 2**62) * 4 > 0 else 0


# --- wide observations ---


class Tape(Corridor):
    """The corridor seen as a strip of cells, brighter to the right of the walker."""

    observation, state_of = None, None

    @staticmethod
    def observation_entry(params: Any, view: Any, k: Any) -> Any:
        return 10 * k if k >= view.x else 0

    @staticmethod
    def observations(params: Any) -> Any:
        return gymnasium.spaces.Box(0, 50, (5, 1), np.uint8)


class OverflowingTape(Tape):
    @staticmethod
    def observation_entry(params: Any, view: Any, k: Any) -> Any:
        return 256 + 10 * k if view.x == 3 else 10 * k


class NegativeTape(Tape):
    @staticmethod
    def observation_entry(params: Any, view: Any, k: Any) -> Any:
        return k - view.x


class GlaringTape(Tape):
    @staticmethod
    def observations(params: Any) -> Any:
        return gymnasium.spaces.Box(0, 30, (5, 1), np.uint8)


class FractionTape(Tape):
    @staticmethod
    def observation_entry(params: Any, view: Any, k: Any) -> Any:
        return k / 2


class InfiniteTape(Tape):
    """Finite in Python's numbers, infinite in the dtype declared."""

    @staticmethod
    def observation_entry(params: Any, view: Any, k: Any) -> Any:
        return 1e39 * view.x

    @staticmethod
    def observations(params: Any) -> Any:
        return gymnasium.spaces.Box(-np.inf, np.inf, (5, 1), np.float32)


class WornTape(Tape):
    plays: list[int] = []

    @staticmethod
    def observation_entry(params: Any, view: Any, k: Any) -> Any:
        WornTape.plays.append(k)
        return min(len(WornTape.plays), 50)


class WrappedTape(Tape):
    @staticmethod
    def observation_entry(params: Any, view: Any, k: Any) -> Any:
        return k if (view.x + 2**62) * 4 > 0 else 0


# --- samplers without a loop ---


class Unrolled(Corridor):
    """The corridor, whose outcomes are sampled without a loop: one more than there are."""

    max_branches = 3

    @staticmethod
    def branches(params: Any) -> Any:
        return 2

    @staticmethod
    def transition(params: Any, state: Any, action: Any, branch: Any) -> Any:
        if branch == 1:
            return 1.0 - params.slip, Place(min(max(state.x + 2 * action - 1, 0), params.length))
        return (params.slip if branch == 0 else 0.0), state


class SpilledOutcome(Unrolled):
    transition = Corridor.transition


class NegativeSpill(Unrolled):
    @staticmethod
    def transition(params: Any, state: Any, action: Any, branch: Any) -> Any:
        probability, following = Corridor.transition(params, state, action, branch)
        return (probability if branch < 2 else -0.1), following


class NoStateThere(Unrolled):
    @staticmethod
    def transition(params: Any, state: Any, action: Any, branch: Any) -> Any:
        return Corridor.transition(params, state, action, branch) if branch < 2 else (0.0, Place(0.5))


class TooFewUnrolled(Unrolled):
    max_branches = 1


class TooManyUnrolled(Unrolled):
    max_branches = 17


# --- what is hidden ---


class Hidden(NamedTuple):
    x: int
    prize: int


class Guess(World):
    """A prize lies left or right, unseen; look (x), then take a side."""

    State, actions = Hidden, ("left", "right")
    initial_branches, max_episode_steps = 2, 5

    @staticmethod
    def initial(params: Any, branch: Any) -> Any:
        return 0.5, Hidden(0, branch)

    @staticmethod
    def transition(params: Any, state: Any, action: Any, branch: Any) -> Any:
        return 1.0, Hidden(state.x + 1, state.prize)

    @staticmethod
    def reward(params: Any, purpose: Any, state: Any, action: Any, next_state: Any) -> Any:
        return 1.0 if action == state.prize else 0.0

    @staticmethod
    def terminal(params: Any, purpose: Any, state: Any) -> Any:
        return state.x == 2

    @staticmethod
    def observation(params: Any, state: Any) -> Any:
        return state.x

    @staticmethod
    def observations(params: Any) -> Any:
        return 3

    @staticmethod
    def describe_observation(params: Any, purpose: Any, observation: Any) -> Any:
        return f"Step {observation}."

    @staticmethod
    def describe(params: Any, purpose: Any, state: Any) -> Any:
        return f"Step {state.x}."


class Peeking(Guess):
    """Its words remember what the observation hides."""

    prize = -1

    @staticmethod
    def observation(params: Any, state: Any) -> Any:
        Peeking.prize = state.prize
        return state.x

    @staticmethod
    def describe_observation(params: Any, purpose: Any, observation: Any) -> Any:
        return f"Step {observation}; it is in box {Peeking.prize}."


class Speechless(Guess):
    @staticmethod
    def describe_observation(params: Any, purpose: Any, observation: Any) -> Any:
        return "" if observation == 1 else "Step."


class GlassBoxes(Guess):
    @staticmethod
    def draw_view(params: Any, purpose: Any, state: Any) -> Any:
        return Scene(1, 1, (Circle(state.prize, 0.5, 0.3, fill="red"),))


class PresumedState(Guess):
    @staticmethod
    def state_of(params: Any, observation: Any) -> Any:
        return Hidden(observation, 0)


class Wheel(NamedTuple):
    angle: float


class Turning(World):
    """A wheel seen by its sine and cosine: its state is known up to whole turns, which make no difference."""

    State, actions, max_episode_steps = Wheel, ("on",), 20

    @staticmethod
    def initial(params: Any, branch: Any) -> Any:
        return 1.0, Wheel(0.5)

    @staticmethod
    def transition(params: Any, state: Any, action: Any, branch: Any) -> Any:
        return 1.0, Wheel(state.angle + 1.0)

    @staticmethod
    def reward(params: Any, purpose: Any, state: Any, action: Any, next_state: Any) -> Any:
        return math.sin(next_state.angle)

    @staticmethod
    def observation(params: Any, state: Any) -> Any:
        return math.sin(state.angle), math.cos(state.angle)

    @staticmethod
    def observations(params: Any) -> Any:
        return gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    @staticmethod
    def state_of(params: Any, observation: Any) -> Any:
        return Wheel(math.atan2(*observation))


class Counting(Turning):
    """Whole turns make a difference to the reward."""

    @staticmethod
    def reward(params: Any, purpose: Any, state: Any, action: Any, next_state: Any) -> Any:
        return next_state.angle


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
    (RoundedObservation, "observation", r"0\.5.*does not fit the dtype int64"),
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
    (OneReward, "reward", r"gave 0\.0; expected a tuple of 2 finite numbers"),
    (StrangerMoves, "mover", "gave 2; expected 0 to 1"),
    (NobodyMoves, "mover", "no function mover"),
    (OnlookerOutside, "observation", r"observation 20 of TagState\(turn=0, score=0\) by bob is outside"),
    (Namesakes, "player names", "2 different words"),
    (NumericMask, "legal", r"\[0, 1, 2\]; expected True or False"),
    (ThirdReward, "reward", "a tuple of 2 finite numbers"),
    (StuckWalker, "legal", "no action is legal for player_1"),
    (LeakyTogether, "probabilities", r"action \(1, 1\): .* sum to 0\.9"),
    (LongerState, "state fields", "expected 2 values"),
    (FalseSight, "plain equals compiled", "observation"),
    (OverflowingTape, "observation", r"256, 266.*does not fit the dtype uint8"),
    (NegativeTape, "observation", r"-1.*does not fit the dtype uint8"),
    (GlaringTape, "observation", r"40\) of Place\(x=0\) is outside observation_space"),
    (FractionTape, "observation", r"0\.5.*does not fit the dtype uint8"),
    (InfiniteTape, "observation", r"1e\+39.*does not fit the dtype float32"),
    (WornTape, "pure", "observation at"),
    (WrappedTape, "plain equals compiled", "observation"),
    (SpilledOutcome, "unrolled sampler", r"branch 2 of 2: probability 0\.8; expected 0\.0, since max_branches = 3"),
    (NegativeSpill, "unrolled sampler", r"probability -0\.1; expected 0\.0"),
    (NoStateThere, "unrolled sampler", r"branch 2 of 2: x = 0\.5 \(float\)"),
    (TooFewUnrolled, "unrolled sampler", "max_branches = 1 with 2 outcomes"),
    (TooManyUnrolled, "unrolled sampler", "expected an int from 2 to 16"),
    (Peeking, "text of observations", r"describe_observation distinguishes .*prize=0.* and .*prize=1"),
    (Speechless, "text of observations", r"describe_observation\(1\) gave ''"),
    (GlassBoxes, "scene for a player", "draw_view distinguishes"),
    (PresumedState, "state_of", r"state_of\(0\) gave Hidden\(x=0, prize=0\), observed in Hidden\(x=0, prize=1\)"),
]


def failed(report: CheckReport) -> dict[str, str]:
    return {check.name: check.message for check in report.failures}


OF_COMPILED = {"compiles", "plain equals compiled"}
"""Checks that are not made where kernels are plain."""


def marked(broken: type[World], check: str, said: str) -> Any:
    """Compiled, one of each of these checks is quick: most of such a test is compiling."""
    if check not in OF_COMPILED:
        return pytest.param(broken, check, said)
    quick = (broken, check) in ((FalseSight, "plain equals compiled"), (HalfCompiled, "compiles"))
    return pytest.param(
        broken, check, said, marks=[pytest.mark.compiled(all=False), *([] if quick else [pytest.mark.slow])]
    )


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # the defect of some
@pytest.mark.parametrize(
    ("broken", "check", "said"), [marked(*row) for row in BROKEN], ids=lambda value: getattr(value, "__name__", None)
)
def test_a_broken_world_is_caught_by_the_named_check(broken: type[World], check: str, said: str) -> None:
    found = failed(check_world(broken(), readers="batches"))
    assert check in found
    assert re.search(said, found[check], re.DOTALL), found[check]


ONE, SEVERAL = {"Gymnasium's check_env", "Stable-Baselines3's check_env"}, {"PettingZoo's api_test", "player names"}
LACKING = {"purposes", "text of observations", "scene for a player"}
GOOD = [
    pytest.param(
        Corridor,
        {*LACKING, *SEVERAL, "PettingZoo's parallel_api_test", "mover", "unrolled sampler"},
        marks=[pytest.mark.compiled(all=False), pytest.mark.slow],
    ),
    (Tag, {*LACKING, *ONE, "PettingZoo's parallel_api_test", "unrolled sampler", "state_of"}),
    pytest.param(Walkers, {*LACKING, *ONE, "mover", "unrolled sampler", "state_of"}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("good", "skips"), GOOD)
def test_a_good_world_passes_every_check(good: type[World], skips: set[str]) -> None:
    report = check_world(good())
    assert failed(report) == {}
    skips = skips | OF_COMPILED if is_plain() else skips
    assert {check.name for check in report.checks if check.passed is None} == skips


@pytest.mark.parametrize("good", [Tape, Unrolled, Guess, Turning])
def test_a_good_law_passes_every_check_of_it(good: type[World]) -> None:
    assert failed(check_world(good(), readers="none")) == {}


@pytest.mark.compiled(all=False)
def test_a_state_of_one_field_is_observed_as_a_number_by_plain_and_compiled_law_alike() -> None:
    assert failed(check_world(PlainCorridor(), readers="batches")) == {}


def test_a_state_may_not_be_given_back_up_to_what_makes_a_difference() -> None:
    assert set(failed(check_world(Counting(), readers="none"))) == {"state_of"}


def test_the_sample_of_states_reaches_the_end_of_long_games() -> None:
    law = Law(make_world("ConnectFour"))
    law.check_initial()
    assert any(law.is_terminal(state) for state in law.states)
    assert not law.explored_all
    small = Law(Corridor())
    small.check_initial()
    assert [state.x for state in small.states] == [0, 1, 2, 3, 4]
    assert small.explored_all


# --- environments that do not keep what their world promises: the kernels are those of the good worlds ---


def changed(make: Any, change: Any) -> Any:
    """Makes environments as before, and changes each."""

    def made(self: World, *args: Any) -> Any:
        env = make(self, *args)
        change(env)
        return env

    return made


def blind(env: Any) -> None:
    """Declares a space that observations leave."""
    env.observation_space = gymnasium.spaces.Box(-2.0, -1.0, (3,), np.float32)


def blind_table(env: Any) -> None:
    env.observation_spaces = dict.fromkeys(env.possible_agents, gymnasium.spaces.Discrete(1))


def revived(env: Any) -> None:
    """Keeps players at the table after the end."""
    step = env.step

    def kept(actions: Any) -> Any:
        told = step(actions)
        env.agents = list(env.possible_agents)
        return told

    env.step = kept


@pytest.mark.parametrize(
    ("world", "reader", "change", "check", "said"),
    [
        (Tag, "aec_env", blind_table, Environments.check_aec, "observation"),
        (Walkers, "parallel_env", revived, Environments.check_parallel, "!= set"),
        (Corridor, "env", blind, Environments.check_gymnasium, "observation"),
        (Corridor, "env", blind, Environments.check_sb3, "observation"),
    ],
)
def test_each_checker_of_other_libraries_is_listened_to(
    world: type[World], reader: str, change: Any, check: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, reader, changed(getattr(world, reader), change))
    with pytest.raises(AssertionError, match=said):
        check(Environments(world()))


def test_masks_and_movers_of_the_vector_environment_are_those_of_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    env, rights = Environments(Walkers()), Walkers.legal_actions
    monkeypatch.setattr(Walkers, "legal_actions", lambda self, states: rights(self, states) & [False, True])
    with pytest.raises(Failed, match="action_mask"):
        env.check_vector()
    monkeypatch.setattr(Tag, "mover_of", lambda self, states: np.zeros(len(states), np.int64))
    with pytest.raises(Failed, match="mover"):
        Environments(Tag()).check_vector()
    monkeypatch.setattr(Corridor, "observe", lambda self, states: 1 + states.ints[0])
    with pytest.raises(Failed, match="observations are not those"):
        Environments(Corridor()).check_vector()


@pytest.mark.slow
def test_random_play_that_pays_otherwise_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """One player's mean is off, the other's right."""
    fair = Walkers.random_play

    def unfair(self: World, *args: Any) -> Any:
        played = fair(self, *args)
        played.mean_return[1] += 0.2
        return played

    monkeypatch.setattr(Walkers, "random_play", unfair)
    with pytest.raises(Failed, match="random play of player_1"):
        Environments(Walkers()).check_random_play()


def test_welch_deviation_agrees_with_scipy() -> None:
    from scipy import stats

    rng = np.random.default_rng(0)
    one, other = rng.normal(0.0, 1.0, 30), rng.normal(0.3, 2.0, 50)
    theirs = abs(stats.ttest_ind(one, other, equal_var=False).statistic)
    assert welch_deviation(one, other) == pytest.approx(theirs)
    assert welch_deviation(np.ones(5), np.ones(7)) == 0.0
    assert welch_deviation(np.ones(5), np.zeros(7)) == float("inf")


NAMES = [spec.name for spec in world_specs()]


LONG = {"PredatorPrey", "Household", "Taxi", "Spread"}


@pytest.mark.parametrize("name", slow_but([name for name in NAMES if name not in LONG], NAMES))
def test_every_registered_world_keeps_the_contract(name: str) -> None:
    readers = "batches" if name in ONE_OF_EACH_KIND else "none"  # the slow test checks everything
    assert failed(check_world(make_world(name), readers=readers)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_registered_world_and_its_environments_keep_the_contract(name: str) -> None:
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


@pytest.mark.parametrize(
    ("colour", "said"),
    [("gren", "did you mean 'green'?"), ("#12", "one of the palette: paper"), ("Pink", "one of the palette: paper")],
)
def test_a_wrong_colour_names_the_palette_and_stops_no_other_check(colour, said):
    from inscape.envs.rendering.scene import Circle, Scene
    from inscape.envs.worlds.mdp.chain import Chain

    class Painted(Chain):
        @staticmethod
        def draw(params, purpose, state):
            return Scene(2, 2, (Circle(1, 1, 0.5, fill=colour),))

    report = check_world(Painted(), readers="batches")
    assert [failure.name for failure in report.failures] == ["scene"]
    message = report.failures[0].message
    assert f"the fill of Circle is an unknown colour {colour!r}" in message
    assert said in message
    found = {item.name: item for item in report.checks}
    assert not [item for item in report.checks if item.message.startswith("not run")]
    assert found["rows independent"].passed is True
