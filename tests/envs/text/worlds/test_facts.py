"""Facts: what the chronicle tells is right, what it does not tell cannot be known, and saying so pays."""

from __future__ import annotations

import pytest

from inscape.envs import text_env
from inscape.envs.text.worlds.facts import RELATIONS, Facts
from inscape.errors import UsageError


@pytest.mark.parametrize("mode", ["closed", "passage", "tool"])
def test_who_knows_the_chronicle_earns_what_it_tells(mode: str) -> None:
    env = text_env("Facts", mode=mode, people=12)
    assert isinstance(env, Facts)
    told = rewards = 0.0
    for seed in range(60):
        text, _ = env.reset(seed=seed)
        assert env.reset(seed=seed)[0] == text
        if mode == "passage":
            assert (env.facts[env.key] in text) == (env.key in env.told)
        _, reward, terminated, _, info = env.step(env.cue + env.solution())
        assert terminated and info["told"] == (env.key in env.told) and "problem" not in info
        told, rewards = told + info["told"], rewards + reward
    assert rewards == told and 20 < told < 50


def test_the_chronicle_tells_its_share_and_no_more() -> None:
    env = Facts(people=40, told=0.25)
    corpus = " ".join(env.corpus())
    assert len(env.corpus()) == len(env.told) == 40 * len(RELATIONS) // 4
    for key in env.facts:
        assert (env._sentence(key) in corpus) == (key in env.told)
    assert Facts(people=40).facts == Facts(people=40).facts != Facts(people=40, town=1).facts
    assert not Facts(told=0.0).corpus() and len(Facts(people=5, told=1.0).corpus()) == 20


def test_looking_up() -> None:
    env = Facts("tool", people=10)
    for seed in range(20):
        env.reset(seed=seed)
        text, reward, terminated, *_ = env.step(f"Look up {env.key[0].lower()} {env.key[1]}")
        assert (reward, terminated) == (0.0, False)
        assert (env.facts[env.key] in text) == (env.key in env.told)
        assert env.step(f"answer: {env.facts[env.key]}.")[1] == 1.0


def test_answers() -> None:
    env = Facts(people=10, unknown=0.2)
    env.reset(seed=0)
    right = env.facts[env.key]
    for answer, reward, problem in [
        (f"answer: {right.upper()}", 1.0, None),
        (f"answer: {right}\nconfidence: 80%", 1.0, None),
        ("answer: I don't know.", 0.2, None),
        ("answer: Nowhere", -1.0, None),
        ("answer:", 0.0, "empty"),
        (f"answer: it may be {right} or perhaps some other place", 0.0, "unknown"),
    ]:
        env.reset(seed=0)
        _, found, _, _, info = env.step(answer)
        assert (found, info.get("problem")) == (reward, problem), answer
        assert info.get("confidence") == (0.8 if "80" in answer else None)
    for wrong in ({"mode": "open"}, {"people": 1}, {"told": 1.5}, {"wrong": 1.0}, {"penalty": float("nan")}):
        with pytest.raises(UsageError):
            Facts(**wrong)  # type: ignore[arg-type]
