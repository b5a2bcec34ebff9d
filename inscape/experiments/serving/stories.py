"""Episodes that a page looks into: recorded ones, and one led by hand; with search, observer, what-if."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from inscape.agents.adapters import as_agent
from inscape.agents.rollout import for_player
from inscape.agents.vector_actor import VectorActor
from inscape.errors import UsageError
from inscape.experiments.report.clips import picture_of
from inscape.experiments.report.episodes import action_name, player_episode, posterior_overlays, returns_text
from inscape.experiments.report.imagined import difference
from inscape.experiments.report.packing import pack_player
from inscape.experiments.report.sections import Frame, PlayerEpisode, PlayerSection
from inscape.experiments.verbs.hypotheses import hypotheses
from inscape.experiments.viewing.stage import EpisodeSession, WorldSession, choose, make_session

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.tasks.task import Task
    from inscape.theory_of_mind.observers.exact import ExactObserver
    from inscape.world_models.planning.interface import Plan

JSON = Any

MOST_STEPS = 400
"""Steps of an episode that is led by hand, and of one that is shown."""

MOST_PLANS = 200
"""Searches that are made again to be shown, per recorded episode."""

MOST_ALTERNATIVES = 8


class Story:
    """Episodes of one task and one agent, as a page's player reads them.

    Args:
        task: what they are of.
        agent: who acts, for its searches and for what follows an alternative; None where it cannot be loaded.
        observer: whose belief is shown; None for none.
        notes: what the page is to say: why there is no agent or no observer.
    """

    def __init__(
        self, task: Task, agent: Any, observer: ExactObserver | None, notes: Sequence[str] = (), pace: float = 6.0
    ) -> None:
        self.task, self.agent, self.observer = task, agent, observer
        self.notes, self.pace = list(notes), pace
        self.lock = threading.RLock()

    @property
    def trajectories(self) -> Sequence[Trajectory]:
        """The episodes so far."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------- the observer

    def prior(self) -> dict[str, float]:
        """Returns hypothesis → prior probability; empty without an observer."""
        if self.observer is None:
            return {}
        held = self.observer.prior
        return {name: float(held[members].sum()) for name, members in hypotheses(self.observer.minds).items()}

    def set_prior(self, weights: Any) -> None:
        """Gives the observer another prior: weights of hypotheses, of which those of one keep their proportions.

        Raises:
            UsageError: no observer, unknown hypotheses, or weights that are no prior.
        """
        if self.observer is None:
            raise UsageError("a prior without an observer", expected="a world with goals that can be enumerated")
        groups, held = hypotheses(self.observer.minds), self.observer.prior
        if not isinstance(weights, Mapping) or set(weights) != set(groups):
            raise UsageError("the prior names other hypotheses", expected=", ".join(groups))
        given = {name: weights[name] for name in groups}
        usual = all(isinstance(w, int | float) and not isinstance(w, bool) and 0 <= w < 1e9 for w in given.values())
        if not usual or sum(given.values()) <= 0:
            raise UsageError("the prior's weights", expected="numbers of at least 0, one of them above")
        prior, total = np.zeros(len(held)), float(sum(given.values()))
        for name, members in groups.items():
            within = held[members] if held[members].sum() > 0 else np.ones(len(members))
            prior[members] = given[name] / total * within / within.sum()
        self.observer = self.observer.with_prior(prior)

    # ------------------------------------------------------------------------------------------- what is shown

    def data(self) -> JSON:
        """Returns what the page's player shows, with the notes and the prior."""
        with self.lock:
            notes = list(self.notes)
            episodes = tuple(self._episode(k, trajectory, notes) for k, trajectory in enumerate(self.trajectories))
            packed = pack_player(PlayerSection("Episodes", episodes, fps=self.pace)) if episodes else None
            return {"player": packed, "notes": list(dict.fromkeys(notes)), "prior": self.prior(), **self._more()}

    def _more(self) -> dict[str, JSON]:
        return {}

    def _episode(self, number: int, trajectory: Trajectory, notes: list[str]) -> PlayerEpisode:
        world = self.task.world
        assert world is not None
        posteriors = None
        if self.observer is not None and len(trajectory) <= MOST_STEPS:
            try:
                posteriors = posterior_overlays(self.observer, trajectory)
                if not (trajectory.terminated or len(trajectory) >= MOST_STEPS):
                    posteriors[-1] = replace(posteriors[-1], next_action=self._expected(self.observer, trajectory))
            except UsageError as error:
                notes.append(f"The observer has no belief about episode {number + 1}: {error.found}")
        return player_episode(
            world, trajectory, title=self._title(number, trajectory), plans=self._plans(number, trajectory),
            posteriors=posteriors, max_frames=MOST_STEPS + 1,
        )  # fmt: skip

    def _title(self, number: int, trajectory: Trajectory) -> str:
        return f"episode {number + 1}, return {returns_text(trajectory)}"

    @staticmethod
    def _expected(observer: ExactObserver, trajectory: Trajectory) -> tuple[tuple[str, float], ...]:
        """Returns what is expected after the last step of an episode that may go on."""
        after = observer.with_prior(observer.prior)
        numbered = after.state_indices(trajectory)
        after.observe(numbered)
        probabilities = np.exp(np.ravel(after.action_log_probs(int(numbered.states[-1]))))
        return tuple(zip(observer.world.action_names, probabilities.tolist(), strict=True))

    def _plans(self, number: int, trajectory: Trajectory) -> Sequence[Plan | None] | None:
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------------ what if

    def what_if(self, episode: int, frame: int, horizon: int, samples: int) -> JSON:
        """Returns what would follow from each alternative at a frame: a player side by side, and a table's rows.

        Raises:
            UsageError: nothing can be imagined there, or the numbers are out of range.
        """
        from inscape.experiments.verbs.imagine import imagine

        if not 1 <= horizon <= 200 or not 1 <= samples <= 200:
            raise UsageError(f"{horizon} steps, {samples} futures", expected="1 to 200 of each")
        with self.lock:
            states = self._states(episode)
            if not 0 <= frame < len(states):
                raise UsageError(f"step {frame} of an episode of {len(states) - 1}", expected="one of its steps")
            world = self.task.world
            assert world is not None
            imagined = imagine(
                world, states[[frame]], self._alternatives(states, frame), policy=self.agent, horizon=horizon,
                samples=samples,
            )  # fmt: skip
        made = [
            replace(player_episode(world, imagined[name], title=name, agent=name), color=k)
            for k, name in enumerate(imagined)
        ]
        section = PlayerSection("What if", tuple(made), fps=self.pace, side_by_side=True)
        rows = [
            [name, float(imagined.returns[name].mean()), float(imagined.lengths[name].mean())]
            + [None if v is None else round(float(v), 12) for v in difference(imagined, name)]
            for name in imagined
        ]
        then = "the agent acts on" if self.agent is not None else "the same action is repeated"
        return {"player": pack_player(section), "rows": rows, "samples": samples, "then": then}

    def _states(self, episode: int) -> Any:
        trajectories = self.trajectories
        if not 0 <= episode < len(trajectories) or trajectories[episode].states is None:
            raise UsageError(f"episode {episode + 1}", expected=f"one of {len(trajectories)} with states")
        return trajectories[episode].states

    def _alternatives(self, states: Any, frame: int) -> dict[str, Any]:
        world, space = self.task.world, self.task.action_space
        assert world is not None
        if isinstance(space, gymnasium.spaces.Box):
            low, high = np.clip(space.low, -1e6, 1e6), np.clip(space.high, -1e6, 1e6)
            return {
                action_name(world, values): values.tolist()
                for values in (low + (high - low) * share for share in (0.0, 0.25, 0.5, 0.75, 1.0))
            }
        legal = world.legal_actions(states[[frame]], compiled=False) if world.law_function("legal") else None
        allowed = np.arange(world.num_actions) if legal is None else np.flatnonzero(legal[0])
        return {world.action_names[a]: int(a) for a in allowed[:MOST_ALTERNATIVES]}


