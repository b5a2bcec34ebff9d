"""The agent `level-k`: in games, answers players who think one level less, or a population of all lower levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from inscape.agents.acting import sample_actions
from inscape.agents.interface import Agent, State
from inscape.agents.learning.settings_checks import require_shares_if_any, require_weights_if_any
from inscape.errors import MissingLawError, PartialObservationError, UsageError
from inscape.rng import restore_rng, rng_state
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.recursion.games import Game, Hidden, OneShot, Seen, as_game
from inscape.theory_of_mind.recursion.levels import Levels, cognitive_hierarchy, level_k
from inscape.world_models.tabular.model import observation_keys

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

SAME = 1e-9


@dataclass(frozen=True)
class LevelKSettings:
    """Settings of the agent of a level."""

    level: int = 1
    """How many levels it thinks: 0 is the base, 1 answers the base, and so on."""
    tau: float | None = None
    """Mean of the Poisson population of levels that it believes itself above; None: all others are one level below."""
    beta: float | None = None
    """Rationality of levels above 0, per unit of reward; None: they take the best action."""
    base: str = "uniform"
    """Level 0: `uniform`, or, in a game of one choice, the name of an action."""
    gamma: float | None = None
    """Discount per step; None for the world's own."""

    def __post_init__(self) -> None:
        if isinstance(self.level, bool) or not isinstance(self.level, (int, np.integer)) or self.level < 0:
            raise UsageError(f"level = {self.level!r}", expected="a whole number, 0 or more")
        require_weights_if_any(self, "tau", "beta")
        require_shares_if_any(self, "gamma")


class LevelKAgent(Agent):
    """Plays a game as a player of some level of thought; `for_player` says as which player.

    Args:
        task: a task whose world has several players and a law that can be enumerated.
        seed: seed of its choices.
        settings: its level, and how it thinks.

    Attributes:
        levels: the policies of all levels up to its own.
        player: as whom it acts.

    Raises:
        MissingLawError: the task has one player, or no law that can be enumerated.
        PartialObservationError: what a player should do depends on more than it observes now.
        UsageError: a setting is out of range; a base that is no action.

    Source: as `level_k` and `cognitive_hierarchy`.
    """

    name = "level-k"

    def __init__(self, task: Task, seed: int = 0, settings: LevelKSettings | None = None) -> None:
        self.settings = settings or LevelKSettings()
        s, world = self.settings, task.world
        if world is None or world.players < 2:
            raise MissingLawError(
                f"level-k in {task.name}",
                expected="a world of several players with a law",
                hint="KuhnPoker, MoneyRequest",
            )
        game, chooses = as_game(world, s.gamma), "best" if s.beta is None else s.beta
        self.world, self.player, self._seed = world, 0, seed
        self.levels: Levels = (
            level_k(game, s.level, s.base, chooses, s.gamma)
            if s.tau is None
            else cognitive_hierarchy(game, s.level, s.tau, s.base, chooses, s.gamma)
        )
        self._tables = [self._table(game, player) for player in range(world.players)]
        self._rng = np.random.default_rng(seed)

    def for_player(self, player: int) -> LevelKAgent:
        """Returns the agent that acts as a player."""
        if player == self.player:
            return self
        other = LevelKAgent.__new__(LevelKAgent, *self._made_with[0], **self._made_with[1])
        other.__dict__.update(self.__dict__)
        other.player, other._rng = player, np.random.default_rng([self._seed, player])
        return other

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        return sample_actions(self.action_log_probs(observation, action_mask), self._rng)

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities of the actions.

        Raises:
            UsageError: an observation that the game does not give its player where it moves.
        """
        table = self._tables[self.player]
        if isinstance(table, np.ndarray):
            found = np.repeat(table[None], len(observation), axis=0)
        else:
            keys = observation_keys(np.asarray(observation))
            unknown = next((b for b, key in enumerate(keys) if key not in table), None)
            if unknown is not None:
                raise UsageError(
                    f"player {self.player} of {self.world.name} observes {np.asarray(observation)[unknown].tolist()}",
                    expected="what it observes where it moves", hint="for_player(player): it plays as one of them",
                )  # fmt: skip
            found = np.array([table[key] for key in keys])
        if action_mask is not None:
            found = np.where(action_mask, found, 0.0)
            found = np.where(found.any(axis=1, keepdims=True), found, action_mask)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(found / found.sum(axis=1, keepdims=True)))

    def _table(self, game: Game, player: int) -> Array | dict[bytes, Array]:
        """Returns what a player does: one row for all observations, or by what it observes."""
        policy = self.levels.top[player]
        if isinstance(game, OneShot):
            return policy
        if isinstance(game, Seen):
            rows = np.flatnonzero(game.tables.legal[:, player].any(axis=1))
            observations = self.world.observe(game.tables.states[rows], player)
        else:
            assert isinstance(game, Hidden)
            rows = np.flatnonzero(game.tree.owner == player)
            observations = game.tree.observations[rows]
        table: dict[bytes, Array] = {}
        for key, row in zip(observation_keys(observations), rows):
            if np.abs(table.setdefault(key, policy[row]) - policy[row]).max() > SAME:
                raise PartialObservationError(
                    f"level {self.settings.level} in {self.world.name} acts on more than player {player} observes now",
                    expected="a game in which what is observed is all that counts",
                )
        return table

    def state_dict(self) -> State:
        """Returns the random state; levels are computed again."""
        return {"rng": rng_state(self._rng)}

    def load_state_dict(self, state: State) -> None:
        restore_rng(self._rng, state["rng"])
