"""A mind that answers when it is asked what it wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Controller
from inscape.theory_of_mind.minds import Mind, name_of
from inscape.theory_of_mind.parts.numbers import probability
from inscape.theory_of_mind.player_view import view_of

if TYPE_CHECKING:
    from inscape.envs.world import World


@dataclass(frozen=True)
class Answering:
    """A mind that, where it can name what it wants, does so with probability `accuracy`.

    Otherwise it names another of its answers, each alike; elsewhere it acts as the mind it is made of.
    """

    mind: Mind
    """How it acts; its `wants` is a name."""
    accuracy: float = 1.0
    """Probability of the true answer."""
    says: str = "say {}"
    """The action that is an answer, with the name of what is wanted in place of `{}`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "accuracy", probability("accuracy", self.accuracy))

    @property
    def wants(self) -> Any:
        """What it wants."""
        return getattr(self.mind, "wants", None)

    @property
    def sees(self) -> bool:
        """Whether it knows the whole state even where the world hides it."""
        return bool(getattr(self.mind, "sees", False))

    @property
    def name(self) -> str:
        """The mind in a few words."""
        return f"{name_of(self.mind)}, answering ({self.accuracy:g})"

    def controller(self, world: World, player: int = 0) -> Controller:
        """Returns what the mind does in each state.

        Raises:
            UsageError: the world has no such answer.
        """
        found = self.mind.controller(world, player)
        names = [str(name) for name in world.action_names]
        before, _, after = self.says.partition("{}")
        answers = np.array([name.startswith(before) and name.endswith(after) for name in names])
        answer = self.says.format(self.wants)
        if answer not in names:
            raise UsageError(
                f"no action {answer!r} in {world.name}",
                expected=", ".join(name for name, is_answer in zip(names, answers) if is_answer) or "actions that say",
            )
        true = names.index(answer)
        legal = view_of(world, player).dynamics().legal
        asked = legal[:, true]
        others = legal & answers & (np.arange(len(names)) != true)
        count = others.sum(axis=1, keepdims=True)
        probs = np.where(others, (1.0 - self.accuracy) / np.maximum(count, 1), 0.0)
        probs[:, true] = np.where(count[:, 0] > 0, self.accuracy, 1.0)
        with np.errstate(divide="ignore"):
            said = np.log(probs)[:, None]
        return found._replace(log_probs=np.where(asked[:, None, None], said, found.log_probs))
