"""A lower and an upper bound on the values of beliefs, and their backups at a belief.

The lower bound is a set of vectors, the upper one values of beliefs, interpolated ("sawtooth"). What may follow a
belief is worked out once; the bounds there are brought up to date with the vectors and beliefs that were added since,
so that coming back to a belief costs little.

Sources: Hauskrecht (2000), JAIR 13, section 4 (interpolation; blind policies: Hauskrecht 1997, AAAI); beliefs met as
nodes with what follows them: Kurniawati, Hsu & Lee (2008), "SARSOP", RSS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.envs.compile.switch import is_plain
from inscape.world_models.planning.beliefs.alpha_vectors import fast_informed_bound
from inscape.world_models.planning.beliefs.problem import BeliefProblem

Array = np.ndarray[Any, Any]
DENSE = 2_000_000
"""Entries up to which P(class', observation | class, action) is held as a dense array."""
KEPT_BYTES = 300_000_000
"""Memory for what may follow the beliefs met; beyond it, all of it is forgotten and worked out again."""
WITHOUT_COMPILING = 1_000_000_000
"""Comparisons of entries of beliefs made by NumPy (a second or two) before the loop over them is compiled."""
DIGITS = 12
"""Decimals by which beliefs are told apart."""
SMALLEST = 1e-300
"""Probabilities below this are rounding."""


@dataclass(eq=False)
class Node:
    """A belief, and what may follow it.

    Attributes:
        belief: `[C]`.
        reward: `[A]` expected rewards; −inf where the action is not legal.
        group: `[M]` numbers of the pairs (action, observation) that may follow, and
        action: `[M]` their actions.
        probability: `[M]` of the observation given the action, the task going on.
        beliefs: `[M, C]` the next beliefs.
        upper, lower: `[M]` bounds there, and
        best: `[M]` the vector that gives the lower one.
        points, vectors: how many of each these know, and
        epoch: of which corners.
    """

    belief: Array
    reward: Array
    group: Array
    action: Array
    probability: Array
    beliefs: Array
    upper: Array
    lower: Array
    best: Array
    points: int = 0
    vectors: int = 0
    epoch: int = -1


class Bounds:
    """Both bounds on the values of all beliefs of a problem.

    Attributes:
        problem: the problem.
        informed: `[C, A]` the fast informed bound.
        corners: `[C]` what each class is worth at most when it is known.

    Args:
        problem: the problem.
        tolerance: the gap that is wanted: what may be neglected is a share of it.
    """

    def __init__(self, problem: BeliefProblem, tolerance: float = 1e-3) -> None:
        self.problem = problem
        self.informed = fast_informed_bound(problem)
        self.corners = np.where(problem.legal, self.informed, -np.inf).max(axis=1)
        classes = problem.num_classes
        vectors, actions = blind_policies(problem)
        self._vectors, self._vector_actions = _Rows(classes), actions.tolist()
        self._vectors.extend(vectors)
        self._active = np.arange(len(vectors))
        self._floor = float(vectors[0].min())
        self._worst = max(0.0, -self._floor)
        # neglected at every backup, so a hundredth of the tolerance in all
        self._least = 1e-12 * min(1.0, float(np.abs(problem.reward).max()))  # what counts as better
        self._trace = min(1e-9, 0.01 * tolerance * (1.0 - problem.gamma) / (1.0 + self._worst + self.corners.max()))
        self._points, self._inverse, self._values = _Rows(classes), _Rows(classes), _Rows(1)
        self._active_points = np.zeros(0, np.int64)
        self._gains = np.zeros(0)
        self._epoch = 0
        self._compared = 0
        self._nodes: dict[bytes, Node] = {}
        self._bytes = 0
        self._lay_out()

    def _lay_out(self) -> None:
        """Arranges the law by groups: the pairs (action, observation) that occur at all."""
        from scipy.sparse import coo_matrix

        problem, classes = self.problem, self.problem.num_classes
        entries = problem.ahead.tocoo()
        pair = problem.action * problem.num_observations + problem.observation
        pairs, of_row = np.unique(pair, return_inverse=True)
        self._group_action = pairs // problem.num_observations
        groups = len(pairs)
        row = entries.row
        shape = (groups * classes, classes)
        law = coo_matrix((entries.data, (of_row[row] * classes + entries.col, problem.source[row])), shape).tocsr()
        dense = groups * classes * classes <= DENSE
        self._law = law.toarray() if dense else law  # [G·C', C]
        # [C, G·C'] by action, for backing a vector up: one row per class
        transposed = law.T.tocsr()
        self._groups_of = [np.flatnonzero(self._group_action == a) for a in range(problem.num_actions)]
        self._back = []
        for mine in self._groups_of:
            columns = (mine[:, None] * classes + np.arange(classes)).ravel()
            part = transposed[:, columns]
            self._back.append(part.toarray() if dense else part.tocsr())
        # what follows each group from anywhere: picks a vector where an observation is impossible at a belief
        self._anywhere = np.asarray(law.sum(axis=1)).reshape(groups, classes)
        self._illegal = (~problem.legal).astype(float)
        self._all_legal = bool(problem.legal.all())

    # --------------------------------------------------------------------------------------------------- reading

    @property
    def vectors(self) -> Array:
        """`[N, C]` vectors of the lower bound."""
        return self._vectors.rows[self._active]

    @property
    def num_vectors(self) -> int:
        return len(self._active)

    @property
    def num_points(self) -> int:
        """How many beliefs have values in the upper bound."""
        return len(self._active_points)

    @property
    def actions(self) -> Array:
        """`[N]` the actions they begin with."""
        return np.array(self._vector_actions, np.int64)[self._active]

    def lower(self, beliefs: Array) -> Array:
        """Returns `[B]` lower bounds of `[B, C]` beliefs."""
        return np.asarray((beliefs @ self.vectors.T).max(axis=1))

    def upper(self, beliefs: Array) -> Array:
        """Returns `[B]` the lesser of the informed bound and of what the beliefs met say."""
        return np.minimum(self._informed_at(beliefs), self._interpolated(beliefs, self._active_points))

    def _informed_at(self, beliefs: Array) -> Array:
        scores = beliefs @ self.informed
        if not self._all_legal:
            scores = np.where(self.problem.allowed(beliefs), scores, -np.inf)
        return np.asarray(scores.max(axis=1))

    def _interpolated(self, beliefs: Array, points: Array) -> Array:
        """Returns `[B]` corners' values, less the most that any of the given points takes off."""
        plain = beliefs @ self.corners
        if not len(points):
            return np.asarray(plain)
        inverse, gains = self._inverse.rows[points], self._gains[points]
        self._compared += beliefs.size * len(points)
        if self._compared > WITHOUT_COMPILING and not is_plain():
            from inscape.world_models.planning.kernels.sawtooth import most_taken_off

            return np.asarray(plain + most_taken_off(np.ascontiguousarray(beliefs), inverse, gains))
        taken = np.zeros(len(beliefs))
        step = max(1, 4_000_000 // beliefs.size)
        for first in range(0, len(points), step):
            part = inverse[first : first + step]
            # classes outside a point's support (inverse 0) do not limit its share, which is at most 1
            share = (beliefs[:, None, :] * part + (part == 0.0)).min(axis=2)
            taken = np.minimum(taken, (share * gains[first : first + step]).min(axis=1))
        return np.asarray(plain + taken)

    # --------------------------------------------------------------------------------------------------- nodes

    def node(self, belief: Array) -> Node:
        """Returns what may follow a belief, with bounds that are up to date."""
        key = (np.round(belief, DIGITS) + 0.0).tobytes()
        node = self._nodes.get(key)
        if node is None:
            node = self._expanded(belief)
            self._bytes += node.beliefs.nbytes + 200
            if self._bytes > KEPT_BYTES:
                self._nodes, self._bytes = {}, node.beliefs.nbytes + 200
            self._nodes[key] = node
        self.refresh(node)
        return node

    def _expanded(self, belief: Array) -> Node:
        problem = self.problem
        mass = np.asarray(self._law @ belief).reshape(len(self._group_action), -1)
        probability = mass.sum(axis=1)
        reward = belief @ problem.reward
        possible = probability > SMALLEST
        if not self._all_legal:
            legal = problem.allowed(belief[None])[0]
            reward = np.where(legal, reward, -np.inf)
            possible = possible & legal[self._group_action]
        group = np.flatnonzero(possible)
        beliefs = mass[group] / probability[group, None]
        count = len(group)
        empty, best = np.full(count, np.inf), np.zeros(count, np.int64)
        return Node(belief, reward, group, self._group_action[group], probability[group], beliefs, empty, -empty, best)

    def refresh(self, node: Node) -> None:
        """Brings the bounds on what follows a node up to date."""
        points, vectors = len(self._points), len(self._vectors)
        if not len(node.group):
            return
        if node.epoch != self._epoch:
            node.upper = np.minimum(node.upper, self.upper(node.beliefs))
            node.epoch, node.points = self._epoch, points
        elif node.points < points:
            fresh = self._interpolated(node.beliefs, np.arange(node.points, points))
            node.upper, node.points = np.minimum(node.upper, fresh), points
        if node.vectors < vectors:
            which = self._active if node.vectors == 0 else np.arange(node.vectors, vectors)
            scores = node.beliefs @ self._vectors.rows[which].T
            top = scores.argmax(axis=1)
            value = scores[np.arange(len(top)), top]
            better = value > node.lower
            node.lower, node.best = np.where(better, value, node.lower), np.where(better, which[top], node.best)
            node.vectors = vectors

    def ahead(self, node: Node, worth: Array) -> Array:
        """Returns `[A]` values of the actions at a node, of `[M]` values of what follows; −inf where illegal."""
        total = np.bincount(node.action, node.probability * worth, self.problem.num_actions)
        return np.asarray(node.reward + self.problem.gamma * total)

    # --------------------------------------------------------------------------------------------------- backups

    def improve(self, node: Node) -> None:
        """Backs both bounds up at a node."""
        self.refresh(node)
        belief = node.belief
        best = float(self.ahead(node, node.upper).max())
        if best < float(self.upper(belief[None])[0]) - self._least:
            self._add_point(belief, best)
        values = self.ahead(node, node.lower)
        action = int(values.argmax())
        if values[action] > float(self.lower(belief[None])[0]) + self._least:
            self._vectors.extend(self._backed_up(node, action)[None])
            self._vector_actions.append(action)
            self._active = np.append(self._active, len(self._vectors) - 1)

    def _backed_up(self, node: Node, action: int) -> Array:
        """Returns `[C]` the vector of an action followed by the best vector after each observation."""
        problem, mine = self.problem, self._groups_of[action]
        if not len(mine):
            backed_up = problem.reward[:, action]
        else:
            active = self._vectors.rows[self._active]
            chosen = self._active[(self._anywhere[mine] @ active.T).argmax(axis=1)]
            here = node.action == action
            chosen[np.searchsorted(mine, node.group[here])] = node.best[here]
            following = self._vectors.rows[chosen].ravel()
            backed_up = problem.reward[:, action] + problem.gamma * np.asarray(self._back[action] @ following)
        return np.where(problem.legal[:, action], backed_up, self._floor)

    def _add_point(self, belief: Array, value: float) -> None:
        if belief.max() > 1.0 - 1e-12:
            self.corners[int(belief.argmax())] = value
            self._gains = self._values.rows[:, 0] - self._points.rows @ self.corners
            self._epoch += 1
            return
        belief, value = self._without_traces(belief, value)
        inverse = np.divide(1.0, belief, out=np.zeros_like(belief), where=belief > 0)
        self._points.extend(belief[None])
        self._inverse.extend(inverse[None])
        self._values.extend(np.array([[value]]))
        self._gains = np.append(self._gains, value - belief @ self.corners)
        self._active_points = np.append(self._active_points, len(self._points) - 1)

    def _without_traces(self, belief: Array, value: float) -> tuple[Array, float]:
        """Returns a belief without its smallest probabilities, m in all, and a bound on its value.

        A point says much only of beliefs that hold possible all that it does: where a class becomes ever less likely
        and never impossible, each belief would be of no use for the next. With x the belief without m, V(x) ≤
        V(belief) + m·w, for V is a maximum of vectors that are nowhere below −w, and V(x / (1 − m)) = V(x) / (1 − m).
        """
        order = np.argsort(belief)
        sums = np.cumsum(belief[order])
        dropped = order[sums <= self._trace]
        mass = float(belief[dropped].sum())
        if mass == 0.0:
            return belief, value
        kept = belief.copy()
        kept[dropped] = 0.0
        return kept / (1.0 - mass), (value + mass * self._worst) / (1.0 - mass)

    def tidy(self) -> None:
        """Sets aside vectors and points that others make useless."""
        vectors, kept = self.vectors, np.ones(len(self._active), bool)
        for i in np.argsort(vectors.sum(axis=1), kind="stable"):  # a vector is only below one with a larger sum
            above = (vectors[kept] >= vectors[i]).all(axis=1)
            kept[i] = above.sum() <= 1  # itself
        self._active = self._active[kept]
        active = self._active_points
        if len(active) > 1:
            inverse, gains = self._inverse.rows[active], self._gains[active]
            points, useful = self._points.rows[active], np.ones(len(active), bool)
            for i in range(len(active)):
                share = (points[i] * inverse + (inverse == 0.0)).min(axis=1)
                taken = np.where(useful, share * gains, 0.0)
                taken[i] = 0.0
                useful[i] = gains[i] < taken.min() - 1e-12
            self._active_points = active[useful]


class _Rows:
    """A growing array of rows."""

    def __init__(self, width: int) -> None:
        self._room = np.zeros((16, width))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> Array:
        """`[N, width]` the rows so far."""
        return self._room[: self._count]

    def extend(self, rows: Array) -> None:
        """Appends rows."""
        needed = self._count + len(rows)
        if needed > len(self._room):
            larger = np.zeros((max(needed, 2 * len(self._room)), self._room.shape[1]))
            larger[: self._count] = self.rows
            self._room = larger
        self._room[self._count : needed] = rows
        self._count = needed


def blind_policies(problem: BeliefProblem) -> tuple[Array, Array]:
    """Returns vectors that are below the value: the worst reward for ever, and always the same action.

    Source: Hauskrecht (1997), "Incremental methods for computing bounds in partially observable Markov decision
    processes", AAAI (blind policies).
    """
    worst = min(0.0, float(problem.reward[problem.legal].min()))
    always = np.flatnonzero(problem.legal.all(axis=0))
    first = int(always[0]) if len(always) else 0
    vectors, actions = [np.full(problem.num_classes, worst / (1.0 - problem.gamma))], [first]
    for a in always:
        vectors.append(_solved(problem, int(a)))
        actions.append(int(a))
    return np.array(vectors), np.array(actions)


def _solved(problem: BeliefProblem, action: int) -> Array:
    from scipy.sparse import coo_matrix, identity
    from scipy.sparse.linalg import spsolve

    entries, size = problem.ahead.tocoo(), problem.num_classes
    mine = problem.action[entries.row] == action
    at = (problem.source[entries.row[mine]], entries.col[mine])
    chain = coo_matrix((entries.data[mine], at), (size, size))
    if size <= 500:
        return np.asarray(np.linalg.solve(np.eye(size) - problem.gamma * chain.toarray(), problem.reward[:, action]))
    return np.asarray(spsolve((identity(size) - problem.gamma * chain).tocsc(), problem.reward[:, action]))
