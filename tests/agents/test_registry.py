from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pytest

from inscape.agents import registry as plugins
from inscape.agents.catalogue import BUILT_IN, LearnerName
from inscape.agents.presets import PRESETS
from inscape.agents.random_agent import RandomSettings
from inscape.agents.registry import (
    agent_entries,
    agent_names,
    default_settings,
    default_steps,
    is_agent_spec,
    make_agent,
    settings_class,
)
from inscape.agents.rollout import evaluate
from inscape.agents.settings import build_settings
from inscape.envs.registry import world_specs
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.tasks.shared_policy import one_player
from inscape.errors import UsageError
from tests.conftest import EXAMPLES

EXAMPLE = EXAMPLES / "balance.py"


@pytest.fixture
def lake():
    return resolve_task("FrozenLake")


def test_every_named_agent_has_a_class_and_documented_settings():
    for entry in agent_entries():
        assert callable(plugins._load(entry.path).act), entry.name
        settings = settings_class(entry.name)
        assert dataclasses.is_dataclass(settings)
        settings()  # every field has a default
        assert entry.description


def test_listing_imports_nothing_heavy():
    code = (
        "import sys; from inscape.agents.registry import agent_names, is_agent_spec\n"
        "agent_names(); is_agent_spec('ppo')\n"
        "print([m for m in ('torch', 'stable_baselines3', 'numba', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_example_agent_is_short_and_balances():
    assert len(EXAMPLE.read_text().splitlines()) <= 15
    task = resolve_task("CartPole")
    agent = make_agent(f"{EXAMPLE}:Balance", task)
    assert evaluate(agent, task, 20, seed=0).mean >= 475


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("pop", "no agent 'pop'(.|\n)*did you mean 'ppo'"),
        ("q_learning", "did you mean 'q-learning'"),
        ("sb3:dqm", "no Stable-Baselines3 algorithm 'dqm'(.|\n)*sb3:a2c(.|\n)*did you mean 'dqn'"),
        ("nowhere.py:Agent", "no file 'nowhere.py'"),
        (f"{EXAMPLE}:Balancer", "no class 'Balancer'(.|\n)*Balance"),
        (str(EXAMPLE), "balance.py:YourClass"),
        ("no_such_module_here:Agent", "no module 'no_such_module_here'"),
        ("inscape.agents.on_policy.ppo:ppo_loss", "expected: a class"),
    ],
)
def test_unknown_agents(spec, message, lake):
    with pytest.raises(UsageError, match=message):
        make_agent(spec, lake)


def test_a_file_that_does_not_import_says_where(tmp_path, lake):
    file = tmp_path / "broken.py"
    file.write_text("x = 1\ny = x / 0\n")
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        make_agent(f"{file}:Agent", lake)
    file.write_text("def act(:\n")
    with pytest.raises(UsageError, match="SyntaxError"):
        make_agent(f"{file}:Agent", lake)


def test_constructors_get_what_they_ask_for(tmp_path, lake):
    file = tmp_path / "made.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        "import numpy as np\n"
        "@dataclass(frozen=True)\n"
        "class Wish:\n    bias: float = 0.5\n    names: tuple[str, ...] = ()\n"
        "class Full:\n    Settings = Wish\n"
        "    def __init__(self, task, settings=Wish(), seed=0): self.got = task.name, settings.bias, seed\n"
        "    def act(self, observation): return np.zeros(len(observation), int)\n"
        "class Needy(Full):\n    def __init__(self, budget): pass\n"
        "class Blind:\n    pass\n"
    )
    agent = make_agent(f"{file}:Full", lake, seed=3, settings={"bias": 2})
    assert agent.got == ("FrozenLake", 2.0, 3)
    assert is_agent_spec(f"{file}:Full")
    assert not is_agent_spec(f"{file}:Blind")
    with pytest.raises(UsageError, match="asks for budget"):
        make_agent(f"{file}:Needy", lake)
    with pytest.raises(UsageError, match="no method act"):
        make_agent(f"{file}:Blind", lake)
    with pytest.raises(UsageError, match="no setting 'bia'(.|\n)*did you mean 'bias'"):
        make_agent(f"{file}:Full", lake, settings={"bia": 2})
    with pytest.raises(TypeError, match="got an unexpected keyword argument"):
        make_agent(f"{EXAMPLE}:Balance", lake, settings={"x": 1})


