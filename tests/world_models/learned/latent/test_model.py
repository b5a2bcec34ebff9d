"""The latent model: its code length by other routes, its parts, what it stores, and what it refuses."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from inscape.envs.data.trajectory import Trajectory
from inscape.errors import UsageError
from inscape.world_models import LatentModel, LatentSettings, LinearGaussian, fit_model
from inscape.world_models.learned.latent.parts import Numbers
from inscape.world_models.learned.latent.scales import symexp, symlog, two_hot, two_hot_mean
from inscape.world_models.learned.latent.sequences import SequenceMemory
from inscape.world_models.learned.latent.training import sequence_loss

SMALL: dict[str, Any] = {"recurrent": 6, "width": 6, "updates": 4, "batch_size": 4, "length": 6, "report_every": 2}
THREE, TWO = spaces.Discrete(3), spaces.Discrete(2)


def episode(observations: Any, actions: Any, terminated: bool = False) -> Trajectory:
    actions = np.asarray(actions)
    return Trajectory(np.asarray(observations), actions, np.ones(len(actions)), terminated, not terminated)


def some_episodes(count: int = 6, steps: int = 8) -> list[Trajectory]:
    rng = np.random.default_rng(0)
    return [episode(rng.integers(0, 3, steps + 1), rng.integers(0, 2, steps), bool(k % 2)) for k in range(count)]


def made(
    space: spaces.Space[Any] = THREE, actions: spaces.Space[Any] = TWO, seed: int = 0, **given: Any
) -> LatentModel:
    model = LatentModel(space, actions, LatentSettings(**{**SMALL, **given}), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():  # weights so large that nothing is nearly uniform
        for weight in model.network.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.7)
    return model


def test_kalmans_evidence_is_the_joint_gaussians() -> None:
    world = LinearGaussian.stable(states=3, actions=2, observations=2, seed=1)
    for one in world.episodes(3, 6, seed=2):
        assert world.log_prob(one) == pytest.approx(world.joint_log_prob(one), abs=1e-9)


def test_code_length_without_stochastic_variables_sums_to_one() -> None:
    model, total = made(stochastic=0), 0.0
    for a, b in itertools.product(range(3), repeat=2):
        total += sum(math.exp(model.log_prob(episode([1, a, b], [0, 1], end))) for end in (True, False))
    total += sum(math.exp(model.log_prob(episode([1, a], [0], True))) for a in range(3))
    assert total == pytest.approx(1, abs=1e-5)


def exact_by_sum(model: LatentModel, one: Trajectory) -> float:
    """log P by a sum over all values of the stochastic variables: two classes, one variable."""
    network = model.network
    observed, actions = model._read(one)
    embedded = network.embed(observed)
    values = [torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])]

    def rest(t: int, features: torch.Tensor | None) -> float:
        if t == len(actions):
            return 1.0
        held = network.before(1)
        ahead = network.first_ahead(held) if features is None else network.ahead(features, actions[t])
        total = 0.0
        for z in values:
            law = network.posterior(torch.cat([ahead, embedded[t]], -1)) if t == 0 else network.prior(ahead)
            acted = torch.zeros_like(actions[0]) if t == 0 else actions[t]
            then = network.arrived(held if features is None else features, ahead, z, embedded[t], acted)
            logs = network.density(law, z)
            if t:
                logs = logs + network.observed_log_prob(ahead, z, [part[t] for part in observed])
                ended = torch.tensor([float(one.terminated and t == len(actions) - 1)])
                logs = logs + network.ending_log_prob(then, ended)
            total += math.exp(float(logs)) * rest(t + 1, then)
        return total

    with torch.no_grad():
        return math.log(rest(0, None))


@pytest.mark.parametrize("feedback", [False, True])
def test_the_bound_lies_below_the_sum_over_all_variables_and_particles_close_it(feedback: bool) -> None:
    one = episode([0, 2, 1, 1], [1, 0, 1], True)
    plain = made(stochastic=1, classes=2, feedback=feedback)
    exact, bounds, particles = exact_by_sum(plain, one), [], []
    tight = made(stochastic=1, classes=2, feedback=feedback, samples=64)
    for seed in range(60):
        plain.seed = tight.seed = seed
        bounds.append(plain.log_prob(one))
        particles.append(math.exp(tight.log_prob(one) - exact))
    error = np.std(bounds) / math.sqrt(60)
    assert np.mean(bounds) < exact + 4 * error
    # the mean weight is unbiased: Maddison et al. (2017), section 3
    assert abs(np.mean(particles) - 1) < 5 * np.std(particles) / math.sqrt(60) + 1e-6
    assert exact + math.log(np.mean(particles)) > np.mean(bounds)


def test_whole_numbers_have_masses_that_sum_to_one_and_others_densities() -> None:
    settings = LatentSettings(transform="standard")
    part = Numbers(1, True, settings)
    part.fit(np.arange(100.0)[:, None])
    values = part.prepare(torch.arange(-300, 500)[:, None])
    raw = torch.full((800, 1), 0.3)
    assert part.log_prob(raw, values).exp().sum().item() == pytest.approx(1, abs=1e-4)
    for transform in ("symlog", "standard"):
        real = Numbers(1, False, LatentSettings(transform=transform))
        real.fit(np.arange(9.0)[:, None])
        grid = torch.linspace(-150, 150, 300_001)[:, None]
        scaled = real.prepare(grid)
        density = (real.log_prob(torch.full_like(grid, 0.3), scaled) + real.jacobian(scaled)).exp()
        assert density.sum().item() * 1e-3 == pytest.approx(1, abs=1e-3)


def test_divergences_are_torchs() -> None:
    generator = torch.Generator().manual_seed(0)
    q, p = torch.randn(2, 5, 6, generator=generator)
    gaussian = made(stochastic=3, classes=0).network
    theirs = torch.distributions.kl_divergence(
        *(torch.distributions.Normal(*gaussian.normal(stats)) for stats in (q, p))
    ).sum(-1)
    assert torch.allclose(gaussian.divergence(q, p), theirs, atol=1e-5)
    categorical = made(stochastic=3, classes=2).network
    theirs = torch.distributions.kl_divergence(
        *(torch.distributions.Categorical(logits=categorical.log_probs(stats)) for stats in (q, p))
    ).sum(-1)
    assert torch.allclose(categorical.divergence(q, p), theirs, atol=1e-5)


def test_two_hot_and_symlog_are_inverted() -> None:
    x = torch.tensor([-1000.0, -1.0, 0.0, 0.3, 42.0])
    assert torch.allclose(symexp(symlog(x)), x, rtol=1e-5)
    assert torch.allclose(two_hot_mean(two_hot(x).clamp(min=1e-30).log()), x, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "given", [{"stochastic": 0}, {"stochastic": 2, "classes": 3}, {"feedback": True, "classes": 0}]
)
def test_filtering_step_by_step_is_the_run_over_the_episode(given: dict[str, Any]) -> None:
    model, one = made(**given), some_episodes(1)[0]
    states = model.init(one.observations[:1])
    whole = model.activations(one)
    assert np.allclose(states, whole[:1], atol=1e-5)
    for t, action in enumerate(one.actions):
        states = model.update(states, np.array([action]), one.observations[t + 1 : t + 2])
        assert np.allclose(states, whole[t + 1 : t + 2], atol=1e-4)
    after = model.step(np.repeat(states, 5, axis=0), np.zeros(5, int), np.random.default_rng(0))
    assert after.states.shape == (5, states.shape[1]) and ((after.continuation > 0) & (after.continuation < 1)).all()


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_stored_state_goes_on_bit_for_bit(average: float) -> None:
    episodes = some_episodes()
    whole = LatentModel(THREE, TWO, LatentSettings(**SMALL, average=average), 3)
    fit_model(whole, episodes)
    part = LatentModel(THREE, TWO, LatentSettings(**SMALL, average=average), 3)
    next(part.learn(episodes))
    stored = copy.deepcopy(part.state_dict())
    again = LatentModel(THREE, TWO, LatentSettings(**SMALL, average=average), 3)
    again.load_state_dict(stored)
    fit_model(again, episodes)
    for name, value in whole.state_dict()["weights"].items():
        assert np.array_equal(value, again.state_dict()["weights"][name]), name


def test_sequences_keep_to_their_episode_however_often_the_memory_is_overwritten() -> None:
    memory, rng = SequenceMemory(50, 1, 1), np.random.default_rng(0)
    for number in range(40):
        count = int(rng.integers(2, 9))
        memory.add(np.full((count, 1), number), np.zeros(count - 1), np.full(count - 1, number), number % 2 == 0)
    drawn = memory.draw(300, 5, rng)
    there = drawn.known > 0
    first = np.broadcast_to(drawn.observations[0, :, 0], there.shape)
    assert there[0].all() and (drawn.observations[..., 0] == first)[there].all()
    assert drawn.observations[..., 0].min() >= 28 and len(memory) == 50
    kept = SequenceMemory(50, 1, 1)
    kept.load_state_dict(memory.state_dict())
    assert np.array_equal(kept.draw(9, 5, np.random.default_rng(1)).observations,
                          memory.draw(9, 5, np.random.default_rng(1)).observations)  # fmt: skip


SEVERAL = spaces.Dict({
    "camera": spaces.Box(0, 255, (20, 24, 1), np.uint8), "speed": spaces.Box(-9, 9, (2,), np.float32),
    "said": spaces.Text(20),
})  # fmt: skip


def test_parts_are_fused_and_each_is_foreseen_from_the_others() -> None:
    model = LatentModel(SEVERAL, TWO, LatentSettings(**{**SMALL, "updates": 2}, stochastic=4, classes=4, hide=0.5))
    rng = np.random.default_rng(0)
    seen = {
        "camera": rng.integers(0, 256, (5, 20, 24, 1)).astype(np.uint8),
        "speed": rng.standard_normal((5, 2)).astype(np.float32), "said": ["go left", "stop", "go", "stop", "left"],
    }  # fmt: skip
    packed = model.network.parts.packing(seen)  # type: ignore[misc]
    fit_model(model, [episode(packed, [0, 1, 0, 1])] * 3)
    found = model.complete(seen, given=["'said'"])
    assert {name: rows.shape for name, rows in found.items()} == {
        "'camera'": (5, 480),
        "'speed'": (5, 2),
        "'said'": (5, 512),
    }
    other = {**seen, "camera": np.zeros_like(seen["camera"])}
    assert np.array_equal(found["'speed'"], model.complete(other, given=["'said'"])["'speed'"])
    assert np.isfinite(model.log_prob(episode(packed, [0, 1, 0, 1])))
    with pytest.raises(UsageError, match="no part"):
        model.complete(seen, given=["heard"])


def test_constant_features_and_short_episodes_make_no_nan() -> None:
    model = LatentModel(spaces.Box(-1, 1, (2,)), TWO, LatentSettings(**SMALL))
    still = [episode(np.zeros((2, 2), np.float32), [1])] * 3
    assert np.isfinite(fit_model(model, still).metrics["observation_nats"])
    assert np.isfinite(model.log_prob(still[0]))


def test_what_is_wrong_is_named() -> None:
    model = LatentModel(THREE, TWO, LatentSettings(**SMALL))
    with pytest.raises(UsageError, match="no episodes"):
        fit_model(model, [])
    with pytest.raises(UsageError, match="is 7 at step 1"):
        fit_model(model, [episode([0, 7], [1])])
    numbers = LatentModel(spaces.Box(-1, 1, (1,)), TWO, LatentSettings(**SMALL))
    with pytest.raises(UsageError, match="episode 0 at step 1"):
        fit_model(numbers, [episode([[0.0], [np.nan]], [1])])
    with pytest.raises(UsageError, match="weights"):
        model.load_state_dict(LatentModel(THREE, TWO, LatentSettings(**{**SMALL, "recurrent": 7})).state_dict())
    with pytest.raises(UsageError, match="shape"):
        model.init(np.zeros((2, 4), int))
    with pytest.raises(UsageError, match="stochastic = 0"):
        LatentSettings(stochastic=0, feedback=False)
    with pytest.raises(UsageError, match="noise"):
        LatentSettings(noise="loud")  # type: ignore[arg-type]


def test_the_plain_objective_is_the_bound() -> None:
    """Its value, and with sides of the divergence that add up, its gradient."""
    model = made(stochastic=2, classes=3)
    drawn = model._memory(some_episodes(2, 5)).draw(3, 6, np.random.default_rng(0))
    loss, parts, run, known = sequence_loss(model.network, drawn, np.random.default_rng(1))
    assert run.posterior is not None and run.prior is not None
    apart = model.network.divergence(run.posterior[1:], run.prior[1:])
    bound = parts["observation_nats"] + parts["reward_nats"] + parts["ending_nats"]
    bound = bound + (apart * known[1:]).sum() / known[1:].sum()
    weights = [*model.network.prior.parameters(), *model.network.posterior.parameters()]
    ours = torch.autograd.grad(loss, weights, retain_graph=True)
    theirs = torch.autograd.grad(bound, weights)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(ours, theirs, strict=True))
