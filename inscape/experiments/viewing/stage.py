"""One episode, step by step, for one player or several: what `play` drives.

A `LawStage` runs an Inscape world as plain Python: nothing has to compile before the first picture, and at the pace of
a person that is fast enough. A `SoloStage` runs an ordinary Gymnasium environment. Both record what happens.
"""

from __future__ import annotations

import textwrap
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.batches import batch_of, rows_of, stacked
from inscape.agents.rollout import flattened
from inscape.agents.vector_actor import check_actions
from inscape.envs.data.trajectory import Trajectory
from inscape.envs.law.states import States
from inscape.envs.rendering.fields import default_scene
from inscape.envs.rendering.rasterizer import as_picture
from inscape.envs.rendering.scene import Rect, Scene, Text
from inscape.envs.world import World
from inscape.errors import MissingLawError, UsageError
from inscape.experiments.runs.evaluation import looks_alike

if TYPE_CHECKING:
    from inscape.agents.vector_actor import VectorActor
    from inscape.envs.tasks.task import Task


"""Copies and steps of the random play that shows whether states look alike."""


class EpisodeSession(ABC):
    """One episode in progress, and its record.

    Attributes:
        task: what is acted in.
        names: the players' names; `[""]` for one player.
        seed: seed of the episode.
        actions: those taken: an int or an array, or with all players at once a tuple of ints.
        rewards: `[T]` or `[T, M]` so far.
        terminated, truncated: how it ended.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.names: tuple[str, ...] = ("",)
        self.simultaneous = False

    def reset(self, seed: int) -> None:
        """Begins an episode."""
        self.seed = seed
        self.actions: list[Any] = []
        self.rewards: list[Any] = []
        self.terminated = self.truncated = False

    @property
    def ended(self) -> bool:
        return self.terminated or self.truncated

    @property
    def returns(self) -> np.ndarray:
        """`[M]` sums of rewards so far."""
        rewards = np.array(self.rewards, np.float64).reshape(len(self.rewards), len(self.names))
        return np.asarray(rewards.sum(axis=0))

    @property
    @abstractmethod
    def movers(self) -> tuple[int, ...]:
        """The players who act now; none once the episode is over."""

    @abstractmethod
    def mask(self, player: int) -> np.ndarray | None:
        """Returns `[A]` bool of the player's legal actions; None where nothing is restricted."""

    @abstractmethod
    def observation(self, player: int) -> np.ndarray:
        """Returns what the player observes."""

    @abstractmethod
    def step(self, actions: Mapping[int, Any]) -> None:
        """Takes the actions of all who act now, by player."""

    @abstractmethod
    def picture(self, viewer: int | None = None) -> Scene | np.ndarray:
        """Returns the present as a scene or as pixels; with a `viewer`, what that player perceives."""

    @abstractmethod
    def trajectory(self, agent: str) -> Trajectory:
        """Returns the record. An episode that was left is truncated: it was cut from outside."""


def make_session(task: Task) -> EpisodeSession:
    """Returns a stage for a task, before its first `reset`."""
    return WorldSession(task, task.world) if task.world is not None else SoloStage(task)


