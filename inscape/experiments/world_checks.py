"""Checks of a world's law and of what is read from it.

The law is first run as plain Python on states reached from the initial ones; only a law that passes is compiled and
its readers checked, so that a mistake is reported where it was made.
"""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from inscape.envs.scene import PALETTE, Scene
from inscape.experiments.checking import (
    DEVIATIONS,
    CheckReport,
    Failed,
    Skipped,
    chi_square_deviation,
    require,
)

if TYPE_CHECKING:
    from inscape.envs.law import States, World
    from inscape.envs.registry import Task

MAX_STATES = 200
MAX_ACTIONS = 12
SAMPLES = 4000
SUM_TOLERANCE = 1e-9


def check_world(world: World) -> CheckReport:
    """Checks a world of ours or a user's: its law as plain Python, then its readers."""
    report = CheckReport(repr(world))
    law = _Law(world)
    checks: dict[str, Callable[[], None]] = {
        "initial distribution": law.check_initial,
        "pure": law.check_pure,
        "state fields": law.check_fields,
        "probabilities": law.check_probabilities,
        "terminal": law.check_terminal,
        "reward": law.check_reward,
        "legal": law.check_legal,
        "mover": law.check_mover,
        "observation": law.check_observation,
        "state_of": law.check_state_of,
        "settings": law.check_settings,
        "purposes": law.check_purposes,
        "text": law.check_text,
        "scene": law.check_scene,
    }
    for name, function in checks.items():
        report.run(name, function)
    report.run("parameters unchanged", law.check_parameters_unchanged)
    readers = _Readers(world, law)
    compiled: dict[str, Callable[[], None]] = {
        "compiles": readers.check_compiles,
        "plain equals compiled": readers.check_plain_equals_compiled,
        "terminal states absorb": readers.check_absorbing,
        "frequencies": readers.check_frequencies,
        "rows independent": readers.check_rows,
        "same seed, same life": readers.check_same_life,
        "copies independent": readers.check_copies,
        "Gymnasium's check_env": readers.check_gymnasium,
    }
    for name, function in compiled.items():
        if report.failures:  # a law that fails would fail its readers too, and compiling takes seconds
            report.skip(name, f"not run: {report.failures[0].name!r} fails")
        else:
            report.run(name, function)
    return report


