"""Joint plans of a team whose members see different things and cannot speak: decentralised POMDPs, a few steps long.

Plans are made stage by stage: a joint decision rule says what each player does after each of its histories. A branch is
left out when even a team that shared all observations could not reach the best plan found so far; the last stage is
solved at once, since one player's best answer to a rule of the other is found history by history. Histories after which
a player would expect the same, of the state and of the other's histories, are one: that loses nothing.

Sources: the model: Bernstein, Givan, Immerman & Zilberstein (2002), "The complexity of decentralized control of Markov
decision processes", Mathematics of Operations Research 27(4); search: Szer, Charpillet & Zilberstein (2005), "MAA*: a
heuristic search algorithm for solving decentralized POMDPs", UAI; histories that are one: Oliehoek, Whiteson & Spaan
(2009), "Lossless clustering of histories in decentralized POMDPs", AAMAS.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from inscape.errors import MissingLawError, UsageError
from inscape.world_models.interface import check_gamma
from inscape.world_models.tabular.arrays import require_memory

Array = np.ndarray[Any, Any]
MOST_RULES = 4_000_000
"""Joint decision rules of a stage that are compared at once."""
MOST_STATES = 2_000
MOST_BELIEFS = 300_000
"""Shared beliefs that are valued for the bound."""
SAME = 1e-12


@dataclass(frozen=True, eq=False)
class JointPlan:
    """The best plan of a team of two.

    Attributes:
        world: the team's world.
        value: expected return of each member.
        horizon: steps.
        observations: for each player `[O, ...]` what it may observe.
        policies: for each player a dictionary: its observations so far, as numbers of rows of `observations`, the
            first one included → action number.
        nodes: joint plans of the first stages that were looked at.
        error_bound: of the value: rounding.
    """

    world: Any
    value: float
    horizon: int
    observations: tuple[Array, Array]
    policies: tuple[dict[tuple[int, ...], int], dict[tuple[int, ...], int]]
    nodes: int
    error_bound: float

    def action(self, player: int, history: Any) -> int:
        """Returns what a player does after its observations so far, `[t + 1, ...]`, the first one included.

        Raises:
            UsageError: the plan has no such history: it is too long, or cannot come about.
        """
        rows = []
        for seen in np.asarray(history):
            same = (self.observations[player] == seen).reshape(len(self.observations[player]), -1).all(axis=1)
            rows.append(int(np.argmax(same)) if same.any() else -1)
        found = self.policies[player].get(tuple(rows))
        if found is None:
            raise UsageError(
                f"the observations {np.asarray(history).tolist()} of player {player}",
                expected=f"a history of at most {self.horizon} observations that can come about under the plan",
            )
        return found

    def table(self, player: int) -> list[tuple[tuple[str, ...], str]]:
        """Returns what a player does: its observations so far, as text, and the name of the action."""
        seen = [str(row.tolist()) for row in self.observations[player]]
        names = self.world.action_names
        return [(tuple(seen[o] for o in history), str(names[a])) for history, a in self.policies[player].items()]


def joint_plan(world: Any, horizon: int, gamma: float | None = None) -> JointPlan:
    """Returns the plan of the highest expected return for two players with one reward, who see different things.

    Args:
        world: a world of two players who act at once (or its class or name), whose states can be enumerated.
        horizon: number of steps, at least 1.
        gamma: discount; None: the one that the world states, 1 where it states none.

    Raises:
        MissingLawError: no such world.
        UsageError: horizon or gamma out of range; the players' rewards differ; what is legal depends on what they do
            not see; the horizon is too long to be solved exactly.
    """
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
        raise UsageError(f"horizon = {horizon!r}", expected="a number of steps, at least 1")
    if gamma is not None:
        check_gamma(gamma)
    team = _Team.of(world, gamma)
    return _Search(team, int(horizon)).run()


@dataclass(frozen=True, eq=False)
class _Team:
    """The law as dense tables: A1 · A2 joint actions."""

    world: Any
    transition: Array  # [A1, A2, S, S]
    reward: Array  # [A1, A2, S]
    initial: Array  # [S]
    seen: Array  # [2, S] number of what each player observes
    observations: tuple[Array, Array]
    gamma: float

    @staticmethod
    def of(given: Any, gamma: float | None) -> _Team:
        from inscape.envs.tasks.resolve import resolve_task

        task = resolve_task(given)
        world = task.world
        if world is None or world.players != 2 or not world.simultaneous:
            raise MissingLawError(
                f"{task.name} is not a team of two who act at once, with a known law",
                expected="a world of two players who act at once, such as DecTiger",
                hint="inscape.solve for one player; game_values for players in turn",
            )
        world.require_enumerable("joint planning")
        law = world.dynamics(max_states=MOST_STATES)
        size, joint, width = law.next_state.shape
        if size > MOST_STATES:
            raise UsageError(f"{size:,} states of {world.name} for a joint plan", expected=f"at most {MOST_STATES:,}")
        require_memory(16 * joint * size**2, f"transitions of {joint} joint actions among {size:,} states")
        count = int(world.num_actions)
        terminal = world.terminal_of(law.states)
        if not law.legal[~terminal].all():
            raise UsageError(
                f"actions of {world.name} that are legal in some states only",
                expected="a team whose members may always do the same",
                hint="let what cannot be done have no effect",
            )
        sources = np.repeat(np.arange(size), joint * width)
        choices = np.tile(np.repeat(np.arange(joint), width), size)
        acts = np.asarray(world.joint_actions(np.arange(joint)))
        rewards = world.reward_of(law.states[sources], acts[choices], law.states[law.next_state.reshape(-1)])
        rewards = np.asarray(rewards).reshape(size, joint, width, 2)
        used = (law.probability > 0) & ~terminal[:, None, None]
        if (np.abs(rewards[..., 0] - rewards[..., 1]) > 1e-9)[used].any():
            raise UsageError(
                f"the players of {world.name} earn different amounts",
                expected="a team: the same reward for both",
                hint="cfr and nash_equilibria, where each wants its own",
            )
        probability = np.where(used, law.probability, 0.0)
        paid = np.einsum("sak,sak->sa", probability, np.where(used, rewards[..., 0], 0.0))
        transition = np.zeros((joint, size, size))
        s, a, k = np.nonzero(probability)
        np.add.at(transition, (a, s, law.next_state[s, a, k]), probability[s, a, k])
        numbers = acts[:, 0] * count + acts[:, 1]
        order = np.argsort(numbers)
        seen, observations = [], []
        for player in range(2):
            rows = np.asarray(world.observe(law.states, player)).reshape(size, -1)
            different, number = np.unique(rows, axis=0, return_inverse=True)
            seen.append(number.reshape(-1))
            observations.append(different)
        return _Team(
            world,
            transition[order].reshape(count, count, size, size),
            paid.T[order].reshape(count, count, size),
            np.asarray(law.initial, float),
            np.array(seen),
            (observations[0], observations[1]),
            world.default_gamma(1) if gamma is None else gamma,
        )

    @property
    def actions(self) -> int:
        return len(self.transition)


@dataclass(frozen=True, eq=False)
class _Stage:
    """What may have come about by a stage: `mass [S, C, D]` over states and classes of both players' histories, and
    `[C_before, O]` the class of each history that goes on with an observation, −1 where it cannot be."""

    mass: Array
    after: tuple[Array, Array]


class _Search:
    """Depth first, the most promising rules first."""

    def __init__(self, team: _Team, horizon: int) -> None:
        self.team, self.horizon = team, horizon
        self.best, self.plan = -np.inf, list[tuple[Array, Array]]()
        self.stages = list[_Stage]()
        self.nodes = 0
        self._shared: dict[tuple[int, bytes], float] = {}
        joint = team.seen[0] * (team.seen[1].max() + 1) + team.seen[1]
        self._groups = [np.flatnonzero(joint == number) for number in np.unique(joint)]

    def run(self) -> JointPlan:
        team = self.team
        begin = np.zeros((1, len(team.initial), 1, 1))[0]
        begin[:, 0, 0] = team.initial
        self._search(self._with_observations(begin), 0.0, [], [])
        values = np.abs(team.reward).max() * self.horizon
        return JointPlan(
            team.world, float(self.best), self.horizon, team.observations,
            (self._policy(0), self._policy(1)), self.nodes,
            float(self.horizon * len(team.initial) * 8 * np.finfo(float).eps * max(values, 1.0)),
        )  # fmt: skip

    def _search(self, stage: _Stage, earned: float, rules: list[tuple[Array, Array]], before: list[_Stage]) -> None:
        team, left = self.team, self.horizon - len(rules)
        self.nodes += 1
        stages = [*before, stage]
        worth = np.einsum("scd,abs->cdab", stage.mass, team.reward)
        if left == 1:
            answer = _best_answers(worth, self.best - earned if self.plan else -np.inf, team.world.name)
            if answer is not None:
                self.best, self.plan, self.stages = earned + answer[0], [*rules, answer[1]], stages
            return
        bound = worth + team.gamma * self._ahead(stage.mass, left - 1)
        first, second = _rules(team.actions, worth.shape[0]), _rules(team.actions, worth.shape[1])
        _require_few(len(first) * len(second), team.world.name)
        # bound of each pair of rules: a sum over pairs of classes
        by_first = bound[np.arange(worth.shape[0])[None], :, first].sum(axis=1)  # [R, D, B]
        bounds = sum(by_first[:, d, second[:, d]] for d in range(worth.shape[1]))
        order = np.argsort(-bounds, axis=None, kind="stable")
        for flat in order:
            k, m = divmod(int(flat), len(second))
            if not self._improves(earned + float(bounds[k, m])):
                return
            rule = first[k], second[m]
            paid = worth[np.arange(worth.shape[0])[:, None], np.arange(worth.shape[1])[None], rule[0][:, None], rule[1]]
            moved = self._moved(stage.mass, rule)
            value = earned + float(paid.sum())
            self._search(self._with_observations(moved), value, [*rules, rule], stages)

    def _improves(self, value: float) -> bool:
        return not self.plan or value > self.best + SAME * max(1.0, abs(self.best))

    def _moved(self, mass: Array, rule: tuple[Array, Array]) -> Array:
        """Returns `[S, C, D]` after both acted by the rule, discounted."""
        chain = self.team.transition[rule[0][:, None], rule[1][None]]  # [C, D, S, S]
        return np.asarray(self.team.gamma * np.einsum("scd,cdst->tcd", mass, chain))

    def _with_observations(self, mass: Array) -> _Stage:
        """Returns the stage after each player made its observation; equivalent histories become one class."""
        team = self.team
        size, classes, others = mass.shape
        counts = [len(seen) for seen in team.observations]
        split = np.zeros((size, classes, counts[0], others, counts[1]))
        rows = np.arange(size)
        split[rows, :, team.seen[0], :, team.seen[1]] = mass
        split = split.reshape(size, classes * counts[0], others * counts[1])
        first, second = np.arange(split.shape[1]), np.arange(split.shape[2])
        while True:
            merged, to_first = _merged(split)
            merged, to_second = _merged(merged.transpose(0, 2, 1))
            first, second = _followed(first, to_first), _followed(second, to_second)
            done = merged.shape[2] == split.shape[1] and merged.shape[1] == split.shape[2]
            split = merged.transpose(0, 2, 1)
            if done:
                return _Stage(split, (first.reshape(classes, counts[0]), second.reshape(others, counts[1])))

    def _ahead(self, mass: Array, left: int) -> Array:
        """Returns `[C, D, A, B]` what a team that shares its observations would earn in the `left` steps after."""
        team = self.team
        after = np.einsum("scd,abst->cdabt", mass, team.transition)
        found = np.zeros(after.shape[:4])
        for at in np.ndindex(found.shape):
            found[at] = sum(self._value(after[at], group, left) for group in self._groups)
        return found

    def _value(self, weights: Array, group: Array, left: int) -> float:
        """Returns the value for a team that shares its observations: of unnormalised beliefs, in states of a group."""
        total = float(weights[group].sum())
        if total <= 0.0 or left == 0:
            return 0.0
        belief = np.zeros(len(weights))
        belief[group] = weights[group] / total
        key = left, np.round(belief, 12).tobytes()
        value = self._shared.get(key)
        if value is None:
            if len(self._shared) > MOST_BELIEFS:
                raise UsageError(
                    f"more than {MOST_BELIEFS:,} beliefs of {self.team.world.name} over {self.horizon} steps",
                    expected="a shorter horizon",
                )
            team = self.team
            worth = team.reward @ belief
            if left > 1:
                after = np.einsum("s,abst->abt", belief, team.transition)
                for a, b in np.ndindex(worth.shape):
                    ahead = sum(self._value(after[a, b], other, left - 1) for other in self._groups)
                    worth[a, b] += team.gamma * ahead
            value = self._shared[key] = float(worth.max())
        return total * value

    def _policy(self, player: int) -> dict[tuple[int, ...], int]:
        """Returns the plan by histories of observations."""
        found: dict[tuple[int, ...], int] = {}
        at: dict[tuple[int, ...], int] = {(): 0}
        for stage, rule in zip(self.stages, self.plan, strict=True):
            after = stage.after[player]
            at = {
                (*history, o): int(after[number, o])
                for history, number in at.items()
                for o in range(after.shape[1])
                if after[number, o] >= 0
            }
            found |= {history: int(rule[player][number]) for history, number in at.items()}
        return found


@cache
def _rules(actions: int, classes: int) -> Array:
    """Returns `[R, C]` every way of choosing an action for each class."""
    _require_few(actions**classes, "the team")
    return np.array(list(itertools.product(range(actions), repeat=classes)), np.int64).reshape(-1, classes)


def _require_few(rules: int, name: str) -> None:
    if rules > MOST_RULES:
        raise UsageError(
            f"{rules:,} decision rules of {name} in one stage", expected=f"at most {MOST_RULES:,}: a shorter horizon"
        )


def _best_answers(worth: Array, floor: float, name: str) -> tuple[float, tuple[Array, Array]] | None:
    """Returns the best pair of rules where nothing follows, and its value; None if it is not above `floor`.

    The first player's rule is made class by class; what cannot get above the best known is left out, even if for the
    classes to come that player knew what the other does. The other's answer is found class by class.

    Args:
        worth: `[C, D, A, B]` what a pair of actions earns in a pair of classes, times their probability.
        floor: what is known to be had.
        name: of the team, for messages.
    """
    if worth.shape[0] > worth.shape[1]:  # rules of the player with fewer classes are enumerated
        turned = _best_answers(worth.transpose(1, 0, 3, 2), floor, name)
        return None if turned is None else (turned[0], (turned[1][1], turned[1][0]))
    classes, others, actions, _ = worth.shape
    order = np.argsort(-np.abs(worth).max(axis=(1, 2, 3)), kind="stable")
    rest = np.zeros((classes + 1, others, worth.shape[3]))
    for k in reversed(range(classes)):
        rest[k] = rest[k + 1] + worth[order[k]].max(axis=1)
    known = max(floor, _by_turns(worth))
    margin = SAME * max(1.0, abs(known)) if np.isfinite(known) else 0.0
    rules, sums = np.zeros((1, 0), np.int64), np.zeros((1, others, worth.shape[3]))
    for k in range(classes):
        _require_few(len(rules) * actions * others, name)
        sums = (sums[:, None] + worth[order[k]].transpose(1, 0, 2)[None]).reshape(-1, *sums.shape[1:])
        rules = np.concatenate([np.repeat(rules, actions, axis=0), np.tile(np.arange(actions), len(rules))[:, None]], 1)
        hopeful = (sums + rest[k + 1]).max(axis=2).sum(axis=1) >= known - margin
        rules, sums = rules[hopeful], sums[hopeful]
    if not len(rules):
        return None
    values = sums.max(axis=2).sum(axis=1)
    best = int(values.argmax())
    if values[best] <= floor + margin:
        return None
    first = np.zeros(classes, np.int64)
    first[order] = rules[best]
    return float(values[best]), (first, sums[best].argmax(axis=1))


def _by_turns(worth: Array) -> float:
    """Returns what is earned when each in turn answers the other's rule best, until nothing gets better."""
    rows, columns = np.arange(worth.shape[0]), np.arange(worth.shape[1])
    second, value = worth.sum(axis=0).max(axis=1).argmax(axis=1), -np.inf
    while True:
        first = worth[:, columns, :, second].sum(axis=0).argmax(axis=1)
        answers = worth[rows, :, first].sum(axis=0)
        second = answers.argmax(axis=1)
        new = float(answers.max(axis=1).sum())
        if new <= value + SAME * max(1.0, abs(new)):
            return max(new, value)
        value = new


def _merged(mass: Array) -> tuple[Array, Array]:
    """Returns `[S, C', D]` with classes of the first player that expect the same made one, and `[C]` which each became
    (−1: it cannot come about)."""
    totals = mass.sum(axis=(0, 2))
    possible = np.flatnonzero(totals > 0)
    to = np.full(mass.shape[1], -1)
    shapes: dict[bytes, int] = {}
    for c in possible:
        # rounded well above rounding errors, well below what could matter
        key = np.round(mass[:, c] / totals[c], 11).tobytes()
        to[c] = shapes.setdefault(key, len(shapes))
    merged = np.zeros((mass.shape[0], len(shapes), mass.shape[2]))
    for c in possible:
        merged[:, to[c]] += mass[:, c]
    return merged, to


def _followed(before: Array, to: Array) -> Array:
    return np.where(before >= 0, to[np.maximum(before, 0)], -1)
