"""Settings of worlds, checked where they enter: numbers of the right kind pass, booleans and others do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from inscape.envs.worlds.mdp import checks as tables
from inscape.envs.worlds.multi_agent import checks as games
from inscape.errors import UsageError


@pytest.mark.parametrize(
    ("check", "arguments", "value"),
    [
        (tables.whole, ("n", np.int64(3), 3), 3),
        (tables.whole, ("n", 3, 0, 3), 3),
        (tables.probability, ("p", 1), 1.0),
        (tables.number, ("x", -1e300), -1e300),
        (tables.flag, ("f", np.True_), True),
        (games.finite_number, ("x", np.float32(0.5)), 0.5),
        (games.whole_number, ("n", 4, 1, 4), 4),
    ],
)
def test_what_fits_is_returned_as_plain_python(check: Callable[..., Any], arguments: Any, value: Any) -> None:
    found = check(*arguments)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("check", "arguments", "said"),
    [
        (tables.whole, ("n", True, 0), r"n = True(.|\n)*at least 0"),
        (tables.whole, ("n", 2, 3), r"n = 2(.|\n)*at least 3"),
        (tables.whole, ("n", 9, 3, 8), r"n = 9(.|\n)*from 3 to 8"),
        (tables.whole, ("n", 3.0, 0), r"n = 3\.0"),
        (tables.probability, ("p", 1.01), r"p = 1\.01(.|\n)*\[0, 1\]"),
        (tables.probability, ("p", np.nan), "p = nan"),
        (tables.probability, ("p", True), "p = True"),
        (tables.number, ("x", np.inf), "x = inf"),
        (tables.number, ("x", "3"), "x = '3'"),
        (tables.flag, ("f", 1), r"f = 1(.|\n)*True or False"),
        (games.finite_number, ("x", -np.inf), "x = -inf"),
        (games.finite_number, ("x", False), "x = False"),
        (games.whole_number, ("n", 0, 1, 4), r"n = 0(.|\n)*at least 1, at most 4"),
        (games.whole_number, ("n", 5, 1, 4), "n = 5"),
        (games.whole_number, ("n", 2.0, 1), "n = 2.0"),
    ],
)
def test_what_does_not_is_refused_by_name(check: Callable[..., Any], arguments: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check(*arguments)
