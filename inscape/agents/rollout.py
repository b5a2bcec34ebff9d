"""The one loop in which agents act: `rollout` records what happened, `evaluate` only how well it went.

Which episodes are counted is fixed before anything is seen: with E episodes on n copies, copy i gives its first
⌈(E−i)/n⌉ episodes, however long they take. (Taking the first E episodes to *end* would favour short ones.)

Several players: an agent for each, or one for all of them. Each is asked in turn, or all at once, for its own player
alone: with what that player observes, and what is legal for it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inscape import html
from inscape.agents.adapters import as_agent, for_task
from inscape.agents.batches import count_of, folded, is_array_space, leading_shape, objects, rows_of
from inscape.agents.interface import Agent
from inscape.agents.vector_actor import VectorActor, check_actions
from inscape.envs.data.trajectory import Trajectory
from inscape.envs.law.states import States
from inscape.envs.tasks.checking.contract import mask_sizes
from inscape.envs.tasks.resolve import as_task
from inscape.envs.text.interface import AnyText
from inscape.errors import UsageError, exits_as_errors
from inscape.world_models.networks.encoders.packing import flattens, is_text, tokens
from inscape.world_models.networks.types import Array

if TYPE_CHECKING:
    import gymnasium

    from inscape.envs.tasks.resolve import Given
    from inscape.envs.tasks.task import Task

MAX_COPIES = 128
LONGEST_EPISODE = 100_000
"""Steps after which an episode without a time limit is given up with an error: it may never end."""


@dataclass(frozen=True)
class Evaluation:
    """How an agent did; of several players, how one of them did.

    Attributes:
        returns: `[E]` sums of rewards, discounted by the `gamma` of the evaluation.
        lengths: `[E]` steps.
        terminated: `[E]` bool: the task itself ended (otherwise the time limit did).
        ci: 95 % bootstrap interval of the mean return, (low, high).
        agent, world: whose returns they are, and where; empty where that is not known.
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    terminated: NDArray[np.bool_]
    ci: tuple[float, float]
    agent: str = ""
    world: str = ""

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())

    def __str__(self) -> str:
        low, high = self.ci
        return f"mean return {self.mean:.4g} (95 % interval {low:.4g} to {high:.4g}, {len(self.returns)} episodes)"

    def __repr__(self) -> str:
        whose = f"{self.agent} in {self.world}: " if self.agent else ""
        return f"{type(self).__name__}({whose}{self})"

    def _repr_html_(self) -> str:
        low, high = (html.number(bound) for bound in self.ci)
        whose = f"{self.agent} in {self.world}" if self.agent else "Evaluation"
        mean = f"mean return {html.number(self.mean)}, 95 % interval {low} to {high}"
        quarters = np.quantile(self.returns, [0, 0.25, 0.5, 0.75, 1])
        columns = ("lowest", "lower quarter", "median", "upper quarter", "highest")
        spread = html.table(columns, [[float(value) for value in quarters]], columns)
        ended = f"{self.terminated.mean():.0%} ended by themselves"
        note = f"{len(self.returns)} episodes of {html.number(float(self.lengths.mean()))} steps, {ended}"
        return html.block(whose, html.line(mean), spread, note=note)


def rollout(agent: Any, task: Given, episodes: int, seed: int, max_copies: int = MAX_COPIES) -> list[Trajectory]:
    """Returns `episodes` recorded episodes of `agent` in `task`, ordered by copy within each round of copies.

    Args:
        agent: an `Agent`, any object with `act`, or a name; in a world of several players a list of them, one for each,
            or one that acts for all.
        task: what to act in: a task, or what stands for one (`resolve_task`); with states recorded where it is a world
            with a law.
        episodes: how many.
        seed: seed of the environments' random generators (the agent has its own).
        max_copies: episodes are played side by side in at most this many copies. Which episodes are seen depends on
            it when it is smaller than `episodes`.

    Raises:
        UsageError: an action of the wrong shape, dtype or range or an illegal one (naming agent, copy and step); an
            episode that does not end in an environment without a time limit; or agents that are not as many as the
            players.
    """
    task = as_task(task)
    seats = seated(agent, task, seed)
    recorder = _Recorder(task)
    with exits_as_errors(_acting(seats, task)):
        played = list(_play(seats, task, episodes, seed, max_copies, recorder))
    identity = {"task": task.to_json(), "agent": ",".join(one.name for one in seats), "seed": seed}
    return [recorder.trajectory(episode, identity) for episode in sorted(played, key=lambda e: (e.number, e.copy))]


