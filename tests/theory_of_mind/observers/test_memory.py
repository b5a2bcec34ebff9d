"""The exact observer of minds that remember, against sums over every memory path and every unseen action."""

import itertools
import math

import numpy as np
import pytest

from inscape.envs.data.trajectory import Trajectory
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.theory_of_mind import (
    Controller,
    ImpossibleEvidenceError,
    Observer,
    PlanningMind,
    Step,
    minds_grid,
    observe,
    score_predictions,
)
from inscape.world_models.planning.choice import boltzmann_log_probs
from tests.theory_of_mind.worlds import Corridor, CorridorState, Fork, ForkState

LEFT, RIGHT = 0, 1


class Switching:
    """Wants one end, then the other: memory is the goal, and changes by `step`."""

    def __init__(self, step, beta=3.0, name="switching"):
        self.step, self.beta, self.name = step, beta, name

    def controller(self, world, player=0):
        goals = [PlanningMind(goal, self.beta, "hard").action_values(world) for goal in ("left end", "right end")]
        log_probs = boltzmann_log_probs(np.stack(goals, axis=1), self.beta)
        start = np.linspace(0.2, 0.9, len(log_probs))
        return Controller(log_probs, np.stack([start, 1 - start], axis=1), self.step)


def any_step(rng):
    """A step that depends on everything, with J = 3 entries for two memory states."""
    probability = rng.random((5, 2, 2, 2, 3))
    return Step(rng.integers(0, 2, probability.shape), probability / probability.sum(axis=-1, keepdims=True))


@pytest.fixture(scope="module")
def hypotheses():
    rng = np.random.default_rng(0)
    return [
        PlanningMind("left end", 3.0, "hard"),
        Switching(any_step(rng), name="anything"),
        Switching(Step.switching([[0.9, 0.1], [0.0, 1.0]]), name="once"),
        Switching(Step.stay, name="drawn at the start"),
        PlanningMind("right end", 1.0, "soft-eval"),
    ]


WORLD = Corridor(slip=0.2)
STATES, ACTIONS = [2, 3, 2, 3, 4, 3], [RIGHT, LEFT, RIGHT, RIGHT, LEFT]


def leads(world, s, a, following):
    """P(s' | s, a) and the outcome it is."""
    dynamics = world.dynamics()
    for k, (n, p) in enumerate(zip(dynamics.next_state[s, a], dynamics.probability[s, a])):
        if n == following and p > 0:
            return p, k
    return 0.0, 0


def memory_matrix(controller, s, a, k):
    """P(m' | m) `[M, M]` of one outcome, entry by entry."""
    memories = controller.start.shape[1]
    if controller.step.next_memory is None:
        return np.eye(memories)
    shape = np.broadcast_shapes(controller.step.next_memory.shape, controller.step.probability.shape)
    following, probability = (
        np.broadcast_to(array, shape) for array in (controller.step.next_memory, controller.step.probability)
    )
    at = tuple(0 if n == 1 else i for n, i in zip(shape, (s, a, k)))
    matrix = np.zeros((memories, memories))
    for m, j in itertools.product(range(memories), range(shape[4])):
        matrix[m, following[(*at, m, j)]] += probability[(*at, m, j)]
    return matrix


def enumerated(world, mind, states, actions):
    """P(actions | states, mind), with P(next state) where an action is None, summed over memory paths and actions."""
    controller = mind.controller(world)
    total = 0.0
    choices = [[a] if a is not None else range(world.num_actions) for a in actions]
    for taken in itertools.product(*choices):
        for path in itertools.product(range(controller.start.shape[1]), repeat=len(actions)):
            weight = controller.start[states[0], path[0]] if path else 1.0
            for t, a in enumerate(taken):
                weight *= math.exp(controller.log_probs[states[t], path[t], a])
                if t + 1 < len(states):
                    p, k = leads(world, states[t], a, states[t + 1])
                    weight *= p if actions[t] is None else float(p > 0)
                    if t + 1 < len(path):
                        weight *= memory_matrix(controller, states[t], a, k)[path[t], path[t + 1]]
            total += weight
    return total


def trajectory(world, states, actions):
    packed = world.pack([CorridorState(cell) for cell in states])
    return Trajectory(world.observe(packed), np.array(actions, np.int64), np.zeros(len(actions)), False, False, packed)


