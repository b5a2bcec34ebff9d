"""Learned P(s' | s, a) as an observer's dynamics and as a mind's: against the law that the counts are those of."""

import pickle

import numpy as np
import pytest
from gymnasium import spaces

from inscape import make_world
from inscape.envs.data.trajectory import Trajectory
from inscape.errors import UsageError
from inscape.theory_of_mind import (
    ImpossibleEvidenceError,
    Learned,
    Observer,
    ParticleObserver,
    PlannedObserver,
    PlanningMind,
    learned_dynamics,
    minds_grid,
)
from inscape.world_models import UCT, LearnedTabularModel, TabularModel, TabularModelSettings
from inscape.world_models.tabular.purposes import purpose_tables
from tests.theory_of_mind.worlds import Corridor, CorridorParams, CorridorState

LEFT, RIGHT = 0, 1


def transition(world, before, action, after):
    states = world.pack([CorridorState(before), CorridorState(after)])
    return Trajectory(world.observe(states), np.array([action]), np.zeros(1), False, False, states)


def counted(world, ahead, back):
    """A model that saw every action lead on `ahead` times and the other way `back` times."""
    model = LearnedTabularModel.for_task(world)
    last = world.params.length - 1
    for cell in range(last + 1):
        for action, step in ((LEFT, -1), (RIGHT, 1)):
            for times, way in ((ahead, step), (back, -step)):
                model.fit([transition(world, cell, action, min(max(cell + way, 0), last))] * times)
    return model


def tables_of(world):
    """The dynamics, without ends: in the tables of one purpose, where that is over everything stays."""
    return purpose_tables(world, [world.purpose])[0]


class Listed:
    """A model of numbered states that lists outcomes and has no tables; its states are numbered backwards."""

    def __init__(self, world):
        self._table, self.action_space = tables_of(world), spaces.Discrete(world.num_actions)
        self._last = len(self._table) - 1

    def init(self, observations):
        return self._last - np.asarray(observations).ravel().astype(np.int64)

    def outcomes(self, states, actions):
        p, following, reward, continuation = self._table.outcomes(self._last - states, actions)
        return p, self._last - following, reward, continuation


@pytest.mark.parametrize("kind", ["counts", "tables", "outcomes"])
def test_counts_in_the_law_s_proportions_give_the_exact_observer(kind):
    world = Corridor(length=6, slip=0.25, goal=5)
    model = {"counts": lambda: counted(world, 3, 1), "tables": lambda: tables_of(world),
             "outcomes": lambda: Listed(world)}[kind]()  # fmt: skip
    minds = minds_grid(world.goals, [1.0, 8.0], ["hard", "soft-eval"])
    exact, learned = Observer(world, minds), Observer(world, minds, dynamics=model)
    for s, a, after in ((3, RIGHT, 4), (4, LEFT, 3), (3, LEFT, 4), (4, RIGHT, 5)):
        assert learned.update(s, a, after) == pytest.approx(exact.update(s, a, after), abs=1e-9)
    assert learned.log_evidence() == pytest.approx(exact.log_evidence(), abs=1e-9)
    assert learned.predict(5, 4).state_probs == pytest.approx(exact.predict(5, 4).state_probs, abs=1e-9)


def test_minds_plan_in_what_was_counted_whether_the_observer_does_or_they_alone():
    """Two on and one back is the law of a corridor that slips in a third of all steps."""
    world, slippery = Corridor(length=6, slip=0.25, goal=5), Corridor(length=6, slip=1 / 3, goal=5)
    model = counted(world, 2, 1)
    minds = minds_grid(world.goals, 4.0, "soft-eval")
    expected = Observer(slippery, minds).policies.log_probs
    assert Observer(world, minds, dynamics=model).policies.log_probs == pytest.approx(expected, abs=1e-9)
    alone = [PlanningMind(goal, 4.0, "soft-eval", believes=Learned(model)) for goal in world.goals]
    by_params = [PlanningMind(g, 4.0, "soft-eval", params=CorridorParams(6, 1 / 3)) for g in world.goals]
    watch = Observer(world, alone)
    assert watch.policies.log_probs == pytest.approx(expected, abs=1e-9)
    assert watch.predict(3, 3).state_probs == pytest.approx(
        Observer(world, by_params).predict(3, 3).state_probs, abs=1e-9
    )
    model.fit([transition(world, 0, RIGHT, 1)] * 50)  # what it learns later is not what the mind believed
    assert Observer(world, alone).policies.log_probs == pytest.approx(expected, abs=1e-9)
    assert watch.minds[0].name.endswith("believing a learned model of 7 states")