@dataclass(frozen=True)
class Typed:
    number: float = 1.0
    maybe: int | None = None
    flag: bool = False
    many: tuple[int, ...] = ()


def test_settings_come_back_from_json_as_they_were():
    given = {"number": 2, "maybe": 3, "flag": True, "many": [1, 2]}
    assert build_settings(Typed, given) == Typed(2.0, 3, True, (1, 2))
    for wrong in ({"number": "x"}, {"maybe": 1.5}, {"flag": 1}, {"number": True}, {"many": 3}):
        with pytest.raises(UsageError, match="expected: a value of type"):
            build_settings(Typed, wrong)


def test_default_copies_fit_the_players_who_are_rows_of_them():
    """Three players: 32 rows would be refused, and so is what somebody asks for that does not fit."""
    spread = resolve_task("Spread")
    for task in (spread, one_player(spread)):
        found = {name: default_settings(name, task)[0].num_envs for name in ("dqn", "a2c", "ppo", "recurrent-ppo")}
        assert found == {"dqn": 3, "a2c": 3, "ppo": 48, "recurrent-ppo": 33}
    learner = make_agent("recurrent-ppo", one_player(spread), settings={"num_steps": 4, "hidden": (8,), "memory": 4})
    assert next(learner.learn(one_player(spread), 132))["steps"] == 132
    with pytest.raises(UsageError, match="num_envs = 33"):
        next(make_agent("a2c", one_player(spread), settings={"num_envs": 32}).learn(one_player(spread), 64))
    # one row a copy: those who take the whole task, and players in turn
    assert default_settings("independent:a2c", spread)[0].num_envs == 2
    assert default_settings("a2c", resolve_task("TicTacToe"))[0].num_envs == 2


def test_presets_fit_their_agents_and_settings_go_over_them(lake):
    known = {spec.name.lower() for spec in world_specs()}
    for agent, worlds in PRESETS.items():
        assert agent in agent_names()
        for world, preset in worlds.items():
            assert world.removeprefix("pixels:") in known
            build_settings(settings_class(agent), preset.settings)
    cartpole = resolve_task("CartPole")
    settings, preset = default_settings("ppo", cartpole)
    assert preset.settings["num_envs"] == settings.num_envs
    assert default_settings("ppo", resolve_task("CartPole-v1")) == (settings, preset)
    line = preset.describe("ppo", "CartPole", preset.steps, settings)
    assert f"{preset.steps:,} steps" in line
    assert f"num_envs={settings.num_envs}" in line
    changed = build_settings(type(settings), {"num_envs": 4}, base=settings)
    assert not re.search("num_envs|steps,", preset.describe("ppo", "CartPole", 7, changed))
    assert default_steps("ppo", cartpole) == preset.steps
    agent = make_agent("ppo", cartpole, settings={"num_steps": 8})
    assert (agent.settings.num_envs, agent.settings.num_steps) == (settings.num_envs, 8)


def test_entry_points_are_agents(monkeypatch, lake):
    from importlib.metadata import EntryPoint

    point = EntryPoint("theirs", "inscape.agents.random_agent:RandomAgent", "inscape.agents")
    monkeypatch.setattr(plugins, "_entry_points", lambda: [point])
    assert "theirs" in agent_names()
    agent = make_agent("theirs", lake)
    assert np.all(agent.act(np.zeros(5, int)) < 4)


def test_type_checkers_know_every_built_in_learner() -> None:
    names = {entry.name for entry in BUILT_IN if entry.learns}
    assert set(get_args(LearnerName)) == names


@pytest.mark.parametrize("settings", [[1], "fast", 3, build_settings(RandomSettings, {})])
def test_settings_of_another_kind_are_refused(settings):
    with pytest.raises(UsageError, match=rf"settings of ppo of type {type(settings).__name__}[\s\S]*PPOSettings"):
        make_agent("ppo", resolve_task("FrozenLake"), settings=settings)
