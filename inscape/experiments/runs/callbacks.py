"""What a user's own code sees of training, and may do: callbacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.experiments.runs.run import Run

CALLS = ("on_start", "on_step", "on_evaluation", "on_end")


class Training(Protocol):
    """Training while it goes on, as callbacks see it.

    Attributes:
        run: its run: settings, metrics so far, folder if it has one.
        agent: the agent that learns; whole at every call.
        task: the world; it is evaluated there.
        learned_in: what it learns in: `task`, or what is made of it for one of several players or by a curriculum.
        steps: environment steps taken so far.
    """

    run: Run
    agent: Any
    task: Task
    learned_in: Task
    steps: int

    def stop(self, reason: str = "") -> None:
        """Ends training at this point, as if no more steps had been asked for; the run counts as finished."""


class Callback:
    """What may be done while an agent is trained: `train(…, on=[MyCallback()])`. Override what you need.

        class Stop(Callback):
            def on_evaluation(self, training, metrics):
                if metrics["evaluation/return_mean"] >= 195:
                    training.stop("good enough")

    Any object with some of these methods will do. What a method raises ends training and is raised by `train`; what
    was checkpointed is kept. A resumed run calls `on_start` again, and repeats the calls after its last checkpoint.
    """

    def on_start(self, training: Training) -> None:
        """Called before the first step, of a resumed run too."""

    def on_step(self, training: Training, metrics: Mapping[str, float]) -> None:
        """Called whenever `learn` yields, with what it yields: `"steps"`, and what the agent reports."""

    def on_evaluation(self, training: Training, metrics: Mapping[str, float]) -> None:
        """Called after each evaluation: `"steps"`, `"evaluation/return_mean"` and the others of the learning curve."""

    def on_end(self, training: Training) -> None:
        """Called when training came to its end and the last checkpoint is made; not where it was interrupted."""

    def state_dict(self) -> dict[str, Any]:
        """Returns what is stored with each checkpoint of the agent, values as an agent's state may hold them: what a
        resumed run gives to `load_state_dict`, before `on_start`."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state_dict()`."""


def require_callbacks(on: Sequence[Any]) -> tuple[Any, ...]:
    """Returns the callbacks.

    Raises:
        UsageError: no sequence of objects, or one of them has none of the methods of `Callback`.
    """
    if not isinstance(on, (list, tuple)):
        raise UsageError(f"on = {on!r}", expected="a list of callbacks", hint="on=[my_callback]")
    for one in on:
        if isinstance(one, type) or not any(callable(getattr(one, name, None)) for name in CALLS):
            hint = f"on=[{one.__name__}()]" if isinstance(one, type) else "inherit from inscape.experiments.Callback"
            raise UsageError(f"callback {one!r}", expected=f"an object with {', '.join(CALLS)}", hint=hint)
    return tuple(on)


def call(callbacks: Sequence[Any], name: str, *arguments: Any) -> None:
    """Calls a method of every callback that has it."""
    for one in callbacks:
        if (method := getattr(one, name, None)) is not None:
            method(*arguments)


def states_of(callbacks: Sequence[Any]) -> dict[str, Any]:
    """Returns the states of the callbacks that have one, by class; of several of a class in their order.

    Raises:
        UsageError: `state_dict` returned something that is no dictionary.
    """
    found = {}
    for name, one in _named(callbacks):
        state = one.state_dict() if callable(getattr(one, "state_dict", None)) else {}
        if not isinstance(state, Mapping):
            raise UsageError(f"state_dict of callback {name} returned {state!r}", expected="a dictionary")
        if state:
            found[name] = dict(state)
    return found


def restore_states(callbacks: Sequence[Any], states: Any) -> None:
    """Gives callbacks the states that they had, as far as they are stored."""
    for name, one in _named(callbacks):
        if isinstance(states, Mapping) and name in states:
            one.load_state_dict(states[name])


def _named(callbacks: Sequence[Any]) -> list[tuple[str, Any]]:
    names = [type(one).__name__ for one in callbacks]
    return [(f"{name} {names[:k].count(name)}", one) for k, (name, one) in enumerate(zip(names, callbacks))]
