"""Episodes of texts: watched as transcripts, live, recorded and saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inscape import rollout
from inscape.envs import Trajectory
from inscape.experiments.cli import main
from inscape.experiments.viewing.transcript import transcript


def test_an_episode_reads_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (episode,) = rollout("random", "Arithmetic", 1, 3)
    text = transcript(episode)
    assert text.startswith(f"{episode.observations[0]}\n> {episode.actions[0]}\n(+0)\nwrong: ")
    assert text.endswith("[terminated after 1 turns, return 0]")
    assert main(["watch", "random", "Arithmetic", "--seed", "3", "--episodes", "2"]) == 0
    shown = capsys.readouterr().out
    assert text.split("\n")[0] in shown and shown.count("[terminated") == 2
    recorded = tmp_path / "e.npz"
    assert main(["evaluate", "random", "Arithmetic", "--episodes", "2", "--save-episodes", str(recorded)]) == 0
    capsys.readouterr()
    assert main(["watch", str(recorded), "--save", str(tmp_path / "e.txt")]) == 0
    assert (tmp_path / "e.txt").read_text().count("= ?") == 2
    assert main(["watch", str(recorded), "--save", str(tmp_path / "e.gif")]) == 2


def test_what_a_model_wrote_cannot_command_a_terminal() -> None:
    texts = np.array(["a\x1b[2Jb", "end"])
    episode = Trajectory(texts, np.array(["\x1b]0;title\x07"]), np.zeros(1), True, False)
    assert "\x1b" not in transcript(episode) and "\\x1b[2J" in transcript(episode)
