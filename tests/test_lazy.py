"""Names of packages that load when they are first used; what copies of objects leave out."""

from __future__ import annotations

import sys
import types
from functools import cached_property

import pytest

from inscape.lazy import lazy_names
from inscape.on_demand import without_cached_properties


def test_a_name_loads_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    package, part = types.ModuleType("parcel"), types.ModuleType("parcel.part")
    part.thing = object()  # type: ignore[attr-defined]
    package.own = 1  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "parcel", package)
    get, names, public = lazy_names("parcel", {"part": ("thing",), "": ("own",)})
    assert public == ["own", "thing"]
    assert {"own", "thing", "__name__"} <= set(names())
    with pytest.raises(ModuleNotFoundError):
        get("thing")
    monkeypatch.setitem(sys.modules, "parcel.part", part)
    assert get("thing") is part.thing is package.thing  # type: ignore[attr-defined]
    for missing in ("nothing", "own"):  # `own` is the package's: Python asks for it only before it is defined
        with pytest.raises(AttributeError, match=f"module 'parcel' has no attribute '{missing}'"):
            get(missing)


def test_copies_leave_out_what_is_worked_out_on_demand() -> None:
    class Box:
        def __init__(self) -> None:
            self.side = 2

        @cached_property
        def area(self) -> int:
            return self.side**2

    box = Box()
    assert box.area == 4 and "area" in vars(box)
    assert without_cached_properties(box) == {"side": 2}
