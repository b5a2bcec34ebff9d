"""The likelihood of choices under a reward that is linear in features, and its exact gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array, check_world
from inscape.theory_of_mind.observers.checks import check_gamma
from inscape.theory_of_mind.observers.numbering import Numbering, episodes_of
from inscape.theory_of_mind.parts.numbers import finite_number
from inscape.world_models.tabular.model import TabularModel

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.world import World

SETTLED = 1e-12
MOST_ROUNDS = 200
LONGEST = 1e9
"""Mean steps of an episode above which, at γ = 1, it is taken not to end."""
SMALL = 256
"""States up to which a dense linear system takes less time than a sparse one."""


class ChoiceLikelihood:
    """log P(actions | states, θ) of a maximum-entropy agent whose reward is θ·φ, and its gradient.

    The agent's values are V(s) = (1/β) log Σ_a exp β Q(s, a), Q(s, a) = θ·φ(s, a) + γ E[V(s')], found by soft policy
    iteration (Newton's method: a linear system a round); ∂V/∂θ are the discounted feature counts of its policy, from
    the same linear system.

    Args:
        world: the world acted in, of one player, that can be enumerated; where it ends, episodes end.
        trajectories: what was done.
        features: φ, as a function of a `State` arrived in, `[S, F]` of the states arrived in, or `[S, A, F]`.
        beta: rationality, per unit of reward; it and the size of θ cannot be told apart.
        gamma: discount; None: the world's.
        horizon: steps an episode has, planned for by stages; None: without end.

    Attributes:
        model: the tables.
        features: `[S, A, F]` expected features of an action.
        counts: `[S, A]` how often each action was taken, or `[H, S, A]` by stage.

    Raises:
        UsageError: features of another shape or not finite; no actions; an episode longer than the horizon; when it is
            called, γ = 1 and a θ under which going on for ever is worth more than any end, so that there are no values.

    Source: Ziebart, Bagnell & Dey (2010), "Modeling interaction via the principle of maximum causal entropy", ICML;
        the gradient: Neu & Szepesvári (2007), UAI, section 4.
    """

    def __init__(
        self,
        world: World,
        trajectories: Sequence[Trajectory],
        features: Any,
        beta: float = 1.0,
        gamma: float | None = None,
        horizon: int | None = None,
    ) -> None:
        check_world(world)
        self.model = TabularModel.from_world(world)
        self.beta = finite_number("beta", beta, "per unit of reward")
        if self.beta == 0:
            raise UsageError("beta = 0, under which every reward explains all actions alike", expected="beta > 0")
        self.gamma = check_gamma(world.gamma if gamma is None else gamma)
        if horizon is not None and (
            isinstance(horizon, bool) or not isinstance(horizon, (int, np.integer)) or horizon < 1
        ):
            raise UsageError(f"horizon = {horizon!r}", expected="a number of steps, 1 or more")
        self.horizon = horizon
        self.features = _features(world, self.model, features)
        self._going = ~self.model.terminal
        self._ahead = np.where(self.model.probability > 0, self.model.probability * self.model.continuation, 0.0)
        self.counts = self._counted(world, trajectories)
        self.num_actions = float(self.counts.sum())
        if not self.num_actions:
            raise UsageError("trajectories without a single action", expected="at least one action to explain")
        self._values = np.zeros(self.model.num_states)

    @property
    def num_features(self) -> int:
        """F."""
        return int(self.features.shape[2])

    def __call__(self, weights: Array) -> tuple[float, Array]:
        """Returns `(log-likelihood in nats, its gradient [F])` at θ = `weights [F]`."""
        reward = self.features @ weights
        return self._stages(reward) if self.horizon is not None else self._without_end(reward)

    def log_policy(self, weights: Array) -> Array:
        """Returns `[S, A]` log π at θ, or `[H, S, A]` by stage; −inf where illegal."""
        reward = self.features @ np.asarray(weights, np.float64)
        if self.horizon is not None:
            return np.array([self._chosen(q)[1] for q in self._stage_values(reward)])
        return self._chosen(self._q_values(reward, self._solved(reward)))[1]

    # ------------------------------------------------------------------------------------------------------ within

    def _without_end(self, reward: Array) -> tuple[float, Array]:
        values = self._solved(reward)
        q_values = self._q_values(reward, values)
        _, log_policy = self._chosen(q_values)
        policy = np.exp(log_policy)
        found = float((self.counts * np.where(self.counts > 0, log_policy, 0.0)).sum())
        per_state = np.einsum("sa,saf->sf", policy, self.features) * self._going[:, None]
        slope = self._solve(policy, per_state)  # ∂V/∂θ [S, F]
        following = np.einsum("sak,sakf->saf", self._ahead, slope[self.model.next_state])
        change = self.features + self.gamma * following - slope[:, None]
        return found, self.beta * np.einsum("sa,saf->f", self.counts, change)

    def _stages(self, reward: Array) -> tuple[float, Array]:
        tables = self._stage_values(reward)
        found, gradient = 0.0, np.zeros(self.num_features)
        slope = np.zeros((self.model.num_states, self.num_features))
        for h in reversed(range(len(tables))):
            _, log_policy = self._chosen(tables[h])
            following = np.einsum("sak,sakf->saf", self._ahead, slope[self.model.next_state])
            action_slope = self.features + self.gamma * following
            slope = np.einsum("sa,saf->sf", np.exp(log_policy), action_slope) * self._going[:, None]
            counts = self.counts[h]
            found += float((counts * np.where(counts > 0, log_policy, 0.0)).sum())
            gradient += self.beta * np.einsum("sa,saf->f", counts, action_slope - slope[:, None])
        return found, gradient

    def _stage_values(self, reward: Array) -> list[Array]:
        assert self.horizon is not None
        values, tables = np.zeros(self.model.num_states), []
        for _ in range(self.horizon):
            q_values = self._q_values(reward, values)
            values = self._chosen(q_values)[0]
            tables.append(q_values)
        return tables[::-1]

    def _q_values(self, reward: Array, values: Array) -> Array:
        return np.asarray(reward + self.gamma * np.einsum("sak,sak->sa", self._ahead, values[self.model.next_state]))

    def _chosen(self, q_values: Array) -> tuple[Array, Array]:
        """Returns `[S]` values and `[S, A]` log-probabilities of the maximum-entropy choice."""
        legal = self.model.legal | ~self._going[:, None]
        scaled = np.where(legal, self.beta * q_values, -np.inf)
        top = scaled.max(axis=1, keepdims=True)
        total = top + np.log(np.exp(scaled - top).sum(axis=1, keepdims=True))
        return np.where(self._going, total[:, 0] / self.beta, 0.0), scaled - total

    def _solved(self, reward: Array) -> Array:
        """Returns `[S]` V by soft policy iteration, begun where the last one ended."""
        values = self._values
        for _ in range(MOST_ROUNDS):
            q_values = self._q_values(reward, values)
            backed_up, log_policy = self._chosen(q_values)
            policy = np.exp(log_policy)
            if np.abs(backed_up - values).max() <= SETTLED * max(1.0, float(np.abs(values).max())):
                self._check_ends(policy)
                break
            entropy = -(policy * np.where(policy > 0, log_policy, 0.0)).sum(axis=1)
            paid = np.where(self._going, (policy * reward).sum(axis=1) + entropy / self.beta, 0.0)
            values = self._solve(policy, paid[:, None])[:, 0]
        else:
            self._refuse_endless()
        self._values = values
        return values

    def _check_ends(self, policy: Array) -> None:
        """Refuses a policy under which episodes do not end: what the linear system returned there is rounding error."""
        if self.gamma < 1:
            return
        steps = self._solve(policy, self._going[:, None].astype(float))[:, 0]
        if not ((steps >= 1 - 1e-6) | ~self._going).all() or not steps.max(initial=0.0) < LONGEST:
            self._refuse_endless()

    def _refuse_endless(self) -> NoReturn:
        self._values = np.zeros(self.model.num_states)
        raise UsageError(
            f"gamma = {self.gamma:g} in {self.model.name}, where with these weights values do not settle: going on for "
            "ever is worth more than any end",
            expected="gamma < 1, a horizon, or a world in which every policy ends",
            hint="ChoiceLikelihood(…, gamma=0.99), or horizon=50",
        )

    def _solve(self, policy: Array, paid: Array) -> Array:
        """Returns `[S, N]` (I − γ P_π)⁻¹ `paid [S, N]`."""
        from scipy.sparse import csc_matrix, identity
        from scipy.sparse.linalg import splu

        size, actions, width = self.model.next_state.shape
        mass = policy[:, :, None] * self._ahead * self._going[:, None, None]
        columns = self.model.next_state.ravel()
        rows = np.repeat(np.arange(size), actions * width)
        try:
            if size <= SMALL:
                flow = np.bincount(rows * size + columns, mass.ravel(), size * size).reshape(size, size)
                found = np.linalg.solve(np.eye(size) - self.gamma * flow, paid)
            else:
                sparse = csc_matrix((mass.ravel(), (rows, columns)), (size, size))
                found = splu((identity(size, format="csc") - self.gamma * sparse).tocsc()).solve(paid)
        except (RuntimeError, np.linalg.LinAlgError) as error:
            raise UsageError(
                f"gamma = 1 in {self.model.name}, where a policy may go on for ever", expected="gamma < 1, or a horizon"
            ) from error
        return np.asarray(found)

    def _counted(self, world: World, trajectories: Sequence[Trajectory]) -> Array:
        numbering = Numbering(world)
        shape = self.model.legal.shape if self.horizon is None else (self.horizon, *self.model.legal.shape)
        counts = np.zeros(shape)
        for trajectory in episodes_of(trajectories):
            states = trajectory.states if trajectory.states is not None else world.states_of(trajectory.observations)
            numbers = numbering.state_numbers(states, 0)
            actions = numbering.action_numbers(trajectory.actions)
            numbers = numbers[: len(actions)]
            if self.horizon is not None and len(actions) > self.horizon:
                raise UsageError(f"an episode of {len(actions)} steps", expected=f"at most the horizon, {self.horizon}")
            wrong = self.model.terminal[numbers] | ~self.model.legal[numbers, actions]
            if wrong.any():
                t = int(np.argmax(wrong))
                raise UsageError(
                    f"step {t}: the agent acts in {numbering.described(int(numbers[t]))}, where that is not possible",
                    expected="legal actions, and none after the end",
                )
            where = (numbers, actions) if self.horizon is None else (np.arange(len(actions)), numbers, actions)
            np.add.at(counts, where, 1.0)
        return counts


def _features(world: World, model: TabularModel, features: Any) -> Array:
    """Returns `[S, A, F]` expected features of what an action leads to, or of the action itself."""
    size, actions, _ = model.next_state.shape
    if callable(features):
        weigh: Callable[[Any], Any] = features
        states = world.dynamics().states
        try:
            rows = [np.atleast_1d(np.asarray(weigh(world.unpack(states, s)), np.float64)) for s in range(size)]
        except (TypeError, ValueError) as error:
            raise UsageError(f"features of a state: {error}", expected="F numbers in every state") from error
        if len({row.shape for row in rows}) > 1:
            raise UsageError("features of different lengths in different states", expected="F numbers in every state")
        table = np.array(rows)
    else:
        table = np.asarray(features, np.float64)
    if table.ndim == 2 and len(table) == size:
        table = np.einsum("sak,sakf->saf", model.probability, table[model.next_state])
    elif table.ndim != 3 or table.shape[:2] != (size, actions):
        raise UsageError(
            f"features of shape {list(table.shape)}",
            expected=f"a function of a State, [S, F] with S = {size}, or [S, A, F] with A = {actions}",
        )
    if not np.isfinite(table).all() or not table.shape[2]:
        raise UsageError("features that are not finite, or none", expected="one or more finite numbers")
    return np.asarray(np.where(model.terminal[:, None, None], 0.0, table))
