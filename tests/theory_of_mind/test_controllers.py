"""Controllers: what is one, and what is refused, with mind, state and memory named."""

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.theory_of_mind import Controller, Mind, Observer, ObserverProtocol, PlanningMind, Step
from inscape.theory_of_mind.controllers import check_controller
from tests.theory_of_mind.worlds import Corridor

WORLD = Corridor(slip=0.2)
S, A, K = 5, 2, 2
EVEN = np.full((S, A), np.log(0.5))


def two_memories(**changes):
    controller = Controller(np.full((S, 2, A), np.log(0.5)), np.tile([0.25, 0.75], (S, 1)))
    return controller._replace(**changes)


def test_a_memoryless_controller_has_one_memory_state():
    controller = check_controller(Controller.memoryless(EVEN, np.arange(S) == 4), WORLD, "even")
    assert controller.log_probs.shape == (S, 1, A) and controller.num_memories == 1
    assert controller.start.tolist() == [[1.0]] * S
    assert controller.step is Step.stay
    assert controller.arrived.tolist() == [[False]] * 4 + [[True]]


def test_a_memoryless_controller_takes_tables_without_a_memory_axis():
    with pytest.raises(UsageError, match=r"shapes \(5,\)"):
        Controller.memoryless(EVEN[:, 0])
    with pytest.raises(UsageError, match=r"shapes \(5, 2\) and \(\)"):
        Controller.memoryless(EVEN, arrived=True)


def test_a_planning_mind_returns_what_the_observer_holds():
    mind = PlanningMind("right end", 3.0, "soft-eval")
    controller = check_controller(mind.controller(WORLD), WORLD, mind.name)
    policies = Observer(WORLD, [mind]).policies
    assert controller.log_probs[:, 0].tolist() == policies.log_probs[0].tolist()
    assert controller.arrived[:, 0].tolist() == policies.arrived[0].tolist()
    with pytest.raises(UsageError, match="player 1 of Corridor"):
        mind.controller(WORLD, player=1)


def test_steps_have_the_shapes_that_observers_read():
    switching = Step.switching([[0.9, 0.1], [0.3, 0.7]])
    assert switching.next_memory.shape == switching.probability.shape == (1, 1, 1, 2, 2)
    check_controller(two_memories(step=switching), WORLD, "switching")
    turned = np.tile(np.eye(2), (S, 1, 1))
    turned[4] = [[0.0, 1.0], [0.0, 1.0]]  # arriving at the right end sets memory 1
    arrival = check_controller(two_memories(step=Step.on_arrival(WORLD, turned)), WORLD, "arriving").step
    dynamics = WORLD.dynamics()
    for s, a, k in np.ndindex(S, A, K):
        expected = turned[dynamics.next_state[s, a, k]]
        assert arrival.probability[s, a, k].tolist() == expected.tolist()
        assert arrival.next_memory[s, a, k].tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("controller", "match"),
    [
        (EVEN, "has the controller ndarray"),
        (Controller(EVEN, np.ones((S, 1))), r"log_probs of shape \(5, 2\)"),
        (Controller.memoryless(np.log([[0.5, 0.5]] * 4)), r"log_probs of shape \(4, 1, 2\)"),
        (two_memories(start=np.ones((S, 1))), r"start of shape \(5, 1\)"),
        (two_memories(start=np.tile([0.5, 0.6], (S, 1))), r"begins in state 0, .*\[0.5, 0.6\]"),
        (two_memories(start=np.tile([1.5, -0.5], (S, 1))), r"begins in state 0, .*\[1.5, -0.5\]"),
        (two_memories(log_probs=np.full((S, 2, A), -1.0)), "state 0, .*memory 0, sum to 0.73"),
        (two_memories(log_probs=np.full((S, 2, A), np.nan)), r"log_probs\[0, 0, 0\] = nan"),
        (two_memories(log_probs=[["a"]]), "an array of numbers"),
        (two_memories(arrived=np.zeros((S, 2))), r"arrived \(float64\) of shape"),
        (two_memories(step="stay"), "has the step 'stay'"),
        (two_memories(step=Step.switching(np.eye(3))), r"shapes \(1, 1, 1, 3, 3\)"),
        (
            two_memories(step=Step.switching([[0.5, 0.6], [0, 1]])),
            r"memory 0, action 'left', outcome 0, .*\[0.5, 0.6\]",
        ),
        (two_memories(step=Step(np.full((1, 1, 1, 2, 1), 2), np.ones((1, 1, 1, 2, 1)))), "integers from 0 to 1"),
        (two_memories(step=Step(np.zeros((3, 1, 1, 2, 1), int), np.ones((3, 1, 1, 2, 1)))), r"\(3, 1, 1, 2, 1\)"),
        (two_memories(step=Step(np.zeros((1, 2), int), np.ones((1, 2)))), r"shapes \(1, 2\)"),
    ],
)
def test_what_is_no_controller_is_refused(controller, match):
    with pytest.raises(UsageError, match=rf"(?s)the mind \(odd\).*{match}|{match}"):
        check_controller(controller, WORLD, "odd")


def test_an_illegal_action_must_have_no_probability():
    with pytest.raises(UsageError, match=r"the mind \(odd\) takes 'left' in state 4, .*memory 0"):
        check_controller(Controller.memoryless(EVEN), Corridor(gate=True), "odd")


@pytest.mark.parametrize("table", [np.eye(2)[0], np.ones((2, 3)) / 3])
def test_tables_of_the_wrong_shape_make_no_step(table):
    with pytest.raises(UsageError, match=r"expected: \[M, M\]"):
        Step.switching(table)
    with pytest.raises(UsageError, match=r"expected: \[S, M, M\] with S = 5"):
        Step.on_arrival(WORLD, table)


def test_mind_is_a_protocol_and_says_what_to_make_instead():
    class Even:
        def controller(self, world, player=0):
            return Controller.memoryless(EVEN)

    assert isinstance(Even(), Mind) and isinstance(PlanningMind("left end", 1.0, "hard"), Mind)
    assert not isinstance("left end", Mind)
    with pytest.raises(TypeError, match=r"PlanningMind\(goal, beta, backup"):
        Mind("left end", 1.0, "hard")
    observer = Observer(WORLD, [Even(), Even()])  # two objects are two minds
    assert isinstance(observer, ObserverProtocol)
    with pytest.raises(UsageError, match=r"\(Even\) is there twice"):
        Observer(WORLD, [observer.minds[0]] * 2)
    with pytest.raises(UsageError, match=r"(?s)among the minds.*controller\(world, player=0\)"):
        Observer(WORLD, [Even])
