"""Two in a household: what each may do, who gets what both take, questions and answers, refusals."""

from __future__ import annotations

from typing import Any

import pytest

from inscape.envs.worlds.text.household_helper import HouseholdHelper, HouseholdHelperState
from inscape.errors import UsageError

WORLD = HouseholdHelper(rooms="kitchen, living room")


def legal(state: HouseholdHelperState, player: int) -> set[str]:
    params = WORLD.params
    return {n for a, n in enumerate(WORLD.action_names) if WORLD.legal(params, state, player, a)}


def after(state: HouseholdHelperState, human: str, helper: str) -> tuple[HouseholdHelperState, float]:
    joint = WORLD.action_names.index(human), WORLD.action_names.index(helper)
    _, following = WORLD.transition(WORLD.params, state, joint, 0)
    following = HouseholdHelperState(
        tuple(map(int, following.rooms)), tuple(map(int, following.places)), following.word
    )
    rewards = WORLD.reward(WORLD.params, WORLD.purpose, state, joint, following)
    assert rewards[0] == rewards[1]
    return following, rewards[0]


def test_a_helper_fetches_while_the_human_answers() -> None:
    state = WORLD.initial(WORLD.params, 0)[1]
    assert legal(state, 0) == {"look", "go to kitchen"}
    assert legal(state, 1) == {"look", "go to living room", "take mug", "take book", "ask"}
    state, reward = after(state, "go to kitchen", "ask")
    assert state == HouseholdHelperState((0, 0), (0, 0), 1) and reward == pytest.approx(-0.07)
    assert legal(state, 0) == {"say mug in table", "say book in table"}
    assert "ask" not in legal(state, 1)
    state, _ = after(state, "say mug in table", "take mug")
    assert state == HouseholdHelperState((0, 0), (3, 0), 2)  # in the helper's hand; goal 0 was named
    assert "the human says: mug in table" in WORLD.describe(WORLD.params, WORLD.purpose, state)
    state, _ = after(state, "look", "go to living room")
    assert state.word == 0
    state, reward = after(state, "look", "put in table")
    assert state.places == (1, 0) and reward == pytest.approx(1.0 - 0.05)
    assert WORLD.terminal(WORLD.params, WORLD.purpose, state)
    assert not WORLD.terminal(WORLD.params, WORLD.goals["book in table"], state)


def test_of_two_who_take_the_same_the_human_has_it_and_hands_hold_one() -> None:
    both = HouseholdHelperState((0, 0), (0, 0), 0)
    assert after(both, "take mug", "take mug")[0].places == (2, 0)
    assert after(both, "take mug", "take book")[0].places == (2, 3)
    assert "take book" not in legal(HouseholdHelperState((0, 0), (2, 0), 0), 0)
    assert after(both, "put in table", "say mug in table")[0] == both  # what cannot be done changes nothing


def test_what_is_seen_determines_the_state() -> None:
    for state in (HouseholdHelperState((1, 0), (3, 1), 3), HouseholdHelperState((0, 1), (0, 2), 1)):
        seen = WORLD.observation(WORLD.params, state, 1)
        assert WORLD.state_of(WORLD.params, seen) == state
        assert all(entry < size for entry, size in zip(seen, WORLD.observations(WORLD.params)))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"goal": "mug in shelf"}, "so from the start"),
        ({"goal": "cup in table"}, "no object 'cup'"),
        ({"objects": "mug in drawer"}, "no container 'drawer'"),
        ({"objects": "mug"}, "two names"),
        ({"containers": "shelf in kitchen"}, "nothing can be put anywhere else"),
        ({"human": "attic"}, "no room 'attic'"),
        ({"step_cost": True}, "finite"),
        ({"objects": ", ".join(f"thing{k} in shelf" for k in range(5))}, "at most"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        HouseholdHelper(**settings)
