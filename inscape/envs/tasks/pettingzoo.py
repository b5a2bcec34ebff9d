"""Any PettingZoo environment as a task of several players: `resolve_task("pettingzoo:pettingzoo.classic.rps_v2")`.

Parallel environments (all act at once) and AEC environments (in turn) give the arrays of Inscape worlds of several
players, by a Python loop over copies. `Game` is one copy of either, played in turn: what opponents are met in.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from inscape.envs.law.streams import copy_seeds
from inscape.envs.process_settings import kept_process_settings
from inscape.envs.registry import PETTINGZOO_PREFIX
from inscape.envs.tasks.checking import hangs
from inscape.envs.tasks.checking.batches import batch_of, folded, rows_of, zero_of
from inscape.envs.tasks.checking.contract import Breach, Contract
from inscape.envs.tasks.checking.place import Place, cannot_be_made
from inscape.envs.tasks.pettingzoo_players import Pair, common_spaces, number_of_actions, plain_space, taken_apart
from inscape.envs.tasks.processes.workers import WorkerVectorEnv
from inscape.envs.tasks.shared_policy import no_single_environment
from inscape.envs.tasks.task import Autoreset, Task
from inscape.errors import UsageError, exits_as_errors

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class PettingZooTask(Task):
    """A PettingZoo environment, named by its module: `pettingzoo:pettingzoo.classic.tictactoe_v3`.

    It is read as a Parallel environment where the module has `parallel_env`, else as an AEC environment (`env`).
    Arguments of either are `settings`. Observations may have several parts (Dict, Tuple). Where players' spaces differ
    in their sizes alone, all have the largest (`common_spaces`). Observations that are `{"observation",
    "action_mask"}` are taken apart; a mask in the infos, or among other parts of an observation, is used too.
    """

    @cached_property
    def _maker(self) -> tuple[Callable[..., Any], bool]:
        """What makes an environment, and whether all act at once in it."""
        path = self.name.removeprefix(PETTINGZOO_PREFIX)
        try:
            with exits_as_errors(f"{self.name} was imported"):
                module = importlib.import_module(path)
        except ImportError as error:
            raise UsageError(
                f"{self.name} does not import: {error}",
                expected="the module of a PettingZoo environment, and what it needs installed",
                hint="pettingzoo:pettingzoo.classic.rps_v2",
            ) from error
        for name in ("parallel_env", "env"):
            made = getattr(module, name, None)
            if callable(made):
                return made, name == "parallel_env"
        raise UsageError(
            f"the module {path} has neither parallel_env nor env",
            expected="the module of a PettingZoo environment",
            hint="pettingzoo:pettingzoo.classic.rps_v2",
        )

    @property
    def constructor(self) -> Callable[..., Any]:
        """What makes an environment."""
        return self._maker[0]

    def make(self, render_mode: str | None = None) -> Any:
        """Returns one environment, Parallel if `simultaneous`, else AEC."""
        # not every environment takes a render_mode
        given = self.settings if render_mode is None else {**self.settings, "render_mode": render_mode}
        maker, _ = self._maker
        try:
            with kept_process_settings(self.name):
                return maker(**given)
        except TypeError as error:
            raise UsageError(f"{self.name} cannot be made: {error}", hint="check its settings") from error
        except (Exception, SystemExit) as error:  # whatever the constructor raises
            raise cannot_be_made(self.name, error) from error

    @cached_property
    def contracts(self) -> tuple[Contract, ...]:
        """What its copies may hand over to each player, and be handed by it."""
        own = self._own_and_common[1]
        contracts: dict[int, Contract] = {}
        for m, spaces in enumerate(own):  # one for all whose spaces are the same
            first = next((k for k in contracts if own[k] == spaces), m)
            contracts[m] = contracts.get(first) or Contract(self.name, *spaces)
        return tuple(contracts.values())

    def make_in_turn(self, render_mode: str | None = None) -> Any:
        """Returns one AEC environment; a Parallel one asks its players one after another, who see nothing new."""
        env = self.make(render_mode)
        if not self.simultaneous:
            return env
        from pettingzoo.utils.conversions import parallel_to_aec

        return parallel_to_aec(env)

    @cached_property
    def _own_and_common(self) -> tuple[Pair, list[Pair]]:
        """The spaces that all players share, and each player's own."""
        env, names = self.make(), self.player_names
        own = [(plain_space(env.observation_space(name)), env.action_space(name)) for name in names]
        env.close()
        return common_spaces(self.name, names, own), own

    @cached_property
    def _spaces(self) -> tuple[gym.Space[Any], gym.Space[Any]]:
        return self._own_and_common[0]

    @cached_property
    def player_names(self) -> tuple[str, ...]:
        """The players' names, in PettingZoo's order."""
        env = self.make()
        names = tuple(getattr(env, "possible_agents", ()))
        env.close()
        if not names:
            raise UsageError(
                f"{self.name} has no possible_agents", expected="the names of all that may ever act, known beforehand"
            )
        return names

    @property
    def players(self) -> int:
        """How many act."""
        return len(self.player_names)

    @property
    def simultaneous(self) -> bool:
        """Whether all players act at once."""
        return self._maker[1]

    def env(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Refuses: a Gymnasium environment has one player."""
        raise no_single_environment(self)

    def vector_env(
        self, num_envs: int, autoreset: Autoreset = "same-step", render_mode: str | None = None
    ) -> VectorEnv[Any, Any, Any]:
        """Returns `num_envs` copies, arrays as those of Inscape worlds of several players; a Python loop over them."""
        if self.workers is not None:
            players = (self.players,)
            return WorkerVectorEnv(
                _Copies(replace(self, workers=None)), num_envs, self.workers, self.name,
                (self.observation_space, self.action_space), autoreset, render_mode,
                players=players if self.simultaneous else (), reward_shape=players, masks_at_ends=True,
            )  # fmt: skip
        return (ParallelVectorEnv if self.simultaneous else TurnsVectorEnv)(self, num_envs, autoreset, render_mode)


@dataclass(frozen=True)
class _Copies:
    """Makes a copy of a PettingZoo environment in a worker process."""

    task: PettingZooTask

    def __call__(self, number: int, render_mode: str | None) -> _OneCopy:
        return _OneCopy(self.task, number, render_mode)


class _OneCopy:
    """One copy of a PettingZoo environment, as a worker process steps it: arrays without batch axis.

    Args:
        task: what it is a copy of.
        number: which copy it is, for messages.
        render_mode: the environment's.
    """

    def __init__(self, task: PettingZooTask, number: int, render_mode: str | None) -> None:
        made = (ParallelVectorEnv if task.simultaneous else TurnsVectorEnv)(task, 1, "next-step", render_mode)
        self._env: ParallelVectorEnv | TurnsVectorEnv = made
        place = made._places[0] if isinstance(made, ParallelVectorEnv) else made.games[0].place
        place.number = number

    def reset(self, *, seed: int | None, options: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        seen, info = self._env.reset(seed=seed)
        return rows_of(seen, 0), {key: value[0] for key, value in info.items()}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        seen, rewards, terminated, truncated, info = self._env.step([action])
        told = {key: value[0] for key, value in info.items()}
        return rows_of(seen, 0), rewards[0], bool(terminated[0]), bool(truncated[0]), told

    def render(self) -> Any:
        return self._env.render()[0]

    def close(self) -> None:
        self._env.close()


class PettingZooVectorEnv(VectorEnv[Any, Any, Any], ABC):
    """Copies of a PettingZoo environment: what is the same for Parallel and AEC environments.

    Args:
        task: what to make copies of.
        num_envs: B.
        autoreset: `"same-step"` (last observations in `infos["final_obs"]`) or `"next-step"`.
        rows: how many rows of observations, masks and actions a copy has: `()` for one, `(M,)` for M.
    """

    def __init__(self, task: PettingZooTask, num_envs: int, autoreset: Autoreset, rows: tuple[int, ...]) -> None:
        self.task, self.num_envs = task, num_envs
        self._same_step = autoreset == "same-step"
        mode = AutoresetMode.SAME_STEP if self._same_step else AutoresetMode.NEXT_STEP
        self.metadata = {"autoreset_mode": mode, "render_modes": []}
        self.single_observation_space, self.single_action_space = task.observation_space, task.action_space
        self._shape = num_envs, *rows
        self._rows = [zero_of(self.single_observation_space)] * int(np.prod(self._shape))
        self._mask = np.ones((*self._shape, max(1, number_of_actions(task))), np.bool_)
        self._restricts = False
        self._ended = np.zeros(num_envs, np.bool_)

    def __getattr__(self, name: str) -> Any:
        if name not in ("observation_space", "action_space"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        space = getattr(self, f"single_{name}")  # not every space has a batched one
        for count in reversed(self._shape):
            space = batch_space(space, count)
        setattr(self, name, space)
        return space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts new episodes: with `copy_seeds(seed)`, or without a seed as each copy's random stream goes on.

        Args:
            seed: of all copies.
            options: `"first_copy"`: how many copies other processes have before these.
        """
        first = int((options or {}).get("first_copy", 0))
        seeds = [None] * self.num_envs if seed is None else copy_seeds(seed, self.num_envs, first)
        for copy, own in enumerate(seeds):
            self._begin(copy, own)
        self._ended[:] = False
        return self._observed(), self._info()

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        rewards = np.zeros((self.num_envs, self.task.players))
        terminated, truncated = np.zeros(self.num_envs, np.bool_), np.zeros(self.num_envs, np.bool_)
        for copy in range(self.num_envs):
            if self._ended[copy]:
                self._begin(copy)
            else:
                terminated[copy], truncated[copy] = self._step(copy, actions[copy], rewards[copy])
        self._ended = terminated | truncated
        final: dict[str, Any] = {}
        if self._same_step and self._ended.any():
            final = {"final_obs": self._observed(), "_final_obs": self._ended.copy()}
            for ended in np.flatnonzero(self._ended).tolist():
                self._begin(ended)
            self._ended[:] = False
        return self._observed(), rewards, terminated, truncated, self._info() | final

    @abstractmethod
    def _begin(self, copy: int, seed: int | None = None) -> None:
        """Begins an episode in a copy."""

    @abstractmethod
    def _step(self, copy: int, actions: Array, rewards: Array) -> tuple[bool, bool]:
        """Steps one copy; writes rewards `[M]`; returns whether the task itself ended, and whether time did."""

    def _look(
        self, at: int | tuple[int, int], seen: Any, info: dict[str, Any], place: Place, acts: bool = True
    ) -> None:
        """Notes what is observed and legal in a row, of one who `acts` next or whose part is over."""
        contract = self.task.contracts[self._player(at)]
        seen, mask = taken_apart(self.task, contract, seen, info, place, acts)
        self._rows[self._row(at)] = seen
        self._mask[at] = True if mask is None else mask
        self._restricts |= mask is not None

    @abstractmethod
    def _player(self, at: int | tuple[int, int]) -> int:
        """Returns whose row that is."""

    def _row(self, at: int | tuple[int, int]) -> int:
        return at if isinstance(at, int) else at[0] * self._shape[1] + at[1]

    def _observed(self) -> Any:
        """Returns `[B, ...]` or `[B, M, ...]` what is observed."""
        return folded(batch_of(self.single_observation_space, self._rows), self._shape)

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self._mask.copy()} if self._restricts else {}


