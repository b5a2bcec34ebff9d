"""Cloning and DAgger: an expert's exact policy by two routes, errors that compound, spaces, resuming, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from inscape import make_agent, resolve_task, rollout, train
from inscape.errors import UsageError
from inscape.experiments import save_trajectories
from inscape.world_models import TabularModel, policy_evaluation
from tests.agents.worlds import Corridor
from tests.experiments.runs.storage.test_checkpoints import assert_same
from tests.theory_of_mind.imitation.worlds import Ledge

EXACT = {"hidden": (), "learning_rate": 0.5, "held_out": 0.0, "batch_size": 10_000}


def learned(agent: Any, task: Any, steps: int) -> dict[str, float]:
    return dict(list(agent.learn(task, steps))[-1])


def test_the_clone_of_a_stochastic_expert_is_its_policy_by_two_routes() -> None:
    task = resolve_task(Corridor())
    expert = make_agent("value-iteration", task, settings={"beta": 2.0})
    places = np.arange(4)[:, None] if task.observation_space.shape else np.arange(4)
    masks = task.world.legal_actions(task.world.states_of(places))
    exact = np.exp(expert.action_log_probs(places, masks))
    # its probabilities, imitated
    clone = make_agent("clone", task, settings={**EXACT, "labels": "probabilities", "expert": "value-iteration",
                                                "expert_settings": {"beta": 2.0}})  # fmt: skip
    metrics = learned(clone, task, 600)
    np.testing.assert_allclose(np.exp(clone.policy_log_probs(places, masks)), exact, atol=1e-4)
    assert metrics["steps"] == 600
    # its actions, imitated: what is most likely is how often each was taken
    episodes = rollout(expert, task, 200, seed=1)
    counts = np.zeros((5, 3))
    for one in episodes:
        np.add.at(counts, (one.observations[:-1].reshape(-1), one.actions), 1)
    clone = make_agent("clone", task, settings=EXACT)
    clone.demonstrate(episodes)
    learned(clone, task, 600)
    found = np.exp(clone.policy_log_probs(places, masks))
    frequencies = counts[:4] / counts[:4].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, frequencies, atol=2e-3)
    error = np.sqrt(exact * (1 - exact) / counts[:4].sum(axis=1, keepdims=True))
    assert (np.abs(found - exact) <= 4 * error + 2e-3).all()


def value(agent: Any, task: Any) -> float:
    """The exact probability of coming to the end."""
    states = task.world.dynamics().states
    policy = np.exp(agent.action_log_probs(task.world.observe(states)))
    values = policy_evaluation(TabularModel.from_world(task.world), policy, 0.99999)
    start = task.world.sample_initial(1, np.random.default_rng(0))
    return float(values[task.world.dynamics().index_of(start)][0])


def test_dagger_learns_what_the_expert_never_had_to_show() -> None:
    task = resolve_task(Ledge())
    for seed in range(3):
        same = {"hidden": (), "learning_rate": 0.1, "expert": "value-iteration"}
        clone = make_agent("clone", task, seed=seed, settings={**same, "expert_episodes": 32, "held_out": 0.0})
        learned(clone, task, 300)
        dagger = make_agent("dagger", task, seed=seed, settings={**same, "num_envs": 4, "gradient_steps": 40})
        metrics = learned(dagger, task, 512)  # as many decisions of the expert
        assert len(clone.demonstrations) == len(dagger.demonstrations) == 512
        assert value(clone, task) < 0.01  # its first slip is its last
        assert value(dagger, task) > 0.98
        assert {"new_loss", "new_accuracy", "loss", "accuracy", "episode_return"} <= set(metrics)


class Facing(gymnasium.Env):  # type: ignore[type-arg]
    """Which of two sides to face is observed in one part; a time limit of four steps."""

    observation_space = gymnasium.spaces.Dict(
        {"side": gymnasium.spaces.Discrete(2), "noise": gymnasium.spaces.Box(-1, 1, (2,), np.float32)}
    )
    action_space = gymnasium.spaces.MultiDiscrete([2, 3])

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.step_number = 0
        return self._seen(), {}

    def _seen(self) -> dict[str, Any]:
        self.side = int(self.np_random.integers(2))
        return {"side": self.side, "noise": self.np_random.uniform(-1, 1, 2).astype(np.float32)}

    def step(self, action: Any) -> Any:
        reward = float(action[0] == self.side and action[1] == 2 * self.side)
        self.step_number += 1
        return self._seen(), reward, self.step_number == 4, False, {}


class FacesIt:
    name = "faces-it"

    def act(self, observation: Any, action_mask: Any = None) -> Any:
        side = np.asarray(observation["side"])
        return np.stack([side, 2 * side], axis=1)


@pytest.mark.parametrize("name", ["clone", "dagger"])
def test_observations_of_several_parts_and_several_choices(name: str) -> None:
    from inscape.theory_of_mind.imitation.cloning import Clone
    from inscape.theory_of_mind.imitation.dagger import DAgger
    from inscape.theory_of_mind.imitation.settings import CloneSettings, DAggerSettings

    task, small = resolve_task(Facing), {"hidden": (8,), "learning_rate": 0.03}
    agent: Any = (
        Clone(task, settings=CloneSettings(**small), expert=FacesIt())
        if name == "clone"
        else DAgger(task, settings=DAggerSettings(**small, num_envs=4, num_steps=16), expert=FacesIt())
    )
    metrics = learned(agent, task, 200)
    assert metrics["accuracy"] == 1.0
    assert all(one.total_reward == 4.0 for one in rollout(agent, task, 5, seed=3))


def test_continuous_actions_of_a_run_and_of_a_file(tmp_path: Path) -> None:
    class Pushes:
        def act(self, observation: Any, action_mask: Any = None) -> Any:
            return np.clip(0.8 * observation[:, :1], -2, 2)

    episodes = rollout(Pushes(), "Pendulum", 2, seed=0)
    file = save_trajectories(tmp_path / "pushes.npz", episodes)
    run = train("clone", "Pendulum", steps=400, data=str(file), hidden=(16,), learning_rate=1e-2, verbose=False,
                evaluate_every=0, normalize_observations=True)  # fmt: skip
    assert run.metrics()[-1]["error"] < 0.03  # of half the range
    again = train("clone", "Pendulum", steps=400, data=episodes, hidden=(16,), learning_rate=1e-2, verbose=False,
                  evaluate_every=0, normalize_observations=True)  # fmt: skip
    assert run.metrics()[-1]["loss"] == again.metrics()[-1]["loss"]
    with pytest.raises(UsageError, match="every action of clone"):
        run.agent.action_log_probs(episodes[0].observations)


@pytest.mark.parametrize(
    ("name", "settings", "steps"),
    [
        ("clone", {"expert_episodes": 3, "report_every": 10, "batch_size": 8}, 40),
        ("dagger", {"num_envs": 2, "num_steps": 8, "gradient_steps": 5, "expert_share": 0.5}, 64),
    ],
)
def test_it_goes_on_as_if_never_stopped(name: str, settings: dict[str, Any], steps: int) -> None:
    task = resolve_task("FourGoals")
    settings = {**settings, "expert": "value-iteration", "expert_settings": {"beta": 4.0}, "hidden": (8,)}
    whole = make_agent(name, task, seed=3, settings=settings)
    learned(whole, task, steps)
    first = make_agent(name, task, seed=3, settings=settings)
    going = first.learn(task, steps)
    next(going)
    second = make_agent(name, task, seed=3, settings=settings)
    second.load_state_dict(first.state_dict())
    learned(second, task, steps)
    assert_same(second.state_dict(), whole.state_dict())


def test_a_run_can_be_the_expert_and_is_not_needed_to_act(tmp_path: Path) -> None:
    from inscape import load_agent

    expert = train("q-learning", "FrozenLake-firm", steps=20_000, out=tmp_path / "expert", verbose=False,
                   evaluate_every=0)  # fmt: skip
    clone = train("clone", "FrozenLake-firm", steps=100, expert=str(expert.path), expert_episodes=3, verbose=False,
                  out=tmp_path / "clone", evaluate_every=0, learning_rate=0.03, hidden=(8,))  # fmt: skip
    (tmp_path / "expert").rename(tmp_path / "gone")
    agent, task = load_agent(clone)
    assert rollout(agent, task, 1, seed=0)[0].total_reward == 1.0


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("clone", {}, "nobody to imitate"),
        ("clone", {"expert": "ppo"}, "has not been trained"),
        ("clone", {"expert": "nobody"}, "no agent 'nobody'"),
        ("clone", {"expert": "random", "data": "x.npz"}, "expert = 'random' and data"),
        ("clone", {"data": "missing.npz"}, "missing.npz"),
        ("clone", {"expert": "random", "held_out": 1.0}, "held_out = 1"),
        ("clone", {"expert": "random", "batch_size": 0}, "batch_size = 0"),
        ("dagger", {"data": "x.npz"}, "dagger from x.npz"),
        ("dagger", {"expert": "random", "expert_share": 2.0}, "expert_share = 2.0"),
    ],
)
def test_what_cannot_be_imitated_is_refused(name: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        learned(make_agent(name, "FourGoals", settings=settings), resolve_task("FourGoals"), 10)


def test_episodes_of_elsewhere_and_experts_that_remember_are_refused() -> None:
    clone = make_agent("clone", "FourGoals")
    with pytest.raises(UsageError, match="observations of shape"):
        clone.demonstrate(rollout("random", "CartPole", 1, seed=0))
    with pytest.raises(UsageError, match="no decision to imitate"):
        clone.demonstrate([])
    with pytest.raises(UsageError, match="data of int"):
        clone.demonstrate([3])
    with pytest.raises(UsageError, match="which remembers"):
        learned(make_agent("dagger", "Tiger", settings={"expert": "qmdp"}), resolve_task("Tiger"), 10)
    with pytest.raises(UsageError, match="data for ppo"):
        train("ppo", "CartPole", steps=10, data=[], verbose=False)
