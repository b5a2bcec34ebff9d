"""Checks of a world's law, run as plain Python on a sample of the states it reaches.

Nothing is compiled here, so that a mistake is reported in the words of the function that made it.
"""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.envs.rendering.scene import Scene, color_of
from inscape.errors import UsageError
from inscape.experiments.checks.report import Failed, Skipped, require, same

if TYPE_CHECKING:
    from inscape.envs.world import World

MAX_STATES = 200
MAX_STARTS = 40  # initial states among them: the others are met by acting
MAX_ACTIONS = 12  # actions (joint actions) tried in each state
WALKS, WALK_STEPS = 40, 60
MOST_UNROLLED = 16  # outcomes: the contract's limit for max_branches
SUM_TOLERANCE = 1e-9
SAME_LOOK = 1e-6  # numbers observed that differ by less are alike: an inverse of a sine costs digits


class Law:
    """The law functions of one world as plain Python, and a sample of the states they reach.

    Attributes:
        states: states met breadth first and, to get deep, by acting at random.
        explored_all: they are all the states there are.
    """

    def __init__(self, world: World) -> None:
        self.world, self.params, self.purpose = world, world.params, world.purpose
        self.rng = np.random.default_rng(0)
        self.before = snapshot((world.params, world.purpose))
        self.states: list[Any] = []
        self.explored_all = False
        self._steps: list[tuple[Any, Any]] | None = None

    # what the law says, in Python's own numbers -----------------------------------------------------------------

    def function(self, name: str) -> Any:
        function = self.world.law_function(name)
        return getattr(function, "py_func", function)

    def count(self, name: str) -> int:
        function = self.function(name)
        return int(function(self.params) if function is not None else getattr(type(self.world), name))

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

    def deciders(self) -> tuple[int, ...]:
        """The players a mask has a row for: all of them where all act at once, else one."""
        return tuple(range(self.world.players)) if self.world.simultaneous else (0,)

    def legal(self, state: Any, player: int) -> list[Any]:
        """What `legal` answers for each action of a player (in turn: of the mover)."""
        function, names = self.function("legal"), range(self.world.num_actions)
        if function is None:
            return [True for _ in names]
        if self.world.simultaneous:
            return [function(self.params, state, player, a) for a in names]
        return [function(self.params, state, a) for a in names]

    def legal_actions(self, state: Any) -> list[Any]:
        """Some legal actions, at most `MAX_ACTIONS`: numbers, tuples of them where all act at once, or of floats."""
        world = self.world
        if world.continuous:
            low, high = np.array(world.action_low), np.array(world.action_high)
            drawn = self.rng.uniform(low, high, (3, len(low)))
            return [tuple(row.tolist()) for row in (low, high, (low + high) / 2, *drawn)]
        allowed = [[a for a, yes in enumerate(self.legal(state, m)) if yes] for m in self.deciders()]
        if not world.simultaneous:
            own = allowed[0]
            if len(own) <= MAX_ACTIONS:
                return own
            return sorted(self.rng.choice(own, MAX_ACTIONS, replace=False).tolist())
        if math.prod(map(len, allowed)) <= MAX_ACTIONS:
            return list(itertools.product(*allowed))
        drawn = np.stack([self.rng.choice(own, MAX_ACTIONS) for own in allowed], axis=1)
        return sorted({tuple(row) for row in drawn.tolist()})

    def steps(self) -> list[tuple[Any, Any]]:
        """(state, action) for the states reached that are not terminal, and their legal actions."""
        if self._steps is None:
            going_on = [state for state in self.states if not self.is_terminal(state)]
            self._steps = [(state, action) for state in going_on for action in self.legal_actions(state)]
        return self._steps

    def mover(self, state: Any) -> int:
        """Who acts: 0 for a single player, and where all act at once."""
        function = self.function("mover")
        return 0 if function is None else int(function(self.params, state))

    def observed(self, state: Any, player: int) -> Any:
        """What a player observes: a number, or the tuple of all entries in the order they are stored."""
        given = (player,) if self.world.players > 1 else ()
        if not self.world.is_wide():
            observe = self.function("observation")
            return self._whole(state) if observe is None else observe(self.params, state, *given)
        look = self.function("observation_view")
        view = state if look is None else look(self.params, state, *given)
        return tuple(self._entries(view))

    def _whole(self, state: Any) -> Any:
        """The state's scalars, which is what a world without `observation` shows: a number if there is but one."""
        scalars = _flat(state)
        return scalars[0] if self.world.observation_space.shape == () else scalars

    def _entries(self, view: Any) -> Iterator[Any]:
        """The entries of a wide observation, which `observation_entry` gives one by one or some at a time."""
        entry, size = self.function("observation_entry"), math.prod(self.world.observation_space.shape or ())
        given, k = 0, 0
        while given < size:
            value = entry(self.params, view, k)
            values = value if isinstance(value, tuple) else (value,)
            fits = 0 < len(values) <= size - given
            require(fits, f"observation_entry({k}) gave {len(values)} numbers where {size - given} of {size} are left")
            yield from values
            given, k = given + len(values), k + 1

    def action_name(self, action: Any) -> str:
        if self.world.continuous or self.world.simultaneous:
            return repr(tuple(action))
        return f"{action} ({self.world.action_names[action]})"

    def player_name(self, player: int) -> str:
        """Words that say which player, in worlds of several."""
        return f" by {self.world.agents[player]}" if self.world.players > 1 else ""

    def some_states(self, count: int = 20) -> list[Any]:
        """As many of the states reached, near and far."""
        return self.states[:: max(1, len(self.states) // count)][:count]

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
        starts = possible[:: max(1, math.ceil(len(possible) / MAX_STARTS))]
        self._explore(starts, whole=len(starts) == len(possible) and not self.world.initial_noise)

    def _explore(self, starts: list[Any], whole: bool) -> None:
        """Half of the sample breadth first; the other half deep, by acting at random from the starts."""
        seen: set[str] = set()

        def met(state: Any) -> bool:
            if repr(state) in seen or len(self.states) >= MAX_STATES:
                return False
            seen.add(repr(state))
            self.states.append(state)
            return True

        queue = [state for state in starts if met(state)]
        while queue and len(self.states) < MAX_STATES // 2:
            state = queue.pop(0)
            if not self.is_terminal(state):
                following = (s for a in self.legal_actions(state) for p, s in self.outcomes(state, a) if p > 0)
                queue += [s for s in following if met(s)]
        self.explored_all = whole and not queue and not self.world.noise
        for walk in range(0 if self.explored_all else WALKS):
            state = starts[walk % len(starts)]
            for _ in range(WALK_STEPS):
                if self.is_terminal(state) or len(self.states) >= MAX_STATES:
                    break
                state = self._successor(state)
                met(state)

    def _successor(self, state: Any) -> Any:
        """A state that may follow when a random legal action is taken; the state itself where there is none."""
        actions = self.legal_actions(state)
        if not actions:
            return state
        outcomes = self.outcomes(state, actions[self.rng.integers(len(actions))])
        possible = [following for p, following in outcomes if p > 0]
        return possible[self.rng.integers(len(possible))] if possible else state

    def check_pure(self) -> None:
        """The same inputs give the same outputs, whenever they are asked."""
        require(same(self._initial_at(0), self._initial_at(0)), "initial gives two answers to one question")
        pairs = self.steps()[:: max(1, len(self.steps()) // 60)]
        first = [self._everything(state, action) for state, action in pairs]
        for (state, action), earlier in zip(pairs, first):
            for name, answer in self._everything(state, action).items():
                require(
                    same(answer, earlier[name]),
                    f"{name} at {state}, action {action!r}, gave {earlier[name]!r} and then {answer!r}; "
                    "a law draws nothing and keeps nothing",
                )

    def _initial_at(self, index: int) -> Any:
        argument = (0.5,) * self.world.initial_noise if self.world.initial_noise else index
        return self.function("initial")(self.params, argument)

    def _everything(self, state: Any, action: Any) -> dict[str, Any]:
        outcomes = self.outcomes(state, action)
        answers = {
            "transition": outcomes,
            "reward": [self.function("reward")(self.params, self.purpose, state, action, s) for _, s in outcomes],
            "terminal": self.function("terminal")(self.params, self.purpose, state),
            "observation": [self.observed(state, player) for player in range(self.world.players)],
        }
        if not self.world.continuous:
            answers["legal"] = [self.legal(state, player) for player in self.deciders()]
        return answers

    def check_fields(self) -> None:
        """Every state is a State, and each field holds what it is annotated with."""
        for state in itertools.chain(self.states, itertools.islice(type(self.world).roots(self.params), MAX_STATES)):
            self._require_state(state)

    def _require_state(self, state: Any, where: str = "") -> None:
        layout = self.world.layouts()[0]
        require(type(state) is layout.cls, f"{where}{state!r} is a {type(state).__name__}, not a State")
        for field, value in zip(layout.fields, state):
            if field.length is not None:
                require(
                    isinstance(value, tuple) and len(value) == field.length,
                    f"{where}{field.name} = {value!r} in {state}; expected {field.length} values",
                )
            for scalar in [value] if field.length is None else value:
                require(
                    _is_kind(scalar, field.kind),
                    f"{where}{field.name} = {scalar!r} ({type(scalar).__name__}) in {state}; "
                    f"expected a finite {field.kind}",
                )

    def check_probabilities(self) -> None:
        """The outcomes of each (state, action) have probabilities in [0, 1] that sum to one."""
        if self.world.noise:
            raise Skipped("the law takes noise and states no probabilities")
        for state, action in self.steps():
            outcomes = self.outcomes(state, action)
            _require_distribution([p for p, _ in outcomes], f"transition at {state}, action {self.action_name(action)}")

    def check_unrolled(self) -> None:
        """Outcomes from `branches(params)` to `max_branches`, which the unrolled sampler asks for, never happen."""
        bound = self.world.max_branches
        if bound is None:
            raise Skipped("the world states no max_branches")
        count, transition = self.count("branches"), self.function("transition")
        require(
            isinstance(bound, int) and count <= bound <= MOST_UNROLLED,
            f"max_branches = {bound!r} with {count} outcomes; expected an int from {count} to {MOST_UNROLLED}",
        )
        for state, action in self.steps():
            for branch in range(count, bound):
                probability, following = transition(self.params, state, action, branch)
                where = f"transition at {state}, action {self.action_name(action)}, branch {branch} of {count}"
                require(
                    probability == 0.0,
                    f"{where}: probability {probability!r}; expected 0.0, since max_branches = {bound}",
                )
                self._require_state(following, f"{where}: ")

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
        require(
            ends or not self.explored_all or self.world.max_episode_steps is not None,
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
        """`legal` answers True or False and leaves each acting player an action wherever the episode goes on."""
        if self.function("legal") is None:
            raise Skipped("every action is legal everywhere")
        for state in self.states:
            for player in self.deciders():
                answers = self.legal(state, player)
                whose = f" for {self.world.agents[player]}" if self.world.simultaneous else ""
                require(
                    all(isinstance(a, (bool, np.bool_)) for a in answers),
                    f"legal at {state}{whose} gave {answers!r}; expected True or False for each action",
                )
                require(
                    any(answers) or self.is_terminal(state),
                    f"no action is legal{whose} at {state}, which is not terminal",
                )

    def check_names(self) -> None:
        """The players have names of their own: PettingZoo's dictionaries are keyed by them."""
        if self.world.players == 1:
            raise Skipped("one player")
        names = self.world.agents
        good = all(isinstance(name, str) and name for name in names) and len(set(names)) == self.world.players
        require(good, f"player_names are {names}; expected {self.world.players} different words")

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

    def check_observation(self) -> None:
        """What each player observes, acting or not, lies in the observation space without being changed to fit."""
        space = self.world.observation_space
        for state, player in itertools.product(self.states, range(self.world.players)):
            seen = self.observed(state, player)
            where = f"of {state}{self.player_name(player)}"
            exact, stored = np.asarray(seen), self._stored(seen)
            whole = (
                np.array_equal(np.isfinite(stored.ravel()), np.isfinite(exact.ravel()))
                if stored.dtype.kind == "f"
                else np.array_equal(stored.ravel(), exact.ravel())
            )
            require(whole, f"the observation {_short(seen)} {where} does not fit the dtype {space.dtype}")
            shown = stored if stored.ndim else stored[()]
            require(
                space.contains(shown), f"the observation {_short(seen)} {where} is outside observation_space {space}"
            )

    def _stored(self, seen: Any) -> np.ndarray:
        """An observation as environments give it: in the dtype and, if it is wide, the shape of the space."""
        space, wide = self.world.observation_space, self.world.is_wide()
        with np.errstate(over="ignore"):  # `check_observation` reports what does not fit
            stored = np.asarray(seen).astype(space.dtype)
        return stored.reshape(space.shape) if wide else stored

    def check_state_of(self) -> None:
        """`state_of` undoes `observation`: it gives the state, or one that looks and behaves the same."""
        inverse = self.function("state_of")
        if inverse is None:
            raise Skipped("the world defines no state_of")
        for state in self.states:
            player = self.mover(state)
            seen = self.observed(state, player)
            back = inverse(self.params, seen)
            known = same(back, state) or (type(back) is type(state) and self._alike(state, back, player))
            require(known, f"state_of({_short(seen)}) gave {back}, observed in {state}, which is another state")

    def _alike(self, one: Any, other: Any, player: int) -> bool:
        """Whether two states look the same to a player, and so does what may follow them."""
        if not _close(self.observed(one, player), self.observed(other, player)):
            return False
        if self.is_terminal(one) or self.is_terminal(other):
            return self.is_terminal(one) == self.is_terminal(other)
        if not self.world.continuous and self.legal(one, player) != self.legal(other, player):
            return False
        reward = self.function("reward")
        for action in self.legal_actions(one):
            for (p, after), (q, after_other) in zip(self.outcomes(one, action), self.outcomes(other, action)):
                gains = (
                    reward(self.params, self.purpose, start, action, end)
                    for start, end in ((one, after), (other, after_other))
                )
                looks = (self.observed(after, player), self.observed(after_other, player))
                if not (_close(p, q) and (p == 0 or (_close(*looks) and _close(*gains)))):
                    return False
        return True

    def check_settings(self) -> None:
        """The world's `settings` make the same world again."""
        again = type(self.world)(**self.world.settings)
        require(
            same(snapshot(again.params), snapshot(self.params)),
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
        for state in self.some_states():
            text = type(self.world).describe(self.params, self.purpose, state)
            require(isinstance(text, str) and text.strip(), f"describe at {state} gave {text!r}")

    def check_text_of_observations(self) -> None:
        """`describe_observation` gives words that depend on the observation alone."""
        if self.function("describe_observation") is None:
            raise Skipped("the world defines no describe_observation")
        for player in range(self.world.players):

            def described(state: Any, player: int = player) -> Any:
                seen = self.observed(state, player)
                texts = self.world.describe_seen(self._stored(seen)[None])
                text = texts[0] if texts else None
                require(isinstance(text, str) and text.strip(), f"describe_observation({_short(seen)}) gave {text!r}")
                return text

            self._require_nothing_told("describe_observation", player, described)

    def _of(self, state: Any) -> tuple[Any, Any, Any]:
        return self.params, self.purpose, state

    def _require_nothing_told(self, name: str, player: int, tell: Callable[[Any], Any]) -> None:
        """States that look the same to a player are described in the same way, as long as something is to be chosen."""
        described: dict[str, tuple[Any, Any]] = {}
        for state in self.states:
            if self.is_terminal(state):
                continue
            seen, answer = self.observed(state, player), tell(state)
            first, earlier = described.setdefault(repr(seen), (state, answer))
            require(
                answer == earlier,
                f"{name} distinguishes {first} and {state}, observed{self.player_name(player)} as {_short(seen)}",
            )

    def check_scene(self) -> None:
        """`draw` gives a Scene of finite shapes in known colours; `place` a point or None."""
        for state in self.some_states():
            _require_scene(type(self.world).draw(*self._of(state)), f"draw at {state}")
            place = type(self.world).place(self.params, state)
            point = place is None or (len(place) == 2 and all(math.isfinite(v) for v in place))
            require(point, f"place at {state} gave {place!r}; expected (x, y) or None")

    def check_view(self) -> None:
        """`draw_view` gives scenes that show a player nothing but what it observes, until the end."""
        view = self.function("draw_view")
        if view is None:
            raise Skipped("the world defines no draw_view")
        for player in range(self.world.players):
            given = (player,) if self.world.players > 1 else ()

            def shown(state: Any, given: tuple[int, ...] = given) -> Any:
                scene = view(*self._of(state), *given)
                _require_scene(scene, f"draw_view at {state}")
                return scene

            for state in self.some_states():
                shown(state)
            self._require_nothing_told("draw_view", player, shown)

    def check_parameters_unchanged(self) -> None:
        """Nothing above changed the parameters or the purpose."""
        require(
            same(snapshot((self.params, self.purpose)), self.before),
            "a law function changed params or purpose; they are read-only",
        )


def snapshot(value: Any) -> Any:
    """Returns a copy of parameters that later writing to their tables leaves as it is."""
    if isinstance(value, np.ndarray):
        return value.copy()
    return tuple(snapshot(v) for v in value) if isinstance(value, tuple) else value


def _require_distribution(probabilities: list[Any], where: str) -> None:
    for branch, p in enumerate(probabilities):
        good = isinstance(p, numbers.Real) and 0.0 <= float(p) <= 1.0 + SUM_TOLERANCE
        require(good, f"{where}: branch {branch} has probability {p!r}; expected a number in [0, 1]")
    total = math.fsum(probabilities)
    require(abs(total - 1.0) <= SUM_TOLERANCE, f"{where}: probabilities {probabilities} sum to {total:.12g}, not 1")


def _require_scene(scene: Any, where: str) -> None:
    require(isinstance(scene, Scene), f"{where} gave {scene!r}; expected a Scene")
    require(scene.width > 0 and scene.height > 0, f"{where} gave a scene without area")
    for shape in scene.shapes:
        for name in ("fill", "stroke"):
            colour = getattr(shape, name, None)
            if colour is not None:
                try:
                    color_of(str(colour))
                except UsageError as error:
                    raise Failed(f"{where}: the {name} of {type(shape).__name__} is an {error}") from error
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


def _close(left: Any, right: Any) -> bool:
    return bool(np.allclose(left, right, rtol=SAME_LOOK, atol=SAME_LOOK))


def _short(seen: Any) -> str:
    """Returns an observation as text, a wide one cut short."""
    if isinstance(seen, tuple) and len(seen) > 24:
        return f"({', '.join(map(repr, seen[:24]))}, … {len(seen)} entries)"
    return repr(seen)
