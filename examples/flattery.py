"""A grader who likes good news: how much of its reward to pursue before the truth suffers, exactly.

    python examples/flattery.py

Each row is the policy that earns most of the proxy reward for its divergence from the reference (uniform over all
reports), and what its reports are truly worth: they get better at first, and then worse than random ones.
"""

from __future__ import annotations

import numpy as np

from inscape.envs import StatusReport, proxy_frontier

if __name__ == "__main__":
    env = StatusReport(machines=2)
    proxy, truth = env.tables()  # [situations, reports]
    reference = np.full(len(env.reports), 1 / len(env.reports))
    print("   tau  KL, nats   proxy   truth")
    taus = (100.0, 1.0, 0.5, 0.3, 0.2, 0.15, 0.1, 0.05, 0.02)
    for tau, point in zip(taus, proxy_frontier(proxy, truth, reference, env.probabilities, taus)):
        print(f"{tau:6.2f}  {point.kl:8.3f}  {point.proxy:6.3f}  {point.truth:6.3f}")
