"""What an observer believes along episodes, as a page: the player with bars, evidence by step, what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inscape.experiments.report.episodes import player_episode, posterior_overlays, returns_text
from inscape.experiments.report.file import ReportFile
from inscape.experiments.report.sections import PlayerEpisode, PlayerSection, Section, TableSection, TextSection
from inscape.theory_of_mind.explaining import weight_of_evidence

if TYPE_CHECKING:
    from inscape.experiments.verbs.observe import Posterior
    from inscape.theory_of_mind.observers.exact import ExactObserver

HORIZON = 8
"""Steps ahead that the expected way shows."""

MOST_STEPS = 40
"""Rows of a table of evidence; of longer episodes those that told most."""

EPISODE_STATES = 400
"""States an episode shows at most."""


def observed_sections(observer: ExactObserver, posteriors: Sequence[Posterior]) -> list[Section]:
    """Returns the sections of a page about observed episodes.

    Args:
        observer: what observed them, its evidence that of the prior.
        posteriors: one for each episode, as `inscape.observe` returns them.
    """
    sections: list[Section] = [TextSection("In short", "\n\n".join(_in_short(p, k) for k, p in enumerate(posteriors)))]
    episodes = [episode for p in posteriors if (episode := _episode(observer, p)) is not None]
    if episodes:
        note = (
            "Rings: how probable it is that this place is wanted. Shaded: where the agent is expected in the next "
            f"{HORIZON} steps, by what was believed then."
        )
        sections.append(PlayerSection("Episodes", tuple(episodes), note, overlays=("posterior",)))
    sections += [_evidence(p, k, len(posteriors)) for k, p in enumerate(posteriors) if len(p)]
    if ahead := _foresight(observer, posteriors):
        sections.append(ahead)
    return sections


def _in_short(posterior: Posterior, number: int) -> str:
    return f"Episode {number + 1}. {posterior.explain()}"


def _episode(observer: ExactObserver, posterior: Posterior) -> PlayerEpisode | None:
    trajectory = posterior.trajectory
    if trajectory.states is None:
        return None
    horizon = HORIZON if len(trajectory) <= EPISODE_STATES else 0
    overlays = posterior_overlays(observer, trajectory, horizon)
    world = getattr(observer.world, "world", observer.world)
    return player_episode(world, trajectory, posteriors=overlays, max_frames=EPISODE_STATES)


def _evidence(posterior: Posterior, number: int, count: int) -> TableSection:
    """Returns what each step told about the hypothesis that is most probable in the end."""
    believed = posterior.goal
    path = np.asarray(posterior.goals[believed])
    rest = np.sum([held for name, held in posterior.goals.items() if name != believed], axis=0)
    told = weight_of_evidence(path, rest if len(posterior.goals) > 1 else None)
    order = sorted(np.argsort(-np.abs(told), kind="stable")[:MOST_STEPS].tolist())
    rows = tuple(
        (
            int(t) + 1,
            posterior.actions[t],
            _evidence_text(float(told[t])),
            float(path[t + 1]),
            float(posterior.bits[t]),
        )
        for t in order
    )
    note = f"Evidence: how far a step moved the log₂ odds of {believed}. Surprise: −log₂ of the action's probability."
    if len(rows) < len(posterior):
        note += f" The {len(rows)} of {len(posterior)} steps that told most."
    of = f", episode {number + 1} (return {returns_text(posterior.trajectory)})" if count > 1 else ""
    columns = ("step", "action", "evidence, bits", f"P({believed})", "surprise, bits")
    return TableSection(f"What each step told about {believed}{of}", columns, rows, note)


def _evidence_text(bits: float) -> str:
    if np.isinf(bits):
        return "proves it" if bits > 0 else "rules it out"
    return f"{bits:+.2f}".replace("-", "−")


def _foresight(observer: ExactObserver, posteriors: Sequence[Posterior]) -> TableSection | None:
    """Returns how well the observer foresaw where the agent would be, 1 … HORIZON steps ahead."""
    given: dict[int, list[float]] = {h: [] for h in range(1, HORIZON + 1)}
    best: dict[int, list[float]] = {h: [] for h in range(1, HORIZON + 1)}
    for posterior in posteriors:
        if len(posterior) > EPISODE_STATES:
            continue
        states = observer.state_indices(posterior.trajectory).states
        predictions = observer.predictions_over(posterior.trajectory, HORIZON)
        for t, prediction in enumerate(predictions):
            for h in range(1, min(HORIZON, len(states) - 1 - t) + 1):
                expected = prediction.state_probs[h]
                given[h].append(float(expected[states[t + h]]))
                likeliest = expected >= expected.max() - 1e-12
                best[h].append(float(likeliest[states[t + h]]) / likeliest.sum())
    rows = tuple((h, len(given[h]), float(np.mean(given[h])), float(np.mean(best[h]))) for h in given if given[h])
    if not rows:
        return None
    columns = (
        "steps ahead",
        "times",
        "probability given to where it was",
        "likeliest place was right",
    )
    note = "Each prediction knows only what was seen before it; of places equally likely one is guessed."
    return TableSection("Expected and actual", columns, rows, note)


def save_observed(
    path: Path, observer: ExactObserver, posteriors: Sequence[Posterior], commands: Sequence[str] = ()
) -> ReportFile:
    """Writes the page about observed episodes and returns its path.

    Raises:
        UsageError: the file cannot be written.
    """
    from inscape.experiments.report.page import write_report

    first = posteriors[0]
    title = f"What {first.trajectory.agent} wants in {first.world}"
    return write_report(observed_sections(observer, posteriors), path, title=title, commands=tuple(commands))
