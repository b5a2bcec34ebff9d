"""TRL (https://github.com/huggingface/trl): worlds in `GRPOTrainer`, as environments with tools or as a rollout."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from inscape.envs.text.conventions.foreign import number
from inscape.envs.text.interface import TextEnv
from inscape.envs.text.registry import text_env

ENDED = "The episode has ended."


def trl_environment(what: Any, **settings: Any) -> Callable[[], Any]:
    """Returns an `environment_factory` for TRL's `GRPOTrainer`.

    Its environments have one tool, `act(answer)`. Rows of the data set are handed to `reset`; the column `seed` is the
    episode's, so that the members of a group, which share a row, start in the same state (`trl_rows` makes such rows).
    The reward is the episode's return. A call with something that is not text is counted as the problem `"malformed"`;
    calls after the episode's end do nothing.

    Args:
        what: as `text_env` takes it.
        settings: of the text environment.
    """
    text_env(what, **settings)  # what is wrong is told here, not in the trainer's first batch

    class WorldEnvironment:
        def __init__(self) -> None:
            self._env: TextEnv = text_env(what, **settings)
            self._over, self._return, self._malformed = True, 0.0, 0

        def reset(self, seed: int | None = None, **_: Any) -> str:
            text, _info = self._env.reset(seed=None if seed is None else int(seed))
            self._over, self._return, self._malformed = False, 0.0, 0
            return text

        def act(self, answer: str) -> str:
            """Answers the environment and returns what it says next.

            Args:
                answer: The answer, such as the name of an action.

            Returns:
                What the environment says.
            """
            if self._over:
                return ENDED
            if not isinstance(answer, str):
                self._malformed += 1
                self._return -= self._env.penalty
                return f"The answer has to be text, not {type(answer).__name__}."
            text, reward, terminated, truncated, _info = self._env.step(answer)
            self._return += number(reward, self._env.name)
            self._over = terminated or truncated
            return f"{text}\n{ENDED}" if self._over else text

        def get_reward(self) -> float:
            """Returns the episode's return so far."""
            return self._return

    return WorldEnvironment


def trl_rows(what: Any, seeds: Iterable[int], **settings: Any) -> list[dict[str, Any]]:
    """Returns rows for `datasets.Dataset.from_list`: the instructions as the prompt, and each episode's seed."""
    told = text_env(what, **settings).instructions or "Answer by the tool act."
    return [{"prompt": [{"role": "user", "content": f"{told}\n\n"}], "seed": int(seed)} for seed in seeds]
