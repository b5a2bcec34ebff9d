"""Shared fixtures: worlds every layer is tested on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(autouse=True, scope="session")
def _one_thread_per_process() -> None:
    """Two xdist workers on two cores: torch's own threads would only get in each other's way."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def elevator_file() -> str:
    """The user's world of the examples, as it is named on the command line."""
    return f"{EXAMPLES / 'elevator.py'}:Elevator"
