"""The exact observer against closed forms, against a dense recomputation, and against impossible evidence."""

import importlib.util
import itertools
import math

import numpy as np
import pytest

from inscape.envs.data.trajectory import Trajectory
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.worlds.gridworld.grid import GridState, GridWorld
from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind import BACKUPS, ImpossibleEvidenceError, Observer, PlanningMind, minds_grid, observe
from tests.conftest import EXAMPLES
from tests.theory_of_mind.worlds import Corridor, CorridorParams, CorridorState, Dense, Fork, ForkState, simulate

LEFT, RIGHT = 0, 1


def logistic(x):
    return 1 / (1 + math.exp(-x))


def ends(beta=2.0, backup="hard"):
    return [PlanningMind("left end", beta, backup), PlanningMind("right end", beta, backup)]


def path(world, cells, actions):
    states = world.pack([CorridorState(cell) for cell in cells])
    return Trajectory(world.observe(states), np.array(actions, np.int64), np.zeros(len(actions)), False, False, states)


@pytest.fixture(scope="module")
def windy():
    """A slippery corridor with a grid of minds, and the same observer recomputed."""
    world = Corridor(length=6, slip=0.2, goal=5)
    minds = minds_grid(world.goals, [1.0, 8.0], BACKUPS)
    return world, minds, Dense(world, minds, world.gamma)


# ------------------------------------------------------------------------------------------------------ closed forms


def test_the_posterior_in_a_corridor_is_the_closed_form():
    """With 1 for arriving, V(d) = γ^(d−1) at distance d; Q towards = γ^(d−1), Q away = γ^(d+1) unless at a wall."""
    world, beta = Corridor(), 2.0
    gamma = world.gamma
    observer = Observer(world, ends(beta))

    def towards(d):
        return logistic(beta * (gamma ** (d - 1) - gamma ** (d + 1)))

    first = np.array([1 - towards(2), towards(2)])  # right, from the middle cell 2
    assert observer.update(2, "right") == pytest.approx(first / first.sum(), abs=1e-9)
    second = first * [1 - towards(3), towards(1)]  # right again, from cell 3
    assert observer.update(CorridorState(3), RIGHT) == pytest.approx(second / second.sum(), abs=1e-9)
    assert observer.log_evidence() == pytest.approx(math.log(second.sum() / 2), abs=1e-9)
    assert observer.marginal("goal")["right end"] == pytest.approx(second[1] / second.sum(), abs=1e-9)


def test_the_three_backups_are_told_apart_as_computed_by_hand():
    """After `go on` the second stage is worth 1, σ(β) or log(1 + e^β)/β to the three, halved by γ."""
    beta, world = 1.5, Fork()
    observer = Observer(world, minds_grid("prize", beta, ["hard", "soft-eval", "maxent"]))
    ahead = [1.0, logistic(beta), math.log(1 + math.exp(beta)) / beta]
    likelihood = np.array([logistic(beta * (0.5 * value - 0.4)) for value in ahead])
    assert observer.update(ForkState(0), "go on") == pytest.approx(likelihood / likelihood.sum(), abs=1e-9)
    assert len(set(np.round(observer.posterior(), 3))) == 3


def test_at_beta_zero_nothing_is_learned_under_any_backup():
    world = Corridor(slip=0.1)
    prior = [0.5, 0.25, 0.25]
    for backup in BACKUPS:
        observer = Observer(world, minds_grid(world.goals, 0.0, backup), prior)
        observer.update_batch([1, 2, 3, 2], [RIGHT, LEFT, LEFT, LEFT])
        assert observer.posterior() == pytest.approx(prior, abs=1e-12)
        assert observer.log_evidence() == pytest.approx(-4 * math.log(2), abs=1e-12)


def test_the_hard_backup_at_beta_zero_does_not_lend_its_policy_to_other_betas():
    world = Corridor()
    both = Observer(world, [PlanningMind("left end", 0.0, "hard"), PlanningMind("left end", 3.0, "hard")])
    alone = Observer(world, [PlanningMind("left end", 3.0, "hard")])
    assert both.policies.log_probs[1] == pytest.approx(alone.policies.log_probs[0], abs=0)


