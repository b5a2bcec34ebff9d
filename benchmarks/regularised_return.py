"""A language model's policy against the exact optimum of KL-regularised return.

`python benchmarks/regularised_return.py`: FrozenLake 4×4, slippery, γ = .99, the reference exactly uniform over the
four actions. The optimum of E[Σ γᵗ·(r_t − τ·KL(π(·|s_t) ‖ π₀))] from the start state is that of soft value iteration
with the reference as prior. What was trained is read off in every state and evaluated exactly, by solving the linear
equations of its own policy, without a time limit. With the penalty in the loss alone another point is reached:
π ∝ π₀·exp(Q/τ) with Q of the plain return, found here by iteration (`--loss`).
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace

import numpy as np
import torch

import inscape
from inscape.agents import bradley_terry, make_agent
from inscape.world_models import TabularModel, soft_value_iteration

GAMMA = 0.99


def tables() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns `(P [S, A, S] with 0 into ends, r [S, A], start [S], acting [S] bool)` of FrozenLake."""
    model = TabularModel.from_world(inscape.make_world("FrozenLake"))
    states, actions, _ = model.probability.shape
    following = np.zeros((states, actions, states))
    at = np.ix_(range(states), range(actions), range(model.probability.shape[2]))
    np.add.at(following, (at[0], at[1], model.next_state), model.probability * model.continuation)
    reward = (model.probability * model.reward).sum(2)
    return following, reward, model.initial, model.legal.any(1)


def objective(policy: np.ndarray, tau: float) -> tuple[float, float, float]:
    """Returns the exact (E[Σ γᵗ(r − τ·KL)], E[Σ γᵗ r], E[Σ γᵗ KL]) from the start, by linear equations."""
    following, reward, start, acting = tables()
    count = policy.shape[1]
    kl = np.where(acting, (policy * np.log(np.maximum(policy, 1e-300) * count)).sum(1), 0.0)
    system = np.eye(len(policy)) - GAMMA * np.einsum("sa,sat->st", policy, following)
    earned = np.linalg.solve(system, np.where(acting, (policy * reward).sum(1), 0.0))
    spent = np.linalg.solve(system, kl)
    return float(start @ (earned - tau * spent)), float(start @ earned), float(start @ spent)


def optimum(tau: float) -> np.ndarray:
    """Returns `[S, A]` the policy that is best under the penalty."""
    model = TabularModel.from_world(inscape.make_world("FrozenLake"))
    prior = np.full(model.legal.shape, 1 / model.legal.shape[1])
    found = soft_value_iteration(model, GAMMA, 1 / tau, "maxent", tolerance=1e-12, prior=prior)
    return np.exp(found.log_policy)


def looking_no_further(tau: float) -> np.ndarray:
    """Returns `[S, A]` the policy with π ∝ π₀·exp(Q/τ), Q its own plain return: where a penalty in the loss settles."""
    following, reward, _, acting = tables()
    policy = np.full(reward.shape, 1 / reward.shape[1])
    for _ in range(20_000):
        system = np.eye(len(policy)) - GAMMA * np.einsum("sa,sat->st", policy, following)
        values = np.linalg.solve(system, np.where(acting, (policy * reward).sum(1), 0.0))
        logits = (reward + GAMMA * following @ values) / tau
        new = np.exp(logits - logits.max(1, keepdims=True))
        new /= new.sum(1, keepdims=True)
        if np.abs(new - policy).max() < 1e-12:
            return new
        policy = 0.5 * policy + 0.5 * new
    return policy


SETTINGS = {
    "clone_steps": 0,
    "gamma": GAMMA,
    "entropy_coef": 0.0,
    "kl_in": "reward",
    "kl_reference": "uniform",
    "hidden_size": 32,
    "layers": 1,
    "heads": 2,
}
OF = {
    "ppo": {"num_envs": 1024, "num_steps": 64, "normalize_advantages": False, "gae_lambda": 0.99, "epochs": 8},
    "grpo": {"num_envs": 512, "group_size": 512, "epochs": 2},
    "rloo": {"num_envs": 512, "group_size": 512, "epochs": 2},
}


