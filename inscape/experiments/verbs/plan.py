"""`inscape.plan`: what to do in a state, by searching a world or a model of it."""

from __future__ import annotations

import dataclasses
from typing import Any, overload

import numpy as np

from inscape.envs.law.states import States
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.world import World
from inscape.errors import (
    MissingLawError,
    PartialObservationError,
    UsageError,
    whole_number,
)
from inscape.experiments.runs.evaluation import hides_state
from inscape.experiments.verbs.given import shown
from inscape.world_models.interface import require_model
from inscape.world_models.known import KnownModel
from inscape.world_models.planning.catalogue import default_planner, make_planner
from inscape.world_models.planning.interface import Plan, Planner, Plans
from inscape.world_models.planning.tree_search.uct import UCT

SIMULATIONS = 1000
START, SEARCH = 0, 3
"""Which random stream of a seed draws the start state, and which the search."""


@overload
def plan(
    world: Any, state: States, planner: str | type[Planner] | Planner | None = None, *,
    num_simulations: int | None = None, gamma: float | None = None, seed: int = 0, full_information: bool = False,
    network: Any = None, model: Any = None, **settings: Any,
) -> Plans: ...  # fmt: skip


@overload
def plan(
    world: Any, state: Any = None, planner: str | type[Planner] | Planner | None = None, *,
    num_simulations: int | None = None, gamma: float | None = None, seed: int = 0, full_information: bool = False,
    network: Any = None, model: Any = None, **settings: Any,
) -> Plan: ...  # fmt: skip


def plan(
    world: Any,
    state: Any = None,
    planner: Any = None,
    *,
    num_simulations: int | None = None,
    gamma: float | None = None,
    seed: int = 0,
    full_information: bool = False,
    network: Any = None,
    model: Any = None,
    **settings: Any,
) -> Plan | Plans:
    """Searches from a state and returns the plan: action, its name, what each action is worth.

        plan("FrozenLake8x8")
        plan(MyWorld(), MyWorld.State(row=2, column=0), num_simulations=5000)
        plan(world, state, planner=UCT(num_simulations=500, gamma=0.95))

    Args:
        world: a name, a world or its class, an environment of one; or a model: a `TabularModel`, a learned one.
        state: one state: the world's `State`, a dictionary of its fields, an observation that determines it, or a
            number of a model's states; None for an initial state. Packed `States`, a list, or `[B]` numbers are a
            batch, and `Plans` are returned.
        planner: a name (`planner_names()`: `"uct"`, `"value-iteration"`, …; or `file.py:Class`), a planner or its
            class: anything with `plan(model, states, rng)`. None: the first that suits the model's actions.
        num_simulations: simulations of a planner that is made here and has them; 1,000 by default.
        gamma: its discount; None for the world's.
        seed: of the search, and of the initial state where none is given. The same seed gives the same plan.
        full_information: plan in a world that hides its state, as one who sees it. Planners that begin in beliefs
            ("pomcp", "active-inference") need none: they know what one knows who observes the state as the first.
        network: an agent or a run whose network values states and proposes actions, for a search that takes a prior
            (`"gumbel"`, the default then, or `"puct"`): `alphazero`'s, or of one player that of `ppo`, `a2c`, ….
        model: plan in this model of the world instead of in its law: a world model in hand, a run of one or its folder,
            or a name (`"tabular"`), of which one is learned from 20,000 random steps. States are then observations.
        settings: further settings of the planner, by name (of `UCT`, say `exploration=2.0`).

    Raises:
        UsageError: no world, state or planner of this kind; the state is terminal; an unknown setting (a `TypeError`
            too).
        MissingLawError: an environment without a law.
        PartialObservationError: the world hides its state.
    """
    seed = whole_number("seed", seed)
    if model is not None:
        return _plan_in_learned(world, state, planner, model, num_simulations, gamma, seed, settings)
    model = model_of(world)
    known = model.world if isinstance(model, KnownModel) else model if isinstance(model, World) else None
    discount = gamma if gamma is not None else 0.99 if known is None else known.gamma
    evaluate = None
    if network is not None:
        from inscape.experiments.verbs.network import evaluate_of  # imports Numba: a third of a second

        evaluate = evaluate_of(network, known)
    if planner is None:
        planner = default_planner(model.action_space) if network is None else "gumbel"
    made = planner_of(planner, num_simulations, discount, gamma is not None, settings)
    if known is not None:
        _require_seen(known, full_information or getattr(made, "begins_in_beliefs", False))
    if state is None:
        state = start_of(model, seed)
        one = True
    else:
        state, one = _states(model, known, state)
    if evaluate is not None and isinstance(made, UCT):
        raise UsageError(
            "the network of an agent for uct, which takes no prior over actions", expected="a search that takes one",
            hint='planner="gumbel" or "puct"',
        )  # fmt: skip
    rng = np.random.default_rng([seed, SEARCH])
    plans = made.plan(model, state, rng) if evaluate is None else made.plan(model, state, rng, evaluate)
    if not isinstance(plans, Plans):
        raise UsageError(
            f"plan of {shown(planner)} returned {type(plans).__name__}", expected="Plans, one for each state"
        )
    plans = with_names(plans, known.action_names if known is not None and not known.continuous else ())
    return plans[0] if one else plans