def test_a_mind_at_its_goal_that_goes_on_is_indifferent():
    world = Corridor(goal=4)
    observer = Observer(world, ends())
    assert np.exp(observer.policies.log_probs[0, 0]) == pytest.approx([0.5, 0.5])
    assert observer.policies.arrived[:, [0, 4]].tolist() == [[True, False], [False, True]]
    observer.update(0, RIGHT)  # leaving the left end speaks for the right one, finitely
    assert 0.5 < observer.posterior()[1] < 1


# -------------------------------------------------------------------------------------------------------- agreement


def test_sequential_batch_path_and_dense_products_agree(windy):
    world, minds, dense = windy
    prior = np.arange(1.0, len(minds) + 1) / np.arange(1.0, len(minds) + 1).sum()
    rng = np.random.default_rng(3)
    for g in (1, 7, 14):
        seen = simulate(world, dense.policies[g], 12, rng)
        numbers = world.dynamics().index_of(seen.states)[:-1]
        likelihood = np.array([[pi[s, a] for s, a in zip(numbers, seen.actions)] for pi in dense.policies])
        joint = prior[:, None] * np.concatenate([np.ones((len(minds), 1)), np.cumprod(likelihood, axis=1)], axis=1)
        by_hand = (joint / joint.sum(axis=0)).T

        observer = Observer(world, minds, prior)
        assert observer.posterior_over(seen) == pytest.approx(by_hand, abs=1e-9)
        assert observer.steps == 0
        assert observer.posterior() == pytest.approx(prior, abs=1e-12)
        for t, (s, a) in enumerate(zip(numbers, seen.actions)):
            assert observer.update(s, a) == pytest.approx(by_hand[t + 1], abs=1e-9)
        assert observer.log_evidence() == pytest.approx(math.log(joint[:, -1].sum()), abs=1e-9)
        observer.reset()
        assert observer.update_batch(seen.states[np.arange(len(seen))], seen.actions) == pytest.approx(
            by_hand[-1], abs=1e-9
        )
        observer.reset()
        assert observe(observer, seen) == pytest.approx(by_hand, abs=1e-9)
        assert observer.posterior() == pytest.approx(by_hand[-1], abs=1e-9)
        assert observer.steps == len(seen)


@pytest.mark.slow
def test_goals_in_the_grid_of_four_agree_with_the_dense_recomputation():
    world = resolve_task("FourGoals").world
    minds = minds_grid(world.goals, [3.0, 20.0], ["hard", "maxent", "soft-eval"])
    observer, dense = Observer(world, minds, gamma=0.95), Dense(world, minds, 0.95)
    assert list(world.goals) == ["A", "B", "C", "D"]
    assert np.exp(observer.policies.log_probs) == pytest.approx(dense.policies, abs=1e-9)
    truth = minds.index(PlanningMind("C", 20.0, "hard"))
    rng = np.random.default_rng(0)
    towards_c = simulate(world.with_purpose("C"), dense.policies[truth], 60, rng)
    goal = observer.marginal("goal", observe(observer, towards_c))
    assert goal["C"][0] == pytest.approx(0.25)
    assert goal["C"][-1] > 0.9


def test_evidence_adds_up_over_episodes_and_chains_into_bits(windy):
    world, minds, dense = windy
    rng = np.random.default_rng(5)
    first, second = (simulate(world, dense.policies[4], 8, rng) for _ in range(2))
    observer = Observer(world, minds)
    observe(observer, first)
    after_first = observer.log_evidence()
    bits = observer.bits_per_action(second)
    step_by_step = []
    for s, a in zip(world.dynamics().index_of(second.states), second.actions):
        step_by_step.append(-observer.action_log_probs(int(s))[a] / math.log(2))
        observer.update(int(s), int(a))
    assert bits == pytest.approx(step_by_step, abs=1e-9)
    assert bits.sum() == pytest.approx(-(observer.log_evidence() - after_first) / math.log(2), abs=1e-9)
    observer.reset()
    assert observer.score(first) == pytest.approx(-after_first / math.log(2) / len(first), abs=1e-9)


@pytest.mark.parametrize("horizon", [0, 1, 4])
def test_prediction_equals_walking_every_future(windy, horizon):
    world, minds, dense = windy
    observer = Observer(world, minds)
    observer.update_batch([2, 3], [RIGHT, RIGHT])
    posterior = observer.posterior()
    for start in range(6):
        predicted = observer.predict(CorridorState(start), horizon)
        walked = sum(p * dense.future(g, start, horizon) for g, p in enumerate(posterior))
        assert predicted.state_probs.shape == (horizon + 1, 6)
        assert predicted.state_probs[horizon] == pytest.approx(walked, abs=1e-9)
        assert predicted.action_probs == pytest.approx(posterior @ dense.policies[:, start], abs=1e-9)
        assert np.exp(observer.action_log_probs(CorridorState(start))) == pytest.approx(
            predicted.action_probs, abs=1e-12
        )


