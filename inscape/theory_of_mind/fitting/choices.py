"""Recorded choices: who did what, in which state, episode by episode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.observers.numbering import Numbering, episodes_of
from inscape.theory_of_mind.player_view import PlayerView, view_of

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.world import World


@dataclass(frozen=True, eq=False)
class ChoiceEpisode:
    """The choices of one participant in one episode.

    Attributes:
        participant: who chose.
        label: what the episode is called, among those of the participant.
        states: `[T]` numbers in `world.dynamics().states`.
        actions: `[T]` numbers.
        begins: `[T]` bool: the mind's memory begins anew there: at the first choice, and after a gap.
        world: which of the worlds it took place in.
        conditions: what else is known of it, by name.
        lines: `[T]` lines of the file they are from; None: of no file.
    """

    participant: str
    label: str
    states: Array
    actions: Array
    begins: Array
    world: int = 0
    conditions: Mapping[str, str] = field(default_factory=dict)
    lines: Array | None = None

    def __len__(self) -> int:
        """The number of choices, T."""
        return len(self.actions)

    def place(self, step: int) -> str:
        """Returns where a choice is found, in words."""
        line = "" if self.lines is None else f"line {int(self.lines[step])}: "
        return f"{line}{self.participant}, episode {self.label}, choice {step + 1}"


@dataclass(frozen=True, eq=False)
class Choices:
    """Choices of N participants in E episodes, checked against the dynamics of their worlds.

    `read_choices` reads them from a table, `choices_of` takes trajectories, `simulate_choices` makes them up.

    Attributes:
        worlds: what they were made in; more than one where settings vary from episode to episode.
        episodes: the E episodes, those of a participant in order.
        player: who is watched, where there are several players.
        source: where they are from, for messages.
        skipped: rows of the table in which no action was recorded.
    """

    worlds: tuple[World, ...]
    episodes: tuple[ChoiceEpisode, ...]
    player: int | None = None
    source: str = "choices"
    skipped: int = 0

    def __post_init__(self) -> None:
        if not len(self):
            raise UsageError(f"{self.source} without a single choice", expected="at least one")

    def __len__(self) -> int:
        """The number of choices."""
        return sum(map(len, self.episodes))

    def __repr__(self) -> str:
        names = ", ".join(dict.fromkeys(world.name for world in self.worlds))
        return (
            f"Choices({len(self)} of {len(self.participants)} participants in {len(self.episodes)} episodes, {names})"
        )

    @cached_property
    def participants(self) -> tuple[str, ...]:
        """Names of the N participants, in order of appearance."""
        return tuple(dict.fromkeys(episode.participant for episode in self.episodes))

    @cached_property
    def participant_of(self) -> Array:
        """`[E]` number of the participant of each episode."""
        number = {name: n for n, name in enumerate(self.participants)}
        return np.array([number[episode.participant] for episode in self.episodes])

    @cached_property
    def lengths(self) -> Array:
        """`[E]` choices in each episode."""
        return np.array([len(episode) for episode in self.episodes])

    @cached_property
    def views(self) -> tuple[Any, ...]:
        """The worlds as who is watched meets them."""
        return tuple(view_of(world, self.player) for world in self.worlds)

    @cached_property
    def uniform_bits(self) -> Array:
        """`[E]` bits of a uniform guess among the legal actions."""
        found = np.zeros(len(self.episodes))
        for e, episode in enumerate(self.episodes):
            legal = self.views[episode.world].dynamics().legal[episode.states]
            found[e] = np.log2(legal.sum(axis=1)).sum()
        return found

    def by_participant(self, per_episode: Array) -> Array:
        """Returns `[N, …]` sums of `[E, …]` over the episodes of each participant."""
        found = np.zeros((len(self.participants), *per_episode.shape[1:]))
        np.add.at(found, self.participant_of, per_episode)
        return found

    def select(self, keep: Iterable[int]) -> Choices:
        """Returns the choices of some episodes, by number."""
        return replace(self, episodes=tuple(self.episodes[int(e)] for e in keep))

    def where(self, **conditions: str) -> Choices:
        """Returns the choices of episodes in which conditions have these values.

        Raises:
            UsageError: there are none.
        """
        kept = [
            e for e, episode in enumerate(self.episodes)
            if all(episode.conditions.get(name) == str(value) for name, value in conditions.items())
        ]  # fmt: skip
        if not kept:
            known = sorted({f"{n} = {v}" for episode in self.episodes for n, v in episode.conditions.items()})
            raise UsageError(f"no choices where {conditions}", expected=", ".join(known[:20]) or "no conditions at all")
        return self.select(kept)


def choices_of(
    world: World, trajectories: Sequence[Trajectory] | Mapping[str, Sequence[Trajectory]], player: int | None = None
) -> Choices:
    """Returns recorded trajectories as choices.

    Args:
        world: what they took place in.
        trajectories: of one participant, or by participant.
        player: who is watched, where there are several players.

    Raises:
        UsageError: no choices; a state cannot follow the one before, an action is not legal or comes after the end.
        PartialObservationError: observations that do not determine the states.
    """
    given = trajectories if isinstance(trajectories, Mapping) else {"all": trajectories}
    view, checker = view_of(world, player), EpisodeChecker(world, player)
    episodes = []
    for participant, own in given.items():
        for number, trajectory in enumerate(episodes_of(own), start=1):
            states = trajectory.states if trajectory.states is not None else world.states_of(trajectory.observations)
            numbers, actions = checker.numbering.state_numbers(states, 0), trajectory.actions
            if isinstance(view, PlayerView):
                actions = view.own_actions(numbers, actions)
            actions = checker.numbering.action_numbers(actions)
            begins = np.arange(len(actions)) == 0
            episode = ChoiceEpisode(str(participant), str(number), numbers[: len(actions)], actions, begins)
            episodes.append(checker.checked(episode))
    return Choices((world,), tuple(episodes), player)


class EpisodeChecker:
    """Checks episodes against the dynamics of one world.

    Args:
        world: one that can be enumerated.
        player: who is watched.
    """

    def __init__(self, world: World, player: int | None) -> None:
        self.view = view_of(world, player)
        self.numbering = Numbering(self.view)
        dynamics = self.numbering.dynamics
        here = np.arange(len(dynamics))[:, None, None]
        over = ((dynamics.next_state == here) | (dynamics.probability == 0)).all(axis=(1, 2))
        absorbing = np.flatnonzero(over)
        if len(absorbing):  # it is over where the world's own purpose and all named ones say so
            for purpose in (None, *world.goals.values()):
                over[absorbing] &= world.terminal_of(dynamics.states[absorbing], purpose)
        self.over = over
        # of players in turn only some states are choices of this one: what lies between is not recorded
        self.in_turn = isinstance(self.view, PlayerView) and not world.simultaneous

    def follows(self, state: int, action: int, following: int) -> bool:
        """Returns whether an action can lead from a state to another."""
        dynamics = self.numbering.dynamics
        leads = (dynamics.next_state[state, action] == following) & (dynamics.probability[state, action] > 0)
        return bool(leads.any())

    def checked(self, episode: ChoiceEpisode, may_break: bool = False) -> ChoiceEpisode:
        """Returns an episode, or refuses one that cannot be.

        Args:
            episode: what was recorded.
            may_break: where a state cannot follow, memory begins anew; otherwise that is refused.

        Raises:
            UsageError: an action that is not legal, or after the end; a state that cannot follow.
        """
        begins = episode.begins.copy()
        legal, names = self.numbering.dynamics.legal, self.view.action_names
        for t, (s, a) in enumerate(zip(episode.states.tolist(), episode.actions.tolist())):
            described = self.numbering.described
            if self.over[s]:
                raise UsageError(
                    f"{episode.place(t)} is made in {described(s)} where the episode is over",
                    expected="no choice after the end",
                )
            if not legal[s, a]:
                allowed = ", ".join(name for name, ok in zip(names, legal[s]) if ok)
                raise UsageError(
                    f"{episode.place(t)}: {names[a]!r} in {described(s)} is not legal there", expected=allowed
                )
            if t and not begins[t] and not self.follows(int(episode.states[t - 1]), int(episode.actions[t - 1]), s):
                if not may_break and not self.in_turn:
                    raise UsageError(
                        f"{episode.place(t)} is made in {described(s)} which {names[episode.actions[t - 1]]!r} in "
                        f"{described(int(episode.states[t - 1]))} cannot lead to",
                        expected="a state that can follow the one before",
                        hint="an episode (trial) column that says where episodes begin, or step numbers that leave out "
                        "what is missing",
                    )
                begins[t] = True
        return replace(episode, begins=begins)
