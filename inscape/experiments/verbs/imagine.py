"""`inscape.imagine`: what would follow from each of some actions, under the same random numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from inscape import html
from inscape.agents.registry import make_agent
from inscape.agents.vector_actor import VectorActor
from inscape.envs.data.trajectory import Trajectory
from inscape.envs.law.states import States
from inscape.envs.tasks.resolve import as_task
from inscape.errors import UsageError, closest, whole_number
from inscape.experiments.verbs.plan import model_of
from inscape.world_models.interface import as_numpy
from inscape.world_models.known import KnownModel, as_model

STEP, END = 0, 1
"""Which random stream of a seed and a step draws successors, and which whether the task ends there."""

Policy = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Imagined(Mapping[str, Trajectory]):
    """What would follow: a `Trajectory` for each alternative, by name.

    Attributes:
        trajectories: the first imagined future of each alternative.
        returns: for each alternative `[N]` undiscounted returns of its N futures; number n of all alternatives met the
            same random numbers.
        lengths: for each `[N]` steps until the end, or the horizon.
    """

    trajectories: Mapping[str, Trajectory]
    returns: Mapping[str, np.ndarray]
    lengths: Mapping[str, np.ndarray]

    def __getitem__(self, name: str) -> Trajectory:
        return self.trajectories[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.trajectories)

    def __len__(self) -> int:
        return len(self.trajectories)

    def difference(self, name: str, other: str) -> tuple[float, float]:
        """Returns (mean, standard error) of how much more `name` returns than `other`, future by future.

        The standard error of one future alone is NaN.
        """
        more = self.returns[name] - self.returns[other]
        error = float(more.std(ddof=1) / np.sqrt(len(more))) if len(more) > 1 else float("nan")
        return float(more.mean()), error

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {float(values.mean()):.4g}" for name, values in self.returns.items())
        return f"Imagined(mean returns: {shown})"

    def _repr_html_(self) -> str:
        rows = [[name, float(self.returns[name].mean()), float(self.lengths[name].mean())] for name in self]
        table = html.table(("alternative", "return", "steps"), rows, ("return", "steps"))
        count = len(next(iter(self.returns.values())))
        return html.block("What would follow", table, note=f"{count} futures each, the same random numbers")


def imagine(
    model: Any,
    state: Any,
    alternatives: Sequence[Any] | Mapping[str, Any],
    policy: Any = None,
    horizon: int = 30,
    seed: int = 0,
    *,
    samples: int = 1,
) -> Imagined:
    """Returns what would follow from each alternative, from one state, under common random numbers.

        imagined = imagine("CartPole", state, ["left", "right"], policy=agent, horizon=60)
        imagined["left"].total_reward

    Args:
        model: a world, by name or in hand, or any `WorldModel`, learned ones too.
        state: one of its states: the world's `State`, a dictionary of its fields, packed `States` of one; of another
            model a state or a batch of one.
        alternatives: what is done first: an action (its name, number, or numbers), or a list of actions one after
            another; by name, or named by what they are.
        policy: who acts afterwards: an agent, by name or in hand, which sees the observations, or a function of
            `[N]` model states that returns `[N]` actions. None: the last action of the alternative is repeated.
        horizon: most steps, the alternative's own included.
        seed: of the random numbers, which are the same in all alternatives, step by step. They are not the
            environment's, which nobody can foresee.
        samples: futures of each alternative (one is enough where nothing is random).

    Raises:
        UsageError: an unknown action or one that is illegal there, no alternatives, two of one name; several players;
            the state is terminal or none of the model's.
        MissingLawError: an environment without a law.
    """
    horizon, samples = whole_number("horizon", horizon, 1), whole_number("samples", samples, 1)
    seed = whole_number("seed", seed)
    made = as_model(model_of(model), "imagine")
    if getattr(made, "num_players", 1) > 1:
        raise UsageError(
            f"imagine in a model of {made.num_players} players", expected="a model of one player: the others act too"
        )
    start = _one_state(made, state)
    named = _named(made, alternatives)
    rows = start[np.zeros(samples, np.int64)]
    _require_legal(made, start, {name: actions[0] for name, actions in named.items()})
    world = made.world if isinstance(made, KnownModel) else None
    futures = {}
    for name, actions in named.items():
        if len(actions) > horizon:
            raise UsageError(f"the alternative {name} of {len(actions)} actions", expected=f"at most {horizon} steps")
        futures[name] = _future(made, rows, actions, _chooser(made, policy, samples, seed), horizon, seed)
    described = {"name": world.name, "settings": world.settings} if world is not None else {"name": type(made).__name__}
    return Imagined(
        {name: future.trajectory(made, described, seed) for name, future in futures.items()},
        {name: future.rewards.sum(axis=0) for name, future in futures.items()},
        {name: future.lengths for name, future in futures.items()},
    )


# ------------------------------------------------------------------------------------------------ what is given


def _one_state(model: Any, state: Any) -> Any:
    """Returns a batch of one state, which is not terminal."""
    start: Any
    if isinstance(model, KnownModel):
        start = model.world.as_states(state)
    elif hasattr(state, "__len__"):
        start = np.asarray(state) if isinstance(state, (list, tuple)) else state
    else:
        start = np.atleast_1d(np.asarray(state))
    if len(start) != 1:
        raise UsageError(f"{len(start)} states to imagine from", expected="one", hint="states[[k]]")
    if callable(getattr(model, "terminal_of", None)) and bool(as_numpy(model.terminal_of(start))[0]):
        shown = model.world.unpack(start) if isinstance(model, KnownModel) else np.asarray(start).tolist()
        raise UsageError(f"the state {shown} is terminal", expected="a state in which something can still be done")
    return start


def action_of(model: Any, given: Any) -> Any:
    """Returns an action as the model takes it: of a name, a number, or numbers.

    Raises:
        UsageError: it is none of the model's.
    """
    space = model.action_space
    world = model.world if isinstance(model, KnownModel) else None
    if isinstance(space, spaces.Discrete):
        names = list(world.action_names) if world is not None else []
        if isinstance(given, str) and given in names:
            return names.index(given)
        text = str(given).strip()
        known = ", ".join(names) if names else f"a number from 0 to {int(space.n) - 1}"
        if isinstance(given, bool) or not text.removeprefix("-").isdigit() or not 0 <= int(text) < space.n:
            raise UsageError(f"no action {given!r}", expected=known, hint=closest(text, names) if names else "")
        return int(text)
    try:
        words = given.replace(",", " ").split() if isinstance(given, str) else np.ravel(np.asarray(given))
        numbers = np.array([float(word) for word in words])
    except (TypeError, ValueError):
        numbers = np.empty(0)
    box: Any = space
    inside = numbers.shape == box.shape and bool(((numbers >= box.low) & (numbers <= box.high)).all())
    if not inside:
        raise UsageError(
            f"no action {given!r}", expected=f"{box.shape[0]} numbers from {box.low.tolist()} to {box.high.tolist()}"
        )
    return numbers


def _named(model: Any, alternatives: Any) -> dict[str, list[Any]]:
    """Returns the actions of each alternative, by name."""
    discrete = isinstance(model.action_space, spaces.Discrete)
    if isinstance(alternatives, str):
        alternatives = [alternatives]
    given = (
        list(alternatives.items())
        if isinstance(alternatives, Mapping)
        else [(_name(one), one) for one in (alternatives if isinstance(alternatives, Sequence) else list(alternatives))]
    )
    if not given:
        raise UsageError("no alternatives", expected="at least one action")
    named: dict[str, list[Any]] = {}
    for name, one in given:
        if name in named:
            raise UsageError(f"two alternatives named {name}", expected="different ones")
        depth = 0 if isinstance(one, str) else np.ndim(np.asarray(one, object if discrete else None))
        several = depth > 0 if discrete else depth > 1 or (depth == 1 and isinstance(one[0], str))
        actions = [action_of(model, each) for each in one] if several else [action_of(model, one)]
        if not actions:
            raise UsageError(f"the alternative {name} without an action", expected="at least one")
        named[name] = actions
    return named


def _name(one: Any) -> str:
    if isinstance(one, str) or np.ndim(one) == 0:
        return str(one)
    return " ".join(_name(each) for each in one)


def _require_legal(model: Any, start: Any, first: Mapping[str, Any]) -> None:
    if not isinstance(model.action_space, spaces.Discrete) or not callable(getattr(model, "legal_of", None)):
        return
    legal = np.asarray(as_numpy(model.legal_of(start)), np.bool_)[0]
    for name, action in first.items():
        if not legal[action]:
            allowed = np.flatnonzero(legal).tolist()
            names = model.world.action_names if isinstance(model, KnownModel) else None
            raise UsageError(
                f"the action {name} is illegal in this state",
                expected=", ".join(names[a] if names else str(a) for a in allowed),
            )


# ------------------------------------------------------------------------------------------------ what follows


@dataclass(frozen=True, eq=False)
class _Future:
    """N futures of T steps: `states` T + 1 batches, `actions` T, `rewards [T, N]`, `ended [N]`, `lengths [N]`."""

    states: list[Any]
    actions: list[np.ndarray]
    rewards: np.ndarray
    ended: np.ndarray
    lengths: np.ndarray

    def trajectory(self, model: Any, described: dict[str, Any], seed: int) -> Trajectory:
        """Returns the first future as an episode."""
        length = int(self.lengths[0])
        firsts = [states[[0]] for states in self.states[: length + 1]]
        packed = type(firsts[0]).concatenate(firsts) if isinstance(firsts[0], States) else None
        if packed is not None:
            observations = model.world.observe(packed)
        else:
            observations = np.concatenate([np.asarray(as_numpy(one)) for one in firsts])
        return Trajectory(
            observations,
            np.array([actions[0] for actions in self.actions[:length]]),
            self.rewards[:length, 0].copy(),
            terminated=bool(self.ended[0]),
            truncated=not bool(self.ended[0]),
            states=packed,
            task=described,
            agent="imagined",
            seed=seed,
        )


def _future(model: Any, rows: Any, first: list[Any], choose: Policy | None, horizon: int, seed: int) -> _Future:
    """Returns the futures after `first`, of which `rows` are the N starts."""
    count, states = len(rows), rows
    running, lengths = np.ones(count, np.bool_), np.zeros(count, np.int64)
    seen, taken, rewards = [states], [], []
    for t in range(horizon):
        if t >= len(first) and choose is not None:
            actions = np.asarray(as_numpy(choose(states)))
        else:
            actions = np.array([first[min(t, len(first) - 1)]] * count)
        step = model.step(states, actions, np.random.default_rng([seed, t, STEP]))
        going_on = np.random.default_rng([seed, t, END]).random(count) < as_numpy(step.continuation)
        states = step.states
        rewards.append(np.where(running, as_numpy(step.reward), 0.0))
        lengths += running
        running = running & going_on
        seen.append(states)
        taken.append(actions)
        if not running.any():
            break
    return _Future(seen, taken, np.array(rewards), ~running, lengths)


def _chooser(model: Any, policy: Any, samples: int, seed: int) -> Policy | None:
    """Returns a function of model states that acts as `policy` does, afresh for each alternative."""
    if policy is None:
        return None
    world = model.world if isinstance(model, KnownModel) else None
    if callable(policy) and not hasattr(policy, "act"):
        return policy  # type: ignore[no-any-return]
    observe = getattr(world if world is not None else model, "observe", None)
    if not callable(observe):
        raise UsageError(
            f"an agent as the policy in {type(model).__name__}, which has no observe(states)",
            expected="a function of model states that returns actions",
        )
    if isinstance(policy, (str, type)):
        if world is None:
            raise UsageError(f"the agent {policy!r} without a world", expected="an agent in hand, or a function")
        policy = make_agent(policy, as_task(world), seed)
    # copies draw what the original would: the same in all alternatives
    acting, everybody = VectorActor(copy.deepcopy(policy), samples), np.arange(samples)

    def choose(states: Any) -> Any:
        observations = observe(states)
        mask = None
        if isinstance(model.action_space, spaces.Discrete) and callable(getattr(model, "legal_of", None)):
            mask = np.asarray(as_numpy(model.legal_of(states)), np.bool_)
            mask = mask | ~mask.any(axis=1, keepdims=True)  # an end, where it does not matter
        return acting.act(observations, mask, everybody)

    return choose
