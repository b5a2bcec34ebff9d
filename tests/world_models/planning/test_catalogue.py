"""Planners by name: made with their settings, refused with what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from inscape.errors import UnknownSettingError, UsageError
from inscape.world_models import UCT, make_planner, planner_names
from inscape.world_models.planning.catalogue import PLANNERS, default_planner, planner_class, setting_defaults
from tests.conftest import EXAMPLES


@pytest.mark.parametrize("name", planner_names())
def test_every_planner_is_made_by_its_name_and_documents_its_settings(name: str) -> None:
    assert callable(make_planner(name).plan)
    defaults = setting_defaults(planner_class(name))
    assert all(doc for _, _, doc in defaults.values()), "a setting without a text below it"


def test_names_are_unique() -> None:
    words = [word for entry in PLANNERS for word in (entry.name, *entry.aliases)]
    assert len(set(words)) == len(words)


def test_settings_go_to_the_planner_and_defaults_only_where_it_takes_them() -> None:
    assert make_planner("mcts", num_simulations=7, gamma=0.5) == UCT(num_simulations=7, gamma=0.5)
    made = make_planner("value-iteration", {"num_simulations": 7, "gamma": 0.5})
    assert made.gamma == 0.5
    assert make_planner("uct", {"gamma": 0.5}, gamma=0.6).gamma == 0.6


def test_a_class_in_a_file_is_a_planner() -> None:
    made = make_planner(f"{EXAMPLES / 'my_planner.py'}:RandomShooting", {"num_simulations": 5}, samples=3)
    assert made.samples == 3


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("utc", {}, "did you mean 'uct'"),
        ("nothing", {}, "value-iteration"),
        ("uct", {"simulations": 3}, "num_simulations"),
        ("uct", {"discount": 0.9}, "gamma"),
        ("value-iteration", {"exploration": 1.0}, "gamma, tolerance"),
        ("no_such_file.py:Planner", {}, "no_such_file"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_known(name: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_planner(name, **settings)


def test_unknown_settings_are_type_errors_too() -> None:
    with pytest.raises(UnknownSettingError) as caught:
        make_planner("uct", explor=1.0)
    assert isinstance(caught.value, TypeError)


def test_a_class_without_plan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Mine:\n    pass\n\nvalue = 3\n")
    for name in ("Mine", "value"):
        with pytest.raises(UsageError, match="with plan"):
            make_planner(f"{tmp_path / 'mine.py'}:{name}")


def test_the_default_suits_the_actions() -> None:
    assert default_planner(spaces.Discrete(3)) == "uct"
    box = spaces.Box(-1, 1, (2,), np.float32)
    fitting = [entry.name for entry in PLANNERS if entry.actions in ("continuous", "any")]
    if fitting:
        assert default_planner(box) == fitting[0]
    else:
        with pytest.raises(UsageError, match="no planner for actions in Box"):
            default_planner(box)
