"""Environments that are plain classes with `reset` and `step`, as Gymnasium environments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym


def adopted(made: type[Any]) -> Callable[..., gym.Env[Any, Any]]:
    """Returns a class of Gymnasium environments around instances of a class that is none: of the package gym, say."""

    class Adopted(gym.Env[Any, Any]):
        __doc__ = made.__doc__

        def __init__(self, *args: Any, **settings: Any) -> None:
            self.inside = made(*args, **settings)
            for name in ("reset", "step", "render", "close", "seed"):  # with their own parameters, which are looked at
                if callable(getattr(self.inside, name, None)):
                    setattr(self, name, getattr(self.inside, name))
            for name in ("observation_space", "action_space", "render_mode", "metadata"):
                if hasattr(self.inside, name):
                    setattr(self, name, getattr(self.inside, name))

        def __getattr__(self, name: str) -> Any:
            if name == "inside":
                raise AttributeError(name)
            return getattr(self.inside, name)

    Adopted.__name__ = Adopted.__qualname__ = made.__name__
    Adopted.__init__.__wrapped__ = made.__init__  # type: ignore[attr-defined]  # whose arguments these are
    return Adopted
