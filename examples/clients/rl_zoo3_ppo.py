"""rl_zoo3: its command line, with this file as its `--conf-file`.

usage: python rl_zoo3_ppo.py [WORLD]
"""

import re
import subprocess
import sys

WORLDS = ("CartPole", "Pendulum", "DoorKey")
hyperparams = {
    f"inscape/{world}-v0": {"n_timesteps": 2_000, "n_envs": 4, "n_steps": 128, "policy": "MlpPolicy"}
    for world in WORLDS
}

if __name__ == "__main__":
    world = sys.argv[1] if len(sys.argv) > 1 else "CartPole"
    common = ["--algo", "ppo", "--env", f"inscape/{world}-v0", "--gym-packages", "inscape", "--device", "cpu"]
    train = ["rl_zoo3.train", *common, "--conf-file", __file__, "-f", "logs", "--eval-freq", "1000", "--seed", "0"]
    enjoy = ["rl_zoo3.enjoy", *common, "-f", "logs", "-n", "1000", "--no-render"]
    for module, *words in (train, enjoy):
        done = subprocess.run([sys.executable, "-m", module, *words], check=True, stdout=subprocess.PIPE, text=True)
    found = re.search(r"Mean reward: (-?[\d.]+)", done.stdout)  # what enjoy prints
    print(f"{world}: mean return {found[1]} in 1,000 steps")
