"""What texts mean as arguments of other people's constructors, and which values are taken."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Optional, Union

import gymnasium as gym
import numpy as np
import pytest

from inscape.envs.tasks.arguments import (
    Argument,
    Arguments,
    arguments_of,
    checked,
    files_in,
    require_json,
    typed,
    with_absolute_files,
)
from inscape.errors import UsageError

OPTIONAL = Optional[int]  # noqa: UP045
EITHER = Union[int, float]  # noqa: UP007


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, "8", 8),
        (int, "1e5", 100_000),
        (int, "-3", -3),
        (int, "1_000", 1000),
        (np.int64, "4", 4),
        (float, "9.8", 9.8),
        (float, "-9.8", -9.8),
        (float, "3", 3.0),
        (float, "inf", np.inf),
        (np.float32, "0.5", 0.5),
        (bool, "false", False),
        (bool, "True", True),
        (bool, "0", False),
        (bool, "yes", True),
        (np.bool_, "no", False),
        (str, "8", "8"),
        (str, "true", "true"),
        (str, "", ""),
        (Path, "a/b.xml", "a/b.xml"),
        (OPTIONAL, "None", None),
        (int | None, "7", 7),
        (str | None, "None", None),
        (str | None, "x", "x"),
        (EITHER, "7", 7),
        (int | float, "7.5", 7.5),
        (bool | str, "easy", "easy"),
        (bool | str, "true", True),
        (int | str, "8", 8),
        (int | str, "8x8", "8x8"),
        (Literal["hard", "easy"], "easy", "easy"),
        (Literal[1, 2], "2", 2),
        (Literal["a"] | None, "none", None),
        (tuple[int, int], "3,4", (3, 4)),
        (tuple[int, int], "[3, 4]", (3, 4)),
        (tuple[int, ...], "3,4,5", (3, 4, 5)),
        (tuple[float, float], "(0.5, 1)", (0.5, 1)),
        (list[str], "SF,FG", ["SF", "FG"]),
        (list, '["a", 1]', ["a", 1]),
        (dict[str, Any], '{"lanes": 4}', {"lanes": 4}),
        (np.ndarray, "0,1.5", [0, 1.5]),
        (Any, "8", 8),
        (Any, "word", "word"),
        (Any, "[1, null]", [1, None]),
        (object, "true", True),
    ],
)
def test_a_text_becomes_what_the_annotation_says(annotation, text, value):
    found = typed(text, Argument("x", annotation), "--env.x")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [
        (True, "false", False),
        (False, "1", True),
        (8, "16", 16),
        (8, "9.8", 9.8),
        (0.5, "2", 2),
        ("4x4", "8", "8"),
        ((1, 1), "2,3", (2, 3)),
        ([1], "[2]", [2]),
        ({"a": 1}, '{"a": 2}', {"a": 2}),
        (None, "None", None),
        (None, "3", 3),
        (None, "word", "word"),
        (np.float64(1), "2.5", 2.5),
    ],
)
def test_a_text_becomes_what_the_default_is(default, text, value):
    found = typed(text, Argument("x", default=default), "--env.x")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("3.5", 3.5),
        ("true", True),
        ("False", False),
        ("null", None),
        ("None", None),
        ('"3"', "3"),
        ("[1, 2]", [1, 2]),
        ('{"a": [1]}', {"a": [1]}),
        ("__import__('os').system('x')", "__import__('os').system('x')"),
        ("1 + 1", "1 + 1"),
        ("(1, 2)", "(1, 2)"),
        ("4x4", "4x4"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_a_text_of_an_unknown_argument_is_json_or_a_string_and_never_evaluated(text, value):
    found = typed(text, None, "--env.x")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("annotation", "text", "said"),
    [
        (int, "eight", "a number"),
        (int, "0.5", "whole number"),
        (float, "fast", "a number"),
        (bool, "maybe", "true or false"),
        (Literal["hard", "easy"], "esay", "hard, easy"),
        (tuple[int, int], "3", "2 values"),
        (tuple[int, int], "a,b", "a number"),
        (dict, "[1]", "JSON object"),
        (int | None, "x", "a number"),
        (gym.Space, "Box", "text can stand for"),
        (type, "int", "text can stand for"),
        (int, "nan", "whole number"),
    ],
)
def test_a_text_of_another_type_is_refused_with_what_was_expected(annotation, text, said):
    with pytest.raises(UsageError, match=said) as caught:
        typed(text, Argument("x", annotation, 1), "--env.x")
    assert f"--env.x {text}" in str(caught.value)


def test_an_option_without_a_value_is_true_where_that_is_one():
    assert typed(None, Argument("x", bool), "--env.x") is True
    assert typed(None, Argument("x", default=False), "--env.x") is True
    assert typed(None, None, "--env.x") is True
    for argument in (Argument("x", int), Argument("x", default="4x4")):
        with pytest.raises(UsageError, match="without a value"):
            typed(None, argument, "--env.x")


class Base:
    def __init__(self, size: int = 8, **kwargs: Any) -> None:
        del size, kwargs


class Closed:
    def __init__(self, size: int = 8, see: bool = True) -> None:
        del size, see


class Middle(Closed):
    def __init__(self, agent: tuple[int, int] = (1, 1), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        del agent


class Bottom(Middle):
    pass


class Needy:
    def __init__(self, mission: str, size: int = 8) -> None:
        del mission, size


class Gives(Needy):
    """Gives its base what it needs, as the environments of MiniGrid do."""

    def __init__(self, start: int = 0, **kwargs: Any) -> None:
        super().__init__(mission="go", **kwargs)
        del start


def made(size: Any, *, speed: float = 1.0) -> None:
    del size, speed


@pytest.mark.parametrize(
    ("creator", "names", "others", "required"),
    [
        (Base, ["size"], True, []),
        (Closed, ["size", "see"], False, []),
        (Middle, ["agent", "size", "see"], False, []),
        (Bottom, ["agent", "size", "see"], False, []),
        (Needy, ["mission", "size"], False, ["mission"]),
        (Gives, ["start", "mission", "size"], False, []),
        (made, ["size", "speed"], False, ["size"]),
        (lambda **kwargs: None, [], True, []),
        (lambda: None, [], False, []),
        (object, [], False, []),
    ],
)
def test_arguments_are_found_along_the_bases(creator, names, others, required):
    found = arguments_of(creator)
    assert [*found.known] == names
    assert found.takes_others is others
    assert [*found.required] == required


def test_the_environment_of_a_wrapper_is_left_out():
    assert [*arguments_of(gym.wrappers.FrameStackObservation, skip=1).known] == ["stack_size", "padding_type"]
    assert [*arguments_of(lambda env, scale=1.0: env, skip=1).known] == ["scale"]


SIZE = Arguments({"size": Argument("size", int, 8), "at": Argument("at", default=(1, 1))}, False)


@pytest.mark.parametrize(
    "value",
    [
        lambda x: x,
        object(),
        {1: 2},
        {"a": {2, 3}},
        [print],
        gym.spaces.Discrete(2),
        np.array([None]),
        b"bytes",
        1j,
        int,
        {"a": [{"b": gym.Env}]},
        range(3),
    ],
    ids=str,
)
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises(UsageError, match="size.*\n.*a value that a run can store"):
        require_json({"size": value}, "X-v0")


def test_what_json_can_hold_is_taken_and_tuples_come_back_as_tuples():
    given = {"size": np.int64(3), "at": [2, 2]}
    require_json({**given, "more": (np.zeros(3), {"a": [None, True, "x", 1.5]})}, "X-v0")
    assert checked(given, SIZE, "X-v0", "--env.") == {"size": 3, "at": (2, 2)}
    assert checked({"size": np.zeros(2)}, SIZE, "X-v0", "--env.")["size"].shape == (2,)
    assert checked({"size": Path("a.xml")}, SIZE, "X-v0", "--env.") == {"size": "a.xml"}


def test_unknown_and_missing_arguments_are_named():
    with pytest.raises(UsageError, match="no argument 'siez'[\\s\\S]*did you mean 'size'"):
        checked({"siez": 3}, SIZE, "X-v0", "--env.")
    with pytest.raises(UsageError, match="needs the argument size[\\s\\S]*--env.size VALUE"):
        checked({}, arguments_of(made), "X-v0", "--env.")
    assert checked({"more": 3}, Arguments({}, True), "X-v0", "--env.") == {"more": 3}


def test_files_become_absolute_and_words_stay(tmp_path, monkeypatch):
    (tmp_path / "ant.xml").write_text("<x/>")
    (tmp_path / "easy").write_text("")
    monkeypatch.chdir(tmp_path)
    given = {
        "xml": "ant.xml",
        "other": "none.xml",
        "word": "easy",
        "dotted": "./easy",
        "n": 3,
        "long": "x" * 5000 + ".y",
    }
    found = with_absolute_files(given)
    assert found == {**given, "xml": str(tmp_path / "ant.xml"), "dotted": str(tmp_path / "easy")}
    assert files_in({"a": [found], "b": "ant.xml"}) == [str(tmp_path / "ant.xml"), str(tmp_path / "easy")]
    assert os.path.isabs(found["xml"])