class _Law:
    """The law functions of one world as plain Python, and a sample of the states they reach."""

    def __init__(self, world: World) -> None:
        self.world, self.params, self.purpose = world, world.params, world.purpose
        self.rng = np.random.default_rng(0)
        self.before = _snapshot((world.params, world.purpose))
        self.states: list[Any] = []

    def function(self, name: str) -> Any:
        function = self.world.law_function(name)
        return getattr(function, "py_func", function)

    def count(self, name: str) -> int:
        function = self.function(name)
        return int(function(self.params) if function is not None else getattr(type(self.world), name))

    def actions(self) -> list[Any]:
        world = self.world
        if world.continuous:
            low, high = np.array(world.action_low), np.array(world.action_high)
            return [
                tuple(row.tolist())
                for row in (low, high, (low + high) / 2, *self.rng.uniform(low, high, (3, len(low))))
            ]
        if world.simultaneous:
            return [
                tuple(row) for row in self.rng.integers(0, world.num_actions, (MAX_ACTIONS, world.players)).tolist()
            ]
        return list(range(world.num_actions))[:MAX_ACTIONS]

    def initial_outcomes(self) -> list[tuple[float, Any]]:
        if self.world.initial_noise:
            draws = self.rng.random((16, self.world.initial_noise))
            return [(1.0 / 16, self.function("initial")(self.params, tuple(row.tolist()))) for row in draws]
        return [self.function("initial")(self.params, b) for b in range(self.count("initial_branches"))]

    def outcomes(self, state: Any, action: Any) -> list[tuple[float, Any]]:
        transition = self.function("transition")
        if self.world.noise:
            draws = np.random.default_rng(1).random((3, self.world.noise))
            return [(1.0 / 3, transition(self.params, state, action, tuple(row.tolist()))) for row in draws]
        return [transition(self.params, state, action, branch) for branch in range(self.count("branches"))]

    def is_terminal(self, state: Any) -> bool:
        return bool(self.function("terminal")(self.params, self.purpose, state))

    def legal_actions(self, state: Any) -> list[Any]:
        legal = self.function("legal")
        return [a for a in self.actions() if legal is None or self.world.continuous or legal(self.params, state, a)]

    def steps(self) -> Iterator[tuple[Any, Any]]:
        """Yields (state, action) for the states reached that are not terminal, and their legal actions."""
        for state in self.states:
            if not self.is_terminal(state):
                for action in self.legal_actions(state):
                    yield state, action

    # the checks ------------------------------------------------------------------------------------------------

    def check_initial(self) -> None:
        """Probabilities of the initial states sum to one; also collects the states all other checks look at."""
        found = self.initial_outcomes()
        for item in found:
            require(
                isinstance(item, tuple) and len(item) == 2,
                f"initial returned {item!r}; expected (probability, State)",
            )
        _require_distribution([p for p, _ in found], "initial")
        possible = [state for p, state in found if p > 0]
        for state in possible:
            require(not self.is_terminal(state), f"the initial state {state} is terminal")
        self.states = possible[:MAX_STATES]
        self._explore()

    def _explore(self) -> None:
        """Breadth first through the law, as far as `MAX_STATES`."""
        seen, queue = set(map(repr, self.states)), list(self.states)
        while queue and len(self.states) < MAX_STATES:
            state = queue.pop(0)
            if self.is_terminal(state):
                continue
            for action in self.legal_actions(state):
                for probability, following in self.outcomes(state, action):
                    if probability > 0 and repr(following) not in seen and len(self.states) < MAX_STATES:
                        seen.add(repr(following))
                        self.states.append(following)
                        queue.append(following)

    def check_pure(self) -> None:
        """The same inputs give the same outputs, whenever they are asked."""
        require(
            _same(self.initial_outcomes_at(0), self.initial_outcomes_at(0)), "initial gives two answers to one question"
        )
        pairs = list(self.steps())[:: max(1, len(self.states) // 20)][:100]
        first = [self._everything(state, action) for state, action in pairs]
        for (state, action), earlier in zip(pairs, first):
            for name, answer in self._everything(state, action).items():
                require(
                    _same(answer, earlier[name]),
                    f"{name} at {state}, action {action!r}, gave {earlier[name]!r} and then {answer!r}; "
                    "a law draws nothing and keeps nothing",
                )

    def initial_outcomes_at(self, index: int) -> Any:
        argument = (0.5,) * self.world.initial_noise if self.world.initial_noise else index
        return self.function("initial")(self.params, argument)

    def _everything(self, state: Any, action: Any) -> dict[str, Any]:
        outcomes = self.outcomes(state, action)
        answers = {
            "transition": outcomes,
            "reward": [self.function("reward")(self.params, self.purpose, state, action, s) for _, s in outcomes],
            "terminal": self.function("terminal")(self.params, self.purpose, state),
        }
        if (observation := self.function("observation")) is not None:
            answers["observation"] = observation(self.params, state, *self._player())
        if (legal := self.function("legal")) is not None:
            answers["legal"] = legal(self.params, state, action)
        return answers

    def _player(self) -> tuple[int, ...]:
        return (0,) if self.world.players > 1 else ()

    def check_fields(self) -> None:
        """Every state is a State, and each field holds what it is annotated with."""
        layout = self.world.layouts()[0]
        for state in self.states:
            require(type(state) is layout.cls, f"{state!r} is a {type(state).__name__}, not a State")
            for field, value in zip(layout.fields, state):
                if field.length is not None:
                    require(
                        isinstance(value, tuple) and len(value) == field.length,
                        f"{field.name} = {value!r} in {state}; expected {field.length} values",
                    )
                for scalar in [value] if field.length is None else value:
                    require(
                        _is_kind(scalar, field.kind),
                        f"{field.name} = {scalar!r} ({type(scalar).__name__}) in {state}; "
                        f"expected a finite {field.kind}",
                    )

    def check_probabilities(self) -> None:
        """The outcomes of each (state, action) have probabilities in [0, 1] that sum to one."""
        if self.world.noise:
            raise Skipped("the law takes noise and states no probabilities")
        for state, action in self.steps():
            outcomes = self.outcomes(state, action)
            _require_distribution([p for p, _ in outcomes], f"transition at {state}, action {self.action_name(action)}")

    def action_name(self, action: Any) -> str:
        if self.world.continuous or self.world.simultaneous:
            return repr(action)
        return f"{action} ({self.world.action_names[action]})"

    def check_terminal(self) -> None:
        """`terminal` answers True or False, and episodes can end or have a time limit."""
        ends = False
        for state in self.states:
            answer = self.function("terminal")(self.params, self.purpose, state)
            require(
                isinstance(answer, (bool, np.bool_)),
                f"terminal at {state} gave {answer!r} ({type(answer).__name__}); expected True or False",
            )
            ends = ends or bool(answer)
        explored_all = len(self.states) < MAX_STATES and not self.world.noise and not self.world.initial_noise
        require(
            ends or not explored_all or self.world.max_episode_steps is not None,
            "no reachable state is terminal and max_episode_steps is None: an episode would never end",
        )

    def check_reward(self) -> None:
        """Rewards are finite numbers, one per player."""
        reward, players = self.function("reward"), self.world.players
        for state, action in self.steps():
            for _, following in self.outcomes(state, action):
                value = reward(self.params, self.purpose, state, action, following)
                values = value if players > 1 else (value,)
                good = isinstance(values, tuple) and len(values) == players
                good = good and all(isinstance(v, numbers.Real) and math.isfinite(v) for v in values)
                require(
                    good,
                    f"reward at {state}, action {self.action_name(action)}, next {following} gave {value!r}; expected "
                    + ("a finite number" if players == 1 else f"a tuple of {players} finite numbers"),
                )

    def check_legal(self) -> None:
        """`legal` answers True or False and leaves an action wherever the episode goes on."""
        legal = self.function("legal")
        if legal is None:
            raise Skipped("every action is legal everywhere")
        for state in self.states:
            answers = [legal(self.params, state, action) for action in range(self.world.num_actions)]
            require(
                all(isinstance(a, (bool, np.bool_)) for a in answers),
                f"legal at {state} gave {answers!r}; expected True or False for each action",
            )
            require(
                any(answers) or self.is_terminal(state),
                f"no action is legal at {state}, which is not terminal",
            )

    def check_mover(self) -> None:
        """In games taken in turns, who moves is a player."""
        if self.world.players == 1 or self.world.simultaneous:
            raise Skipped("nobody takes turns")
        mover = self.function("mover")
        require(mover is not None, f"{self.world.players} players in turn, and no function mover(params, state)")
        for state in self.states:
            player = mover(self.params, state)
            require(
                isinstance(player, numbers.Integral) and 0 <= int(player) < self.world.players,
                f"mover at {state} gave {player!r}; expected 0 to {self.world.players - 1}",
            )

    def own_observation(self, state: Any) -> Any:
        """The state's scalars, which is what a world without `observation` shows: a number if there is but one."""
        scalars = _flat(state)
        return scalars[0] if self.world.observation_space.shape == () else scalars

    def check_observation(self) -> None:
        """Each observation lies in the observation space, without being changed to fit."""
        space, observe = self.world.observation_space, self.function("observation")
        for state in self.states:
            seen = self.own_observation(state) if observe is None else observe(self.params, state, *self._player())
            exact = np.asarray(seen)
            stored = exact.astype(space.dtype)
            shown = stored if stored.ndim else stored[()]
            require(
                space.contains(shown),
                f"the observation {seen!r} of {state} is outside observation_space {space}",
            )
            whole = stored.dtype.kind == "f" or np.array_equal(stored, exact)
            require(whole, f"the observation {seen!r} of {state} does not fit the dtype {space.dtype}")

    def check_state_of(self) -> None:
        """`state_of` undoes `observation`."""
        inverse, observe = self.function("state_of"), self.function("observation")
        if inverse is None or self.world.players > 1:
            raise Skipped("the world defines no state_of" if inverse is None else "several players")
        for state in self.states:
            seen = self.own_observation(state) if observe is None else observe(self.params, state)
            back = inverse(self.params, seen)
            require(_same(back, state), f"state_of({seen!r}) gave {back}, observed in {state}")

    def check_settings(self) -> None:
        """The world's `settings` make the same world again."""
        again = type(self.world)(**self.world.settings)
        require(
            _same(_snapshot(again.params), _snapshot(self.params)),
            f"{type(self.world).__name__}(**settings) has other params; settings are not complete",
        )

    def check_purposes(self) -> None:
        """Named purposes are of the Purpose type."""
        named = self.world.goals
        if not named:
            raise Skipped("the world names no purposes")
        for name, purpose in named.items():
            require(type(purpose) is type(self.purpose), f"purpose {name!r} is {purpose!r}, not a Purpose")

    def check_text(self) -> None:
        """`describe` gives words."""
        for state in self.states[:20]:
            text = type(self.world).describe(self.params, self.purpose, state)
            require(isinstance(text, str) and text.strip(), f"describe at {state} gave {text!r}")

    def check_scene(self) -> None:
        """`draw` gives a Scene of finite shapes in known colours; `place` a point or None."""
        for state in self.states[:20]:
            scene = type(self.world).draw(self.params, self.purpose, state)
            require(isinstance(scene, Scene), f"draw at {state} gave {scene!r}; expected a Scene")
            require(scene.width > 0 and scene.height > 0, f"draw at {state} gave a scene without area")
            for shape in scene.shapes:
                _require_drawable(shape)
            place = type(self.world).place(self.params, state)
            point = place is None or (len(place) == 2 and all(math.isfinite(v) for v in place))
            require(point, f"place at {state} gave {place!r}; expected (x, y) or None")

    def check_parameters_unchanged(self) -> None:
        """Nothing above changed the parameters or the purpose."""
        require(
            _same(_snapshot((self.params, self.purpose)), self.before),
            "a law function changed params or purpose; they are read-only",
        )


class _Readers:
    """What is read from the law: compiled kernels, batches, environments."""

    def __init__(self, world: World, law: _Law) -> None:
        self.world, self.law = world, law

    def batch(self) -> tuple[States, np.ndarray]:
        pairs = list(self.law.steps())
        if not pairs:
            raise Skipped("no state was reached in which an action can be taken")
        chosen = self.law.rng.permutation(len(pairs))[:256]
        states = self.world.pack([pairs[i][0] for i in chosen])
        kind = np.float64 if self.world.continuous else np.int64
        return states, np.array([pairs[i][1] for i in chosen], kind)

    def check_compiles(self) -> None:
        states, actions = self.batch()
        self.world.step(states, actions, np.random.default_rng(0))

    def check_plain_equals_compiled(self) -> None:
        """The compiled law gives what the functions give on Python's own numbers, and draws what they draw."""
        states, actions = self.batch()
        compiled, plain = self._compiled_answers(states, actions), self._plain_answers(states, actions)
        keys = np.arange(len(states), dtype=np.int64) * 7919
        for answers, fast in ((compiled, True), (plain, False)):
            following, rewards, ended = self.world.step_with_keys(states, actions, keys, compiled=fast)
            answers |= {"floats drawn": following.floats.T, "ints drawn": following.ints.T}
            answers |= {"reward drawn": rewards, "end drawn": ended}
        for name, expected in plain.items():
            _require_equal_rows(name, expected, compiled[name], self.world, states, actions)

    def _compiled_answers(self, states: States, actions: np.ndarray) -> dict[str, np.ndarray]:
        world, count = self.world, len(states)
        answers = {"terminal": world.terminal_of(states), "observation": world.observe(states)}
        if not world.continuous:
            answers["legal"] = world.legal_actions(states)
        if not world.noise:
            probability, outcomes = world.outcomes(states, actions)
            width = probability.shape[1]
            again = np.repeat(np.arange(count), width)
            answers["probability"] = probability
            answers["next states"] = np.concatenate([outcomes.floats, outcomes.ints]).T.reshape(count, -1)
            answers["reward"] = world.reward_of(states[again], actions[again], outcomes).reshape(count, -1)
        return answers

    def _plain_answers(self, states: States, actions: np.ndarray) -> dict[str, np.ndarray]:
        """The same from the law's functions, called one by one on the states as Python values."""
        law, world = self.law, self.world
        rows = [world.unpack(states, i) for i in range(len(states))]
        chosen = [tuple(a) if np.ndim(a) else a for a in actions.tolist()]
        observe, legal, reward = law.function("observation"), law.function("legal"), law.function("reward")
        players = [(int(p),) if world.players > 1 else () for p in world.mover_of(states, compiled=False)]
        seen = [
            law.own_observation(s) if observe is None else observe(law.params, s, *p) for s, p in zip(rows, players)
        ]
        answers = {
            "terminal": np.array([law.is_terminal(state) for state in rows]),
            "observation": np.array(seen).astype(world.observation_space.dtype),
        }
        if not world.continuous:
            names = range(world.num_actions)
            answers["legal"] = np.array([[legal is None or bool(legal(law.params, s, a)) for a in names] for s in rows])
        if not world.noise:
            outcomes = [law.outcomes(state, action) for state, action in zip(rows, chosen)]
            packed = [world.pack([following for _, following in row]) for row in outcomes]
            answers["probability"] = np.array([[p for p, _ in row] for row in outcomes])
            answers["next states"] = np.array([np.concatenate([b.floats, b.ints]).T.ravel() for b in packed])
            rewards = [
                [reward(law.params, law.purpose, s, a, following) for _, following in row]
                for s, a, row in zip(rows, chosen, outcomes)
            ]
            answers["reward"] = np.array(rewards, float).reshape(len(rows), -1)
        return answers

    def check_absorbing(self) -> None:
        ended = [state for state in self.law.states if self.law.is_terminal(state)]
        if not ended:
            raise Skipped("no terminal state was reached")
        states = self.world.pack(ended)
        action = self.law.actions()[0]
        actions = np.array([action] * len(ended), np.float64 if self.world.continuous else np.int64)
        following, rewards, flags = self.world.step(states, actions, np.random.default_rng(0))
        require(following.keys() == states.keys(), "a terminal state was left")
        require(not rewards.any(), "a terminal state gave reward")
        require(flags.all(), "a step from a terminal state did not terminate")

    def check_frequencies(self) -> None:
        if self.world.noise:
            raise Skipped("the law takes noise and states no probabilities")
        states, actions = self.batch()
        rng = np.random.default_rng(2)
        probability, outcomes = self.world.outcomes(states[np.arange(min(8, len(states)))], actions[:8])
        for row in range(len(probability)):
            width = probability.shape[1]
            keys = outcomes[np.arange(row * width, (row + 1) * width)].keys()
            same = np.full(SAMPLES, row)
            drawn = self.world.step(states[same], actions[same], rng)[0].keys()
            name = f"{self.world.unpack(states, row)}, action {self.law.action_name(actions[row])}"
            _require_frequencies(keys, probability[row], drawn, f"next states of {name}")
        if not self.world.initial_noise:
            p, starts = self.world.initial_outcomes()
            _require_frequencies(starts.keys(), p, self.world.sample_initial(SAMPLES, rng).keys(), "initial states")

    def check_rows(self) -> None:
        states, actions = self.batch()
        keys = np.arange(len(states), dtype=np.int64)
        following, rewards, ended = self.world.step_with_keys(states, actions, keys)
        for row in range(min(10, len(states))):
            one = [row]
            single, reward, end = self.world.step_with_keys(states[one], actions[one], keys[one])
            same = (
                single.keys() == following[one].keys() and np.array_equal(reward, rewards[one]) and end[0] == ended[row]
            )
            require(same, f"row {row} of a batch differs from the same row alone")

    def check_same_life(self) -> None:
        self._require_single_player()
        lives = [_life(self.world.env(), seed) for seed in (5, 5)]
        require(_same(lives[0], lives[1]), "two environments reset with one seed lived different lives")

    def check_copies(self) -> None:
        self._require_single_player()
        many, few = (self._copies(count) for count in (9, 4))
        require(_same([row[:4] for row in many], few), "the first 4 of 9 copies differ from 4 copies of the same seed")

    def _copies(self, count: int) -> list[Any]:
        env = self.world.vector_env(count)
        rng = np.random.default_rng(3)
        seen, info = env.reset(seed=11)
        rows = [np.array(seen)]
        for _ in range(40):
            noise = rng.random((9, 8))[:count]  # the same numbers for copy i whatever the count
            actions = _choose(self.world.action_space, noise, info.get("action_mask"))
            seen, reward, terminated, truncated, info = env.step(actions)
            for part in (seen, reward, terminated, truncated):
                rows.append(np.array(part))
        return rows

    def check_gymnasium(self) -> None:
        self._require_single_player()
        _check_env(self.world.env())

    def _require_single_player(self) -> None:
        if self.world.players > 1:
            raise Skipped("several players")


def check_environment(task: Task) -> CheckReport:
    """Checks any Gymnasium environment: its API, its spaces, and that a seed fixes its life."""
    report = CheckReport(task.name)
    report.run("Gymnasium's check_env", lambda: _check_env(task.env()))

    def same_life() -> None:
        lives = [_life(task.env(), seed) for seed in (5, 5)]
        require(_same(lives[0], lives[1]), "two environments reset with one seed lived different lives")

    report.run("same seed, same life", same_life)
    report.skip("law", "a Gymnasium environment without a law: its dynamics cannot be checked")
    return report


# --- helpers --------------------------------------------------------------------------------------------------------


def _require_distribution(probabilities: list[Any], where: str) -> None:
    for branch, p in enumerate(probabilities):
        good = isinstance(p, numbers.Real) and 0.0 <= float(p) <= 1.0 + SUM_TOLERANCE
        require(good, f"{where}: branch {branch} has probability {p!r}; expected a number in [0, 1]")
    total = math.fsum(probabilities)
    require(abs(total - 1.0) <= SUM_TOLERANCE, f"{where}: probabilities {probabilities} sum to {total:.12g}, not 1")


def _require_frequencies(keys: list[bytes], probability: np.ndarray, drawn: list[bytes], where: str) -> None:
    merged: dict[bytes, float] = {}
    for key, p in zip(keys, probability):
        merged[key] = merged.get(key, 0.0) + float(p)
    index = {key: i for i, key in enumerate(merged)}
    counts = np.zeros(len(merged))
    for key in drawn:
        require(key in index, f"{where}: a state was drawn that is none of the outcomes")
        counts[index[key]] += 1
    p = np.array(list(merged.values()))
    deviation = chi_square_deviation(counts, p)
    require(
        deviation < DEVIATIONS,
        f"{where}: frequencies {np.round(counts / counts.sum(), 3).tolist()}, probabilities {np.round(p, 3).tolist()}",
    )


def _require_equal_rows(
    what: str, expected: np.ndarray, found: np.ndarray, world: World, states: States, actions: np.ndarray
) -> None:
    # Both run the same operations on doubles; a last-digit difference can only come from the maths library.
    same = (
        np.isclose(expected, found, rtol=1e-12, atol=1e-12, equal_nan=True)
        if expected.dtype.kind == "f"
        else expected == found
    )
    rows = np.asarray(same).reshape(len(expected), -1).all(axis=1)
    if not rows.all():
        row = int(np.argmin(rows))
        raise Failed(
            f"{what}: plain Python and compiled differ at {world.unpack(states, row)}, action {actions[row]}: "
            f"{expected[row]} and {found[row]}; "
            "does the law read something other than its arguments?"
        )


def _require_drawable(shape: Any) -> None:
    for name in ("fill", "stroke"):
        colour = getattr(shape, name, None)
        known = colour is None or colour in PALETTE or str(colour).startswith("#")
        require(known, f"the {name} {colour!r} of {shape} is no colour of the palette")
    numbers_ = [v for v in vars(shape).values() if isinstance(v, float | int)]
    require(all(math.isfinite(v) for v in numbers_), f"{shape} has a coordinate that is not finite")


def _is_kind(value: Any, kind: str) -> bool:
    if kind == "bool":
        return isinstance(value, (bool, np.bool_))
    if kind == "int":
        return isinstance(value, numbers.Integral)
    return isinstance(value, numbers.Real) and math.isfinite(value)


def _flat(state: Any) -> tuple[Any, ...]:
    return tuple(v for item in state for v in (item if isinstance(item, tuple) else (item,)))


def _snapshot(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.copy()
    return tuple(_snapshot(v) for v in value) if isinstance(value, tuple) else value


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        return np.array_equal(left, right, equal_nan=np.asarray(left).dtype.kind == "f")
    if isinstance(left, (list, tuple)):
        return isinstance(right, (list, tuple)) and len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right or (left != left and right != right))


def _choose(space: gym.Space[Any], noise: np.ndarray, mask: Any) -> np.ndarray:
    """Turns `[B, 8]` uniforms into actions, one per row, legal where a mask is given."""
    if isinstance(space, gym.spaces.Box):
        width = int(np.prod(space.shape))
        unit = noise[:, np.arange(width) % noise.shape[1]].reshape(len(noise), *space.shape)
        return np.asarray(space.low + unit * (space.high - space.low), space.dtype)
    if not isinstance(space, gym.spaces.Discrete):
        raise Skipped(f"no way to choose actions from {space}")
    if mask is None:
        return np.asarray(space.start + (noise[:, 0] * space.n).astype(np.int64))
    each = noise[:, np.arange(int(space.n)) % noise.shape[1]]  # every row of its own noise, however many actions
    order = np.where(np.asarray(mask, bool), each, -1.0)
    return np.asarray(space.start + order.argmax(axis=1))


def _life(env: gym.Env[Any, Any], seed: int, steps: int = 100) -> list[Any]:
    rng = np.random.default_rng(4)
    env.action_space.seed(0)
    seen, info = env.reset(seed=seed)
    life: list[Any] = [np.asarray(seen)]
    for _ in range(steps):
        if isinstance(env.action_space, (gym.spaces.Box, gym.spaces.Discrete)):
            mask = info.get("action_mask")
            action = _choose(env.action_space, rng.random((1, 8)), None if mask is None else np.asarray(mask)[None])[0]
        else:
            action = env.action_space.sample()
        seen, reward, terminated, truncated, info = env.step(action)
        require(math.isfinite(reward), f"reward {reward} is not finite")
        life += [np.array(seen), reward, terminated, truncated]
        if terminated or truncated:
            seen, info = env.reset()
            life.append(np.array(seen))
    env.close()
    return life


def _check_env(env: gym.Env[Any, Any]) -> None:
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on style; what breaks the API raises
        check_env(env.unwrapped, skip_render_check=True)