def test_the_forward_filter_equals_the_sum_over_memory_paths(hypotheses):
    prior = np.array([0.1, 0.3, 0.3, 0.2, 0.1])
    joint = np.array(
        [prior] + [
            prior * [enumerated(WORLD, mind, STATES[: t + 2], ACTIONS[: t + 1]) for mind in hypotheses]
            for t in range(len(ACTIONS))
        ]
    )  # fmt: skip
    by_hand = joint / joint.sum(axis=1, keepdims=True)
    bits = -np.log2(joint[1:].sum(axis=1) / joint[:-1].sum(axis=1))
    seen = trajectory(WORLD, STATES, ACTIONS)

    observer = Observer(WORLD, hypotheses, prior)
    assert observer.posterior_over(seen) == pytest.approx(by_hand, abs=1e-10)
    assert observer.bits_per_action(seen) == pytest.approx(bits, abs=1e-10)
    assert observer.predicted_over(seen)[range(5), ACTIONS] == pytest.approx(2**-bits, abs=1e-10)
    per_mind = observer.bits_per_mind(seen)
    assert per_mind.sum(axis=0) == pytest.approx(-np.log2(joint[-1] / prior), abs=1e-10)
    assert score_predictions(observer, [seen]).mind_bits == pytest.approx(per_mind, abs=0)
    assert observer.steps == 0
    for t, (s, a) in enumerate(zip(STATES, ACTIONS)):
        assert np.exp(observer.action_log_probs(s))[a] == pytest.approx(2 ** -bits[t], abs=1e-10)
        assert observer.update(s, a) == pytest.approx(by_hand[t + 1], abs=1e-10)
    assert observer.log_evidence() == pytest.approx(math.log(joint[-1].sum()), abs=1e-10)
    assert np.exp(observer.log_posterior()) == pytest.approx(by_hand[-1], abs=1e-10)
    observer.reset()
    assert observer.update_batch(STATES[:-1], ACTIONS) == pytest.approx(by_hand[-1], abs=1e-10)
    observer.reset()
    for s, a, following in zip(STATES, ACTIONS, STATES[1:]):
        observer.update(s, a, following)
    assert observer.posterior() == pytest.approx(by_hand[-1], abs=1e-10)
    assert not np.allclose(by_hand[-1], prior, atol=0.02)


def test_a_second_episode_begins_memory_anew(hypotheses):
    likelihood = [enumerated(WORLD, mind, STATES, ACTIONS) ** 2 for mind in hypotheses]
    by_hand = np.array(likelihood) / sum(likelihood)
    observer, seen = Observer(WORLD, hypotheses), trajectory(WORLD, STATES, ACTIONS)
    observe(observer, seen)
    assert observe(observer, seen)[-1] == pytest.approx(by_hand, abs=1e-10)
    observer.reset()
    observer.update_batch(STATES[:-1] * 2, ACTIONS * 2, fresh=[True, *[False] * 4] * 2)
    assert observer.posterior() == pytest.approx(by_hand, abs=1e-10)
    observer.reset()
    for s, a, t in zip(STATES[:-1] * 2, ACTIONS * 2, range(10)):
        observer.update(s, a, fresh=t % 5 == 0)
    assert observer.posterior() == pytest.approx(by_hand, abs=1e-10)


@pytest.mark.parametrize("unseen", [{0}, {1, 2}, {0, 1, 2, 3}])
def test_actions_that_were_not_seen_are_summed_over(hypotheses, unseen):
    actions = [None if t in unseen else a for t, a in enumerate(ACTIONS)]
    joint = np.array([enumerated(WORLD, mind, STATES, actions) for mind in hypotheses]) / len(hypotheses)
    observer = Observer(WORLD, hypotheses)
    for s, a in zip(STATES, actions):
        observer.update(s, a)
    assert observer.posterior() == pytest.approx(joint / joint.sum(), abs=1e-10)
    assert observer.log_evidence() == pytest.approx(math.log(joint.sum()), abs=1e-10)
    following_given = Observer(WORLD, hypotheses)
    for s, a, following in zip(STATES, actions, STATES[1:]):
        following_given.update(s, a, next_state=following)
    assert following_given.posterior() == pytest.approx(joint / joint.sum(), abs=1e-10)


def test_prediction_after_an_unseen_action_is_by_where_it_led():
    """No mind that wants the right end goes left but by slipping: having come left speaks against it."""
    observer = Observer(WORLD, minds_grid(["left end", "right end"], 5.0, "hard"))
    observer.update(2)
    assert observer.posterior().tolist() == [0.5, 0.5]
    arrived_left = Observer(WORLD, observer.minds)
    posterior = arrived_left.update(2, None, 1)
    chosen = np.exp(observer.policies.log_probs[:, 1])
    assert posterior[0] > 0.6
    assert np.exp(observer.action_log_probs(1)) == pytest.approx(posterior @ chosen, abs=1e-12)
    assert observer.predict(1, 0).action_probs == pytest.approx(posterior @ chosen, abs=1e-12)


