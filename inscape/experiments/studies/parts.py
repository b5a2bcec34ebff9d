"""The parts of a study: what each is called, which worlds it suits, what it puts on the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inscape.experiments.report.sections import Section
    from inscape.experiments.studies.context import StudyContext


@dataclass(frozen=True)
class Part:
    """A part of a study.

    Attributes:
        name: what progress calls it.
        path: `module:function`, called with the `StudyContext`; it returns sections of the page, may add to `facts` and
            `notes`, and returns nothing where it does not suit. What it computes follows from the context alone, so
            that a study that was killed comes to the same page.
    """

    name: str
    path: str

    def run(self, context: StudyContext) -> list[Section]:
        """Returns the sections of this part."""
        import importlib

        module, _, name = self.path.partition(":")
        function: Callable[[StudyContext], list[Section]] = getattr(importlib.import_module(module), name)
        return function(context)


PARTS: list[Part] = [
    Part("exact optimum", "inscape.experiments.studies.optimum:optimum"),
    Part("agents", "inscape.experiments.studies.agents:agents"),
    Part("learned model", "inscape.experiments.studies.models:learned_models"),
    Part("observer", "inscape.experiments.studies.observing:observing"),
    Part("where they go wrong", "inscape.experiments.studies.mistakes:mistakes"),
]
"""Parts in the order of the page; a part joins by being put here."""