class WorldSession(EpisodeSession):
    """An Inscape world, run as plain Python."""

    def __init__(self, task: Task, world: World) -> None:
        super().__init__(task)
        world.require_probabilities()
        self.world = world
        if world.players > 1:
            self.names = world.agents
        self.simultaneous = world.simultaneous

    def reset(self, seed: int) -> None:
        super().reset(seed)
        self._rng = np.random.default_rng(seed)
        self._past = [self.world.sample_initial(1, self._rng, compiled=False)]
        self._look()

    def _look(self) -> None:
        """Reads what depends on the state: who acts and what is legal."""
        if self.world.simultaneous:
            self._movers: tuple[int, ...] = tuple(range(self.world.players))
        else:
            self._movers = (int(self.world.mover_of(self.state, compiled=False)[0]),)
        self._masks = None
        if self.world.law_function("legal") is not None:
            self._masks = self.world.legal_actions(self.state, compiled=False)[0]

    @property
    def state(self) -> States:
        """The present state, packed, a batch of one."""
        return self._past[-1]

    @property
    def movers(self) -> tuple[int, ...]:
        return () if self.ended else self._movers

    def mask(self, player: int) -> np.ndarray | None:
        if self._masks is None:
            return None
        return np.asarray(self._masks[player] if self.world.simultaneous else self._masks)

    def observation(self, player: int) -> np.ndarray:
        return np.asarray(self.world.observe(self.state, player, compiled=False)[0])

    def step(self, actions: Mapping[int, Any]) -> None:
        chosen = [actions[player] for player in self.movers]
        action = tuple(int(a) for a in chosen) if self.world.simultaneous else chosen[0]
        following, reward, ended = self.world.step(self.state, np.asarray(action)[None], self._rng, compiled=False)
        self._past.append(following)
        self.actions.append(action)
        self.rewards.append(reward[0])
        self.terminated = bool(ended[0])
        limit = self.task.max_episode_steps
        self.truncated = limit is not None and len(self.actions) >= limit
        if not self.terminated:
            self._look()

    def picture(self, viewer: int | None = None) -> Scene:
        if viewer is None:
            return self.world.scene(self.state)
        return perceived_scene(self.world, self.state, viewer)

    def trajectory(self, agent: str) -> Trajectory:
        states = States.concatenate(self._past)
        masks = None
        if self._masks is not None and self.actions:
            masks = self.world.legal_actions(states[np.arange(len(self.actions))], compiled=False)
        return Trajectory(
            observations=self.world.observe(states, compiled=False),
            actions=np.array(self.actions, np.float64 if self.world.continuous else np.int64),
            rewards=np.array(self.rewards, np.float64),
            terminated=self.terminated,
            truncated=self.truncated or not self.terminated,
            states=states,
            action_masks=masks,
            task=self.task.to_json(),
            agent=agent,
            seed=self.seed,
        )


