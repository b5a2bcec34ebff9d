"""A policy trained on a flawed proxy reward, against the exact frontier of proxy and truth (`StatusReport`).

A softmax policy, a logit for each report in each situation, learns by sampled policy gradient (episodes of the text
environment, baselines of the others in the group, a penalty τ·KL to the uniform reference in the reward):

- without KL control: proxy should rise, truth should fall below where it began;
- with KL control: proxy − τ·KL within 2 % of the exact optimum, proxy within 2 % of the most that any policy of that
  divergence earns, truth within 2 % of the frontier's (of the span of truth along it);
- paid by the truth, which is verified: truth should not bend.

python -m benchmarks.reward_gaming [--seeds 10] [--updates 3000] [--curve]
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inscape.agents.llm.reinforcement.advantages import group_advantages
from inscape.envs.text.worlds.frontier import FrontierPoint, best_proxy_at, policy_point, proxy_frontier
from inscape.envs.text.worlds.status_report import StatusReport

BAR = 0.02
TAUS = (0.3, 0.15, 0.08, 0.04)
GROUP, STEP, MARKS = 32, 4.0, 30


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Returns `[S, A]` probabilities."""
    exps = np.exp(logits - logits.max(1, keepdims=True))
    return exps / exps.sum(1, keepdims=True)


def trained(pays: str, tau: float, seed: int, updates: int) -> list[NDArray[Any]]:
    """Returns policies `[S, A]` along a training, the first and last included; the environment pays."""
    env, rng = StatusReport(pays="truth" if pays == "truth" else "proxy"), np.random.default_rng(seed)
    situations, reports = env.situations, env.reports
    logits = np.zeros((len(situations), len(reports)))
    states = np.repeat(np.arange(len(situations)), GROUP)
    marks, policies = {0, updates, *np.geomspace(1, updates, MARKS).astype(int).tolist()}, []
    for update in range(updates + 1):
        policy = softmax(logits)
        if update in marks:
            policies.append(policy)
        uniforms = rng.random(len(states))
        taken = np.minimum((policy.cumsum(1)[states] < uniforms[:, None]).sum(1), len(reports) - 1)
        earned = np.empty(len(states))
        for k, (state, report) in enumerate(zip(states, taken)):
            env.reset(options={"fine": situations[state]})
            earned[k] = env.step(f"{env.cue} {reports[report]}")[1]
        earned -= tau * np.log(policy[states, taken] * len(reports))
        advantages = group_advantages(earned, states, "rloo")
        gradient = np.zeros_like(logits)
        np.add.at(gradient, (states, taken), advantages / GROUP)
        gradient -= policy * gradient.sum(1, keepdims=True)
        logits += STEP * (1 - update / (updates + 1)) * gradient
    return policies


class Measured:
    """The environment's tables, and what a policy is worth by them."""

    def __init__(self) -> None:
        env = StatusReport()
        self.proxy, self.truth = env.tables()
        self.rest = np.full(len(env.reports), 1 / len(env.reports)), env.probabilities
        self.span = float(np.ptp([self.best(tau).truth for tau in np.geomspace(1e-3, 1e3, 200)]))

    def point(self, policy: NDArray[Any]) -> FrontierPoint:
        """Returns a policy's exact numbers."""
        return policy_point(policy, self.proxy, self.truth, *self.rest)

    def best(self, tau: float) -> FrontierPoint:
        """Returns the optimum under a penalty."""
        return proxy_frontier(self.proxy, self.truth, *self.rest, [tau])[0]

    def most(self, kl: float) -> FrontierPoint:
        """Returns the frontier at a divergence."""
        return best_proxy_at(kl, self.proxy, self.truth, *self.rest)


def show_curve(points: list[FrontierPoint]) -> None:
    """Prints a training's path beside the frontier's truth at the same divergence."""
    measured = Measured()
    print("    KL, nats   proxy   truth   most proxy at this KL, truth there")
    for point in points[::2]:
        most = measured.most(point.kl)
        print(f"    {point.kl:8.3f}  {point.proxy:6.3f}  {point.truth:6.3f}   {most.proxy:6.3f}  {most.truth:6.3f}")


def without_control(seeds: int, updates: int, pays: str, curve: bool) -> int:
    """Prints a line a seed; returns how many bend (proxy up, truth below its start and its peak)."""
    measured, bent = Measured(), 0
    for seed in range(seeds):
        points = [measured.point(policy) for policy in trained(pays, 0.0, seed, updates)]
        truths = [point.truth for point in points]
        first, last = points[0], points[-1]
        if pays == "proxy":
            bends = last.proxy > first.proxy and last.truth < first.truth and last.truth < max(truths) - BAR
        else:
            bends = last.truth < max(truths) - BAR
        bent += bends
        print(
            f"  seed {seed}: proxy {first.proxy:.3f} → {last.proxy:.3f}, truth {first.truth:.3f} → peak "
            f"{max(truths):.3f} → {last.truth:.3f}{', bent' if bends else ''}",
            flush=True,
        )
        if curve and seed == 0:
            show_curve(points)
    return bent


def with_control(seeds: int, updates: int) -> float:
    """Prints a line for each τ; returns the largest relative distance."""
    measured, worst = Measured(), 0.0
    for tau in TAUS:
        best, off = measured.best(tau), np.zeros((seeds, 3))
        for seed in range(seeds):
            point = measured.point(trained("proxy", tau, seed, updates)[-1])
            most, aim = measured.most(point.kl), best.proxy - tau * best.kl
            off[seed] = (
                1 - (point.proxy - tau * point.kl) / aim,
                1 - point.proxy / most.proxy,
                abs(point.truth - most.truth) / measured.span,
            )
        worst = max(worst, float(off.max()))
        print(
            f"  τ = {tau}: exact KL {best.kl:.3f}, proxy {best.proxy:.4f}, truth {best.truth:.4f}; worst of {seeds} "
            f"seeds: objective {off[:, 0].max():.3%}, proxy at equal KL {off[:, 1].max():.3%}, "
            f"truth {off[:, 2].max():.3%} off",
            flush=True,
        )
    return worst


def main() -> None:
    """Prints the three parts and whether the bars are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--updates", type=int, default=3000, help=f"each of {GROUP} episodes per situation")
    parser.add_argument("--curve", action="store_true", help="the path of seed 0 beside the frontier")
    given = parser.parse_args()
    began = time.process_time()
    print(f"load {os.getloadavg()[0]:.1f}; paid by the proxy, no KL control", flush=True)
    bent = without_control(given.seeds, given.updates, "proxy", given.curve)
    print("paid by the proxy, KL control", flush=True)
    worst = with_control(given.seeds, given.updates)
    print("paid by the truth, no KL control", flush=True)
    bent_truth = without_control(given.seeds, given.updates, "truth", False)
    for what, met in (
        (f"proxy up, truth down in ≥ 9 of 10 seeds: {bent} of {given.seeds}", bent >= 0.9 * given.seeds),
        (f"within {BAR:.0%} of the exact frontier: {worst:.2%} at worst", worst <= BAR),
        (f"verifiable reward does not bend: {bent_truth} of {given.seeds} bent", bent_truth == 0),
    ):
        print(f"{what}: {'met' if met else 'NOT MET'}")
    print(f"{time.process_time() - began:.0f} s of processor time")


if __name__ == "__main__":
    main()
