"""`docs/clients.md` and `docs/environments.md`: made of the rows that are kept, and of the snippets as they are."""

from __future__ import annotations

import os
import re
from pathlib import Path

import gymnasium
import pytest

from benchmarks import clients, environments
from benchmarks.results_file import Notes, load_rows, save_row, table
from inscape import make_world
from tests.conftest import ROOT

TRIED = clients.clients()
HERE = ["gymnasium_wrappers.py", "pettingzoo_tests.py", "torch_dataloader.py", "cleanrl_dqn.py"]
"""Snippets that need nothing beyond what the tests need, and are quick."""


def test_the_page_of_clients_shows_the_snippets_as_they_are():
    assert clients.PAGE.read_text() == clients.page(load_rows(clients.FILE))


def test_the_page_of_environments_is_made_of_its_rows():
    pinned = re.search(r"^gymnasium==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    if pinned is None or gymnasium.__version__ != pinned[1]:
        pytest.skip("another Gymnasium registers other environments")
    assert environments.PAGE.read_text() == environments.page(load_rows(environments.FILE))


@pytest.mark.parametrize("module", [clients, environments])
def test_no_row_holds_a_traceback_or_a_folder_of_a_machine(module):
    text = module.FILE.read_text()
    assert '"fault"' not in text
    assert "site-packages" not in text and str(Path.home()) not in text.replace("~", "")


def test_every_snippet_is_tried_and_every_world_has_a_reason_or_a_case():
    assert {client["file"] for client in TRIED} == {path.name for path in clients.SNIPPETS.glob("*.py")}
    assert len({client["name"] for client in TRIED}) == len(TRIED)
    for client in TRIED:
        worlds, refused = set(client["worlds"]) - {""}, set(client["refused"])
        assert not worlds & refused, client["name"]
        assert refused <= {*clients.COLUMNS, "game"}, client["name"]
        assert all(make_world(world) for world in worlds)
        if worlds:
            assert {*clients.COLUMNS} <= worlds | refused, client["name"]


@pytest.mark.parametrize("client", TRIED, ids=lambda client: client["name"])
def test_versions_are_pinned_and_what_is_lifted_is_a_constraint(client):
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert all(re.fullmatch(r"[\w.\-\[\],]+==[\d.]+", words) for words in client["requires"])
    assert {name.lower() for name in client.get("lifted", ())} <= pinned


@pytest.mark.parametrize("client", TRIED, ids=lambda client: client["name"])
def test_snippets_compile(client):
    compile((clients.SNIPPETS / client["file"]).read_text(), client["file"], "exec")


@pytest.mark.parametrize("name", HERE)
def test_snippets_run(name, tmp_path, forks):
    environment = os.environ | {"INSCAPE_KERNELS": "plain", "SDL_VIDEODRIVER": "dummy"}
    done = forks.program((clients.SNIPPETS / name).read_text(), tmp_path, environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


# --- what they are made with -----------------------------------------------------------------------------------------


def test_rows_are_replaced_one_by_one(tmp_path):
    file = tmp_path / "rows.json"
    assert load_rows(file) == {}
    save_row(file, "b", {"x": 1})
    assert save_row(file, "a", {"x": "é"}) == {"b": {"x": 1}, "a": {"x": "é"}}
    assert load_rows(file) == {"a": {"x": "é"}, "b": {"x": 1}}
    assert [path.name for path in tmp_path.iterdir()] == ["rows.json"]


def test_notes_and_tables():
    notes = Notes()
    assert [notes.mark(reason) for reason in ("no masks", "one player", "no masks")] == ["[1]", "[2]", "[1]"]
    assert notes.lines() == ["1. no masks", "2. one player"]
    assert table(("a", "b"), [["x|y", "1\n2"]]) == ["| a | b |", "|---|---|", "| x\\|y | 1 2 |"]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("random: mean return 21.5, 95 % interval 1 to 2", "21.5"),
        ("ppo: mean return -1.2e-05 (…)", "-1.2e-05"),
        (
            "player    agent  mean return  95 % interval\nplayer_0  ppo  -0.5  -1 to 0\nplayer_1  ppo  0.5  0 to 1",
            "-0.5 0.5",
        ),
        ("nothing", ""),
    ],
)
def test_returns_are_read_from_what_commands_print(said, found):
    assert environments.returns(said) == found


def test_a_refusal_says_what_was_found_and_a_fault_what_was_raised():
    assert (
        environments.reason("inscape: no world 'x'\n  expected: a world at 0x7f00\n")
        == "no world 'x' expected: a world"
    )
    assert environments.reason("Traceback (most recent call last):\n  File\nKeyError: 3\n") == "KeyError: 3"
    assert environments.command("evaluate", "random", "Nowhere-v9")["status"] == "refused"
