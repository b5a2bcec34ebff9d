"""Crafting: the tree of tools by hand, exact values against a breadth-first search, and play through text."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from inscape.envs import text_env
from inscape.envs.worlds.gridworld.crafting import ACHIEVEMENTS, ALL, Crafting, CraftingState
from inscape.errors import UsageError
from inscape.world_models import value_iteration
from tests.envs.worlds.mdp.plain import plain, plain_table, starts

LINE = {"map": "TSBRID"}  # one row: a way through the whole tree can be written down
WHOLE_TREE = [
    *("west", "collect", "collect", "east", "east", "build bench"),
    *("west", "west", "collect", "collect", "east", "east", "make wood pickaxe"),
    *("east", "collect", "collect", "west", "make stone pickaxe"),
    *("east", "east", "collect", "west", "west", "west", "west", "collect", "east", "east", "make iron pickaxe"),
    *("east", "east", "east", "collect"),
]


def follow(world: Crafting, state: CraftingState, names: list[str]) -> tuple[list[CraftingState], list[float]]:
    """Returns the states and rewards of a sequence of actions."""
    states, rewards = [state], []
    for name in names:
        action = world.action_names.index(name)
        p, following = world.transition(world.params, states[-1], action, 0)
        assert p == 1
        rewards.append(world.reward(world.params, world.purpose, states[-1], action, following))
        states.append(plain(following))
    return states, rewards


def shortest(world: Crafting) -> int:
    """Returns the fewest steps to the end, by breadth-first search."""
    (start,) = starts(world)
    depth, waiting = {start: 0}, deque([start])
    while waiting:
        state = waiting.popleft()
        if world.terminal(world.params, world.purpose, state):
            return depth[state]
        for action in range(9):
            following = plain(world.transition(world.params, state, action, 0)[1])
            if following not in depth:
                depth[following] = depth[state] + 1
                waiting.append(following)
    raise AssertionError("no way to the end")


def test_the_whole_tree_step_by_step() -> None:
    world = Crafting(**LINE)
    (start,) = starts(world)
    states, rewards = follow(world, start, WHOLE_TREE)
    assert sum(rewards) == 8
    paid = [name for name, reward in zip(WHOLE_TREE, rewards) if reward]
    assert [name for name in paid if name != "collect"] == [
        "build bench", "make wood pickaxe", "make stone pickaxe", "make iron pickaxe",
    ]  # fmt: skip
    assert states[-1] == CraftingState(5, 0, 0, 0, ALL)
    assert world.terminal(world.params, world.purpose, states[-1])
    assert not any(world.terminal(world.params, world.purpose, state) for state in states[:-1])


@pytest.mark.parametrize(
    ("before", "action"),
    [
        (CraftingState(1, 2, 0, 0, 1), "build bench"),  # not the place
        (CraftingState(2, 1, 0, 0, 1), "build bench"),  # too little wood
        (CraftingState(2, 2, 0, 0, 3), "build bench"),  # built already
        (CraftingState(2, 2, 0, 0, 1), "make wood pickaxe"),  # no bench
        (CraftingState(2, 0, 0, 0, 3), "make wood pickaxe"),
        (CraftingState(2, 1, 0, 0, 7), "make stone pickaxe"),  # no stone
        (CraftingState(2, 1, 1, 0, 15), "make iron pickaxe"),
        (CraftingState(3, 0, 0, 0, 3), "collect"),  # rock without a pickaxe
        (CraftingState(4, 0, 0, 0, 15), "collect"),  # iron with a wooden one
        (CraftingState(5, 0, 0, 0, 63), "collect"),  # the diamond without an iron one
        (CraftingState(0, 2, 0, 0, 1), "collect"),  # hands full
        (CraftingState(1, 0, 0, 0, 0), "collect"),  # nothing there
        (CraftingState(0, 0, 0, 0, 0), "west"),  # the edge
    ],
)
def test_what_is_not_possible_changes_nothing(before: CraftingState, action: str) -> None:
    states, rewards = follow(Crafting(**LINE), before, [action])
    assert states[1] == before and rewards == [0.0]


@pytest.mark.parametrize("goal", ["bench", "stone pickaxe", "diamond"])
def test_exact_values_are_those_of_the_shortest_way(goal: str) -> None:
    world = Crafting(map="5x5", goal=goal)
    model, states = plain_table(world)
    solved = value_iteration(model, 0.99, tolerance=1e-12)
    assert float(model.initial @ solved.values) == pytest.approx(0.99 ** (shortest(world) - 1), abs=1e-9)
    assert all(world.state_of(world.params, world.observation(world.params, s)) == s for s in states)


def test_goals_in_order_are_a_curriculum() -> None:
    steps = [shortest(Crafting(goal=goal)) for goal in ACHIEVEMENTS]
    assert steps == sorted(steps) and len(set(steps)) == len(steps)


def test_played_through_text_to_the_end() -> None:
    world = Crafting(map="5x5")
    env = text_env(world)
    model, states = plain_table(world)
    policy = value_iteration(model, 0.99).q_values.argmax(1)
    numbers = {state: k for k, state in enumerate(states)}
    (state,) = starts(world)
    text, _ = env.reset(seed=0)
    total, terminated = 0.0, False
    while not terminated:
        name = world.action_names[int(policy[numbers[state]])]
        text, reward, terminated, truncated, info = env.step(f"action: {name}")
        assert not truncated and not info["problems"]
        (_, state), *_ = follow(world, state, [name])
        assert terminated or world.describe(world.params, world.purpose, state) in text
        total += reward
    assert total == 8


def test_a_thousand_malformed_answers_move_nothing() -> None:
    env, rng = text_env("Crafting", max_turns=None), np.random.default_rng(0)
    first, _ = env.reset(seed=0)
    for _ in range(1000):
        answer = "".join(chr(int(c)) for c in rng.integers(33, 0x2FF, int(rng.integers(0, 12))))
        text, reward, terminated, truncated, info = env.step(answer)
        assert info["problem"] in ("empty", "unknown", "ambiguous", "cut", "illegal")
        assert (reward, terminated) == (0.0, False)
        if truncated:
            env.reset(seed=0)
    assert first.split(" | ")[1] in text


def test_what_is_refused() -> None:
    for settings in (
        {"map": "9x9"},
        {"map": "T.S/.."},
        {"map": "T.X/..S"},
        {"map": "T../..."},
        {"map": ""},
        {"map": ["S" * 100] * 100},
        {"goal": "gold"},
        {"goal": 3},
        {"carry": 1},
        {"carry": 2.5},
        {"goal_reward": float("nan")},
        {"step_cost": "much"},
    ):
        with pytest.raises(UsageError):
            Crafting(**settings)