def test_a_batch_of_states_is_each_of_them(windy):
    world, minds, _ = windy
    observer = Observer(world, minds)
    batch = observer.action_log_probs(world.dynamics().states)
    assert batch.shape == (6, 2)
    for s in range(6):
        assert batch[s] == pytest.approx(observer.action_log_probs(s), abs=0)


def test_the_marginals_of_an_axis_sum_over_the_others(windy):
    world, minds, _ = windy
    observer = Observer(world, minds)
    observer.update(3, RIGHT)
    table = observer.posterior().reshape(3, 2, 3)
    assert list(observer.marginal("goal").values()) == pytest.approx(table.sum(axis=(1, 2)))
    assert list(observer.marginal("beta")) == [1.0, 8.0]
    assert list(observer.marginal("beta").values()) == pytest.approx(table.sum(axis=(0, 2)))
    assert list(observer.marginal("backup").values()) == pytest.approx(table.sum(axis=(0, 1)))
    assert observer.marginal("params") == {None: pytest.approx(1.0)}


def test_what_a_mind_thinks_is_calibrated_when_agents_come_from_the_prior(windy):
    """For θ from the prior and data from θ, E[p(θ)] = E[Σ p²]; an observer of the wrong β betrays itself."""
    world, minds, dense = windy
    rng = np.random.default_rng(11)
    observer = Observer(world, minds)
    hits, overlaps = [], []
    for _ in range(1500):
        truth = int(rng.integers(len(minds)))
        seen = simulate(
            world.with_purpose(minds[truth].goal), dense.policies[truth], 10, rng, start=int(rng.integers(1, 5))
        )
        posterior = observer.posterior_over(seen)[-1]
        hits.append(posterior[truth])
        overlaps.append((posterior**2).sum())
    gap = np.array(hits) - np.array(overlaps)
    error = gap.std() / math.sqrt(len(gap))
    assert abs(gap.mean()) < 3 * error
    assert np.mean(hits) > 1.5 / len(minds)  # and something was learned

    sure = Observer(world, [PlanningMind(mind.goal, 30.0, mind.backup) for mind in minds if mind.beta == 8.0])
    hits, overlaps = [], []
    weak = [g for g, mind in enumerate(minds) if mind.beta == 1.0]
    for _ in range(300):
        which = int(rng.integers(len(weak)))
        goal = minds[weak[which]].goal
        seen = simulate(world.with_purpose(goal), dense.policies[weak[which]], 10, rng, start=int(rng.integers(1, 5)))
        posterior = sure.posterior_over(seen)[-1]
        hits.append(posterior[which])
        overlaps.append((posterior**2).sum())
    gap = np.array(hits) - np.array(overlaps)
    assert gap.mean() < -6 * gap.std() / math.sqrt(len(gap))


# ------------------------------------------------------------------------------------------------------ other worlds


