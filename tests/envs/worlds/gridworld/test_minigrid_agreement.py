"""EmptyRoom and DoorKey beside the package minigrid: images, rewards, ends, and the state itself, step for step."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from inscape.envs.worlds.gridworld.door_key import CARRIED, CLOSED, LOCKED, OPEN, DoorKey, DoorKeyState
from inscape.envs.worlds.gridworld.empty_room import EmptyRoom, EmptyRoomState

pytest.importorskip("minigrid")
CHANCES = (0.15, 0.15, 0.35, 0.1, 0.05, 0.15, 0.05)  # of the actions: more steps than turns


class Reader:
    """Reads and writes minigrid's state as ours."""

    def __init__(self, env, is_house):
        self.env, self.is_house = env, is_house
        self.door = self.key = None

    def find(self):
        """Finds this episode's door and key."""
        if self.is_house:
            self.door = next(o for o in self.env.grid.grid if o is not None and o.type == "door")
            self.key = next(o for o in self.env.grid.grid if o is not None and o.type == "key")

    def state(self):
        env = self.env
        pose = *(int(v) for v in env.agent_pos), int(env.agent_dir)
        if not self.is_house:
            return EmptyRoomState(*pose, env.step_count)
        key = (CARRIED, CARRIED) if env.carrying is self.key else tuple(int(v) for v in self.key.cur_pos)
        door = OPEN if self.door.is_open else LOCKED if self.door.is_locked else CLOSED
        return DoorKeyState(*pose, *key, door, *(int(v) for v in self.door.cur_pos), env.step_count)

    def scatter(self, rng):
        """Puts agent, key and door into any state: random play alone seldom gets past the door."""
        env = self.env
        free = [(x, y) for x in range(1, env.width - 1) for y in range(1, env.height - 1)]
        if self.is_house:
            env.grid.set(*self.key.cur_pos, None)
            self.door.is_locked, self.door.is_open = ((True, False), (False, False), (False, True))[rng.integers(3)]
            free = [cell for cell in free if env.grid.get(*cell) is None]
            cell = free.pop(int(rng.integers(len(free))))
            if rng.random() < 0.5:
                env.carrying, self.key.cur_pos = self.key, np.array([-1, -1])
            else:
                env.put_obj(self.key, *cell)
        else:
            free.remove((env.width - 2, env.height - 2))
        if rng.random() < 0.4:  # near the goal
            free = [(x, y) for x, y in free if x >= env.width - 3 and y >= env.height - 3] or free
        env.agent_pos, env.agent_dir = free[int(rng.integers(len(free)))], int(rng.integers(4))


def play(env_id, is_house, rng, steps):
    """Plays minigrid at random; returns (states, actions, next states, images, rewards, terminated, truncated)."""
    env = gym.make(env_id, disable_env_checker=True)
    reader = Reader(env.unwrapped, is_house)
    rows, late = [], False
    while len(rows) < steps:
        env.reset(seed=int(rng.integers(2**31)))
        reader.find()
        scattered = late or rng.random() < 0.7  # whole episodes until one has run out of time
        if scattered:
            reader.scatter(rng)
        state = reader.state()
        over, lived = False, 0
        while not over and not (scattered and lived == 60):
            action = int(rng.choice(7, p=CHANCES))
            obs, reward, terminated, truncated, _ = env.step(action)
            following = reader.state()
            rows.append((state, action, following, obs["image"], reward, terminated, truncated))
            state, over, lived, late = following, terminated or truncated, lived + 1, late or truncated
    return list(zip(*rows))


@pytest.mark.quick("MiniGrid-Empty-8x8-v0-world0")
@pytest.mark.parametrize(
    ("env_id", "world"),
    [
        ("MiniGrid-Empty-8x8-v0", EmptyRoom(size=8)),
        ("MiniGrid-DoorKey-5x5-v0", DoorKey(size=5)),
        pytest.param("MiniGrid-DoorKey-8x8-v0", DoorKey(size=8), marks=pytest.mark.slow),
        pytest.param("MiniGrid-DoorKey-16x16-v0", DoorKey(size=16), marks=pytest.mark.slow),
    ],
)
def test_every_step_equals_minigrids(env_id, world):
    rng = np.random.default_rng(0)
    played = play(env_id, isinstance(world, DoorKey), rng, 20_000 if "16x16" in env_id else 12_000)
    states, actions, following, images, rewards, terminated, truncated = played
    next_states, own_rewards, over = world.step(world.pack(states), np.array(actions), rng)
    assert np.array_equal(next_states.ints, world.pack(following).ints)
    assert np.array_equal(own_rewards, rewards)
    assert np.array_equal(over, terminated)
    assert np.array_equal(world.observe(next_states), np.stack(images))
    assert np.array_equal(next_states.ints[-1] >= world.max_episode_steps, truncated)
    assert sum(terminated) > 50 and any(truncated)


@pytest.mark.quick("MiniGrid-Empty-Random-5x5-v0-world1")
@pytest.mark.parametrize(
    ("env_id", "world"),
    [
        ("MiniGrid-DoorKey-6x6-v0", DoorKey(size=6, reward="constant")),
        ("MiniGrid-Empty-Random-5x5-v0", EmptyRoom(size=5, start="random", reward="constant")),
    ],
)
def test_starts_are_minigrids(env_id, world):
    """Minigrid's starts all are starts of ours, and over 3,000 episodes about as frequent."""
    probability, starts = world.initial_outcomes()
    assert probability.sum() == pytest.approx(1)
    env = gym.make(env_id, disable_env_checker=True)
    reader = Reader(env.unwrapped, isinstance(world, DoorKey))
    index = {key: number for number, key in enumerate(starts.keys())}
    assert len(index) == len(starts)
    counts = np.zeros(len(starts))
    for seed in range(3000):
        env.reset(seed=seed)
        reader.find()
        counts[index[world.pack([reader.state()]).keys()[0]]] += 1
    expected = 3000 * probability
    squares = ((counts - expected) ** 2 / expected).sum()
    freedom = len(starts) - 1
    assert abs(squares - freedom) < 5 * np.sqrt(2 * freedom)  # mean and spread of χ²
