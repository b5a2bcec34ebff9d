"""Does an observer see what trained agents want? Every kind of agent, trained for each of the four goals of FourGoals.

For each agent: in which share of episodes the true goal has more than 0.9 after half the path (bar: 95 %), and bits
per action, each predicted before it is seen, of the observer, of a uniform guess, of frequencies of actions, and of the
best single mind for all episodes together, chosen in hindsight. Each episode begins from the prior. Then, for PPO as it
explores: which of the four agents acts, by their own action probabilities (`PolicyMind`) and by planning minds, with
the calibration of both.

python -m benchmarks.observed_agents [--agents ppo dqn …] [--episodes 20]
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import numpy as np

from inscape import make_agent, make_world, rollout, train
from inscape.theory_of_mind import Observer, PolicyMind, calibration, minds_grid, score_predictions

GOALS = "ABCD"
BETAS = (5.0, 25.0, 125.0)
STEPS: dict[str, int] = {
    "value-iteration": 0,
    "mcts": 0,
    "q-learning": 300_000,
    "double-q-learning": 300_000,
    "sarsa": 300_000,
    "expected-sarsa": 300_000,
    "n-step-sarsa": 300_000,
    "monte-carlo": 300_000,
    "dyna-q": 100_000,
    "reinforce": 200_000,
    "a2c": 200_000,
    "ppo": 100_000,
    "recurrent-ppo": 100_000,
    "dqn": 60_000,
    "alphazero": 20_000,
    "sb3:dqn": 50_000,
    "sb3:ppo": 60_000,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "mcts": {"num_simulations": 2000, "rollout": "none", "averaging_visits": 0.0},
    # at its defaults, made for Atari, it has not found a goal by then
    "sb3:dqn": {"learning_rate": 1e-3, "epsilon_fraction": 0.5, "target_update_interval": 500},
}


def trained(name: str, goal: str, seed: int) -> Any:
    """Returns an agent that has learned to reach a goal."""
    world = make_world("FourGoals", goal=goal)
    if not STEPS.get(name, 100_000):
        return make_agent(name, world, seed=seed, settings=SETTINGS.get(name))
    settings = SETTINGS.get(name)
    run = train(name, world, STEPS.get(name, 100_000), seed=seed, settings=settings, progress=False, verbose=False)
    return run.agent


def main() -> None:
    """Prints a line for each agent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", nargs="+", default=list(STEPS))
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    world = make_world("FourGoals")
    observer = Observer(world, minds_grid(list(GOALS), BETAS, "soft-eval"))
    print(f"load {os.getloadavg()[0]:.1f}; {given.episodes} episodes for each goal; beta in {BETAS}, soft-eval")
    header = ("agent", "return", "> 0.9 at half", "observer", "uniform", "frequency", "best mind", "bars")
    print(f"{header[0]:18} " + " ".join(f"{name:>13}" for name in header[1:]))
    for name in given.agents:
        began = time.process_time()
        episodes, seen, failed = [], [], []
        for goal in GOALS:
            task = make_world("FourGoals", goal=goal)
            made = rollout(trained(name, goal, given.seed), task, episodes=given.episodes, seed=given.seed + 1)
            for episode in made:
                by_goal = observer.marginal("goal", observer.posterior_over(episode))
                known = float(np.asarray(by_goal[goal])[-(-len(episode) // 2)])
                seen.append(known > 0.9)
                if not seen[-1]:
                    failed.append(f"{goal} {known:.2f} ({len(episode)} steps)")
            episodes += made
        score = score_predictions(observer, episodes)
        others = score.uniform_bits_per_action, score.frequency_bits_per_action, score.best_mind_bits_per_action
        met = np.mean(seen) >= 0.95, score.bits_per_action < min(others)
        numbers = [np.mean([e.total_reward for e in episodes]), np.mean(seen), score.bits_per_action, *others]
        print(
            f"{name:18} "
            + " ".join(f"{number:13.3f}" for number in numbers)
            + f" {'met' if all(met) else 'NOT MET':>13}   {time.process_time() - began:.0f} s"
            + (f"   below 0.9: {', '.join(failed[:4])}" if failed else ""),
            flush=True,
        )
    if "ppo" in given.agents:
        which_agent(observer, given.episodes, given.seed)


def which_agent(planned: Observer, episodes: int, seed: int) -> None:
    """Prints how well the agents' own probabilities, and planning minds, tell which PPO agent acts, and calibration."""
    agents = {goal: trained("ppo", goal, seed) for goal in GOALS}
    for agent in agents.values():
        agent.settings = type(agent.settings)(**{**vars(agent.settings), "greedy": False})
    own = Observer(planned.world, [PolicyMind(agent, goal, lapse=0.01, purpose=goal) for goal, agent in agents.items()])
    stated: dict[str, list[Any]] = {"PolicyMind": [], "planning minds": []}
    truth, bits = [], {"PolicyMind": [], "planning minds": []}  # type: ignore[var-annotated]
    for number, (goal, agent) in enumerate(agents.items()):
        for episode in rollout(agent, make_world("FourGoals", goal=goal), episodes=episodes, seed=seed + 2):
            for name, observer, feature in (("PolicyMind", own, "name"), ("planning minds", planned, "goal")):
                by_goal = observer.marginal(feature, observer.posterior_over(episode))
                stated[name].append(np.stack([by_goal[g] for g in GOALS], axis=1))
                bits[name].append(observer.bits_per_action(episode))
            truth.append(np.full(len(episode) + 1, number))
    for name, rows in stated.items():
        given, came = np.concatenate(rows), np.concatenate(truth)
        error = calibration(given / given.sum(axis=1, keepdims=True), came).error
        right = float(given[np.arange(len(came)), came].mean())
        print(
            f"which PPO agent is it, by {name}: mean probability of the true one {right:.3f}, calibration error "
            f"{error:.3f}, {np.concatenate(bits[name]).mean():.3f} bits per action"
        )


if __name__ == "__main__":
    main()
