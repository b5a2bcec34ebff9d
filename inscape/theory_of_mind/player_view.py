"""A world of several players as one of them meets it: its own actions, the others' among the outcomes."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.envs.readers.enumeration import Enumeration
from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind.controllers import Array, check_controller, check_world
from inscape.theory_of_mind.parts.others import Hierarchy, LevelK, Uniform
from inscape.theory_of_mind.parts.wanting import Caring, fingerprint
from inscape.theory_of_mind.recursion.folding import PlayersTables
from inscape.theory_of_mind.recursion.games import Seen
from inscape.theory_of_mind.recursion.levels import cognitive_hierarchy, level_k

if TYPE_CHECKING:
    from inscape.envs.world import World
    from inscape.world_models.tabular.model import TabularModel


class PlayerView:
    """What stands for a world wherever minds and observers ask about one player of several.

    `dynamics()` has the player's own actions, and every outcome that others might bring about; while others move in
    turn, there is one action (0). Everything else is the world's.

    Args:
        world: a world of several players that can be enumerated.
        player: whose view it is.

    Raises:
        UsageError: there is no such player.
    """

    players = 1
    simultaneous = False

    def __init__(self, world: World, player: int) -> None:
        if isinstance(player, bool) or not isinstance(player, (int, np.integer)) or not 0 <= player < world.players:
            raise UsageError(f"player {player!r} of {world.name}", expected=f"0 to {world.players - 1}")
        self.world, self.player, self.law = world, int(player), world.dynamics()
        self._tables: dict[Any, PlayersTables] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "world":
            raise AttributeError(name)
        return getattr(self.world, name)

    def __repr__(self) -> str:
        return f"{self.world!r}, player {self.player}"

    def tables(self, purpose: Any = None) -> PlayersTables:
        """Returns the tables of all players under a purpose."""
        key = fingerprint(purpose)
        if key not in self._tables:
            self._tables[key] = PlayersTables(self.world, purpose)
        return self._tables[key]

    @cached_property
    def _dynamics(self) -> Enumeration:
        world, law = self.world, self.world.dynamics()
        tables = self.tables()
        # a mind with another goal goes on where the world's own purpose ends the task
        over = tables.terminal.copy()
        for purpose in world.goals.values():
            over &= world.terminal_of(law.states, purpose)
        if (over != tables.terminal).any():
            tables = PlayersTables(world, terminal=over)
        others = {m: tables.uniform(m) for m in range(world.players) if m != self.player}
        model = tables.against(self.player, others)
        return Enumeration(
            law.states, model.next_state, model.probability, model.legal | model.terminal[:, None], law.initial
        )

    def dynamics(self) -> Enumeration:
        """Returns the dynamics of the player, the others acting at random."""
        return self._dynamics

    def observe(self, states: Any, **how: Any) -> Array:
        """Returns what the player observes in each of B states, `[B, ...]`."""
        return np.asarray(self.world.observe(states, self.player, **how))

    def with_params(self, params: Any) -> PlayerView:
        """Returns the view of the same world with other dynamics."""
        return PlayerView(self.world.with_params(params), self.player)

    def model(self, wants: Any, purpose: Any, others: Any, gamma: float) -> TabularModel:
        """Returns what the player plans in.

        Args:
            wants: `Caring`, where it counts more than its own reward.
            purpose: a value or a name.
            others: what it takes the others to be (see `parts.others`).
            gamma: discount of the levels of others.

        Raises:
            UsageError: a mind of another player remembers, or is not there.
        """
        tables = self.tables(purpose)
        policies = self._policies(others, gamma)
        for m, policy in policies.items():  # where the others' task is over, and this purpose's is not
            silent = np.asarray(tables.legal[:, m].any(axis=1) & ~(policy > 0).any(axis=1))
            policies[m] = np.where(silent[:, None], tables.uniform(m), policy)
        return tables.against(self.player, policies, wants if isinstance(wants, Caring) else None)

    def acts(self) -> Array:
        """Returns `[S]` bool: does the player choose anything there."""
        return np.asarray(self.tables().legal[:, self.player].any(axis=1))

    def own_actions(self, states: Array, actions: Array) -> Array:
        """Returns `[T]` the player's actions along a trajectory; 0 where another one moved.

        Args:
            states: `[T + 1]` state numbers.
            actions: `[T]` moves in turn, or `[T, M]` of all at once.
        """
        taken = np.asarray(actions)
        if taken.ndim == 2:
            return taken[:, self.player]
        if self.world.simultaneous:
            raise UsageError(f"actions of shape {list(taken.shape)}", expected="[T, M], one for every player")
        return np.where(self.tables().mover[states[: len(taken)]] == self.player, taken, 0)

    def _policies(self, others: Any, gamma: float) -> dict[int, Array]:
        world, tables = self.world, self.tables()
        rest = [m for m in range(world.players) if m != self.player]
        if others is None or isinstance(others, Uniform):
            return {m: tables.uniform(m) for m in rest}
        if isinstance(others, (LevelK, Hierarchy)):
            game = Seen(world, gamma)
            if isinstance(others, LevelK):
                policies = level_k(game, others.k, others.base, others.chooses).top
            else:
                hierarchy = cognitive_hierarchy(game, others.k, others.tau, others.base, others.chooses)
                policies = hierarchy.population()
            return {m: policies[m] for m in rest}
        minds = dict(others)
        missing = [m for m in rest if m not in minds]
        if missing:
            raise UsageError(f"no mind of player {missing[0]} of {world.name}", expected="one for every other player")
        return {m: self._policy_of(minds[m], m) for m in rest}

    def _policy_of(self, mind: Any, player: int) -> Array:
        name = getattr(mind, "name", type(mind).__name__)
        view: Any = PlayerView(self.world, player)
        controller = check_controller(mind.controller(self.world, player), view, name)
        if controller.num_memories > 1:
            raise UsageError(
                f"player {player} taken to be a mind that remembers ({name})", expected="a mind without memory"
            )
        policy = np.exp(controller.log_probs[:, 0])
        acts = np.asarray(self.tables().legal[:, player].any(axis=1))
        return np.where(acts[:, None], policy, 0.0)


def view_of(world: World, player: int | None) -> Any:
    """Returns the world itself if it has one player, else the view of `player`.

    Raises:
        MissingLawError: several players, and none is named.
        UsageError: there is no such player.
    """
    check_world(world)
    if world.players == 1:
        if player not in (None, 0):
            raise UsageError(f"player {player} of {world.name}", expected="0: it has one player")
        return world
    if player is None:
        raise MissingLawError(
            f"{world.name} has {world.players} players, and the observer watches one", expected="a world of one player",
            hint="Observer(world, minds, player=0)",
        )  # fmt: skip
    # kept with the world, so that minds and observers share the tables of all players; made anew when its law changes
    views = world.__dict__.setdefault("_player_views", {})
    view = views.get(player)
    if view is None or view.world is not world or view.law is not world.dynamics():
        view = views[player] = PlayerView(world, player)
    return view
