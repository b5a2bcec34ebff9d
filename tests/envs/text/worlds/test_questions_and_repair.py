"""Text worlds with verified rewards: right answers pay, wrong ones do not, nonsense is counted."""

from __future__ import annotations

import difflib
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inscape.envs import text_env, text_env_specs
from inscape.envs.text.worlds.arithmetic import Arithmetic
from inscape.envs.text.worlds.edits import Edit, apply_diff, edit_distance, replace_lines
from inscape.envs.text.worlds.question import QuestionEnv, is_trained_on
from inscape.envs.text.worlds.text_repair import DAMAGES, LEVELS, TextRepair
from inscape.errors import UsageError

QUESTIONS = ("Arithmetic", "Permutations", "Spelling")
words = st.text("ab \nx", max_size=30)


def slow_distance(a: str, b: str) -> int:
    """The table of Wagner and Fischer (1974)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (x != y))
    return row[-1]


@settings(max_examples=200, deadline=None)
@given(words, words)
def test_edit_distance(a: str, b: str) -> None:
    assert edit_distance(a, b) == slow_distance(a, b)


@settings(max_examples=150, deadline=None)
@given(words, words, st.integers(0, 3))
def test_a_diff_of_difflib_applies_exactly(a: str, b: str, context: int) -> None:
    diff = list(difflib.unified_diff(a.split("\n"), b.split("\n"), "a", "b", lineterm="", n=context))
    if diff:
        assert apply_diff(a, "\n".join(diff)) == b
        assert apply_diff(a, "\n".join(diff[2:])) == b


@pytest.mark.parametrize(
    ("diff", "message"),
    [
        ("@@ -1,2 +1,2 @@\n one\n-too\n+2", "line 2 is 'two'"),
        ("@@ -9,1 +9,1 @@\n-x\n+y", "hunk @@ -9,1"),
        ("@@ -1,2 +1,2 @@\n one", "ends within a hunk"),
        ("@@ -1 +1 @@\n-one\n+1\n+2", "line 4 of the diff"),
        ("--- a\n+++ b", "without a hunk"),
        ("@@ -1,1 +1,1 @@\n*one", "begins with"),
        ("please", "a hunk"),
        ("@@ -2,1 +2,1 @@\n-two\n+2\n@@ -1,1 +1,1 @@\n-one\n+1", "hunks in order"),
    ],
)
def test_a_diff_that_does_not_apply_is_refused_with_the_line(diff: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        apply_diff("one\ntwo\nthree", diff)


def test_lines_are_replaced() -> None:
    assert replace_lines("a\nb\nc", 2, 3, ["x"]) == "a\nx"
    for first, last in ((0, 1), (2, 1), (3, 4)):
        with pytest.raises(UsageError, match="lines"):
            replace_lines("a\nb\nc", first, last, [])
    with pytest.raises(UsageError, match="character 1"):
        Edit(1, "x", "y").apply("abc")


@pytest.mark.parametrize("level", range(len(LEVELS)))
def test_inverses_restore_the_passage_and_a_diff_earns_everything(level: int) -> None:
    env = text_env("TextRepair", level=level)
    assert isinstance(env, TextRepair)
    for seed in range(3):
        env.reset(seed=seed)
        text = env.text
        for edit in reversed(env.damage):
            text = edit.inverse().apply(text)
        assert text == env.original != env.text
        lines = list(difflib.unified_diff(env.text.split("\n"), env.original.split("\n"), lineterm="", n=1))
        total = 0.0
        _, reward, terminated, _, _ = env.step("here it is:\n```diff\n" + "\n".join(lines) + "\n```")
        total += reward
        assert terminated and total == pytest.approx(1.0)


def test_the_other_commands_repair_too() -> None:
    env = TextRepair(level=4, window=5, max_turns=60)
    text, _ = env.reset(seed=1)
    assert text.startswith("lines 1 to 5 of 24")
    total = 0.0
    for number, (now, then) in enumerate(zip(env.text.split("\n"), env.original.split("\n"), strict=True), 1):
        if now != then:
            assert f"{number}: {now}" in env.step(f"goto {number}")[0]
            assert env.step(f"find {now[:20]}")[0].startswith("found in line")
            _, reward, terminated, _, info = env.step(f"replace {number}: {then}")
            total += reward
    assert terminated and total == pytest.approx(1.0) and info["restored"] == 1.0
    env.reset(seed=1)
    worse = env.step("replace 1-2\nnothing")
    assert worse[1] < 0 and env.step("done")[2]


def test_what_repair_refuses() -> None:
    env = TextRepair(level=0)
    env.reset(seed=0)
    before = env.text
    for answer, problem in [
        ("", "empty"),
        ("repair it", "unknown"),
        ("goto 0", "refused"),
        ("goto x", "unknown"),
        ("find zzzz", "refused"),
        ("replace 5: x", "refused"),
        ("@@ -1,1 +1,1 @@\n-x\n+y", "refused"),
        ("replace 1: " + "x" * 10_000, "refused"),
    ]:
        _, reward, *_, info = env.step(answer)
        assert (info["problem"], reward) == (problem, 0.0)
    assert env.text == before
    for wrong in ({"level": 9}, {"kinds": ("burn",)}, {"kinds": ()}, {"window": 0}, {"passage": "@/no/such"}):
        with pytest.raises(UsageError):
            TextRepair(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="cannot damage"):
        TextRepair(passage="...", kinds=("duplicate-word",)).reset(seed=0)


@pytest.mark.parametrize("kind", DAMAGES)
def test_each_damage_has_an_exact_inverse(kind: str) -> None:
    rng = np.random.default_rng(0)
    text = "The old clerk sold a small lantern, and every child watched.\nA sailor found the blue map."
    for _ in range(50):
        edit = DAMAGES[kind](text, rng)
        if edit is not None:
            assert edit.inverse().apply(edit.apply(text)) == text


@pytest.mark.parametrize("name", QUESTIONS)
def test_right_answers_pay_wrong_ones_do_not(name: str) -> None:
    env = text_env(name, penalty=0.5)
    assert isinstance(env, QuestionEnv)
    for seed in range(40):
        text, _ = env.reset(seed=seed)
        assert env.reset(seed=seed)[0] == text
        assert env.step(f"I think.\nanswer: {env.expected}")[1:4] == (1.0, True, False)
        env.reset(seed=seed)
        assert env.step("answer: ")[1] == -0.5
        env.reset(seed=seed)
        assert env.step("answer: perhaps 3 or 4?")[1:3] == (-0.5, True)


def test_arithmetic_answers() -> None:
    for operation, digits, order in itertools.product(
        ("add", "subtract", "multiply"), (1, 3, 40), ("highest first", "lowest first")
    ):
        env = Arithmetic(operation, digits, order)  # type: ignore[arg-type]
        for seed in range(20):
            text, _ = env.reset(seed=seed)
            a, sign, b, *_ = text.split()
            value = {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[sign]
            digits_of = str(abs(value)) if order == "highest first" else str(abs(value))[::-1]
            assert env.expected == ("-" if value < 0 else "") + digits_of
            assert env.agrees(env.expected) and not env.agrees(env.written(value + 1))
    env = Arithmetic("add")
    env.expected = "1234"
    assert [env.agrees(text) for text in ("1,234", "01234", "+1234", "1234.", "-1234", "4321")] == [True] * 4 + [
        False
    ] * 2
    assert env.agrees("1e3") is env.agrees("") is env.agrees("٣") is None


def test_what_is_held_out_is_never_met_in_training() -> None:
    train, held = Arithmetic(split="train"), Arithmetic(split="held-out")
    assert train.key("12 + 345 = ?") == train.key("345 + 12 = ?") and train.key("3 - 12 = ?") != train.key("12 - 3 = ?")
    for seed in range(100):
        assert is_trained_on(train.key(train.reset(seed=seed)[0]), 0.1)
        assert not is_trained_on(held.key(held.reset(seed=seed)[0]), 0.1)
    share = np.mean([is_trained_on(f"{a} + {b}", 0.1) for a in range(100) for b in range(a, 100)])
    assert share == pytest.approx(0.1, abs=0.01)
    for wrong in ({"split": "test"}, {"seen_share": 2.0}, {"split": "train", "seen_share": 0.0}, {"digits": 0}):
        with pytest.raises(UsageError):
            Arithmetic(**wrong)  # type: ignore[arg-type]


def test_permutations_by_matrices() -> None:
    env = text_env("Permutations", count=4, size=4)
    assert isinstance(env, QuestionEnv)
    for seed in range(20):
        text, _ = env.reset(seed=seed)
        product = np.eye(4)
        for word in text.removesuffix(" = ?").split(" then "):
            product = np.eye(4)[[ord(c) - 97 for c in word]] @ product
        assert env.expected == "".join(chr(97 + k) for k in product.argmax(axis=1))


@pytest.mark.parametrize("name", sorted(text_env_specs()))
def test_a_thousand_malformed_answers(name: str) -> None:
    env, rng = text_env(name), np.random.default_rng(0)
    seeds = [
        "",
        "\x00",
        "answer:",
        "action: ",
        "```",
        "@@ -1 +1 @@",
        "---",
        "replace 1",
        "9" * 5000,
        "\\boxed{",
        "<answer>",
        "−1",
        "ſ",
    ]
    over = True
    for number in range(1000):
        if over:
            env.reset(seed=number)
        text = "".join(
            str(rng.choice(seeds)) + chr(int(rng.integers(32, 0x2FF))) for _ in range(int(rng.integers(1, 6)))
        )
        *_, terminated, truncated, info = env.step(text + "\n" * int(rng.integers(3)))
        over = terminated or truncated
        assert sum(info["problems"].values()) <= env.turns
