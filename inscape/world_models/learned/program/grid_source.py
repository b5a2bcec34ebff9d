"""A grid's rules written out as the source of a World."""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inscape.world_models.learned.program.effects import END, REWARD, Rule
from inscape.world_models.learned.program.geometry import COMPASS_NAMES
from inscape.world_models.learned.program.grid_program import GridProgram, KindKey
from inscape.world_models.learned.program.layout import FIRST_DOOR, ONE_WAY, OPEN, WALL

SPARE = "abcdefghijklmnopqrtuwxyzBCEIJLMNOPQRUVWXYZ0123456789"
START = "S"


@dataclass(frozen=True)
class Form:
    """What the text is to fit: the observations that were learned from.

    Attributes:
        names: of the fields.
        sizes: of the fields; empty where observations are a Box of the fields.
        discrete: observations are one number.
        actions: the actions' names.
        horizon: time limit, None without one.
        gamma: discount of the world.
        rows: of the user's map, None where there was none.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    discrete: bool
    actions: tuple[str, ...]
    horizon: int | None
    gamma: float
    rows: tuple[str, ...] | None


def identifiers(names: Sequence[str]) -> tuple[str, ...]:
    """Returns names as Python can use them, each once."""
    found: list[str] = []
    for k, name in enumerate(names):
        fits = name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_") and name not in found
        found.append(name if fits else f"field_{k}")
    return tuple(found)


def write(program: GridProgram, form: Form) -> str:
    """Returns the program as Python: a module with the class `Recovered`."""
    return _Writer(program, form).text()


class _Writer:
    def __init__(self, program: GridProgram, form: Form) -> None:
        self.program, self.form, self.fields = program, form, identifiers(form.names)
        self.letters, self.names = self._kinds()
        geometry = program.scene.geometry
        self.cell = self.fields[geometry.position[0]] if len(geometry.position) == 1 else ""

    def _kinds(self) -> tuple[list[str], list[str]]:
        """Returns a letter and a name for each kind."""
        letters: list[str] = []
        names: list[str] = []
        spare = iter(SPARE)
        for number, kind in enumerate(self.program.kinds):
            letter, name = self._called(kind, number)
            names.append(name if name not in names else f"{name}_{number}")
            letters.append(letter if letter not in letters else next(spare))
        return letters, names

    def _called(self, kind: KindKey, number: int) -> tuple[str, str]:
        cls, slips, marks = kind
        rules = [self.program.rules[k] for k in marks]
        if cls == WALL:
            return "#", "WALL"
        if cls >= FIRST_DOOR:
            return "D", "DOOR"
        if cls != OPEN:
            heading = next(way for way, each in ONE_WAY.items() if each == cls)
            return {0: "^", 2: ">", 4: "v", 6: "<"}[heading], f"ONE_WAY_{COMPASS_NAMES[heading]}"
        if any(rule.target == END for rule in rules):
            pays = any(rule.target == REWARD and rule.value > self.program.base for rule in rules)
            return ("G", "GOAL") if pays else ("H", "PIT")
        for rule in rules:
            if rule.target >= 0:
                return self.form.names[rule.target][:1].upper() or "K", f"SETS_{self.fields[rule.target].upper()}"
        if any(rule.target == REWARD for rule in rules):
            return "R", "PAYS"
        return ("F", "ICE") if slips else (".", "FLOOR")

    # ------------------------------------------------------------------------------------------------ the map

    def _map(self) -> tuple[list[str], dict[str, int], str]:
        """Returns the rows, the kind of each letter, and the letters of cells where episodes begin."""
        scene, labels = self.program.scene, self.program.labels
        starts = sorted(set(scene.geometry.cell_of(scene.data.starts).tolist()))
        if self.form.rows is not None:
            rows = list(self.form.rows)
            text = "".join(rows)
            groups = dict(zip(text, scene.group.tolist(), strict=True))
            ground = next((k for k, kind in enumerate(self.program.kinds) if kind[0] == OPEN and not kind[2]), 0)
            kinds = {letter: int(labels[g]) if labels[g] >= 0 else ground for letter, g in sorted(groups.items())}
            return rows, kinds, "".join(sorted({text[cell] for cell in starts}))
        letters = np.array(["?" if label < 0 else self.letters[label] for label in labels[scene.group]])
        kinds = {letter: k for k, letter in enumerate(self.letters)} | {"?": 0}
        marks: dict[int, str] = {}
        for cell in starts:
            kind = max(int(labels[scene.group[cell]]), 0)
            marks.setdefault(kind, START if not marks else "stv"[len(marks) - 1] if len(marks) < 4 else "")
            letters[cell] = marks[kind] or letters[cell]
        kinds |= {letter: kind for kind, letter in marks.items() if letter}
        if START not in kinds:
            kinds[START] = 0
        width = scene.geometry.width
        rows = ["".join(letters[low : low + width]) for low in range(0, len(letters), width)]
        return rows, kinds, "".join(letter for letter in marks.values() if letter) or START

    # ------------------------------------------------------------------------------------------------ the text

    def text(self) -> str:
        program, form, fields = self.program, self.form, self.fields
        rows, kinds, starts = self._map()
        fit = program.fit
        names = "\n".join(f"{name} = {k}" for k, name in enumerate(self.names))
        table = ", ".join(f"{letter!r}: {self.names[kind]}" for letter, kind in kinds.items())
        marks = [kind[1] or (fit.everywhere and bool(fit.slip.shares) and kind[0] != WALL) for kind in program.kinds]
        slips = _tuple([name for name, slippery in zip(self.names, marks, strict=True) if slippery])
        walls = _tuple([name for name, kind in zip(self.names, program.kinds, strict=True) if kind[0] == WALL])
        one_way = ", ".join(
            f"{name}: {COMPASS_NAMES[way]}"
            for name, kind in zip(self.names, program.kinds, strict=True)
            for way, cls in ONE_WAY.items()
            if kind[0] == cls
        )
        headings = [
            _tuple([COMPASS_NAMES[fit.slip.heading(int(way), b)] for way in fit.headings])
            for b in range(len(fit.slip.turns))
        ]
        others = program.scene.geometry.others
        first = {k: int(np.bincount(program.scene.data.starts[:, k]).argmax()) for k in others}
        goal = self._goal_names()
        pay = next(
            (r.value for k, r in enumerate(program.rules) if r.target == REWARD and self._marks_goal(k)), 1.0
        )  # fmt: skip
        return "\n".join([
            f'"""{self._summary()}"""', "", "from typing import NamedTuple", "", "import numpy as np", "",
            "from inscape import World", "",
            "MAP = (", *(f"    {row!r}," for row in rows), ")", names,
            f"KINDS = {{{table}}}", f"STARTS = {starts!r}  # letters where episodes begin", "",
            "NORTH, NORTH_EAST, EAST, SOUTH_EAST, SOUTH, SOUTH_WEST, WEST, NORTH_WEST, STAY = range(9)",
            "STEPS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (0, 0))",
            f"ACTIONS = {form.actions!r}",
            "# where each action leads: as meant" + (f", and astray, {fit.slip.words}" if fit.slip.shares else ""),
            "HEADINGS = (", *(f"    {line}," for line in headings), ")",
            f"CHANCES = {_tuple(self._chances())}  # of each of them where moves slip",
            f"SLIPPERY, WALLS, ONE_WAY = {slips}, {walls}, {{{one_way}}}", "", "",
            "class State(NamedTuple):", *(f"    {name}: int" for name in fields), "", "",
            "class Params(NamedTuple):",
            "    kinds: np.ndarray  # [cells]",
            "    after: np.ndarray  # [9, cells] the cell that each direction leads to",
            "    headings: np.ndarray  # [branches, actions]",
            "    chances: np.ndarray  # [2, branches] firm, slippery",
            "    slippery: np.ndarray  # [cells] 0 or 1", "    starts: np.ndarray  # [n] cells",
            "    width: int", "", "",
            "class Purpose(NamedTuple):", "    goal: int = -1  # a cell; -1: every goal of the map",
            f"    goal_reward: float = {pay!r}", f"    step_reward: float = {program.base!r}", "", "",
            "class Recovered(World):",
            '    """The rules above, as a world. `map`: rows of letters with / between them."""', "",
            "    State, Params, Purpose = State, Params, Purpose",
            f"    actions, max_branches = ACTIONS, {len(headings)}",
            f"    POSITION = {program.scene.geometry.position!r}  # which fields say where one stands",
            f"    max_episode_steps, gamma = {form.horizon!r}, {form.gamma!r}", "",
            '    def setup(self, map: str = "/".join(MAP)):',
            '        rows = map.strip().replace("\\n", "/").split("/")', "        return dynamics(rows), Purpose()", "",
            "    @staticmethod", "    def initial_branches(params):", "        return len(params.starts)", "",
            "    @staticmethod", "    def branches(params):", "        return len(params.headings)", "",
            "    @staticmethod", "    def initial(params, branch):", "        cell = params.starts[branch]",
            f"        return 1.0 / len(params.starts), State({self._state({k: str(v) for k, v in first.items()})})", "",
            *self._transition(), "", *self._reward(goal), "", *self._terminal(goal), "", *self._readers(goal), "", "",
            *self._dynamics(), "",
        ])  # fmt: skip

    def _summary(self) -> str:
        program = self.program
        data = program.scene.data
        fit = program.fit
        moves = "Moves go as meant."
        if fit.slip.shares:
            where = "Everywhere" if fit.everywhere else "Where it is slippery"
            moves = f"{where} a move goes astray with probability {self._chance_text()}, {fit.slip.words}."
        return (
            f"Rules recovered from {data.total} transitions: {program.program_bits:.0f} bits of rules, "
            f"{program.layout_bits:.0f} of map, {program.data_bits:.0f} of data.\n\n{moves}\n"
        )

    def _chance_text(self) -> str:
        chance = self.program.fit.chance
        return str(chance.fraction) if chance.fraction is not None else f"{chance.value:.4f} ± {chance.error:.4f}"

    def _chances(self) -> list[str]:
        fit = self.program.fit
        if not fit.slip.shares:
            return ["1.0"]
        if fit.chance.fraction is None:
            p = fit.chance.value
            return [repr(1 - p), *(f"{p!r} * {share}" for share in fit.slip.shares)]
        astray = fit.chance.fraction
        return [str(1 - astray), *(str(astray * share) for share in fit.slip.shares)]

    def _marks_goal(self, rule: int) -> bool:
        """Returns whether a rule is about goals, all of them, and nothing else."""
        about = {name for name, kind in zip(self.names, self.program.kinds, strict=True) if rule in kind[2]}
        return bool(about) and about == {"GOAL"}

    def _goal_names(self) -> list[str]:
        return [name for name in self.names if name == "GOAL"]

    def _state(self, values: dict[int, str]) -> str:
        """Returns the arguments of State for the variable `cell` and the other fields."""
        position = self.program.scene.geometry.position
        place = {position[0]: "cell"} if len(position) == 1 else {
            position[0]: "cell // params.width", position[1]: "cell % params.width"
        }  # fmt: skip
        given = place | values
        return ", ".join(given.get(k, f"state.{name}") for k, name in enumerate(self.fields))

    def _here(self, state: str = "state") -> str:
        position = self.program.scene.geometry.position
        if len(position) == 1:
            return f"{state}.{self.fields[position[0]]}"
        row, column = (self.fields[k] for k in position)
        return f"{state}.{row} * params.width + {state}.{column}"

    def _transition(self) -> list[str]:
        lines = [
            "    @staticmethod", "    def transition(params, state, action, branch):",
            f"        here = {self._here()}",
            "        cell = params.after[params.headings[branch, action], here]",
        ]  # fmt: skip
        literals = self.program.scene.literals
        for name, kind in zip(self.names, self.program.kinds, strict=True):
            if kind[0] >= FIRST_DOOR:
                field, value = literals[kind[0] - FIRST_DOOR]
                lines += [
                    f"        if params.kinds[cell] == {name} and state.{self.fields[field]} != {value}:",
                    "            cell = here",
                ]
        targets = {k: f"new_{self.fields[k]}" for k in self.program.scene.geometry.others}
        changed = {k: name for k, name in targets.items() if self.program.rules_of(k)}
        if changed:
            lines.append("        kind = params.kinds[cell]")
        for target, name in changed.items():
            lines.append(f"        {name} = state.{self.fields[target]}")
            for number, rule in enumerate(self.program.rules_of(target)):
                test = self._test(rule, "state", "kind")
                becomes = f"state.{self.fields[target]} + {int(rule.value)}" if rule.add else str(int(rule.value))
                lines += [f"        {'el' if number else ''}if {test}:", f"            {name} = {becomes}"]
        lines.append(
            f"        return params.chances[params.slippery[here], branch], State({self._state(changed)})"
        )  # fmt: skip
        return lines

    def _test(self, rule: Rule, state: str, kind: str) -> str:
        """Returns the condition of a rule as an expression."""
        index = self.program.rules.index(rule)
        parts = []
        if rule.groups is not None:
            about = [name for name, each in zip(self.names, self.program.kinds, strict=True) if index in each[2]]
            parts.append(" or ".join(f"{kind} == {name}" for name in about))
            if len(about) > 1:
                parts[-1] = f"({parts[-1]})"
        if rule.action is not None:
            parts.append(f"action == {rule.action}")
        if rule.condition is not None:
            parts.append(f"{state}.{self.fields[rule.condition[0]]} == {rule.condition[1]}")
        return " and ".join(parts) or "True"

    def _reward(self, goal: list[str]) -> list[str]:
        lines = ["    @staticmethod", "    def reward(params, purpose, state, action, next_state):"]
        rules = self.program.rules_of(REWARD)
        if rules:
            lines.append(f"        kind = kind_for(params, purpose, {self._here('next_state')})" if goal else
                         f"        kind = params.kinds[{self._here('next_state')}]")  # fmt: skip
        for rule in rules:
            about_goal = self._marks_goal(self.program.rules.index(rule))
            paid = "purpose.goal_reward" if about_goal else repr(rule.value)
            lines += [f"        if {self._test(rule, 'state', 'kind')}:", f"            return {paid}"]
        return [*lines, "        return purpose.step_reward"]

    def _terminal(self, goal: list[str]) -> list[str]:
        lines = ["    @staticmethod", "    def terminal(params, purpose, state):"]
        rules = self.program.rules_of(END)
        if rules:
            lines.append(f"        kind = kind_for(params, purpose, {self._here()})" if goal else
                         f"        kind = params.kinds[{self._here()}]")  # fmt: skip
        tests = [f"({self._test(rule, 'state', 'kind')})" for rule in rules]
        return [*lines, f"        return bool({' or '.join(tests) or 'False'})"]

    def _readers(self, goal: list[str]) -> list[str]:
        position, form = self.program.scene.geometry.position, self.form
        lines: list[str] = []
        if form.discrete:
            lines += ["    @staticmethod", "    def observations(params):", "        return len(params.kinds)", ""]
        elif form.sizes:
            sizes = [str(size) for size in form.sizes]
            if len(position) == 1:
                sizes[position[0]] = "len(params.kinds)"
            else:
                sizes[position[0]], sizes[position[1]] = "len(params.kinds) // params.width", "params.width"
            body = f"        return {_tuple(sizes)}"
            lines += ["    @staticmethod", "    def observations(params):", body, ""]
        values = [
            tuple(
                sorted({*self.program.scene.data.before[:, k].tolist(), *self.program.scene.data.after[:, k].tolist()})
            )
            for k in self.program.scene.geometry.others
        ]
        combined = ", ".join(f"{name}={name}" for name in (self.fields[k] for k in self.program.scene.geometry.others))
        loops = "".join(
            f" for {self.fields[k]} in {seen!r}"
            for k, seen in zip(self.program.scene.geometry.others, values, strict=True)
        )
        place = f"{self.cell}=cell" if self.cell else ", ".join(
            f"{self.fields[k]}=cell {sign} params.width" for k, sign in zip(position, ("//", "%"), strict=True)
        )  # fmt: skip
        lines += [
            "    @staticmethod", "    def roots(params):",
            "        cells = [cell for cell, kind in enumerate(params.kinds.tolist()) if kind not in WALLS]",
            f"        return [State({place}{', ' + combined if combined else ''}) for cell in cells{loops}]", "",
        ]  # fmt: skip
        if goal:
            lines += [
                "    @staticmethod", "    def purposes(params, purpose):",
                "        goals = np.flatnonzero(params.kinds == GOAL)",
                '        return {f"goal {k}": purpose._replace(goal=int(cell)) for k, cell in enumerate(goals)}', "",
            ]  # fmt: skip
        words = ", ".join(
            f"{name} {{state.{name}}}" for k, name in enumerate(self.fields) if k in self.program.scene.geometry.others
        )
        return [
            *lines,
            "    @staticmethod", "    def describe(params, purpose, state):",
            f"        row, column = divmod({self._here()}, params.width)",
            f'        return f"row {{row}} column {{column}}{", " + words if words else ""}"', "",
            "    @staticmethod", "    def place(params, state):",
            f"        row, column = divmod({self._here()}, params.width)",
            "        return column + 0.5, row + 0.5", "",
            "    @staticmethod", "    def draw(params, purpose, state):",
            "        from inscape.world_models.learned.program.picture import draw_grid", "",
            f"        return draw_grid(params.kinds, params.width, LETTERS, {self._here()})",
        ]  # fmt: skip

    def _dynamics(self) -> list[str]:
        fit = self.program.fit
        letters = ", ".join(repr(letter) for letter in self.letters)
        goal = [
            "", "", "def kind_for(params, purpose, cell):",
            '    """The kind of a cell, goals that are not wanted being ground."""',
            "    kind = params.kinds[cell]",
            "    if purpose.goal >= 0 and (kind == GOAL or cell == purpose.goal):",
            f"        return GOAL if cell == purpose.goal else {self.names[0]}", "    return kind",
        ] if self._goal_names() else []  # fmt: skip
        return [
            f"LETTERS = ({letters},)", *goal, "", "",
            "def dynamics(rows):", '    """Reads a map: rows of letters."""',
            "    from inscape.errors import UsageError", "",
            "    width, text = len(rows[0]), \"\".join(rows)",
            "    wrong = sorted({letter for letter in text if letter not in KINDS})",
            "    if wrong or any(len(row) != width for row in rows) or not any(letter in STARTS for letter in text):",
            '        raise UsageError(f"a map of {rows!r}", '
            'expected=f"rows of equal length, letters {\'\'.join(KINDS)}, at least one of {STARTS}")',
            "    kinds = np.array([KINDS[letter] for letter in text])",
            "    after = np.empty((9, len(text)), np.int64)",
            "    for cell in range(len(text)):", "        row, column = divmod(cell, width)",
            "        for way in range(9):",
            f"            after[way, cell] = leads(kinds, width, row, column, way{', True' if fit.corners else ''})",
            "    slippery = np.isin(kinds, SLIPPERY).astype(np.int64)",
            "    headings, chances = np.array(HEADINGS), np.array([[1.0] + [0.0] * (len(CHANCES) - 1), CHANCES])",
            "    starts = np.array([cell for cell, letter in enumerate(text) if letter in STARTS])",
            "    return Params(kinds, after, headings, chances, slippery, starts, width)", "", "",
            "def leads(kinds, width, row, column, way, corners=False):",
            '    """The cell that a step in direction `way` leads to: walls, edges and arrows stop it."""',
            "    here, (down, right) = row * width + column, STEPS[way]",
            "    if not (0 <= row + down < len(kinds) // width and 0 <= column + right < width):",
            "        return here", "    to = (row + down) * width + column + right", "    if kinds[to] in WALLS:",
            "        return here",
            "    if kinds[here] in ONE_WAY and way not in (ONE_WAY[kinds[here]], STAY):", "        return here",
            "    if kinds[to] in ONE_WAY:", "        arrow = STEPS[ONE_WAY[kinds[to]]]",
            "        if arrow[0] * down + arrow[1] * right < 0:", "            return here",
            "    if corners and down and right:  # not around a wall's corner",
            "        if kinds[here + down * width] in WALLS or kinds[here + right] in WALLS:",
            "            return here",
            "    return to",
        ]  # fmt: skip


def _tuple(items: Sequence[str]) -> str:
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
