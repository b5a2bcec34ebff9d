from __future__ import annotations

from pathlib import Path

import pytest

from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.tasks.task import Task

pytest.register_assert_rewrite("tests.agents.exactness", "tests.agents.theirs")

WORLDS = Path(__file__).parent / "worlds.py"


@pytest.fixture(scope="session")
def forever() -> Task:
    """Pays 1 for ever; only the time limit ends an episode."""
    return resolve_task(f"{WORLDS}:Forever")


@pytest.fixture(scope="session")
def corridor() -> Task:
    """Five places, the right end pays 1; going left is illegal in even places."""
    return resolve_task(f"{WORLDS}:Corridor")
