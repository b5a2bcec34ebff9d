"""Episodes of numbers as one table: what is observed turned into variables, actions into codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from inscape.errors import UsageError
from inscape.world_models.episodes import check_episodes, check_spaces

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory

Array = np.ndarray[Any, Any]
CIRCLE = 1e-5
"""How far cos² + sin² may be from 1."""


@dataclass(frozen=True)
class Variable:
    """A variable of the state, and where it is observed.

    Attributes:
        name: as equations call it.
        sources: the observed number; or, of an angle, those of its cosine and its sine.
    """

    name: str
    sources: tuple[int, ...]

    @property
    def is_angle(self) -> bool:
        """Whether it is seen by cosine and sine, and so known up to whole turns."""
        return len(self.sources) == 2

    def read(self, observations: Array) -> Array:
        """Returns the `[N]` values in `[N, F]` observations; angles in [−π, π]."""
        if self.is_angle:
            return np.asarray(np.arctan2(observations[:, self.sources[1]], observations[:, self.sources[0]]))
        return np.asarray(observations[:, self.sources[0]], np.float64)


@dataclass(frozen=True, eq=False)
class Readings:
    """N transitions of V variables.

    Attributes:
        variables: of the state.
        before, change: `[N, V]` float64; changes of angles in [−π, π).
        codes: `[N, K]` float64: of continuous actions the numbers; of discrete ones −1 … 1 in their order, and for
            more than two an indicator of each but the first.
        reward: `[N]`; `ended`: `[N]` bool.
        where: `[N, 2]` episode and step.
        starts: `[E, V]` the variables at the beginnings of episodes.
        grain: `[V]` root mean square of the rounding of a change, by the precision of the observations.
    """

    variables: tuple[Variable, ...]
    before: Array
    change: Array
    codes: Array
    reward: Array
    ended: Array
    where: Array
    starts: Array
    grain: Array

    def __len__(self) -> int:
        return len(self.reward)

    def rows(self, index: Array) -> Readings:
        """Returns some of the transitions."""
        parts = ("before", "change", "codes", "reward", "ended", "where")
        return replace(self, **{name: getattr(self, name)[index] for name in parts})


def codes_of(actions: Array, space: spaces.Space[Any]) -> Array:
    """Returns `[N, K]` codes of actions (see `Readings`)."""
    if isinstance(space, spaces.Discrete):
        count, number = int(space.n), np.asarray(actions, np.int64)
        linear = (2.0 * number - (count - 1)) / max(count - 1, 1)
        columns = [linear] if count > 1 else []
        columns += [(number == k).astype(np.float64) for k in range(1, count)] if count > 2 else []
        return np.stack(columns, axis=1) if columns else np.zeros((len(number), 0))
    return np.asarray(actions, np.float64).reshape(len(actions), -1)


def read(
    episodes: Sequence[Trajectory],
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    names: Sequence[str],
    noise: float,
) -> Readings:
    """Returns the transitions of episodes.

    Args:
        episodes: what was seen.
        observation_space, action_space: of the task.
        names: of the state's variables, used where there are as many.
        noise: standard deviation of the noise on each observed number; 0: rounding alone.

    Raises:
        UsageError: nothing to read, NaN, or episodes of another world.
    """
    check_episodes(episodes, "equations")
    check_spaces(episodes, observation_space, action_space, "equations")
    seen = [np.asarray(episode.observations).reshape(len(episode) + 1, -1) for episode in episodes]
    single = all(part.dtype == np.float32 for part in seen)
    everything = np.concatenate(seen).astype(np.float64)
    variables = _variables(everything, names)
    if not np.isfinite(everything).all():
        raise UsageError("observations that are not finite", expected="numbers")
    values = [np.stack([v.read(part.astype(np.float64)) for v in variables], axis=1) for part in seen]
    change = np.concatenate([np.diff(part, axis=0) for part in values])
    angles = [k for k, v in enumerate(variables) if v.is_angle]
    change[:, angles] = (change[:, angles] + np.pi) % (2 * np.pi) - np.pi
    ended = np.zeros(len(change), np.bool_)
    ends = np.cumsum([len(episode) for episode in episodes]) - 1
    ended[ends] = [bool(episode.terminated) for episode in episodes]
    where = [(number, t) for number, episode in enumerate(episodes) for t in range(len(episode))]
    ulp = np.spacing(np.abs(np.concatenate(values)).astype(np.float32 if single else np.float64)).astype(np.float64)
    ulp[:, angles] = np.finfo(np.float32 if single else np.float64).eps
    grain = np.sqrt((ulp**2).mean(axis=0) / 6.0 + 2.0 * noise**2)  # of a difference of two numbers rounded alike
    return Readings(
        variables,
        np.concatenate([part[:-1] for part in values]),
        change,
        codes_of(np.concatenate([np.asarray(episode.actions) for episode in episodes]), action_space),
        np.concatenate([np.asarray(episode.rewards, np.float64) for episode in episodes]),
        ended,
        np.array(where, np.int64).reshape(len(change), 2),
        np.stack([part[0] for part, episode in zip(values, episodes, strict=True) if len(episode)]),
        grain,
    )


def _variables(observations: Array, names: Sequence[str]) -> tuple[Variable, ...]:
    """Returns the variables: pairs of numbers that always lie on the unit circle are an angle's cosine and sine."""
    found: list[tuple[int, ...]] = []
    k = 0
    while k < observations.shape[1]:
        pair = observations[:, k : k + 2]
        moving = pair.shape[1] == 2 and (np.ptp(pair, axis=0) > 0).all()
        if moving and np.abs((pair**2).sum(axis=1) - 1.0).max() < CIRCLE:
            found.append((k, k + 1))
            k += 2
        else:
            found.append((k,))
            k += 1
    if len(names) == len(found):
        return tuple(Variable(name, sources) for name, sources in zip(names, found, strict=True))
    return tuple(
        Variable(f"angle_{s[0]}" if len(s) == 2 else f"x_{s[0]}", s) for s in found
    )  # the observations' own numbers
