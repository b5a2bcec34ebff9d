"""One player's side of a world of several: the learner's seat acts, the others' moves happen inside `step`.

    task = OpponentsTask.against(resolve_task("TicTacToe"), opponents)
    task.vector_env(64)          # 64 games; what is observed, legal and gained is the learner's

In PettingZoo environments it is `pettingzoo_opponents.PettingZooOpponentsVectorEnv` that does it.

Who the others are is asked of `Opponents`: past selves (`agents.self_play`) or other learners (`agents.independent`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from inscape.envs.law import streams
from inscape.envs.law.states import States
from inscape.envs.tasks.checking.batches import spread
from inscape.envs.tasks.task import Task
from inscape.envs.world import World
from inscape.errors import UsageError
from inscape.rng import drawn_indices

Array = np.ndarray
MOST_BEGINNINGS = 1000
"""Episodes in a row that may end before the learner has acted."""


class Opponents(Protocol):
    """Who the others are, and how they choose."""

    def drawn(self, numbers: Array) -> Array:
        """Returns `[n]` int64, whom each new episode is against, from `[n]` numbers uniform in [0, 1)."""

    def probabilities(self, opponent: Array, player: Array, observation: Any, mask: Array | None) -> Array:
        """Returns `[n, A]` probabilities of actions.

        Args:
            opponent: `[n]` int64 as `drawn` gave it.
            player: `[n]` int64, the seat each of them acts for.
            observation: `[n, ...]` what that player observes; of several parts, a batch of each.
            mask: `[n, A]` bool, True where legal; None where every action is.
        """


class SeatVectorEnv(VectorEnv[Any, Any, Any]):
    """Copies of what several players act in, as one of them meets it: seats, opponents, and the random streams of both.

    Copy i of seed s draws from stream (s, first_copy + i).

    Args:
        whole: what all players act in.
        num_envs: B.
        opponents: who the others are.
        seat: the learner's player; None for one drawn at random for each episode.
    """

    def __init__(self, whole: Task | World, num_envs: int, opponents: Opponents, seat: int | None) -> None:
        self.num_envs, self.opponents = num_envs, opponents
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
        self.single_observation_space, self.single_action_space = whole.observation_space, whole.action_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._fixed_seat, self._players = seat, whole.players
        self._keys, self._clock, self._seat, self._opponent = np.zeros((4, num_envs), np.int64)
        self._everyone = np.arange(num_envs)

    def __getattr__(self, name: str) -> Any:
        if name != "observation_space":
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)  # not every space has one
        return self.observation_space

    @property
    def seats(self) -> Array:
        """`[B]` int64 the learner's player in each copy."""
        return self._seat.copy()

    def _start_streams(self, seed: int, first: int) -> None:
        """Begins the copies' streams; other processes have `first` copies before these."""
        self._keys[:], self._clock[:] = streams.stream_keys(seed, first + self.num_envs)[first:], 0

    def _uniforms(self, rows: Array) -> Array:
        numbers = streams.uniforms(self._keys[rows], self._clock[rows])
        self._clock[rows] += 1
        return numbers

    def _take_seats(self, rows: Array) -> None:
        """Says from which seat these copies' new episodes are met, and against whom."""
        if self._fixed_seat is None:
            self._seat[rows] = self._uniforms(rows) * self._players
        else:
            self._seat[rows] = self._fixed_seat
        self._opponent[rows] = self.opponents.drawn(self._uniforms(rows))

    def _refuse_illegal(self, illegal: Array, actions: Array, players: Sequence[str], name: str) -> None:
        """Names the first copy in which the learner's action is `illegal [B]`, if there is one."""
        if illegal.any():
            copy = int(np.argmax(illegal))
            raise UsageError(
                f"copy {copy}: action {int(actions[copy])} of {players[self._seat[copy]]} is illegal in {name}",
                expected="an action where infos['action_mask'][copy] is True",
            )

    def _end_infos(self, last: Any, over: Array) -> dict[str, Any]:
        """Returns what infos say of the copies `over`, whose last observations are `last`."""
        ended = np.zeros(self.num_envs, np.bool_)
        ended[over] = True
        return {"final_obs": spread(last, over, self.num_envs), "_final_obs": ended}


