"""How long compiling takes, as it is announced: once for a world, of all that is to come."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from inscape.envs.compile import compile_time


def kernel(compiled: bool = False, stored: bool = False) -> SimpleNamespace:
    return SimpleNamespace(overloads=[1] if compiled else [], _cache=SimpleNamespace(holds_any=lambda: stored))


def function(name: str, template: str, world: str) -> SimpleNamespace:
    scope = {compile_time.WORLD: world, compile_time.TEMPLATE: template}
    return SimpleNamespace(__globals__=scope, __name__=name, __module__="law")


@pytest.fixture
def told(monkeypatch, caplog):
    compiling = compile_time._Compiling()
    monkeypatch.setattr(compile_time, "_compiling", compiling)
    monkeypatch.setattr(compiling, "slowness", lambda: 1.0)
    caplog.set_level(logging.INFO, "inscape")
    return compiling, lambda: [record.getMessage() for record in caplog.records]


NAMES = [("collecting", "collect"), ("policy_gradient", "update"), ("stepping", "step")]
WHOLE = sum(compile_time.TYPICAL_SECONDS[name] for name in NAMES)


def test_one_announcement_of_all_that_is_to_come(told):
    compiling, messages = told
    compile_time.announce("Clinic", dict(zip(NAMES, (kernel(), kernel(), None), strict=True)))
    for template, name in NAMES:
        compiling.begin(function(name, template, "Clinic"))
        compiling.end(function(name, template, "Clinic"))
    assert messages() == [f"compiling the law of Clinic: about {WHOLE:.0f} s, the first time only"]


@pytest.mark.parametrize(
    ("kernels", "seconds"),
    [
        ((kernel(), kernel(stored=True), None), WHOLE - 8.0),
        ((kernel(compiled=True), kernel(), None), WHOLE - 6.0),
        ((kernel(stored=True), kernel(compiled=True), None), None),
        ((lambda: 0, lambda: 0, None), None),
    ],
    ids=["the update is on the disk", "collecting is in memory", "all is there", "plain kernels"],
)
def test_what_is_there_already_is_left_out(told, kernels, seconds):
    compile_time.announce("Clinic", dict(zip(NAMES, kernels, strict=True)))
    expected = [] if seconds is None else [f"compiling the law of Clinic: about {seconds:.0f} s, the first time only"]
    assert told[1]() == expected


def test_another_world_and_much_more_are_announced(told):
    compiling, messages = told
    for world, template, name in (("One", "stepping", "step"), ("Two", "stepping", "step"), ("One", "uct", "search")):
        compiling.begin(function(name, template, world))
        compiling.end(function(name, template, world))
    assert [message.split(":")[0] for message in messages()] == [
        "compiling the law of One", "compiling the law of Two", "compiling the law of One",
    ]  # fmt: skip


def test_little_is_not_announced(told):
    compiling, messages = told
    compiling.begin(function("explore", "enumeration", "One"))
    compiling.end(function("explore", "enumeration", "One"))
    compile_time.announce("One", {("batch", "steps"): kernel()})
    assert messages() == []
