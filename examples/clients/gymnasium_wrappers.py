"""Gymnasium: every wrapper there is, for one environment and for copies, around a world that it suits.

usage: python gymnasium_wrappers.py
"""

import importlib.util
import os
import tempfile

import gymnasium as gym
import numpy as np
from gymnasium import wrappers
from gymnasium.wrappers import vector

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # windows that nobody sees
FOLDER = tempfile.mkdtemp()
ARRAYS = ("ArrayConversion", "JaxToNumpy", "JaxToTorch")  # for environments whose arrays are not NumPy's
NEEDS = {"RecordVideo": "moviepy", "NumpyToTorch": "array_api_compat"}  # gymnasium[other,torch]
NEEDS |= {"ResizeObservation": "cv2", "HumanRendering": "cv2"}
OTHERS = ("AtariPreprocessing", "FilterObservation")  # for Atari's emulator; for Dict observations


def same(value):
    return value


PENDULUM = {"ClipAction": {}, "RescaleAction": {"min_action": -1.0, "max_action": 1.0}}
PENDULUM |= {"TransformAction": {"func": same, "action_space": None}}
PENDULUM |= {"DiscretizeAction": {"bins": 5}, "DiscretizeObservation": {"bins": 5}}
PENDULUM |= {"RescaleObservation": {"min_obs": np.float32(-1), "max_obs": np.float32(1)}}
PICTURES = {"FlattenObservation": {}, "FrameStackObservation": {"stack_size": 4}, "GrayscaleObservation": {}}
PICTURES |= {"ReshapeObservation": {"shape": (147,)}, "ResizeObservation": {"shape": (14, 14)}}
DRAWN = {
    "AddRenderObservation": {},
    "HumanRendering": {},
    "RenderCollection": {},
    "RecordVideo": {"video_folder": FOLDER},
}
DRAWN |= {"AddWhiteNoise": {"probability_of_noise_per_pixel": 0.1}}
DRAWN |= {"ObstructView": {"obstructed_pixels_ratio": 0.1, "obstruction_width": 10}}
POLE = {
    "Autoreset": {},
    "OrderEnforcing": {},
    "PassiveEnvChecker": {},
    "RecordEpisodeStatistics": {},
    "NumpyToTorch": {},
}
POLE |= {"TimeAwareObservation": {}, "NormalizeObservation": {}, "NormalizeReward": {}, "DictInfoToList": {}}
POLE |= {"ClipReward": {"min_reward": -1, "max_reward": 1}, "TransformReward": {"func": same}}
POLE |= {
    "DelayObservation": {"delay": 1},
    "DtypeObservation": {"dtype": np.float64},
    "TimeLimit": {"max_episode_steps": 5},
}
POLE |= {"MaxAndSkipObservation": {"skip": 2}, "RepeatAction": {"num_repeats": 2}}
POLE |= {"StickyAction": {"repeat_action_probability": 0.25}}
POLE |= {"TransformObservation": {"func": same, "observation_space": None}}
VECTORIZE = {  # wrappers for one environment, around each copy
    "VectorizeTransformObservation": ("DoorKey", wrappers.FlattenObservation),
    "VectorizeTransformAction": ("Pendulum", wrappers.ClipAction),
    "VectorizeTransformReward": ("CartPole", wrappers.TransformReward),
}


def arguments_of(name):
    """Returns the world that suits a wrapper, whether it draws, and the wrapper's arguments."""
    for world, drawn, table in (("Pendulum", 0, PENDULUM), ("DoorKey", 0, PICTURES), ("CartPole", 1, DRAWN)):
        if name in table:
            return world, bool(drawn), table[name]
    if name in VECTORIZE:
        world, wrapper = VECTORIZE[name]
        return world, False, {"wrapper": wrapper, **({"func": same} if name.endswith("Reward") else {})}
    return "CartPole", False, POLE[name]  # a wrapper that is new here raises KeyError


def names_of(module):
    missing = [name for name, package in NEEDS.items() if importlib.util.find_spec(package) is None]
    return [name for name in module.__all__ if name not in {"vector", *ARRAYS, *OTHERS, *missing}]


for name in names_of(wrappers):
    world, drawn, arguments = arguments_of(name)
    env = gym.make(f"inscape:inscape/{world}-v0", render_mode="rgb_array" if drawn else None)
    env = getattr(wrappers, name)(env, **arguments)
    observation, _ = env.reset(seed=0)
    for _ in range(30):
        action = env.action_space.sample() if name != "NumpyToTorch" else 0
        observation, reward, terminated, truncated, _ = env.step(action)
        if (terminated or truncated) and name != "Autoreset":
            observation, _ = env.reset()
    if drawn:
        env.render()
    env.close()

for name in names_of(vector):
    world, drawn, arguments = arguments_of(name)
    copies = gym.make_vec(f"inscape:inscape/{world}-v0", 3, render_mode="rgb_array" if drawn else None)
    copies = getattr(vector, name)(copies, **arguments)
    copies.reset(seed=0)
    for _ in range(30):
        copies.step(copies.action_space.sample() if name != "NumpyToTorch" else np.zeros(3, np.int64))
    if drawn:
        copies.render()
    copies.close()

print(f"{len(names_of(wrappers))} wrappers of one environment and {len(names_of(vector))} of copies")
