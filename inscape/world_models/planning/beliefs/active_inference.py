"""Active inference: policies in proportion to exp(−precision · expected free energy).

A policy is a sequence of actions of a fixed length. Its negative expected free energy is, summed over its steps, the
utility that is expected and the information that is expected: about the state, I(state; observation), and where the
law is a Dirichlet posterior, about its parameters, I(successor; parameters). Utilities are the rewards: what pymdp and
SPM call log preferences. As there, a policy is judged by what is predicted at the outset, without regard to what would
be observed on the way.

"State" is what matters for the future: states of the world that differ in the last percept alone are one (see
`BeliefProblem`). An end of the task is a state of its own, and is observed.

Sources: Friston, Rigoli, Ognibene, Mathys, Fitzgerald & Pezzulo (2015), "Active inference and epistemic value",
Cognitive Neuroscience 6(4), equation 9; Da Costa et al. (2020), "Active inference on discrete state-spaces: a
synthesis", Journal of Mathematical Psychology 99, section 6; the same posterior in software: Heins et al. (2022),
"pymdp", JOSS 7(73).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np

from inscape.envs.law.streams import require_generator
from inscape.envs.world import World
from inscape.errors import UsageError
from inscape.world_models.belief.model import BeliefModel
from inscape.world_models.interface import check_gamma, refuse_environment
from inscape.world_models.known import KnownModel
from inscape.world_models.planning.beliefs.problem import BeliefProblem
from inscape.world_models.planning.interface import Evaluate, Plans
from inscape.world_models.planning.tree_search.settings import require_count
from inscape.world_models.tabular.counts import LearnedTabularModel
from inscape.world_models.tabular.model import TabularModel

Array = np.ndarray[Any, Any]
LARGEST = 20_000_000
"""Entries of P(next state, observation | state, action), beyond which a problem is refused."""


@dataclass(frozen=True, eq=False)
class PolicyPosterior:
    """What is expected of every policy, and how likely each is to be followed, for B beliefs.

    Attributes:
        policies: `[P, T]` actions, in lexicographic order.
        utility: `[B, P]` expected reward, summed over steps; −inf where an action of the policy may be illegal.
        information: `[B, P]` nats expected about the state.
        novelty: `[B, P]` nats expected about the law's parameters; 0 where they are known.
        negative_energy: `[B, P]` the weighted sum of the three: minus the expected free energy.
        probability: `[B, P]` softmax of precision · negative_energy.
        action_probs: `[B, A]` how likely each action is to be the first.
    """

    policies: Array
    utility: Array
    information: Array
    novelty: Array
    negative_energy: Array
    probability: Array
    action_probs: Array


@dataclass(frozen=True)
class ActiveInferenceSettings:
    """What the planner `ActiveInference` and the agent `active-inference` have in common."""

    depth: int = 3
    """Actions of a policy; every sequence of so many is judged."""
    precision: float = 16.0
    """Inverse temperature of the choice among policies: γ of the papers; 0: all alike."""
    utility: float = 1.0
    """Weight of the expected reward: how many nats of log preference a unit of reward is."""
    information: float = 1.0
    """Weight of the information expected about the state; 0: expected utility alone."""
    novelty: float = 1.0
    """Weight of the information expected about the parameters of a learned table."""
    gamma: float = 1.0
    """Discount of what is expected per step, from 0 to 1."""
    max_policies: int = 1_000_000
    """More sequences than these are refused."""

    def __post_init__(self) -> None:
        for name in ("depth", "max_policies"):
            require_count(self, name)
        for name in ("precision", "utility", "information", "novelty"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < math.inf:
                raise UsageError(f"{name} = {value!r}", expected="a finite number of at least 0")
        check_gamma(self.gamma)


@dataclass(frozen=True)
class ActiveInference(ActiveInferenceSettings):
    """The planner: `ActiveInference(depth=3).plan(BeliefModel.from_world(world), beliefs, rng)[0]`."""

    begins_in_beliefs: ClassVar[bool] = True

    def plan(self, model: Any, states: Any, rng: np.random.Generator, evaluate: Evaluate | None = None) -> Plans:
        """Returns a plan for each of B beliefs: the likeliest first action, `action_probs` of all.

        `action_values` are the largest negative expected free energy of a policy that begins with the action.

        Args:
            model: a `BeliefModel` (`states` are beliefs `[B, S]`); a `TabularModel` or `LearnedTabularModel`, whose
                state is seen (`[B]` numbers); a `World` or `KnownModel`, of which `states` are states: what is known
                is what one knows who observes them as the first of an episode.
            states: B beliefs, or states.
            rng: chooses among actions that are alike.
            evaluate: must be None.

        Raises:
            UsageError: a belief is no distribution, or its task is over; no policy is legal; too many policies.
            MissingLawError: a law that can only be sampled; several players.
        """
        require_generator(rng)
        if evaluate is not None:
            raise UsageError(
                "evaluate for active inference, which looks a fixed number of steps ahead", expected="None"
            )
        found = self.posterior(model, states)
        probs = found.action_probs
        best = probs >= probs.max(axis=1, keepdims=True) * (1.0 - 1e-9)
        actions = np.where(best, rng.random(probs.shape), -1.0).argmax(axis=1)
        first = found.policies[:, 0]
        values = np.full(probs.shape, -np.inf)
        for a in range(probs.shape[1]):
            if (first == a).any():
                values[:, a] = found.negative_energy[:, first == a].max(axis=1)
        with np.errstate(invalid="ignore"):
            mean = np.where(found.probability > 0, found.probability * found.negative_energy, 0.0).sum(axis=1)
        return Plans(actions, mean, values, action_probs=probs)

    def posterior(self, model: Any, states: Any) -> PolicyPosterior:
        """Returns what is expected of every policy, and how likely each is; see `plan`."""
        law, beliefs = _law_and_beliefs(model, states)
        return self.of_classes(law, beliefs)

    def of_classes(self, law: Law, beliefs: Array) -> PolicyPosterior:
        """Returns the posterior for `[B, C]` beliefs over the classes of a problem (or `[B, C + 1]`, with the end)."""
        actions = law.reward.shape[1]
        count = actions**self.depth
        if count > self.max_policies:
            raise UsageError(
                f"{count:,} policies of {self.depth} of {actions} actions", expected=f"at most {self.max_policies:,}",
                hint="a smaller depth, or more max_policies",
            )  # fmt: skip
        rows = len(beliefs)
        states = np.zeros((rows, law.reward.shape[0]))
        states[:, : beliefs.shape[1]] = beliefs
        utility = information = novelty = np.zeros((rows, 1))
        discount = 1.0
        for _ in range(self.depth):  # states [B·N, C + 1]: what each beginning of a policy leads to is predicted once
            reward, about_state, about_law, states = law.step(states)
            shape = (rows, -1, actions)
            utility = _longer(utility, discount * reward.reshape(shape))
            information = _longer(information, discount * about_state.reshape(shape))
            if about_law is not None:
                novelty = _longer(novelty, discount * about_law.reshape(shape))
            discount *= self.gamma
        if about_law is None:
            novelty = np.zeros(information.shape)
        energy = self.utility * np.where(np.isneginf(utility), 0.0, utility) + self.information * information
        if about_law is not None:
            energy = energy + self.novelty * novelty
        if not law.all_legal:
            energy = np.where(np.isneginf(utility), -np.inf, energy)
        highest = energy.max(axis=1, keepdims=True)
        if np.isneginf(highest).any():
            b = int(np.argmax(np.isneginf(highest[:, 0])))
            raise UsageError(
                f"belief {b}: no sequence of {self.depth} actions is legal in all states that it holds possible",
                expected="an action that is legal in all of them", hint="a smaller depth",
            )  # fmt: skip
        if self.precision == 0.0:  # 0 · −inf
            weight = (~np.isneginf(energy)).astype(float)
        else:
            weight = np.exp(self.precision * (energy - highest))
        probability = weight / weight.sum(axis=1, keepdims=True)
        by_first = probability.reshape(rows, actions, -1).sum(axis=2)
        return PolicyPosterior(
            _policies(actions, self.depth), utility, information, novelty, energy, probability, by_first
        )


@lru_cache(maxsize=8)
def _policies(actions: int, depth: int) -> Array:
    """Returns `[A^T, T]` every sequence of actions, in lexicographic order."""
    return np.stack(np.unravel_index(np.arange(actions**depth), (actions,) * depth), axis=1)


def _longer(sums: Array, added: Array) -> Array:
    """Returns `[B, N·A]` sums of policies that are one action longer than those of `[B, N]`."""
    return np.asarray((sums[:, :, None] + added).reshape(len(sums), -1))


class Law:
    """A problem as active inference needs it: C classes of states and the end (number C), A actions.

    Attributes:
        problem: the problem.
        reward: `[C + 1, A]`.
        illegal: `[C + 1, A]` 1 where an action is illegal.
        transition: `[A, C + 1, C + 1]`.
        observation: `[A, C + 1, O + 1]` P(observation | action, next class), where the observation depends on these
            alone; else None, and
        joint: `[C + 1, A·(O + 1)·(C + 1)]` P(observation, next class | class, action).
        novelty: `[C + 1, A]` nats expected about the parameters; None where they are known.
    """

    def __init__(self, problem: BeliefProblem, novelty: Array | None = None) -> None:
        classes, actions, kinds = problem.num_classes, problem.num_actions, problem.num_observations
        size = (classes + 1, actions, kinds + 1, classes + 1)
        if math.prod(size) > LARGEST:
            raise UsageError(
                f"active inference over {classes:,} classes of states, {actions} actions and {kinds:,} observations",
                expected=f"at most {LARGEST:,} entries", hint="POMCP, which samples",
            )  # fmt: skip
        self.problem = problem
        joint = np.zeros(size)
        entries = problem.ahead.tocoo()
        row = entries.row
        at = (problem.source[row], problem.action[row], problem.observation[row], entries.col)
        np.add.at(joint, at, entries.data)
        going = joint.sum(axis=(2, 3))
        joint[:, :, kinds, classes] += np.clip(1.0 - going, 0.0, None)  # the task ends, and so do all sums
        joint /= joint.sum(axis=(2, 3), keepdims=True)
        self.reward = np.vstack([problem.reward, np.zeros(actions)])
        self.illegal = np.vstack([~problem.legal, np.zeros(actions, bool)]).astype(float)
        self.all_legal = bool(problem.legal.all())
        self.transition = np.ascontiguousarray(joint.sum(axis=2).transpose(1, 0, 2))
        self.observation = _observation_of(joint)
        self.joint = None if self.observation is not None else joint.reshape(classes + 1, -1)
        self._shape = size
        if self.observation is not None:
            self.ambiguity = -_plogp(self.observation).sum(axis=2)[:, :, None]  # [A, C + 1, 1]
        self.novelty = None if novelty is None else np.vstack([novelty, np.zeros(actions)])

    def step(self, states: Array) -> tuple[Array, Array, Array | None, Array]:
        """Returns expected rewards, information about state and law `[N, A]`, and predictions `[N·A, C + 1]`.

        Information about the law is None where its parameters are known.
        """
        reward = states @ self.reward
        if not self.all_legal:
            reward = np.where(states @ self.illegal > 0.0, -np.inf, reward)
        following = states @ self.transition  # [A, N, C + 1]
        if self.observation is not None:
            expected = following @ self.observation
            information = -_plogp(expected).sum(axis=2) - (following @ self.ambiguity)[:, :, 0]
            information = information.T
        else:
            assert self.joint is not None
            joint = (states @ self.joint).reshape(len(states), *self._shape[1:])
            both = _plogp(joint).sum(axis=(2, 3))
            seen = _plogp(joint.sum(axis=3)).sum(axis=2)
            information = both - seen - _plogp(following).sum(axis=2).T
        novelty = None if self.novelty is None else states @ self.novelty
        predicted = following.transpose(1, 0, 2).reshape(-1, following.shape[2])
        return reward, np.maximum(information, 0.0), novelty, predicted


def _plogp(p: Array) -> Array:
    """Returns p·log p, 0 where p is."""
    return np.asarray(p * np.log(np.where(p > 0.0, p, 1.0)))


def _observation_of(joint: Array) -> Array | None:
    """Returns `[A, C, O]` P(observation | action, next class) where that does not depend on where one came from."""
    reached = joint.sum(axis=2)  # [C, A, C']
    total = reached.sum(axis=0)
    given = np.divide(joint.sum(axis=0), total[:, None], out=np.zeros(joint.shape[1:]), where=total[:, None] > 0)
    if np.abs(joint - given[None] * reached[:, :, None]).max() > 1e-12:
        return None
    return np.ascontiguousarray(given.transpose(0, 2, 1))


def parameter_information(model: LearnedTabularModel) -> Array:
    """Returns `[S, A]` nats that a step is expected to tell about the law: I(successor; parameters).

    The posterior of a row of counts n is Dirichlet with α_k = n_k + concentration / observations. With p = α / Σα the
    information is H(p) − E[H(parameters)] = −Σ p_k log p_k − ψ(Σα + 1) + Σ p_k ψ(α_k + 1).

    Source: Wolpert & Wolf (1995), "Estimating functions of probability distributions from a finite set of samples",
    Physical Review E 52(6), for E[H].
    """
    from scipy.special import digamma

    tables = model.tabular()
    found = np.zeros((tables.num_states, tables.num_actions))
    seen = model.successor_counts()
    kinds = model.num_observations or len(seen) + 1
    share = model.settings.concentration / kinds
    for s in range(tables.num_states):
        for a in range(tables.num_actions):
            counts = seen[s][a] if s < len(seen) else np.zeros(0)
            alpha = counts + share
            unseen = max(0, kinds - len(counts))
            total = alpha.sum() + unseen * share
            p, rest = alpha / total, share / total
            entropy = -_plogp(p).sum() - unseen * float(_plogp(np.array(rest)))
            expected = digamma(total + 1) - (p * digamma(alpha + 1)).sum() - unseen * rest * digamma(share + 1)
            found[s, a] = max(0.0, entropy - expected)
    return np.where(tables.terminal[:, None], 0.0, found)


_laws: WeakKeyDictionary[Any, Law] = WeakKeyDictionary()
_belief_models: WeakKeyDictionary[Any, BeliefModel] = WeakKeyDictionary()


def law_of(model: BeliefModel) -> Law:
    """Returns a model of beliefs as active inference needs it; computed once for each."""
    if model not in _laws:
        _laws[model] = Law(BeliefProblem.of(model, 0.5))  # its discount is not used
    return _laws[model]


def _law_and_beliefs(model: Any, states: Any) -> tuple[Law, Array]:
    """Returns the law and `[B, C]` beliefs over its classes."""
    if isinstance(model, KnownModel):
        model = model.world
    if not isinstance(model, World):
        refuse_environment(model, "active inference")
    if isinstance(model, World):
        given = model.as_states(states)
        world, model = model, _beliefs_over(model)
        return _of_exact(model, model.init(world.observe(given)))
    if isinstance(model, BeliefModel):
        return _of_exact(model, np.asarray(states, np.float64))
    if isinstance(model, LearnedTabularModel | TabularModel):
        tables = model.tabular() if isinstance(model, LearnedTabularModel) else model
        numbers = np.atleast_1d(np.asarray(states))
        if numbers.dtype.kind not in "iu" or ((numbers < 0) | (numbers >= tables.num_states)).any():
            raise UsageError(f"states {numbers.tolist()}", expected=f"numbers from 0 to {tables.num_states - 1}")
        seen = BeliefModel(tables, np.arange(tables.num_states))
        if isinstance(model, TabularModel):
            return _of_exact(seen, np.eye(tables.num_states)[numbers])
        problem = _apart(seen)
        law = Law(problem, parameter_information(model)[~tables.terminal])
        return law, problem.belief_of(_going_on(seen, np.eye(tables.num_states)[numbers]))
    raise UsageError(
        f"active inference with a {type(model).__name__}",
        expected="a world, a BeliefModel, a TabularModel or a LearnedTabularModel",
    )


def _beliefs_over(world: World) -> BeliefModel:
    if world not in _belief_models:
        _belief_models[world] = BeliefModel.from_world(world)
    return _belief_models[world]


def _of_exact(model: BeliefModel, beliefs: Array) -> tuple[Law, Array]:
    law = law_of(model)
    return law, law.problem.belief_of(_going_on(model, beliefs))


def _going_on(model: BeliefModel, beliefs: Array) -> Array:
    """Returns beliefs `[B, S]` without the states in which the task is over.

    Raises:
        UsageError: they are no distributions, or the task is over.
    """
    count = model.tables.num_states
    if beliefs.ndim != 2 or beliefs.shape[1] != count:
        raise UsageError(f"beliefs of shape {list(beliefs.shape)}", expected=f"[B, {count}] probabilities of states")
    total = beliefs.sum(axis=1)
    if not (beliefs.min() >= 0.0 and np.abs(total - 1).max() < 1e-6):  # NaN is neither
        raise UsageError("beliefs that are no distributions", expected="non-negative rows that sum to 1")
    if not model.tables.terminal.any():
        return np.asarray(beliefs / total[:, None])
    going = beliefs * ~model.tables.terminal
    total = going.sum(axis=1, keepdims=True)
    if (total <= 0).any():
        raise UsageError(f"belief {int(np.argmin(total))}: the task is over", expected="a belief in which it goes on")
    return np.asarray(going / total)


def _apart(model: BeliefModel) -> BeliefProblem:
    """Returns the problem in which no two states are one: what is learned about each counts."""
    return BeliefProblem.of(model, 0.5, lump=False)
