"""Minds without a part: what a part is good for shows in how much worse people are predicted without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inscape.errors import UsageError, closest
from inscape.theory_of_mind.fitting.features import PARTS
from inscape.theory_of_mind.minds import Mind, identity_of
from inscape.theory_of_mind.parts.believing import Filtering, Params, Sees
from inscape.theory_of_mind.parts.choosing import Softmax
from inscape.theory_of_mind.parts.planning import Hyperbolic
from inscape.theory_of_mind.parts.wanting import Caring, Curious, InTurn, Switching, goals_of
from inscape.theory_of_mind.planning_mind import PlanningMind

if TYPE_CHECKING:
    from inscape.envs.world import World


def lesions(minds: Sequence[Mind], world: World, parts: Sequence[str] | None = None) -> dict[str, list[Mind]]:
    """Returns minds without one of their parts, by the lesion's name, for `compare_minds`.

    - `beliefs`: they know the state and the dynamics (TrueBelief of Baker et al. 2017).
    - `costs`: what every field of the purpose that is called a cost says counts nothing (NoCost).
    - `planning`: they look one step ahead.
    - `discounting`: exponential discounts in place of hyperbolic ones.
    - `switching`: one goal, kept.
    - `others`: the other players are taken to act at random; `caring`: they do not care what these get.
    - `curiosity`: knowing is worth nothing by itself.
    - `lapses`: no lapses of attention. `limits`: they can do all that is legal.

    Args:
        minds: `PlanningMind`s; others stay as they are.
        world: what they act in.
        parts: which lesions; None: all that change a mind.

    Raises:
        UsageError: no such lesion, or one that changes no mind.

    Source: Baker, Jara-Ettinger, Saxe & Tenenbaum (2017), Nature Human Behaviour 1, 0064, where lesioned models are
        compared.
    """
    wrong = next((part for part in parts or () if part not in LESIONS), None)
    if wrong is not None:
        raise UsageError(f"the lesion {wrong!r}", expected=", ".join(LESIONS), hint=closest(wrong, LESIONS))
    found: dict[str, list[Mind]] = {}
    for name, without in LESIONS.items():
        if parts is not None and name not in parts:
            continue
        made: dict[Any, Mind] = {}
        changed = False
        for mind in minds:
            lesioned = without(mind, world) if isinstance(mind, PlanningMind) else [mind]
            changed = changed or any(other != mind for other in lesioned) or len(lesioned) != 1
            for other in lesioned:
                made.setdefault(identity_of(other), other)
        if changed:
            found[name] = list(made.values())
        elif parts is not None:
            raise UsageError(f"the lesion {name!r} changes none of the minds", expected="a part that one of them has")
    return found


def _with(mind: PlanningMind, **parts: Any) -> list[PlanningMind]:
    return [PlanningMind(**{name: parts.get(name, getattr(mind, name)) for name in PARTS})]


def _beliefs(mind: PlanningMind, world: World) -> list[PlanningMind]:
    if not isinstance(mind.believes, (Filtering, Params)):
        return [mind]
    wants = mind.wants.goal if isinstance(mind.wants, Curious) and mind.wants.goal is not None else mind.wants
    return _with(mind, believes=Sees(), wants=world.purpose if isinstance(wants, Curious) else wants)


def _costs(mind: PlanningMind, world: World) -> list[PlanningMind]:
    costs = [name for name in world.Purpose._fields if "cost" in name]  # type: ignore[attr-defined]

    def free(goal: Any) -> Any:
        purpose = world.goals[goal] if isinstance(goal, str) else goal
        return goal if purpose is None else purpose._replace(**dict.fromkeys(costs, 0.0))

    if not costs or (isinstance(mind.wants, Curious) and mind.wants.goal is None):
        return [mind]
    wants = mind.wants
    if isinstance(wants, (InTurn, Switching)):
        wants = replace(wants, goals=tuple(map(free, wants.goals)))
    elif isinstance(wants, (Curious, Caring)):
        wants = replace(wants, goal=free(wants.goal))
    else:
        wants = free(wants)
    return _with(mind, wants=wants)


def _planning(mind: PlanningMind, world: World) -> list[PlanningMind]:
    return _with(mind, plans=replace(mind.plans, horizon=1)) if mind.plans.horizon != 1 else [mind]


def _discounting(mind: PlanningMind, world: World) -> list[PlanningMind]:
    return (
        _with(mind, plans=replace(mind.plans, discount=None)) if isinstance(mind.plans.discount, Hyperbolic) else [mind]
    )


def _switching(mind: PlanningMind, world: World) -> list[PlanningMind]:
    if not isinstance(mind.wants, Switching):
        return [mind]
    return [_with(mind, wants=goal)[0] for goal in goals_of(mind.wants)]


def _others(mind: PlanningMind, world: World) -> list[PlanningMind]:
    return [mind] if mind.others is None else _with(mind, others=None)


def _caring(mind: PlanningMind, world: World) -> list[PlanningMind]:
    return _with(mind, wants=mind.wants.goal) if isinstance(mind.wants, Caring) else [mind]


def _curiosity(mind: PlanningMind, world: World) -> list[PlanningMind]:
    goal = mind.wants.goal if isinstance(mind.wants, Curious) else None
    return [mind] if goal is None else _with(mind, wants=goal)


def _lapses(mind: PlanningMind, world: World) -> list[PlanningMind]:
    if not isinstance(mind.chooses, Softmax) or not mind.chooses.lapse:
        return [mind]
    return _with(mind, chooses=Softmax(mind.chooses.beta))


def _limits(mind: PlanningMind, world: World) -> list[PlanningMind]:
    return [mind] if mind.can is None else _with(mind, can=None)


LESIONS: dict[str, Callable[[PlanningMind, Any], list[PlanningMind]]] = {
    "beliefs": _beliefs, "costs": _costs, "planning": _planning, "discounting": _discounting, "switching": _switching,
    "others": _others, "caring": _caring, "curiosity": _curiosity, "lapses": _lapses, "limits": _limits,
}  # fmt: skip
"""What can be taken away."""
