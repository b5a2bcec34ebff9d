"""Choices from a table: one row for each choice."""

from __future__ import annotations

import ast
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError, closest
from inscape.theory_of_mind.controllers import check_world
from inscape.theory_of_mind.fitting.choices import ChoiceEpisode, Choices, EpisodeChecker
from inscape.theory_of_mind.fitting.table import ALIASES, Table, is_missing, known_value, read_table, whole

if TYPE_CHECKING:
    from inscape.envs.world import World

END = -1
SETTING = "world."
"""Begins the names of columns that hold settings of the world."""


def read_choices(
    source: str | Path,
    world: World,
    *,
    columns: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    player: int | None = None,
) -> Choices:
    """Returns the choices in a table of text, one row for each choice.

        participant,episode,step,cell,action          columns of these names are found, and so are
        anna,1,0,12,left                              subject, trial, t, choice, …

    Columns, none but the action being necessary where the rest is clear:

    - participant: who chose; without it, all choices are one participant's.
    - episode: which episode, or trial, of the participant; without it, one begins wherever a state cannot follow the
      one before.
    - step: sorts the rows of an episode; where a number is left out, a choice is missing, and memory begins anew.
      Without it, rows are in order.
    - state: the number of a state in `world.dynamics().states`, or a state as text, as `State(x=1, y=2)` or `1 2`.
      Or a column for each field of the world's `State`, fields of several entries as text. Without any, episodes begin
      at the world's only start, and states follow from the actions.
    - action: its name or number. Rows that hold none (empty, NA) are counted (`Choices.skipped`) and left out.
    - `world.NAME`: a setting of the world, the same throughout an episode.
    - all others are conditions (`ChoiceEpisode.conditions`) where they are the same throughout an episode.

    Args:
        source: the file: UTF-8 or UTF-16, with commas, semicolons, tabs or bars.
        world: what the choices were made in.
        columns: `{"participant": NAME, …}`: names of columns, where they are others.
        delimiter: what stands between cells; None: found in the header.
        player: who is watched, where there are several players.

    Raises:
        UsageError: naming the line: a column, an action or a state that is not there; a row too long or too short; a
            state that cannot follow the one before; an action that is not legal; two rows of one step.
    """
    check_world(world)
    table, named = read_table(source, delimiter), dict(columns or {})
    wrong = next((role for role in named if role not in ALIASES), None)
    if wrong is not None:
        raise UsageError(f"columns[{wrong!r}]", expected=", ".join(ALIASES), hint=closest(wrong, ALIASES))
    return _Reader(table, world, named, player).choices()


def write_choices(path: str | Path, choices: Choices) -> None:
    """Writes choices as a table that `read_choices` reads: participant, episode, step, the fields of the state, action.

    Raises:
        UsageError: the file cannot be written; choices in several worlds.
    """
    if len(choices.worlds) > 1:
        raise UsageError("choices in several worlds", expected="one world", hint="choices.where(…), a table for each")
    world, view = choices.worlds[0], choices.views[0]
    states, names = view.dynamics().states, view.action_names
    fields = list(world.State._fields)  # type: ignore[attr-defined]
    try:
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["participant", "episode", "step", *fields, "action"])
            for episode in choices.episodes:
                steps = np.arange(len(episode)) + np.cumsum(episode.begins) - 1  # gaps stay gaps
                for t, (s, a) in enumerate(zip(episode.states.tolist(), episode.actions.tolist())):
                    state = [_written(value) for value in world.unpack(states, s)]
                    writer.writerow([episode.participant, episode.label, int(steps[t]), *state, names[a]])
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", expected="a file in a folder of yours"
        ) from None


