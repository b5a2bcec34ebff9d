"""Tables of choices: what is read as it is meant, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inscape import make_world
from inscape.errors import UsageError
from inscape.theory_of_mind import PlanningMind, choices_of, read_choices, simulate_choices, write_choices
from tests.theory_of_mind.worlds import Corridor, CorridorState

ROWS = "participant,episode,step,cell,action\nanna,1,0,2,right\nanna,1,1,3,left\nanna,2,0,2,left\nben,1,0,2,1\n"


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "people.csv"
    path.write_bytes(text.encode(encoding))
    return path


def as_rows(choices) -> list[tuple[str, str, list[int], list[int]]]:
    found = []
    for episode in choices.episodes:
        cells = [choices.worlds[0].unpack(choices.worlds[0].dynamics().states, int(s)).cell for s in episode.states]
        found.append((episode.participant, episode.label, cells, episode.actions.tolist()))
    return found


READ = [("anna", "1", [2, 3], [1, 0]), ("anna", "2", [2], [0]), ("ben", "1", [2], [1])]


@pytest.mark.parametrize(
    "text",
    [
        ROWS,
        ROWS.replace(",", ";"),
        ROWS.replace(",", "\t"),
        ROWS.replace(",", "|"),
        ROWS.replace("\n", "\r\n"),
        ROWS.replace("right", '"right"').replace("anna", '" anna "'),
        ROWS.replace("participant", "Subject").replace("episode", "Trial").replace("action", "CHOICE"),
        ROWS.replace("right", "RIGHT").replace("1,0,2,1", "1,0,2,1.0"),
        ROWS.replace("\nben", "\n\n,,,,\nben"),
        "# people of Monday\n" + ROWS,
        "\n".join(line + "," for line in ROWS.splitlines() if line) + "\n",
        "\n".join([ROWS.splitlines()[0], *reversed(ROWS.splitlines()[1:3]), *ROWS.splitlines()[3:]]),  # sorted by step
        ROWS.replace("cell", "state").replace(",0,2,", ",0,CorridorState(cell=2),").replace(",3,", ",(3),"),
    ],
)
def test_tables_as_they_are_met(text: str, tmp_path: Path) -> None:
    assert as_rows(read_choices(written(tmp_path, text), Corridor())) == READ


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marks_of_byte_order(encoding: str, tmp_path: Path) -> None:
    assert as_rows(read_choices(written(tmp_path, ROWS, encoding), Corridor())) == READ


def test_states_by_number_and_other_columns(tmp_path: Path) -> None:
    world = Corridor()
    number = int(world.dynamics().index_of(world.pack([CorridorState(2)]))[0])
    text = f"who;did;where;age\nanna;left;{number};20\n"
    named = {"participant": "who", "action": "did", "state": "where"}
    choices = read_choices(written(tmp_path, text), world, columns=named)
    assert as_rows(choices) == [("anna", "1", [2], [0])]
    assert choices.episodes[0].conditions == {"age": "20"}
    assert len(choices.where(age=20)) == 1
    with pytest.raises(UsageError, match="no choices where"):
        choices.where(age=21)


def test_episodes_begin_where_a_state_cannot_follow(tmp_path: Path) -> None:
    text = "participant,cell,action\nanna,2,right\nanna,3,left\nanna,1,left\nanna,2,left\n"
    assert as_rows(read_choices(written(tmp_path, text), Corridor())) == [
        ("anna", "1", [2, 3], [1, 0]), ("anna", "2", [1], [0]), ("anna", "3", [2], [0]),
    ]  # fmt: skip


def test_states_follow_from_actions_where_nothing_else_can_be(tmp_path: Path) -> None:
    choices = read_choices(written(tmp_path, "subject,trial,action\na,1,left\na,1,left\na,2,right\n"), Corridor())
    assert as_rows(choices) == [("a", "1", [2, 1], [0, 0]), ("a", "2", [2], [1])]


def test_games_of_one_choice(tmp_path: Path) -> None:
    text = "subject,request\n" + "".join(f"s{n},{17 + n % 3}\n" for n in range(6))
    choices = read_choices(written(tmp_path, text), make_world("MoneyRequest"), columns={"action": "request"}, player=0)
    assert [episode.actions.tolist() for episode in choices.episodes] == [[6], [7], [8]] * 2  # 17, 18, 19: by name


def test_gaps_begin_memory_anew(tmp_path: Path) -> None:
    text = "participant,episode,step,cell,action\na,1,0,2,left\na,1,1,1,NA\na,1,2,2,right\na,1,5,1,left\n"
    choices = read_choices(written(tmp_path, text), Corridor())
    assert choices.skipped == 1
    assert choices.episodes[0].begins.tolist() == [True, True, True]


def test_settings_of_the_world_by_row(tmp_path: Path) -> None:
    text = "subject,trial,cell,world.size,action\na,1,0,4,right\na,2,0,8,down\n"
    world = make_world("FrozenLake")
    fields = world.State._fields
    assert fields == ("cell",)
    text = "subject,trial,cell,world.slip,action\na,1,0,0.5,right\na,2,0,0,down\na,3,0,0.5,down\n"
    choices = read_choices(written(tmp_path, text), world)
    assert [w.settings["slip"] for w in choices.worlds] == [0.5, 0]
    assert [episode.world for episode in choices.episodes] == [0, 1, 0]
    with pytest.raises(UsageError, match=r"line 2.*slop"):
        read_choices(written(tmp_path, text.replace("slip", "slop")), world)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ROWS.replace("left\nanna", "leftt\nanna"), r"line 3.*'leftt'(.|\n)*did you mean 'left'"),
        (ROWS.replace("ben,1,0,2,1", "ben,1,0,2,7"), "line 5.*'7'"),
        (ROWS.replace("ben,1,0,2,1", "ben,1,0,9,1"), "line 5.*cannot be reached"),
        (ROWS.replace("ben,1,0,2,1", "ben,1,0,x,1"), "line 5.*cell = 'x'"),
        (ROWS.replace("ben,1,0,2,1", "ben,1,0,2"), "line 5: 4 cells under 5 columns"),
        (ROWS.replace("ben,1,0,2,1", "ben,1,zero,2,1"), "line 5: step 'zero'"),
        (ROWS.replace("anna,1,1,3", "anna,1,1,4"), "line 3.*cannot lead to"),
        (ROWS.replace("anna,1,1,3", "anna,1,0,3"), "line 3: step 0 again, after line 2"),
        (ROWS.replace("action", "outcome"), "no column for the action"),
        (ROWS.replace("cell", "place"), r"no state.*\n.*expected: a column for the state"),
        (ROWS.splitlines()[0], "has no rows"),
        ("", "has no rows"),
        ("action\nNA\n", "none with an action"),
        ("a\0b", "no text"),
    ],
)
def test_what_is_refused_names_its_line(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        read_choices(written(tmp_path, text), Corridor(length=5, slip=0.1))


def test_other_refusals(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not UTF-8"):
        read_choices(written(tmp_path, ROWS.replace("anna", "ännä"), "latin-1"), Corridor())
    with pytest.raises(UsageError, match="cannot be read"):
        read_choices(tmp_path / "nobody.csv", Corridor())
    with pytest.raises(UsageError, match="did you mean 'action'"):
        read_choices(written(tmp_path, ROWS), Corridor(), columns={"actoin": "x"})
    with pytest.raises(UsageError, match="did you mean 'action'"):
        read_choices(written(tmp_path, ROWS), Corridor(), columns={"action": "acton"})
    text = ROWS.replace("anna,1,1,3,left\n", "anna,1,1,4,left\n").replace("2,right", "3,right")
    with pytest.raises(UsageError, match="not legal"):
        read_choices(written(tmp_path, text), Corridor(gate=True))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    world = Corridor(slip=0.2)
    choices = simulate_choices(world, [PlanningMind("left end", 2.0, "hard")] * 3, 2, 0)
    write_choices(tmp_path / "made.csv", choices)
    again = read_choices(tmp_path / "made.csv", world)
    for one, other in zip(choices.episodes, again.episodes, strict=True):
        assert (one.participant, one.label) == (other.participant, other.label)
        assert np.array_equal(one.states, other.states)
        assert np.array_equal(one.actions, other.actions)


def test_trajectories_as_choices() -> None:
    from inscape import rollout

    world = make_world("FourGoals")
    played = rollout("random", world, 3, 0)
    choices = choices_of(world, {"machine": played})
    assert len(choices) == sum(map(len, played))
    assert choices.participants == ("machine",)