class Recorded(Story):
    """Episodes that a run recorded."""

    def __init__(
        self, task: Task, agent: Any, observer: Any, notes: Sequence[str], trajectories: Sequence[Any]
    ) -> None:
        super().__init__(task, agent, observer, notes)
        self._trajectories = list(trajectories)
        self._planned: dict[int, Sequence[Plan | None] | None] = {}

    @property
    def trajectories(self) -> Sequence[Trajectory]:
        return self._trajectories

    def _plans(self, number: int, trajectory: Trajectory) -> Sequence[Plan | None] | None:
        if number not in self._planned:
            self._planned[number] = None
            if callable(getattr(self.agent, "plan_for", None)):
                shown = trajectory.observations[: min(len(trajectory), MOST_PLANS)]
                self._planned[number] = [self.agent.plan_for(observation) for observation in shown]
        return self._planned[number]


class Led(Story):
    """An episode that is being made: at every step the agent acts, or an action is chosen by hand.

    Args:
        task, agent, observer, notes: as `Story`'s.
        seed: of the episode; every restart has the next.
    """

    def __init__(self, task: Task, agent: Any, observer: Any, notes: Sequence[str], seed: int) -> None:
        super().__init__(task, agent, observer, notes)
        self.stage: EpisodeSession = make_session(task)
        self._seed = seed - 1
        self.restart()

    def restart(self) -> None:
        """Begins another episode."""
        with self.lock:
            self._seed += 1
            self.stage.reset(self._seed)
            self._acting = [
                VectorActor(as_agent(for_player(self.agent, player)), 1) for player in range(self.task.players)
            ]
            self._made: list[Plan | None] = []
            self._pictures: list[Frame] = []
            self._by_hand: list[bool] = []
            self._look()

    @property
    def trajectories(self) -> Sequence[Trajectory]:
        return [self.stage.trajectory(self.agent.name)]

    def act(self, action: int | None) -> None:
        """Takes a step.

        Args:
            action: of the player whose turn it is, counted from 0; None: what the agent chooses.

        Raises:
            UsageError: the episode is over, or the action is illegal.
        """
        with self.lock:
            stage, space = self.stage, self.task.action_space
            if stage.ended:
                raise UsageError("the episode is over", expected="restart")
            if len(stage.actions) >= MOST_STEPS:
                raise UsageError(f"{MOST_STEPS} steps were taken", expected="restart: more are not shown")
            answers: dict[int, Any] = {}
            if action is not None:
                if not isinstance(space, gymnasium.spaces.Discrete) or not 0 <= action < space.n:
                    raise UsageError(f"no action {action}", expected=f"one of {', '.join(self.task.action_names)}")
                mask = stage.mask(stage.movers[0])
                if mask is not None and not mask[action]:
                    raise UsageError(f"{self.task.action_names[action]} is illegal here", expected="a legal action")
                answers[stage.movers[0]] = action + int(space.start)
            # the agent is asked in any case: what it remembers goes on
            for player in stage.movers:
                asked = choose(self._acting[player], stage, player)
                answers.setdefault(player, asked)
            stage.step(answers)
            rewards = np.ravel(stage.rewards[-1])
            for player, acting in enumerate(self._acting):
                acting.earned(rewards[player : player + 1])
            self._by_hand.append(action is not None)
            self._look()

    def _look(self) -> None:
        """Keeps what is to be seen of the present: the agent's search, or the picture an environment draws."""
        if isinstance(self.stage, WorldSession):
            plan = None
            if callable(getattr(self.agent, "plan_for", None)) and not self.stage.ended:
                plan = self.agent.plan_for(self.stage.observation(self.stage.movers[0]))
            self._made.append(plan)
        else:
            picture = self.stage.picture()
            assert isinstance(picture, np.ndarray)
            self._pictures.append(Frame(picture_of(picture)))

    def _title(self, number: int, trajectory: Trajectory) -> str:
        return f"seed {self.stage.seed}, return {returns_text(trajectory)}"

    def _plans(self, number: int, trajectory: Trajectory) -> Sequence[Plan | None] | None:
        return self._made if any(plan is not None for plan in self._made) else None

    def _episode(self, number: int, trajectory: Trajectory, notes: list[str]) -> PlayerEpisode:
        stage = self.stage
        outcome = "" if not stage.ended else "terminated" if stage.terminated else "truncated"
        if self.task.world is not None:
            made = super()._episode(number, trajectory, notes)
            frames = tuple(
                replace(frame, caption="by hand" if t < len(self._by_hand) and self._by_hand[t] else "")
                for t, frame in enumerate(made.frames)
            )
            return replace(made, frames=frames, outcome=outcome)
        names = self.task.action_names
        start = int(getattr(self.task.action_space, "start", 0))
        frames = tuple(
            replace(
                frame,
                action=(names[int(stage.actions[t]) - start] if names else str(stage.actions[t])),
                reward=float(stage.rewards[t]),
            )
            if t < len(stage.actions)
            else frame
            for t, frame in enumerate(self._pictures)
        )
        return PlayerEpisode(f"seed {stage.seed}", frames, self.agent.name, outcome)

    def _more(self) -> dict[str, JSON]:
        stage = self.stage
        names = list(self.task.action_names)
        mask = stage.mask(stage.movers[0]) if stage.movers else None
        return {
            "actions": [
                {"name": name, "legal": not stage.ended and (mask is None or bool(mask[k]))}
                for k, name in enumerate(names)
            ],
            "ended": stage.ended,
            "turn": stage.names[stage.movers[0]] if stage.movers else "",
        }
