"""Helping or hindering: what somebody does about the goal of another, inferred from what both do.

Source: Ullman, Baker, Macindoe, Evans, Goodman & Tenenbaum (2009), "Help or hinder: Bayesian models of social goal
inference", NeurIPS: a social goal is a weight ρ of the other's reward, positive for helping, negative for hindering;
goal and weight are inferred together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind.controllers import Array, Controller, check_world
from inscape.theory_of_mind.mind_solver import MindSolver
from inscape.theory_of_mind.observers.checks import check_prior
from inscape.theory_of_mind.observers.interface import ImpossibleEvidenceError
from inscape.theory_of_mind.observers.numbering import Numbering
from inscape.theory_of_mind.parts.choosing import Softmax
from inscape.theory_of_mind.parts.planning import Planning
from inscape.theory_of_mind.parts.wanting import Caring
from inscape.theory_of_mind.planning_mind import PlanningMind
from inscape.theory_of_mind.player_view import view_of

if TYPE_CHECKING:
    from inscape.envs.world import World


@dataclass(frozen=True, eq=False)
class Stance:
    """What an actor does about the other's goal.

    Attributes:
        helps, hinders, ignores: probabilities that the weight of the other's reward is above, below, or 0.
        goals: `{goal: P}` of the other.
        weights: the W weights, and
        joint: `[G, W]` P(goal of the other, weight of the actor | what both did).
    """

    helps: float
    hinders: float
    ignores: float
    goals: dict[Any, float]
    weights: tuple[float, ...]
    joint: Array


def helping_or_hindering(
    world: World,
    steps: Any,
    actor: int,
    *,
    goals: Sequence[Any] | None = None,
    weights: Sequence[float] = (1.0, 0.0, -1.0),
    beta: float = 5.0,
    prior: ArrayLike | None = None,
    watched: str = "both",
) -> Stance:
    """Returns how likely an actor helps, hinders or ignores the other player.

        helping_or_hindering(world, rollout(agents, world, 1, 0)[0], actor=1).helps

    The other chooses by exp(β·Q) for its goal, taking the actor to act at random; the actor by exp(β·Q) for its own
    reward and `weight` times the other's, expecting the other to act so. With weight 0 it follows its own reward alone.

    Args:
        world: a world of two players who act at the same time, that can be enumerated.
        steps: a trajectory, or `[(state, (action of player 0, of player 1))]`; actions as numbers or names.
        actor: who is judged.
        goals: what the other may want, names or purposes; None: all that the world names, or its own purpose.
        weights: weights of the other's reward that the actor may have.
        beta: rationality of both, per unit of reward.
        prior: `[G · W]` weights of (goal, weight), the goals slowest; None: each alike.
        watched: whose actions count as evidence: `"both"`, or `"actor"` alone.

    Raises:
        MissingLawError: not two players, or they move in turn.
        UsageError: no such player; no goals or weights; steps that are none; a prior that is none.
        ImpossibleEvidenceError: what was done is not legal.
    """
    check_world(world)
    if world.players != 2 or not world.simultaneous:
        raise MissingLawError(
            f"helping in {world.name}", expected="a world of two players who act at the same time",
            hint="HelperHinderer, DoorHelper",
        )  # fmt: skip
    if isinstance(actor, bool) or actor not in (0, 1):
        raise UsageError(f"actor = {actor!r}", expected="0 or 1")
    if watched not in ("both", "actor"):
        raise UsageError(f"watched = {watched!r}", expected="'both' or 'actor'")
    wanted = list(goals if goals is not None else world.goals or [world.purpose])
    sizes = [_finite(weight) for weight in weights]
    if not wanted or not sizes:
        raise UsageError("no goals or no weights", expected="at least one of each")
    numbers, actions = _numbered(world, steps)
    plans, chooses, other = Planning("hard"), Softmax(beta), 1 - actor
    solver_of = [MindSolver(view_of(world, player), world.gamma) for player in range(2)]
    log = np.zeros((len(wanted), len(sizes)))
    for g, goal in enumerate(wanted):
        helped = PlanningMind(wants=goal, plans=plans, chooses=chooses)
        theirs = solver_of[other].controller(helped)
        known = _Known(theirs, str(goal))
        seen = theirs.log_probs[numbers, 0, actions[:, other]].sum() if watched == "both" else 0.0
        for w, weight in enumerate(sizes):
            mind = PlanningMind(
                wants=Caring(goal, ((other, weight),)), plans=plans, chooses=chooses, others={other: known}
            )
            log[g, w] = seen + solver_of[actor].controller(mind).log_probs[numbers, 0, actions[:, actor]].sum()
    hypotheses = tuple(f"{goal}, {weight}" for goal in wanted for weight in sizes)
    before = check_prior(prior, hypotheses)  # type: ignore[arg-type]
    with np.errstate(divide="ignore"):
        log = log + np.log(before).reshape(log.shape)
    if not np.isfinite(log).any():
        raise ImpossibleEvidenceError("no goal and no weight allows what was done", expected="legal actions")
    joint = np.exp(log - log.max())
    joint /= joint.sum()
    by_weight, sign = joint.sum(axis=0), np.sign(sizes)
    helps, hinders, ignores = (float(by_weight[sign == which].sum()) for which in (1, -1, 0))
    by_goal = {goal: float(p) for goal, p in zip(wanted, joint.sum(axis=1))}
    return Stance(helps, hinders, ignores, by_goal, tuple(sizes), joint)


@dataclass(frozen=True, eq=False)
class _Known:
    """A mind whose controller is known."""

    found: Controller
    name: str

    def controller(self, world: World, player: int = 0) -> Controller:
        return self.found


def _finite(weight: Any) -> float:
    number = isinstance(weight, (int, float, np.number)) and not isinstance(weight, bool)
    if not (number and np.isfinite(weight)):
        raise UsageError(f"weight {weight!r}", expected="a finite number: positive helps, negative hinders")
    return float(weight)


def _numbered(world: World, steps: Any) -> tuple[Array, Array]:
    """Returns `([T] state numbers, [T, 2] action numbers)`."""
    numbering = Numbering(world)
    if hasattr(steps, "actions"):
        if steps.states is None:
            raise UsageError("a trajectory without states", expected="one recorded in a world with a law")
        actions = np.asarray(steps.actions)
        return numbering.state_numbers(steps.states, 0)[: len(actions)], actions.reshape(-1, 2)
    names = [str(name) for name in world.action_names]
    numbers, taken = [], []
    for t, step in enumerate(steps):
        if not isinstance(step, tuple) or len(step) != 2 or np.size(step[1]) != 2:
            raise UsageError(f"step {t}: {step!r}", expected="(state, (action of player 0, action of player 1))")
        state, joint = step
        numbers.append(int(numbering.state_numbers(state, t)[0]))
        for action in joint:
            known = names.index(action) if action in names else action
            if isinstance(known, bool) or known not in range(len(names)):
                raise UsageError(f"step {t}: action {action!r}", expected=", ".join(names))
            taken.append(int(known))
    return np.array(numbers, np.int64), np.array(taken, np.int64).reshape(-1, 2)
