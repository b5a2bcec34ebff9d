"""The model `equations`: laws of motion found in episodes as equations, read by every reader as a World.

Sources: `selection`; Brunton, Proctor & Kutz (2016), "Discovering governing equations from data by sparse
identification of nonlinear dynamical systems", PNAS 113.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from gymnasium import spaces

from inscape.envs.data.trajectory import Trajectory
from inscape.errors import UsageError
from inscape.world_models.interface import Batch, FitReport, ModelStep, as_numpy
from inscape.world_models.known import KnownModel
from inscape.world_models.learned.equations import source as writing
from inscape.world_models.learned.equations.finding import System, find_system
from inscape.world_models.learned.equations.readings import Readings, read
from inscape.world_models.learned.recovered import load_recovered
from inscape.world_models.learned.stored_episodes import episodes_from_state, episodes_to_state

if TYPE_CHECKING:
    from inscape.envs.world import World

Array = np.ndarray[Any, Any]
LISTED = 4
LEAST = 20
"""Transitions below which no equations are sought."""


@dataclass(frozen=True)
class EquationSettings:
    """What is looked for."""

    noise: float = 0.0
    """Standard deviation of the noise on each observed number; 0: they are exact but for rounding."""
    unexplained: Literal["refuse", "keep"] = "refuse"
    """When a variable has no equation in the library: refuse, naming it; or keep the one of the least description
    length."""

    def __post_init__(self) -> None:
        if not 0 <= self.noise < math.inf:
            raise UsageError(f"noise = {self.noise!r}", expected="a finite number of at least 0")
        if self.unexplained not in ("refuse", "keep"):
            raise UsageError(f"unexplained = {self.unexplained!r}", expected="'refuse' or 'keep'")


class EquationModel:
    """Equations of motion, found in episodes; the known model of the World they make.

        model = make_model("equations", "CartPole")
        fit_model(model, rollout("random", "CartPole", episodes=10, seed=1))
        print(model)                      # d_x = 0.02 * x_dot …
        model.write("recovered.py")       # recovered.py:Recovered is a World

    The change of each variable is a sum of few products of numbers, of sine and cosine of a variable or of twice or
    three times it, of the action, and of changes found before; over a denominator with one such wave. Pairs of observed
    numbers on the unit circle are taken for an angle. Also found: between which values a variable is kept, the reward,
    and beyond which values the task ends, so far as that was seen.

    Args:
        observation_space: a Box of one axis that determines the state.
        action_space: Discrete, counted from 0, or a Box of one axis.
        settings: see `EquationSettings`.
        names: of the variables; used where there are as many.
        action_names: of discrete actions.
        horizon: time limit of the task.
        gamma: discount of the task.
        ends: where the task ends, if that is known: below and above which values of which variables; None: found.

    Raises:
        UsageError: spaces it cannot take.
    """

    num_players = 1
    exact = False
    default_planner = "icem"

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        settings: EquationSettings | None = None,
        names: Sequence[str] = (),
        action_names: Sequence[str] = (),
        horizon: int | None = None,
        gamma: float = 0.99,
        ends: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self._ends = None if ends is None else dict(ends)
        self.settings = settings or EquationSettings()
        if not (isinstance(observation_space, spaces.Box) and len(observation_space.shape) == 1):
            raise UsageError(
                f"the observation space {observation_space}",
                expected="a Box of one axis, for equations of motion",
                hint="the model program for grids",
            )
        discrete = isinstance(action_space, spaces.Discrete) and action_space.start == 0
        if not discrete and not (isinstance(action_space, spaces.Box) and len(action_space.shape) == 1):
            raise UsageError(f"the action space {action_space}", expected="Discrete from 0, or a Box of one axis")
        self.observation_space, self.action_space = observation_space, action_space
        count = int(action_space.n) if isinstance(action_space, spaces.Discrete) else 0
        given = tuple(action_names) if len(action_names) == count else ()
        self._names = tuple(names)
        self._form = writing.Form(
            observation_space, action_space, given or tuple(f"action_{k}" for k in range(count)), horizon, gamma
        )
        self._episodes: list[Trajectory] = []
        self._found: tuple[Readings, System] | None = None
        self._made: World | None = None

    @staticmethod
    def for_task(
        task: Any,
        settings: EquationSettings | None = None,
        ends: Mapping[str, tuple[float, float]] | None = None,
    ) -> EquationModel:
        """Returns an untrained model for a task, or what stands for one. Of a world's law it takes the names of
        variables and actions, the time limit and the discount; nothing of the dynamics. `ends`: see the class."""
        if isinstance(task, (str, type)) or not hasattr(task, "action_space"):
            from inscape.envs.tasks.resolve import resolve_task

            task = resolve_task(task)
        world = getattr(task, "world", None) or (task if hasattr(task, "law_function") else None)
        if getattr(task, "players", getattr(world, "players", 1)) != 1:
            raise UsageError(f"{getattr(task, 'name', task)} has several players", expected="a world of one player")
        return EquationModel(
            task.observation_space, task.action_space, settings, getattr(getattr(world, "State", None), "_fields", ()),
            getattr(task, "action_names", ()), getattr(task, "max_episode_steps", None), getattr(world, "gamma", 0.99),
            ends,
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------ learning

    def learn(self, trajectories: Iterable[Trajectory]) -> Iterator[FitReport]:
        """Finds the equations of all episodes so far, these included, and reports once.

        Raises:
            UsageError: nothing to learn from, or too little; NaN; or, unless settings say `unexplained="keep"`, a
                variable without an equation, which is named. Nothing is learned then.
        """
        episodes = list(trajectories)
        kept = self._episodes, self._found, self._made
        self._episodes, self._found, self._made = [*self._episodes, *episodes], None, None
        try:
            data, system = self._system()
        except UsageError:
            self._episodes, self._found, self._made = kept
            raise
        errors = {f"error/{data.variables[e.variable].name}": e.error for e in system.equations}
        yield FitReport(
            transitions=sum(len(episode) for episode in episodes),
            metrics={
                **errors,
                "error/reward": system.reward_error,
                "terms": float(sum(e.size[0] for e in system.equations)),
                "unexplained": float(len(system.unexplained)),
            },
        )

    def _system(self) -> tuple[Readings, System]:
        if self._found is None:
            data = read(self._episodes, self.observation_space, self.action_space, self._names, self.settings.noise)
            if len(data) < LEAST:
                raise UsageError(f"{len(data)} transitions", expected=f"at least {LEAST}, to find equations in")
            system = find_system(data)
            if self._ends is not None:
                system = replace(system, ends=_known_ends(self._ends, [v.name for v in data.variables]))
            missing = [e for e in system.equations if not e.exact]
            if missing and self.settings.unexplained == "refuse":
                named = ", ".join(
                    f"{data.variables[e.variable].name} (best: an error of {e.error:.3g} a step)" for e in missing
                )
                raise UsageError(
                    f"no equation of the library explains {named} in {len(data)} transitions",
                    expected="few products of numbers, sines, cosines and actions, without chance",
                    hint='unexplained="keep" for the best there is; noise= where observations are noisy; or ensemble',
                )
            self._found = data, system
        return self._found

    @property
    def system(self) -> System:
        """The equations found.

        Raises:
            UsageError: nothing was learned yet.
        """
        if self._found is None and not self._episodes:
            raise UsageError("equations of a model that has seen no episodes", expected="fit_model(model, episodes)")
        return self._system()[1]

    def __str__(self) -> str:
        if not self._episodes:
            return "equations: nothing learned"
        data, system = self._system()
        names, codes = [v.name for v in data.variables], self._codes()
        return "\n".join(writing.equation_text(e, names, codes) for e in system.equations)

    def _codes(self) -> tuple[str, ...]:
        width = self._system()[0].codes.shape[1]
        return ("u",) if width == 1 else tuple(f"u{k}" for k in range(width))

    # ------------------------------------------------------------------------------------------------ as a World

    def source(self) -> str:
        """Returns the law as Python: a module with the class `Recovered`, a World."""
        system = self.system
        data = self._system()[0]
        return writing.write(system, data.variables, data.starts, self._form)

    def write(self, path: str | Path) -> Path:
        """Writes the law to a file, which is named `FILE.py:Recovered` wherever a world is asked for."""
        target = Path(path)
        target.write_text(self.source(), encoding="utf-8")
        return target

    def world(self) -> World:
        """Returns the recovered world."""
        if self._made is None:
            self._made = load_recovered(self.source())()
        return self._made

    @property
    def _known(self) -> KnownModel:
        return KnownModel(self.world())

    # ------------------------------------------------------------------------------------------------ prediction

    def predict_next(self, observations: Array, actions: Array) -> Array:
        """Returns the `[B, F]` next observations of `[B, F]` observations under `[B]` or `[B, D]` actions."""
        world = self.world()
        following = world.outcomes(world.states_of(np.asarray(observations)), np.asarray(actions))[1]
        return np.asarray(world.observe(following))

    def log_prob(self, trajectory: Trajectory) -> float:
        """Returns Σ_t log p(next observation | observation, action), in nats: of densities, normal ones with what the
        equations leave unexplained as their deviation (`noise`, and rounding, included). A share of ½/(n + 1) after n
        transitions is left to steps that the equations do not foresee, such as a bound not met so far: normal around
        what was seen, twice as wide."""
        data, system = self._system()
        seen = np.asarray(trajectory.observations, np.float64)
        predicted = self.predict_next(np.asarray(trajectory.observations)[:-1], trajectory.actions)
        width = np.zeros(seen.shape[1])
        for equation in system.equations:
            for k in data.variables[equation.variable].sources:
                width[k] = max(equation.error, float(data.grain[equation.variable]), 1e-12)
        known = np.concatenate([np.asarray(episode.observations, np.float64) for episode in self._episodes])
        escape = 0.5 / (len(data) + 1)
        foreseen = math.log1p(-escape) + _normal(seen[1:], predicted, width)
        other = math.log(escape) + _normal(seen[1:], known.mean(axis=0), 2 * np.maximum(known.std(axis=0), width))
        return float(np.logaddexp(foreseen, other).sum())

    # ------------------------------------------------------------------------------------------------ as a WorldModel

    def init(self, observations: Batch) -> Any:
        """Returns the states that observations determine."""
        return self._known.init(as_numpy(observations))

    def update(self, states: Any, actions: Batch, observations: Batch) -> Any:
        """Returns the states of the observations: they determine it."""
        return self.init(observations)

    def step(self, states: Any, actions: Batch, rng: np.random.Generator) -> ModelStep:
        return self._known.step(states, actions, rng)

    def terminal_of(self, states: Any) -> Array:
        return self._known.terminal_of(states)

    def state_dict(self) -> dict[str, Any]:
        """Returns the episodes: equations are found again from them, for code is never read from a stored state."""
        return episodes_to_state(self._episodes)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replaces the episodes by stored ones.

        Raises:
            UsageError: arrays are missing or do not fit together, or belong to another task.
        """
        width = int(self.observation_space.shape[0])
        self._episodes = episodes_from_state(state, width, "equations, whose state is its episodes")
        self._found = self._made = None


def _known_ends(ends: Mapping[str, tuple[float, float]], names: Sequence[str]) -> tuple[tuple[int, float, float], ...]:
    """Returns the limits that a user knows, by the number of their variable.

    Raises:
        UsageError: there is no such variable, or its limits are not two numbers in order.
    """
    for name, limits in ends.items():
        if name not in names:
            raise UsageError(f"ends of {name!r}", expected=f"variables {', '.join(names)}")
        if len(limits) != 2 or not limits[0] < limits[1]:
            raise UsageError(f"ends {limits} of {name}", expected="(low, high), low below high; -inf, inf for none")
    return tuple((names.index(name), float(low), float(high)) for name, (low, high) in ends.items())


def _normal(values: Array, means: Array, deviations: Array) -> Array:
    """Returns the `[T]` log densities of `[T, F]` values, normal in each number."""
    z = (values - means) / deviations
    return np.asarray(-(0.5 * z**2 + np.log(deviations) + 0.5 * math.log(2 * math.pi)).sum(axis=1))