def trained(algorithm: str, tau: float, seed: int, steps: int, **settings: object) -> np.ndarray:
    """Returns `[S, A]` the policy of a small language model after training."""
    task = replace(inscape.resolve_task("FrozenLake"), max_episode_steps=2000)
    given = SETTINGS | OF[algorithm] | {"algorithm": algorithm, "kl_coef": tau} | settings
    agent = make_agent("llm", task, seed=seed, settings=given)
    for _ in agent.learn(task, steps):
        pass
    assert task.world is not None
    dynamics = task.world.dynamics()
    mask = dynamics.legal | ~dynamics.legal.any(1, keepdims=True)
    return np.exp(agent.policy_log_probs(task.world.observe(dynamics.states), mask))


def preferred(tau: float, seed: int, pairs: int, **settings: object) -> np.ndarray:
    """Returns `[S, A]` the policy after DPO on pairs of actions, labelled by Bradley–Terry on soft Q with k = 1/τ."""
    task = inscape.resolve_task("FrozenLake")
    assert task.world is not None
    dynamics = task.world.dynamics()
    acting = dynamics.legal.any(1)
    model = TabularModel.from_world(task.world)
    prior = np.full(model.legal.shape, 1 / model.legal.shape[1])
    q = soft_value_iteration(model, GAMMA, 1 / tau, "maxent", tolerance=1e-12, prior=prior).q_values
    seen = task.world.observe(dynamics.states)
    rng = np.random.default_rng(seed)
    comparisons = bradley_terry(seen[acting], q[acting], pairs, rng, 1 / tau, dynamics.legal[acting])
    given = {"clone_steps": 0, "kl_reference": "uniform", "hidden_size": 32, "layers": 1, "heads": 2, "dpo_steps": 600}
    agent = make_agent("llm", task, seed=seed, settings=given | settings)
    agent.prefer(comparisons)  # type: ignore[attr-defined]
    for _ in agent.learn(task, 0):
        pass
    mask = dynamics.legal | ~dynamics.legal.any(1, keepdims=True)
    return np.exp(agent.policy_log_probs(seen, mask))


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12_000_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--tau", type=float, nargs="*", default=[0.01, 0.03])
    parser.add_argument("--loss", action="store_true", help="the penalty in the loss alone")
    parser.add_argument("--set", nargs="*", default=[])
    given = parser.parse_args()
    more = {name: json.loads(value) for name, value in (pair.split("=", 1) for pair in given.set)}
    if given.loss:
        more |= {"kl_in": "loss"}
    for tau in given.tau:
        best = objective(looking_no_further(tau) if given.loss else optimum(tau), tau)
        what = "fixed point" if given.loss else "optimum"
        print(f"τ = {tau}: {what} {best[0]:.7f} (return {best[1]:.7f} − τ × KL {best[2]:.6f})", flush=True)
        for seed in range(given.seeds if given.only in "dpo" and not given.loss else 0):
            start = time.process_time()
            found = objective(preferred(tau, seed, 1_000_000, **more), tau)
            spent = time.process_time() - start
            print(f"  dpo seed {seed}: {found[0]:.6f}, {100 * found[0] / best[0]:.2f} %, {spent:.0f} s", flush=True)
        for algorithm in (name for name in OF if given.only in name):
            for seed in range(given.seeds):
                start = time.process_time()
                found = objective(trained(algorithm, tau, seed, given.steps, **more), tau)
                spent = time.process_time() - start
                parts = f"({found[1]:.4f} − τ × {found[2]:.3f}), {spent:.0f} s"
                print(
                    f"  {algorithm} seed {seed}: {found[0]:.6f}, {100 * found[0] / best[0]:.2f} % {parts}", flush=True
                )


if __name__ == "__main__":
    main()
