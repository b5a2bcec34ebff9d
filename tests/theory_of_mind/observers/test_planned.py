"""The observer that searches, against the exact one where the world can be solved, and where it cannot."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from inscape import make_world
from inscape.agents import make_agent
from inscape.agents.rollout import rollout
from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind import (
    Best,
    Exponential,
    ImpossibleEvidenceError,
    InTurn,
    Observer,
    PlannedObserver,
    Planning,
    PlanningMind,
    PolicyMind,
    Softmax,
    minds_grid,
    most_informative,
    score_predictions,
)
from inscape.world_models import UCT, Plans
from tests.theory_of_mind.worlds import Corridor, CorridorState, simulate

WORLD = Corridor(slip=0.2)
MINDS = minds_grid(["left end", "middle", "right end"], [0.5, 4.0], "hard")
SEARCH = UCT(num_simulations=60, gamma=0.9, rollout="none", averaging_visits=0.0)
STEPS = ((2, "right", 3), (3, "left", 2), (2, "left", 1), (1, None, 2))


def both() -> tuple[Observer, PlannedObserver]:
    exact, planned = Observer(WORLD, MINDS), PlannedObserver(WORLD, MINDS, SEARCH)
    for here, action, following in STEPS:
        for watch in (exact, planned):
            watch.update(CorridorState(here), action, CorridorState(following))
    return exact, planned


def test_where_searches_come_to_the_end_it_is_the_exact_observer() -> None:
    exact, planned = both()
    np.testing.assert_allclose(planned.log_posterior(), exact.log_posterior(), atol=1e-5)
    assert planned.log_evidence() == pytest.approx(exact.log_evidence(), abs=1e-5)
    assert planned.evidence() == pytest.approx(exact.evidence(), rel=1e-5)
    assert planned.marginal("goal") == pytest.approx(exact.marginal("goal"), abs=1e-5)
    assert planned.expect(lambda mind: mind.beta) == pytest.approx(exact.expect(lambda mind: mind.beta), abs=1e-5)
    assert planned.posterior_error().max() < 1e-6
    here = CorridorState(3)
    np.testing.assert_allclose(planned.action_log_probs(here), exact.action_log_probs(here), atol=1e-5)
    np.testing.assert_allclose(planned.action_log_probs_by_mind(here), exact.action_log_probs_by_mind(here), atol=1e-5)
    assert most_informative(planned, [here]).bits[here] == pytest.approx(
        most_informative(exact, [here]).bits[here], abs=1e-5
    )
    assert planned.searched == 10  # 1, 2, 3 lead to all cells but the goal: 4 for each end, 2 for the middle


def test_episodes_predictions_and_scores_as_the_exact_one() -> None:
    exact, planned = Observer(WORLD, MINDS), PlannedObserver(WORLD, MINDS, SEARCH, samples=400)
    policy = np.exp(MINDS[5].controller(WORLD).log_probs[:, 0])
    episodes = [simulate(WORLD, policy, 8, np.random.default_rng(k), start=1) for k in range(3)]
    ours, theirs = score_predictions(planned, episodes), score_predictions(exact, episodes)
    for name in ("bits", "uniform_bits", "frequency_bits", "mind_bits"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-4)
    np.testing.assert_allclose(planned.posterior_over(episodes[0]), exact.posterior_over(episodes[0]), atol=1e-4)
    np.testing.assert_allclose(planned.predicted_over(episodes[0]), exact.predicted_over(episodes[0]), atol=1e-4)
    np.testing.assert_allclose(planned.observe(episodes[0]), exact.observe(episodes[0]), atol=1e-4)
    found, wanted = planned.predict(CorridorState(2), 4), exact.predict(CorridorState(2), 4)
    assert found.states is not None
    cells = found.states.ints[0]
    for h in range(5):
        shares = np.bincount(cells, found.state_probs[h], 5)
        assert (np.abs(shares - wanted.state_probs[h]) <= 4 * np.sqrt(0.25 / 400)).all()
    np.testing.assert_allclose(found.action_probs, wanted.action_probs, atol=1e-4)


def test_noisy_searches_agree_within_their_stated_error() -> None:
    """Plain UCT never comes to an end: its noise is stated, and its bias is as small as that."""
    world = Corridor(length=7, slip=0.1)
    minds = [PlanningMind(world.purpose._replace(goal=g, cost=0.05), b, "hard") for g in (0, 6) for b in (2.0, 10.0)]
    search = UCT(num_simulations=60, gamma=0.9, rollout="none", averaging_visits=0.0, solver=False)
    planned, exact = PlannedObserver(world, minds, search, searches=6, seed=5), Observer(world, minds)
    for here, action in ((2, "right"), (3, "right"), (4, "right")):
        planned.update(CorridorState(here), action)
        exact.update(CorridorState(here), action)
    error = planned.posterior_error()
    assert 0 < error.max() < 0.02
    np.testing.assert_array_less(np.abs(planned.posterior() - exact.posterior()), 4 * error + 0.005)


def test_the_order_of_visits_and_copies_change_nothing() -> None:
    first, second = (PlannedObserver(WORLD, MINDS, UCT(num_simulations=20, gamma=0.9)) for _ in range(2))
    first.action_log_probs(CorridorState(1))
    first.action_log_probs(CorridorState(3))
    for watch in (first, second):
        watch.update(CorridorState(3), "left", CorridorState(2))
        watch.update(CorridorState(2), "left", CorridorState(1))
    np.testing.assert_array_equal(first.posterior(), second.posterior())
    for again in (copy.deepcopy(second), pickle.loads(pickle.dumps(second))):
        np.testing.assert_array_equal(again.update(CorridorState(1), "right"), first.update(CorridorState(1), "right"))
        first.reset()
        for here, action, following in ((3, "left", 2), (2, "left", 1)):
            first.update(CorridorState(here), action, CorridorState(following))
    first.reset()
    np.testing.assert_allclose(first.posterior(), 1 / 6)


def test_one_of_two_players() -> None:
    """Noughts and crosses: a good player completes a row; the other player's moves say nothing."""
    world = make_world("TicTacToe")
    players = minds_grid([world.purpose], [0.0, 5.0], "hard")
    watch = PlannedObserver(world, players, UCT(num_simulations=25, gamma=1.0), player=0, searches=1)
    states, rng = world.sample_initial(1, np.random.default_rng(0)), np.random.default_rng(1)
    for move in (0, 3):
        states = world.step(states, np.array([move]), rng)[0]
    for move in (1, 4):
        before = watch.posterior()
        following = world.step(states, np.array([move]), rng)[0]
        watch.update(states, move, following)
        assert (watch.posterior() == before).all() == (move == 4)
        states = following
    known = watch.marginal("beta")[5.0]
    assert np.exp(watch.action_log_probs_by_mind(states))[1, 2] > 0.9  # the row is complete
    watch.update(states, 2)
    assert watch.marginal("beta")[5.0] > known
    agents = PlannedObserver(world, [PolicyMind(make_agent("random", world, seed=1))], player=0)
    score = score_predictions(agents, [rollout(make_agent("random", world, seed=1), world, episodes=1, seed=0)[0]])
    assert (score.bits[1::2] == 0).all()  # the other player's
    np.testing.assert_allclose(score.bits, score.uniform_bits)


