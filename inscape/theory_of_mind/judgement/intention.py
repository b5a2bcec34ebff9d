"""Meant or accidental: would it have acted otherwise, had the effect been worth nothing to it?

An effect is intended if removing it from the utility changes the plan. Of a mind that chooses with probabilities, this
is the probability that its action would have been another, the share of P(action) that the effect accounts for:
1 − P(action without the effect) / P(action), at least 0. An effect that the mind does not expect (a false belief)
changes no plan, so that it is not meant.

Sources: Kleiman-Weiner, Gerstenberg, Levine & Tenenbaum (2015), "Inference of intent and moral permissibility in moral
decision making", CogSci; Halpern & Kleiman-Weiner (2018), "Towards formal definitions of blameworthiness, intention,
and moral responsibility", AAAI, section 4; the share: Pearl (2000), "Causality", section 9.2.1 (probability of
necessity of a cause that never prevents, an excess risk ratio).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array, Controller, check_controller
from inscape.theory_of_mind.mind_solver import MindOfParts, MindSolver
from inscape.theory_of_mind.minds import Mind, name_of
from inscape.theory_of_mind.observers.checks import check_minds, check_prior
from inscape.theory_of_mind.observers.interface import ImpossibleEvidenceError
from inscape.theory_of_mind.observers.numbering import Numbering
from inscape.theory_of_mind.parts.wanting import Caring, purpose_of
from inscape.theory_of_mind.planning_mind import PlanningMind
from inscape.theory_of_mind.player_view import view_of
from inscape.world_models.tabular.model import TabularModel

if TYPE_CHECKING:
    from inscape.envs.world import World

Effect = Callable[[Any, int, Any], float] | int


@dataclass(frozen=True, eq=False)
class Intention:
    """Whether an effect was meant.

    Attributes:
        probability: that it was meant: that without the effect the action would have been another.
        by_mind: `[G]` the same under each mind.
        weights: `[G]` P(mind | everything before, and the action).
    """

    probability: float
    by_mind: Array
    weights: Array


def intended(
    world: World,
    minds: Sequence[Mind],
    state: Any,
    action: int | str,
    effect: Effect,
    *,
    posterior: ArrayLike | None = None,
    player: int = 0,
) -> Intention:
    """Returns how likely an action was taken for the sake of an effect.

        intended(world, minds, state, "push", lambda s, a, after: after.vase == BROKEN, posterior=observer.posterior())
        intended(world, minds, state, "push", effect=0, player=1)     what happened to player 0

    Args:
        world: the world acted in, that can be enumerated.
        minds: `PlanningMind`s without memory.
        state: where it was done: the world's `State`, or its number.
        action: what was done, its number or name.
        effect: a function of (state, action, next state): True where the effect happens, and then the whole reward of
            that step, as the mind believes it to be, is taken away; or a number, what the effect adds to what the mind
            believes it gets, and then that is. In a world of several players: the number of another player, for whom
            the mind then no longer cares.
        posterior: `[G]` P(mind) before the action; None: each alike.
        player: whose action it was, where there are several.

    Raises:
        UsageError: minds that are not `PlanningMind`s without memory, or that filter; an effect that is neither;
            another thing that is not what it must be.
        ImpossibleEvidenceError: no mind takes the action in this state.
    """
    hypotheses = check_minds(minds)
    before = check_prior(posterior, hypotheses, getattr(minds, "prior", None))
    view = view_of(world, player)
    names = [str(name) for name in world.action_names]
    chosen = names.index(action) if isinstance(action, str) and action in names else action
    if isinstance(chosen, (bool, str)) or chosen not in range(len(names)):
        raise UsageError(f"action {action!r}", expected=f"one of {', '.join(names)}, or its number")
    s = int(Numbering(view).state_numbers(state, 0)[0])
    taken, without = np.zeros(len(hypotheses)), np.zeros(len(hypotheses))
    for g, mind in enumerate(hypotheses):
        found = check_controller(mind.controller(world, player), view, name_of(mind))
        if type(mind) is not PlanningMind or found.num_memories > 1 or found.partial:
            raise UsageError(
                f"whether the mind ({name_of(mind)}) meant it", expected="a PlanningMind that remembers nothing"
            )
        taken[g] = np.exp(found.log_probs[s, 0, chosen])
        other = _without(world, view, mind, effect, player)
        without[g] = np.exp(other.log_probs[s, 0, chosen])
    weights = before * taken
    if not weights.sum() > 0:
        raise ImpossibleEvidenceError(
            f"{names[int(chosen)]!r} in {world.unpack(world.dynamics().states, s)}, which no mind does there",
            expected="an action that some mind takes",
        )
    weights = weights / weights.sum()
    share = np.divide(without, taken, out=np.ones_like(taken), where=taken > 0)
    meant = np.clip(1.0 - share, 0.0, 1.0)
    return Intention(float(weights @ meant), meant, weights)


def _without(world: World, view: Any, mind: PlanningMind, effect: Effect, player: int) -> Controller:
    """Returns what the mind would do if the effect were worth nothing to it."""
    if isinstance(effect, (int, np.integer)) and not isinstance(effect, bool):
        if world.players == 1 or effect == player or effect not in range(world.players):
            raise UsageError(
                f"effect = {effect!r}", expected="the number of another player, or a function of (state, action, next)"
            )
        return _careless(mind, int(effect)).controller(world, player)
    if not callable(effect):
        raise UsageError(f"effect = {effect!r}", expected="a function of (state, action, next), or a player's number")
    if world.players > 1:
        raise UsageError(
            f"an effect on rewards in {world.name}, which has {world.players} players",
            expected="the number of the player to whom it happened",
        )
    believed = MindSolver(world, world.gamma).believed(mind)
    model = TabularModel.from_world(believed, purpose=purpose_of(believed, mind.wants, mind.name))
    reward, states = model.reward.copy(), believed.dynamics().states
    going = (model.probability > 0) & model.legal[:, :, None] & ~model.terminal[:, None, None]
    for s, a, k in np.argwhere(going).tolist():
        happens = effect(believed.unpack(states, s), a, believed.unpack(states, int(model.next_state[s, a, k])))
        whole = isinstance(happens, (bool, np.bool_)) and bool(happens)
        removed = reward[s, a, k] if whole else float(happens)
        reward[s, a, k] -= removed
    return _InModel(world, replace(model, reward=reward)).controller(mind)


def _careless(mind: PlanningMind, about: int) -> PlanningMind:
    """Returns the mind that does not care what happens to a player."""
    wants = mind.wants
    if not isinstance(wants, Caring):
        return mind
    kept = tuple((m, weight) for m, weight in wants.weights if m != about)
    wants = Caring(wants.goal, kept)
    return PlanningMind(
        wants=wants, believes=mind.believes, plans=mind.plans, chooses=mind.chooses, can=mind.can,
        others=None if mind.others is None else dict(mind.others) if isinstance(mind.others, tuple) else mind.others,
    )  # fmt: skip


class _InModel(MindSolver):
    """Solves minds that plan in a given model, whatever the world pays."""

    def __init__(self, world: World, model: TabularModel) -> None:
        super().__init__(world, world.gamma)
        self._given = model

    def _model(self, mind: MindOfParts, goal: Any) -> TabularModel:
        return self._given
