from __future__ import annotations

import logging
from typing import Any

import pytest

from inscape.agents.llm.settings import LanguageModelSettings
from inscape.agents.on_policy.ppo import PPOSettings
from inscape.agents.sb3.settings import SB3Settings
from inscape.experiments.arguments.renamed_options import current_words
from inscape.experiments.cli import main
from inscape.experiments.runs.folders import open_run


@pytest.mark.parametrize(
    ("settings", "before", "after", "said"),
    [
        (LanguageModelSettings, "--entropy 0.1", "--entropy-coef 0.1", "--entropy is now --entropy-coef;"),
        (LanguageModelSettings, "--entropy=0.1", "--entropy-coef=0.1", "--entropy=0.1 is now --entropy-coef=0.1;"),
        (LanguageModelSettings, "--max_gradient_norm 1", "--max-grad-norm 1", "is now --max-grad-norm;"),
        (LanguageModelSettings, "--anneal", "--anneal linear", "--anneal is now --anneal linear;"),
        (LanguageModelSettings, "--anneal --greedy", "--anneal linear --greedy", "--anneal is now --anneal linear;"),
        (LanguageModelSettings, "--no-anneal", "--anneal constant", "--no-anneal is now --anneal constant;"),
        (LanguageModelSettings, "--anneal False", "--anneal constant", "--anneal False is now --anneal constant;"),
        (LanguageModelSettings, "--anneal=constant", "--anneal=constant", ""),
        (LanguageModelSettings, "--anneal constant --clip 0.1", "--anneal constant --clip 0.1", ""),
        (SB3Settings, "--net-arch 64 32 --n-envs 4", "--hidden 64 32 --num-envs 4", "--n-envs is now --num-envs;"),
        (SB3Settings, "--schedule linear", "--anneal linear", "--schedule is now --anneal;"),
        (PPOSettings, "--backend resident", "--backend cuda", "--backend resident is now --backend cuda;"),
        (PPOSettings, "--backend=resident", "--backend=cuda", "--backend=resident is now --backend=cuda;"),
        (PPOSettings, "--backend torch --seed 3", "--backend torch --seed 3", ""),
        (PPOSettings, "--backend", "--backend", ""),
        (PPOSettings, "ppo CartPole --gamma -1 resident", "ppo CartPole --gamma -1 resident", ""),
    ],
)
def test_old_options_become_present_ones(settings: type, before: str, after: str, said: str, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING, logger="inscape"):
        assert current_words(before.split(), settings) == after.split()
    assert said in caplog.text
    assert bool(caplog.text) == bool(said)


def test_the_prefix_of_settings_called_like_an_argument_is_heeded() -> None:
    words = ["--n-envs", "1", "--agent.n-envs", "2", "--agent.no-anneal"]
    assert current_words(words, SB3Settings, "agent.") == [
        "--n-envs", "1", "--agent.num-envs", "2", "--agent.no-anneal",
    ]  # fmt: skip
    assert current_words(words[-1:], LanguageModelSettings, "agent.") == ["--agent.anneal", "constant"]


def test_the_command_line_takes_old_options_and_says_the_new(tmp_path: Any, capsys: Any) -> None:
    line = f"train q-learning FrozenLake --steps 200 --steps-per-report 100 --final-episodes 0 --out {tmp_path / 'run'}"
    assert main(line.split()) == 0
    assert "--steps-per-report is now --report-every" in capsys.readouterr().err
    assert open_run(tmp_path / "run").settings.agent_settings["report_every"] == 100
