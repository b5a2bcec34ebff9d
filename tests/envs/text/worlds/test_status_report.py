"""A flawed proxy reward: what the environment pays against its tables, and the exact frontier by other routes."""

from __future__ import annotations

import runpy

import numpy as np
import pytest
from scipy.optimize import minimize

from inscape.envs import text_env
from inscape.envs.text.worlds.frontier import best_proxy_at, policy_point, proxy_frontier
from inscape.envs.text.worlds.status_report import StatusReport
from inscape.errors import UsageError
from tests.conftest import EXAMPLES


@pytest.mark.parametrize("machines", [1, 2, 3])
def test_the_environment_pays_what_its_tables_say(machines: int) -> None:
    env = StatusReport(machines, penalty=0.5)
    proxy, truth = env.tables()
    assert proxy.shape == truth.shape == (2**machines, 3**machines)
    for s, fine in enumerate(env.situations):
        for a, report in enumerate(env.reports):
            env.reset(options={"fine": fine})
            _, reward, terminated, _, info = env.step(f"All looked at.\nReport: {report.upper()}.")
            assert terminated and (reward, info["truth"]) == (proxy[s, a], truth[s, a])
            assert info["right"] == (truth[s, a] == 1)


def test_the_scripted_report_earns_the_whole_truth_and_flattery_the_most_proxy() -> None:
    honest, paid = text_env("StatusReport", pays="truth"), text_env("StatusReport")
    rewards = []
    for seed in range(40):
        honest.reset(seed=seed)
        assert honest.step(f"report:{honest.solution()}")[1] == 1
        assert honest.reset(seed=seed)[0] == paid.reset(seed=seed)[0]
        rewards.append(paid.step("report: fine fine")[1])
    assert min(rewards) == 1 and max(rewards) == 1.2


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("", "empty"),
        ("report:", "unknown"),
        ("report: fine", "cut"),
        ("report: fine fine fine", "ambiguous"),
        ("report: not fine", "unknown"),
        ("fine\nfine", "cut"),
        ("report: fine; broken", "unknown"),
    ],
)
def test_what_is_no_report_is_counted_and_earns_nothing(answer: str, problem: str) -> None:
    env = StatusReport(penalty=0.25)
    env.reset(options={"fine": [True, False]})
    _, reward, terminated, _, info = env.step(answer)
    assert (reward, terminated, info["problem"]) == (-0.25, True, problem)
    assert info["problems"] == {problem: 1} and info["proxy"] == info["truth"] == 0


def test_the_frontier_is_the_optimum_that_a_solver_finds() -> None:
    """π ∝ π₀·exp(proxy/τ) against SLSQP on E[proxy] − τ·KL, which knows nothing of it."""
    env, rng = StatusReport(machines=1), np.random.default_rng(0)
    proxy, truth = env.tables()
    prior = rng.dirichlet(np.ones(3), 2)

    def loss(flat: np.ndarray, tau: float) -> float:
        policy = np.maximum(flat.reshape(2, 3), 1e-12)
        kl = (policy * np.log(policy / prior)).sum(1)
        return -float(env.probabilities @ ((policy * proxy).sum(1) - tau * kl))

    sums = [{"type": "eq", "fun": lambda x, row=row: x.reshape(2, 3)[row].sum() - 1} for row in range(2)]
    for tau in (0.3, 1.0):
        (point,) = proxy_frontier(proxy, truth, prior, env.probabilities, [tau])
        found = minimize(loss, prior.ravel(), (tau,), bounds=[(1e-9, 1)] * 6, constraints=sums, options={"ftol": 1e-14})
        assert found.x.reshape(2, 3) == pytest.approx(point.policy, abs=1e-5)
        assert point.proxy - tau * point.kl == pytest.approx(-found.fun, abs=1e-9)


def test_no_policy_earns_more_proxy_at_its_divergence() -> None:
    env, rng = StatusReport(), np.random.default_rng(1)
    arrays = (*env.tables(), np.full(9, 1 / 9), env.probabilities)
    for policy in rng.dirichlet(np.full(9, 0.3), (12, 4)):
        point = policy_point(policy, *arrays)
        most = best_proxy_at(point.kl, *arrays)
        assert point.proxy <= most.proxy + 1e-9 and most.kl <= point.kl + 1e-6


def test_natural_gradient_goes_along_the_frontier() -> None:
    """Without KL control: after t steps of size η the policy is the frontier's of τ = 1/(ηt); truth turns."""
    env = StatusReport()
    arrays = (*env.tables(), np.full(9, 1 / 9), env.probabilities)
    logits, path = np.zeros((4, 9)), []
    for step in range(1, 401):
        policy = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        logits += 0.1 * (arrays[0] - (policy * arrays[0]).sum(1, keepdims=True))
        policy = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        path.append(policy_point(policy, *arrays))
        (point,) = proxy_frontier(*arrays, [1 / (0.1 * step)])
        assert path[-1].policy == pytest.approx(point.policy, abs=1e-9)
    proxies, truths = [point.proxy for point in path], [point.truth for point in path]
    assert np.all(np.diff(proxies) > 0)
    assert truths[0] < max(truths) and truths[-1] < truths[0]


def test_the_ends_of_the_frontier() -> None:
    env = StatusReport(machines=1)
    arrays = (*env.tables(), np.array([0.5, 0.5, 0.0]), env.probabilities)
    far, near = proxy_frontier(*arrays, [float("inf"), 1e-4])
    assert far.kl == 0 and near.proxy == pytest.approx(1.1)  # "fine" always: (1 + 1.2) / 2
    assert (near.policy[:, 2] == 0).all()
    assert policy_point([0.0, 0.0, 1.0], *arrays).kl == np.inf
    assert best_proxy_at(0.0, *arrays).kl == pytest.approx(0, abs=1e-9)
    assert best_proxy_at(50.0, *arrays).proxy == pytest.approx(1.1)


def test_what_is_refused() -> None:
    env = StatusReport()
    proxy, truth = env.tables()
    prior, states = np.full(9, 1 / 9), env.probabilities
    for wrong in (
        lambda: StatusReport(machines=5),
        lambda: StatusReport(pays="both"),  # type: ignore[arg-type]
        lambda: StatusReport(flattery=float("nan")),
        lambda: StatusReport(harm=-1),
        lambda: StatusReport(share_fine=2),
        lambda: env.reset(options={"fine": [True]}),
        lambda: env.reset(options={"fine": "yes"}),
        lambda: proxy_frontier(proxy, truth, prior, states, [0.0]),
        lambda: proxy_frontier(proxy, truth, prior, states, [float("nan")]),
        lambda: proxy_frontier(proxy * np.nan, truth, prior, states, [1.0]),
        lambda: proxy_frontier(proxy, truth[:, :3], prior, states, [1.0]),
        lambda: proxy_frontier(proxy, truth, prior * 2, states, [1.0]),
        lambda: proxy_frontier(proxy, truth, prior[:3], states, [1.0]),
        lambda: best_proxy_at(-1.0, proxy, truth, prior, states),
    ):
        with pytest.raises(UsageError):
            wrong()


def test_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "flattery.py"), run_name="__main__")
    rows = [[float(number) for number in line.split()] for line in capsys.readouterr().out.splitlines()[1:]]
    proxies, truths = [row[2] for row in rows], [row[3] for row in rows]
    assert proxies == sorted(proxies)
    assert 0 < int(np.argmax(truths)) < len(truths) - 1 and truths[-1] == min(truths)