class SoloStage(EpisodeSession):
    """An ordinary Gymnasium environment."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._env = task.env(render_mode="rgb_array")

    def reset(self, seed: int) -> None:
        super().reset(seed)
        observation, info = self._env.reset(seed=seed)
        self._observations, self._mask = [stacked([observation])], info.get("action_mask")
        self._masks: list[Any] = []

    @property
    def movers(self) -> tuple[int, ...]:
        return () if self.ended else (0,)

    def mask(self, player: int) -> np.ndarray | None:
        return None if self._mask is None else np.asarray(self._mask, np.bool_)

    def observation(self, player: int) -> Any:
        return rows_of(self._observations[-1], 0)

    def step(self, actions: Mapping[int, Any]) -> None:
        action = actions[0]
        self._masks.append(self.mask(0))
        observation, reward, self.terminated, self.truncated, info = self._env.step(action)
        self._observations.append(stacked([observation]))
        self._mask = info.get("action_mask")
        self.actions.append(action)
        self.rewards.append(float(reward))

    def picture(self, viewer: int | None = None) -> np.ndarray:
        return as_picture(self._env.render(), self.task.name)

    def trajectory(self, agent: str) -> Trajectory:
        space = self.task.action_space
        return Trajectory(
            observations=np.concatenate([flattened(seen, self.task.observation_space) for seen in self._observations]),
            actions=flattened(batch_of(space, self.actions), space),
            rewards=np.array(self.rewards, np.float64),
            terminated=self.terminated,
            truncated=self.truncated or not self.terminated,
            action_masks=np.stack(self._masks) if self._masks and self._masks[0] is not None else None,
            task=self.task.to_json(),
            agent=agent,
            seed=self.seed,
        )


def perceived_scene(world: World, states: States, player: int, index: int = 0) -> Scene:
    """Returns what a player perceives of state number `index`.

    A world says how that looks by `draw_view(params, purpose, state)` (several players: `(…, state, player)`). Without
    one, a world of one player that `hides` something is shown in the words a language model gets, or else by the bare
    numbers observed; any other world by its drawing.
    """
    view = world.law_function("draw_view")
    if view is not None:
        state = world.unpack(states, index)
        arguments = (world.params, world.purpose, state, player)
        scene: Scene = view(*(arguments if world.players > 1 else arguments[:3]))
        return scene
    if world.players > 1 or not looks_alike(world):
        return world.scene(states, index)
    observation = world.observe(states[[index]], player, compiled=False)
    words = world.describe_seen(observation)
    if words is not None:
        return words_scene(words[0])
    if type(world).describe is not World.describe:
        return words_scene(world.describe_state(states, index))
    values = tuple(np.ravel(observation[0]).tolist())
    return default_scene({"observation": values if len(values) > 1 else values[0]}, world.name)


def words_scene(text: str) -> Scene:
    """Returns a text as a scene: its parts (between bars) below each other, in lines that fit."""
    lines = [line for part in text.split(" | ") for line in [*textwrap.wrap(part, 40), ""]]
    height = max(6.0, 0.8 * len(lines) + 0.6)
    shapes = [Text(0.5, 0.8 + 0.8 * k, line, 0.32, "ink", "start", "moving") for k, line in enumerate(lines) if line]
    return Scene(12.0, height, (Rect(0, 0, 12.0, height, fill="paper"), *shapes))


def agents_by_player(specs: Sequence[str], task: Task, seed: int, humans: bool, settings: Any = None) -> list[Any]:
    """Returns who plays each part: an agent, or None for a human, from specs such as `["human", "mcts"]`.

    Args:
        specs: one for each player, or one for all; empty: a human (where `humans`) for the first, random for the rest.
            Names of agents as `make_agent` takes them, run folders, `human`.
        task: what is acted in.
        seed: seed of the agents' own random generators; player k's agent gets seed + k.
        humans: whether there may be humans.
        settings: the agents' settings, as `make_agent` takes them; None for the defaults of each.

    Raises:
        UsageError: a number of specs that does not fit, a human where there may be none, or an agent that cannot act
            in this world.
    """
    count = task.players
    given = list(specs) or (["human"] if humans else ["random"]) + ["random"] * (count - 1)
    if len(given) == 1:
        given *= count
    if len(given) != count:
        raise UsageError(
            f"{len(given)} players ({', '.join(given)}) for {task.name}",
            expected=f"{count}, or one name for all of them" if count > 1 else "one",
            hint=",".join((given + ["random"] * count)[:count]),
        )
    from inscape.agents.rollout import for_player

    return [
        None if name == "human" and humans else for_player(_agent(name, task, seed + k, settings), k)
        for k, name in enumerate(given)
    ]


def _agent(spec: str, task: Task, seed: int, settings: Any) -> Any:
    from inscape.agents.registry import make_agent
    from inscape.experiments.runs.folders import find_run
    from inscape.experiments.runs.resuming import load_agent

    if find_run(spec) is None:
        return make_agent(spec, task, seed=seed, settings=settings)
    agent, trained = load_agent(spec, seed=seed)
    for name in ("observation_space", "action_space"):
        if getattr(trained, name) != getattr(task, name):
            raise UsageError(
                f"the agent of {spec} was trained in {trained.name}, whose {name.replace('_', ' ')} differs",
                expected=f"a run trained in {task.name}",
            )
    return agent


def choose(acting: VectorActor, stage: EpisodeSession, player: int) -> Any:
    """Returns the action an agent takes for a player, checked.

    Args:
        acting: the agent, in one copy: this episode.
        stage: the episode.
        player: whom it acts for.

    Raises:
        UsageError: the agent cannot act in this world, or what it returned is no legal action.
    """
    agent, one = acting.agent, np.array([0])
    mask = stage.mask(player)
    masks = None if mask is None else mask[None]
    try:
        chosen = acting.act(stacked([stage.observation(player)]), masks, one)
    except MissingLawError as error:
        raise UsageError(
            f"{agent.name} cannot act for player {stage.names[player] or 'one'} of {stage.task.name}: {error.found}",
            expected=error.expected,
            hint="random, or a plug-in that reads observations",
        ) from error
    return check_actions(
        chosen, stage.task.action_space, one, agent=agent.name, step=len(stage.actions), action_mask=masks
    )[0]