class ParallelVectorEnv(PettingZooVectorEnv):
    """Copies of a PettingZoo Parallel environment: observations `[B, M, ...]`, rewards `[B, M]`, masks `[B, M, A]`.

    Who leaves early observes zeros (`zero_of`), gets nothing and is not asked, until the episode ends for all; it ends
    by time (`truncated`) if anybody's does.
    """

    def __init__(
        self, task: PettingZooTask, num_envs: int, autoreset: Autoreset, render_mode: str | None = None
    ) -> None:
        super().__init__(task, num_envs, autoreset, (task.players,))
        self.copies = [task.make(render_mode) for _ in range(num_envs)]
        self._places = [Place(task.contracts[0], number) for number in range(num_envs)]
        hangs.watch()

    def _player(self, at: int | tuple[int, int]) -> int:
        assert isinstance(at, tuple)
        return at[1]

    def _begin(self, copy: int, seed: int | None = None) -> None:
        place = self._places[copy]
        place.seeded(seed)
        begun = place.call("reset", self.copies[copy].reset, seed=seed)
        if not (isinstance(begun, tuple) and len(begun) == 2):
            place.breach(Breach("reset", f"returns {type(begun).__name__}", "a pair: observations and infos"))
        self._look_at_all(copy, *begun)

    def _step(self, copy: int, actions: Array, rewards: Array) -> tuple[bool, bool]:
        env, names = self.copies[copy], self.task.player_names
        place, contracts = self._places[copy], self.task.contracts
        contract = contracts[0]
        chosen = {
            name: _as_given(contracts[m].action(actions[m])) for m, name in enumerate(names) if name in env.agents
        }
        stepped = place.call("step", env.step, chosen)
        if not (isinstance(stepped, tuple) and len(stepped) == 5 and all(isinstance(d, Mapping) for d in stepped)):
            place.breach(Breach("step", "returns something else", "five dictionaries, with what each player is told"))
        observations, gained, ended, late, infos = stepped
        ended = {name: place.taken(contract.flag, value, "terminations") for name, value in ended.items()}
        late = {name: place.taken(contract.flag, value, "truncations") for name, value in late.items()}
        over = {name for name in names if ended.get(name, False) or late.get(name, False)}
        self._look_at_all(copy, observations, infos, over)
        for what, told in (("the observations", observations), ("the rewards", gained)):
            if missing := [name for name in chosen if name not in told]:
                place.breach(Breach(what, f"do not have {missing[0]!r}, who acted", "an entry for each who acted"))
        for m, name in enumerate(names):
            rewards[m] = place.taken(contract.reward, gained.get(name, 0.0), f"the reward of {name}")
        place.clock.steps += 1
        if env.agents and not all(ended.get(name, False) or late.get(name, False) for name in chosen):
            return False, False
        by_time = any(late.get(name, False) and not ended.get(name, False) for name in chosen)
        return not by_time, by_time

    def _look_at_all(
        self, copy: int, observations: dict[str, Any], infos: dict[str, Any], over: Container[str] = ()
    ) -> None:
        place = self._places[copy]
        for what, told in (("observations", observations), ("infos", infos)):
            if not isinstance(told, Mapping):
                place.breach(Breach(what, f"are {type(told).__name__}", "a dictionary, by player"))
        for m, name in enumerate(self.task.player_names):
            if name in observations:
                self._look((copy, m), observations[name], infos.get(name, {}), place, name not in over)
            else:
                self._rows[self._row((copy, m))] = zero_of(self.single_observation_space)
                self._mask[copy, m] = True

    def render(self) -> tuple[Any, ...]:
        """Returns what each copy draws."""
        return tuple(env.render() for env in self.copies)

    def close(self, **kwargs: Any) -> None:
        for env in self.copies:
            env.close()


