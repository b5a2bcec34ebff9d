"""Agents in hand, and one observation where a batch of them is usual."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
import torch

from inscape import agents as built_in
from inscape.agents import Agent, as_agent, evaluate, make_agent
from inscape.agents.adapters import FunctionAgent, PredictingAgent
from inscape.agents.in_hand import known_name, name_of
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UnknownSettingError, UsageError

SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("FrozenLake", {}),
    "q-learning": ("FrozenLake", {}),
    "double-q-learning": ("FrozenLake", {}),
    "sarsa": ("FrozenLake", {}),
    "expected-sarsa": ("FrozenLake", {}),
    "n-step-sarsa": ("FrozenLake", {}),
    "monte-carlo": ("FrozenLake", {}),
    "dyna-q": ("FrozenLake", {}),
    "td-lambda": ("FrozenLake", {}),
    "reinforce": ("CartPole", {"hidden": (8,)}),
    "a2c": ("CartPole", {"hidden": (8,)}),
    "ppo": ("CartPole", {"hidden": (8,)}),
    "recurrent-ppo": ("CartPole", {"memory": 8}),
    "dqn": ("CartPole", {"hidden": (8,)}),
    "sac": ("Pendulum", {"hidden": (8,)}),
    "self-play": ("TicTacToe", {}),
    "mcts": ("FrozenLake", {"num_simulations": 20}),
    "psrl": ("FrozenLake", {}),
    "pets": ("CartPole", {"population": 4, "horizon": 4}),
    "dreamer": ("CartPole", {"hidden": (8,)}),
    "muzero": ("CartPole", {"num_simulations": 3}),
    "mc-aixi": ("Tiger", {"num_simulations": 20}),
    "alphabeta": ("TicTacToe", {"depth": 2}),
    "value-iteration": ("FrozenLake", {}),
    "sb3:ppo": ("CartPole", {}),
    "sb3:dqn": ("CartPole", {}),
    "sb3:sac": ("Pendulum", {}),
    "sb3:recurrent-ppo": ("CartPole", {}),
}
METHODS = ("act", "action_log_probs", "policy_log_probs", "state_values", "action_values")


@pytest.mark.parametrize("name", SMALL)
def test_one_observation_is_taken_as_one(name: str) -> None:
    """Each method gives for one observation the row that it gives in a batch of one."""
    where, settings = SMALL[name]
    task = resolve_task(where)
    assert task.world is not None
    states = task.world.sample_initial(1, np.random.default_rng(0))
    batch = task.world.observe(states)
    masks = task.world.legal_actions(states) if task.world.law_function("legal") else None
    one, many = (cast(Any, make_agent(name, task, seed=3, settings=settings or None)) for _ in range(2))
    asked = 0
    for method in METHODS:
        if not callable(getattr(one, method, None)):
            continue
        more = (np.zeros((1, 1), np.float32),) if method == "action_values" and name == "sac" else ()
        try:
            rows = getattr(many, method)(batch, *more)
        except UsageError:  # continuous actions have no table of log-probabilities
            with pytest.raises(UsageError):
                getattr(one, method)(batch[0], *(value[0] for value in more))
            continue
        row = getattr(one, method)(batch[0], *(value[0] for value in more))
        assert np.shape(row) == np.shape(rows)[1:], method
        np.testing.assert_array_equal(row, rows[0])
        asked += 1
    assert asked
    if masks is not None:
        assert np.shape(one.act(batch[0], masks[0])) == ()
    listed = one.act(batch[0].tolist())
    assert np.shape(listed) == np.shape(one.act(batch[0]))
    task.action_space.contains(listed)


def test_an_agent_acts_in_an_environment_of_one_copy_as_its_loop_is_usually_written() -> None:
    env = gym.make("inscape/CartPole-v0")
    agent = make_agent("ppo", env, settings={"hidden": (8,)})
    observation, _ = env.reset(seed=0)
    for _ in range(5):
        observation, _, terminated, truncated, _ = env.step(agent.act(observation))
        assert not (terminated or truncated)


def test_composite_observations_are_told_from_batches_of_them() -> None:
    space = gym.spaces.Dict({"x": gym.spaces.Box(-1, 1, (2,)), "n": gym.spaces.Discrete(3)})

    class Both(gym.Env[Any, Any]):
        observation_space, action_space = space, gym.spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            return space.sample(), {}

        def step(self, action: Any) -> Any:
            return space.sample(), 0.0, True, False, {}

    agent = make_agent("random", Both)
    one = {"x": np.zeros(2, np.float32), "n": 1}
    assert np.shape(agent.act(cast(Any, one))) == ()
    batch = {"x": np.zeros((3, 2), np.float32), "n": np.zeros(3, int)}
    assert np.shape(agent.act(cast(Any, batch))) == (3,)


# ------------------------------------------------------------------------------------------------ what acts


class Batched:
    def act(self, observation: Any) -> Any:
        return (observation[:, 2] > 0).astype(int)


class OneByOne:
    def act(self, observation: Any) -> Any:
        return int(observation[2] > 0)


class Masked:
    def act(self, observation: Any, action_mask: Any = None) -> Any:
        assert action_mask is None
        return np.ones(len(observation), int)


class InTorch(torch.nn.Module):
    """A policy network that acts for a batch, its parameters asking for gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)

    def act(self, observation: Any) -> Any:
        return self.layer(torch.as_tensor(observation)).argmax(-1)


