"""Beliefs as samples of states, for worlds too large to enumerate, or whose law can only be sampled.

A belief is K particles with weights. After an action and an observation, where the outcomes of an action can be listed,
each particle counts with the probability of what was observed; else successors are drawn until enough of them give it.
Where no particle explains what was observed, the belief is drawn again from the start, along all that was done and
observed since; failing that, from states met in random play that look like this. Only what none of these can explain
is refused.

Sources: sequential importance resampling: Gordon, Salmond & Smith (1993), IEE Proceedings F 140(2); particles as
beliefs of a search and their reinvigoration: Silver & Veness (2010), "Monte-Carlo planning in large POMDPs", NIPS.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from inscape.envs.law.states import States
from inscape.errors import MissingLawError, UsageError
from inscape.world_models.belief.exact import ImpossiblePerceptError
from inscape.world_models.interface import Batch, ModelStep, as_numpy, nothing_to_load
from inscape.world_models.tabular.model import world_in_hand

if TYPE_CHECKING:
    from inscape.envs.world import World

ROUNDS = 64
"""Times a batch of successors is drawn to find some that give the observation."""
MOST_OUTCOMES = 400_000
"""Outcomes of all particles up to which they are listed rather than drawn."""
MORE = 8
"""How many times more particles are drawn when the belief is drawn again from the start."""
RANDOM_STEPS = 200
"""Steps of random play in which states are looked for that look like what was observed."""


@dataclass(frozen=True, eq=False)
class ParticleBelief:
    """One belief: K particles.

    Attributes:
        states: `[., K]` packed states.
        weights: `[K]`, which sum to 1.
        history: what was observed first, and then each (action, observation) since.
        drawn_again: how often the belief had to be drawn again.
    """

    states: States
    weights: np.ndarray
    history: tuple[Any, ...]
    drawn_again: int = 0


@dataclass(frozen=True, eq=False)
class ParticleBeliefs:
    """A batch of B beliefs: `len(beliefs)`, `beliefs[index]` as with arrays; `beliefs.rows[b]` is one."""

    rows: tuple[ParticleBelief, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> ParticleBeliefs:
        chosen = np.atleast_1d(np.arange(len(self.rows))[index])
        return ParticleBeliefs(tuple(self.rows[int(b)] for b in chosen))


class ParticleModel:
    """A `WorldModel` whose states are beliefs of K particles over a world's states.

    Args:
        world: a world of one player with finitely many actions.
        num_particles: K.
        seed: of its draws, which depend on seed and history alone: the same evidence gives the same belief.

    Raises:
        MissingLawError: several players.
        UsageError: no particles; continuous actions.
    """

    num_players = 1
    filters = True

    def __init__(self, world: World | type[World] | str, num_particles: int = 1000, seed: int = 0) -> None:
        world = world_in_hand(world)
        if world.players > 1:
            raise MissingLawError(
                f"{world.name} has {world.players} players, who each perceive for themselves",
                expected="a world with one player",
            )
        if world.continuous:
            raise UsageError(
                f"beliefs over {world.name}, whose actions are continuous", expected="finitely many actions"
            )
        if isinstance(num_particles, bool) or not isinstance(num_particles, int | np.integer) or num_particles < 1:
            raise UsageError(f"num_particles = {num_particles!r}", expected="a whole number of at least 1")
        self.world, self.num_particles, self.seed = world, int(num_particles), seed

    @property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(self.world.num_actions)

    def init(self, observations: Batch) -> ParticleBeliefs:
        """Returns B beliefs at the start of episodes, after their first observations `[B, ...]`.

        Raises:
            ImpossiblePerceptError: no episode was found that starts with such an observation.
        """
        return ParticleBeliefs(tuple(self._start(row) for row in as_numpy(observations)))

    def update(self, states: ParticleBeliefs, actions: Batch, observations: Batch) -> ParticleBeliefs:
        """Returns B beliefs after the actions, given what was observed and that the task goes on.

        Raises:
            ImpossiblePerceptError: nothing was found that explains an observation.
            UsageError: not one action and observation per belief; an action out of range.
        """
        actions, observations = as_numpy(actions), as_numpy(observations)
        if not len(states) == len(actions) == len(observations):
            raise UsageError(
                f"{len(actions)} actions and {len(observations)} observations for {len(states)} beliefs",
                expected="one of each per belief",
            )
        if ((actions < 0) | (actions >= self.world.num_actions)).any():
            raise UsageError(f"actions {actions.tolist()}", expected=f"0 to {self.world.num_actions - 1}")
        rows = zip(states.rows, actions, observations, strict=True)
        return ParticleBeliefs(tuple(self._after(belief, int(a), seen) for belief, a, seen in rows))

    def step(self, states: ParticleBeliefs, actions: Batch, rng: np.random.Generator) -> ModelStep:
        """Draws a state per belief, its successor and what is observed then, and returns the belief it leads to.

        A belief whose task ended stays as it was.
        """
        actions = as_numpy(actions)
        picked = [int(rng.choice(len(row.weights), p=row.weights)) for row in states.rows]
        chosen = States.concatenate([row.states[[k]] for row, k in zip(states.rows, picked, strict=True)])
        following, reward, ended = self.world.step(chosen, actions, rng)
        seen = self.world.observe(following)
        rows = tuple(
            row if over else self._after(row, int(a), observed)
            for row, a, observed, over in zip(states.rows, actions, seen, ended, strict=True)
        )
        beliefs = ParticleBeliefs(rows)
        return ModelStep(beliefs, reward, 1.0 - ended, self.legal_of(beliefs))

    def legal_of(self, states: ParticleBeliefs) -> np.ndarray:
        """Returns `[B, A]` bool: legal in the states held possible, which agree."""
        return self.world.legal_actions(States.concatenate([row.states[[0]] for row in states.rows]))

    def state_dict(self) -> dict[str, Any]:
        """Returns {}: nothing is learned."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        nothing_to_load(state, f"particles of {self.world.name}")

    # --------------------------------------------------------------------------------------------------- within

    def _rng(self, history: Iterable[Any]) -> np.random.Generator:
        """Returns the random numbers of what was done and observed."""
        import hashlib

        digest = hashlib.blake2b(digest_size=8)
        for part in history:
            digest.update(np.asarray(part).tobytes())
        return np.random.default_rng([self.seed, int.from_bytes(digest.digest(), "little")])

    def _start(self, observation: np.ndarray) -> ParticleBelief:
        history = (np.asarray(observation),)
        found = self._start_states(observation, self.num_particles, self._rng(history))
        if found is None:
            raise ImpossiblePerceptError(
                f"no episode of {self.world.name} was found that starts with observation {observation.tolist()}",
                expected="what this world, under these settings, can show",
                hint="more particles, where it is rare",
            )
        return _even(found, history)

    def _start_states(self, observation: np.ndarray, count: int, rng: np.random.Generator) -> States | None:
        known = self._seen_state(observation)
        if known is not None:
            return known[np.zeros(count, np.int64)]
        found: list[States] = []
        total = 0
        for _ in range(ROUNDS):
            states = self.world.sample_initial(count, rng)
            states = states[self._gives(states, observation)]
            found.append(states)
            total += len(states)
            if total >= count:
                break
        return _resampled(States.concatenate(found), None, count, rng) if total else None

    def _seen_state(self, observation: np.ndarray) -> States | None:
        """Returns the state, where an observation determines it."""
        if self._hides is None:
            from inscape.errors import PartialObservationError, TooManyStatesError

            try:
                self.world.states_of(np.asarray(observation)[None])
                self._hides = False
            except (PartialObservationError, TooManyStatesError):
                self._hides = True
        return None if self._hides else self.world.states_of(np.asarray(observation)[None])

    _hides: bool | None = None

    def _gives(self, states: States, observation: np.ndarray) -> np.ndarray:
        """Returns `[K]` bool: the task goes on there, and this is observed."""
        seen = self.world.observe(states)
        same = (seen == observation).reshape(len(states), -1).all(axis=1)
        return np.asarray(same & ~self.world.terminal_of(states))

    def _after(self, belief: ParticleBelief, action: int, observation: np.ndarray) -> ParticleBelief:
        history = (*belief.history, action, np.asarray(observation))
        known = self._seen_state(observation)
        if known is not None:
            return _even(known[np.zeros(self.num_particles, np.int64)], history, belief.drawn_again)
        rng = self._rng(history)
        states = self._conditioned(belief.states, belief.weights, action, observation, self.num_particles, rng)
        if states is not None:
            return _even(states, history, belief.drawn_again)
        states = self._from_the_start(history, rng)
        if states is None:
            states = self._looking_alike(observation, rng)
        if states is None:
            raise ImpossiblePerceptError(
                f"none of {self.num_particles:,} particles of {self.world.name} explains observation "
                f"{np.asarray(observation).tolist()} after action {action} ({self.world.action_names[action]}), nor "
                "does anything that random play came to",
                expected="what this world, under these settings, can show",
                hint="more particles, where it is rare",
            )
        return _even(states, history, belief.drawn_again + 1)

    def _conditioned(
        self, states: States, weights: np.ndarray, action: int, observation: np.ndarray, count: int,
        rng: np.random.Generator,
    ) -> States | None:  # fmt: skip
        """Returns particles after an action and an observation; None where none explains it."""
        world = self.world
        legal = world.legal_actions(states)[:, action] & ~world.terminal_of(states)
        if not legal.any():
            return None
        states, weights = states[legal], weights[legal]
        if world.is_enumerable and len(states) * world.count_outcomes()[0] <= MOST_OUTCOMES:
            probability, following = world.outcomes(states, np.full(len(states), action))
            weight = (probability * weights[:, None]).ravel()
            possible = np.flatnonzero(weight > 0)
            possible = possible[self._gives(following[possible], observation)]
            return _resampled(following[possible], weight[possible], count, rng) if len(possible) else None
        found, total = [], 0
        for _ in range(ROUNDS):
            chosen = states[_stratified(weights, count, rng)]
            following, _, ended = world.step(chosen, np.full(count, action), rng)
            following = following[self._gives(following, observation) & ~ended]
            found.append(following)
            total += len(following)
            if total >= count:
                break
        return _resampled(States.concatenate(found), None, count, rng) if total else None

    def _from_the_start(self, history: tuple[Any, ...], rng: np.random.Generator) -> States | None:
        """Returns particles drawn along a whole history, more than usual; None where none comes through."""
        count = MORE * self.num_particles
        states = self._start_states(history[0], count, rng)
        for t in range(1, len(history), 2):
            if states is None:
                return None
            even = np.full(len(states), 1.0 / len(states))
            states = self._conditioned(states, even, history[t], history[t + 1], count, rng)
        return None if states is None else _resampled(states, None, self.num_particles, rng)

    def _looking_alike(self, observation: np.ndarray, rng: np.random.Generator) -> States | None:
        """Returns particles met in random play that give an observation; None where there are none."""
        world = self.world
        states = world.sample_initial(self.num_particles, rng)
        found: list[States] = []
        total = 0
        for _ in range(RANDOM_STEPS):
            states, _, ended = world.step(states, world.random_actions(states, rng), rng)
            if ended.any():
                going = np.flatnonzero(~ended)
                fresh = world.sample_initial(int(ended.sum()), rng)
                states = States.concatenate([states[going], fresh])
            alike = states[self._gives(states, observation)]
            found.append(alike)
            total += len(alike)
            if total >= self.num_particles:
                break
        return _resampled(States.concatenate(found), None, self.num_particles, rng) if total else None


def _even(states: States, history: tuple[Any, ...], drawn_again: int = 0) -> ParticleBelief:
    return ParticleBelief(states, np.full(len(states), 1.0 / len(states)), history, drawn_again)


def _stratified(weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns `[count]` indices in proportion to weights, one from each of `count` equal parts of their sum.

    Drawn within each part: evenly spaced ones would meet the same outcome of every particle.

    Source: Kitagawa (1996), Journal of Computational and Graphical Statistics 5(1), stratified sampling.
    """
    cumulative = np.cumsum(weights)
    at = (np.arange(count) + rng.random(count)) / count * cumulative[-1]
    return np.asarray(np.minimum(np.searchsorted(cumulative, at, side="right"), len(weights) - 1))


def _resampled(states: States, weights: np.ndarray | None, count: int, rng: np.random.Generator) -> States:
    """Returns `count` particles of these."""
    return states[_stratified(np.ones(len(states)) if weights is None else weights, count, rng)]
