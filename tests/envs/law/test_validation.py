"""Classes that are no laws are refused when a world is made of them, improper probabilities by its readers."""

from __future__ import annotations

from typing import Any

import pytest
from gymnasium import spaces

from inscape.errors import UsageError
from tests.envs.law.test_spaces import Bare


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"players": 0}, "Flawed has players = 0"),
        ({"simultaneous": True}, r"Flawed has players = 1(.|\n)*or more where"),
        ({"player_names": ("one", "two")}, "1 players and 2 player_names"),
        ({"actions": ()}, "Flawed has no actions"),
        ({"actions": 4}, r"actions = 4(.|\n)*the names of the actions"),
        ({"actions": spaces.Box(-1.0, 1.0, (2,))}, r"actions = Box(.|\n)*action_low"),
        ({"actions": (), "action_low": (0.0,), "action_high": (1.0, 2.0)}, "action_low has 1 entries"),
        ({"actions": (), "action_low": 1.0, "action_high": -1.0}, "each low below its high"),
        ({"actions": (), "action_low": [0.0, "high"], "action_high": (1.0, 1.0)}, "numbers, one for each component"),
        (
            {"actions": (), "action_low": (0.0,), "action_high": (1.0,), "players": 2},
            "continuous actions and 2 players",
        ),
        ({"initial": None}, "no law function 'initial'"),
        ({"terminal": staticmethod(lambda params, state: False)}, r"Flawed\.terminal takes 2 arguments(.|\n)*3: "),
        ({"legal": staticmethod(lambda params, state: True)}, r"Flawed\.legal takes 2 arguments(.|\n)*action"),
    ],
)
def test_what_is_wrong_is_named(attributes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        type("Flawed", (Bare,), attributes)()


def test_outcomes_sum_to_one_at_the_start() -> None:
    class Leaky(Bare):
        @staticmethod
        def transition(params: Any, state: Any, action: int, branch: int) -> Any:
            return 0.75, state

    with pytest.raises(UsageError, match=r"the outcomes of Leaky.* under action 'on' .* summing to 0\.75"):
        Leaky().env()

    class Halved(Bare):
        @staticmethod
        def initial(params: Any, branch: int) -> Any:
            return 0.5, Bare.initial(params, branch)[1]

    with pytest.raises(UsageError, match=r"the initial states of Halved.* summing to 0\.5"):
        Halved().env()