class InTorchForOne(InTorch):
    def act(self, observation: Any) -> Any:
        assert np.ndim(observation) == 1
        return self.layer(torch.as_tensor(observation)).argmax()


def leaning(observation: Any) -> Any:
    return observation[2] > 0


def leaning_with(threshold: float, observation: Any) -> int:
    return int(observation[2] > threshold)


TO_ACT: dict[str, Any] = {
    "a batch": Batched(),
    "one": OneByOne(),
    "masks": Masked(),
    "torch": InTorch(),
    "torch, one": InTorchForOne(),
    "function": leaning,
    "lambda of one": lambda observation: int(observation[2] > 0),
    "lambda of a batch": lambda observation: (observation[:, 2] > 0).astype(int),
    "lambda that is constant": lambda observation: 0,
    "partial": partial(leaning_with, 0.0),
    "method": OneByOne().act,
    "bool": lambda observation: bool(observation[2] > 0),
    "numpy bool": lambda observation: observation[2] > 0,
    "tensor": lambda observation: torch.tensor(1),
    "array of one": lambda observation: np.array(1),
}


@pytest.mark.parametrize("name", TO_ACT)
@pytest.mark.parametrize("episodes", [1, 4, 5])
def test_an_agent_in_hand_acts(name: str, episodes: int) -> None:
    """Four copies of a world of four numbers too: there a row and a column of a batch are as long as each other."""
    found = evaluate(TO_ACT[name], resolve_task("CartPole"), episodes, seed=0)
    assert len(found.returns) == episodes
    if "2] > " in name or name in ("one", "function", "partial", "method", "bool", "numpy bool", "lambda of one"):
        assert (
            found.returns.tolist() == evaluate(Batched(), resolve_task("CartPole"), episodes, seed=0).returns.tolist()
        )


def test_what_an_agent_of_its_own_raises_is_raised() -> None:
    class Broken:
        def act(self, observation: Any) -> Any:
            raise RuntimeError("the weights are gone")

    with pytest.raises(RuntimeError, match="weights are gone"):
        evaluate(Broken(), resolve_task("CartPole"), 2, seed=0)


