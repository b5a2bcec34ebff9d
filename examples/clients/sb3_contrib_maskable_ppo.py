"""sb3-contrib: MaskablePPO asks the environment for `action_masks()`.

usage: python sb3_contrib_maskable_ppo.py [WORLD]
"""

import sys

from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.evaluation import evaluate_policy
from stable_baselines3.common.env_util import make_vec_env

WORLD = sys.argv[1] if len(sys.argv) > 1 else "SkiResort"

copies = make_vec_env(f"inscape:inscape/{WORLD}-v0", n_envs=4, seed=0)
model = MaskablePPO("MlpPolicy", copies, n_steps=128, seed=0, device="cpu").learn(2_000)
mean, _ = evaluate_policy(model, copies, n_eval_episodes=5, warn=False)
print(f"{WORLD}: mean return {mean:.4g} over 5 episodes")
