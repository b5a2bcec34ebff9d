"""Training: an agent by name or by class, in whatever is in hand. Nothing is written unless a folder is given."""

import gymnasium as gym

import inscape
from inscape import train
from inscape.agents import PPO

run = train("q-learning", "FrozenLake", steps=20_000)  # names, as on the command line
print(run, run.metrics()[-1]["evaluation/return_mean"])

world = inscape.make_world("CartPole", length=1.0)  # a world in hand, a class, a setting by name
longer = train(PPO, world, steps=4_000, seed=1, learning_rate=1e-3)
print(longer.agent.act(world.env().reset(seed=0)[0]))  # one observation, one action

train(longer.agent, world, steps=2_000)  # goes on where it was
train("ppo", gym.make("CartPole-v1"), steps=2_000, out="runs/pole")  # a run folder, for reports and the command line
