"""Reads a world of several players as a PettingZoo environment, AEC or Parallel.

`aec_env("ConnectFour")` and `parallel_env("Spread")` make the built-in ones by name. A PettingZoo that has a registry
(1.27) finds them there once this module is imported: `pettingzoo.make("aec", "inscape/ConnectFour-v0")`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from pettingzoo import AECEnv, ParallelEnv

from inscape.envs.compile.choice import call, entry
from inscape.envs.law.states import States
from inscape.envs.readers.copies import PackedCopies
from inscape.envs.readers.gym_env import initial_of
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.readers.batched import BatchedLaw
    from inscape.envs.rendering.rasterizer import Window

TURNS = "inscape.envs.kernels.turns"
RENDER_MODES = ("human", "rgb_array", "ansi")
FRAMES_PER_SECOND = 30
INTEGERS = (int, np.int64)
"""Action types looked at no further: PettingZoo's `Discrete.sample` gives the second."""


def _with_real_rewards(result: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns a step's result with its rewards as floats: a law in plain Python may give integers."""
    status, mover, rewards, terminated, truncated = result
    return status, mover, tuple(float(reward) for reward in rewards), terminated, truncated


class _Table:
    """One copy of a world with what its players see and may do: what both readers share.

    Args:
        world: the law.
        render_mode: None, `"rgb_array"`, `"human"` or `"ansi"`.
        max_episode_steps: the time limit, or None.
    """

    def __init__(self, world: BatchedLaw, render_mode: str | None, max_episode_steps: int | None) -> None:
        if world.players == 1:
            raise UsageError(
                f"{world.name} is a world for one player",
                expected="a world of several players",
                hint="read it as a Gymnasium environment: world.env()",
            )
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise UsageError(f"render_mode {render_mode!r}", expected="None, 'human', 'rgb_array' or 'ansi'")
        world.require_probabilities()
        self.world, self.render_mode = world, render_mode
        self.names = list(world.agents)
        self.limit = max_episode_steps or 0
        self.packed = world.packed
        self.copies = PackedCopies.empty(world, 1)
        self.floats, self.ints = self.copies.floats, self.copies.ints
        self.restricts = world.law_function("legal") is not None
        self.actions = np.zeros((1, world.players), np.int64)  # of players who act at once
        self.masks = np.ones((world.players, world.num_actions), np.int8)
        self.mask_of = list(self.masks)
        like = self.obs = world.observation_array(world.players, of_one=True)
        self.obs_shape, self.obs_dtype = like.shape, like.dtype
        self.wide_shape = world.observation_space.shape if world.is_wide() else None
        state = self.packed, self.floats, self.ints
        self.begin: Callable[..., Any] = entry(
            world, TURNS, "begin", (*state, like, self.masks), lambda compiled: setattr(self, "begin", compiled)
        )
        name, action = ("step_at_once", self.actions) if world.simultaneous else ("step_in_turn", 0)
        self.step: Callable[..., Any] = entry(
            world, TURNS, name, (*state, action, like, self.masks, 0),
            lambda compiled: setattr(self, "step", compiled), _with_real_rewards,
        )  # fmt: skip
        self.window: Window | None = None

        space: gym.Space[Any] = world.observation_space
        self.observation_spaces: dict[str, gym.Space[Any]] = {}
        for name in self.names:
            if self.restricts:
                mask = gym.spaces.Box(0, 1, (world.num_actions,), np.int8)
                self.observation_spaces[name] = gym.spaces.Dict({"observation": _copy(space), "action_mask": mask})
            else:
                self.observation_spaces[name] = _copy(space)
        self.action_spaces: dict[str, gym.Space[Any]] = {
            name: gym.spaces.Discrete(world.num_actions) for name in self.names
        }

    def __getstate__(self) -> dict[str, Any]:
        """Returns all but compiled code and the window."""
        left_out = ("packed", "begin", "step", "mask_of", "window")
        return {name: value for name, value in vars(self).items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        _Table.__init__(self, state["world"], state["render_mode"], state["limit"] or None)
        vars(self).update(state)
        self.mask_of = list(self.masks)

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> int:
        """Starts an episode; returns who moves."""
        self.copies.reseed(seed)
        obs = self.obs = np.empty(self.obs_shape, self.obs_dtype)
        self.masks = np.ones_like(self.masks)
        self.mask_of = list(self.masks)
        mover: int = self.begin(self.packed, self.floats, self.ints, obs, self.masks)
        if options and "state" in options:
            states = initial_of(self.world, options["state"])
            self.copies.set_states(states)
            mover = call(self.world, TURNS, "observe_all", 1, self.packed, self.floats, self.ints, obs, self.masks)
        return mover

    def advance(self, action: Any) -> tuple[int, tuple[float, ...], bool, bool]:
        """Steps the law with the mover's action, or with `actions`; returns who moves next, rewards, and both flags.

        `obs` and `masks` are those after the step; arrays given out before keep what they held.

        Raises:
            UsageError: an action is illegal.
        """
        obs, masks = np.empty(self.obs_shape, self.obs_dtype), self.masks
        if self.restricts:
            masks = np.empty(masks.shape, np.int8)
        status, mover, rewards, terminated, truncated = self.step(
            self.packed, self.floats, self.ints, action, obs, masks, self.limit
        )
        if status:
            self.refuse(action)
        self.obs = obs
        if self.restricts:
            self.masks, self.mask_of = masks, list(masks)
        return mover, rewards, terminated, truncated

    def observation(self, player: int) -> Any:
        """Returns what a player observes, with its mask where the world restricts actions."""
        if self.wide_shape is not None:
            own = self.obs[player].reshape(self.wide_shape)
        else:
            own = self.obs[player] if self.obs.ndim == 1 else self.obs[:, player]
        return {"observation": own, "action_mask": self.mask_of[player]} if self.restricts else own

    def infos(self) -> dict[str, dict[str, Any]]:
        if self.restricts:
            return {name: {"action_mask": mask} for name, mask in zip(self.names, self.mask_of)}
        return {name: {} for name in self.names}

    def action_number(self, player: int, action: Any) -> int:
        """Returns a player's action as an int.

        Raises:
            UsageError: it is no integer, or out of range.
        """
        names = self.world.action_names
        number = np.asarray(action)
        if number.size != 1 or number.dtype.kind not in "iu" or not 0 <= number.item() < len(names):
            raise UsageError(
                f"action {action!r} of {self.names[player]} in {self.world.name}",
                expected=f"an integer from 0 to {len(names) - 1}: {_listed(names)}",
            )
        return int(number.item())

    def refuse(self, action: Any) -> None:
        """Raises UsageError naming the player whose action is illegal, the action, and those that are legal."""
        states, names = self.states, self.world.action_names
        masks = self.world.legal_actions(states)[0]
        if self.world.simultaneous:
            player = next(m for m, a in enumerate(action[0]) if not masks[m, a])
            action, mask = action[0, player], masks[player]
        else:
            player, mask = int(self.world.mover_of(states)[0]), masks
        raise UsageError(
            f"action {names[action]!r} of {self.names[player]} is illegal in {self.world.name}",
            expected=f"one of {_listed([name for name, legal in zip(names, mask) if legal])}",
            hint="choose where action_mask is 1",
        )

    @property
    def states(self) -> States:
        return self.copies.states.copy()

    def state(self) -> np.ndarray:
        """Returns every number of the state, floats before integers."""
        states = self.copies.states
        floats, ints = states.floats[:, 0], states.ints[:, 0]
        return ints.copy() if not len(floats) else np.concatenate([floats, ints.astype(np.float64)])

    def state_space(self) -> gym.Space[Any]:
        values = self.state()
        if values.dtype == np.int64:
            limits = np.iinfo(np.int64)
            return gym.spaces.Box(limits.min, limits.max, values.shape, np.int64)
        return gym.spaces.Box(-np.inf, np.inf, values.shape, np.float64)

    def render(self) -> Any:
        if self.render_mode is None:
            raise UsageError("render() without a render mode", hint='make the environment with render_mode="rgb_array"')
        if self.render_mode == "ansi":
            return self.world.describe_state(self.states)
        from inscape.envs.rendering import rasterizer as rendering

        scene = self.world.scene(self.states)
        if self.render_mode == "rgb_array":
            return rendering.render_scene(scene)
        if self.window is None:
            self.window = rendering.Window(self.world.name, fps=FRAMES_PER_SECOND)
        self.window.show(scene)
        return None

    def close(self) -> None:
        if self.window is not None:
            self.window.close()
            self.window = None

    def metadata(self) -> dict[str, Any]:
        return {
            "name": self.world.name,
            "render_modes": list(RENDER_MODES),
            "render_fps": FRAMES_PER_SECOND,
            "is_parallelizable": self.world.simultaneous,
        }


def _copy(space: gym.Space[Any]) -> gym.Space[Any]:
    """Returns an equal space of its own, so that seeding one player's does not seed another's."""
    import copy

    return copy.deepcopy(space)


def _listed(names: Any) -> str:
    """Returns names, the first few of many."""
    few = [repr(name) for name in names[:12]]
    return ", ".join(few) + (", …" if len(names) > len(few) else "") if few else "none"


class WorldAECEnv(AECEnv[str, Any, int]):  # type: ignore[misc, unused-ignore]
    """A world of several players, acting one after another, as a PettingZoo AEC environment.

    Where the law has all players act at once, their actions are collected and the law steps at the last one's; until
    then no player observes anything new. Observations are `{"observation", "action_mask"}` where the world restricts
    actions (mask `[A]` int8; all 0 for players not to move), and the plain observation elsewhere; `infos[agent]` has
    the mask too. The end, and the time limit, come for all players at once.

    Copy 0 of seed s: the same trajectory as copy 0 of a vector environment reset with that seed.

    Args:
        world: the law.
        render_mode: None, `"rgb_array"`, `"human"` (a pygame window) or `"ansi"` (text, from the mover's side).
        max_episode_steps: the time limit in steps of the law, or None; truncation never sets `terminations`.

    `reset(options={"state": …})` starts from a given state.
    """

    def __init__(self, world: BatchedLaw, render_mode: str | None = None, max_episode_steps: int | None = None) -> None:
        super().__init__()
        self.world, self.render_mode, self.max_episode_steps = world, render_mode, max_episode_steps
        self._table = _Table(world, render_mode, max_episode_steps)
        self.metadata = self._table.metadata()
        self.possible_agents = self._table.names
        self.observation_spaces, self.action_spaces = self._table.observation_spaces, self._table.action_spaces
        self.state_space = self._table.state_space()
        self._number = {name: m for m, name in enumerate(self.possible_agents)}
        self._num_actions = world.num_actions
        self._in_turn = not world.simultaneous
        self.agents: list[str] = []
        self.agent_selection = self.possible_agents[0]
        self.rewards: dict[str, float] = {}
        self._cumulative_rewards: dict[str, float] = {}
        self.terminations: dict[str, bool] = {}
        self.truncations: dict[str, bool] = {}
        self.infos: dict[str, dict[str, Any]] = {}
        self._running = False

    def observation_space(self, agent: str) -> gym.Space[Any]:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gym.Space[Any]:
        return self.action_spaces[agent]

    @property
    def states(self) -> States:
        """The current state, packed, a batch of one."""
        return self._table.states

    def state(self) -> np.ndarray:
        """Returns every number of the state, observed or not: floats before integers, in `state_space`."""
        return self._table.state()

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Starts an episode; without a seed the streams there are go on."""
        mover = self._table.reset(seed, options)
        names = self.possible_agents
        self.agents = list(names)
        self.agent_selection = names[mover]
        self.rewards, self._cumulative_rewards = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
        self.terminations, self.truncations = dict.fromkeys(names, False), dict.fromkeys(names, False)
        self.infos = self._table.infos()
        self._skip_agent_selection = None
        self._running = True
        if self.render_mode == "human":
            self.render()

    def observe(self, agent: str) -> Any:
        """Returns what the player observes now."""
        return self._table.observation(self._number[agent])

    def last(self, observe: bool = True) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Returns what PettingZoo's own `last` does, sooner."""
        agent = self.agent_selection
        return (
            self._table.observation(self._number[agent]) if observe else None,
            self._cumulative_rewards[agent],
            self.terminations[agent],
            self.truncations[agent],
            self.infos[agent],
        )

    def step(self, action: Any) -> None:
        """Takes the action of the player `agent_selection`; None for one whose episode is over.

        Raises:
            UsageError: an action that is illegal, out of range or no integer; a step when all players are gone.
        """
        agent, table = self.agent_selection, self._table
        if not self._running:
            self._leave(action)
            return
        player = self._number[agent]
        if type(action) not in INTEGERS or not 0 <= action < self._num_actions:
            action = table.action_number(player, action)
        if not self._in_turn:
            if not self._collect(player, action):
                return
            action = table.actions
        mover, gained, terminated, truncated = table.advance(action)
        names = self.possible_agents
        self.rewards = dict(zip(names, gained))
        self._cumulative_rewards[agent] = 0.0
        if any(gained):
            self._accumulate_rewards()
        if terminated or truncated:
            self.terminations = dict.fromkeys(names, terminated)
            self.truncations = dict.fromkeys(names, truncated)
            self._running = False
        self.infos = table.infos()
        self.agent_selection = names[mover]
        if self.render_mode == "human":
            self.render()

    def _collect(self, player: int, action: int) -> bool:
        """Notes an action of players who act at once; returns whether it was the last one's."""
        table = self._table
        table.actions[0, player] = action
        if player + 1 == len(self.possible_agents):
            return True
        if table.restricts and not table.masks[player, action]:
            # so far only the actions up to this one are known to be legal: say what is wrong with this one alone
            for later in range(player + 1, len(self.possible_agents)):
                table.actions[0, later] = int(np.argmax(table.masks[later]))
            table.refuse(table.actions)
        self.rewards = dict.fromkeys(self.possible_agents, 0.0)
        self._cumulative_rewards[self.agent_selection] = 0.0
        self.agent_selection = self.possible_agents[player + 1]
        return False

    def _leave(self, action: Any) -> None:
        """Takes the None of a player whose episode is over, who then leaves."""
        if not self.agents:
            raise UsageError(
                f"step on {self.world.name} after the episode's end, or before the first reset",
                expected="a running episode",
                hint="call reset() first",
            )
        if action is not None:
            raise UsageError(
                f"action {action!r} of {self.agent_selection} after the end of its episode in {self.world.name}",
                expected="None",
                hint="reset() begins the next episode",
            )
        self._was_dead_step(action)

    def render(self) -> Any:
        """Returns the picture `[H, W, 3]` uint8 (`"rgb_array"`), the text (`"ansi"`), or shows a window (`"human"`).

        Raises:
            UsageError: the environment was made without a render mode.
        """
        return self._table.render()

    def close(self) -> None:
        self._table.close()


class WorldParallelEnv(ParallelEnv[str, Any, int]):  # type: ignore[misc, unused-ignore]
    """A world whose players act all at once, as a PettingZoo Parallel environment.

    Observations are `{"observation", "action_mask"}` where the world restricts actions (mask `[A]` int8), and the plain
    observation elsewhere; infos have the mask too. The end, and the time limit, come for all players at once.

    Copy 0 of seed s: the same trajectory as copy 0 of a vector environment reset with that seed.

    Args:
        world: the law.
        render_mode: None, `"rgb_array"`, `"human"` (a pygame window) or `"ansi"` (text).
        max_episode_steps: the time limit, or None; truncation never sets `terminations`.

    `reset(options={"state": …})` starts from a given state.
    """

    def __init__(self, world: BatchedLaw, render_mode: str | None = None, max_episode_steps: int | None = None) -> None:
        if world.players > 1 and not world.simultaneous:
            raise UsageError(
                f"the players of {world.name} act in turn",
                expected="a world whose players act all at once",
                hint="read it as an AEC environment: world.aec_env()",
            )
        self.world, self.render_mode, self.max_episode_steps = world, render_mode, max_episode_steps
        self._table = _Table(world, render_mode, max_episode_steps)
        self.metadata = self._table.metadata()
        self.possible_agents = self._table.names
        self.observation_spaces, self.action_spaces = self._table.observation_spaces, self._table.action_spaces
        self.state_space = self._table.state_space()
        self._num_actions = world.num_actions
        self.agents: list[str] = []

    def observation_space(self, agent: str) -> gym.Space[Any]:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gym.Space[Any]:
        return self.action_spaces[agent]

    @property
    def states(self) -> States:
        """The current state, packed, a batch of one."""
        return self._table.states

    def state(self) -> np.ndarray:
        """Returns every number of the state, observed or not: floats before integers, in `state_space`."""
        return self._table.state()

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Starts an episode; without a seed the streams there are go on."""
        self._table.reset(seed, options)
        self.agents = list(self.possible_agents)
        if self.render_mode == "human":
            self.render()
        return self._observations(), self._table.infos()

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Takes one action per player, by name.

        Raises:
            UsageError: players missing or unknown; an action that is illegal, out of range or no integer; a step after
                the episode's end.
        """
        table, names = self._table, self.possible_agents
        if not self.agents:
            raise UsageError(
                f"step on {self.world.name} after the episode's end, or before the first reset",
                expected="a running episode",
                hint="call reset() first",
            )
        if len(actions) != len(names) or not all(name in actions for name in names):
            raise UsageError(
                f"actions of {', '.join(map(str, actions)) or 'nobody'} in {self.world.name}",
                expected=f"one action for each of {', '.join(names)}",
            )
        for player, name in enumerate(names):
            action = actions[name]
            if type(action) not in INTEGERS or not 0 <= action < self._num_actions:
                action = table.action_number(player, action)
            table.actions[0, player] = action
        _, gained, terminated, truncated = table.advance(table.actions)
        if terminated or truncated:
            self.agents = []
        if self.render_mode == "human":
            self.render()
        return (
            self._observations(),
            dict(zip(names, gained)),
            dict.fromkeys(names, terminated),
            dict.fromkeys(names, truncated),
            table.infos(),
        )

    def _observations(self) -> dict[str, Any]:
        return {name: self._table.observation(player) for player, name in enumerate(self.possible_agents)}

    def render(self) -> Any:
        """Returns the picture `[H, W, 3]` uint8 (`"rgb_array"`), the text (`"ansi"`), or shows a window (`"human"`).

        Raises:
            UsageError: the environment was made without a render mode.
        """
        return self._table.render()

    def close(self) -> None:
        self._table.close()
