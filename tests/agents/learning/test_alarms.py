"""Alarms: each sign is named with its step, and learning that goes well has none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from inscape.agents.learning.alarms import Alarms, repeated_share
from inscape.errors import UsageError


def kinds(rows: list[dict[str, float]]) -> list[tuple[str, int]]:
    alarms = Alarms()
    return [(alarm.kind, alarm.step) for row in rows for alarm in alarms.see(row)]


def row(step: int, mean: float, entropy: float = 1.0, deviation: float = 0.5, **more: float) -> dict[str, float]:
    return {"steps": step, "train/return_mean": mean, "ppo/entropy": entropy, "ppo/return_deviation": deviation} | more


def test_learning_that_ends_certain_and_good_has_no_alarm() -> None:
    good = [row(k, k / 100, math.log(4) * (1 - k / 100), 0.5 * (1 - k / 100)) for k in range(101)]
    assert kinds(good + [row(101 + k, 1.0, 0.0, 0.0) for k in range(50)]) == []


def test_a_certain_policy_that_got_worse_has_collapsed() -> None:
    rows = [row(k, 0.8) for k in range(20)] + [row(20 + k, 0.1, entropy=0.001) for k in range(20)]
    found = kinds(rows)
    assert {kind for kind, _ in found} == {"entropy"}
    assert 20 <= found[0][1] < 30


def test_returns_that_are_alike_and_low_are_an_echo_trap() -> None:
    rows = [row(k, 0.8) for k in range(20)] + [row(20 + k, 0.1, deviation=0.001) for k in range(20)]
    assert {kind for kind, _ in kinds(rows)} == {"echo trap"}


def test_leaps_repeats_and_what_is_not_a_number_are_named_at_once() -> None:
    assert kinds([row(6, 0.5, **{"ppo/approximate_kl": 0.9})]) == []
    assert kinds([row(7, 0.5, **{"ppo/approximate_kl": 2.5})]) == [("ratio", 7)]
    assert kinds([row(8, 0.5, **{"grpo/repeated_text": 0.7})]) == [("repeated text", 8)]
    (alarm,) = Alarms().see(row(9, 0.5, entropy=float("nan")))
    assert str(alarm) == "not finite at step 9: ppo/entropy is nan"


def test_repeats_are_counted() -> None:
    assert repeated_share("a b c d e f g h") == 0
    assert repeated_share("go left " * 50) == pytest.approx(1 - 2 / 97)
    assert repeated_share("") == 0


def test_a_state_goes_on_where_it_stopped() -> None:
    rng = np.random.default_rng(0)
    rows = [row(k, float(rng.random() * (k < 30)), 0.001, float(rng.random() * (k < 30))) for k in range(60)]
    whole, halves = Alarms(), [Alarms(), Alarms()]
    expected = [whole.see(one) for one in rows]
    found = [halves[0].see(one) for one in rows[:25]]
    halves[1].load_state_dict(halves[0].state_dict())
    assert found + [halves[1].see(one) for one in rows[25:]] == expected
    assert any(expected)


def test_bad_limits_are_refused() -> None:
    from inscape.agents.learning.alarms import AlarmLimits

    with pytest.raises(UsageError, match="window"):
        AlarmLimits(window=0)
