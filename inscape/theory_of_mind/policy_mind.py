"""An agent as a hypothesis: which of these agents is it that acts here?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.adapters import as_agent
from inscape.agents.interface import can_remember, can_score
from inscape.errors import UsageError, whole_number
from inscape.theory_of_mind.controllers import SUM_TOLERANCE, Array, Controller
from inscape.theory_of_mind.parts.numbers import probability
from inscape.theory_of_mind.parts.wanting import purpose_of
from inscape.theory_of_mind.player_view import PlayerView, view_of

if TYPE_CHECKING:
    from inscape.envs.law.states import States
    from inscape.envs.world import World

ROWS = 4096
"""Observations an agent is asked about at once."""


class PolicyMind:
    """A mind that acts as an agent does: its action probabilities, of a network, a search or a language model.

        Observer(world, [PolicyMind(load_agent(run)[0]) for run in runs])     which of these agents is it?

    An `Observer` asks the agent once in every state, a `PlannedObserver` only where somebody acts. P(a|s) is
    (1 − lapse)·π(a|s) + lapse/(number of legal actions): with `lapse=0` a greedy agent rules out whatever it would not
    do, and one surprising action is final.

    Args:
        agent: one with `action_log_probs` (all built-in agents with finitely many actions), or, with `samples`,
            whatever `as_agent` takes. It acts by what it observes, and remembers nothing.
        name: what to call it; None: the agent's own name.
        lapse: share of all steps in which any legal action is taken alike.
        samples: how often `act` is asked in every state, for an agent that does not say its probabilities; of n
            answers the action a is given (n(a) + 1/2)/(n + A/2), A the number of legal actions. 0: not at all.
        purpose: what it acts for, a `Purpose` or its name: where that is over, the agent is not asked. None: the
            world's own.

    Raises:
        UsageError: it is no agent; it remembers; it does not say its probabilities, and `samples` is 0; a number out of
            range.

    Source: (n + 1/2)/(N + A/2): Krichevsky & Trofimov (1981), IEEE Transactions on Information Theory 27(2).
    """

    def __init__(
        self, agent: Any, name: str | None = None, *, lapse: float = 0.0, samples: int = 0, purpose: Any = None
    ) -> None:
        self.agent: Any = as_agent(agent)
        if name is not None and (not isinstance(name, str) or not name):
            raise UsageError(f"name = {name!r}", expected="what to call the agent")
        self.name = name or str(self.agent.name)
        self.lapse, self.samples = probability("lapse", lapse), whole_number("samples =", samples)
        self.purpose = purpose
        if can_remember(self.agent):
            raise UsageError(
                f"{self.name} remembers: what it does depends on more than the state",
                expected="an agent that acts by what it observes now",
            )
        if not can_score(self.agent) and not self.samples:
            raise UsageError(
                f"{self.name} does not say how probable its actions are",
                expected="an agent with action_log_probs(observation, action_mask)",
                hint="samples=100: how often it is asked in every state",
            )

    def controller(self, world: World, player: int = 0) -> Controller:
        """Returns what the agent does in each state of `world`.

        Raises:
            MissingLawError: the world cannot be enumerated.
            UsageError: what the agent answers is no distribution over legal actions.
        """
        view = view_of(world, player)
        dynamics = view.dynamics()
        over = self._over(world, dynamics.states)
        asked = ~over & (dynamics.legal.sum(axis=1) > 1)
        if isinstance(view, PlayerView):
            asked &= view.acts()
        return Controller.memoryless(self._log_probs(world, dynamics.states, dynamics.legal, asked, player), over)

    def action_log_probs(self, world: World, states: States, player: int = 0) -> Array:
        """Returns `[B, A]` log π(a|s) in any states of `world`, −inf where illegal; no enumeration is needed.

        Where the mind's episode is over, or another player moves, it is uniform.

        Raises:
            UsageError: as `controller`.
        """
        if world.simultaneous:
            raise UsageError(
                f"{world.name}, where all act at once", expected="players who move in turn, or controller()"
            )
        legal = world.legal_actions(states)
        asked = ~self._over(world, states) & (legal.sum(axis=1) > 1)
        if world.players > 1:
            asked &= world.mover_of(states) == player
        return self._log_probs(world, states, legal, asked, player)

    def _over(self, world: World, states: States) -> Array:
        goal = purpose_of(world, self.purpose, self.name)
        if isinstance(goal, str):
            if goal not in world.goals:
                raise UsageError(
                    f"purpose {goal!r} of {self.name} in {world.name}", expected=", ".join(world.goals) or "a Purpose"
                )
            goal = world.goals[goal]
        return world.terminal_of(states, goal)

    def _log_probs(self, world: World, states: States, legal: Array, asked: Array, player: int) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            log_probs = np.where(legal, -np.log(legal.sum(axis=1, keepdims=True)), -np.inf)
        agent = self.agent
        if world.players > 1 and callable(getattr(agent, "for_player", None)):
            agent = agent.for_player(player)
        rows = np.flatnonzero(asked)
        for first in range(0, len(rows), ROWS):
            some = rows[first : first + ROWS]
            here = states[some]
            observed = world.observe(here, player) if world.players > 1 else world.observe(here)
            log_probs[some] = self._asked(agent, observed, legal[some], lambda i, here=here: world.unpack(here, i))
        return log_probs

    def _asked(self, agent: Any, observed: Array, legal: Array, described: Any) -> Array:
        """Returns `[n, A]`; `described(i)` is the state of row i, for messages."""
        if can_score(agent):
            answer = np.asarray(agent.action_log_probs(observed, legal), np.float64)
            if answer.shape != legal.shape:
                raise UsageError(
                    f"{self.name} gives log-probabilities of shape {answer.shape}", expected=f"{legal.shape}, [B, A]"
                )
            probs = np.exp(answer)
            wrong = ~(np.abs(np.where(legal, probs, 0.0).sum(axis=1) - 1) <= 100 * SUM_TOLERANCE)  # float32 networks
            if wrong.any():
                i = int(np.argmax(wrong))
                raise UsageError(
                    f"{self.name} gives the actions that are legal in {described(i)} the probabilities "
                    f"{probs[i][legal[i]].tolist()}",
                    expected="a distribution over the legal actions",
                )
        else:
            probs = np.zeros(legal.shape)
            for _ in range(self.samples):
                actions = np.asarray(agent.act(observed, legal))
                known = actions.shape == (len(legal),) and actions.dtype.kind in "iu"
                if not known or (actions >= legal.shape[1]).any() or not legal[np.arange(len(legal)), actions].all():
                    raise UsageError(f"{self.name} took {actions!r}", expected="a legal action in every row")
                probs[np.arange(len(legal)), actions] += 1
            probs = np.where(legal, probs + 0.5, 0.0)
        probs = np.where(legal, probs, 0.0)
        probs = probs / probs.sum(axis=1, keepdims=True)
        if self.lapse:
            probs = (1 - self.lapse) * probs + self.lapse * legal / legal.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(probs))

    def __repr__(self) -> str:
        return self.name