def load_elevator():
    file = EXAMPLES / "elevator.py"
    spec = importlib.util.spec_from_file_location("elevator_for_observers", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Elevator


def test_a_world_of_the_users_own_is_observed_untouched():
    world = load_elevator()()
    minds = minds_grid(world.goals, 8.0, "hard")
    observer = Observer(world, minds)
    rng = np.random.default_rng(1)
    policy = np.exp(observer.policies.log_probs[minds.index(PlanningMind("floor 0", 8.0, "hard"))])
    goal = observer.marginal("goal", observe(observer, simulate(world, policy, 300, rng)))
    assert goal["floor 0"][-1] > 0.9
    assert goal["floor 0"][-1] == max(column[-1] for column in goal.values())


def test_any_agents_trajectory_is_observed_states_read_off_its_observations():
    from inscape.agents.rollout import rollout

    task = resolve_task("FourGoals")

    class Wanderer:
        def act(self, observation):
            return np.full(len(observation), 3)  # up, into the wall

    recorded = rollout(Wanderer(), task, episodes=1, seed=0)[0]
    world = task.world
    minds = minds_grid(world.goals, 5.0, "soft-eval")
    without = Trajectory(
        recorded.observations, recorded.actions, recorded.rewards, recorded.terminated, recorded.truncated
    )
    assert recorded.states is not None
    one, other = Observer(world, minds), Observer(world, minds)
    assert observe(one, recorded) == pytest.approx(observe(other, without), abs=0)
    assert one.marginal("goal")["A"] + one.marginal("goal")["B"] > 0.9


# ------------------------------------------------------------------------------------------------------ false beliefs


def test_who_believes_the_short_way_shut_goes_the_long_way():
    world = GridWorld(map=["S.G", "..."], slip=0.0, step_cost=0.05, goal="any")
    shut = GridWorld(map=["S<G", "..."], slip=0.0).params
    knows, errs = PlanningMind("G", 8.0, "hard"), PlanningMind("G", 8.0, "hard", params=shut)
    observer = Observer(world, [knows, errs])
    dense = Dense(world, [knows, errs], world.gamma)
    assert np.exp(observer.policies.log_probs) == pytest.approx(dense.policies, abs=1e-9)
    for g, likely in ((0, "right"), (1, "down")):
        alone = Observer(world, [observer.minds[g]])
        predicted = alone.predict(GridState(0), 3)
        assert world.action_names[int(predicted.action_probs.argmax())] == likely
        # whoever errs still moves as the world is: a step right succeeds, whatever they believe
        assert predicted.state_probs[3] == pytest.approx(dense.future(g, 0, 3), abs=1e-9)
    assert observer.update(GridState(0), "down")[1] > 0.6
    labels = observer.marginal("params")
    assert list(labels) == [None, repr(shut)]
    assert sum(labels.values()) == pytest.approx(1.0)


def test_beliefs_about_scalars_are_beliefs_too():
    world = Corridor(slip=0.4)
    minds = [PlanningMind("right end", 3.0, "soft-eval", params) for params in (None, CorridorParams(slip=0.0))]
    dense = Dense(world, minds, world.gamma)
    observer = Observer(world, minds)
    assert np.exp(observer.policies.log_probs) == pytest.approx(dense.policies, abs=1e-9)
    assert observer.policies.log_probs[0, 2, RIGHT] != pytest.approx(observer.policies.log_probs[1, 2, RIGHT], abs=1e-3)


# --------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("prior", "match"),
    [
        ([0.5, 0.4], "sums to 0.9"),
        ([0.5, 0.5 + 1e-8], "sums to 1.00000001"),
        ([1.0], "shape"),
        ([[0.5, 0.5]], "shape"),
        ([1.5, -0.5], r"left end.* is 1|right end.* is -0.5"),
        ([float("nan"), 1.0], "nan"),
    ],
)
def test_a_prior_that_is_none_is_refused(prior, match):
    with pytest.raises(UsageError, match=match):
        Observer(Corridor(), ends(), prior)


def test_a_prior_within_rounding_of_one_is_taken():
    assert Observer(Corridor(), ends(), [0.1 + 0.2, 0.7]).posterior().sum() == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("gamma", [-0.1, 1.5, float("nan"), "0.9"])
def test_a_gamma_that_is_none_is_refused(gamma):
    with pytest.raises(UsageError, match="gamma"):
        Observer(Corridor(), ends(), gamma=gamma)


def test_minds_must_be_there_distinct_and_of_this_world():
    with pytest.raises(UsageError, match="without minds"):
        Observer(Corridor(), [])
    with pytest.raises(UsageError, match="twice"):
        Observer(Corridor(), ends() + ends()[:1])
    with pytest.raises(UsageError, match="among the minds"):
        Observer(Corridor(), ["left end"])
    with pytest.raises(UsageError, match=r"(?s)no purpose named 'left and'.*did you mean 'left end'"):
        Observer(Corridor(), [PlanningMind("left and", 1.0, "hard")])
    with pytest.raises(UsageError, match="goal 3 of a mind"):
        Observer(Corridor(), [PlanningMind(3, 1.0, "hard")])
    with pytest.raises(UsageError, match="params 0.5 of a mind"):
        Observer(Corridor(), [PlanningMind("left end", 1.0, "hard", params=0.5)])
    with pytest.raises(UsageError, match=r"CorridorState\(cell=5\)\s+cannot be reached|cell=5.*no plan there"):
        Observer(Corridor(length=6), [PlanningMind("left end", 1.0, "hard", params=CorridorParams(length=5))])


