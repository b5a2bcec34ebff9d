"""How the minutes of a study are spent: measured speeds become seeds and steps, once; a resumed study keeps them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.experiments.studies.probing import Speeds, probe

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

PLAN = "plan.json"
FORMAT = 1
SHARES = {"agents": 0.62, "search": 0.12, "model": 0.08}
"""Shares of the minutes; the rest is for what is exact, for observers and for the page."""
LEAST_SECONDS = 20.0
"""The smallest budget: an agent has to be made, compiled and tried."""
SEEDS = 3
LEAST_TRIAL_SECONDS = 4.0
PROBE_SHARE, LEAST_PROBING = 0.25, 15.0
"""Share of the minutes for measuring speeds, and the least number of seconds."""
LONGEST_PROBE = 0.35
"""Of the minutes: an agent that has not learned or acted by then is left out; half a minute at least."""

LEAST_TRIED = 3
"""Learners that are tried before a study does without any, also where search has used up the time for that."""

SEARCHERS = ("mcts", "pomcp", "pbvi", "icem")
PREFERRED = ("q-learning", "ppo", "dqn", "sac", "recurrent-ppo", "a2c", "llm")
"""Learners tried first, in this order; then all others that are registered."""


@dataclass(frozen=True)
class Row:
    """An agent of a study.

    Attributes:
        agent, settings, label: as an experiment has them.
        steps: environment steps of a trial; 0 for one that does not learn.
        seeds: how many.
        final_episodes: of the evaluation.
        kind: "learner", "search" or "baseline".
        seconds_a_decision: measured.
    """

    agent: str
    label: str
    kind: str
    steps: int = 0
    seeds: int = 1
    final_episodes: int = 50
    seconds_a_decision: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Budget:
    """What a study's minutes were planned for.

    Attributes:
        minutes: given.
        rows: the agents.
        model_steps: sizes of the data that the learned model is fitted to.
        left_out: agents that were considered, and why not.
    """

    minutes: float
    rows: tuple[Row, ...]
    model_steps: tuple[int, ...]
    left_out: dict[str, str]


def load_or_plan(task: Task, folder: Path, minutes: float, seed: int, say: Callable[[str], None]) -> Budget:
    """Returns the plan in a study's folder, or makes one and stores it.

    Raises:
        UsageError: the folder holds a study of another world, of another budget or seed, or of another version; or the
            minutes are too few for anything.
    """
    from inscape.experiments.runs.settings import json_values
    from inscape.experiments.runs.storage.files import write_text

    asked = {
        "format": FORMAT, "task": json_values(task.to_json(), default=repr), "minutes": float(minutes), "seed": seed,
    }  # fmt: skip
    path = folder / PLAN
    if path.is_file():
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            budget = Budget(
                float(stored["minutes"]), tuple(Row(**row) for row in stored["rows"]), tuple(stored["model_steps"]),
                dict(stored["left_out"]),
            )  # fmt: skip
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise UsageError(
                f"cannot read {path}: {error}", expected="a plan inscape wrote", hint="another --out"
            ) from error
        for name, value in asked.items():
            if stored.get(name) != value:
                raise UsageError(
                    f"{folder} holds a study with {name} = {stored.get(name)!r}",
                    expected=f"{name} = {value!r}",
                    hint="another --out, or the same command to go on",
                )
        return budget
    if minutes * 60 < LEAST_SECONDS:
        raise UsageError(
            f"{minutes:g} minutes for a study", expected=f"at least {LEAST_SECONDS / 60:.2g}: one agent, tried once",
            hint="--minutes 5",
        )  # fmt: skip
    budget = _planned(task, minutes * 60, seed, say)
    folder.mkdir(parents=True, exist_ok=True)
    document = {**asked, "rows": [asdict(r) for r in budget.rows], "model_steps": budget.model_steps,
                "left_out": budget.left_out}  # fmt: skip
    write_text(path, json.dumps(document, indent=2) + "\n")
    return budget


def _planned(task: Task, seconds: float, seed: int, say: Callable[[str], None]) -> Budget:
    left_out: dict[str, str] = {}
    probes = _Probes(task, seed, max(LEAST_PROBING, PROBE_SHARE * seconds), left_out, say)
    rows = [Row("random", "random", "baseline", seeds=1, final_episodes=100)]
    rows += _searchers(task, SHARES["search"] * seconds, probes)
    rows += _learners(task, seconds, probes)
    sizes = tuple(int(n) for n in (100, 300, 1000, 3000, 10_000, 30_000) if n <= 100 * max(3.0, seconds))
    return Budget(seconds / 60, tuple(rows), sizes, left_out)


class _Probes:
    """Tries agents until the time for that is used up.

    Attributes:
        spent: seconds.
    """

    def __init__(
        self, task: Task, seed: int, seconds: float, left_out: dict[str, str], say: Callable[[str], None]
    ) -> None:
        self.task, self.seed, self.seconds, self.left_out, self.say = task, seed, seconds, left_out, say
        self.longest = max(30.0, LONGEST_PROBE / PROBE_SHARE * seconds)
        self.spent = 0.0

    @property
    def over(self) -> bool:
        """Whether no time is left."""
        return self.spent >= self.seconds

    def speeds(self, name: str, learns: bool) -> Speeds | None:
        """Returns an agent's speeds; None where it is left out."""
        began = time.perf_counter()
        try:
            found = probe(name, self.task, self.seed, learns, self.longest)
        except UsageError as error:
            self.left_out[name] = str(error).splitlines()[0]
            found = None
        self.spent += time.perf_counter() - began
        if found is not None:
            learned = f"{found.steps:,.0f} steps a second, " if learns else ""
            self.say(f"{name}: {learned}{1000 * found.decision:.3g} ms a decision")
        return found