def _plan_in_learned(
    world: Any, observations: Any, planner: Any, given: Any, num_simulations: int | None, gamma: float | None,
    seed: int, settings: dict[str, Any],
) -> Plan | Plans:  # fmt: skip
    """Returns plans at observations of a world, made in a model of it."""
    from inscape.envs.tasks.resolve import as_task
    from inscape.experiments.verbs.models import first_observation, model_given

    model, task = model_given(given, as_task(world), seed=seed)
    one = True
    if observations is None:
        _, rows = first_observation(task, np.random.default_rng([seed, START]))
    elif isinstance(observations, States):
        raise UsageError("states of the world with model=", expected="observations", hint="world.observe(states)")
    else:
        rows = np.asarray(observations)
        one = rows.ndim == len(task.observation_space.shape or ())
        rows = rows[None] if one else rows
    states = model.init(rows)
    model = model.tabular() if callable(getattr(model, "tabular", None)) else model
    if planner is None:
        planner = getattr(model, "default_planner", None) or default_planner(model.action_space)
    discount = gamma if gamma is not None else 0.99 if task.world is None else task.world.gamma
    made = planner_of(planner, num_simulations, discount, gamma is not None, settings)
    plans = made.plan(model, states, np.random.default_rng([seed, SEARCH]))
    plans = with_names(plans, task.action_names if len(task.action_names) else ())
    return plans[0] if one else plans


def _states(model: Any, known: World | None, given: Any) -> tuple[Any, bool]:
    """Returns the states that are given, as a planner takes them, and whether one was given by itself."""
    if isinstance(given, States):
        return given, False
    if known is None:  # states of a model's own kind: a batch has a length
        return given, np.ndim(given) == 0 if isinstance(given, np.ndarray) else not hasattr(given, "__len__")
    seen = np.asarray(given) if isinstance(given, (int, np.integer, np.ndarray)) else None
    if seen is not None and seen.dtype.kind in "iufb":  # observations, as an environment gives them
        axes = len(known.observation_space.shape or ())
        if seen.ndim in (axes, axes + 1):
            return known.states_of(seen), seen.ndim == axes
    return known.as_states(given), not isinstance(given, (list, np.ndarray))


def with_names(plans: Plans, names: tuple[str, ...]) -> Plans:
    """Returns plans whose actions have names, where there are any."""
    return dataclasses.replace(plans, action_names=names) if names else plans


def model_of(given: Any) -> Any:
    """Returns what a planner is given for a world, a model, or what stands for a world.

    Raises:
        UsageError: it is neither.
        MissingLawError: an environment without a law.
    """
    if isinstance(given, (World, KnownModel)):
        return given
    if not isinstance(given, (str, type)) and hasattr(given, "num_players") and hasattr(given, "step"):
        require_model(given, "plan")
        return given
    task = resolve_task(given) if isinstance(given, str) else _task(given)
    if task.world is None:
        raise MissingLawError(
            f"{task.name} has no law to plan with",
            expected="a world, or a model learned from its episodes",
            hint="LearnedTabularModel.for_task(task).fit(episodes); TabularModel.from_arrays(env.unwrapped.P) where it "
            "has one; or an agent that needs no model: train('ppo', …)",
        )
    return task.world


def _task(given: Any) -> Any:
    from inscape.envs.tasks.resolve import as_task

    return as_task(given)


def _require_seen(world: World, full_information: bool) -> None:
    if world.simultaneous:
        raise UsageError(
            f"the players of {world.name} act at once, and the search lets one act at a time",
            expected="a world of one player, or of players who move in turn",
            hint="plan('TicTacToe')",
        )
    if not full_information and not world.continuous and hides_state(world):
        raise PartialObservationError(
            f"an agent in {world.name} does not see its state, and a plan begins in a state",
            expected="a world whose observation determines its state",
            hint="planner='pomcp', which plans with what is known; full_information=True, to plan as one who sees it",
        )


def planner_of(
    given: Any, num_simulations: int | None, gamma: float, gamma_given: bool, settings: dict[str, Any]
) -> Any:
    """Returns a planner: made of a name or a class, or the one in hand.

    Raises:
        UsageError: no such planner, or an unknown setting; or settings for one that is made already.
    """
    if num_simulations is not None:
        num_simulations = whole_number("num_simulations =", num_simulations, 1)
    if isinstance(given, (str, type)):
        own = settings if num_simulations is None else {**settings, "num_simulations": num_simulations}
        if gamma_given:
            own = {**own, "gamma": gamma}
        return make_planner(given, {"num_simulations": SIMULATIONS, "gamma": gamma}, **own)
    if not callable(getattr(given, "plan", None)):
        raise UsageError(
            f"{shown(given)} as a planner",
            expected="uct, a planner or its class: plan(self, model, states, rng) -> Plans",
        )
    changed = [
        *settings,
        *(["num_simulations"] if num_simulations is not None else []),
        *(["gamma"] if gamma_given else []),
    ]
    if changed:
        raise UsageError(
            f"{changed[0]} for a planner that is made already", expected="its class, or one made with that",
            hint=f"{type(given).__name__}({changed[0]}=…)",
        )  # fmt: skip
    return given


def start_of(model: Any, seed: int) -> Any:
    """Returns an initial state, as a batch of one.

    Raises:
        UsageError: a model that does not know its initial states.
    """
    rng = np.random.default_rng([seed, START])
    world = model.world if isinstance(model, KnownModel) else model
    if isinstance(world, World):
        return world.sample_initial(1, rng)
    initial = getattr(model, "initial", None)
    if isinstance(initial, np.ndarray) and initial.ndim == 1:
        return rng.choice(len(initial), 1, p=initial)
    raise UsageError(
        f"no state for {type(model).__name__}", expected="plan(model, state)", hint="model.init(observations)"
    )