def evaluate(
    agent: Any, task: Given, episodes: int, seed: int, max_copies: int = MAX_COPIES, gamma: float = 1.0
) -> Evaluation:
    """Returns the returns of `episodes` episodes, those that `rollout` would record, in the same order.

    Args:
        agent, task: as in `rollout`.
        episodes: how many.
        seed: seed of the environments' random generators, and of the bootstrap.
        max_copies: as in `rollout`.
        gamma: discount of the returns; 1 for plain sums.

    Raises:
        UsageError: as `rollout`; or the task has several players.
    """
    task = as_task(task)
    found = evaluate_players(agent, task, episodes, seed, max_copies, gamma)
    if len(found) > 1:
        raise UsageError(
            f"{task.name} has {len(found)} players, each with a separate return",
            expected="a task of one player",
            hint="evaluate_players(agents, task, …)",
        )
    return found[0]


def evaluate_players(
    agents: Any, task: Given, episodes: int, seed: int, max_copies: int = MAX_COPIES, gamma: float = 1.0
) -> tuple[Evaluation, ...]:
    """Returns how each player did in the same `episodes` episodes, those that `rollout` would record.

    Args:
        agents: a list of agents, one for each player, or one that acts for all.
        task, episodes, seed, max_copies, gamma: as in `evaluate`.

    Raises:
        UsageError: as `rollout`.
    """
    task = as_task(task)
    seats = seated(agents, task, seed)
    with exits_as_errors(_acting(seats, task)):
        played = list(_play(seats, task, episodes, seed, max_copies, None, gamma))
    played.sort(key=lambda e: (e.number, e.copy))
    lengths = np.array([episode.stop - episode.start for episode in played])
    terminated = np.array([episode.terminated for episode in played])
    return _by_player(np.array([episode.total for episode in played]), lengths, terminated, seed)


def evaluation_of(trajectories: Sequence[Trajectory], seed: int) -> tuple[Evaluation, ...]:
    """Returns how each player did in recorded episodes, by plain sums: what `evaluate_players` finds in the same ones.

    Args:
        trajectories: at least one, all of one task.
        seed: of the bootstrap.
    """
    returns = np.array([trajectory.total_reward for trajectory in trajectories])
    lengths = np.array([len(trajectory) for trajectory in trajectories])
    return _by_player(returns, lengths, np.array([trajectory.terminated for trajectory in trajectories]), seed)


def _by_player(returns: Array, lengths: Array, terminated: Array, seed: int) -> tuple[Evaluation, ...]:
    columns = np.ascontiguousarray(returns.reshape(len(lengths), -1).T)
    intervals = (bootstrap_interval(own, np.random.default_rng(seed)) for own in columns)
    return tuple(Evaluation(own, lengths, terminated, ci) for own, ci in zip(columns, intervals, strict=True))


def _acting(seats: Sequence[Agent], task: Task) -> str:
    return f"{','.join(dict.fromkeys(one.name for one in seats))} acted in {task.name}"


def seated(agent: Any, task: Task, seed: int = 0) -> list[Agent]:
    """Returns the agent of each player, from one for each or one for all; made, with `seed`, where it is a name.

    Raises:
        UsageError: there are more agents than players, or too few; or no agents at all.
    """
    players = task.players
    made = _made(agent, task, seed)
    given = made if isinstance(made, list) else [made] * players
    if len(given) != players:
        raise UsageError(
            f"{len(given)} agents for the {players} players of {task.name}",
            expected=f"{players} agents, or one that acts for all" if players > 1 else "one agent",
        )
    return [for_task(for_player(one, player), task) for player, one in enumerate(given)]


