"""The model `program`: rules of grids found from a few transitions, and the world that they make."""

import pickle

import numpy as np
import pytest

from inscape import make_world, rollout
from inscape.envs.data.trajectory import Trajectory
from inscape.envs.loading import load_class
from inscape.errors import UsageError
from inscape.world_models import KnownModel, TabularModel, bits, exact_bits, fit_model, make_model, regret
from inscape.world_models.learned.program.moves import FRACTIONS, FREE, chances

LAKE = {"map": "SF.F/FF#F/.FHF/FF.G", "ice": "SF", "slip": 2 / 3}


@pytest.fixture(scope="module")
def lake():
    """A slippery lake and the rules found in it, the letters of its map given."""
    world = make_world("GridWorld", **LAKE)
    model = make_model("program", world, map=LAKE["map"])
    fit_model(model, rollout("random", world, episodes=40, seed=1))
    return world, model


def test_rules_are_exact_and_hold_on_maps_never_seen(lake):
    world, model = lake
    assert sum(model.world().params.chances[1]) == pytest.approx(1)
    assert model.world().params.chances[1, 0] == 1 / 3
    assert regret(model, world).regret < 1e-9
    for text in ("FS/.F/HF/FG", "S.#F/F.HF/FF.G", "G.FFS/H...F"):
        unseen = make_world("GridWorld", **(LAKE | {"map": text}))
        assert regret(KnownModel(model.world(map=text)), unseen).regret < 1e-9


def test_the_laws_agree_entry_for_entry_and_bits_are_near_the_entropy(lake):
    world, model = lake
    ours, true = TabularModel.from_world(model.world()), TabularModel.from_world(world)
    cells = model.world().observe(model.world().dynamics().states), world.observe(world.dynamics().states)
    for cell in cells[1].tolist():
        rows = [np.zeros((4, 16)), np.zeros((4, 16))]
        for row, table, seen in zip(rows, (ours, true), cells, strict=True):
            at = int(np.flatnonzero(seen == cell)[0])
            for action in range(4):
                np.add.at(row[action], seen[table.next_state[at, action]], table.probability[at, action])
        np.testing.assert_allclose(rows[0], rows[1], atol=1e-12)
    judged = rollout("random", world, episodes=30, seed=5)
    gap = bits(model, judged).per_step - bits(KnownModel(world), judged).per_step
    assert 0 <= gap < 0.05
    assert 0 <= exact_bits(model, world).excess < 0.05


def test_every_reader_takes_the_recovered_world(lake, tmp_path):
    _, model = lake
    file = model.write(tmp_path / "recovered.py")
    world = load_class(f"{file}:Recovered", "a world")()
    assert world.random_play(4, 20).steps == 80
    env = world.env(render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().ndim == 3
    assert world.vector_env(3).reset(seed=1)[0].shape == (3,)
    assert list(world.goals) == ["goal 0"]
    assert "row 0 column 0" in world.describe(world.params, world.purpose, world.State(0))
    assert repr(pickle.loads(pickle.dumps(world))) == repr(world)
    with pytest.raises(UsageError, match="rows of equal length"):
        world.__class__(map="S?@/..")


def test_a_stored_model_finds_the_same_programs_again(lake):
    world, model = lake
    again = make_model("program", world, map=LAKE["map"])
    again.load_state_dict(model.state_dict())
    assert [p.source for p in again.programs] == [p.source for p in model.programs]
    assert [p.log_posterior for p in again.programs] == [p.log_posterior for p in model.programs]
    with pytest.raises(UsageError, match="missing|learns nothing|stored"):
        again.load_state_dict({"observations": np.zeros(3)})
    drawn = {repr(model.sample_model(np.random.default_rng(seed)).world) for seed in range(3)}
    assert drawn


def test_fields_keys_and_doors_are_found_with_their_conditions():
    path = [(0, 0, 0), (0, 1, 0), (0, 1, 0), (1, 1, 0), (2, 1, 1), (1, 1, 1), (0, 1, 1), (0, 2, 1), (0, 3, 1)]
    actions = [1, 1, 2, 2, 0, 0, 1, 1]  # the door at (0, 2) refuses who has no key, which lies at (2, 1)
    rewards = [0.0] * 7 + [1.0]
    task = _Task((3, 4, 2), 4)
    model = make_model("program", task)
    fit_model(model, [Trajectory(np.array(path), np.array(actions), np.array(rewards), True, False)] * 3)
    world = model.world()
    step = world.step(
        world.pack([world.State(0, 1, 0), world.State(0, 1, 1)]), np.array([1, 1]), np.random.default_rng(0)
    )
    assert world.observe(step[0]).tolist() == [[0, 1, 0], [0, 2, 1]]
    assert "field_2 == 1" in model.source() or "field_2 != 1" in model.source()


def test_what_no_rule_explains_is_listed_and_nothing_is_learned():
    rng = np.random.default_rng(0)
    jumps = [Trajectory(rng.integers(9, size=11), rng.integers(4, size=10), np.zeros(10), False, True)]
    model = make_model("program", _Task(9, 4))
    with pytest.raises(UsageError, match="episode 0 step") as refused:
        fit_model(model, jumps)
    assert "action_" in str(refused.value)
    with pytest.raises(UsageError, match="no episodes"):
        model.source()
    kept = make_model("program", _Task(9, 4), unexplained="keep")
    assert fit_model(kept, jumps).metrics["unexplained"] == len(kept.unexplained) >= 1
    assert np.isfinite(bits(kept, jumps).per_step)


def test_bad_input_is_refused():
    model = make_model("program", "FrozenLake")
    with pytest.raises(UsageError, match="no episodes"):
        fit_model(model, [])
    with pytest.raises(UsageError, match="rows of equal length"):
        make_model("program", "FrozenLake", map="SF/F")
    with pytest.raises(UsageError, match="action 9"):
        fit_model(model, [Trajectory(np.array([0, 1]), np.array([9]), np.zeros(1), False, True)])
    with pytest.raises(UsageError, match="several players"):
        make_model("program", "TicTacToe")


def test_the_prior_of_probabilities_sums_to_one_and_estimates_are_those_of_counts():
    assert sum(FRACTIONS.values()) + FREE == pytest.approx(1)
    meant, astray, count = np.array([1.0, 0.0]), np.array([0.0, 0.5]), np.array([631, 369])
    number = next(chance for _, chance in chances(meant, astray, count, 80) if chance.fraction is None)
    assert number.value == pytest.approx(0.369, abs=1e-6)  # 369 of 1,000 astray
    assert number.error == pytest.approx(np.sqrt(0.369 * 0.631 / 1000), rel=1e-3)


class _Task:
    """Spaces, and nothing that could be looked up."""

    def __init__(self, observed, actions):
        from gymnasium import spaces

        several = isinstance(observed, tuple)
        self.observation_space = spaces.MultiDiscrete(observed) if several else spaces.Discrete(observed)
        self.action_space = spaces.Discrete(actions)
