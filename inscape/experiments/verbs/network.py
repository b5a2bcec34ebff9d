"""A trained agent's network as what values states in a search: `plan(world, network=RUN)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.experiments.runs.resuming import load_agent
from inscape.experiments.verbs.given import run_given, shown
from inscape.world_models.planning.interface import Evaluate
from inscape.world_models.planning.tree_search.network import PerceptronEvaluator

if TYPE_CHECKING:
    from inscape.envs.law.states import States
    from inscape.envs.world import World


def evaluate_of(network: Any, world: World | None) -> Evaluate:
    """Returns values and prior logits of states of a world, by the network of an agent.

    Args:
        network: an agent, or the run of one: `alphazero`, whose network a search of the law compiles; or in a world of
            one player any with `policy_log_probs` and `state_values`, such as `ppo`.
        world: whose states are valued.

    Raises:
        UsageError: no such run, an agent without such a network, one trained in a world of other spaces, or no law.
    """
    run = run_given(network)
    agent = network if run is None else load_agent(run)[0]
    if world is None:
        raise UsageError(f"the network of {shown(network)} for a learned model", expected="a world: --model known")
    evaluator = getattr(agent, "evaluator", None)
    if isinstance(evaluator, PerceptronEvaluator):
        return evaluator.on(world)
    if callable(getattr(agent, "policy_log_probs", None)) and callable(getattr(agent, "state_values", None)):
        if world.players > 1:
            raise UsageError(
                f"the network of {agent.name} in {world.name}: it values a state for one player",
                expected="a network that values it for every player", hint=f"inscape train alphazero {world.name}",
            )  # fmt: skip
        _require_spaces(agent, world)
        return _Called(agent, world)
    raise UsageError(
        f"{shown(network)} as a network", expected="an agent, or a run of one, with a policy and values",
        hint=f"inscape train alphazero {world.name}",
    )  # fmt: skip


def _require_spaces(agent: Any, world: World) -> None:
    known = getattr(agent, "_observes", None)
    if known is not None and known != world.observation_space:
        raise UsageError(
            f"a network for observations {known} in {world.name}", expected=f"one trained on {world.observation_space}"
        )


class _Called:
    """An agent's policy and values, by what is observed in a state."""

    def __init__(self, agent: Any, world: World) -> None:
        self._agent, self._world = agent, world

    def __call__(self, states: States) -> tuple[np.ndarray, np.ndarray]:
        observations, legal = self._world.observe(states), self._world.legal_actions(states)
        logits = np.asarray(self._agent.policy_log_probs(observations, legal))
        return np.asarray(self._agent.state_values(observations)), logits