@pytest.mark.parametrize("horizon", [0, 1, 4])
def test_prediction_equals_walking_every_future_and_memory(hypotheses, horizon):
    observer = Observer(WORLD, hypotheses)
    observer.update_batch(STATES[:3], ACTIONS[:3])
    now, posterior = STATES[3], observer.posterior()
    walked, chosen = np.zeros(5), np.zeros(2)
    for mind, share in zip(hypotheses, posterior):
        controller = mind.controller(WORLD)
        memory = controller.start[STATES[0]]
        for t in range(3):
            memory = memory * np.exp(controller.log_probs[STATES[t], :, ACTIONS[t]])
            _, k = leads(WORLD, STATES[t], ACTIONS[t], STATES[t + 1])
            memory = (memory / memory.sum()) @ memory_matrix(controller, STATES[t], ACTIONS[t], k)
        chosen += share * memory @ np.exp(controller.log_probs[now])
        over = np.zeros((5, len(memory)), bool) if controller.arrived is None else controller.arrived

        def walk(s, m, left, weight, controller=controller, over=over):
            if left == 0 or over[s, m]:
                walked[s] += weight
                return
            for a, following in itertools.product(range(2), range(5)):
                p, k = leads(WORLD, s, a, following)
                if p > 0:
                    kept = memory_matrix(controller, s, a, k)[m]
                    for n in np.flatnonzero(kept):
                        step = p * kept[n] * math.exp(controller.log_probs[s, m, a])
                        walk(following, n, left - 1, weight * step)

        for m, weight in enumerate(memory):
            walk(now, m, horizon, share * weight)
    predicted = observer.predict(now, horizon)
    assert predicted.action_probs == pytest.approx(chosen, abs=1e-10)
    assert predicted.state_probs[horizon] == pytest.approx(walked, abs=1e-10)
    assert predicted.state_probs.sum(axis=1) == pytest.approx(1.0)


def test_a_state_the_last_step_cannot_lead_to_is_predicted_from_as_a_first_state(hypotheses):
    observer = Observer(WORLD, hypotheses)
    posterior = observer.update(0, RIGHT)  # to cell 1, or slipping to the wall in cell 0
    controllers = [mind.controller(WORLD) for mind in hypotheses]
    by_hand = sum(p * c.start[4] @ np.exp(c.log_probs[4]) for p, c in zip(posterior, controllers))
    assert observer.predict(4).action_probs == pytest.approx(by_hand, abs=1e-12)
    assert np.exp(observer.action_log_probs([4, 4])) == pytest.approx(np.tile(by_hand, (2, 1)), abs=1e-12)


def test_a_memory_of_tiny_mass_is_not_lost():
    """After 3,000 steps to the right the other memory has a mass of e^−1000s, and still explains what only it can."""
    world = Corridor(length=3)
    sure = np.log(np.array([[0.25, 0.75], [0.75, 0.25]]))

    class Either:
        def controller(self, world, player=0):
            log_probs = np.tile(sure, (3, 1, 1))
            log_probs[0] = [[-np.inf, 0.0], [0.0, -np.inf]]  # in the left cell only memory 1 goes left
            return Controller(log_probs, np.full((3, 2), 0.5), Step.switching(np.eye(2)))

    observer = Observer(world, [Either()])
    observer.update_batch([2] * 3000, [RIGHT] * 3000)
    expected = np.logaddexp(*(math.log(0.5) + 3000 * sure[m, RIGHT] for m in (0, 1)))
    assert observer.log_evidence() == pytest.approx(expected, rel=1e-12)
    observer.update_batch([2, 1, 0], [LEFT, LEFT, LEFT])
    assert observer.log_evidence() == pytest.approx(
        math.log(0.5) + 3000 * sure[1, RIGHT] + 2 * sure[1, LEFT], rel=1e-12
    )


def test_marginals_and_means_of_any_feature(hypotheses):
    observer = Observer(WORLD, hypotheses)
    observer.update(2, RIGHT)
    posterior = observer.posterior()
    assert observer.marginal("beta") == pytest.approx({3.0: posterior[:4].sum(), 1.0: posterior[4]})
    assert observer.marginal(lambda mind: type(mind).__name__) == pytest.approx(
        {"PlanningMind": posterior[[0, 4]].sum(), "Switching": posterior[1:4].sum()}
    )
    by_goal = observer.marginal("goal")
    assert list(by_goal) == ["left end", "anything", "once", "drawn at the start", "right end"]
    assert observer.expect(lambda mind: mind.beta) == pytest.approx(posterior @ [3.0, 3.0, 3.0, 3.0, 1.0])
    assert observer.expect(lambda mind: [1.0, mind.beta])[0] == pytest.approx(1.0)
    with pytest.raises(UsageError, match="arrays of different shapes"):
        observer.expect(lambda mind: np.ones(2 if mind is hypotheses[0] else 3))


