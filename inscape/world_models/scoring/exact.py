"""Exact scores of a learned model against the true law of a world that can be enumerated and is seen.

`exact_bits`: how many bits a step the model wastes, the mean of KL(P(·|s, a) ‖ Q(·|s, a)). `regret`: what is lost by
acting on a plan made in the model. `value_gap`: the two are tied by the simulation lemma, |V^π − V̂^π| ≤
γ·R/(1 − γ)² · E[√(KL/2)] under the discounted occupancy of π in the true law.

Sources: Kearns & Singh (2002), "Near-optimal reinforcement learning in polynomial time", Machine Learning 49, lemma 4
(the simulation lemma); Pinsker (1964), as in Cover & Thomas (2006), lemma 11.6.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.interface import check_gamma, require
from inscape.world_models.planning.dynamic_programming import policy_evaluation, value_iteration
from inscape.world_models.planning.policies import occupancy
from inscape.world_models.tabular.model import TabularModel

if TYPE_CHECKING:
    from inscape.envs.world import World

Array = np.ndarray[Any, Any]
AT_ONCE = 1 << 18


@dataclass(frozen=True, eq=False)
class ExactBits:
    """What a model wastes, exactly.

    Attributes:
        excess: mean KL(P ‖ Q) in bits a step over the stated distribution; infinite where the model holds something
            that can happen there to be impossible.
        entropy: mean entropy of the true law there, in bits a step: the least that any model needs.
        kl: `[S, A]` KL(P(·|s, a) ‖ Q(·|s, a)) in bits; 0 in terminal states and for illegal actions.
        weights: `[S, A]` the distribution the means are over.
        infinite: pairs (state, action) of positive weight whose KL is infinite.
    """

    excess: float
    entropy: float
    kl: Array
    weights: Array
    infinite: int

    def __str__(self) -> str:
        return f"{self.excess:.4f} bits a step above the entropy {self.entropy:.4f}"


@dataclass(frozen=True)
class Regret:
    """What planning in a model loses.

    Attributes:
        regret: optimum − value, at least 0 up to rounding.
        value: exact value, in the true law from its initial states, of the policy planned in the model.
        optimum: exact value of the best policy.
        planned: what the model promised its plan to be worth; NaN where its planner does not say.
        policy: `[S]` the actions planned, states numbered as `world.dynamics().states`.
    """

    regret: float
    value: float
    optimum: float
    planned: float
    policy: Array

    def __str__(self) -> str:
        return f"regret {self.regret:.4g} (value {self.value:.4g} of {self.optimum:.4g})"


@dataclass(frozen=True)
class ValueGap:
    """How far a policy's value in a model can be from its true one, and how far it is.

    Attributes:
        value: V^π in the true law, from its initial states.
        model_value: V̂^π in the model, the rewards of the true law handed in.
        bound: γ·R/(1 − γ)² · mean √(KL/2), KL in nats; infinite where a KL is.
        mean_root_kl: that mean, under the normalised discounted occupancy of π in the true law.
    """

    value: float
    model_value: float
    bound: float
    mean_root_kl: float


def exact_bits(model: Any, world: World | type[World] | str, weights: Any = "uniform") -> ExactBits:
    """Returns what a model wastes: E[KL(P(s', end | s, a) ‖ Q(s', end | s, a))] in bits a step, exactly.

    Args:
        model: a Markov model with `transition_log_probs(observations, actions, next_observations, terminated)`.
        world: the truth: enumerable, of one player, its observation determines its state.
        weights: the distribution of (s, a): `"uniform"`, all legal pairs of states that go on alike; `"random"`, the
            discounted occupancy of uniform play; or `[S, A]`, states numbered as `world.dynamics().states`.

    Raises:
        MissingLawError: the law cannot be enumerated, or has several players.
        PartialObservationError: states look the same: only a filter's code length is a bound there (`bits`).
        UsageError: a model without the method; weights of another shape.
    """
    table, law_world = _truth(world)
    shares = _weights(table, weights, law_world.gamma)
    kl, entropy = _divergence(model, law_world, table)
    counted = shares > 0
    infinite = int(np.isinf(kl[counted]).sum())
    with np.errstate(invalid="ignore"):
        excess = math.inf if infinite else float((shares * np.where(counted, kl, 0.0)).sum())
    return ExactBits(
        excess / math.log(2), float((shares * entropy).sum()) / math.log(2), kl / math.log(2), shares, infinite
    )


def regret(
    model: Any, world: World | type[World] | str, gamma: float | None = None, planner: Any = None, seed: int = 0
) -> Regret:
    """Returns what is lost by acting on a plan made in the model, exactly.

    Args:
        model: a learned model. With `tabular()` it is solved exactly; any other is searched by `planner` from each
            state, shown by its observation.
        world: the truth, as in `exact_bits`.
        gamma: discount; None for the world's.
        planner: with `plan(model, states, rng)`; None: exact planning in the model's tables.
        seed: of the planner's searches.

    Raises:
        MissingLawError, PartialObservationError: as `exact_bits`.
        UsageError: the model has no tables and no planner is given; gamma out of range.
    """
    table, law_world = _truth(world)
    gamma = law_world.gamma if gamma is None else gamma
    check_gamma(gamma)
    observations = law_world.observe(law_world.dynamics().states)
    policy = np.asarray(table.legal.argmax(axis=1), np.int64)
    going = np.flatnonzero(~table.terminal)
    planned = math.nan
    if planner is None:
        learned: TabularModel = require(model, "tabular", "regret, without a planner,")()
        solution = value_iteration(learned, gamma, 1e-10)
        where = learned.init(observations)
        values = np.where(table.legal[going], solution.q_values[where[going]], -np.inf)
        lost = np.isneginf(values).all(axis=1)  # the model takes what goes on for an end
        best = solution.policy[where[going]]
        fits = table.legal[going, best] & ~lost
        policy[going] = np.where(fits, best, np.where(lost, policy[going], values.argmax(axis=1)))
        planned = float(table.initial @ solution.values[where])
    else:
        plans = planner.plan(model, model.init(observations[going]), np.random.default_rng(seed))
        policy[going] = plans.actions
    chosen = np.eye(table.num_actions)[policy]
    optimum = float(table.initial @ value_iteration(table, gamma, 1e-10).values)
    value = float(table.initial @ policy_evaluation(table, chosen, gamma))
    return Regret(optimum - value, value, optimum, planned, policy)


def value_gap(model: Any, world: World | type[World] | str, policy: Array, gamma: float | None = None) -> ValueGap:
    """Returns V^π, V̂^π and the bound on their difference that the code length gives (the simulation lemma).

    The model's law is what it predicts of each pair (s, a); what it predicts beyond the world's states is worth
    nothing. Rewards are the true r(s, a): those a model learned add E|r − r̂|/(1 − γ) to the bound.

    Args:
        model, world: as in `exact_bits`.
        policy: `[S]` action numbers or `[S, A]` probabilities.
        gamma: discount below 1; None for the world's.

    Raises:
        MissingLawError, PartialObservationError, UsageError: as `exact_bits`; gamma = 1.
    """
    table, law_world = _truth(world)
    gamma = law_world.gamma if gamma is None else gamma
    check_gamma(gamma)
    if gamma == 1.0:
        raise UsageError("gamma = 1 for the simulation lemma", expected="a discount below 1")
    states, actions = table.num_states, table.num_actions
    chosen = np.eye(actions)[policy] if np.ndim(policy) == 1 else np.asarray(policy, np.float64)
    chosen = np.where(table.terminal[:, None], 0.0, chosen)
    kl, _ = _divergence(model, law_world, table)
    predicted = _predicted(model, law_world, table)
    gain = (table.probability * table.reward).sum(axis=2)
    chain = np.einsum("sa,sat->st", chosen, predicted)
    model_values = np.linalg.solve(np.eye(states) - gamma * chain, (chosen * gain).sum(axis=1))
    full = np.where(table.terminal[:, None], table.legal / np.maximum(table.legal.sum(1, keepdims=True), 1), chosen)
    full = np.where(full.sum(axis=1, keepdims=True) > 0, full, 1.0 / actions)
    values = policy_evaluation(table, full, gamma)
    visits = occupancy(table, full, gamma) * (1.0 - gamma)
    with np.errstate(invalid="ignore"):
        mass = visits[:, None] * chosen
        mean = float(np.where(mass > 0, mass * np.sqrt(kl / 2.0), 0.0).sum())
    earned = gain[table.legal & ~table.terminal[:, None]]
    spread = max(float(earned.max(initial=0.0)), 0.0) - min(float(earned.min(initial=0.0)), 0.0)
    return ValueGap(
        float(table.initial @ values), float(table.initial @ model_values),
        gamma * spread / (1.0 - gamma) ** 2 * mean, mean,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------- within


def _truth(world: Any) -> tuple[TabularModel, World]:
    from inscape.world_models.tabular.model import world_in_hand

    law_world = world_in_hand(world)
    table = TabularModel.from_world(law_world)
    table.init(law_world.observe(law_world.dynamics().states[:1]))  # refuses states that look the same
    return table, law_world


def _weights(table: TabularModel, given: Any, gamma: float) -> Array:
    pairs = table.legal & ~table.terminal[:, None]
    if isinstance(given, str):
        if given == "uniform":
            return np.asarray(pairs / max(pairs.sum(), 1))
        if given != "random":
            raise UsageError(f"weights = {given!r}", expected="'uniform', 'random', or an array [S, A]")
        play = table.legal / np.maximum(table.legal.sum(axis=1, keepdims=True), 1)
        play = np.where(play.sum(axis=1, keepdims=True) > 0, play, 1.0 / table.num_actions)
        shares = occupancy(table, play, min(gamma, 0.99))[:, None] * np.where(pairs, play, 0.0)
        return np.asarray(shares / shares.sum())
    shares = np.asarray(given, np.float64)
    if shares.shape != pairs.shape or not (shares >= 0).all() or not np.isfinite(shares).all() or shares.sum() <= 0:
        raise UsageError(
            f"weights of shape {shares.shape} that sum to {shares.sum():g}",
            expected=f"{pairs.shape} numbers of at least 0, not all 0",
        )
    shares = np.where(pairs, shares, 0.0)
    if shares.sum() <= 0:
        raise UsageError("weights on terminal states and illegal actions only", expected="a pair that can be taken")
    return np.asarray(shares / shares.sum())


def _divergence(model: Any, world: World, table: TabularModel) -> tuple[Array, Array]:
    """Returns `[S, A]` KL(P ‖ Q) and the entropy of P, in nats, of outcomes (next state, the task ended)."""
    states, actions, _ = table.next_state.shape
    use = (table.probability > 0) & (table.legal & ~table.terminal[:, None])[:, :, None]
    s, a, k = np.nonzero(use)
    pair, following = s * actions + a, table.next_state[s, a, k].astype(np.int64)
    merged, index = np.unique(pair * states + following, return_inverse=True)
    p = np.bincount(index, table.probability[s, a, k], minlength=len(merged))
    pair, following = merged // states, merged % states
    log_q = _log_probs(model, world, pair, following, table.terminal[following], actions)
    kl, entropy = np.zeros((2, states * actions))
    np.add.at(kl, pair, p * (np.log(p) - log_q))
    np.add.at(entropy, pair, -p * np.log(p))
    return np.maximum(kl, 0.0).reshape(states, actions), entropy.reshape(states, actions)


def _predicted(model: Any, world: World, table: TabularModel) -> Array:
    """Returns `[S, A, S]` Q(next state, the task goes on | s, a); what is missing to 1 has ended or is unknown."""
    states, actions, _ = table.next_state.shape
    pairs = np.flatnonzero((table.legal & ~table.terminal[:, None]).reshape(-1))
    # a state that ends is worth nothing, whether or not the model believes that it does
    targets = np.flatnonzero(~table.terminal)
    pair, following = (array.reshape(-1) for array in np.meshgrid(pairs, targets, indexing="ij"))
    log_q = _log_probs(model, world, pair, following, np.zeros(len(pair), np.bool_), actions)
    found = np.zeros((states * actions, states))
    found[pair, following] = np.exp(log_q)
    return found.reshape(states, actions, states)


def _log_probs(model: Any, world: World, pair: Array, following: Array, ended: Array, actions: int) -> Array:
    log_probs = getattr(model, "transition_log_probs", None)
    if not callable(log_probs):
        raise UsageError(
            f"exact bits of {type(model).__name__}, which has no transition_log_probs()",
            expected="a model of one step: transition_log_probs(observations, actions, next_observations, terminated)",
            hint="bits(model, episodes), which any model with log_prob has",
        )
    observations = world.observe(world.dynamics().states)
    found = [
        log_probs(
            observations[pair[low : low + AT_ONCE] // actions], pair[low : low + AT_ONCE] % actions,
            observations[following[low : low + AT_ONCE]], ended[low : low + AT_ONCE],
        )
        for low in range(0, len(pair), AT_ONCE)
    ]  # fmt: skip
    return np.concatenate(found) if found else np.zeros(0)
