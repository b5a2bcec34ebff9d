"""StagHunt, PredatorPrey, DoorHelper and HelperHinderer: cases by hand, symmetry, plans and counts by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from inscape.envs.worlds.multi_agent.door_helper import DoorHelper, DoorHelperState
from inscape.envs.worlds.multi_agent.grid_moves import MOVES
from inscape.envs.worlds.multi_agent.helper_hinderer import HelperHinderer, HelperHindererState
from inscape.envs.worlds.multi_agent.predator_prey import PredatorPrey, PredatorPreyState
from inscape.envs.worlds.multi_agent.stag_hunt import StagHunt, StagHuntState
from inscape.errors import UsageError

LEFT, DOWN, RIGHT, UP, STAY, OPEN = range(6)


def plain(state):
    """Returns a state of Python integers."""
    return type(state)(*(tuple(map(int, f)) if isinstance(f, tuple) else int(f) for f in state))


def outcomes(world, state, action):
    """Returns {next state: probability}."""
    found: dict = {}
    branches = world.branches(world.params) if callable(world.branches) else world.branches
    for branch in range(branches):
        probability, following = world.transition(world.params, state, action, branch)
        if probability > 0:
            found[plain(following)] = found.get(plain(following), 0.0) + probability
    assert sum(found.values()) == pytest.approx(1)
    return found


def only(world, state, action):
    ((following, _),) = outcomes(world, state, action).items()
    return following


def shortest_plan(world, goal):
    """Returns the number of joint actions in the shortest plan from the start to a state `goal` accepts."""
    frontier = [plain(world.initial(world.params, 0)[1])]
    seen, steps = set(frontier), 0
    while frontier:
        if any(goal(state) for state in frontier):
            return steps
        found = []
        for state in frontier:
            if world.terminal(world.params, world.purpose, state):
                continue
            for action in itertools.product(range(world.num_actions), repeat=world.players):
                for following in outcomes(world, state, action):
                    if following not in seen:
                        seen.add(following)
                        found.append(following)
        frontier, steps = found, steps + 1
    return None


# ---------------------------------------------------------------------------------------------- StagHunt


def test_stag_hunt_payoffs():
    """The game of Peysakhovich and Lerer: 5 each for the stag, 1 for a hare, a loss for hunting the stag alone."""
    world = StagHunt(wander=0.0, risk=2.0)
    # rows of five; the stag in the middle (12), hares at 10 and 14
    far = StagHuntState((0, 4), 12)

    def rewards(state):
        return world.reward(world.params, world.purpose, far, (STAY, STAY), state)

    assert rewards(StagHuntState((7, 13), 12)) == (5.0, 5.0)
    assert rewards(StagHuntState((7, 4), 12)) == (-2.0, 0.0)
    assert rewards(StagHuntState((10, 4), 12)) == (1.0, 0.0)
    assert rewards(StagHuntState((10, 14), 12)) == (1.0, 1.0)
    assert rewards(StagHuntState((0, 4), 12)) == (0.0, 0.0)
    assert rewards(StagHuntState((7, 14), 12)) == (-2.0, 1.0)  # left alone with the stag
    over = [world.terminal(world.params, world.purpose, StagHuntState(c, 12)) for c in ((7, 13), (10, 4), (7, 4))]
    assert over == [True, True, False]
    prosocial = world.with_purpose("prosocial")
    mixed = prosocial.reward(world.params, prosocial.purpose, far, (STAY, STAY), StagHuntState((7, 14), 12))
    assert mixed == (-1.0, -1.0)


def test_stag_moves_at_random_and_stays_when_something_is_in_its_way():
    world = StagHunt(wander=0.8)
    free = outcomes(world, StagHuntState((0, 4), 12), (STAY, STAY))
    assert {s.stag: p for s, p in free.items()} == pytest.approx({12: 0.2, 7: 0.2, 11: 0.2, 13: 0.2, 17: 0.2})
    # a hunter below, a hare to the left, the others free
    beside = outcomes(world, StagHuntState((16, 4), 11), (STAY, STAY))
    assert {s.stag: p for s, p in beside.items()} == pytest.approx({11: 0.6, 12: 0.2, 6: 0.2})
    caught = outcomes(world, StagHuntState((16, 7), 11), (STAY, LEFT))  # to 6: now two are next to it
    assert caught == {StagHuntState((16, 6), 11): 1.0}
    # nobody walks into the stag
    assert only(StagHunt(wander=0.0), StagHuntState((7, 4), 12), (DOWN, STAY)) == StagHuntState((7, 4), 12)


def test_stag_hunt_plans():
    """With a stag that stands: three moves from opposite corners to two of its sides; a hare is two moves away."""
    world = StagHunt(wander=0.0)
    near, hares = world.params.near, world.params.hares
    assert shortest_plan(world, lambda s: near[s.cells[0], s.stag] and near[s.cells[1], s.stag]) == 3
    assert shortest_plan(world, lambda s: hares[s.cells[0]] or hares[s.cells[1]]) == 2


def swapped(state):
    return state._replace(cells=state.cells[::-1])


@pytest.mark.parametrize("world", [StagHunt(risk=0.5, care=0.25), PredatorPrey(predators=2, size=4)], ids=repr)
def test_swapping_players_swaps_what_happens_and_the_rewards(world):
    rng = np.random.default_rng(0)
    cells = np.flatnonzero(world.params.near.any(0)).tolist()
    for _ in range(300):
        one, two, third = (int(c) for c in rng.choice(cells, 3, replace=False))
        state = world.State((one, two), third)
        action = tuple(rng.integers(0, 5, 2).tolist())
        straight = outcomes(world, state, action)
        mirrored = outcomes(world, swapped(state), action[::-1])
        assert {swapped(s): p for s, p in mirrored.items()} == straight
        for following in straight:
            rewards = world.reward(world.params, world.purpose, state, action, following)
            other = world.reward(world.params, world.purpose, swapped(state), action[::-1], swapped(following))
            assert rewards == other[::-1]


# ---------------------------------------------------------------------------------------------- PredatorPrey


def test_a_prey_surrounded_is_caught_and_one_with_a_way_out_may_take_it():
    world = PredatorPrey(rest=0.2)
    # on a torus of 5 × 5: prey in the middle (12), predators two cells away on each side close in
    ring = PredatorPreyState((10, 2, 14, 22), 12)
    closing = only(world, ring, (RIGHT, DOWN, LEFT, UP))
    assert closing == PredatorPreyState((11, 7, 13, 17), 12)
    assert world.terminal(world.params, world.purpose, closing)
    assert world.reward(world.params, world.purpose, ring, (STAY,) * 4, closing) == pytest.approx((0.99,) * 4)
    three = outcomes(world, ring, (RIGHT, DOWN, LEFT, STAY))
    assert {s.prey: p for s, p in three.items()} == pytest.approx({12: 0.8, 17: 0.2})
    # across the edge
    assert only(PredatorPrey(predators=2, rest=1.0), PredatorPreyState((0, 12), 24), (UP, LEFT)).cells == (20, 11)


def test_predators_can_share_the_catch_unequally():
    world = PredatorPrey(predators=2, shares=(1.0, 0.5), step_cost=0.0)
    caught = PredatorPreyState((11, 13), 12)
    assert world.reward(world.params, world.purpose, caught, (STAY, STAY), caught) == (1.0, 0.5)
    idle = world.goals["player_0 does not care"]
    assert world.reward(world.params, idle, caught, (STAY, STAY), caught) == (0.0, 1.0)
    assert PredatorPrey(predators=6).params.needed == 4  # a prey has four sides


@pytest.mark.slow
def test_predator_prey_reaches_every_placement():
    """Two predators and a prey on 3 × 3 cells: 9 · 8 · 7 states, since each can come to stand anywhere."""
    world = PredatorPrey(predators=2, size=3, starts=1)
    dynamics = world.dynamics()
    over = world.terminal_of(dynamics.states)
    # on a 3 × 3 torus each cell has four neighbours: both predators among them
    everywhere = [PredatorPreyState((a, b), p) for a, b, p in itertools.permutations(range(9), 3)]
    assert len(dynamics) == len(everywhere) == 504
    assert over.sum() == sum(world.terminal(world.params, world.purpose, state) for state in everywhere) == 9 * 4 * 3
    # and the compiled tables hold what plain Python says
    rng = np.random.default_rng(0)
    for s in rng.choice(np.flatnonzero(~over), 25, replace=False):
        state = world.unpack(dynamics.states, int(s))
        for choice in range(0, 25, 4):
            action = tuple(int(a) for a in world.joint_actions([choice])[0])
            kept = dynamics.probability[s, choice] > 0
            table = {
                world.unpack(dynamics.states, int(n)): p
                for n, p in zip(dynamics.next_state[s, choice][kept], dynamics.probability[s, choice][kept])
            }
            assert table == pytest.approx(outcomes(world, state, action))


# ---------------------------------------------------------------------------------------------- DoorHelper


def test_doors():
    world = DoorHelper(map="corridor")
    width = world.params.width
    door, start = width + 2, plain(world.initial(world.params, 0)[1])
    at_door = start._replace(human=door + 1)
    assert only(world, at_door, (LEFT, STAY)).human == door + 1  # closed
    assert only(world, at_door, (OPEN, STAY)).doors == 0  # the human has no keys
    helper_there = start._replace(helper=door + 1)
    assert only(world, helper_there, (STAY, OPEN)).doors == world.params.door[door]
    assert only(world, start, (STAY, OPEN)).doors == 0  # no door next to the helper
    open_door = at_door._replace(doors=int(world.params.door[door]))
    assert only(world, open_door, (LEFT, STAY)).human == door
    assert only(world, open_door, (LEFT, STAY)).doors == open_door.doors  # stays open


def test_door_rewards_are_shared_and_doors_have_their_price():
    world = DoorHelper(map="corridor", goal="B", goal_reward=1.0, step_cost=0.1, door_cost=0.25)
    state = plain(world.initial(world.params, 0)[1])
    opened = state._replace(doors=3)
    goal = opened._replace(human=world.purpose.goal)
    reward = world.reward(world.params, world.purpose, state, (STAY, OPEN), opened)
    assert reward == pytest.approx((-0.6, -0.6))
    assert world.reward(world.params, world.purpose, opened, (RIGHT, STAY), goal) == pytest.approx((0.9, 0.9))
    assert world.terminal(world.params, world.purpose, goal)
    assert world.goals["A"].goal != world.goals["B"].goal
    seen = [world.observation(world.params, state, player) for player in (0, 1)]
    assert seen == [state, state]  # the goal is not in it
    assert not world.terminal(world.params, world.goals["A"], goal)


@pytest.mark.slow
def test_door_plans():
    """The helper is three moves from the only cell in the hall from which it can open A's door: it opens it with the
    fourth joint action, goes through the door before the human, who follows one cell behind, and makes way in the
    room: the human, five moves behind from there, is at A after nine, three more than with doors open.
    """
    world = DoorHelper(map="four-rooms")
    width, a = world.params.width, world.goals["A"].goal
    door = int(world.params.door[3 * width + 2])
    assert shortest_plan(world, lambda s: s.doors & door) == 4
    assert shortest_plan(world, lambda s: s.human == a) == 9
    start = plain(world.initial(world.params, 0)[1])
    assert abs(start.human // width - a // width) + abs(start.human % width - a % width) == 6


def test_door_maps_are_checked():
    for map_rows, message in (
        ("S.A/...", "0 cells P"),
        ("SPA/..A", "goal = 'A'"),
        ("S+P/SAB", "2 cells S"),
    ):
        with pytest.raises(UsageError, match=message):
            DoorHelper(map=map_rows)
    with pytest.raises(UsageError, match="goal = 'E'"):
        DoorHelper(goal="E")


# ---------------------------------------------------------------------------------------------- HelperHinderer


def pushes(small, large, actions, weakness=0.0, rows="...../.A.../..S../.L.../....."):
    """Returns where small and large end, cells of a 5 × 5 grid."""
    world = HelperHinderer(map=rows, weakness=weakness)
    found = outcomes(world, HelperHindererState(small, large), actions)
    return {(state.small, state.large): p for state, p in found.items()}


def test_pushing():
    assert pushes(12, 11, (STAY, RIGHT)) == {(13, 12): 1.0}
    assert pushes(14, 13, (STAY, RIGHT)) == {(14, 13): 1.0}  # against the edge: neither moves
    assert pushes(12, 11, (LEFT, RIGHT)) == {(13, 12): 1.0}  # head on: the large one is stronger
    assert pushes(14, 13, (LEFT, RIGHT)) == {(14, 13): 1.0}
    assert pushes(12, 11, (RIGHT, RIGHT)) == {(13, 12): 1.0}  # one after the other, no push
    assert pushes(12, 11, (UP, RIGHT)) == {(7, 12): 1.0}  # out of its way
    assert pushes(12, 11, (LEFT, STAY)) == {(12, 11): 1.0}  # the small one cannot push
    assert pushes(12, 11, (LEFT, UP)) == {(11, 6): 1.0}  # but follow
    assert pushes(12, 10, (LEFT, RIGHT)) == {(12, 10): 1.0}  # both want 11
    walled = ".....A/S#..../L...../....../....../......"
    world = HelperHinderer(map=walled)
    state = plain(world.initial(world.params, 0)[1])
    assert only(world, state, (RIGHT, UP)) == HelperHindererState(0, 6)  # pushed up, its own move barred


def test_weak_moves_fail():
    assert pushes(12, 20, (UP, STAY), 0.4) == pytest.approx({(7, 20): 0.6, (12, 20): 0.4})
    assert pushes(12, 11, (RIGHT, RIGHT), 0.4) == {(13, 12): 1.0}  # whether it walks or is pushed
    assert pushes(12, 11, (UP, RIGHT), 0.4) == pytest.approx({(7, 12): 0.6, (13, 12): 0.4})


def test_the_large_ones_reward_is_the_small_ones_times_care():
    for stance, care in (("help", 1.0), ("hinder", -1.0), ("ignore", 0.0), (0.5, 0.5)):
        world = HelperHinderer(stance=stance, move_cost=0.125)
        state = plain(world.initial(world.params, 0)[1])
        goal = state._replace(small=world.purpose.goal)
        for following, own in ((state, -0.04), (goal, 0.96)):
            small, large = world.reward(world.params, world.purpose, state, (UP, STAY), following)
            assert small == pytest.approx(own)
            assert large == pytest.approx(care * own)
            assert world.reward(world.params, world.purpose, state, (UP, UP), following)[1] == pytest.approx(
                care * own - 0.125
            )
    assert len(world.goals) == 12
    assert world.goals["C, hinder"].care == -0.5
    with pytest.raises(UsageError, match="stance = 'hindr'"):
        HelperHinderer(stance="hindr")


def test_a_helper_brings_home_one_who_cannot_walk_and_a_hinderer_can_bar_a_door():
    small = HelperHinderer(map="small")
    assert shortest_plan(small, lambda s: s.small == small.purpose.goal) == 4  # alone, no help is of use
    # A is two cells to the left, the large one two to the right: one step, two pushes
    lame = HelperHinderer(map="A.S.L/#####", weakness=1.0)
    assert shortest_plan(lame, lambda s: s.small == lame.purpose.goal) == 3
    # in a corridor with the large one between it and A, the small one never gets there against its will
    barred = HelperHinderer(map="A.LS./#####")
    frontier, seen = [plain(barred.initial(barred.params, 0)[1])], set()
    while frontier:
        state = frontier.pop()
        if state not in seen:
            seen.add(state)
            frontier += [only(barred, state, (action, STAY)) for action in range(len(MOVES))]
    assert all(state.small > 2 for state in seen)


def test_states_are_told_from_observations():
    for world in (DoorHelper(), HelperHinderer()):
        state = plain(world.initial(world.params, 0)[1])
        assert world.state_of(world.params, world.observation(world.params, state, 1)) == state
    assert isinstance(DoorHelper().place(DoorHelper().params, DoorHelperState(40, 41, 0)), tuple)
