"""The built-in mind, made of parts: what it wants, what it believes, how it plans and chooses, what it can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array, Controller
from inscape.theory_of_mind.mind_solver import MindSolver
from inscape.theory_of_mind.parts.abilities import check_can, in_words
from inscape.theory_of_mind.parts.believing import Believes, Filtering, Learned, Params, Sees, check_believes
from inscape.theory_of_mind.parts.choosing import Best, Chooses, Proportional, Softmax, check_chooses
from inscape.theory_of_mind.parts.others import check_others
from inscape.theory_of_mind.parts.planning import BACKUPS as BACKUPS
from inscape.theory_of_mind.parts.planning import Backup, Planning
from inscape.theory_of_mind.parts.wanting import ByValue, Curious, InTurn, Switching
from inscape.theory_of_mind.parts.wanting import fingerprint as fingerprint
from inscape.theory_of_mind.player_view import view_of

if TYPE_CHECKING:
    from inscape.envs.world import World

_NOT_GIVEN: Any = object()


@dataclass(frozen=True, eq=False, init=False)
class PlanningMind(ByValue):
    """One hypothesis: an agent that plans for what it wants in what it believes, and chooses among the values.

        PlanningMind("north", 2.0, "soft-eval")                                 in short: goal, β, backup
        PlanningMind(InTurn(("key", "door")), plans=Planning("hard"), chooses=Best())
        PlanningMind("gold", 5.0, "hard", believes=Filtering(prior))            it does not see the state

    The short form is `believes=Params(params)` or `Sees()`, `plans=Planning(backup)`, `chooses=Softmax(beta)`.
    Two minds are equal when all parts are, tables in them compared by value.

    A mind that finds itself where its own episode would have ended, and goes on, is indifferent: uniform over what it
    can do. That happens when an agent walks over a goal it has been supposed to want. At β = 0, where the maximum-
    entropy backup has no finite values, the values are those of the uniform policy, which all backups share there.

    Args:
        goal, wants: what the mind wants, under either name.
        beta: rationality of `Softmax(beta)`.
        backup: that of `Planning(backup)`.
        params: those of `Params(params)`.
        sees: with `params`, or alone (`Sees()`).
        believes, plans, chooses, can, others: the parts, see the attributes.

    Raises:
        UsageError: a part is given twice or missing, or is not what it must be.

    Source: Baker, Saxe & Tenenbaum (2009), Action understanding as inverse planning, Cognition 113(3).
    """

    wants: Any
    """The name of one of the world's purposes, a `Purpose` of the world, `InTurn`, `Switching` or `Curious`."""
    believes: Believes | None
    """None: what it observes determines the state. `Sees()`, `Params(params)`,
    `Learned(model)`, `Filtering(prior)`."""
    plans: Planning
    """How it plans: `Planning(backup, horizon=None, discount=None, pays="arrival")`."""
    chooses: Chooses
    """How it chooses: `Softmax(beta, lapse=0.0)`, `Best()` or `Proportional(prior)`."""
    can: Any
    """What it can do, of what is legal: names of actions; `[A]` or `[S, A]` bool; a function of a `State` and the name
    of an action; None: everything."""
    others: Any
    """What it takes the other players to be: `Uniform()`, `LevelK(k)`, `Hierarchy(k, tau)`, or `{player: Mind}`; None:
    uniform, where there are others."""

    def __init__(
        self,
        goal: Any = _NOT_GIVEN,
        beta: Any = _NOT_GIVEN,
        backup: Any = _NOT_GIVEN,
        params: Any = None,
        sees: bool = False,
        *,
        wants: Any = _NOT_GIVEN,
        believes: Believes | None = None,
        plans: Planning | None = None,
        chooses: Chooses | None = None,
        can: Any = None,
        others: Any = None,
    ) -> None:
        if (goal is _NOT_GIVEN) == (wants is _NOT_GIVEN):
            found = "neither a goal nor wants" if goal is _NOT_GIVEN else "a goal and wants"
            raise UsageError(f"a mind with {found}", expected="one of them", hint="PlanningMind('north', 2.0, 'hard')")
        if goal is None or wants is None:
            raise UsageError("a mind that wants nothing", expected="a goal", hint="world.purpose; or Curious(weight)")
        if not isinstance(sees, bool):
            raise UsageError(f"sees is {sees!r}", expected="True or False")
        short = Params(params, sees) if params is not None else Sees() if sees else None
        if believes is not None and short is not None:
            raise UsageError("params or sees beside believes", expected="one of them", hint="Params(params, sees=True)")
        for name, given, part in (("backup", backup, plans), ("beta", beta, chooses)):
            if given is _NOT_GIVEN and part is None:
                raise TypeError(f"PlanningMind() missing 1 required argument: {name!r}, or the part it belongs to")
            if given is not _NOT_GIVEN and part is not None:
                raise UsageError(f"{name} = {given!r} beside {part}", expected="one of them")
        if plans is not None and not isinstance(plans, Planning):
            raise UsageError(f"plans = {plans!r}", expected="Planning(backup, horizon=None, …)")
        parts = {
            "wants": goal if wants is _NOT_GIVEN else wants,
            "believes": check_believes(believes) or short,
            "plans": Planning(backup) if plans is None else plans,
            "chooses": Softmax(beta) if chooses is None else check_chooses(chooses),
            "can": check_can(can),
            "others": check_others(others),
        }
        for name, part in parts.items():
            object.__setattr__(self, name, part)
        if isinstance(self.wants, Curious) and not isinstance(self.believes, Filtering):
            raise UsageError(
                "a curious mind that does not filter", expected="believes=Filtering(prior): it is uncertain"
            )
        if isinstance(self.wants, (InTurn, Switching)) and isinstance(self.believes, Filtering):
            raise UsageError(
                f"{type(self.wants).__name__} with Filtering", expected="one goal for a mind that remembers a belief"
            )

    @property
    def goal(self) -> Any:
        """What it wants."""
        return self.wants

    @property
    def beta(self) -> float:
        """Rationality, per unit of reward; infinite for `Best`, NaN for `Proportional`."""
        if isinstance(self.chooses, Proportional):
            return float("nan")
        return np.inf if isinstance(self.chooses, Best) else self.chooses.beta

    @property
    def backup(self) -> Backup:
        """How values are backed up."""
        return self.plans.backup

    @property
    def params(self) -> Any:
        """The dynamics it believes in, a `Params` of the world or `Learned`; None: the true ones."""
        return getattr(self.believes, "params", None)

    @property
    def sees(self) -> bool:
        """The mind knows the whole state even where the world hides it."""
        return isinstance(self.believes, Sees) or (isinstance(self.believes, (Learned, Params)) and self.believes.sees)

    @property
    def name(self) -> str:
        """The mind in a few words, for legends and messages."""
        can = "" if self.can is None else f", able to {in_words(self.can)}"
        believes = "" if self.believes is None else f", {self.believes}"
        others = "" if self.others is None else f", {_others_in_words(self.others)}"
        return f"{self.wants}, {self.chooses}, {self.plans}{believes}{can}{others}"

    def controller(self, world: World, player: int = 0) -> Controller:
        """Returns what the mind does in each state of `world`, planning with the world's discount.

        Its memory is the goal it pursues (`InTurn`, `Switching`) or its belief (`Filtering`), else it has none.

        Raises:
            MissingLawError: the world cannot be enumerated.
            UsageError: the mind wants what the world has no purpose for, or believes in dynamics that do not know a
                state of the world; can do nothing in a state; or `player` is not a player of the world.
        """
        return MindSolver(view_of(world, player), world.gamma).controller(self)

    def action_values(self, world: World, gamma: float | None = None, player: int = 0) -> Array:
        """Returns the mind's Q, in reward units: −inf for actions it takes to be illegal, 0 once arrived.

        `[S, A]`, or `[W, S, A]` for a mind with W goals, or `[B, A]` for one with B beliefs.

        Args:
            world: the world acted in.
            gamma: the discount it plans with, where it has none of its own; None: the world's.
            player: as which player.

        Raises:
            MissingLawError, UsageError: as `controller`.
        """
        return MindSolver(view_of(world, player), world.gamma if gamma is None else gamma).action_values(self)


def _others_in_words(others: Any) -> str:
    if isinstance(others, tuple):
        return "; ".join(f"player {p} ({getattr(mind, 'name', type(mind).__name__)})" for p, mind in others)
    return str(others)
