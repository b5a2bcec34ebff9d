"""A mind that takes the other player to know what it wants, and to do what is best for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import MissingLawError
from inscape.theory_of_mind.controllers import Array, Controller, check_world
from inscape.theory_of_mind.parts.choosing import Softmax
from inscape.theory_of_mind.parts.wanting import ByValue
from inscape.theory_of_mind.recursion.folding import PlayersTables
from inscape.world_models.planning.dynamic_programming import value_iteration
from inscape.world_models.tabular.model import TabularModel, absorb

if TYPE_CHECKING:
    from inscape.envs.world import World


@dataclass(frozen=True, eq=False)
class Trusting(ByValue):
    """Chooses by exp(β·max_b Q(s, (a, b))), Q that of both acting for what it wants, b what the other does.

    A human who would not begin without help: in a kitchen divided by a counter, nothing that one does alone leads to
    soup.
    """

    wants: Any
    """The name of one of the world's purposes, or a purpose."""
    beta: float
    """Rationality, per unit of reward."""

    def __post_init__(self) -> None:
        Softmax(self.beta)  # refuses what is no rationality

    @property
    def name(self) -> str:
        """The mind in a few words."""
        return f"{self.wants}, β={self.beta:g}, trusting"

    sees = True

    def controller(self, world: World, player: int = 0) -> Controller:
        """Returns what the mind does in each state of a world of two players who act at once.

        Raises:
            MissingLawError: another number of players, or they move in turn.
        """
        check_world(world)
        if world.players != 2 or not world.simultaneous:
            raise MissingLawError(
                f"a trusting mind in {world.name}", expected="a world of two players who act at the same time"
            )
        tables = PlayersTables(world, self.wants)
        q_values = joint_values(tables, player, world.gamma)
        best = np.full((tables.num_states, world.num_actions), -np.inf)
        for choice, own in enumerate(tables.moves[:, player].tolist()):
            best[:, own] = np.maximum(best[:, own], q_values[:, choice])
        legal = tables.legal[:, player] | tables.terminal[:, None]
        best = np.where(tables.terminal[:, None], 0.0, best)
        return Controller.memoryless(Softmax(self.beta).log_probs(best[None], legal[None])[0], tables.terminal)


def joint_values(tables: PlayersTables, player: int, gamma: float) -> Array:
    """Returns `[S, J]` values of joint actions to one player, where all act for it ever after; −inf where illegal."""
    shape = tables.probability.shape
    reward = np.broadcast_to(tables.rewards(player)[:, :, None], shape)
    goes_on = 1.0 - tables.terminal[tables.next_state]
    legal = tables.probability.sum(axis=2) > 0
    legal[tables.terminal] = True
    following = absorb(tables.next_state, tables.probability, reward, goes_on, tables.terminal)
    following[1][~legal] = np.eye(shape[2])[0]  # rows of what is illegal are distributions too
    model = TabularModel(*following, legal, tables.initial, tables.terminal, name=f"{tables.world.name}, both for one")
    return np.asarray(value_iteration(model, gamma, 1e-9).q_values)