def test_wrong_actions_are_reported_as_they_were_given() -> None:
    with pytest.raises(UsageError, match=r"returned actions of shape \(\) for 2 copies|of shape \(2, 3\)|shape \(3,\)"):
        evaluate(lambda observation: [0, 1, 0], resolve_task("CartPole"), 2, seed=0)
    with pytest.raises(UsageError, match="returned action 7"):
        evaluate(lambda observation: 7, resolve_task("CartPole"), 2, seed=0)
    with pytest.raises(UsageError, match="dtype float64"):
        evaluate(lambda observation: 0.5, resolve_task("CartPole"), 2, seed=0)


def test_continuous_actions_of_a_function() -> None:
    for policy in (
        lambda o: [0.5],
        lambda o: np.array([0.5]),
        lambda o: np.full((len(o), 1), 0.5),
        lambda o: torch.ones(1),
    ):
        assert len(evaluate(policy, resolve_task("Pendulum"), 1, seed=0).returns) == 1


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (type("A", (), {"get_action": lambda self, o: 0})(), "agent.get_action"),
        (type("A", (), {"select_action": lambda self, o: 0})(), "agent.select_action"),
        (type("A", (), {"choose_action": lambda self, o: 0})(), "agent.choose_action"),
        (torch.nn.Linear(4, 2), "makes an action of its outputs"),
        (object(), "examples/my_agent.py"),
    ],
    ids=["get_action", "select_action", "choose_action", "network", "nothing"],
)
def test_agents_of_other_libraries_are_refused_with_the_way(given: Any, hint: str) -> None:
    with pytest.raises(UsageError, match=f"has no method act(.|\n)*{hint}"):
        as_agent(given)


# ------------------------------------------------------------------------------------------------ their names


CLASSES = [getattr(built_in, name) for name in dir(built_in) if isinstance(getattr(built_in, name), type)]
AGENTS = [cls for cls in CLASSES if issubclass(cls, Agent) and known_name(cls) is not None]


def test_the_classes_of_the_built_in_agents_are_public() -> None:
    assert {known_name(cls) for cls in AGENTS} >= {name for name in SMALL if ":" not in name}


@pytest.mark.parametrize("cls", AGENTS, ids=lambda cls: cls.__name__)
def test_a_class_of_an_agent_stands_for_its_name(cls: type[Agent]) -> None:
    name = cast(str, known_name(cls))
    where, settings = SMALL[name]
    made = make_agent(cls, where, settings=settings or None)
    assert type(made) is cls
    assert made.name == name_of(made) == name_of(cls) == name
    with pytest.raises(UnknownSettingError):
        make_agent(cls, where, settings={"lerning_rate": 1.0})


def test_a_class_of_stable_baselines3_stands_for_its_name() -> None:
    import sb3_contrib
    import stable_baselines3

    assert name_of(stable_baselines3.PPO) == "sb3:ppo"
    assert name_of(sb3_contrib.TRPO) == "sb3:trpo"
    assert make_agent(stable_baselines3.DQN, "CartPole").name == "sb3:dqn"


@dataclass(frozen=True)
class OwnSettings:
    """Settings of the agent below."""

    lean: float = 0.0


class WithSettings:
    """An agent with settings."""

    Settings = OwnSettings

    def __init__(self, task: Any, seed: int = 0, settings: OwnSettings | None = None) -> None:
        self.settings, self.seed, self.task = settings or OwnSettings(), seed, task

    def act(self, observation: Any) -> Any:
        return (observation[:, 2] > self.settings.lean).astype(int)


def test_a_class_of_the_users_own_is_made_with_its_settings() -> None:
    made = cast(Any, make_agent(WithSettings, "CartPole", seed=4, settings={"lean": 0.1}))
    assert (made.settings.lean, made.seed) == (0.1, 4)
    assert name_of(WithSettings) == f"{__name__}:WithSettings"
    with pytest.raises(TypeError, match="unexpected keyword argument 'laen'"):
        make_agent(WithSettings, "CartPole", settings={"laen": 0.1})
    with pytest.raises(UsageError, match="made already"):
        make_agent(made.wrapped, "CartPole", settings={"lean": 0.1})


