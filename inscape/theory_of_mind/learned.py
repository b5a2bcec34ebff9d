"""Worlds whose dynamics are those of a learned model: what observers filter with, and what minds plan in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.envs.law.law import TablesInstead
from inscape.envs.readers.enumeration import Enumeration
from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array, check_world
from inscape.world_models.tabular.model import TabularModel, observation_keys

if TYPE_CHECKING:
    from inscape.envs.world import World

SUM_TOLERANCE = 1e-6


def learned_dynamics(world: World, model: Any) -> World:
    """Returns `world` with P(s' | s, a) of a model in place of its law, for observers and minds.

    States, legal actions, observations, purposes and the first state's distribution stay the world's. An action that
    the model has not seen in a state is taken to stay there, as it is in every state the model does not know. Whatever
    enumerates the world reads the model (`dynamics()`, `TabularModel.from_world`, `Observer`, `ParticleObserver`);
    episodes that are played and searches that simulate still follow the law.

        model = LearnedTabularModel.for_task(world)
        model.fit(episodes)
        Observer(world, minds, dynamics=model)              the same as Observer(learned_dynamics(world, model), minds)

    Args:
        world: of one player, that can be enumerated.
        model: a `LearnedTabularModel`, a `TabularModel` or another model with `tabular()`; or one of numbered states
            with `init` and `outcomes`. A table without observations has the states of `world.dynamics()`, in order.
            Where a model's task is over, it knows of no way on: minds with other goals are taken to stay there too.

    Raises:
        UsageError: several players; another number of actions or states; a model that cannot list outcomes, knows
            several states only by what they look alike by, is optimistic about what it does not know, or leads to what
            is no state of the world (naming state and action).
        MissingLawError: the world cannot be enumerated.
    """
    check_world(world)
    if world.players != 1:
        raise UsageError(f"learned dynamics of {world.name}, which has {world.players} players", expected="one player")
    law, table = world.dynamics(), tables_of(model)
    actions = getattr(table, "num_actions", None) or int(table.action_space.n)
    if actions != world.num_actions:
        raise UsageError(f"a model of {actions} actions", expected=f"{world.num_actions}, as {world.name} has")
    number = _numbers_of_states(world, table)
    known = np.flatnonzero(_occurring_once(number))
    next_state, probability = _outcomes(table, number[known], actions)
    place = {int(n): int(s) for n, s in zip(number[known], known)}
    target = np.array([place.get(n, -1) for n in next_state.ravel().tolist()], np.int64).reshape(next_state.shape)
    _check_rows(world, law, known, target, probability)
    used = (probability > 0) & law.legal[known][:, :, None]
    here, taken, _ = np.nonzero(used)
    staying = _staying(law, known)
    rows = np.concatenate([known[here] * actions + taken, staying])
    into = np.concatenate([target[used], staying // actions])
    mass = np.concatenate([probability[used], np.ones(len(staying))])
    tables = _packed(law, rows, into, mass)
    return world._with(_shared=TablesInstead(tables))


def is_learned(world: Any) -> bool:
    """Returns whether the tables of a world are those of a model."""
    return isinstance(getattr(world, "_shared", None), TablesInstead)


def tables_of(model: Any) -> Any:
    """Returns the tables of a model; or the model, where it lists outcomes of numbered states itself.

    Raises:
        UsageError: it can do neither; or is optimistic: what it promises is no state of the world.
    """
    if isinstance(model, type) or not (callable(getattr(model, "tabular", None)) or _lists_outcomes(model)):
        raise UsageError(
            f"{model!r} as learned dynamics",
            expected="a model with tabular(), or with init and outcomes over numbered states",
            hint="LearnedTabularModel.for_task(world), fitted on episodes",
        )
    if getattr(getattr(model, "settings", None), "unknown", "") == "optimistic":
        raise UsageError(
            "an optimistic model as learned dynamics: what it does not know leads to no state of the world",
            expected="TabularModelSettings(unknown='pessimistic')",
        )
    return model.tabular() if callable(getattr(model, "tabular", None)) else model


def _lists_outcomes(model: Any) -> bool:
    return all(callable(getattr(model, name, None)) for name in ("init", "outcomes"))


def _numbers_of_states(world: World, table: Any) -> Array:
    """Returns `[S]` which state of the model each state of the world is."""
    law = world.dynamics()
    if isinstance(table, TabularModel) and table.observations is None:
        if len(table) != len(law):
            raise UsageError(
                f"a model of {len(table)} states that does not know how they look",
                expected=f"{len(law)}, those of world.dynamics(); or a model that knows observations",
            )
        return np.arange(len(law))
    observations = world.observe(law.states)
    keys = observation_keys(observations)
    if len(set(keys)) < len(keys):
        first: dict[bytes, int] = {}
        one, same = next((first[k], s) for s, k in enumerate(keys) if first.setdefault(k, s) != s)
        raise UsageError(
            f"a model of what is observed in {world.name}, where {world.unpack(law.states, one)} and "
            f"{world.unpack(law.states, same)} look alike",
            expected="a model of the states: TabularModel.from_arrays, numbered as in world.dynamics()",
        )
    numbers = np.asarray(table.init(observations))
    if numbers.dtype.kind not in "iu" or numbers.shape != (len(law),):
        raise UsageError(
            f"a model whose states are {numbers.dtype} of shape {numbers.shape}",
            expected=f"numbers, [{len(law)}]: one for each state of {world.name}",
        )
    return numbers


def _occurring_once(numbers: Array) -> Array:
    """Returns `[S]` bool: the model knows the state, for what it does not know is all one number."""
    _, place, count = np.unique(numbers, return_inverse=True, return_counts=True)
    return np.asarray(count[place.ravel()] == 1)


def _outcomes(table: Any, states: Array, actions: int) -> tuple[Array, Array]:
    """Returns `[N, A, K]` successors and their probabilities."""
    if isinstance(table, TabularModel):
        return table.next_state[states].astype(np.int64), table.probability[states]
    listed = table.outcomes(np.repeat(states, actions), np.tile(np.arange(actions), len(states)))
    probability, following = np.asarray(listed[0], np.float64), np.asarray(listed[1])
    if following.dtype.kind not in "iu" or probability.ndim != 2 or following.size != probability.size:
        raise UsageError(
            f"outcomes of shape {probability.shape} that lead to {following.dtype} of shape {following.shape}",
            expected="probabilities [B, K] and [B·K] state numbers",
        )
    shape = len(states), actions, -1
    return following.reshape(shape).astype(np.int64), probability.reshape(shape)


def _check_rows(world: World, law: Enumeration, known: Array, target: Array, probability: Array) -> None:
    """Raises UsageError where a legal action leads nowhere, or its probabilities are none."""
    with np.errstate(invalid="ignore"):
        odd = ~np.isfinite(probability).all(axis=2) | (probability < 0).any(axis=2)
        odd |= np.abs(probability.sum(axis=2) - 1) > SUM_TOLERANCE
    away = ((target < 0) & (probability > 0)).any(axis=2)
    for wrong, what, expected in (
        (odd, "has probabilities that are none", "0 or more, summing to one"),
        (away, "leads to what is no state of the world it knows", "transitions between states of the world"),
    ):
        wrong &= law.legal[known]
        if wrong.any():
            n, a = np.argwhere(wrong)[0]
            raise UsageError(
                f"a model in which {world.action_names[a]!r} in {world.unpack(law.states, int(known[n]))} {what}",
                expected=expected,
                hint="fit it on episodes of this world, with the same settings",
            )


def _staying(law: Enumeration, known: Array) -> Array:
    """Returns rows s·A + a that stay: of states the model does not know, and of illegal actions."""
    stays = ~law.legal
    unknown = np.ones(len(law), np.bool_)
    unknown[known] = False
    stays[unknown] = True
    return np.flatnonzero(stays)


def _packed(law: Enumeration, rows: Array, into: Array, mass: Array) -> Enumeration:
    """Returns the tables of flows: `mass` of row s·A + a goes to state `into`; those to the same state are summed."""
    size, actions = law.legal.shape
    pairs, place = np.unique(rows * size + into, return_inverse=True)
    summed = np.bincount(place.ravel(), weights=mass)
    row, target = pairs // size, pairs % size
    total = np.bincount(row, weights=summed, minlength=size * actions)
    column = np.arange(len(row)) - np.searchsorted(row, row)
    width = int(column.max()) + 1
    next_state = np.repeat(np.arange(size, dtype=np.int32), actions * width).reshape(size * actions, width)
    probability = np.zeros((size * actions, width))
    next_state[row, column] = target
    probability[row, column] = summed / total[row]
    shape = size, actions, width
    return Enumeration(law.states, next_state.reshape(shape), probability.reshape(shape), law.legal, law.initial)
