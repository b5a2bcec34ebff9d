"""Helpers in worlds: asking when it pays, orders only one cook reads, the agent."""

from __future__ import annotations

import pickle
import runpy
import time
from typing import Any

import numpy as np
import pytest

from inscape import make_agent, make_world, resolve_task, rollout
from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind import Answering, PlanningMind, Trusting, assistance_problem, minds_grid
from inscape.theory_of_mind.assistance.trusting import joint_values
from inscape.theory_of_mind.recursion.folding import PlayersTables
from tests.conftest import EXAMPLES

HOUSE = make_world("HouseholdHelper", rooms="kitchen, living room")


def test_an_answer_tells_as_much_as_it_is_accurate() -> None:
    minds = [Answering(mind, 0.8) for mind in minds_grid(HOUSE.goals, [10.0], ["hard"])]
    problem = assistance_problem(HOUSE, minds)
    states = HOUSE.sample_initial(1, rng := np.random.default_rng(0))
    work = problem.qmdp().begin(HOUSE.observe(states, player=1)[0])
    ask, look, say = (HOUSE.action_names.index(name) for name in ("ask", "look", "say book in table"))
    states, *_ = HOUSE.step(states, np.array([[look, ask]]), rng)
    work.update(ask, HOUSE.observe(states, player=1)[0])
    before = work.posterior()
    states, *_ = HOUSE.step(states, np.array([[say, look]]), rng)
    after = work.update(look, HOUSE.observe(states, player=1)[0])
    np.testing.assert_allclose(after, before * [0.2, 0.8] / (before @ [0.2, 0.8]), atol=1e-12)
    with pytest.raises(UsageError, match="no action 'say north'"):
        assistance_problem(HOUSE, [Answering(_Wants("north"))])
    with pytest.raises(UsageError, match="accuracy"):
        Answering(minds[0], 1.5)


class _Wants:
    def __init__(self, wants: str) -> None:
        self.wants = wants

    def controller(self, world: Any, player: int = 0) -> Any:
        return PlanningMind(world.purpose, 1.0, "hard").controller(world, player)


@pytest.mark.slow
@pytest.mark.compiled
def test_in_a_kitchen_whose_orders_it_cannot_read_a_helper_offers_and_infers() -> None:
    world = make_world("KitchenOrders")
    problem = assistance_problem(world, [Trusting(world.purpose, 10.0)], gamma=0.9)
    helper = problem.solve(0.02, 60.0)
    assert helper.lower > 1.6 and helper.gap < 0.05
    assert problem.waiting_value() == pytest.approx(0.0, abs=1e-9)
    assert problem.simulate(problem.qmdp(), 5, 0, 50).mean == 0.0
    again = make_world("Kitchen", map="hatch-window", cook_time=1)
    minds = [Trusting(soup, 10.0) for soup in ("onion soup", "tomato soup")]
    assert assistance_problem(again, minds, gamma=0.9).solve(0.02, 60.0).lower > 1.6


def test_a_trusting_mind_acts_as_if_the_other_knew() -> None:
    # a partner who plays its part of what both would do is worth the joint optimum to it: it expects no less
    world = make_world("DoorHelper", map="AS+B/##P#", goal_reward=2.0)
    tables = PlayersTables(world, "B")
    q_values = joint_values(tables, 0, world.gamma)
    best = q_values.max(axis=1)
    shared, ahead = tables.rewards(0), (tables.probability * best[tables.next_state]).sum(axis=2)
    going = ~tables.terminal
    np.testing.assert_allclose(best[going], (shared + world.gamma * ahead).max(axis=1)[going], atol=1e-8)
    probs = np.exp(Trusting("B", 1e6).controller(world).log_probs[:, 0])
    parts = np.array([[q_values[s, tables.moves[:, 0] == a].max() for a in range(6)] for s in np.flatnonzero(going)])
    np.testing.assert_allclose(probs[going].argmax(axis=1), parts.argmax(axis=1))
    with pytest.raises(MissingLawError, match="two players"):
        Trusting("A", 1.0).controller(make_world("FourGoals"))
    with pytest.raises(UsageError, match="beta"):
        Trusting("A", -1.0)


def test_the_agent_helps_in_its_seat_and_resumes() -> None:
    helper = make_agent("helper", HOUSE, settings={"beta": 20.0})
    assert type(helper).__module__.startswith("inscape.theory_of_mind")
    played = rollout(["random", helper], HOUSE, 1, seed=0)
    assert all(0 < len(one) <= 40 for one in played)
    observed = HOUSE.observe(HOUSE.sample_initial(1, np.random.default_rng(0)), player=1)
    memory = helper.initial_memory(1)
    began = time.perf_counter()
    actions, memory = helper.act_with_memory(observed, memory, np.zeros(1))
    assert time.perf_counter() - began < 0.25  # a step of a live game; the benchmark measures it
    assert sum(helper.posterior(memory[0]).values()) == pytest.approx(1.0)
    assert pickle.loads(pickle.dumps(helper)).act(observed).tolist() == actions.tolist()
    other = helper.for_player(0)
    assert other is not helper and other.player == 0 and helper.for_player(1) is helper
    assert make_agent("helper", HOUSE, settings={"method": "vote"}).act(observed).shape == (1,)


def test_what_the_agent_cannot_help_is_refused() -> None:
    for task, settings, said in (
        ("FourGoals", {}, "1 players"),
        ("PredatorPrey", {}, "4 players"),
        ("DoorHelper", {"goals": "Z"}, "goal 'Z'"),
        ("DoorHelper", {"method": "magic"}, "method = 'magic'"),
        ("DoorHelper", {"beta": -1.0}, "beta"),
        ("DoorHelper", {"accuracy": 2.0}, "accuracy"),
    ):
        with pytest.raises((UsageError, MissingLawError), match=said):
            make_agent("helper", task, settings=settings)
    helper = make_agent("helper", HOUSE, settings={"method": "qmdp"})
    with pytest.raises(UsageError, match="what a state of HouseholdHelper shows"):
        helper.act(np.array([[9, 9, 9, 9, 9]]))


def test_a_person_plays_beside_the_helper(tmp_path: Any) -> None:
    pytest.importorskip("pygame")
    from tests.experiments.viewing.test_play import keyed

    task = resolve_task("DoorHelper", {"map": "A.S+B/###P#"})
    played, _ = keyed(task, ["left", "left"], tmp_path, players=["human", "helper"])
    (only,) = played.trajectories
    assert only.terminated and only.actions.shape == (2, 2) and only.actions[:, 0].tolist() == [0, 0]


def test_the_example_asks_and_watches(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "helper.py"), run_name="__main__")
    random_one, purposeful = capsys.readouterr().out.split("β = 40")
    first = [text.splitlines()[1].split("helper: ")[1].split("  ")[0] for text in (random_one, purposeful)]
    assert first == ["ask", "take mug"]
    assert purposeful.splitlines()[-1].strip().startswith("person: put in table")
