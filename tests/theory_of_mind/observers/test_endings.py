"""That an episode ended, and that it went on, as evidence: against likelihoods multiplied by hand."""

import itertools
import math

import numpy as np
import pytest

from inscape.envs.data.trajectory import Trajectory
from inscape.errors import UsageError
from inscape.theory_of_mind import Ends, ImpossibleEvidenceError, InTurn, Observer, PlanningMind, Softmax
from inscape.theory_of_mind.parts.planning import Planning
from tests.theory_of_mind.worlds import Corridor, CorridorState

LEFT, RIGHT = 0, 1
BETA = 2.0


def walk(world, cells, actions, terminated):
    states = world.pack([CorridorState(cell) for cell in cells])
    rewards = np.zeros(len(actions))
    return Trajectory(world.observe(states), np.array(actions, np.int64), rewards, terminated, False, states)


@pytest.fixture
def corridor():
    """A corridor of five cells, minds that want its left (0) and right end (4), and what they do by themselves."""
    world = Corridor()
    minds = [PlanningMind(goal, BETA, "hard") for goal in ("left end", "right end")]
    return world, minds, np.exp(Observer(world, minds).policies.log_probs)


def by_hand(probs, cells, actions, ended, stop, elsewhere):
    """P(episode | mind) of both minds: each state is passed or the end, each action chosen."""
    likelihood = np.ones(2)
    for g, goal in enumerate((0, 4)):
        for cell, action in zip(cells, actions):
            likelihood[g] *= (1 - (stop if cell == goal else elsewhere)) * probs[g, cell, action]
        if ended:
            likelihood[g] *= stop if cells[-1] == goal else elsewhere
    return likelihood


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("cells", [(2, 3, 4), (2, 1, 2, 3), (1, 0, 1, 2, 3, 4)])
def test_the_posterior_is_that_of_likelihoods_multiplied_by_hand(corridor, cells, ended):
    world, minds, probs = corridor
    actions = [int(after > before) for before, after in itertools.pairwise(cells)]
    expected = by_hand(probs, cells, actions, ended, 0.9, 0.05)
    steps = Observer(world, minds, ends=Ends(0.9, 0.05))
    for before, action, after in zip(cells, actions, cells[1:]):
        steps.update(before, action, after)
    if ended:
        steps.end()
    assert steps.posterior() == pytest.approx(expected / expected.sum())
    assert steps.log_evidence() == pytest.approx(math.log(expected.mean()))
    whole = Observer(world, minds, ends=Ends(0.9, 0.05))
    episode = walk(world, cells, actions, ended)
    assert whole.posterior_over(episode)[-1] == pytest.approx(steps.posterior())
    assert whole.observe(episode)[-1] == pytest.approx(steps.posterior())
    batch = Observer(world, minds, ends=Ends(0.9, 0.05))
    batch.update_batch(list(cells[:-1]), actions)
    if ended:
        batch.end(cells[-1])
    assert batch.posterior() == pytest.approx(steps.posterior())
    partial = Observer(world, minds, ends=Ends(0.9, 0.05), sees=lambda state: state.cell, prior=[0.5, 0.5])
    if cells[0] == 2:  # for it, episodes begin as the world's do
        for cell, action in zip(cells, actions):
            partial.update(cell, action)
        if ended:
            partial.end(cells[-1])
        assert partial.posterior() == pytest.approx(steps.posterior())


def test_bits_are_those_of_going_on_and_acting(corridor):
    world, minds, probs = corridor
    observer = Observer(world, minds, ends=Ends(0.9, 0.05))
    cells, actions = (2, 3, 4), (RIGHT, RIGHT)
    episode = walk(world, cells, actions, terminated=True)
    acted = by_hand(probs, cells, actions, False, 0.9, 0.05)
    assert observer.bits_per_action(episode).sum() == pytest.approx(-math.log2(acted.mean()))
    assert observer.bits_per_mind(episode).sum(axis=0) == pytest.approx(-np.log2(acted))
    # the next action, if there is one, comes from who goes on in 4: rather who wants the left end
    observer.update_batch([2, 3], actions)
    weights = acted * [0.95, 0.1]
    expected = weights @ probs[:, 4] / weights.sum()
    assert observer.predict(4, 0).action_probs == pytest.approx(expected)
    assert np.exp(observer.action_log_probs(4)) == pytest.approx(expected)


