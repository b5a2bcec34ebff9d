"""What whole rounds make of the steps that were asked for."""

from __future__ import annotations

import logging
import math

logger = logging.getLogger(__name__)

WORTH_SAYING = 0.1
"""Part of the steps asked for by which whole rounds must exceed them to be announced."""


def say_rounds(name: str, taken: int, steps: int, size: int, options: str) -> None:
    """Logs how many steps an agent will take, where whole rounds of `size` exceed those asked for by a tenth.

    Args:
        name: of the agent.
        taken: steps it has taken already.
        steps: asked for, those included.
        size: steps of a round.
        options: which options decide on the size.
    """
    total = taken + math.ceil(max(0, steps - taken) / size) * size
    if total - steps > WORTH_SAYING * steps:
        logger.warning(
            "%s learns after whole rounds of %s steps: %s steps for the %s asked for (%s make rounds smaller).",
            name, f"{size:,}", f"{total:,}", f"{steps:,}", options,
        )  # fmt: skip
