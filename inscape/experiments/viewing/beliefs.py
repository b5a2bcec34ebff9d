"""An observer beside the picture: bars of what is believed about the one who acts, after every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.envs.rendering.window import Line
from inscape.experiments.verbs.hypotheses import hypotheses
from inscape.theory_of_mind.observers.interface import ImpossibleEvidenceError

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.tasks.task import Task
    from inscape.experiments.verbs.observe import Posterior
    from inscape.theory_of_mind.observers.exact import ExactObserver

COLORS = ("blue", "orange", "green", "red", "purple", "teal", "yellow", "wood")
MOST = 8
"""Bars: of more hypotheses the most probable."""


def belief_lines(
    held: Mapping[str, float], expected: Mapping[str, float] | None = None, note: str = ""
) -> tuple[Line, ...]:
    """Returns lines of a panel: a bar for each hypothesis, and for each action that may come next.

    Args:
        held: hypothesis → probability, in the order in which they have their colours.
        expected: action → probability of being next; None at the end.
        note: what else is to be said.
    """
    names = list(held)
    shown = sorted(sorted(names, key=lambda name: -held[name])[:MOST], key=names.index)
    lines = [Line("What does it want?", strong=True)]
    lines += [Line(name, color=COLORS[names.index(name) % len(COLORS)], share=held[name]) for name in shown]
    if len(shown) < len(names):
        lines.append(Line(f"{len(names) - len(shown)} more", dim=True))
    if expected:
        lines += [Line(""), Line("What comes next?", strong=True)]
        likely = sorted(sorted(expected, key=lambda name: -expected[name])[:MOST], key=list(expected).index)
        lines += [Line(name, color="muted", share=expected[name]) for name in likely]
    if note:
        lines += [Line(""), Line(note)]
    return tuple(lines)


class LiveBelief:
    """What an observer believes of one who is acting now, for a panel beside the picture.

    Args:
        observer: begins every episode with what it believes when it is given here.
        player: who is watched.
    """

    def __init__(self, observer: ExactObserver, player: int = 0) -> None:
        self.observer, self.player = observer, player
        self._groups = hypotheses(observer.minds)
        self._surprise: float | None = None
        self._lost = False

    def begin(self) -> None:
        """Begins an episode: what was seen in the one before is forgotten."""
        self.observer.reset()
        self._surprise, self._lost = None, False

    def saw(self, state: Any, action: int, following: Any) -> None:
        """Takes in a step. What no mind explains is said in the panel, and changes nothing that is believed.

        Args:
            state, following: packed states, batches of one.
            action: counted from 0.
        """
        try:
            log_probs = self.observer.action_log_probs(state)
            surprise = -float(np.ravel(log_probs)[action]) / float(np.log(2))
            self.observer.update(state, action, following, fresh=self._lost)
            self._surprise, self._lost = surprise, False
        except ImpossibleEvidenceError:
            self._surprise, self._lost = None, True

    def lines(self, state: Any, ended: bool) -> tuple[Line, ...]:
        """Returns what the panel says with the agent in `state` now."""
        posterior = self.observer.posterior()
        held = {name: float(posterior[members].sum()) for name, members in self._groups.items()}
        expected = None
        if not ended and self.observer.world.num_actions <= MOST:
            probabilities = np.exp(np.ravel(self.observer.action_log_probs(state)))
            expected = dict(zip(self.observer.world.action_names, probabilities.tolist(), strict=True))
        note = "" if self._surprise is None else f"last step: {self._surprise:.2f} bits"
        return belief_lines(held, expected, "none of these would do that" if self._lost else note)


def lines_along(observer: ExactObserver, trajectory: Trajectory, task: Task) -> list[tuple[Line, ...]]:
    """Returns the panel's lines before each of the T actions of an episode and after the last.

    Raises:
        ImpossibleEvidenceError: no mind would have acted like this.
    """
    from inscape.experiments.verbs.observe import posterior_of

    return lines_of(posterior_of(observer, trajectory, task), observer.predicted_over(trajectory), task.action_names)


def lines_of(posterior: Posterior, predicted: np.ndarray, action_names: Sequence[str]) -> list[tuple[Line, ...]]:
    """Returns the panel's lines along an episode: `[T + 1]`.

    Args:
        posterior: of T steps.
        predicted: `[T, A]` what was expected before each action.
        action_names: `[A]`.
    """
    lines: list[tuple[Line, ...]] = []
    every = dict.fromkeys(action_names, 0.0) if len(action_names) <= MOST else None
    rows = len(belief_lines(dict.fromkeys(posterior.goals, 0.0), every, "a note"))  # frames of a film are of one size
    for t in range(len(posterior) + 1):
        held = {name: float(path[t]) for name, path in posterior.goals.items()}
        few = t < len(posterior) and len(action_names) <= MOST
        expected = dict(zip(action_names, predicted[t].tolist(), strict=True)) if few else None
        note = f"last step: {posterior.bits[t - 1]:.2f} bits" if t else ""
        said = belief_lines(held, expected, note)
        lines.append(said + (Line(""),) * (rows - len(said)))
    return lines