class TurnsVectorEnv(PettingZooVectorEnv):
    """Copies of a PettingZoo AEC environment: observations `[B, ...]`, masks `[B, A]` and actions `[B, ...]` of who is
    to move (`infos["mover"]` `[B]`), rewards `[B, M]`.

    A player's reward comes when PettingZoo reports it: at its own next turn, or at its end. A player that leaves early
    is asked no more; the episode ends with the last of them, by time (`truncated`) if anybody's does.
    """

    def __init__(
        self, task: PettingZooTask, num_envs: int, autoreset: Autoreset, render_mode: str | None = None
    ) -> None:
        super().__init__(task, num_envs, autoreset, ())
        self.games = [Game(task, render_mode, number) for number in range(num_envs)]

    def _player(self, at: int | tuple[int, int]) -> int:
        assert isinstance(at, int)
        return self.games[at].mover

    def _begin(self, copy: int, seed: int | None = None) -> None:
        self.games[copy].begin(seed)
        self._look(copy, self.games[copy].seen, self.games[copy].info, self.games[copy].place)

    def _step(self, copy: int, actions: Array, rewards: Array) -> tuple[bool, bool]:
        game = self.games[copy]
        game.act(actions)
        rewards[:] = game.collected()
        self._look(copy, game.seen, game.info, game.place, not game.over)
        by_time = bool((game.truncated & ~game.terminated).any())
        return game.over and not by_time, game.over and by_time

    def _info(self) -> dict[str, Any]:
        return super()._info() | {"mover": np.array([game.mover for game in self.games])}

    def render(self) -> tuple[Any, ...]:
        """Returns what each copy draws."""
        return tuple(game.env.render() for game in self.games)

    def close(self, **kwargs: Any) -> None:
        for game in self.games:
            game.close()


