"""The model `program`: the law itself, found in episodes, written as source, read by every reader as a World.

Sources: programs by posterior, the prior a description length: Solomonoff (1964), Information and Control 7; Rissanen
(1978), Automatica 14; rules of grids from few frames: Tsividis et al. (2021), arXiv:2107.12544.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from gymnasium import spaces

from inscape.envs.data.trajectory import Trajectory
from inscape.errors import UsageError, whole_number
from inscape.world_models.episodes import check_episodes
from inscape.world_models.interface import Batch, FitReport, ModelStep, as_numpy
from inscape.world_models.known import KnownModel
from inscape.world_models.learned.program import grid_source
from inscape.world_models.learned.program.grid_program import GridProgram, induce
from inscape.world_models.learned.program.transitions import read
from inscape.world_models.learned.recovered import load_recovered
from inscape.world_models.learned.stored_episodes import episodes_from_state, episodes_to_state
from inscape.world_models.tabular.model import ObservationIndex, TabularModel

if TYPE_CHECKING:
    from inscape.envs.world import World

Array = np.ndarray[Any, Any]
LISTED = 8
"""Transitions listed, of those that no program explains."""


@dataclass(frozen=True)
class ProgramSettings:
    """What is looked for."""

    map: str = ""
    """The map, if it is known: rows of letters with `/` between them, whose meaning is to be found. Empty: each cell is
    found out alone, and the program writes the map in letters of its own."""
    programs: int = 8
    """How many programs are kept, with their posterior probabilities among each other."""
    unexplained: Literal["refuse", "keep"] = "refuse"
    """When transitions fit no program of the grammar: refuse, listing them; or keep the program that explains most."""

    def __post_init__(self) -> None:
        whole_number("programs =", self.programs, 1)
        if self.unexplained not in ("refuse", "keep"):
            raise UsageError(f"unexplained = {self.unexplained!r}", expected="'refuse' or 'keep'")
        rows = self.rows
        if rows is not None and (not rows[0] or len({len(row) for row in rows}) > 1):
            raise UsageError(f"map = {self.map!r}", expected="rows of equal length with / between them: SF/FG")

    @property
    def rows(self) -> tuple[str, ...] | None:
        """The rows of the map; None without one."""
        return tuple(self.map.strip().replace("\n", "/").split("/")) if self.map else None


@dataclass(frozen=True)
class Program:
    """One program found.

    Attributes:
        source: a module with the class `Recovered`, a World.
        log_posterior: log of its probability among the programs kept, in nats.
        program_bits, layout_bits, data_bits: lengths of its rules, of its map, and of the data given both.
    """

    source: str
    log_posterior: float
    program_bits: float
    layout_bits: float
    data_bits: float

    @property
    def bits(self) -> float:
        """Length of everything, in bits."""
        return self.program_bits + self.layout_bits + self.data_bits

    def __str__(self) -> str:
        return f"{math.exp(self.log_posterior):.3f}: {self.bits:.1f} bits"


class ProgramModel:
    """Rules of a grid, found in episodes; the known model of the World they make.

        model = make_model("program", "GridWorld")
        fit_model(model, rollout("random", "GridWorld", episodes=20, seed=1))
        print(model.source())             # Python; model.write("recovered.py") makes it a file
        world = model.world()             # env(), vector_env(), dynamics(), … as every World
        model.world(map="S.#/..G")        # the same rules on another map

    Args:
        observation_space: Discrete, MultiDiscrete, or a Box of one axis whose values are whole numbers.
        action_space: Discrete, counted from 0.
        settings: see `ProgramSettings`.
        names: of the numbers observed; None: `field_0`, …
        action_names: of the actions.
        horizon: time limit of the task.
        gamma: discount of the task.

    Raises:
        UsageError: spaces it cannot take.
    """

    num_players = 1

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        settings: ProgramSettings | None = None,
        names: tuple[str, ...] | None = None,
        action_names: tuple[str, ...] | None = None,
        horizon: int | None = None,
        gamma: float = 0.99,
    ) -> None:
        self.settings = settings or ProgramSettings()
        self._space, self.action_space = observation_space, action_space
        self.sizes = _sizes(observation_space)
        if isinstance(action_space, spaces.Discrete):
            if action_space.start != 0:
                raise UsageError(f"the action space {action_space}", expected="actions counted from 0")
            self.num_actions = int(action_space.n)
        elif isinstance(action_space, spaces.Box) and len(action_space.shape) == 1:
            self.num_actions = 0
        else:
            raise UsageError(f"the action space {action_space}", expected="Discrete, or a Box of one axis")
        count = len(self.sizes)
        self.names = names if names is not None and len(names) == count else tuple(f"field_{k}" for k in range(count))
        given = action_names if action_names and len(action_names) == self.num_actions else None
        self.action_names = given or tuple(f"action_{k}" for k in range(self.num_actions))
        self.horizon, self.gamma = horizon, gamma
        self._episodes: list[Trajectory] = []
        self._found: tuple[Program, ...] | None = None
        self._unexplained: tuple[str, ...] = ()
        self._worlds: dict[str, World] = {}

    @staticmethod
    def for_task(task: Any, settings: ProgramSettings | None = None) -> ProgramModel:
        """Returns an untrained model for a task, or what stands for one. Of a world's law it takes the names of what is
        observed and of actions, the time limit and the discount; nothing of the dynamics."""
        if isinstance(task, (str, type)) or not hasattr(task, "action_space"):
            from inscape.envs.tasks.resolve import resolve_task

            task = resolve_task(task)
        world = getattr(task, "world", None) or (task if hasattr(task, "law_function") else None)
        names = getattr(getattr(world, "State", None), "_fields", None)
        if getattr(task, "players", getattr(world, "players", 1)) != 1:
            raise UsageError(f"{getattr(task, 'name', task)} has several players", expected="a world of one player")
        return ProgramModel(
            task.observation_space, task.action_space, settings, names, getattr(task, "action_names", None),
            getattr(task, "max_episode_steps", None), getattr(world, "gamma", 0.99),
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------ learning

    def learn(self, trajectories: Iterable[Trajectory]) -> Iterator[FitReport]:
        """Searches for the programs of all episodes so far, these included, and reports once.

        Raises:
            UsageError: nothing to learn from; NaN; or, unless settings say `unexplained="keep"`, transitions that no
                program of the grammar explains, which are listed. Nothing is learned then.
        """
        episodes = list(trajectories)
        check_episodes(episodes, "a program")
        kept = self._episodes, self._found, self._unexplained, self._worlds
        self._episodes, self._found, self._worlds = [*self._episodes, *episodes], None, {}
        try:
            best = self.programs[0]
        except UsageError:
            self._episodes, self._found, self._unexplained, self._worlds = kept
            raise
        yield FitReport(
            transitions=sum(len(episode) for episode in episodes),
            metrics={
                "program_bits": best.program_bits, "layout_bits": best.layout_bits, "data_bits": best.data_bits,
                "unexplained": float(len(self._unexplained)), "posterior": math.exp(best.log_posterior),
            },
        )  # fmt: skip

    @property
    def programs(self) -> tuple[Program, ...]:
        """The programs found, the most probable first.

        Raises:
            UsageError: nothing was learned yet.
        """
        if self._found is None:
            if not self._episodes:
                raise UsageError("a program model that has seen no episodes", expected="fit_model(model, episodes)")
            self._found = self._search()
        return self._found

    @property
    def unexplained(self) -> tuple[str, ...]:
        """The transitions that the best program holds to be impossible, as text."""
        return self._unexplained if self.programs else ()

    def _search(self) -> tuple[Program, ...]:
        whole = self.num_actions and all(
            (np.asarray(episode.observations) == np.rint(episode.observations)).all() for episode in self._episodes
        )
        if not whole:
            raise UsageError(
                "observations that are no whole numbers, or continuous actions, for rules of a grid",
                expected="a grid, seen in whole numbers",
                hint="the model ensemble",
            )
        data = read(self._episodes, self.num_actions, len(self.sizes), "a program")
        rows = self.settings.rows
        shape = (len(rows), len(rows[0])) if rows else None
        group = np.unique(list("".join(rows)), return_inverse=True)[1] if rows else None
        found = induce(data, self.names, self.sizes, shape, group, 4 * self.settings.programs)
        if not found:
            raise UsageError(
                "observations in which no place on a grid can be found",
                expected="a number of the cell, or two of row and column, at least 0"
                + (f", on a map of {shape[0]}×{shape[1]} cells" if shape else ""),
            )
        self._unexplained = tuple(self._shown(found[0], row) for row in found[0].unexplained.tolist())
        if self._unexplained and self.settings.unexplained == "refuse":
            raise refusal(self._unexplained, data.total)
        form = grid_source.Form(
            self.names,
            () if isinstance(self._space, spaces.Box) else self.sizes,
            isinstance(self._space, spaces.Discrete),
            tuple(self.action_names), self.horizon, self.gamma, rows,
        )  # fmt: skip
        texts: dict[str, GridProgram] = {}
        for program in found:
            texts.setdefault(grid_source.write(program, form), program)
        few = list(texts.items())[: self.settings.programs]
        bits = np.array([program.bits for _, program in few])
        logs = -bits * math.log(2)
        logs -= np.logaddexp.reduce(logs)
        return tuple(
            Program(text, float(log), program.program_bits, program.layout_bits, program.data_bits)
            for (text, program), log in zip(few, logs, strict=True)
        )

    def _shown(self, program: GridProgram, row: int) -> str:
        data = program.scene.data
        before, after = (
            ", ".join(f"{name} {value}" for name, value in zip(self.names, each[row].tolist(), strict=True))
            for each in (data.before, data.after)
        )
        episode, step = data.where[row].tolist()
        ended = ", ended" if data.ended[row] else ""
        return (
            f"episode {episode} step {step}: ({before}) {self.action_names[data.action[row]]} → ({after}), "
            f"reward {data.reward[row]:g}{ended}"
        )

    # ------------------------------------------------------------------------------------------------ as a World

    def source(self, number: int = 0) -> str:
        """Returns the program as Python: a module with the class `Recovered`, a World."""
        return self.programs[number].source

    def write(self, path: str | Path, number: int = 0) -> Path:
        """Writes the program to a file, which is named `FILE.py:Recovered` wherever a world is asked for."""
        target = Path(path)
        target.write_text(self.source(number), encoding="utf-8")
        return target

    def world(self, number: int = 0, **settings: Any) -> World:
        """Returns the recovered world; `map="S.#/..G"` puts its rules on another map, in the letters of its own map.

        Raises:
            UsageError: nothing was learned; a map with other letters.
        """
        made = load_recovered(self.source(number))(**settings)
        return made  # type: ignore[no-any-return]

    def _world(self, number: int = 0) -> World:
        text = self.source(number)
        if text not in self._worlds:
            self._worlds[text] = self.world(number)
        return self._worlds[text]

    @property
    def _known(self) -> KnownModel:
        return KnownModel(self._world())

    # ------------------------------------------------------------------------------------------------ prediction

    def transition_log_probs(
        self, observations: Array, actions: Array, next_observations: Array, terminated: Array
    ) -> Array:
        """Returns `[B]` log P(next observation, terminated | observation, action), in nats, over all programs kept.

        A share of ½/(n + 1) after n transitions is left to what no program explains, spread over all observations.
        """
        sees, then = (np.asarray(given).reshape(len(actions), -1) for given in (observations, next_observations))
        ended = np.asarray(terminated, np.bool_)
        total = np.zeros(len(actions))
        for number, program in enumerate(self.programs):
            world = self._world(number)
            inside = _inside(world, sees)
            if inside.any():
                states = world.states_of(np.asarray(observations)[inside])
                probability, following = world.outcomes(states, np.asarray(actions)[inside])
                width = probability.shape[1]
                lands = np.asarray(world.observe(following)).reshape(len(states), width, -1)
                same = (lands == then[inside][:, None, :]).all(axis=2)
                same &= world.terminal_of(following).reshape(len(states), width) == ended[inside][:, None]
                total[inside] += math.exp(program.log_posterior) * (probability * same).sum(axis=1)
        seen = sum(len(episode) for episode in self._episodes)
        escape = 0.5 / (seen + 1)
        size = math.prod(n or 1 + int(max(sees[:, k].max(initial=0), then[:, k].max(initial=0)))
                         for k, n in enumerate(self.sizes))  # fmt: skip
        return np.asarray(np.log((1 - escape) * total + escape / (2 * size)))

    def log_prob(self, trajectory: Trajectory) -> float:
        """Returns Σ_t log P(next observation, terminated | observation, action), in nats; nothing is learned."""
        ended = np.zeros(len(trajectory), np.bool_)
        ended[-1:] = trajectory.terminated
        seen = np.asarray(trajectory.observations)
        return float(self.transition_log_probs(seen[:-1], trajectory.actions, seen[1:], ended).sum())

    def sample_model(self, rng: np.random.Generator) -> KnownModel:
        """Returns the known model of a program drawn from the posterior: what Thompson sampling plans in."""
        weights = np.exp([program.log_posterior for program in self.programs])
        return KnownModel(self._world(int(rng.choice(len(weights), p=weights / weights.sum()))))

    # ------------------------------------------------------------------------------------------------ as a WorldModel

    @property
    def exact(self) -> bool:
        return self._known.exact

    def init(self, observations: Batch) -> Any:
        """Returns the states that observations determine.

        Raises:
            UsageError: an observation off the map.
        """
        given = as_numpy(observations)
        flat = given.reshape(len(given), -1)
        if not (inside := _inside(self._world(), flat)).all():
            raise UsageError(
                f"observation {flat[~inside][0].tolist()}", expected="a cell of the map that was recovered"
            )
        return self._known.init(given)

    def update(self, states: Any, actions: Batch, observations: Batch) -> Any:
        """Returns the states of the observations: they determine it."""
        return self.init(observations)

    def step(self, states: Any, actions: Batch, rng: np.random.Generator) -> ModelStep:
        return self._known.step(states, actions, rng)

    def legal_of(self, states: Any) -> Array:
        return self._known.legal_of(states)

    def terminal_of(self, states: Any) -> Array:
        return self._known.terminal_of(states)

    def keys(self, states: Any) -> list[bytes]:
        return self._known.keys(states)

    def outcomes(self, states: Any, actions: Array) -> tuple[Array, Any, Array, Array]:
        """Returns what the recovered world's law lists (see `KnownModel.outcomes`)."""
        return self._known.outcomes(states, actions)

    def tabular(self) -> TabularModel:
        """Returns the recovered world as tables; observations that it does not know are taken for its start."""
        import dataclasses

        world = self._world()
        table = TabularModel.from_world(world)
        index = ObservationIndex(world.observe(world.dynamics().states), world.name, int(table.initial.argmax()))
        return dataclasses.replace(table, observations=index)

    def state_dict(self) -> dict[str, Any]:
        """Returns the episodes: programs are found again from them, for code is never read from a stored state."""
        return episodes_to_state(self._episodes)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replaces the episodes by stored ones.

        Raises:
            UsageError: arrays are missing or do not fit together, or belong to another task.
        """
        self._episodes, self._found, self._unexplained, self._worlds = [], None, (), {}
        self._episodes = episodes_from_state(state, len(self.sizes), "a program model, whose state is its episodes")


def refusal(unexplained: tuple[str, ...], total: int) -> UsageError:
    """Returns the error that lists what no program of the grammar explains."""
    more = f"\n  … and {len(unexplained) - LISTED} more" if len(unexplained) > LISTED else ""
    listed = "".join(f"\n  {line}" for line in unexplained[:LISTED])
    return UsageError(
        f"no program of the grammar explains {len(unexplained)} different transitions (of {total} seen):{listed}{more}",
        expected="moves on a grid, walls, doors, one-way cells, slips; fields set, rewards and ends where one lands",
        hint='unexplained="keep" for the program that explains most; or the models tabular, ensemble',
    )


def _sizes(space: spaces.Space[Any]) -> tuple[int, ...]:
    """Returns how many values each number observed takes, 0 where that is not known."""
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return (int(space.n),)
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return tuple(int(n) for n in space.nvec)
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return (0,) * int(space.shape[0])
    raise UsageError(
        f"the observation space {space}", expected="Discrete from 0, MultiDiscrete, or a Box of one axis, for a program"
    )


def _inside(world: World, observations: Array) -> Array:
    """Returns `[B]` whether observations are of cells on the world's map."""
    geometry = getattr(type(world), "POSITION", (0,))
    cells, width = len(world.params.kinds), world.params.width
    place = observations[:, list(geometry)]
    inside = (place >= 0).all(axis=1)
    if len(geometry) == 1:
        return np.asarray(inside & (place[:, 0] < cells))
    return np.asarray(inside & (place[:, 0] < cells // width) & (place[:, 1] < width))
