"""The agent `i-pomdp`: in games it infers what the others want while playing, and takes them to be one level below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from inscape.agents.acting import sample_actions
from inscape.agents.interface import Agent, State
from inscape.agents.learning.settings_checks import require_counts, require_weights_if_any
from inscape.errors import MissingLawError, PartialObservationError, UsageError
from inscape.rng import restore_rng, rng_state
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.parts.wanting import Caring
from inscape.theory_of_mind.recursion.interactive import InteractiveLevels, interactive_levels
from inscape.world_models.planning.games.tree import GameTree
from inscape.world_models.tabular.model import observation_keys

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

SAME = 1e-9


@dataclass(frozen=True)
class IPOMDPSettings:
    """Settings of the agent of a level with private wants."""

    level: int = 1
    """How many levels it thinks: 0 is the base; 1 answers the base, of unknown type, and so on."""
    guilt: tuple[float, ...] = (0.0,)
    """By type, what getting more than another costs, per unit of reward; every player is of one of these types."""
    envy: tuple[float, ...] = (0.0,)
    """By type, what getting less than another costs; one number stands for all types."""
    prior: tuple[float, ...] = ()
    """How common each type is; empty: all alike."""
    own_type: int = 0
    """Which of the types it is itself, from 0."""
    beta: float | None = None
    """Rationality of levels above 0, per unit of reward; None: they take the best action."""
    base: Literal["uniform", "myopic"] = "uniform"
    """Level 0: all actions alike, or the answer to uniform others by what is paid before its own next move."""
    max_histories: int = 200_000
    """Histories of the game up to which it is solved; larger ones are refused."""

    def __post_init__(self) -> None:
        if isinstance(self.level, bool) or self.level < 0:
            raise UsageError(f"level = {self.level!r}", expected="a whole number, 0 or more")
        require_counts(self, "max_histories")
        require_weights_if_any(self, "beta")
        count = max(len(self.guilt), len(self.envy))
        for name in ("guilt", "envy"):
            if len(getattr(self, name)) not in (1, count):
                raise UsageError(
                    f"{name} = {getattr(self, name)!r}", expected=f"one number, or {count}, one for each type"
                )
        if self.prior and len(self.prior) != count:
            raise UsageError(f"prior = {self.prior!r}", expected=f"{count} probabilities, one for each type")
        if not 0 <= self.own_type < count:
            raise UsageError(f"own_type = {self.own_type!r}", expected=f"one of {count} types, 0 to {count - 1}")

    def types(self) -> list[tuple[float, float]]:
        """Returns (guilt, envy) of each type."""
        count = max(len(self.guilt), len(self.envy))
        return [(self.guilt[k % len(self.guilt)], self.envy[k % len(self.envy)]) for k in range(count)]


class IPOMDPAgent(Agent):
    """Plays a game as a player of a level and a type; `for_player` says as which player.

    Finitely nested: at every decision it has the posterior over the others' types that follows from their moves, taken
    as those of players one level below (`interactive_levels`). Levels are computed when it is made.

    Args:
        task: a task whose world has several players, a law, and episodes that end.
        seed: seed of its choices.
        settings: see `IPOMDPSettings`.

    Attributes:
        levels: the policies of all levels and types.
        player: as whom it acts.

    Raises:
        MissingLawError: the task has one player, or no law that can be enumerated.
        PartialObservationError: what a player should do depends on more than it observes now.
        UsageError: a setting is out of range; the game has more histories than `max_histories`.

    Source: Gmytrasiewicz & Doshi (2005), Journal of Artificial Intelligence Research 24, section 5.
    """

    name = "i-pomdp"

    def __init__(self, task: Task, seed: int = 0, settings: IPOMDPSettings | None = None) -> None:
        s = self.settings = settings or IPOMDPSettings()
        world = task.world
        if world is None or world.players < 2:
            raise MissingLawError(
                f"i-pomdp in {task.name}", expected="a world of several players with a law", hint="KuhnPoker"
            )
        tree = GameTree.from_world(world, s.max_histories)
        kinds = [Caring(world.purpose, guilt=guilt, envy=envy) if guilt or envy else None for guilt, envy in s.types()]
        players = range(world.players)
        self.levels: InteractiveLevels = interactive_levels(
            tree, dict.fromkeys(players, kinds), s.level, "best" if s.beta is None else s.beta, s.base,
            dict.fromkeys(players, s.prior) if s.prior else None,
        )  # fmt: skip
        self.world, self.player, self._seed = world, 0, seed
        self._tables = [self._table(tree, player) for player in players]
        self._rng = np.random.default_rng(seed)

    def _table(self, tree: GameTree, player: int) -> dict[bytes, Array]:
        policy, rows = self.levels.top[player][self.settings.own_type], np.flatnonzero(tree.owner == player)
        table: dict[bytes, Array] = {}
        for key, row in zip(observation_keys(tree.observations[rows]), rows):
            if np.abs(table.setdefault(key, policy[row]) - policy[row]).max() > SAME:
                raise PartialObservationError(
                    f"i-pomdp in {self.world.name} acts on more than player {player} observes now",
                    expected="a game whose observations tell what was done before",
                )
        return table

    def for_player(self, player: int) -> IPOMDPAgent:
        """Returns the agent that acts as a player."""
        if player == self.player:
            return self
        other = IPOMDPAgent.__new__(IPOMDPAgent, *self._made_with[0], **self._made_with[1])
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
        table, keys = self._tables[self.player], observation_keys(np.asarray(observation))
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

    def state_dict(self) -> State:
        """Returns the random state; levels are computed again."""
        return {"rng": rng_state(self._rng)}

    def load_state_dict(self, state: State) -> None:
        restore_rng(self._rng, state["rng"])