# ------------------------------------------------------------------------------------------------------------ search


def _searchers(task: Task, seconds: float, probes: _Probes) -> list[Row]:
    """Returns agents that look ahead in the law."""
    from inscape.experiments.runs.evaluation import hides_state

    world = task.world
    if world is None:
        probes.left_out["search"] = "the task has no law to search in"
        return []
    hidden = world.players == 1 and not world.continuous and hides_state(world)
    names = ("icem",) if world.continuous else ("pomcp", "pbvi") if hidden else ("mcts",)
    made = []
    for name in names:
        found = probes.speeds(name, False)
        if found is not None:
            episode = max(1e-6, found.decision * found.length)
            episodes = int(np.clip(seconds / len(names) / episode, 2, 100))
            made.append(Row(name, name, "search", 0, 1, episodes, found.decision))
    return made


# ---------------------------------------------------------------------------------------------------------- learners

POINTS, EVALUATE_EPISODES, FINAL_EPISODES = 8, 5, 50
"""Of a learning curve; episodes at each of its points; and at the end."""


def _learners(task: Task, total: float, probes: _Probes) -> list[Row]:
    from inscape.agents.registry import default_steps

    most = int(np.clip(SHARES["agents"] * total / (SEEDS * LEAST_TRIAL_SECONDS), 1, 5))
    speeds: dict[str, Speeds] = {}
    for number, name in enumerate(_candidates(task)):
        if len(speeds) == most or (probes.over and (speeds or number >= LEAST_TRIED)):
            break
        found = probes.speeds(name, True)
        if found is None:
            continue
        if 2 * found.first > SHARES["agents"] * total:
            probes.left_out[name] = f"its first round takes {found.first:.0f} s"
            continue
        speeds[name] = found
    seconds = max(0.3 * total, SHARES["agents"] * (total - probes.spent))
    seeds = SEEDS if seconds / max(1, len(speeds)) >= SEEDS * LEAST_TRIAL_SECONDS else 1
    rows = []
    for name, speed in speeds.items():
        each = seconds / len(speeds) / seeds
        longest = min(1000, task.max_episode_steps or 200)
        episodes = int(np.clip(0.15 * each / max(1e-9, speed.decision * longest), 5, FINAL_EPISODES))
        judging = speed.decision * longest * (episodes + POINTS * EVALUATE_EPISODES)
        steps = int(speed.steps * max(0.3 * each, each - judging))
        steps = max(500, min(default_steps(name, task), steps))
        rows.append(Row(name, name, "learner", steps - steps % 100 or steps, seeds, episodes, speed.decision))
    return rows


def _candidates(task: Task) -> list[str]:
    """Returns registered learners, those that are tried first at the front; a table needs observations that count."""
    import gymnasium

    from inscape.agents.catalogue import BUILT_IN

    learners = [entry.name for entry in BUILT_IN if entry.learns and entry.name not in SEARCHERS]
    first = list(PREFERRED)
    if task.players > 1 and not task.simultaneous:
        first = ["alphazero", "self-play", *first]
    if not isinstance(task.observation_space, (gymnasium.spaces.Discrete, gymnasium.spaces.MultiDiscrete)):
        first = [name for name in first if name not in TABULAR]
        learners = [name for name in learners if name not in TABULAR]
    if isinstance(task.action_space, gymnasium.spaces.Box):
        first = ["sac", *[name for name in first if name not in ("dqn", "sac")]]
    return list(dict.fromkeys([*[name for name in first if name in learners], *learners]))


TABULAR = (
    "q-learning", "double-q-learning", "sarsa", "expected-sarsa", "n-step-sarsa", "monte-carlo", "dyna-q", "td-lambda",
)  # fmt: skip
