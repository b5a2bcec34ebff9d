"""PettingZoo: its own tests, on a world in turn and on a world all at once; and random play as its tutorials write it.

usage: python pettingzoo_tests.py
"""

import pettingzoo
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, render_test, seed_test

import inscape  # registers the worlds with pettingzoo.make

game = inscape.make_world("ConnectFour")
api_test(game.aec_env(), num_cycles=200, verbose_progress=False)
seed_test(lambda: game.aec_env(), num_cycles=50)
render_test(lambda render_mode=None: game.aec_env(render_mode=render_mode))

team = inscape.make_world("Spread")
parallel_api_test(team.parallel_env(), num_cycles=200)
parallel_seed_test(lambda: team.parallel_env(), num_cycles=50)
api_test(team.aec_env(), num_cycles=200)

env = (
    pettingzoo.make("aec", "inscape/TicTacToe-v0")
    if hasattr(pettingzoo, "make")
    else inscape.make_world("TicTacToe").aec_env()
)
env.reset(seed=0)
totals = dict.fromkeys(env.possible_agents, 0.0)
for agent in env.agent_iter():
    observation, reward, terminated, truncated, info = env.last()
    totals[agent] += reward
    ended = terminated or truncated
    env.step(None if ended else env.action_space(agent).sample(observation["action_mask"]))
print(f"all passed; TicTacToe at random: {totals}")