def test_probabilities_of_all_episodes_sum_to_one(corridor):
    """Every episode of four actions, and every one that ended before."""
    world, minds, _ = corridor
    observer, total = Observer(world, minds, ends=Ends(0.7, 0.1)), 0.0
    for length in range(5):
        for actions in itertools.product((LEFT, RIGHT), repeat=length):
            cells = [2]
            for action in actions:
                cells.append(min(max(cells[-1] + 2 * action - 1, 0), 4))
            observer.reset()
            observer.observe(walk(world, cells, actions, terminated=length < 4))
            total += observer.evidence()
    assert total == pytest.approx(1)


def test_by_default_ends_say_nothing_and_certain_ends_are_certain(corridor):
    world, minds, _ = corridor
    plain = Observer(world, minds)
    episodes = [walk(world, (2, 3, 4), (RIGHT, RIGHT), terminated) for terminated in (True, False)]
    assert plain.posterior_over(episodes[0]) == pytest.approx(plain.posterior_over(episodes[1]))
    with pytest.raises(UsageError, match="ends say nothing"):
        plain.end(4)
    certain = Observer(world, minds, ends=True)
    assert certain.posterior_over(episodes[0])[-1].tolist() == [0.0, 1.0]
    certain.update_batch([2, 3], [RIGHT, RIGHT])
    with pytest.raises(UsageError, match="not known where"):
        certain.end()
    assert certain.update(4, LEFT, 3).tolist() == [1.0, 0.0]  # it went on where the other one would have stopped
    before = certain.posterior()
    with pytest.raises(ImpossibleEvidenceError, match=r"step 3: the episode ended in state 3.*none of the 2 minds"):
        certain.end()
    assert certain.posterior() == pytest.approx(before)
    certain.update(3, LEFT, 2)
    certain.update(2, LEFT, 1)
    certain.update(1, LEFT, 0)
    assert certain.end().tolist() == [1.0, 0.0]
    certain.update(2, RIGHT)  # another episode begins, without a word
    with pytest.raises(ImpossibleEvidenceError, match="Ends"):
        Observer(world, minds, ends=True).posterior_over(walk(world, (2, 3), (RIGHT,), True))
    nobody = Observer(world, minds, ends=True, sees=lambda state: state.cell)
    nobody.update(2, RIGHT, 3)
    with pytest.raises(ImpossibleEvidenceError, match="ended its episode"):
        nobody.end()
    assert nobody.update(3, RIGHT, 4).sum() == pytest.approx(1)
    assert nobody.end().tolist() == [0.0, 1.0]
    assert nobody.update(2, LEFT).tolist() == [0.0, 1.0]  # begins again in the middle


def test_a_mind_with_two_goals_ends_at_the_last(corridor):
    world, _, _ = corridor
    minds = [PlanningMind(w, plans=Planning("hard"), chooses=Softmax(BETA))
             for w in ("right end", InTurn(("right end", "left end")))]  # fmt: skip
    watch = Observer(world, minds, ends=Ends(1.0, 0.0))
    assert watch.posterior_over(walk(world, (2, 3, 4), (RIGHT, RIGHT), True))[-1].tolist() == [1.0, 0.0]
    there_and_back = walk(world, (2, 3, 4, 3, 2, 1, 0), (1, 1, 0, 0, 0, 0), True)
    assert watch.posterior_over(there_and_back)[-1].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("given", [1.0, "always", (1.0, 0.0)])
def test_what_is_no_ending_is_refused(corridor, given):
    world, minds, _ = corridor
    with pytest.raises(UsageError, match="ends ="):
        Observer(world, minds, ends=given)
    with pytest.raises(UsageError, match="elsewhere"):
        Ends(1.0, math.nan)
