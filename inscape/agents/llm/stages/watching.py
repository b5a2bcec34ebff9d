"""Reinforcement under alarms: reported, stopped, or rolled back to the weights before anything was wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

from inscape.agents.interface import Metrics
from inscape.agents.learning.alarms import Alarm, Alarms
from inscape.agents.llm.trainer import LanguageLearner, NotFiniteLossError
from inscape.errors import UsageError
from inscape.world_models.networks.types import State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

MOST_ROLL_BACKS = 5
"""Roll-backs after which training stops."""


class Watch:
    """Watches a stage of training and acts as `on_alarm` says.

    `roll-back` returns to the weights and the optimiser of the last update without an alarm and halves the step size,
    at most five times; environment steps that were taken stay counted.
    """

    def __init__(self, learner: LanguageLearner) -> None:
        self.learner = learner
        self.alarms = Alarms()
        self.seen: list[Alarm] = []
        self._good: State | None = None
        self._roll_backs = 0

    def watched(self, train: Callable[[Task, int], Iterator[Metrics]], task: Task, steps: int) -> Iterator[Metrics]:
        """Yields what a stage yields; after a roll-back from a loss that is not finite the stage begins again.

        Raises:
            UsageError: an alarm, where the setting is `stop`; or one roll-back too many.
        """
        if self.learner.settings.on_alarm == "roll-back" and self._good is None:
            self._good = self._weights()
        while True:
            try:
                yield from self._until_broken(train(task, steps))
                return
            except NotFiniteLossError as error:
                if self.learner.settings.on_alarm != "roll-back":
                    raise
                self._roll_back(Alarm("not finite", self.learner.steps, error.found))

    def _until_broken(self, stage: Iterator[Metrics]) -> Iterator[Metrics]:
        try:
            for metrics in stage:
                if found := self.alarms.see(metrics):
                    self._heed(found)
                elif self.learner.settings.on_alarm == "roll-back":
                    self._good = self._weights()
                yield metrics
        finally:
            if isinstance(stage, Generator):
                stage.close()  # stores where its environments stand

    def _heed(self, found: list[Alarm]) -> None:
        mode = self.learner.settings.on_alarm
        new = [alarm for alarm in found if alarm.kind not in {old.kind for old in self.seen}]
        self.seen += found
        if mode == "stop":
            raise UsageError(
                f"alarm: {'; '.join(map(str, found))}",
                expected="training that goes well",
                hint="a smaller --learning-rate, or --on-alarm roll-back; the last checkpoint holds",
            )
        if mode == "roll-back":
            self._roll_back(found[0])
        elif new:
            warnings.warn(f"alarm: {'; '.join(map(str, new))}", stacklevel=3)

    def _roll_back(self, alarm: Alarm) -> None:
        self._roll_backs += 1
        if self._roll_backs > MOST_ROLL_BACKS:
            raise UsageError(
                f"alarm after {MOST_ROLL_BACKS} roll-backs: {alarm}", expected="training that goes well",
                hint="a smaller --learning-rate",
            )  # fmt: skip
        assert self._good is not None
        taken, rng, caution = self.learner.steps, self.learner.rng.bit_generator.state, self.learner.caution
        self.learner.load_state_dict(self._good)
        self.learner.steps, self.learner.caution = taken, caution / 2
        self.learner.rng.bit_generator.state = rng
        self.alarms.forget()
        warnings.warn(f"alarm: {alarm}; rolled back, step size × {self.learner.caution:g}", stacklevel=4)

    def _weights(self) -> State:
        return self.learner.state_dict()

    def state_dict(self) -> State:
        kinds = [(alarm.kind, alarm.step, alarm.seen) for alarm in self.seen]
        return {
            "alarms": {**self.alarms.state_dict(), "seen": kinds, "good": self._good, "roll_backs": self._roll_backs}
        }

    def load_state_dict(self, state: State) -> None:
        if (own := state.get("alarms")) is None:
            return
        self.alarms.load_state_dict(own)
        self.seen = [Alarm(*parts) for parts in own["seen"]]
        self._good, self._roll_backs = own["good"], int(own["roll_backs"])
