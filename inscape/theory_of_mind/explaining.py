"""A posterior in sentences made of its numbers, with the evidence by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array

TOLD = 0.1
"""Bits of evidence below which a step is said to have told nothing."""


def weight_of_evidence(probabilities: ArrayLike, others: ArrayLike | None = None) -> Array:
    """Returns `[T]` how much each step spoke for a hypothesis, in bits: the change of its log₂ odds.

    Infinite where it was ruled out or proven; 0 where that was so before.

    Args:
        probabilities: `[T + 1]` of the hypothesis, before the first step and after each.
        others: `[T + 1]` of all others together; None: the rest to 1, which close to certainty has lost its digits.

    Raises:
        UsageError: these are no probabilities, or not as many.

    Source: Good (1950), "Probability and the Weighing of Evidence", chapter 6.
    """
    held = np.asarray(probabilities, np.float64)
    if held.ndim != 1 or not ((held >= 0) & (held <= 1 + 1e-9)).all():
        raise UsageError(f"probabilities of shape {held.shape}", expected="[T + 1] probabilities of one hypothesis")
    rest = np.maximum(0.0, 1.0 - held) if others is None else np.asarray(others, np.float64)
    if rest.shape != held.shape or not ((rest >= 0) & (rest <= 1 + 1e-9)).all():
        raise UsageError(f"others of shape {rest.shape}", expected=f"[T + 1] = {list(held.shape)} probabilities")
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = np.log2(held) - np.log2(rest)
        change = np.diff(odds)
    return np.where(np.isnan(change), 0.0, change)


def explain(
    hypotheses: Mapping[str, ArrayLike], actions: Sequence[str], bits: ArrayLike, num_actions: int, most: int = 3
) -> str:
    """Returns what an observer came to believe, and which steps told it so, in a few sentences.

    Args:
        hypotheses: by name `[T + 1]` probabilities, before the first action and after each.
        actions: the T actions' names.
        bits: `[T]` −log₂ P(action | all before it).
        num_actions: A, for a uniform guess.
        most: how many steps are named at most.

    Raises:
        UsageError: no hypotheses; lengths disagree.
    """
    held = {name: np.asarray(path, np.float64) for name, path in hypotheses.items()}
    surprise = np.asarray(bits, np.float64)
    if not held or any(len(path) != len(actions) + 1 for path in held.values()) or len(surprise) != len(actions):
        raise UsageError(
            f"{len(held)} hypotheses, {len(actions)} actions, {len(surprise)} bits",
            expected="[T + 1] probabilities of each hypothesis, T actions and T bits",
        )
    order = sorted(held, key=lambda name: -held[name][-1])
    first, path = order[0], held[order[0]]
    if not actions:
        return f"Nothing was seen: {first} has probability {_percent(path[0])}."
    sentences = [
        f"After {len(actions)} {'step' if len(actions) == 1 else 'steps'} {first} has probability "
        f"{_percent(path[-1])}, from {_percent(path[0])} before"
        + (f"; next is {order[1]} with {_percent(held[order[1]][-1])}." if len(order) > 1 else ".")
    ]
    others = np.sum([held[name] for name in order[1:]], axis=0) if len(order) > 1 else 1.0 - path
    whole = bool((np.abs(path + others - 1.0) <= 1e-6).all())  # else there are hypotheses that were not given
    evidence = weight_of_evidence(path, others if whole and len(order) > 1 else None)
    told = [t for t in np.argsort(-np.abs(evidence), kind="stable") if abs(evidence[t]) >= TOLD][:most]
    if told:
        steps = [f"step {t + 1} ({actions[t]}, {_bits(evidence[t])})" for t in sorted(int(t) for t in told)]
        sentences.append(f"What told most about {first}: {', '.join(steps)}.")
    else:
        sentences.append(f"No step told more than {TOLD:g} bits about {first}.")
    worst = int(np.argmax(surprise))
    uniform = np.log2(num_actions)
    sentences.append(
        f"Actions were predicted at {surprise.mean():.2f} bits each (a uniform guess: {uniform:.2f}); the least "
        f"expected was step {worst + 1} ({actions[worst]}, {surprise[worst]:.2f} bits)."
    )
    if surprise.mean() > uniform:
        sentences.append("That is worse than a guess: perhaps none of these hypotheses is true.")
    return " ".join(sentences)


def _percent(probability: float) -> str:
    value = 100 * float(probability)
    if 0 < value < 0.1 or 99.9 < value < 100:
        return "below 0.1 %" if value < 1 else "above 99.9 %"
    return f"{value:.3g} %"


def _bits(evidence: float) -> str:
    if np.isinf(evidence):
        return "which proves it" if evidence > 0 else "which rules it out"
    return f"{evidence:+.2f} bits".replace("-", "−")
