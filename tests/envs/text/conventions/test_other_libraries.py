"""Environments of GEM, TextArena and reasoning-gym, against those packages themselves."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from inscape.envs import text_env
from inscape.envs.text.conventions.foreign import GlobalRandom, number, plain
from inscape.errors import UsageError


def test_global_generators_are_kept_apart() -> None:
    def draws(own: GlobalRandom) -> tuple[float, float]:
        with own.own():
            return random.random(), float(np.random.random())

    random.seed(1)
    before = random.getstate()
    one, two = GlobalRandom(), GlobalRandom()
    one.seed(5)
    two.seed(6)
    mixed = [draws(one), draws(two), draws(one), draws(two)]
    assert random.getstate() == before
    three = GlobalRandom()
    three.seed(5)
    alone = [draws(three), draws(three)]
    assert [mixed[0], mixed[2]] == alone and mixed[1] != mixed[0]
    random.seed(5)
    assert random.random() == alone[0][0]  # as the library itself begins with that seed


@pytest.mark.parametrize("reward", [None, float("nan"), float("-inf"), "x", [1, 2], {}])
def test_rewards_that_are_no_numbers(reward: Any) -> None:
    with pytest.raises(UsageError, match="finite number"):
        number(reward, "world")


def test_infos_as_json_holds_them() -> None:
    info = {"mask": np.array([True, False]), 1: np.float32(0.5), "bad": float("nan"), "deep": [{"x": (np.int64(3),)}]}
    assert plain(info) == {"mask": [True, False], "1": 0.5, "bad": "nan", "deep": [{"x": [3]}]}


@pytest.mark.parametrize("name", ["gem:game:Nowhere", "textarena:Nowhere-v0", "reasoning-gym:nowhere"])
def test_names_that_are_none_or_packages_that_are_missing(name: str) -> None:
    with pytest.raises(UsageError, match=r"has no|pip install"):
        text_env(name)


@pytest.mark.slow
@pytest.mark.parametrize("game", ["GuessTheNumber-v0", "Mastermind-v0"])
def test_textarena_plays_its_own_games(game: str) -> None:
    arena = pytest.importorskip("textarena")
    guess = {
        "GuessTheNumber-v0": lambda rng: f"[{rng.randint(4, 16)}]",
        "Mastermind-v0": lambda rng: "[{} {} {} {}]".format(*rng.sample(range(1, 7), 4)),
    }[game]
    env, other = text_env(f"textarena:{game}"), text_env(f"textarena:{game}")
    ends = set()
    for seed in range(40):
        rng = random.Random(seed)
        answers = [guess(rng) if rng.random() < 0.9 else "no move" for _ in range(60)]
        theirs = arena.make(game)
        theirs.reset(num_players=1, seed=seed)
        text, _ = env.reset(seed=seed)
        other.reset(seed=seed + 1)  # another episode in between disturbs nothing
        assert text == theirs.get_observation()[1]
        for answer in answers:
            state = random.getstate()
            got = env.step(answer)
            random.setstate(state)
            done, _ = theirs.step(answer)
            assert got[0] == theirs.get_observation()[1]
            assert got[2] == done and not got[3]
            if done:
                assert got[1] == theirs.close()[0][0]
                ends.add(got[4]["reason"].split(":")[0][:12])
                break
        else:
            pytest.fail("no end")
    assert len(ends) > 1


@pytest.mark.slow
def test_textarena_games_for_two_are_refused() -> None:
    pytest.importorskip("textarena")
    with pytest.raises(UsageError, match="one player"):
        text_env("textarena:TicTacToe-v0").reset(seed=0)


@pytest.mark.slow
def test_reasoning_gym_scores_its_own_answers() -> None:
    gym = pytest.importorskip("reasoning_gym")
    for dataset in ("chain_sum", "spell_backward", "leg_counting"):
        env, theirs = (
            text_env(f"reasoning-gym:{dataset}", seed=3, size=50),
            gym.create_dataset(dataset, seed=3, size=50),
        )
        for index in range(50):
            entry = theirs[index]
            assert env.reset(options={"index": index})[0] == entry["question"]
            assert env.step(f"I think.\nanswer: {entry['answer']}")[1:4] == (1.0, True, False)
            env.reset(options={"index": index})
            assert env.step("answer: 17 no")[1] == theirs.score_answer("17 no", entry)
        assert env.reset(seed=5) == env.reset(seed=5)
        assert len({env.reset(seed=seed)[1]["index"] for seed in range(100)}) > 30
        for calls in range(1000):
            env.reset(seed=calls)
            assert env.step(["", "{", "\x00", "[" * 50, "answer:", "<answer></answer>", "ﷺ" * 9][calls % 7])[1] < 1.0
    with pytest.raises(UsageError, match="0 to 49"):
        env.reset(options={"index": 50})
    with pytest.raises(UsageError, match="refuses"):
        text_env("reasoning-gym:chain_sum", nonsense=3)


@pytest.mark.slow
@pytest.mark.parametrize("game", ["game:GuessTheNumber-v0-hard", "game:Mastermind-v0-easy"])
def test_gem_plays_its_own_games(game: str) -> None:
    gem = pytest.importorskip("gem")
    env, other = text_env(f"gem:{game}"), text_env(f"gem:{game}")
    for seed in range(40):
        rng = random.Random(seed)
        theirs = gem.make(game)
        assert env.reset(seed=seed)[0] == theirs.reset(seed)[0]
        other.reset(seed=seed + 1)
        over = False
        while not over:
            answer = f"\\boxed{{{rng.randint(10, 50)}}}" if rng.random() < 0.9 else "no"
            got, known = env.step(answer), theirs.step(answer)
            assert got[:2] == known[:2] and got[2] == known[2]
            over = known[2] or known[3]


@pytest.mark.slow
def test_our_worlds_as_gems() -> None:
    gem = pytest.importorskip("gem")
    from inscape.envs.text.conventions.gem_env import gem_env

    env, direct = gem_env("FrozenLake"), text_env("FrozenLake")
    assert isinstance(env, gem.Env)
    assert env.reset(seed=4)[0] == direct.reset(seed=4)[0]
    copied = env.spawn(same_state=True)
    for answer in ("down", "right", "down", "right"):
        one, two, known = env.step(answer), copied.step(answer), direct.step(answer)
        assert one[:4] == two[:4] == known[:4]
        if one[2]:
            break
    fresh = env.spawn()
    assert fresh.reset(seed=9)[0] == direct.reset(seed=9)[0]
    assert fresh.sample_random_action() in ("left", "down", "right", "up")
    gem.register("ours:Lake", gem_env, what="FrozenLake")
    vector = gem.make_vec(["ours:Lake", "ours:Lake"], seed=0)
    texts, _ = vector.reset()
    assert list(texts) == [text_env("FrozenLake").reset(seed=s)[0] for s in (0, 1)]
    assert len(vector.step(["left", "down"])) == 5
