"""The task a line means: made once, unless the line changes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inscape import World, resolve_task
from inscape.experiments.arguments import parsing as args
from inscape.experiments.arguments.train import TrainArguments
from inscape.experiments.cli import main


@pytest.mark.parametrize(
    ("before", "words", "settings"),
    [
        ({}, [], None),
        ({"slip": 0.25}, [], None),
        ({}, ["--world.slip", "0.5"], {"slip": 0.5}),
        ({"slip": 0.25}, ["--world.slip", "0.5"], {"slip": 0.5}),
    ],
)
def test_a_line_means_the_task_its_options_were_read_for_unless_it_changes_it(
    before: dict[str, float], words: list[str], settings: dict[str, float] | None
) -> None:
    task = resolve_task("FrozenLake", before)
    groups = args.settings_groups(TrainArguments, "random", task)
    given = args.parse("train", TrainArguments, ["random", "FrozenLake", *words], groups)
    found = args.task_given(given, task)
    if settings is None:
        assert found is task
    else:
        assert found.settings == settings
        assert found.world is not None
        assert float(np.float64(found.world.settings["slip"])) == settings["slip"]


def test_train_makes_the_world_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    own = World.__init__

    def counted(world: World, **settings: object) -> None:
        made.append(type(world).__name__)
        own(world, **settings)

    monkeypatch.setattr(World, "__init__", counted)
    out = ["--out", str(tmp_path / "run"), "--final-episodes", "0", "--evaluate-every", "0"]
    assert main(["train", "q-learning", "FrozenLake", "--steps", "50", *out]) == 0
    assert len(made) == 1, made