# ----------------------------------------------------------------------------------------------------------- refusals


def refused(observer, evidence, match):
    before, steps = observer.posterior(), observer.steps
    with pytest.raises(ImpossibleEvidenceError, match=match):
        evidence()
    assert observer.posterior().tolist() == before.tolist()
    assert observer.steps == steps


def test_states_that_cannot_follow_each_other_are_refused_unless_an_episode_begins():
    observer = Observer(WORLD, minds_grid(["left end", "right end"], 2.0, "hard"))
    observer.update(2, RIGHT)
    refused(observer, lambda: observer.update(4, RIGHT), r"step 0: .*cell=2.* took 'right', which cannot lead to .*=4")
    refused(observer, lambda: observer.update_batch([4, 4], [RIGHT, RIGHT]), "step 0: .*cannot lead to")
    refused(observer, lambda: observer.update_batch([3, 1], [RIGHT, LEFT]), r"step 1: .*cell=3.*cannot lead to .*=1")
    refused(observer, lambda: observer.update(3, RIGHT, 1), r"step 1: .*cell=3.*cannot lead to .*=1")
    observer.update(3, RIGHT, next_state=4)
    refused(observer, lambda: observer.update(3, LEFT), r"(?s)step 2: .*cell=3.*the last step led to .*=4.*fresh=True")
    observer.update(2, None, fresh=True)
    refused(observer, lambda: observer.update(4, LEFT), r"step 2: from .*cell=2.* came to .*=4.*no action leads to")
    observer.update_batch([4, 0], [LEFT, RIGHT], fresh=[True, True])
    assert observer.steps == 5
    with pytest.raises(UsageError, match="fresh = "):
        observer.update_batch([4, 0], [LEFT, RIGHT], fresh=[1, 0])


def test_an_action_after_the_end_is_refused():
    world = Fork()
    observer = Observer(world, minds_grid("prize", 2.0, "hard"))
    start, second, end = (ForkState(stage) for stage in range(3))
    observer.update(start, "go on")
    observer.update(second, "stop", next_state=end)
    refused(
        observer, lambda: observer.update(end, "stop"), "step 2: the agent acts in .*stage=2.* the episode was over"
    )
    late = world.pack([second, end])
    refused(observer, lambda: observer.update_batch(late, [0, 0], fresh=True), "step 3: .*stage=2.* episode was over")
    observer.update(start, "stop", fresh=True)
    observer.update(end)  # where it ended, without an action
    assert observer.steps == 4


def test_minds_that_act_on_what_a_world_hides_must_say_that_they_see():
    world = resolve_task("Tiger").world
    goals = list(world.goals) or [world.purpose]
    with pytest.raises(UsageError, match=r"(?s)acts differently in TigerState.*look alike: Tiger hides.*sees=True"):
        Observer(world, minds_grid(goals, 1.0, "hard"))
    Observer(world, minds_grid(goals, 0.0, "hard"))  # acts alike everywhere
    seeing = Observer(world, minds_grid(goals, 1.0, "hard", sees=True))
    assert "seeing the state" in seeing.minds[0].name


class Listener:
    """Remembers the last sound of the tiger, or (`cheats`) something the world hides."""

    def __init__(self, cheats=""):
        self.cheats = cheats

    def controller(self, world, player=0):
        dynamics = world.dynamics()
        tiger, heard = (np.array([getattr(world.unpack(dynamics.states, s), f) for s in range(len(dynamics))])
                        for f in ("tiger", "heard"))  # fmt: skip
        open_other = np.log([[0.1, 0.1, 0.8], [0.1, 0.8, 0.1], [0.8, 0.1, 0.1]])  # by memory
        start = np.eye(3)[tiger if self.cheats == "begins" else np.full(len(dynamics), 2)]
        arrival = np.eye(3)[tiger if self.cheats == "remembers" else heard]
        step = Step.on_arrival(world, np.repeat(arrival[:, None], 3, axis=1))
        return Controller(np.tile(open_other, (len(dynamics), 1, 1)), start, step)


def test_a_mind_with_a_memory_of_what_it_heard_need_not_see():
    world = resolve_task("Tiger").world
    observer = Observer(world, [Listener()])
    states = {(s.tiger, s.heard): n for n, s in enumerate(
        world.unpack(world.dynamics().states, i) for i in range(len(world.dynamics())))}  # fmt: skip
    observer.update(states[0, 2], "listen")
    observer.update(states[0, 0], "open right")  # having heard the tiger on the left
    assert observer.log_evidence() == pytest.approx(2 * math.log(0.8), abs=1e-12)
    for cheats in ("begins", "remembers"):
        with pytest.raises(UsageError, match=f"{cheats} differently in TigerState"):
            Observer(world, [Listener(cheats)])
