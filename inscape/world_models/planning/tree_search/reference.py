"""The search of `kernels/uct.py` in plain Python, on any world model, one state at a time.

On a model with exact `outcomes` it draws the same random numbers in the same order as the compiled search, and the two
agree number for number. Read `kernels/uct.py` beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inscape.envs.law.states import States
from inscape.envs.law.streams import uniform
from inscape.errors import UsageError
from inscape.world_models.interface import as_numpy, has_outcomes, legal_actions, num_actions, require
from inscape.world_models.planning.interface import Evaluate, Plan, SearchTree, evaluated
from inscape.world_models.planning.kernels.search_arrays import (
    COMPLETE,
    LARGEST,
    NEARLY_ALL,
    PRECISION,
    SOLVED,
    SWEEPS,
    TERMINAL,
    UNVISITED,
    VISITED,
)
from inscape.world_models.planning.tree_search.common import (
    TABLES,
    no_legal_action,
    no_number,
    no_sum_of_zero,
    plan_from_tree,
    terminal_root,
)
from inscape.world_models.planning.tree_search.settings import UCTSettings
from inscape.world_models.tabular.as_world import world_of
from inscape.world_models.tabular.model import TabularModel


def rounded(values: Any) -> np.ndarray:
    """Returns numbers as the search keeps them: of 32 bits, computed with in 64."""
    return np.asarray(np.asarray(values, np.float64).astype(np.float32), np.float64)


@dataclass(eq=False)
class Link:
    """An outcome of an action: where it leads, how likely (or how often), and what it earned `[M]`."""

    child: Node
    weight: float
    reward: np.ndarray


@dataclass(eq=False)
class Node:
    """A state of the search graph; `states` is a batch of one. See `SearchArrays` for what else there is."""

    states: Any
    kind: int
    depth: int
    player: int
    legal: np.ndarray
    lower: float
    upper: float
    value: np.ndarray
    leaf: np.ndarray
    total: np.ndarray
    action_value: np.ndarray
    tried: np.ndarray
    closed: np.ndarray
    links: list[list[Link]]
    reward: dict[int, np.ndarray] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)
    counted: int = 0
    visits: int = 0
    seen: int = -1

    def untried(self) -> np.ndarray:
        return np.flatnonzero(self.legal & (self.tried == 0) & ~self.closed)

    def open(self) -> np.ndarray:
        return np.flatnonzero(self.legal & (self.tried > 0) & ~self.closed)


class PythonSearch:
    """One search. Args: the settings, the model, what values new states (or None), and the key of the random stream."""

    def __init__(self, options: UCTSettings, model: Any, evaluate: Evaluate | None, key: int) -> None:
        self.options, self.model, self.evaluate, self.key = options, model, evaluate, key
        self.actions, self.players = num_actions(model, "UCT"), getattr(model, "num_players", 1)
        if self.players > 1:
            require(model, "mover_of", "a search with several players")
        self.exact = has_outcomes(model)
        world = world_of(model) if isinstance(model, TabularModel) else getattr(model, "world", None)
        self.single = self.exact and world is not None and world.count_outcomes()[0] == 1
        self.zero_sum = world is not None and world.zero_sum
        self.values = 1 if self.zero_sum else self.players
        bounds = None if world is None else world.return_bounds()
        self.low: float = -math.inf if bounds is None else bounds[0]
        self.high: float = math.inf if bounds is None else bounds[1]
        self.solver = options.solver and self.exact
        self.wins = self.solver and self.single and self.players > 1 and self.high < math.inf and evaluate is None
        self.rng = np.random.default_rng(key % 2**64)  # for models that sample by themselves
        self.clock = self.frontier = self.untried = self.legal_actions = 0
        self.swept = False
        self.foreseen: Node | None = None
        self.fresh = 0
        self.span = [math.inf, -math.inf]
        self.nodes: list[Node] = []
        self.index: dict[tuple[bytes, bool], Node] = {}

    def run(self, states: Any) -> Plan:
        """Returns the plan for a batch of one state."""
        if callable(getattr(self.model, "terminal_of", None)) and self.model.terminal_of(states)[0]:
            raise terminal_root(states, type(self.model).__name__)
        root = self.node_of(states, ended=False, depth=0)
        done = 0
        while done < self.options.num_simulations and root.kind != SOLVED and len(self.nodes) <= self.options.max_nodes:
            done += 1
            self.simulate(root, done)
        tree = self.tree()
        if self.solver and root.legal.any():
            low, _ = self.bound(root)[1:]
            known = root.closed & np.isfinite(low)
            tree.action_values[0] = np.where(known, low, tree.action_values[0])
        return plan_from_tree(tree, done, root.legal, self.key, type(self.model).__name__, root.closed)

    def own(self, node: Node, values: np.ndarray) -> Any:
        """Returns what the player to move has of values `[M, …]`."""
        return (-values[0] if node.player == 1 else values[0]) if self.zero_sum else values[node.player]

    # --------------------------------------------------------------------------------------- states and outcomes

    def draw(self) -> float:
        self.clock += 1
        return uniform(self.key, self.clock - 1)

    def node_of(self, states: Any, *, ended: bool, depth: int) -> Node:
        keys = getattr(self.model, "keys", None)
        key = (keys(states)[0], ended) if callable(keys) else None
        if key is not None and key in self.index:
            return self.index[key]
        zeros, size = np.zeros(self.values), (self.values, self.actions)
        player = int(self.model.mover_of(states)[0]) if self.players > 1 and not ended else 0
        legal = np.zeros(self.actions, bool) if ended else legal_actions(self.model, states, "UCT")[0]
        node = Node(
            states, TERMINAL if ended else UNVISITED, depth, player, legal, self.low, self.high, zeros, zeros.copy(),
            zeros.copy(), np.zeros(size), np.zeros(self.actions, np.int64), np.zeros(self.actions, bool),
            [[] for _ in range(self.actions)],
        )  # fmt: skip
        self.nodes.append(node)
        self.frontier += not ended
        self.untried += int(legal.sum())
        self.legal_actions += int(legal.sum())
        if key is not None:
            self.index[key] = node
        return node

    def branches(self, states: Any, action: int) -> list[tuple[float, Any, bool, np.ndarray]]:
        """Returns (probability, successor, ended, reward) of every outcome, impossible ones included."""
        probability, following, *rest = self.model.outcomes(states, np.array([action]))
        probability, reward, continuation = map(as_numpy, (probability, *rest))
        found = []
        for k, p in enumerate(probability[0]):
            earned = np.atleast_1d(np.asarray(reward[0, k], np.float64))
            for ended, part in ((False, continuation[0, k]), (True, 1.0 - continuation[0, k])):
                found.append((float(p * part), following[[k]], ended, earned))
        return found

    def sample(self, states: Any, action: int) -> tuple[Any, bool, np.ndarray]:
        """Returns a sampled (successor, ended, reward)."""
        if not self.exact:
            step = self.model.step(states, np.array([action]), self.rng)
            ended = bool(self.rng.random() >= as_numpy(step.continuation)[0])
            return step.states, ended, np.atleast_1d(np.asarray(as_numpy(step.reward)[0], np.float64))
        branches, u = self.branches(states, action), self.draw()
        total, chosen = branches[0][0], branches[0]
        for branch in branches[1:]:
            if u < total:
                break
            if branch[0] > 0:
                total, chosen = total + branch[0], branch
        return chosen[1:]

    def checked(self, reward: np.ndarray, states: Any, action: int) -> np.ndarray:
        """Returns what of a reward is kept, `[M]`."""
        if not (np.abs(reward) < LARGEST).all():
            raise self.no_number(reward, states, action)
        if self.zero_sum and reward[0] + reward[1] != 0.0:
            raise no_sum_of_zero(type(self.model).__name__)
        return rounded(reward[: self.values])

    def add_link(self, node: Node, action: int, p: float, states: Any, ended: bool, reward: np.ndarray) -> Node:
        known = len(self.nodes)
        child = self.node_of(states, ended=ended, depth=node.depth + 1)
        if len(self.nodes) == known:
            for link in node.links[action]:
                if link.child is child:
                    link.weight = float(rounded(link.weight + p))
                    return child
        node.links[action].insert(0, Link(child, float(rounded(p)), self.checked(reward, node.states, action)))
        return child

    def follow(self, node: Node, action: int) -> Node:
        """Returns the node of a random outcome of the action; those of an exact law are made when it is first tried.

        Sampled outcomes: a new one only while there are fewer than √n, so that a continuum is searched in depth.
        """
        links, tried = node.links[action], node.tried[action]
        if not self.exact and len(links) ** 2 <= tried:
            states, ended, reward = self.sample(node.states, action)
            return self.add_link(node, action, 1.0, states, ended, reward)
        if tried == 0:
            for p, states, ended, reward in self.branches(node.states, action):
                if p > 0.0:
                    self.add_link(node, action, p, states, ended, reward)
        u, chosen = self.draw(), links[0]
        of_interest = [link for link in links if not self.solver or link.child.kind < TERMINAL]
        u *= sum(link.weight for link in of_interest)
        total = 0.0
        for link in of_interest:
            total += link.weight
            chosen = link
            if u < total:
                break
        return chosen.child

    def no_number(self, reward: np.ndarray, states: Any, action: int) -> UsageError:
        """Returns what to raise for a reward that is no finite number."""
        world = getattr(self.model, "world", None)
        where = f"in {states if world is None else world.unpack(states)} for action {action}"
        return no_number(type(self.model).__name__, float(reward[~(np.abs(reward) < LARGEST)][0]), where)

    # --------------------------------------------------------------------------------------- one simulation

    def simulate(self, root: Node, number: int) -> None:
        """Selects, expands, evaluates, backs up."""
        node, path, proven = root, list[tuple[Node, int]](), False
        self.foreseen = None
        returns = 0
        while node.kind == VISITED and len(path) < self.options.max_depth:
            if node.seen == number and self.frontier == 0:
                if returns == 0:
                    returns = 1 + int(1.0 / (1.0 - self.draw()))
                returns -= 1
                if returns <= 1:
                    break
            node.seen = number
            node.visits += 1
            action = self.select(node)
            fresh = node.tried[action] == 0
            self.untried -= int(fresh)
            path.append((node, action))
            node.counted += 1
            node.total += node.action_value[:, action]
            if self.single:
                node.tried[action] += 1
                if fresh:
                    proven = self.try_action(node, action)
                    break
                links = node.links[action]
                node = links[0].child if links else self.add_child(node, action)
                continue
            child = self.follow(node, action)
            node.tried[action] += 1
            node = child
            if self.exact and fresh:
                break
        else:
            fresh = False
        if not (self.single and fresh):
            node.visits += 1
            if node.kind == UNVISITED:
                node.kind, node.counted = VISITED, 1
                self.frontier -= 1
                self.first(node, self.first_value(node.states, np.zeros(self.players))[: self.values])
            proven = self.solver and node.kind >= TERMINAL
        self.back_up(path, proven)
        since = number - self.fresh
        if self.exact and not self.single and 4 * since >= len(self.nodes) and 64 * since >= number:
            self.fresh = number
            self.refresh()
        if self.solver and self.untried == 0 and self.frontier == 0 and not self.swept:
            self.swept = True
            if self.sweep():
                root.kind = SOLVED

    def first(self, node: Node, value: np.ndarray) -> None:
        """Sets the values of a node at its first visit."""
        node.value, node.leaf = rounded(value), rounded(value)
        node.total = np.array(value, np.float64)

    def try_action(self, node: Node, action: int) -> bool:
        """Values an action that has one outcome by that: an end, a win of whoever moves there, or what it promises."""
        states, ended, reward = self.follow_only(node.states, action)
        node.reward[action] = self.checked(reward, node.states, action)
        value, proven = np.zeros(self.players), ended
        keys = getattr(self.model, "keys", None)
        child = self.index.get((keys(states)[0], False)) if self.solver and not ended and callable(keys) else None
        if child is not None:  # reached along another path before
            node.links[action].append(Link(child, 1.0, node.reward[action]))
            self.revalue(node, action, 1)
            if child.kind == SOLVED:
                self.close(node, action)
            return bool(node.closed[action])
        if not ended:
            discount = 1.0
            if self.wins:
                proven, value, discount, states = self.foresee(states)
            if not proven:
                value = self.first_value(states, value, discount)
        node.action_value[:, action] = rounded(node.reward[action] + self.options.gamma * value[: self.values])
        node.total += node.action_value[:, action]
        if proven and self.solver:
            self.close(node, action)
            node.known.add(action)
            return True
        self.frontier += 1
        return False

    def win(self, states: Any) -> np.ndarray | None:
        """Returns the reward of an action that ends the game with the most there is to gain; None without."""
        player = int(self.model.mover_of(states)[0])
        for action in np.flatnonzero(legal_actions(self.model, states, "UCT")[0]):
            for p, _, ended, reward in self.branches(states, int(action)):
                if p > 0 and ended and reward[player] >= self.high:
                    return reward
        return None

    def follow_only(self, states: Any, action: int) -> tuple[Any, bool, np.ndarray]:
        """Returns (successor, ended, reward) of an action that has one outcome."""
        return next(branch[1:] for branch in self.branches(states, action) if branch[0] > 0)

    def foresee(self, states: Any) -> tuple[bool, np.ndarray, float, Any]:
        """Follows replies that are forced, of two players whose rewards add up to 0.

        Returns (whether the value is proven, what the replies earned, the discount, the state they lead to).
        """
        total, discount, gamma = np.zeros(self.players), 1.0, self.options.gamma
        for _ in range(self.options.max_depth):
            player = int(self.model.mover_of(states)[0])
            win = self.win(states)
            if win is not None:
                return True, total + discount * win, discount, states
            if not self.zero_sum:
                break
            safe, highest = [], -math.inf
            for action in np.flatnonzero(legal_actions(self.model, states, "UCT")[0]):
                following, ended, reward = self.follow_only(states, int(action))
                same = ended or self.model.mover_of(following)[0] == player
                win = None if same else self.win(following)
                if win is None:
                    safe.append((following, ended, reward))
                    if len(safe) > 1:
                        break
                else:
                    highest = max(highest, float(reward[player] + gamma * win[player]))
            if not safe and highest > -math.inf:
                return True, total + discount * np.array([highest, -highest])[:: 1 - 2 * player], discount, states
            if len(safe) != 1 or highest > self.low:
                break
            following, ended, reward = safe[0]
            total = total + discount * reward
            if ended:
                return True, total, discount, states
            discount, states = discount * gamma, following
        return False, total, discount, states

    def close_foreseen(self, node: Node) -> None:
        """Closes the actions of a new node whose values are proven by what is forced after them."""
        for action in np.flatnonzero(node.legal & (node.tried == 0)):
            states, proven, reward = self.follow_only(node.states, int(action))
            value = np.zeros(self.players)
            if not proven:
                proven, value, *_ = self.foresee(states)
            if proven:
                node.reward[int(action)] = self.checked(reward, node.states, int(action))
                worth = node.reward[int(action)] + self.options.gamma * value[: self.values]
                node.action_value[:, action] = rounded(worth)
                node.closed[action] = True
                node.known.add(int(action))
                self.untried -= 1
                self.foreseen = node

    def add_child(self, node: Node, action: int) -> Node:
        """Makes the node of an action's only outcome, which was met before and has none yet."""
        states, ended, _ = self.follow_only(node.states, action)
        known = len(self.nodes)
        child = self.node_of(states, ended=ended, depth=node.depth + 1)
        node.links[action].append(Link(child, 1.0, node.reward[action]))
        self.frontier -= 1
        if len(self.nodes) > known and child.kind == UNVISITED:
            child.kind, child.visits, child.counted = VISITED, 1, 1
            self.frontier -= 1
            gamma, value = self.options.gamma, node.action_value[:, action] - node.reward[action]
            self.first(child, value / gamma if gamma > 0 else np.zeros(self.values))
            if self.wins and self.zero_sum:
                self.close_foreseen(child)
                if not len(child.untried()):
                    self.bound(child)
        return child

    def select(self, node: Node) -> int:
        """Returns the action to simulate: an untried legal one first, else the highest upper bound; of several, any."""
        if not node.legal.any():
            raise no_legal_action(type(self.model).__name__)
        untried = node.untried()
        if len(untried):
            return int(untried[int(self.draw() * len(untried))] if len(untried) > 1 else untried[0])
        low, high = self.span
        limit = TABLES.shape[1]
        spread = float(TABLES[1, node.visits]) if node.visits < limit else math.sqrt(math.log(node.visits))
        spread *= self.options.exploration_for(self.players) * (high - low if high > low else 1.0)
        actions = node.open()
        own = self.own(node, node.action_value)
        scores = np.array([float(own[a]) + spread * self.doubt(node, int(a)) for a in actions])
        best = actions[scores == scores.max()]
        return int(best[int(self.draw() * len(best))] if len(best) > 1 else best[0])

    def doubt(self, node: Node, a: int) -> float:
        """Returns the uncertainty of an action: that of the states it may lead to, or of its own visits."""
        found = 0.0
        if self.exact and not self.single:
            for link in node.links[a]:
                if link.child.kind < TERMINAL:
                    found += link.weight * self.width(link.child.visits)
        return found if found else self.width(int(node.tried[a]))

    @staticmethod
    def width(visits: int) -> float:
        """Returns 1/√n, as the compiled search has it."""
        return float(TABLES[0, visits]) if visits < TABLES.shape[1] else 1.0 / math.sqrt(visits)

    def first_value(self, states: Any, total: np.ndarray, discount: float = 1.0) -> np.ndarray:
        """Returns the value for each player of a new state that is not terminal, discounted, and `total`."""
        if self.evaluate is not None:
            values, prior = evaluated(self.evaluate, states, self.players, self.actions)
            if prior is not None:
                raise UsageError(
                    "evaluate returned prior logits, and UCT takes no prior",
                    expected="values and None",
                    hint="return values, None",
                )
            return total + discount * np.asarray(values[0])
        if self.options.rollout == "none":
            return total
        for _ in range(self.options.max_depth):
            legal = list(np.flatnonzero(legal_actions(self.model, states, "UCT")[0]))
            if not legal:
                raise no_legal_action(type(self.model).__name__)
            k = int(self.draw() * len(legal))
            action = int(legal[k])
            following, ended, reward = self.sample(states, action)
            win = None
            if self.wins and not ended:
                player = self.model.mover_of(states)[0]
                win = self.win(following)
                while win is not None and len(legal) > 1 and self.model.mover_of(following)[0] != player:
                    legal[k] = legal[-1]
                    legal.pop()
                    k = int(self.draw() * len(legal))
                    action = int(legal[k])
                    following, ended, reward = self.follow_only(states, action)
                    win = None if ended else self.win(following)
            if win is not None:
                total = total + discount * self.options.gamma * win
            total = total + discount * reward
            if not (np.abs(total) < LARGEST).all():
                raise self.no_number(reward, states, action)
            if ended or win is not None:
                break
            discount *= self.options.gamma
            states = following
        return total

    # --------------------------------------------------------------------------------------- back up

    def averaging(self) -> float:
        """Returns the weight of averages against best actions: where it is left open, by how much is untried."""
        averaging = -1.0 if self.options.averaging_visits is None else self.options.averaging_visits
        if averaging < 0.0:
            tried = NEARLY_ALL * self.untried <= self.legal_actions
            if tried and NEARLY_ALL * self.frontier <= len(self.nodes):
                return COMPLETE
        return averaging

    def refresh(self) -> None:
        """Brings the values of all nodes up to date, the last found first: what changed off the paths, too."""
        averaging = self.averaging()
        for node in reversed(self.nodes):
            if node.kind == VISITED:
                for a in np.flatnonzero((node.tried > 0) & ~node.closed):
                    self.revalue(node, int(a), int(node.tried[a]))
                self.value_node(node, averaging)

    def back_up(self, path: list[tuple[Node, int]], proven: bool) -> None:
        """Brings the path up to date, last state first."""
        averaging = self.averaging()
        for node, a in reversed(path):
            if node.kind == SOLVED:
                proven = True
                continue
            n = int(node.tried[a])
            if not node.closed[a]:
                self.revalue(node, a, n)
            own = float(self.own(node, node.action_value[:, a]))
            self.span = [min(self.span[0], own), max(self.span[1], own)]
            if proven or node is self.foreseen:
                proven = self.bound(node)[0]
            if node.kind != SOLVED:
                self.value_node(node, averaging)

    def revalue(self, node: Node, a: int, n: int) -> None:
        """Sets the values of an action from its outcomes, and the sum of its node, in which it counts n times."""
        before = node.action_value[:, a].copy()
        self.value_action(node, a)
        node.total += n * (node.action_value[:, a] - before)

    def close(self, node: Node, a: int) -> None:
        """Closes an action: it is not simulated again, and no longer counts in the value of its node."""
        node.total -= node.tried[a] * node.action_value[:, a]
        node.counted -= int(node.tried[a])
        node.closed[a] = True

    def value_action(self, node: Node, a: int) -> None:
        """Sets the values of an action from its outcomes."""
        if self.single:
            if node.links[a]:
                link = node.links[a][0]
                node.action_value[:, a] = rounded(link.reward + self.options.gamma * link.child.value)
            return
        total, worth = 0.0, np.zeros(self.values)
        for link in node.links[a]:
            future = node.leaf if link.child.kind == UNVISITED else link.child.value
            total += link.weight
            worth = worth + link.weight * (link.reward + self.options.gamma * future)
        node.action_value[:, a] = rounded(worth / total)

    def bounds_of(self, node: Node, a: int) -> tuple[float, float]:
        """Returns lower and upper bound on what an action is worth to the player to move."""
        if a in node.known:
            value = float(self.own(node, node.action_value[:, a]))
            return value, value
        if node.tried[a] == 0:
            return self.low, self.high
        low, high, gamma = 0.0, 0.0, self.options.gamma
        links = node.links[a] or [Link(node, 1.0, node.reward[a])]  # no node yet: no bounds of its own
        for link in links:
            child, least, most = link.child, self.low, self.high
            if child is node and not node.links[a]:
                pass
            elif child.kind >= TERMINAL:
                least = most = float(self.own(node, child.value))
            elif child.kind == VISITED and child.player == node.player:
                least, most = child.lower, child.upper
            elif child.kind == VISITED and self.zero_sum:
                least, most = -child.upper, -child.lower
            if gamma == 0.0:
                least = most = 0.0
            earned = float(self.own(node, link.reward))
            low += link.weight * (earned + gamma * least)
            high += link.weight * (earned + gamma * most)
        return low, high

    def bound(self, node: Node) -> tuple[bool, np.ndarray, np.ndarray]:
        """Proves what can be proven of a node; returns whether its bounds moved, and those of its actions."""
        low, high = np.full(self.actions, -math.inf), np.full(self.actions, -math.inf)
        legal = np.flatnonzero(node.legal)
        for a in legal:
            low[a], high[a] = self.bounds_of(node, int(a))
        lower, upper, best = low[legal].max(), high[legal].max(), int(legal[low[legal].argmax()])
        for a in node.open():
            if high[a] <= lower or low[a] == high[a]:
                self.close(node, int(a))
                self.value_action(node, int(a))
        if lower >= upper:
            self.value_action(node, best)
            node.value = node.action_value[:, best].copy()
            node.lower = node.upper = float(self.own(node, node.value))
            node.kind = SOLVED
            return True, low, high
        before = node.lower, node.upper
        node.lower = float(rounded(max(lower, node.lower)))
        node.upper = float(rounded(min(upper, node.upper)))
        return (node.lower, node.upper) != before, low, high

    def value_node(self, node: Node, averaging: float) -> None:
        """Sets the value of a node that is not solved from those of its actions."""
        node.value = rounded(node.total / node.counted)
        own = self.own(node, node.action_value)
        if averaging >= 0.0:
            best, highest = node.leaf, -math.inf
            if len(node.untried()) or node.counted == 1:
                highest = float(self.own(node, node.leaf))
            for a in node.open():
                if own[a] > highest:
                    best, highest = node.action_value[:, a], float(own[a])
            trust = node.counted / (node.counted + averaging)
            node.value = rounded(trust * best + (1.0 - trust) * node.value)
        if node.lower > float(self.own(node, node.value)):
            proven = np.flatnonzero(node.closed & node.legal)
            if self.values == 1 or not len(proven):
                node.value[0 if self.zero_sum else node.player] = (
                    -node.lower if self.zero_sum and node.player == 1 else node.lower
                )
            else:  # what the others have of it goes with what the mover has: the action that proves the bound
                node.value = node.action_value[:, proven[np.abs(own[proven] - node.lower).argmin()]].copy()

    def sweep(self) -> bool:
        """Solves a graph in which nothing is untried, by Gauss–Seidel sweeps; returns whether they converged."""
        tolerance = PRECISION * (self.span[1] - self.span[0]) * (1.0 - self.options.gamma)
        for _ in range(SWEEPS):
            change = 0.0
            for node in reversed(self.nodes):
                if node.kind != VISITED:
                    continue
                legal = np.flatnonzero(node.legal)
                for a in legal:
                    self.value_action(node, int(a))
                best = legal[self.own(node, node.action_value)[legal].argmax()]
                change = max(change, float(np.abs(node.action_value[:, best] - node.value).max()))
                node.value = node.action_value[:, best].copy()
            if change <= tolerance:
                return True
        return False

    def tree(self) -> SearchTree:
        """Returns the graph as arrays."""
        nodes = self.nodes
        tried = np.array([node.tried for node in nodes])
        own = np.array([self.own(node, node.action_value) for node in nodes])
        values = np.array([np.nan if node.kind == UNVISITED else self.own(node, node.value) for node in nodes])
        return SearchTree(
            states=_joined([node.states for node in nodes]),
            visit_counts=np.array([node.visits for node in nodes], np.int64),
            depth=np.array([node.depth for node in nodes], np.int64),
            values=values,
            terminal=np.array([node.kind == TERMINAL for node in nodes]),
            action_visits=tried,
            action_values=np.where((tried > 0) | np.array([node.closed for node in nodes]), own, -np.inf),
        )


def _joined(batches: list[Any]) -> Any:
    """Returns batches of one as one batch where their kind is known, else the list."""
    if isinstance(batches[0], States):
        return States.concatenate(batches)
    if isinstance(batches[0], np.ndarray):
        return np.concatenate(batches)
    return batches
