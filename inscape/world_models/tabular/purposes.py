"""Many purposes of one world as tables: what each pays, over dynamics that are tabulated once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.tabular.arrays import require_memory
from inscape.world_models.tabular.model import TabularModel, refuse_players

if TYPE_CHECKING:
    from inscape.envs.world import World


def purpose_tables(world: World, purposes: Iterable[Any]) -> tuple[TabularModel, np.ndarray, np.ndarray]:
    """Returns the dynamics of a known world, and G purposes over it, for `batched_value_iteration`.

    Args:
        world: the world, of one player.
        purposes: G of them, each a value or a name (see `World.with_purpose`).

    Returns:
        (dynamics without rewards and ends, `[G, S, A]` expected rewards, `[G, S]` bool: terminal under the purpose).

    Raises:
        MissingLawError: the law can only be sampled, or the world has several players.
        UsageError: a purpose is not known, or its reward not finite (naming purpose, state and action); the rewards do
            not fit into memory.
    """
    refuse_players(world)
    law = world.dynamics()
    size, actions, width = law.next_state.shape
    pursued = [world.with_purpose(purpose) for purpose in purposes]
    require_memory(8 * len(pursued) * size * actions, f"rewards of {len(pursued)} purposes in {world.name}")
    sources = np.repeat(np.arange(size), actions * width)
    choices = np.tile(np.repeat(np.arange(actions), width), size)
    before, after = law.states[sources], law.states[law.next_state.reshape(-1)]
    rewards, terminal = np.empty((len(pursued), size, actions)), np.empty((len(pursued), size), bool)
    possible = law.probability > 0
    for g, one in enumerate(pursued):
        terminal[g] = one.terminal_of(law.states)
        reward = one.reward_of(before, choices, after).reshape(law.probability.shape)
        reward = np.where(possible, reward, 0.0)
        rewards[g] = np.einsum("sak,sak->sa", law.probability, reward)
        wrong = ~np.isfinite(rewards[g]) & ~terminal[g][:, None] & law.legal
        if wrong.any():
            s, a = np.argwhere(wrong)[0]
            raise UsageError(
                f"{world.name} gives the reward {rewards[g, s, a]} in {world.unpack(law.states, int(s))} for action "
                f"{a} ({world.action_names[a]}), under purpose {g}",
                expected="a finite number",
                hint="fix `reward`: inscape check",
            )
        rewards[g][terminal[g]] = 0.0
    nothing = np.zeros(law.probability.shape)
    tables = law.next_state, law.probability, nothing, np.ones(law.probability.shape), law.legal, law.initial
    return TabularModel(*tables, np.zeros(size, bool), name=repr(world)), rewards, terminal
