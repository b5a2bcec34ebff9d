"""The cross-entropy method over action sequences, continuous or discrete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.world_models.planning.control.proposals import shifted
from inscape.world_models.planning.control.search import Search
from inscape.world_models.planning.control.settings import CEMSettings, require_gamma
from inscape.world_models.planning.interface import Evaluate, Plans


@dataclass(frozen=True)
class CEM(CEMSettings):
    """Draws action sequences from a distribution, fits it to the best, and again; acts on its mean.

    The mean joins the last population.

    Continuous actions: independent Gaussians, within bounds. Discrete ones: independent probabilities at each step,
    and the best sequence is acted on.

    Source: Rubinstein (1999), "The cross-entropy method for combinatorial and continuous optimization", Methodology and
    Computing in Applied Probability 1(2), for planning: Chua, Calandra, McAllister & Levine (2018), "Deep reinforcement
    learning in a handful of trials", NeurIPS, section 5.
    """

    gamma: float = 0.99
    """Discount per step, from 0 to 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_gamma(self)

    def plan(
        self,
        model: Any,
        states: Any,
        rng: np.random.Generator | np.ndarray,
        evaluate: Evaluate | None = None,
        previous: Plans | None = None,
    ) -> Plans:
        """Returns a plan for each of B states, each searched with its own random numbers.

        On a known law the population is rolled out by one kernel, on every core where that pays; the result does not
        depend on their number. In any other model it is one call of `step` per step of the horizon.

        Args:
            model: a `World`, or a `WorldModel` of one player with `Discrete` or bounded `Box` actions.
            states: a batch of B model states, none of them terminal.
            rng: gives each search its own random numbers; the environment's are never used. Or `[B]` int64, a key for
                each state, on which alone its plan then depends.
            evaluate: values `[B]` of the states at the horizon, counted γ^H; 0 without.
            previous: the plans of the step before: the search starts from them, a step on.

        Returns:
            `Plans`: `actions`; `values`, predicted returns of the sequences to act on, each from roll-outs of its own;
            `sequences [B, H]` or `[B, H, D]`; `metrics`: `population_mean`, `population_std`, `population_best` of the
            last iteration's returns and, for continuous actions, `action_std_0` …: what is left of their deviation;
            for discrete ones `action_values` (the best return that began with the action), `visit_counts` (sequences
            that did) and `action_probs`.

        Raises:
            UsageError: a state is terminal; the model has several players, is an environment, or gives numbers that
                are not finite; its actions are unbounded or of another kind; `previous` is of another batch.
        """
        return improve(self, Search(self, model, states, rng, evaluate), previous, 0, 1.0)

    def carried_per_step(self, actions: int, dimensions: int) -> int:
        """Returns how many numbers a step of the horizon takes in what is carried to the next decision."""
        return actions or dimensions


def elite_weights(returns: np.ndarray, elites: int) -> np.ndarray:
    """Returns `[B, N]` weights of sequences: 1/K each for the K best; those that tie for the last places share them.

    Where all returns are equal, as before a rare reward is found, the distribution so stays as wide as it is.
    """
    last = -np.partition(-returns, elites - 1, axis=1)[:, elites - 1 : elites]
    better, tied = returns > last, returns == last
    share = (elites - better.sum(axis=1, keepdims=True)) / tied.sum(axis=1, keepdims=True)
    return np.asarray((better + share * tied) / elites)


def improve(planner: CEMSettings, search: Search, previous: Plans | None, kept: int, decay: float) -> Plans:
    """Returns the plans of a search by the cross-entropy method.

    Args:
        planner: its settings.
        search: where.
        previous: the plans of the step before.
        kept: how many elites are rolled out again in the next iteration, and in the next decision.
        decay: by which the population shrinks per iteration.
    """
    of_proposal = search.horizon * (search.actions or len(search.low))
    of_elites = kept * search.horizon * (len(search.low) or 1)
    carried = search.carried_from(previous, of_proposal + of_elites)
    proposal = search.proposal(planner.initial_std, planner.uniform_share, carried[:, :of_proposal])
    rows = np.arange(search.batch)[:, None]
    elites = np.empty(0)
    best = np.empty(0)
    for iteration in range(planner.iterations):
        count = max(int(planner.population * decay**-iteration), min(planner.population, 2 * planner.elite_count))
        if iteration == 0:
            drawn = proposal.sample(search.rngs, count + kept, planner.noise_exponent)
            if fresh := int(planner.fresh * count):
                cold = search.proposal(
                    planner.initial_std, planner.uniform_share, np.full_like(carried, np.nan)[:, :of_proposal]
                )
                drawn[:, -fresh:] = cold.sample(search.rngs, fresh, planner.noise_exponent)
            if kept:  # those of the last decision, where there was one, instead of the first drawn
                old = carried[:, of_proposal:].reshape(drawn[:, :kept].shape)[:, :, :-1]  # their last action is drawn
                drawn[:, :kept, :-1] = np.where(np.isnan(old), drawn[:, :kept, :-1], old)
        else:
            drawn = proposal.sample(search.rngs, count, planner.noise_exponent)
            drawn = np.concatenate([elites[:, :kept], drawn], axis=1) if kept else drawn
        if iteration == planner.iterations - 1:
            drawn = np.concatenate([drawn, proposal.centre()[:, None]], axis=1)
        returns = search.returns(drawn)
        elites = drawn[rows, np.argsort(-returns, axis=1, kind="stable")[:, : max(1, kept)]]
        best = elites[:, 0]
        proposal = proposal.fitted(drawn, elite_weights(returns, planner.elite_count), planner.momentum, spread=True)
    # of discrete actions, those most probable at each step need not go together
    chosen = best if planner.choose == "best" or search.actions else proposal.centre()
    passed = [proposal.carried(), shifted(elites[:, :kept], axis=2).reshape(search.batch, -1).astype(np.float64)]
    return search.plans(chosen, np.concatenate(passed, axis=1), proposal)