def test_with_few_counts_the_posterior_is_proper_and_what_was_not_seen_is_named():
    world = Corridor(length=5, slip=0.2)
    model = LearnedTabularModel.for_task(world)
    observer = Observer(world, minds_grid(world.goals, [1.0, 50.0], "hard"), dynamics=model)  # of nothing at all
    assert np.exp(observer.policies.log_probs).sum(axis=2) == pytest.approx(1)
    model.fit([transition(world, 2, RIGHT, 3)])
    observer = Observer(world, minds_grid(world.goals, [1.0, 50.0], "hard"), dynamics=model)
    found = observer.update(2, RIGHT, 3)
    assert found.sum() == pytest.approx(1) and (found > 0).all()
    assert observer.posterior_over(transition(world, 2, RIGHT, 3))[-1].sum() == pytest.approx(1)
    with pytest.raises(ImpossibleEvidenceError, match=r"step 1.*cell=3.*'right'.*cannot lead to.*cell=4.*learned"):
        observer.update(3, RIGHT, 4)
    assert observer.posterior() == pytest.approx(found)
    with pytest.raises(ImpossibleEvidenceError, match="by the learned dynamics"):
        observer.posterior_over(transition(world, 2, LEFT, 1))


def test_learned_dynamics_stay_with_the_world_its_purposes_and_its_pickle_and_not_with_other_params():
    world = Corridor(length=4, slip=0.5, goal=3)
    learned = learned_dynamics(world, counted(world, 9, 1))
    expected = Corridor(length=4, slip=0.1, goal=3)
    for one in (learned, learned.with_purpose("left end"), pickle.loads(pickle.dumps(learned))):
        assert one.dynamics().probability.max() == pytest.approx(0.9)
    again = learned.with_params(expected.params).dynamics()
    assert again.probability == pytest.approx(expected.dynamics().probability)
    assert world.dynamics().probability.max() == pytest.approx(0.5)
    watch = pickle.loads(pickle.dumps(Observer(learned, minds_grid(world.goals, 3.0, "hard"))))
    exact = Observer(expected, minds_grid(world.goals, 3.0, "hard"))
    assert watch.update(1, RIGHT, 2) == pytest.approx(exact.update(1, RIGHT, 2))
    partly = [Observer(w, minds_grid(world.goals, 3.0, "hard"), sees=lambda s: s.cell // 2, dynamics=m)
              for w, m in ((world, counted(world, 9, 1)), (expected, None))]  # fmt: skip
    found, wanted = (one.update(1, None, 1) for one in partly)
    assert found == pytest.approx(wanted)
    particles = ParticleObserver(learned, lambda rng: exact.minds[rng.integers(2)], 50, 0)
    assert particles.update(1, RIGHT, 2).sum() == pytest.approx(1)


def test_what_cannot_be_dynamics_is_refused():
    world = Corridor()
    minds = minds_grid(world.goals, 1.0, "hard")
    optimistic = LearnedTabularModel.for_task(world, TabularModelSettings(unknown="optimistic"))
    short = TabularModel.from_arrays(np.eye(3)[None].repeat(2, 0), np.zeros(3))
    for model, message in (
        (optimistic, "optimistic"),
        ("counts", "as learned dynamics"),
        (LearnedTabularModel, "as learned dynamics"),
        (LearnedTabularModel(3), "3 actions"),
        (short, "3 states"),
        (TabularModel.from_world(make_world("FrozenLake")), "actions"),
    ):
        with pytest.raises(UsageError, match=message):
            Observer(world, minds, dynamics=model)
    with pytest.raises(UsageError, match="no state of the world"):  # the seventh cell
        Observer(world, minds, dynamics=counted(Corridor(length=7), 1, 1))
    with pytest.raises(UsageError, match="2 players"):
        learned_dynamics(make_world("TicTacToe"), LearnedTabularModel(9))
    tiger = make_world("Tiger")
    with pytest.raises(UsageError, match="look alike"):
        learned_dynamics(tiger, LearnedTabularModel.for_task(tiger))
    with pytest.raises(UsageError, match="learned"):
        PlannedObserver(learned_dynamics(world, TabularModel.from_world(world)), minds, UCT(10))
    with pytest.raises(UsageError, match="sees"):
        Learned(TabularModel.from_world(world), sees="yes")
