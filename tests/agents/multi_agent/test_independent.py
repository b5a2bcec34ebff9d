from __future__ import annotations

import numpy as np
import pytest

from inscape.agents.on_policy.ppo import PPOSettings
from inscape.agents.registry import agent_names, default_settings, is_agent_spec, make_agent, settings_class
from inscape.agents.rollout import evaluate_players, rollout, seated
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.experiments.runs.storage.checkpoints import load_checkpoint, save_checkpoint
from tests.agents.multi_agent.test_self_play import assert_same

DILEMMA = resolve_task("PrisonersDilemma", {"rounds": 1})
GAME = {
    "num_envs": 32, "num_steps": 8, "epochs": 4, "minibatches": 2, "learning_rate": 1e-2, "hidden": (16,), "gamma": 1.0,
}  # fmt: skip
DQN = {"num_envs": 8, "learning_starts": 64, "buffer_size": 4000, "report_every": 64, "hidden": (16,), "train_freq": 1}


@pytest.mark.quick("dqn-settings1-2500")
@pytest.mark.parametrize(("learner", "settings", "steps"), [("ppo", GAME, 8192), ("dqn", DQN, 2500)])
def test_independent_learners_defect(learner, settings, steps):
    """Defection is dominant: the one equilibrium of the dilemma, 1 each."""
    agent = make_agent(f"independent:{learner}", DILEMMA, settings=settings)
    rows = list(agent.learn(DILEMMA, steps))
    assert rows[-1]["steps"] >= steps
    turns = [next(name for name in row if name.startswith("player_")).split("/")[0] for row in rows]
    assert turns == ["player_0", "player_1"] * (len(turns) // 2)
    assert "player_1/episode_return" in rows[-1]
    assert [float(found.mean) for found in evaluate_players(agent, DILEMMA, 3, seed=0)] == [1.0, 1.0]
    one = rollout(agent, DILEMMA, 1, seed=0)[0]
    assert one.actions.tolist() == [[1, 1]]


@pytest.mark.slow
def test_each_learns_its_own_part():
    """A table in which the first gains by its first action and the second by its third: nothing is shared."""
    task = resolve_task(
        "RockPaperScissors", {"payoffs": [[[2, 2, 2], [1, 1, 1], [0, 0, 0]], [[0, 1, 2], [0, 1, 2], [0, 1, 2]]]}
    )
    agent = make_agent("independent:ppo", task, settings=GAME)
    list(agent.learn(task, 8192))
    assert rollout(agent, task, 1, seed=0)[0].actions.tolist() == [[0, 2]]
    first, second = seated(agent, task)
    assert first is agent.for_player(0)
    assert second is agent.for_player(1)
    assert not np.array_equal(first.policy_log_probs(np.zeros((1, 3))), second.policy_log_probs(np.zeros((1, 3))))


def test_exploitability_in_a_game_without_pure_equilibria():
    """Rock, paper, scissors: what best responses gain. It is what the policies say, not a claim of convergence."""
    task = resolve_task("RockPaperScissors")
    payoffs = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    agent = make_agent("independent:ppo", task, settings={**GAME, "entropy_coef": 0.2})
    for _ in agent.learn(task, 4096):
        pass
    first, second = (np.exp(agent.for_player(m).policy_log_probs(np.zeros((1, 3), np.int64)))[0] for m in range(2))
    exploited = ((payoffs @ second).max() + (payoffs @ first).max()) / 2
    assert 0 <= exploited < 0.5  # a pure policy loses 1 each time


@pytest.mark.slow
def test_players_in_turn_learn_too():
    task = resolve_task("TicTacToe")
    settings = {"num_envs": 16, "num_steps": 16, "hidden": (16,)}
    agent = make_agent("independent:ppo", task, settings=settings)
    rows = [row["steps"] for row in agent.learn(task, 2048)]
    assert rows == list(np.arange(256, 2049, 256))
    assert len(evaluate_players(agent, task, 4, seed=0)) == 2


@pytest.mark.parametrize("stop", [3, 4])
def test_resuming_is_exact(stop, tmp_path):
    """Whoever's turn it is to learn."""
    settings = {**GAME, "num_envs": 8}
    whole, half, resumed = (make_agent("independent:ppo", DILEMMA, seed=2, settings=settings) for _ in range(3))
    assert len(list(whole.learn(DILEMMA, 64 * 8))) == 8
    learning = half.learn(DILEMMA, 64 * 8)
    for _ in range(stop):
        next(learning)
    save_checkpoint(tmp_path / "step", half.state_dict())
    resumed.load_state_dict(load_checkpoint(tmp_path / "step")[0])
    assert len(list(resumed.learn(DILEMMA, 64 * 8))) == 8 - stop
    assert_same(resumed.state_dict(), whole.state_dict())


def test_the_name_says_who_learns():
    assert settings_class("independent:ppo") is PPOSettings
    assert is_agent_spec("independent:ppo")
    assert "independent:ppo" not in agent_names()
    assert default_settings("independent:ppo", DILEMMA)[0] == PPOSettings()
    agent = make_agent("independent:ppo", DILEMMA, settings={"num_steps": 16})
    assert (agent.name, agent.settings.num_steps) == ("independent:ppo", 16)


def test_refusals():
    with pytest.raises(UsageError, match="not for which player"):
        make_agent("independent:ppo", DILEMMA).act(np.zeros((1, 3)))
    with pytest.raises(UsageError, match="CartPole has one player"):
        make_agent("independent:ppo", resolve_task("CartPole"))
    for name in ("random", "sb3:ppo", "independent:ppo"):
        with pytest.raises(UsageError, match="independent learners"):
            make_agent(f"independent:{name}", DILEMMA)
    with pytest.raises(UsageError, match=r"no agent 'pop'"):
        make_agent("independent:pop", DILEMMA)
    with pytest.raises(UsageError, match=r"Discrete[\s\S]*independent:ppo or independent:dqn"):
        make_agent("independent:sac", DILEMMA)
    with pytest.raises(UsageError, match="the states of 1 learners"):
        make_agent("independent:ppo", DILEMMA).load_state_dict({"learners": [{}], "steps": [0]})