def _written(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


class _Reader:
    """Reads one table."""

    def __init__(self, table: Table, world: World, named: Mapping[str, str], player: int | None) -> None:
        self.table, self.world, self.player = table, world, player
        self.columns = {role: table.column(role, named) for role in ALIASES}
        self.settings = {
            name[len(SETTING) :]: n for n, name in enumerate(table.header) if name.lower().startswith(SETTING)
        }
        self.fields = self._field_columns(named)
        if self.fields and "state" not in named:
            self.columns["state"] = None
        # a field of the state called like an alias (time, t, id) is the field, unless it is asked for by name
        for role, column in self.columns.items():
            if role not in named and column in self.fields.values():
                self.columns[role] = None
        self._require_action()
        self.worlds: dict[tuple[Any, ...], tuple[int, World, EpisodeChecker]] = {}
        self.known: dict[int, dict[tuple[str, ...], int]] = {}  # states by how they are written, in each world
        self.skipped = 0

    def choices(self) -> Choices:
        groups: dict[tuple[str, str], list[int]] = {}
        for row in range(len(self.table.rows)):
            groups.setdefault((self._cell(row, "participant", "all"), self._cell(row, "episode", "")), []).append(row)
        episodes: list[ChoiceEpisode] = []
        for (participant, label), rows in groups.items():
            episodes += self._episodes(participant, label, rows)
        if not episodes:
            raise UsageError(
                f"{self.table.source}: {self.skipped} rows, and none with an action", expected="at least one choice"
            )
        made = tuple(world for _, world, _ in self.worlds.values())
        return Choices(made, tuple(episodes), self.player, self.table.source, self.skipped)

    # ------------------------------------------------------------------------------------------------------ columns

    def _field_columns(self, named: Mapping[str, str]) -> dict[str, int]:
        """Returns the columns of the fields of a state, by field; none where there is a column for the whole state."""
        names = list(self.world.State._fields)  # type: ignore[attr-defined]
        header = self.table.header
        found = {}
        for field in names:
            spelled = [n for n, name in enumerate(header) if name in (field, f"state.{field}")]
            if spelled:
                found[field] = spelled[0]
        if "state" in named or (self.columns["state"] is not None and len(found) < len(names)):
            return {}
        missing = [field for field in names if field not in found]
        if found and missing:
            rest = [name for n, name in enumerate(header) if n not in found.values()]
            raise UsageError(
                f"{self.table.source} has columns for {', '.join(found)} of the state, not for {', '.join(missing)}",
                expected=f"columns {', '.join(names)}, or one called state",
                hint=closest(missing[0], rest),
            )
        return found

    def _require_action(self) -> None:
        if self.columns["action"] is None:
            raise UsageError(
                f"{self.table.source} has no column for the action, among {', '.join(self.table.header)}",
                expected=f"one called {', '.join(ALIASES['action'][:4])}, …",
                hint="columns={'action': NAME}, or --action NAME",
            )

    def _cell(self, row: int, role: str, otherwise: str) -> str:
        column = self.columns[role]
        return otherwise if column is None else self.table.rows[row][column]

    # ------------------------------------------------------------------------------------------------------ episodes

    def _episodes(self, participant: str, label: str, rows: list[int]) -> list[ChoiceEpisode]:
        """Returns the episodes among the rows of one participant and one label."""
        steps = self._steps(rows)
        order = sorted(range(len(rows)), key=lambda n: steps[n])
        rows, steps = [rows[n] for n in order], [steps[n] for n in order]
        number, _, checker = self._world_of(rows)
        states, actions, begins, kept = [], [], [], list[int]()
        following: int | None = None
        for n, row in enumerate(rows):
            text = self._cell(row, "action", "")
            action = self._action(row, text, checker)
            state = self._state(row, checker, following, n == 0)
            if action is None:
                self.skipped += 1
                following = None
                continue
            jumped = self.columns["step"] is not None and bool(kept) and steps[n] - steps[kept[-1]] != 1
            begins.append(not kept or jumped or kept[-1] != n - 1)
            states.append(state)
            actions.append(action)
            kept.append(n)
            following = self._only_outcome(checker, state, action)
        if not kept:
            return []
        lines = np.array([self.table.lines[rows[n]] for n in kept])
        conditions = self._conditions([rows[n] for n in kept])
        whole_episode = ChoiceEpisode(
            participant, label or "1", np.array(states, np.int64), np.array(actions, np.int64), np.array(begins),
            number, conditions, lines,
        )  # fmt: skip
        if self.columns["episode"] is not None:
            return [checker.checked(whole_episode)]
        return _split(checker.checked(whole_episode, may_break=True))

    def _steps(self, rows: list[int]) -> list[float]:
        column = self.columns["step"]
        if column is None:
            return list(map(float, range(len(rows))))
        found, seen = [], dict[float, int]()
        for row in rows:
            text = self.table.rows[row][column]
            try:
                step = float(text)
            except ValueError:
                step = float("nan")
            if not np.isfinite(step):
                raise UsageError(f"{self.table.place(row)}: step {text!r}", expected="a number")
            if step in seen:
                raise UsageError(
                    f"{self.table.place(row)}: step {text} again, after line {self.table.lines[seen[step]]}",
                    expected="one row for each step of an episode",
                    hint="a column for the episode (trial) of a row: columns={'episode': NAME}, --episode NAME",
                )
            seen[step] = row
            found.append(step)
        return found

    def _world_of(self, rows: list[int]) -> tuple[int, World, EpisodeChecker]:
        """Returns the world of an episode: number, world, checker."""
        key = tuple(self.table.rows[rows[0]][n] for n in self.settings.values())
        for row in rows:
            other = tuple(self.table.rows[row][n] for n in self.settings.values())
            if other != key:
                raise UsageError(
                    f"{self.table.place(row)}: settings of the world change within an episode",
                    expected=f"{key}, as on line {self.table.lines[rows[0]]}",
                )
        if key not in self.worlds:
            world = self.world
            if self.settings:
                changed = {
                    name: self._setting(name, text, rows[0]) for name, text in zip(self.settings, key) if text != ""
                }
                try:
                    world = type(self.world)(**{**self.world.settings, **changed})
                except UsageError as error:
                    raise UsageError(
                        f"{self.table.place(rows[0])}: {error.found}", expected=error.expected, hint=error.hint
                    ) from error
            self.worlds[key] = (len(self.worlds), world, EpisodeChecker(world, self.player))
        return self.worlds[key]

    def _setting(self, name: str, text: str, row: int) -> Any:
        before = self.world.settings.get(name)
        if isinstance(before, str):
            return text
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            if text.lower() in ("true", "false"):
                return text.lower() == "true"
            if before is None:
                return text
            raise UsageError(
                f"{self.table.place(row)}: {SETTING}{name} = {text!r}", expected=f"a value like {before!r}"
            ) from None

    def _conditions(self, rows: list[int]) -> dict[str, str]:
        used = {*self.columns.values(), *self.fields.values(), *self.settings.values()}
        found = {}
        for n, name in enumerate(self.table.header):
            values = {self.table.rows[row][n] for row in rows}
            if n not in used and len(values) == 1:
                found[name] = values.pop()
        return found

    # --------------------------------------------------------------------------------------- one action, one state

    def _action(self, row: int, text: str, checker: EpisodeChecker) -> int | None:
        names = list(checker.view.action_names)
        found = known_value(text, names)
        if found is not None:
            return found
        if is_missing(text):
            return None
        number = whole(text)
        if number is not None and 0 <= number < len(names):
            return number
        raise UsageError(
            f"{self.table.place(row)}: action {text!r}",
            expected=f"{', '.join(names[:12])}{', …' * (len(names) > 12)}, or a number from 0 to {len(names) - 1}",
            hint=closest(text, names) if number is None else "",
        )

    def _state(self, row: int, checker: EpisodeChecker, following: int | None, first: bool) -> int:
        """Returns the number of the state of a row."""
        column = self.columns["state"]
        cells = self.table.rows[row]
        written = tuple(cells[self.fields[name]] for name in self._names) if self.fields else ()
        written = written or (() if column is None else (cells[column],))
        known = self.known.setdefault(id(checker), {})
        try:
            if written and written not in known:
                known[written] = (
                    self._from_fields(list(written), checker) if self.fields else self._from_text(written[0], checker)
                )
        except UsageError as error:
            raise UsageError(
                f"{self.table.place(row)}: {error.found}", expected=error.expected, hint=error.hint
            ) from error
        if written:
            return known[written]
        if following is not None and following != END and not checker.over[following]:
            return following
        starts = np.flatnonzero(np.asarray(checker.numbering.dynamics.initial) > 0)
        if len(starts) == 1 and (first or (self.columns["episode"] is None and following is not None)):
            return int(starts[0])
        raise UsageError(
            f"{self.table.place(row)}: no state, and it does not follow from the actions",
            expected=f"a column for the state, or one each for {', '.join(self._names)}",
            hint="columns={'state': NAME}, or --state NAME",
        )

    @property
    def _names(self) -> list[str]:
        return list(self.world.State._fields)  # type: ignore[attr-defined]

    def _only_outcome(self, checker: EpisodeChecker, state: int, action: int) -> int | None:
        """Returns where an action leads, if that is certain; `END` if the episode is over wherever that is."""
        dynamics = checker.numbering.dynamics
        if not dynamics.legal[state, action]:
            return None  # refused, with its line, when the episode is checked
        leads = np.unique(dynamics.next_state[state, action][dynamics.probability[state, action] > 0])
        return END if checker.over[leads].all() else int(leads[0]) if len(leads) == 1 else None

    def _from_text(self, text: str, checker: EpisodeChecker) -> int:
        number = whole(text)
        size = len(checker.numbering.dynamics)
        if number is not None:
            return checker.numbering.one_state(number, 0)
        inside = text.strip()
        if inside.endswith(")") and "(" in inside:
            inside = inside[inside.index("(") + 1 : -1]
        try:  # State(x=1, y=2), (1, 2), (1, (0, 0))
            call = ast.parse(f"_({inside})", mode="eval").body
            assert isinstance(call, ast.Call)
            values = [ast.literal_eval(value) for value in call.args]
            given = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
        except (ValueError, SyntaxError, AssertionError, MemoryError, RecursionError):
            values, given = inside.replace(",", " ").split(), {}
        if given and not values and set(given) == set(self._names):
            return self._from_fields([given[name] for name in self._names], checker)
        if given or len(values) != len(self._names):
            raise UsageError(
                f"state {text!r}",
                expected=f"a number from 0 to {size - 1}, or the fields {', '.join(self._names)}, as "
                f"{' '.join(str(v) for v in checker.numbering.unpacked(0))!r}",
            )
        return self._from_fields(values, checker)

    def _from_fields(self, cells: list[Any], checker: EpisodeChecker) -> int:
        layout = self.world.layouts()[0]
        values = [_value_of(cell, field) for cell, field in zip(cells, layout.fields)]
        return checker.numbering.one_state(self.world.State(*values), 0)


def _value_of(cell: Any, field: Any) -> Any:
    """Returns the value of a field of a state."""
    if field.length is not None:
        entries = cell if isinstance(cell, (tuple, list)) else str(cell).strip("()[] ").replace(",", " ").split()
        if len(entries) != field.length:
            raise UsageError(f"{field.name} = {cell!r}", expected=f"{field.length} entries")
        return tuple(_number_of(entry, field) for entry in entries)
    return _number_of(cell, field)


def _number_of(cell: Any, field: Any) -> Any:
    if field.kind == "bool" and str(cell).lower() in ("true", "false"):
        return str(cell).lower() == "true"
    try:
        value = float(cell)
    except (TypeError, ValueError):
        raise UsageError(f"{field.name} = {cell!r}", expected="a number") from None
    if field.kind == "float":
        return value
    if not value.is_integer():
        raise UsageError(f"{field.name} = {cell!r}", expected="a whole number")
    return bool(value) if field.kind == "bool" else int(value)


def _split(episode: ChoiceEpisode) -> list[ChoiceEpisode]:
    """Returns an episode cut where memory begins anew: nothing says which episodes its choices are of."""
    starts = np.flatnonzero(episode.begins)
    ends = np.append(starts[1:], len(episode))
    assert episode.lines is not None
    return [
        ChoiceEpisode(
            episode.participant, str(n + 1), episode.states[a:b], episode.actions[a:b], episode.begins[a:b],
            episode.world, episode.conditions, episode.lines[a:b],
        )
        for n, (a, b) in enumerate(zip(starts, ends))
    ]  # fmt: skip
