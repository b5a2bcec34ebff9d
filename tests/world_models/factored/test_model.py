"""The factored model: the table of one field, the structure of several, storage, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from inscape import rollout
from inscape.envs.data.trajectory import Trajectory
from inscape.errors import UsageError
from inscape.world_models import (
    FactoredModel,
    FactoredSettings,
    bits,
    exact_bits,
    fit_model,
    make_model,
    value_iteration,
)


def _switches(count: int, seed: int, steps: int) -> list[Trajectory]:
    """Bits that each copy their left neighbour with probability 0.9, the first one set by the action."""
    rng = np.random.default_rng(seed)
    episodes = []
    for _ in range(steps // 20):
        seen, actions = [rng.integers(0, 2, count)], rng.integers(0, 2, 20)
        for action in actions:
            source = np.append(action, seen[-1][:-1])
            seen.append(np.where(rng.random(count) < 0.9, source, 1 - source))
        episodes.append(
            Trajectory(np.array(seen), actions, np.array([float(row[-1]) for row in seen[1:]]), False, True)
        )
    return episodes


def test_one_field_with_all_parents_is_the_table() -> None:
    episodes, judged = rollout("random", "FrozenLake", 60, seed=1), rollout("random", "FrozenLake", 10, seed=2)
    table = make_model("tabular", "FrozenLake", concentration=0.3)
    factored = make_model("factored", "FrozenLake", concentration=0.3, structure="full")
    fit_model(table, episodes)
    fit_model(factored, episodes)
    for episode in judged:
        assert factored.log_prob(episode) == pytest.approx(table.log_prob(episode), rel=1e-12)
    assert exact_bits(factored, "FrozenLake").excess == pytest.approx(exact_bits(table, "FrozenLake").excess)
    one, other = table.tabular(), factored.tabular()
    values = [value_iteration(model, 0.95).values[model.init(np.array([0]))][0] for model in (one, other)]
    assert values[0] == pytest.approx(values[1], abs=1e-6)


def test_the_structure_is_found_and_saves_samples() -> None:
    model = FactoredModel(spaces.MultiBinary(5), spaces.Discrete(2))
    fit_model(model, _switches(5, 0, 600))
    assert model.parents()["next field 0"] == ("action",)
    assert all(model.parents()[f"next field {k}"] == (f"field {k - 1}",) for k in range(1, 5))
    judged = _switches(5, 1, 1000)
    entropy = 5 * -(0.9 * np.log2(0.9) + 0.1 * np.log2(0.1))
    full = FactoredModel(spaces.MultiBinary(5), spaces.Discrete(2), FactoredSettings(structure="full"))
    fit_model(full, _switches(5, 0, 600))
    found, whole = bits(model, judged), bits(full, judged)
    assert entropy - 4.5 * found.standard_error < found.per_step < entropy + 0.15
    assert whole.per_step > entropy + 0.8
    assert sum(found.by_field.values()) == pytest.approx(found.per_step)
    table = model.tabular()
    assert table.num_states == 32 and np.allclose(table.probability.sum(axis=2), 1.0)


def test_it_is_stored_and_refuses_what_does_not_fit() -> None:
    model = FactoredModel(spaces.MultiBinary(3), spaces.Discrete(2))
    fit_model(model, _switches(3, 0, 200))
    copy = FactoredModel(spaces.MultiBinary(3), spaces.Discrete(2))
    copy.load_state_dict(model.state_dict())
    episode = _switches(3, 5, 20)[0]
    assert copy.log_prob(episode) == model.log_prob(episode)
    with pytest.raises(UsageError, match="rows of shape"):
        FactoredModel(spaces.MultiBinary(4), spaces.Discrete(2)).load_state_dict(model.state_dict())
    with pytest.raises(UsageError, match="learned nothing"):
        FactoredModel(spaces.MultiBinary(4), spaces.Discrete(2)).tabular()
    with pytest.raises(UsageError, match="whole numbers"):
        make_model("factored", "CartPole")
    with pytest.raises(UsageError, match="Discrete actions"):
        make_model("factored", "Pendulum")
    with pytest.raises(UsageError, match="in episode 0"):
        fit_model(FactoredModel(spaces.MultiBinary(2), spaces.Discrete(2)), _switches(3, 0, 20))
    with pytest.raises(UsageError, match="no episodes"):
        fit_model(model, [])
