"""Episodes of text environments to read: what was observed, what was answered, what it paid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inscape.errors import UsageError, printable

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory


def is_text(trajectory: Trajectory) -> bool:
    """Returns whether an episode is of texts."""
    return trajectory.actions.dtype.kind == "U"


def transcript(trajectory: Trajectory) -> str:
    """Returns an episode as text: each observation, then the answer after `>`, then the reward.

    What models wrote may hold anything; control characters are written out.
    """
    lines: list[str] = []
    for step in range(len(trajectory)):
        lines.append(_lines(trajectory.observations[step], ""))
        lines.append(_lines(str(trajectory.actions[step]).rstrip("\n"), "> "))
        lines.append(f"({float(trajectory.rewards[step]):+.4g})")
    lines.append(_lines(trajectory.observations[-1], ""))
    ended = "terminated" if trajectory.terminated else "truncated"
    lines.append(f"[{ended} after {len(trajectory)} turns, return {float(trajectory.total_reward):.4g}]")
    return "\n".join(lines)


def _lines(text: object, mark: str) -> str:
    return "\n".join(f"{mark}{printable(line)}" for line in str(text).split("\n")) if str(text) else mark.rstrip()


def show(trajectories: Sequence[Trajectory], save: str | None) -> Path | None:
    """Prints episodes, or writes them to a `.txt` file, whose path is returned.

    Raises:
        UsageError: a file of another kind, or one that cannot be written.
    """
    whole = "\n\n".join(transcript(trajectory) for trajectory in trajectories)
    if save is None:
        print(whole)
        return None
    path = Path(save)
    if path.suffix != ".txt":
        raise UsageError(f"--save {save} for episodes of text", expected="a .txt file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(whole + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}", expected="a place to write to") from error
    return path
