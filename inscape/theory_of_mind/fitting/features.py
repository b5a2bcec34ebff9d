"""Features of minds by their path, read and replaced: `chooses.beta`, `plans.discount.k`, `wants.step_cost`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inscape.errors import UsageError, closest
from inscape.theory_of_mind.minds import Mind, name_of
from inscape.theory_of_mind.planning_mind import PlanningMind

if TYPE_CHECKING:
    from inscape.envs.world import World

SHORT = {
    "beta": "chooses.beta", "lapse": "chooses.lapse", "k": "plans.discount.k", "gamma": "plans.discount.gamma",
    "rate": "wants.rate", "weight": "wants.weight", "guilt": "wants.guilt", "envy": "wants.envy", "tau": "others.tau",
}  # fmt: skip
"""Short names of parameters."""

PARTS = ("wants", "believes", "plans", "chooses", "can", "others")


def path_of(name: str, mind: Any = None) -> str:
    """Returns the path a name stands for: a short name, unless the mind itself has an attribute of that name and is not
    made of parts."""
    return name if mind is not None and not isinstance(mind, PlanningMind) else SHORT.get(name, name)


def read(mind: Any, path: str) -> Any:
    """Returns the feature of a mind at a path, or the mind's name where it has none."""
    value = mind
    for part in path_of(path, mind).split("."):
        if not hasattr(value, part):
            return name_of(mind)
        value = getattr(value, part)
    return value


def replaced(mind: Any, path: str, value: Any) -> Any:
    """Returns the mind, a `PlanningMind` or a dataclass, with another value at a path.

    Raises:
        UsageError: it has nothing there.
    """
    return _replaced(mind, path_of(path, mind).split("."), value, path, mind)


def _replaced(owner: Any, parts: Sequence[str], value: Any, path: str, mind: Any) -> Any:
    first, rest = parts[0], parts[1:]
    names = _fields(owner)
    if first not in names:
        raise UsageError(
            f"the mind ({name_of(mind)}) has no parameter {path!r}",
            expected=", ".join(numbers_of(mind)) or "a parameter that is a number",
            hint=closest(path, [*SHORT, *numbers_of(mind)]),
        )
    inner = value if not rest else _replaced(getattr(owner, first), rest, value, path, mind)
    if hasattr(owner, "_replace"):
        return owner._replace(**{first: inner})
    if isinstance(owner, PlanningMind):
        return PlanningMind(**{name: inner if name == first else getattr(owner, name) for name in PARTS})
    return dataclasses.replace(owner, **{first: inner})


def _fields(owner: Any) -> tuple[str, ...]:
    if isinstance(owner, PlanningMind):
        return PARTS
    if hasattr(owner, "_fields"):
        return tuple(owner._fields)
    return tuple(f.name for f in dataclasses.fields(owner)) if dataclasses.is_dataclass(owner) else ()


def numbers_of(mind: Any) -> list[str]:
    """Returns the paths of the numbers in a mind."""
    found: list[str] = []

    def visit(owner: Any, path: str) -> None:
        for name in _fields(owner):
            value = getattr(owner, name)
            here = f"{path}.{name}" if path else name
            if isinstance(value, float):
                found.append(here)
            else:
                visit(value, here)

    visit(mind, "")
    return found


def with_purpose(mind: PlanningMind, world: World) -> PlanningMind:
    """Returns the mind with the purpose itself where it wants one by name, so that its rewards can be changed."""
    if not isinstance(mind.wants, str):
        return mind
    made: PlanningMind = replaced(mind, "wants", world.goals[mind.wants])
    return made


def varying(minds: Sequence[Mind]) -> list[str]:
    """Returns the paths at which minds of a grid differ: as many parameters as choosing one of them fits."""
    if not all(isinstance(mind, PlanningMind) for mind in minds):
        return ["mind"] if len(minds) > 1 else []
    found: list[str] = []

    def visit(owners: Sequence[Any], path: str) -> None:
        kinds = {type(owner) for owner in owners}
        names = _fields(owners[0]) if len(kinds) == 1 else ()
        if not names or hasattr(owners[0], "_replace"):
            if any(_differs(owners[0], owner) for owner in owners[1:]):
                found.append(path)
            return
        for name in names:
            visit([getattr(owner, name) for owner in owners], f"{path}.{name}" if path else name)

    visit(list(minds), "")
    return found


def _differs(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return True
    from inscape.theory_of_mind.parts.wanting import fingerprint

    return bool(fingerprint(one) != fingerprint(other))