class Game:
    """One copy of a PettingZoo environment, played in turn as AEC has it.

    Whoever's part is over is stepped with None here, so that always a living player is to move.

    Args:
        task: what it is a copy of.
        render_mode: the environment's, for it to draw itself.
        number: which copy it is, for messages.

    Attributes:
        place: where it is, for messages.
        mover: who is to move; of a game that is over, the last player to whom it was reported.
        seen, info: that player's observation and info, as the environment gives them.
        over: whether it is over for all players.
        terminated, truncated: `[M]` bool: whose part is over, and how.
        last: what each player observed at the end of its part.
    """

    def __init__(self, task: PettingZooTask, render_mode: str | None = None, number: int = 0) -> None:
        self.task, self.env = task, task.make_in_turn(render_mode)
        self.place = Place(task.contracts[0], number)
        hangs.watch()
        self._number = {name: m for m, name in enumerate(task.player_names)}

    def begin(self, seed: int | None = None) -> None:
        """Begins a game."""
        self.place.seeded(seed)
        self.place.call("reset", self.env.reset, seed=seed)
        self._gained = np.zeros(len(self._number))
        self.terminated, self.truncated = np.zeros((2, len(self._number)), np.bool_)
        self.last: dict[int, tuple[Any, dict[str, Any]]] = {}
        self._settle()
        if self.over:
            raise UsageError(f"an episode of {self.task.name} is over before anybody has acted")

    def act(self, action: Any) -> None:
        """Takes the action of who is to move.

        Raises:
            UsageError: a player left before its end was reported to it, or one joined that is not in `possible_agents`.
        """
        before = list(self.env.agents)
        self.place.call("step", self.env.step, _as_given(self.task.contracts[self.mover].action(action)))
        self.place.clock.steps += 1
        missing = [name for name in before if name not in self.env.agents]
        if missing:
            raise UsageError(
                f"{self.task.name}: {missing[0]} is gone from `agents` without a last turn",
                expected="terminations or truncations set, the last reward returned by last(), then step(None)",
                hint="pettingzoo.test.api_test checks it",
            )
        self._settle()

    def _settle(self) -> None:
        """Takes in what the next living player sees and has gained, and the ends of those before."""
        env, self.over = self.env, False
        while env.agents:
            told = self.place.call("last", env.last)
            if not (isinstance(told, tuple) and len(told) == 5):
                self.place.breach(Breach("last", f"returns {type(told).__name__}", "five values"))
            seen, gained, terminated, truncated, info = told
            contract = self.task.contracts[0]
            gained = self.place.taken(contract.reward, gained)
            terminated = self.place.taken(contract.flag, terminated, "terminated")
            truncated = self.place.taken(contract.flag, truncated, "truncated")
            if env.agent_selection not in self._number:
                raise UsageError(
                    f"{self.task.name}: {env.agent_selection} is to act",
                    expected=f"one of its possible_agents {', '.join(self._number)}",
                )
            self.mover, self.seen, self.info = self._number[env.agent_selection], seen, info
            self._gained[self.mover] += gained
            if not (terminated or truncated):
                return
            self.terminated[self.mover], self.truncated[self.mover] = terminated, truncated
            self.last[self.mover] = seen, info
            self.place.call("step", env.step, None)
        self.over = True

    def collected(self) -> Array:
        """Returns `[M]` the rewards reported to the players since the last call."""
        gained, self._gained = self._gained, np.zeros(len(self._number))
        return gained

    def close(self) -> None:
        """Closes the environment."""
        self.env.close()


def _as_given(action: Any) -> Any:
    """Returns a numbered action as a plain integer, which PettingZoo's games use as keys and indices."""
    return int(action) if isinstance(action, np.integer) else action
