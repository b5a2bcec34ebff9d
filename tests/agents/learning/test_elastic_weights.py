"""Elastic weights: equal to learning both tasks together where that is exact; keeping the old one where it is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Gamma, Normal

from inscape.agents import ElasticWeights, empirical_fisher, expected_fisher
from inscape.errors import UsageError

SIGMA = 0.5


def regression(seed: int, count: int = 30) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4))
    return torch.tensor(x), torch.tensor(x @ rng.normal(size=4) + SIGMA * rng.normal(size=count))


def least_squares(x: Tensor, y: Tensor) -> Tensor:
    return torch.as_tensor(torch.linalg.lstsq(x, y[:, None]).solution[:, 0])


class Line(nn.Module):
    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights.clone())

    def forward(self, x: Tensor) -> Normal:
        return Normal(x @ self.weights, SIGMA)


def minimised(line: Line, x: Tensor, y: Tensor, elastic: ElasticWeights) -> Tensor:
    """One Newton step: the loss is quadratic."""
    loss = -line(x).log_prob(y).sum() + elastic.penalty(line)
    gradient = torch.autograd.grad(loss, line.weights, create_graph=True)[0]
    hessian = torch.stack([torch.autograd.grad(g, line.weights, retain_graph=True)[0] for g in gradient])
    step: Tensor = torch.linalg.solve(hessian, gradient)
    return (line.weights - step).detach()


def after_both(fisher_of: str) -> tuple[Tensor, Tensor]:
    """The weights after one task and then another, and those of both together."""
    (x1, y1), (x2, y2) = regression(1), regression(2)
    line = Line(least_squares(x1, y1))
    if fisher_of == "expected":
        fisher = expected_fisher(line, lambda batch: line(batch), [x1[:10], x1[10:]], form="full")
    else:
        fisher = empirical_fisher(line, lambda batch: -line(batch[0]).log_prob(batch[1]), [(x1, y1)], form="full")
    elastic = ElasticWeights()
    elastic.remember(line, fisher)
    return minimised(line, x2, y2, elastic), least_squares(torch.cat([x1, x2]), torch.cat([y1, y2]))


def test_with_the_full_expected_information_it_is_joint_training() -> None:
    found, joint = after_both("expected")
    torch.testing.assert_close(found, joint, rtol=0, atol=1e-10)


def test_with_the_empirical_information_it_is_not() -> None:
    found, joint = after_both("empirical")
    assert (found - joint).abs().max() > 1e-3


def test_three_tasks_in_turn_are_three_at_once() -> None:
    tasks = [regression(seed) for seed in (1, 2, 3)]
    line, elastic = Line(least_squares(*tasks[0])), ElasticWeights()
    for number, (x, y) in enumerate(tasks):
        if number:
            line.weights.data = minimised(line, x, y, elastic)
        elastic.remember(line, expected_fisher(line, lambda batch: line(batch), [x], form="full"))
    joint = least_squares(torch.cat([x for x, _ in tasks]), torch.cat([y for _, y in tasks]))
    torch.testing.assert_close(line.weights.detach(), joint, rtol=0, atol=1e-10)


def test_the_diagonal_is_that_of_the_matrix_and_of_the_curvature() -> None:
    """Of a categorical model the expected information is the Hessian of the loss, whatever the labels."""
    torch.manual_seed(0)
    net, x = nn.Linear(3, 4).double(), torch.randn(7, 3, dtype=torch.float64)
    full = expected_fisher(net, lambda batch: Categorical(logits=net(batch)), [x], form="full")
    diagonal = expected_fisher(net, lambda batch: Categorical(logits=net(batch)), [x])
    torch.testing.assert_close(full.diagonal(), diagonal)
    loss = nn.functional.cross_entropy(net(x), torch.randint(0, 4, (7,)), reduction="sum")
    first = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(net.parameters()), create_graph=True)])
    rows = [torch.autograd.grad(g, list(net.parameters()), retain_graph=True) for g in first]
    torch.testing.assert_close(full, torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows]))


def test_scales_that_are_learned_count() -> None:
    """Of N(μ, σ²) in (μ, log σ) the information is diag(1/σ², 2)."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mean, self.log_scale = nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.tensor(-0.7))

        def forward(self, count: int) -> Normal:
            return Normal(self.mean.expand(count), self.log_scale.exp().expand(count))

    both = Both()
    found = expected_fisher(both, lambda count: both(count), [5], form="full")
    torch.testing.assert_close(found, torch.diag(torch.tensor([5 * np.exp(1.4), 10.0], dtype=torch.float32)))


def test_a_network_keeps_the_old_task_where_plain_training_loses_it() -> None:
    def task(seed: int, sign: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(200, 6, generator=torch.Generator().manual_seed(seed))
        old = (
            torch.cat([x[:, :3], torch.zeros(200, 3)], 1) if sign > 0 else torch.cat([torch.zeros(200, 3), x[:, 3:]], 1)
        )
        return old, (old.sum(1) * sign > 0).long()

    def trained(net: nn.Module, data: tuple[Tensor, Tensor], elastic: ElasticWeights) -> None:
        optimizer = torch.optim.Adam(net.parameters(), 5e-3)
        for _ in range(100):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(data[0]), data[1]) + elastic.penalty(net)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    def right(net: nn.Module, data: tuple[Tensor, Tensor]) -> float:
        return float((net(data[0]).argmax(1) == data[1]).float().mean())

    def information(net: nn.Module, data: tuple[Tensor, Tensor]) -> Tensor:
        return empirical_fisher(net, lambda b: nn.functional.cross_entropy(net(b[0]), b[1], reduction="none"), [data])

    old, new, kept = task(1, 1), task(2, -1), {}
    for weight in (0.0, 1.0):
        torch.manual_seed(3)
        net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))
        elastic = ElasticWeights(weight)
        trained(net, old, elastic)
        elastic.remember(net, information(net, old))
        trained(net, new, elastic)
        kept[weight] = right(net, old), right(net, new)
    assert kept[1.0][0] >= 0.95
    assert kept[1.0][0] >= kept[0.0][0]
    assert kept[1.0][1] >= 0.9


def test_what_is_remembered_is_stored() -> None:
    line = Line(torch.ones(4, dtype=torch.float64))
    elastic, again = ElasticWeights(0.5), ElasticWeights()
    elastic.remember(line, torch.ones(4, dtype=torch.float64))
    again.load_state_dict(elastic.state_dict())
    line.weights.data += 2.0
    assert again.penalty(line).item() == elastic.penalty(line).item() == pytest.approx(4.0)


def test_bad_input_is_named() -> None:
    line = Line(torch.ones(4, dtype=torch.float64))
    with pytest.raises(UsageError, match="no samples"):
        expected_fisher(line, lambda batch: line(batch), [])
    with pytest.raises(UsageError, match="Gamma"):
        expected_fisher(line, lambda batch: Gamma(line.weights, line.weights), [1])
    with pytest.raises(UsageError, match="GB"):
        expected_fisher(nn.Linear(200, 200), lambda batch: Categorical(logits=batch), [], form="full")
    with pytest.raises(UsageError, match="shape"):
        ElasticWeights().remember(line, torch.ones(3))
    with pytest.raises(UsageError, match="weight of"):
        ElasticWeights(-1.0)