def test_a_world_that_can_only_be_sampled_has_no_exact_observer():
    with pytest.raises(MissingLawError, match="CartPole"):
        Observer(resolve_task("CartPole").world, [PlanningMind("upright", 1.0, "hard")])


def unchanged_after(observer, evidence, *, match, error=ImpossibleEvidenceError):
    before, steps = observer.posterior(), observer.steps
    with pytest.raises(error, match=match):
        evidence()
    assert observer.posterior().tolist() == before.tolist()
    assert observer.steps == steps


def test_impossible_evidence_is_named_and_leaves_the_observer_as_it_was():
    world = Corridor(gate=True)
    observer = Observer(world, ends())
    observer.update(3, RIGHT)
    unchanged_after(observer, lambda: observer.update(4, "left"), match=r"step 1: .*cell=4.*'left', which is not legal")
    unchanged_after(
        observer, lambda: observer.update(CorridorState(7), RIGHT), match=r"step 1: .*cell=7\), which cannot be reached"
    )
    unchanged_after(
        observer,
        lambda: observer.update_batch([2, 3, 4], [RIGHT, RIGHT, LEFT], fresh=True),
        match="step 3: .*'left'.*not legal",
    )
    jump = path(world, [2, 3, 1], [RIGHT, LEFT])
    unchanged_after(observer, lambda: observe(observer, jump), match=r"step 1: .*'left', which cannot lead to .*cell=1")
    unchanged_after(observer, lambda: observer.score(path(world, [3, 4, 3], [1, 0])), match="step 1: .*not legal")


def test_evidence_that_every_mind_rules_out_is_impossible():
    """A mind that believes the left forbidden never goes left; with the others ruled out beforehand nobody would."""
    world = Corridor()
    minds = [PlanningMind("left end", 1.0, "hard"), PlanningMind("left end", 1.0, "hard", CorridorParams(gate=True))]
    observer = Observer(world, minds, prior=[0.0, 1.0])
    unchanged_after(observer, lambda: observer.update(4, LEFT), match="step 0: .*none of the 2 minds")
    observer = Observer(world, minds, prior=[0.5, 0.5])
    assert observer.update(4, LEFT).tolist() == [1.0, 0.0]
    with pytest.raises(UsageError, match="cannot be scored"):
        observer.score(path(world, [2], []))


def test_what_is_not_a_state_or_action_is_refused():
    observer = Observer(Corridor(), ends())
    wrong = [
        (5, RIGHT, "state number 5"),
        (-1, RIGHT, "state number -1"),
        (2.0, RIGHT, "state 2.0"),
        ((1, 2), RIGHT, "2 fields"),
        (2, 2, "action 2"),
        (2, -1, "action -1"),
        (2, 1.0, "action 1.0"),
        (2, "rihgt", "did you mean 'right'"),
        ([1, 2], RIGHT, "2 states with 1 actions"),
    ]
    for state, action, match in wrong:
        unchanged_after(observer, lambda s=state, a=action: observer.update(s, a), match=match, error=UsageError)
    elsewhere = Trajectory(
        np.zeros(2), np.array([1]), np.zeros(1), False, False, load_elevator()().dynamics().states[[0, 1]]
    )
    unchanged_after(observer, lambda: observe(observer, elsewhere), match="another world", error=UsageError)
    with pytest.raises(UsageError, match="one state more"):
        observe(observer, path(Corridor(), [2, 3, 4], [RIGHT]))
    for horizon in (-1, 1.5, True):
        with pytest.raises(UsageError, match="horizon"):
            observer.predict(2, horizon)
    with pytest.raises(UsageError, match="no axis 'gaol'"):
        observer.marginal("gaol")
    with pytest.raises(UsageError, match="probabilities of shape"):
        observer.marginal("goal", np.ones(3))


def test_evidence_far_beyond_the_range_of_floating_point_is_still_counted():
    """2,000 steps each way: likelihoods of e^−1000s, whose ratio alone matters."""
    world = Corridor()
    observer = Observer(world, ends(beta=5.0))
    actions = list(itertools.islice(itertools.cycle([RIGHT, LEFT]), 4001))
    observer.update_batch([2] * 4001, actions, fresh=np.ones(4001, bool))
    one = Observer(world, ends(beta=5.0))
    one.update(2, RIGHT)
    assert observer.log_evidence() < -1000
    assert observer.posterior() == pytest.approx(one.posterior(), abs=1e-9)
