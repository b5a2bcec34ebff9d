"""GEM (https://github.com/axon-rl/gem): its environments as text environments, and the other way round.

A `TextEnv` has GEM's convention already (`reset(seed) -> (str, info)`, a `step` of five); what GEM's own vector
environments and wrappers ask for beyond it is here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from inscape.envs.text.conventions.foreign import GlobalRandom, known, number, package
from inscape.envs.text.interface import TextEnv, Turn
from inscape.envs.text.registry import text_env
from inscape.errors import UsageError

INSTALL = "gem-llm"


class GemEnv(TextEnv):
    """An environment of GEM's registry: `text_env("gem:game:GuessTheNumber-v0-hard")`.

    `reset(seed=s)` begins the episode that GEM begins with that seed; GEM draws from global generators, which are
    kept apart. Answers are handed on as they are: GEM's environments read `\\boxed{ANSWER}`.

    Args:
        env: its id, or an environment of GEM's interface.
        max_turns: turns of an episode at most, beside the environment's own limit.
        settings: of the environment.

    Raises:
        UsageError: GEM is not installed, or has no such environment.
    """

    def __init__(self, env: Any, *, max_turns: int | None = None, **settings: Any) -> None:
        self._name = env if isinstance(env, str) else type(env).__name__
        if isinstance(env, str):
            gem = package("gem", INSTALL)
            env = gem.make(known(env, package("gem.envs.registration", INSTALL).ENV_REGISTRY, "gem"), **settings)
        self.env, self.max_turns = env, max_turns
        self._random = GlobalRandom()

    @property
    def name(self) -> str:
        return f"gem:{self._name}"

    def _begin(self, seed: int | None, options: Mapping[str, Any]) -> Turn:
        return self._started(int(self.np_random.integers(2**31)) if seed is None else seed)

    def begin(self, rng: np.random.Generator, options: Mapping[str, Any]) -> Turn:
        """Starts an episode and returns its first text."""
        return self._started(int(rng.integers(2**31)))

    def _started(self, seed: int) -> Turn:
        self._random.seed(seed)
        with self._random.own():
            text, info = self.env.reset(seed)
        return Turn(str(text), info=dict(info))

    def respond(self, answer: str) -> Turn:
        """Returns what follows an answer."""
        with self._random.own():
            text, reward, terminated, truncated, info = self.env.step(answer)
        value = number(reward, self.name)
        return Turn(str(text), value, bool(terminated), None, {**info, "truncated": bool(truncated)})


def gem_env(what: Any, **settings: Any) -> Any:
    """Returns a text environment, a world or a name of one as a `gem.Env`.

    `spawn(same_state=True)` copies the episode as it stands, random generators included, as groups compared by return
    need it; where the environment cannot be copied it says so. GEM's vector environments hand their constructor a
    `seed`: it is the seed of the first reset.

    Args:
        what: as `text_env` takes it.
        settings: of the text environment.

    Raises:
        UsageError: GEM is not installed, or there is no such environment.
    """
    base: Any = package("gem", INSTALL).Env

    class Gem(base):  # type: ignore[misc]
        def __init__(self, env: TextEnv, seed: int | None = None) -> None:
            self.env, self._seed = env, seed

        def reset(self, seed: int | None = None) -> tuple[str, dict[str, Any]]:
            first, self._seed = self._seed, None
            return self.env.reset(seed=first if seed is None else seed)

        def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
            return self.env.step(action)

        def sample_random_action(self) -> str:
            actions, legal = getattr(self.env, "actions", None), getattr(self.env, "legal", None)
            if actions is None or legal is None:
                return str(self.env.action_space.sample())
            return str(actions[int(self.env.np_random.choice(np.flatnonzero(legal)))])

        def spawn(self, same_state: bool = False, **given: Any) -> Gem:
            if not same_state:
                return Gem(text_env(what, **{**settings, **{k: v for k, v in given.items() if k != "seed"}}))
            try:
                return Gem(copy.deepcopy(self.env))
            except Exception as error:
                raise UsageError(
                    f"{self.env.name} cannot be copied: {error}",
                    expected="an environment that copies",
                    hint="reset(seed)",
                ) from error

    return Gem(text_env(what, **{k: v for k, v in settings.items() if k != "seed"}), settings.get("seed"))