class OpponentsVectorEnv(SeatVectorEnv):
    """`num_envs` copies of a world of several players, as one of them meets it; reset in the same step.

    An episode begins with a seat for the learner, opponents for the other seats, and their moves until it is the
    learner's turn. A step takes the learner's action and then the others' moves, until it is the learner's turn again
    or the episode is over; its reward is what the learner's player gained on the way. Where all act at once a step of
    the law is one step. The last observation of an episode is that of the learner's player too.

    Copy i of seed s draws everything, opponents' choices included, from a stream of its own.

    Args:
        world: the law, of several players.
        num_envs: B.
        opponents: who the others are.
        seat: the learner's player; None for one drawn at random for each episode.
        max_episode_steps: the time limit in steps of the law, or None.
    """

    def __init__(
        self,
        world: World,
        num_envs: int,
        opponents: Opponents,
        seat: int | None = None,
        max_episode_steps: int | None = None,
    ) -> None:
        world.require_probabilities()
        super().__init__(world, num_envs, opponents, seat)
        self.world, self._limit = world, max_episode_steps
        self._restricts = world.law_function("legal") is not None
        empty = world.empty_states(num_envs)
        self._floats, self._ints = empty.floats, empty.ints
        self._elapsed = np.zeros(num_envs, np.int64)

    # ------------------------------------------------------------------------------------------------ episodes

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts new episodes; without a seed the streams go on.

        Args:
            seed: s gives copy i the stream (s, first_copy + i).
            options: `"first_copy"`.
        """
        if seed is not None:
            self._start_streams(seed, int((options or {}).get("first_copy", 0)))
        self._begin(self._everyone)
        return self._observe(self._everyone), self._info()

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        world, count = self.world, self.num_envs
        rewards, terminated, truncated = np.zeros(count), np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        going, chosen = self._everyone, np.asarray(actions)
        self._require_legal(chosen)
        while len(going):
            gained, ended, late = self._advance(going, chosen)
            rewards[going] += gained
            terminated[going], truncated[going] = ended, late
            if world.simultaneous:
                break
            going = self._waiting(going[~(ended | late)])
            chosen = self._answers(going)
        over = np.flatnonzero(terminated | truncated)
        infos: dict[str, Any] = {}
        if len(over):
            infos = self._end_infos(self._observe(over), over)
            self._begin(over)
        return self._observe(self._everyone), rewards, terminated, truncated, self._info() | infos

    def _begin(self, rows: Array) -> None:
        """Begins episodes in these copies and lets the others move until the learner is to act."""
        for _ in range(MOST_BEGINNINGS):
            if not len(rows):
                return
            self._take_seats(rows)
            self._put(rows, self.world.initial_with_keys(self._words(rows)))
            self._elapsed[rows] = 0
            rows = self._let_others_move(rows)
        raise UsageError(
            f"{MOST_BEGINNINGS} episodes of {self.world.name} in a row ended before player "
            f"{self._seat[rows[0]]} had a turn",
            expected="a world in which every player acts",
        )

    def _let_others_move(self, rows: Array) -> Array:
        """Plays on where the learner is not to act; returns the copies whose episode is over already."""
        if self.world.simultaneous:
            return rows[:0]
        over, going = [], self._waiting(rows)
        while len(going):
            _, ended, late = self._advance(going, self._answers(going))
            over.append(going[ended | late])
            going = self._waiting(going[~(ended | late)])
        return np.concatenate(over) if over else rows[:0]

    def _waiting(self, rows: Array) -> Array:
        """Returns those of the copies in which another player is to move."""
        return rows[self.world.mover_of(self._states(rows)) != self._seat[rows]] if len(rows) else rows

    def _answers(self, rows: Array) -> Array:
        """Returns `[n]` actions of those who are to move."""
        if not len(rows):
            return rows
        states = self._states(rows)
        mask = self.world.legal_actions(states) if self._restricts else None
        return self._choices(rows, self.world.mover_of(states), self.world.observe(states), mask)

    def _choices(self, rows: Array, players: Array, observation: Array, mask: Array | None) -> Array:
        """Draws what opponents do, each copy from its own stream."""
        probability = self.opponents.probabilities(self._opponent[rows], players, observation, mask)
        return drawn_indices(probability, self._uniforms(rows))

    def _advance(self, rows: Array, chosen: Array) -> tuple[Array, Array, Array]:
        """Steps these copies by the law; returns what the learner gained, and both flags.

        `chosen` are the movers' actions; where all act at once the learner's, and the others' are drawn.
        """
        states = self._states(rows)
        if self.world.simultaneous:
            observations = self.world.observe(states)
            masks = self.world.legal_actions(states) if self._restricts else None
            joint = np.empty((len(rows), self.world.players), np.int64)
            for player in range(self.world.players):
                others = np.flatnonzero(self._seat[rows] != player)
                joint[:, player] = chosen
                if len(others):
                    players = np.full(len(others), player)
                    mask = None if masks is None else masks[others, player]
                    joint[others, player] = self._choices(rows[others], players, observations[others, player], mask)
            chosen = joint
        following, rewards, ended = self.world.step_with_keys(states, chosen, self._words(rows))
        self._put(rows, following)
        self._elapsed[rows] += 1
        late = np.zeros(len(rows), np.bool_) if self._limit is None else self._elapsed[rows] >= self._limit
        return rewards[np.arange(len(rows)), self._seat[rows]], ended, late

    # ------------------------------------------------------------------------------------------------ looking

    def _observe(self, rows: Array) -> Array:
        """Returns `[n, ...]` what the learner's players observe."""
        states, seats = self._states(rows), self._seat[rows]
        if self.world.simultaneous:
            return np.ascontiguousarray(self.world.observe(states)[np.arange(len(rows)), seats])
        views = [np.flatnonzero(seats == player) for player in range(self.world.players)]
        seen = {m: self.world.observe(states[view], m) for m, view in enumerate(views) if len(view)}
        first = next(iter(seen.values()))
        observation = np.empty((len(rows), *first.shape[1:]), first.dtype)
        for player, rows_seen in seen.items():
            observation[views[player]] = rows_seen
        return observation

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self._masks()} if self._restricts else {}

    def _masks(self) -> Array:
        masks = self.world.legal_actions(self._states(self._everyone))
        return masks[self._everyone, self._seat] if self.world.simultaneous else masks

    def _require_legal(self, actions: Array) -> None:
        """Refuses an illegal action; the law's reader refuses those out of range."""
        if not self._restricts or actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            return
        within = np.clip(actions, 0, self.world.num_actions - 1)
        illegal = ~self._masks()[self._everyone, within]
        self._refuse_illegal(illegal, actions, self.world.agents, self.world.name)

    # ----------------------------------------------------------------------------------------random streams, state

    def _words(self, rows: Array) -> Array:
        words = streams.words(self._keys[rows], self._clock[rows]).view(np.int64)
        self._clock[rows] += 1
        return words

    @property
    def states(self) -> States:
        """The current states, packed, `[., B]` (a copy)."""
        return States(self._floats.copy(), self._ints.copy())

    def _states(self, rows: Array) -> States:
        return States(self._floats[:, rows], self._ints[:, rows])

    def _put(self, rows: Array, states: States) -> None:
        self._floats[:, rows], self._ints[:, rows] = states.floats, states.ints

    def state_dict(self) -> dict[str, Any]:
        """Returns everything the copies' future depends on, but the opponents themselves and the learner's actions."""
        return {
            "floats": self._floats.copy(),
            "ints": self._ints.copy(),
            "copies": np.stack([self._keys, self._clock, self._elapsed, self._seat, self._opponent]),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict()`.

        Raises:
            UsageError: the state is of another number of copies or of another world.
        """
        floats, ints, copies = (np.asarray(state[name]) for name in ("floats", "ints", "copies"))
        if floats.shape != self._floats.shape or ints.shape != self._ints.shape:
            raise UsageError(
                f"an environment state of shapes {floats.shape}, {ints.shape}",
                expected=f"{self._floats.shape}, {self._ints.shape} ({self.num_envs} copies of {self.world.name})",
            )
        self._floats[:], self._ints[:] = floats, ints
        self._keys[:], self._clock[:], self._elapsed[:], self._seat[:], self._opponent[:] = copies
