"""Cassandra's file format: what is read, and what is refused with file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inscape import UsageError, resolve_task, solve
from inscape.envs.worlds.pomdp import file_format
from inscape.envs.worlds.pomdp.decision_file import DecisionFileWorld
from inscape.experiments.cli import main
from inscape.world_models import BeliefProblem, alpha_vectors

TIGER = """# written from Kaelbling, Littman & Cassandra (1998), section 5.1
discount: 0.95
values: reward
states: tiger-left tiger-right
actions: listen open-left open-right
observations: tiger-left tiger-right

T: listen
identity
T: open-left
uniform
T:open-right
uniform
O : listen
0.85 0.15
0.15 0.85
O: open-left
uniform
O: open-right
uniform
R:listen : * : * : * -1
R:open-left : tiger-left : * : * -100
R:open-left : tiger-right : * : * 10
R:open-right : tiger-left : * : * 10
R: open-right : tiger-right : * : *
-100
"""
WALK = """discount: 0.9
values: cost
states: 3
actions: go stay
T: go : 0 : 1 1.0
T: go : 1 : 2 0.5
T: go : 1 : 1 0.5
T: go : 2 : 2 1
T: stay identity
R: * : 0 : * 1
R: * : 1 : * 2
start: 0
"""


def written(tmp_path, text, name="it.pomdp"):
    file = tmp_path / name
    file.write_text(text)
    return str(file)


def test_the_tiger_file_is_the_built_in_world(tmp_path):
    file = written(tmp_path, TIGER)
    task = resolve_task(file)
    assert task.action_names == ("listen", "open-left", "open-right")
    assert task.world.gamma == 0.95
    ours, theirs = alpha_vectors("Tiger", 4), alpha_vectors(file, 4)
    for one, other in zip(ours, theirs, strict=True):
        assert np.allclose(np.sort(one.vectors, axis=0), np.sort(other.vectors, axis=0))
    assert BeliefProblem.of(file).num_classes == 2


def test_an_mdp_file(tmp_path):
    file = written(tmp_path, WALK, "walk.mdp")
    content = file_format.read(file)
    assert content.transition[0].tolist() == [[0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]
    assert content.reward[0, :2, 0].tolist() == [-1, -2]  # costs
    found = solve(file)
    # −1 now, then −2 for as long as it stays: 2 Σ (0.9 · 0.5)ᵗ
    assert found.values[resolve_task(file).world.dynamics().initial > 0] == pytest.approx([-1 - 0.9 * 2 / 0.55])
    assert solve(resolve_task(file).world).policy[0] == 0


def test_every_way_to_say_where_it_starts(tmp_path):
    def start(line):
        return file_format.read(written(tmp_path, WALK.replace("start: 0", line), "walk.mdp")).start.tolist()

    assert start("start: 0.2 0.3 0.5") == pytest.approx([0.2, 0.3, 0.5])
    assert start("start: uniform") == pytest.approx([1 / 3] * 3)
    assert start("") == pytest.approx([1 / 3] * 3)
    assert start("start: 2") == [0, 0, 1]
    assert start("start include: 0 1") == [0.5, 0.5, 0]
    assert start("start exclude: 0") == [0, 0.5, 0.5]


def test_rewards_of_observations(tmp_path):
    lines = "R:listen : * : * : tiger-left -1\nR:listen : * : * : tiger-right 3"
    text = TIGER.replace("R:listen : * : * : * -1", lines)
    content = file_format.read(written(tmp_path, text))
    assert content.reward.shape == (3, 2, 2, 2)
    assert content.reward[0, 0, 0].tolist() == [-1, 3]
    world = resolve_task(written(tmp_path, text)).world
    assert BeliefProblem.of(world).reward[:, 0].tolist() == pytest.approx([-0.85 + 0.45, -0.15 + 2.55])


def test_matrices_rows_and_entries_are_the_same(tmp_path):
    rows = TIGER.replace("T: listen\nidentity", "T: listen : tiger-left\n1 0\nT: listen : 1\n0 1")
    entries = TIGER.replace("T: listen\nidentity", "T: listen : 0 : 0 1.0 T: listen : tiger-right : 1 1.0")
    expected = file_format.read(written(tmp_path, TIGER))
    for text in (rows, entries):
        found = file_format.read(written(tmp_path, text))
        assert np.array_equal(found.transition, expected.transition)
        assert np.array_equal(found.reward, expected.reward)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("discount: 0.95", "discount: 1.95", "line 2: discount 1.95"),
        ("discount: 0.95", "", "has no discount"),
        ("values: reward", "values: gain", "line 3: 'gain'"),
        ("states: tiger-left tiger-right", "states: tiger-left tiger-left", "line 4: states 'tiger-left' twice"),
        ("discount: 0.95", "discount: 0.95 discount: 0.9", "line 2: discount given twice"),
        ("values: reward", "values: cost values: reward", "line 3: values given twice"),
        ("T: listen", "start: uniform start: 0\nT: listen", "line 8: start given twice"),
        ("T: listen", "start: 1_0 0\nT: listen", "line 8: start '1_0 0'"),
        ("T:open-right", "T: ²", "line 12: '²' is not one of the actions"),
        ("0.85 0.15", "０.85 0.15", "line 15: '０.85'"),
        ("-100\n", "1_0\n", "'1_0'"),
        ("R:open-left : tiger-left", "R:open-left : tiger-left : * : * : 3", "line 22: "),
        ("identity", "1 0 0.5 0.6", "line 8: T of action 'listen', state 'tiger-right' sums to 1.1"),
        ("identity", "1 0 0", "line 10: 'T'"),
        ("identity", "1 0 zero 1", "line 9: 'zero'"),
        ("identity", "1 0 -1 2", "line 9: probability -1"),
        ("identity", "1 0 nan 2", "line 9: 'nan'"),
        ("0.85 0.15", "0.85 0.25", "line 14: O of action 'listen', state 'tiger-left' sums to 1.1"),
        ("R:listen :", "R:shout :", "line 21: 'shout' is not one of the actions"),
        ("R:open-left : tiger-left", "R:open-left : 7", "line 22: '7' is not one of the states"),
        ("T:open-right", "T open-right", "line 12: 'open-right'"),
        ("observations: tiger-left tiger-right", "", "O before observations"),
        ("# written", "frogs: 3\n# written", "line 1: 'frogs'"),
        ("-100\n", "", "ends, line 25"),
        ("states: tiger-left tiger-right", "states: 100000000", "line 4: 100000000 states"),
        ("states: tiger-left tiger-right", "states: 900000", "tables of at most"),
    ],
)
def test_what_is_malformed_is_named_with_its_line(tmp_path, capsys, old, new, message):
    text = TIGER.replace(old, new) if old != "-100\n" else TIGER.removesuffix("-100\n") + new
    file = written(tmp_path, text)
    with pytest.raises(UsageError, match="it.pomdp") as refused:
        file_format.read(file)
    assert message in str(refused.value)
    assert main(["solve", file]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_files_that_are_none(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        file_format.read(tmp_path / "none.pomdp")
    with pytest.raises(UsageError, match="is empty"):
        file_format.read(written(tmp_path, "# nothing\n"))
    (tmp_path / "binary.pomdp").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UsageError, match="is not text"):
        file_format.read(tmp_path / "binary.pomdp")
    with pytest.raises(UsageError, match="no file"):
        DecisionFileWorld()


def test_comments_in_latin_1_are_read(tmp_path):
    """Files of the 1990s have them: accents that are no UTF-8."""
    text = (Path(__file__).parents[4] / "examples" / "tiger.pomdp").read_text()
    (tmp_path / "old.pomdp").write_bytes(b"# d'apr\xe8s Kaelbling, \xa9 1998\n" + text.encode())
    (tmp_path / "new.pomdp").write_text(text)
    old, new = (file_format.read(tmp_path / name) for name in ("old.pomdp", "new.pomdp"))
    assert old.states == new.states
    np.testing.assert_array_equal(old.transition, new.transition)


def test_a_file_from_another_folder(tmp_path, monkeypatch):
    written(tmp_path, TIGER)
    monkeypatch.chdir(tmp_path)
    task = resolve_task("it.pomdp")
    monkeypatch.chdir("/")
    assert task.name == str(tmp_path / "it.pomdp")
    assert resolve_task(task.name).world.gamma == 0.95


def test_reset_goes_where_episodes_start(tmp_path):
    text = (
        "discount: 0.9\nvalues: reward\nstates: a b\nactions: x y\nobservations: 2\nstart: 0.25 0.75\n"
        "T: x : a : b 1\nT: x : b reset\nT: y reset\nO: * identity\nR: x : a : * : * 1\n"
    )
    content = file_format.read(written(tmp_path, text))
    assert content.transition.tolist() == [[[0, 1], [0.25, 0.75]], [[0.25, 0.75]] * 2]
    assert content.observation.tolist() == [[[1, 0], [0, 1]]] * 2
    uniform = file_format.read(written(tmp_path, text.replace("start: 0.25 0.75\n", "")))
    assert uniform.transition[0, 1].tolist() == [0.5, 0.5]
    with pytest.raises(UsageError, match="start after a reset"):
        file_format.read(written(tmp_path, text.replace("start: 0.25 0.75\n", "") + "start: a\n"))


def test_a_path_is_a_name(tmp_path):
    file = written(tmp_path, TIGER)
    assert resolve_task(Path(file)).name == resolve_task(file).name