def _made(agent: Any, task: Task, seed: int) -> Any:
    """Returns an agent, or several, with those made that are given by name."""
    if isinstance(agent, (list, tuple)):
        return [_made(one, task, seed + k) for k, one in enumerate(agent)]
    if not isinstance(agent, str):
        return agent
    from inscape.agents.registry import make_agent

    return make_agent(agent, task, seed=seed)


def for_player(agent: Any, player: int) -> Agent:
    """Returns what acts for a player: the agent itself, or who stands for that player among several in one.

    Args:
        agent: an `Agent` or any object with `act`; one that acts differently for each player has
            `for_player(player) -> Agent`.
        player: from 0.
    """
    agent = as_agent(agent)
    for_player = getattr(agent, "for_player", None)
    return as_agent(for_player(player)) if callable(for_player) else agent


def bootstrap_interval(
    values: Array, rng: np.random.Generator, level: float = 0.95, resamples: int = 2000
) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of the mean of `[E]` values.

    Source: Efron (1979), Annals of Statistics 7(1).
    """
    drawn = rng.integers(0, len(values), (resamples, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class _Episode:
    """Episode `number` of a copy, from step `start` to step `stop` of the loop (its last action is at stop − 1).

    `total` is its return, `[]` or `[M]`.
    """

    copy: int
    number: int
    start: int
    stop: int
    total: Array
    terminated: bool
    truncated: bool


class _Recorder:
    """Keeps every step of every copy as whole arrays; episodes are cut out at the end."""

    def __init__(self, task: Task) -> None:
        self._space, self._action_space = task.observation_space, task.action_space
        self._axes = 2 if task.players > 1 and task.simultaneous else 1
        self.observations: list[Array] = []
        self.states: list[States] = []
        self.masks: list[Array | None] = []
        self.actions: list[Array] = []
        self.rewards: list[Array] = []

    def saw(self, env: gymnasium.vector.VectorEnv[Any, Any, Any], observation: Array, mask: Array | None) -> None:
        self.observations.append(flattened(observation, self._space, self._axes))
        self.masks.append(None if mask is None else mask.copy())
        states = getattr(env, "states", None)
        if isinstance(states, States):
            self.states.append(states)

    def did(self, actions: Array, rewards: Array) -> None:
        self.actions.append(flattened(actions, self._action_space))
        self.rewards.append(np.array(rewards, np.float64))

    def trajectory(self, episode: _Episode, identity: dict[str, Any]) -> Trajectory:
        i, steps, places = episode.copy, range(episode.start, episode.stop), range(episode.start, episode.stop + 1)
        masks = [self.masks[t] for t in steps]
        return Trajectory(
            np.stack([self.observations[t][i] for t in places]),
            np.stack([self.actions[t][i] for t in steps]),
            np.array([self.rewards[t][i] for t in steps]),
            episode.terminated,
            episode.truncated,
            States.concatenate([self.states[t][i] for t in places]) if self.states else None,
            np.stack([mask[i] for mask in masks if mask is not None]) if masks[0] is not None else None,
            **identity,
        )


def _play(
    seats: Sequence[Agent],
    task: Task,
    episodes: int,
    seed: int,
    max_copies: int,
    recorder: _Recorder | None,
    gamma: float = 1.0,
) -> Iterator[_Episode]:
    """Plays, and yields each counted episode as it ends.

    The environment resets in a separate step ("next-step"), so that the last observation and state of an episode are
    seen like any other. An agent is asked only for copies that still owe an episode and are inside one; what it
    remembers is kept per player, so that one agent may play them all, and reset with each episode.
    """
    _require_counts(episodes, max_copies)
    if not isinstance(gamma, (int, float, np.number)) or not 0 <= gamma <= 1:
        raise UsageError(f"gamma = {gamma!r}", expected="a discount from 0 to 1; 1 for plain sums")
    copies, name = min(episodes, max_copies), ",".join(one.name for one in seats)
    env = task.vector_env(copies, autoreset="next-step")
    players = [VectorActor(one, copies) for one in seats]
    remembering = [(k, player) for k, player in enumerate(players) if player.remembers]
    try:
        owed = np.array([len(range(i, episodes, copies)) for i in range(copies)])
        number, start = np.zeros(copies, np.int64), np.zeros(copies, np.int64)
        total = np.zeros((copies, len(seats)) if len(seats) > 1 else copies)
        discount, fresh = np.ones(copies), np.zeros(copies, np.bool_)
        idle = _idle_actions(task, copies)
        observation, info = env.reset(seed=seed)
        step = 0
        while True:
            mask = info.get("action_mask")
            if recorder is not None:
                recorder.saw(env, observation, mask)
            if not (number < owed).any():
                return
            acting = np.flatnonzero((number < owed) & ~fresh)
            actions = _actions(players, task, observation, mask, info.get("mover"), acting, idle, step)
            observation, reward, terminated, truncated, info = env.step(actions)
            _require_numbers(task, reward, step)
            if recorder is not None:
                recorder.did(actions, reward)
            for k, player in remembering:
                player.earned(np.where(fresh, 0.0, reward if reward.ndim == 1 else reward[:, k]))
            start[fresh], total[fresh], discount[fresh] = step + 1, 0.0, 1.0
            weight = np.where(fresh, 0.0, discount)
            total += (weight if total.ndim == 1 else weight[:, None]) * reward
            discount[~fresh] *= gamma
            whole = ended = (terminated | truncated) & ~fresh
            if "_cut_off" in info:  # by a fault in a worker process: that copy plays another episode instead
                whole, ended = ended & ~info["_cut_off"], ended | info["_cut_off"]
            for i in np.flatnonzero(whole & (number < owed)):
                span, flags = (int(start[i]), step + 1), (bool(terminated[i]), bool(truncated[i]))
                yield _Episode(int(i), int(number[i]), *span, total[i].copy(), *flags)
            for _, player in remembering:
                player.begin(np.flatnonzero(ended))
            number += whole
            fresh = ended
            step += 1
            _require_ending(task, name, step - start[(number < owed) & ~fresh])
    finally:
        env.close()


def _actions(
    players: Sequence[VectorActor],
    task: Task,
    observation: Array,
    mask: Array | None,
    mover: Array | None,
    acting: Array,
    idle: Array,
    step: int,
) -> Array:
    """Returns the actions of all copies; those not `acting` get any legal one, which changes nothing that counts."""
    actions = idle.copy()
    if mask is not None:
        actions = _first_legal(actions, mask, task.action_space)
    for player, asked in enumerate(players):
        rows = acting if mover is None else acting[mover[acting] == player]
        if not len(rows):
            continue
        # players who act at once have an entry each, in observations and masks
        at: Any = rows if len(players) == 1 or mover is not None else (rows, player)
        legal = None if mask is None else mask[at]
        chosen = asked.act(rows_of(observation, at), legal, rows)
        name = asked.agent.name
        actions[at] = check_actions(chosen, task.action_space, rows, agent=name, step=step, action_mask=legal)
    return actions


def _idle_actions(task: Task, copies: int) -> Array:
    """Returns `[B, ...]` actions any environment without a mask takes (fixed ones: copies that do not count must not
    use random numbers)."""
    import gymnasium

    space = task.action_space
    if not is_array_space(space):
        space = copy.deepcopy(space)
        space.seed(0)
        return objects([space.sample()] * copies)
    if isinstance(space, gymnasium.spaces.Box):
        one = np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
    else:
        one = np.zeros(space.shape or (), np.int64) + getattr(space, "start", 0)
    players = (task.players,) if task.players > 1 and task.simultaneous else ()
    return np.array(np.broadcast_to(one, (copies, *players, *one.shape)))


def _first_legal(idle: Array, mask: Array, space: gymnasium.Space[Any]) -> Array:
    """Returns idle actions with the first legal choice `[B, ...]` instead, of each part; `mask` is `[B, …, Σ n]`."""
    sizes = mask_sizes(space)
    if not sizes:
        return idle
    parts = np.split(mask, np.cumsum(sizes)[:-1], axis=-1)
    first = np.stack([np.argmax(part, axis=-1) for part in parts], axis=-1)
    return np.asarray(first.reshape(idle.shape) + getattr(space, "start", 0))


def flattened(batch: Any, space: gymnasium.Space[Any], axes: int = 1) -> Array:
    """Returns a copy of `[B, ...]` observations or actions, as episodes are recorded: of a space that is not one array
    (Dict, Tuple, Text) `[B, D]`, as `gymnasium.spaces.flatten` has them; with texts that it does not take as hashed
    words (`packing.tokens`). Of a text environment `[B]` texts.

    Args:
        batch: `[B, ...]`, or `[B, M, ...]` of players who act at once.
        space: of one element.
        axes: 1, or 2 with players.

    Raises:
        UsageError: the space has elements of no fixed size (Sequence, Graph).
    """
    if is_array_space(space):
        return np.array(batch)
    if axes > 1:
        shape = leading_shape(batch, axes)
        flat = flattened(folded(batch, (-1,), axes), space)
        return flat.reshape(*shape, flat.shape[1])
    if isinstance(space, AnyText):
        return np.array([str(text) for text in batch], np.str_)
    import gymnasium

    if not flattens(space):
        if (columns := _flat_columns(batch, space)) is not None:
            return np.concatenate(columns, axis=1)
        raise UsageError(
            f"episodes with elements of {space} cannot be recorded",
            expected="elements of one size: of Box, Discrete, MultiDiscrete, MultiBinary, Text, Dict, Tuple",
            hint="evaluate, which records nothing; or pad the environment's sequences to one length",
        )
    rows = (rows_of(batch, row) for row in range(count_of(batch)))
    return np.stack([np.asarray(gymnasium.spaces.flatten(space, row)) for row in rows])


def _flat_columns(batch: Any, space: gymnasium.Space[Any]) -> list[Array] | None:
    """Returns `[B, d]` for each part of a batch, in order; None where a part has no fixed size."""
    import gymnasium

    if isinstance(space, gymnasium.spaces.Dict):
        parts = [(batch[key], part) for key, part in space.spaces.items()]
    elif isinstance(space, gymnasium.spaces.Tuple):
        parts = [(batch[k], part) for k, part in enumerate(space.spaces)]
    elif flattens(space):
        return [np.stack([np.asarray(gymnasium.spaces.flatten(space, row)) for row in batch])]
    elif is_text(space):
        return [np.stack([np.frombuffer(tokens(str(text)), np.uint8) for text in batch])]
    else:
        return None
    columns: list[Array] = []
    for values, part in parts:
        found = _flat_columns(values, part)
        if found is None:
            return None
        columns += found
    return columns


def _require_counts(episodes: int, max_copies: int) -> None:
    if episodes < 1 or max_copies < 1:
        raise UsageError(f"{episodes} episodes in at most {max_copies} copies", expected="at least 1 of both")


def _require_numbers(task: Task, rewards: Array, step: int) -> None:
    if not np.isfinite(rewards).all():
        copy = int(np.argwhere(~np.isfinite(rewards))[0][0])
        raise UsageError(
            f"the reward of {task.name} is {rewards[copy]} in copy {copy} at step {step}",
            expected="a finite number",
            hint=f"inscape check {task.name}",
        )


def _require_ending(task: Task, agent: str, lengths: Array) -> None:
    if len(lengths) and lengths.max() >= LONGEST_EPISODE and task.max_episode_steps is None:
        raise UsageError(
            f"an episode of {agent} in {task.name} has not ended after {LONGEST_EPISODE:,} steps",
            expected="an environment with a time limit, or an agent that ends its episodes",
            hint="give the world max_episode_steps",
        )