def test_agents_and_discounts_of_minds() -> None:
    agent = PolicyMind(lambda observation: 1, "rightwards", samples=9, purpose="right end")
    own = PlanningMind("right end", plans=Planning("hard", discount=Exponential(0.5)), chooses=Softmax(4.0))
    minds = [agent, own, PlanningMind("left end", plans=Planning("hard"), chooses=Best())]
    exact, planned = Observer(WORLD, minds), PlannedObserver(WORLD, minds, SEARCH)
    for here, action in ((1, "right"), (2, "right")):
        exact.update(CorridorState(here), action, fresh=True)
        planned.update(CorridorState(here), action, fresh=True)
    np.testing.assert_allclose(planned.posterior(), exact.posterior(), atol=1e-5)
    assert planned.posterior()[2] == 0
    with pytest.raises(ImpossibleEvidenceError, match="none of the 1 minds"):
        PlannedObserver(WORLD, minds[2:], SEARCH).update(CorridorState(2), "right")


@pytest.mark.parametrize(
    ("mind", "words"),
    [
        (PlanningMind("middle", 1.0, "soft-eval"), "soft-eval"),
        (PlanningMind(InTurn(("middle", "left end")), 1.0, "hard"), "more than one goal"),
        (PlanningMind("middle", 1.0, "hard", can=["left"]), "cannot do all"),
        (PlanningMind("middle", plans=Planning("hard", horizon=3), chooses=Best()), "horizon"),
        (PlanningMind("nowhere", 1.0, "hard"), "nowhere"),
    ],
)
def test_minds_that_no_search_here_stands_for(mind: PlanningMind, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        PlannedObserver(WORLD, [mind])


class Unsure:
    """A planner whose values are no numbers."""

    gamma = 0.9

    def plan(self, model: object, states: object, rng: object, evaluate: object = None) -> Plans:
        return Plans(np.zeros(2, np.int64), np.full(2, np.nan))


def test_bad_input() -> None:
    watch = PlannedObserver(WORLD, MINDS, Unsure())
    with pytest.raises(UsageError, match="2 finite values"):
        watch.update(CorridorState(2), "left")
    watch = PlannedObserver(WORLD, MINDS, SEARCH, searches=1)
    with pytest.raises(UsageError, match="at least 2"):
        watch.posterior_error()
    for arguments, words in (
        ((CorridorState(2), "up"), "action 'up'"),
        ((CorridorState(2), 2), "action = 2|action 2"),
        ((CorridorState(2), "left", CorridorState(4)), "cannot lead to"),
        ((CorridorState(2), None, CorridorState(4)), "none leads to"),
        (((1, 2), "left"), "state"),
    ):
        with pytest.raises(UsageError, match=words):
            watch.update(*arguments)
    assert watch.steps == 0
    watch.update(CorridorState(2), "left", CorridorState(1))
    with pytest.raises(ImpossibleEvidenceError, match="the last step led to"):
        watch.update(CorridorState(3), "left")
    gate = PlannedObserver(Corridor(gate=True), MINDS, SEARCH)
    with pytest.raises(ImpossibleEvidenceError, match="not legal there"):
        gate.update(CorridorState(4), "left")
    with pytest.raises(UsageError, match="all act at once"):
        PlannedObserver(make_world("StagHunt"), [PlanningMind("x", 1.0, "hard")], player=0)
    with pytest.raises((UsageError, MissingLawError), match="player"):
        PlannedObserver(make_world("TicTacToe"), [PlanningMind("x", 1.0, "hard")])
    with pytest.raises(UsageError, match="planner"):
        PlannedObserver(WORLD, MINDS, UCT)