def test_what_has_no_name_is_called_in_hand() -> None:
    class Local(Batched):
        pass

    assert name_of(Local) == name_of(Local()) == "Local (in hand)"
    assert name_of(lambda observation: 0) == "lambda (in hand)"
    assert name_of(leaning) == "leaning (in hand)"


def test_agents_in_hand_survive_pickle_and_copies() -> None:
    for given in (leaning, Batched()):
        agent = as_agent(given)
        task = resolve_task("CartPole")
        evaluate(agent, task, 2, seed=0)
        for again in (pickle.loads(pickle.dumps(agent)), copy.deepcopy(agent)):
            assert (
                evaluate(again, task, 2, seed=0).returns.tolist() == evaluate(agent, task, 2, seed=0).returns.tolist()
            )
    assert isinstance(as_agent(leaning), FunctionAgent)


# ------------------------------------------------------------------------------------------------ Stable-Baselines3


@pytest.mark.quick("PPO", "DQN")
@pytest.mark.parametrize("algorithm", ["PPO", "DQN", "SAC"])
def test_a_model_of_stable_baselines3_does_as_its_own_evaluation_says(algorithm: str) -> None:
    import stable_baselines3
    from stable_baselines3.common.evaluation import evaluate_policy

    id = "Pendulum-v1" if algorithm == "SAC" else "CartPole-v1"
    model = getattr(stable_baselines3, algorithm)("MlpPolicy", id, seed=1, device="cpu")
    agent = as_agent(model)
    assert isinstance(agent, PredictingAgent)
    assert not hasattr(agent, "learn")
    env = gym.make(id)
    env.reset(seed=5)
    theirs, _ = evaluate_policy(model, env, n_eval_episodes=20, warn=False)
    ours = evaluate(agent, resolve_task(id), 20, seed=0)
    spread = max(1.0, float(ours.returns.std()))
    assert abs(ours.mean - theirs) < 2.5 * spread
    observation, _ = env.reset(seed=0)
    assert np.array_equal(agent.act(observation), model.predict(observation, deterministic=True)[0])
    assert len(evaluate(model.policy, resolve_task(id), 2, seed=0).returns) == 2


def test_a_recurrent_model_remembers() -> None:
    from sb3_contrib import RecurrentPPO

    model = RecurrentPPO("MlpLstmPolicy", "CartPole-v1", n_steps=8, batch_size=8, seed=0, device="cpu")
    agent = cast(Any, as_agent(model))
    observation = np.zeros((2, 4), np.float32)
    actions, memory = agent.act_with_memory(observation, agent.initial_memory(2), np.zeros(2))
    assert actions.shape == (2,)
    assert np.abs(memory).sum() > 0
    assert len(evaluate(model, resolve_task("CartPole-v1"), 3, seed=0).returns) == 3


def test_a_masked_model_is_given_masks() -> None:
    from sb3_contrib import MaskablePPO

    from inscape.agents import LawVecEnv

    task = resolve_task("KuhnPoker")
    one = resolve_task("Taxi")
    assert task.players == 2
    model = MaskablePPO("MlpPolicy", LawVecEnv(one, 2, 0), n_steps=8, batch_size=8, seed=0, device="cpu")
    assert len(evaluate(model, one, 2, seed=0).returns) == 2


def test_a_model_sees_what_its_normalisation_makes_of_observations() -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    copies = VecNormalize(DummyVecEnv([lambda: gym.make("Pendulum-v1")]))
    model = PPO("MlpPolicy", copies, n_steps=64, batch_size=64, seed=0, device="cpu")
    model.learn(64)
    observation = np.array([[0.5, 0.5, 3.0]], np.float32)
    wanted, _ = model.predict(copies.normalize_obs(observation), deterministic=True)
    np.testing.assert_allclose(as_agent(model).act(observation), wanted)
