"""Experiments: agents × worlds × seeds, from Python or from a TOML file; `trials()` is what is to be run."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from inscape.agents.presets import own_preset
from inscape.envs.tasks.resolve import Given, as_task, resolve_task
from inscape.errors import UsageError, closest, whole_number
from inscape.experiments.runs.settings import NEVER_STORED
from inscape.experiments.trials.named import code_of, load_analysis, load_measure
from inscape.experiments.trials.trial import Trial

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.experiments.trials.jobs import Engine
    from inscape.experiments.trials.results import Results

AGENT_KEYS = ("name", "label", "steps", "settings", "grid")
WORLD_KEYS = ("name", "label", "steps", "settings", "wrap", "max_episode_steps")


@dataclass(frozen=True)
class AgentSpec:
    """An agent of an experiment.

    Attributes:
        name: as `train` takes it.
        settings: those that are given; the others are its defaults in each world.
        label: what tables call it; "" for its name and the settings that tell it from others.
        steps: environment steps in every world; None for the world's, the experiment's or the agent's own.
        grid: setting → values: one agent for each combination.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    steps: int | None = None
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def variants(self) -> list[AgentSpec]:
        """Returns one agent for each combination of the grid's values; itself without a grid.

        Raises:
            UsageError: a setting of the grid has no values.
        """
        for name, values in self.grid.items():
            if not isinstance(values, (list, tuple)) or not values:
                raise UsageError(f"grid {name} = {values!r} of agent {self.name}", expected="a list of values to try")
        combinations = itertools.product(*([(name, value) for value in values] for name, values in self.grid.items()))
        made = []
        for chosen in combinations:
            said = ", ".join(f"{name}={value}" for name, value in chosen)
            label = " ".join(filter(None, [self.label or self.name, said]))
            made.append(AgentSpec(self.name, {**self.settings, **dict(chosen)}, label, self.steps))
        return made


@dataclass(frozen=True)
class WorldSpec:
    """A world of an experiment.

    Attributes:
        name: as `train` takes it, or a world, an environment or a class in hand.
        settings: of the world, or arguments of the environment.
        label: what tables call it; "" for its name and the settings that are given.
        steps: environment steps of every agent in it; None for the experiment's or each agent's own.
        wrap: wrappers, as `--wrap` names them.
        max_episode_steps: the time limit in place of the usual one.
    """

    name: Given
    settings: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    steps: int | None = None
    wrap: Sequence[str] = ()
    max_episode_steps: int | None = None

    def task(self) -> Task:
        """Returns the task.

        Raises:
            UsageError: there is no such world, setting or wrapper.
        """
        if isinstance(self.name, str):
            return resolve_task(self.name, self.settings, wrappers=self.wrap, max_episode_steps=self.max_episode_steps)
        return as_task(self.name)


@dataclass(frozen=True)
class Experiment:
    """Agents, worlds and seeds: every agent is trained in every world with every seed, and evaluated.

        experiment = Experiment(worlds=["FrozenLake8x8"], agents=["q-learning", AgentSpec("ppo", {"learning_rate": 1e-3})], seeds=10)
        results = experiment.run("experiments/lake", jobs=2)
        print(compare(results))

    Attributes:
        worlds: names, `WorldSpec`s, or what `train` takes as a world.
        agents: names or `AgentSpec`s.
        seeds: how many (0, 1, …), or which.
        steps: environment steps; None for what is known to do for each agent and world. Agents that do not learn
            take none.
        evaluate_every: steps between points of the learning curve; None for ten points, 0 for none.
        evaluate_episodes: of each of these.
        final_episodes: of the evaluation at the end; 0 for none.
        exact: also compute exact values where worlds can be enumerated.
        keep: "runs" keeps a run folder of every trial; "results" only its numbers, which is faster where trials
            take less than a second.
        device: where tensors live.
        name: of the experiment.
        measures: functions that measure each trial's agent (`trials.named`), by name or as `file.py:function`,
            `function(agent, task, seed) -> {name: number}`; the numbers are kept in `TrialResult.measures`.
        analysis: the function that answers from all results, by name or as `file.py:function`,
            `function(results) -> sections`; "" for none.
        question: what the experiment asks.
        expected: what it is expected to show.
    """  # noqa: E501

    worlds: Sequence[Any]
    agents: Sequence[str | AgentSpec]
    seeds: int | Sequence[int] = 5
    steps: int | None = None
    evaluate_every: int | None = None
    evaluate_episodes: int = 10
    final_episodes: int = 100
    exact: bool = False
    keep: Literal["runs", "results"] = "runs"
    device: str = "cpu"
    name: str = ""
    measures: Sequence[str] = ()
    analysis: str = ""
    question: str = ""
    expected: str = ""

    def __post_init__(self) -> None:
        for what in ("worlds", "agents"):
            given = getattr(self, what)
            if isinstance(given, str) or not isinstance(given, Sequence) or not given:
                raise UsageError(
                    f"{what} = {given!r}", expected=f"a list of {what}", hint=f'{what} = ["{_EXAMPLE[what]}"]'
                )
        if self.keep not in ("runs", "results"):
            raise UsageError(f"keep = {self.keep!r}", expected='"runs" or "results"')
        for what, least in (("evaluate_every", 0), ("evaluate_episodes", 1), ("final_episodes", 0), ("steps", 1)):
            if getattr(self, what) is not None:
                whole_number(f"{what} =", getattr(self, what), least)
        if not isinstance(self.exact, bool):
            raise UsageError(f"exact = {self.exact!r}", expected="true or false")
        if self.device not in ("cpu", "cuda", "auto"):
            raise UsageError(f"device = {self.device!r}", expected='"cpu", "cuda" or "auto"')
        for what in ("name", "analysis", "question", "expected"):
            if not isinstance(getattr(self, what), str):
                raise UsageError(f"{what} = {getattr(self, what)!r}", expected="text")
        if isinstance(self.measures, str) or not isinstance(self.measures, Sequence):
            raise UsageError(f"measures = {self.measures!r}", expected="a list", hint='measures = ["model"]')
        self.seed_list()

    def seed_list(self) -> list[int]:
        """Returns the seeds.

        Raises:
            UsageError: none, one twice, or no whole numbers.
        """
        if isinstance(self.seeds, int) and not isinstance(self.seeds, bool):
            return list(range(whole_number("seeds =", self.seeds, 1)))
        if isinstance(self.seeds, (str, bool)) or not isinstance(self.seeds, Sequence) or not self.seeds:
            raise UsageError(f"seeds = {self.seeds!r}", expected="how many, or a list of them", hint="seeds = 10")
        seeds = [whole_number("seed", seed) for seed in self.seeds]
        if len(set(seeds)) < len(seeds):
            raise UsageError(f"seeds = {seeds}", expected="each once")
        return seeds

    def agent_specs(self) -> list[AgentSpec]:
        """Returns the agents, those with a grid as one for each combination, all labels different."""
        given = [AgentSpec(a) if isinstance(a, str) else a for a in self.agents]
        for one in given:
            if not isinstance(one, AgentSpec):
                raise UsageError(f"{type(one).__name__} among the agents", expected="names, or AgentSpec(…)")
        made = [v for spec in given for v in spec.variants()]
        return [_labelled(s, i, made) for i, s in enumerate(made)]

    def world_specs(self) -> list[WorldSpec]:
        """Returns the worlds, all labels different."""
        given = [w if isinstance(w, WorldSpec) else WorldSpec(w) for w in self.worlds]
        return [_labelled_world(w, i, given) for i, w in enumerate(given)]

    def trials(self) -> list[tuple[Trial, Task]]:
        """Returns the trials, seed by seed, each with its world: a first answer on everything comes early.

        Raises:
            UsageError: there is no such world, agent or setting.
        """
        from inscape.trust import allow, code_record

        allow(code_of([*self.measures, self.analysis]))
        for measure in self.measures:
            load_measure(measure)
        if self.analysis:
            load_analysis(self.analysis)
        tasks = [(spec, spec.task()) for spec in self.world_specs()]
        agents = self.agent_specs()
        cells: list[tuple[dict[str, Any], Task]] = []
        for (world, task), agent in itertools.product(tasks, agents):
            steps = self._steps(agent, world, task)
            document = _json(task)
            names = [*_names_of_code(agent, document), *code_of(self.measures)]
            own = own_preset(agent.name, task)  # part of the trial's identity, as it may change
            given = {**(own.settings if own else {}), **agent.settings}
            cells.append(
                (
                    {
                        "agent": agent.name,
                        "settings": _plain(given),
                        "task": document,
                        "steps": steps,
                        "evaluate_every": max(1, steps // 10) if self.evaluate_every is None else self.evaluate_every,
                        "evaluate_episodes": self.evaluate_episodes,
                        "final_episodes": self.final_episodes,
                        "device": self.device,
                        "exact": self.exact,
                        "keep": self.keep if steps and not task.to_json().get("in_hand") else "results",
                        "code": code_record(names),
                        "measures": list(self.measures),
                        "agent_label": agent.label,
                        "world_label": world.label,
                    },
                    task,
                )
            )
        return [(Trial(seed=seed, **cell), task) for seed in self.seed_list() for cell, task in cells]

    def _steps(self, agent: AgentSpec, world: WorldSpec, task: Task) -> int:
        from inscape.agents.registry import default_settings, default_steps, learns
        from inscape.agents.settings import build_settings
        from inscape.trust import agent_code_names, allow

        allow(agent_code_names(agent.name, agent.settings))
        settings, _ = default_settings(agent.name, task)
        if settings is not None and agent.settings:
            build_settings(type(settings), agent.settings, base=settings)
        if not learns(agent.name):
            return 0
        for given in (agent.steps, world.steps, self.steps):
            if given is not None:
                return whole_number("steps = {}", given, 1)
        return default_steps(agent.name, task)

    def run(
        self,
        out: str | Path | None = None,
        jobs: int | None = None,
        *,
        verbose: bool = True,
        retry_failed: bool = True,
        engine: Engine | str | None = None,
    ) -> Results:
        """Runs what has not been run yet and returns the results.

        Args:
            out: the experiment's folder: results, and run folders; one that holds some of these trials already goes
                on. None keeps everything in memory.
            jobs: worker processes; 1 runs in one worker process too, so that a crash costs one trial. None for 1, on a
                cluster for as many as it has processors.
            verbose: show progress.
            retry_failed: run again what failed before.
            engine: what runs them: "local" or None for worker processes of this machine, "ray" or `RayEngine(address)`
                for a Ray cluster.

        Raises:
            UsageError: there is no such world, agent or setting; the folder cannot be used; there is no such engine, or
                its cluster does not answer.
        """
        from inscape.experiments.trials.execute import run_trials

        return run_trials(
            self.trials(), out, jobs, verbose=verbose, retry_failed=retry_failed, title=self.name, engine=engine
        )

    @classmethod
    def from_toml(cls, path: str | Path) -> Experiment:
        """Returns the experiment in a file; files that it names are taken from the file's folder.

        Raises:
            UsageError: the file cannot be read, is no TOML, or has a key that is none (the line is named).
        """
        file = Path(path)
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {file}: {error}", expected="an experiment file (TOML)") from error
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{file}: {error}", expected="TOML", hint="docs/experiments.md has examples") from error
        try:
            experiment = cls.from_document(document, file.parent)
            experiment.trials()
        except UsageError as error:
            raise with_line(error, file, text) from error
        return experiment

    @classmethod
    def from_document(cls, document: Mapping[str, Any], folder: Path = Path()) -> Experiment:
        """Returns the experiment that a parsed TOML file describes.

        Args:
            document: of the file.
            folder: where files lie that it names.

        Raises:
            UsageError: a key or a value that does not belong there.
        """
        known = [f.name for f in fields(cls)]
        for key in document:
            if key not in known:
                raise UsageError(f"unknown key {key!r}", expected=", ".join(known), hint=closest(key, known))
        values = dict(document)
        for what in ("worlds", "agents"):
            if what not in values:
                raise UsageError(f"no {what}", expected=f"a list of {what}", hint=f'{what} = ["{_EXAMPLE[what]}"]')
        if not isinstance(values["worlds"], list) or not isinstance(values["agents"], list):
            raise UsageError("worlds or agents that are no list", expected='worlds = ["FrozenLake"], agents = ["ppo"]')
        values["worlds"] = [read_world(entry, folder) for entry in values["worlds"]]
        values["agents"] = [read_agent(entry, folder) for entry in values["agents"]]
        if isinstance(measures := values.get("measures"), list):
            values["measures"] = [_beside(name, folder) if isinstance(name, str) else name for name in measures]
        if isinstance(analysis := values.get("analysis"), str):
            values["analysis"] = _beside(analysis, folder)
        return cls(**values)


_EXAMPLE = {"worlds": "FrozenLake8x8", "agents": "ppo"}


def read_world(entry: Any, folder: Path) -> WorldSpec:
    """Returns the world that an entry of a file means, a name or a table; files that it names lie in `folder`."""
    if isinstance(entry, str):
        return WorldSpec(_beside(entry, folder))
    values = _entry("world", entry, WORLD_KEYS)
    return WorldSpec(
        _beside(values["name"], folder),
        values["settings"],
        values.get("label", ""),
        values.get("steps"),
        tuple(values.get("wrap", ())),
        values.get("max_episode_steps"),
    )


def read_agent(entry: Any, folder: Path) -> AgentSpec:
    """Returns the agent that an entry of a file means, a name or a table; files that it names lie in `folder`."""
    if isinstance(entry, str):
        return AgentSpec(_beside(entry, folder))
    values = _entry("agent", entry, AGENT_KEYS)
    grid = values.get("grid", {})
    for name in NEVER_STORED:
        if name in values["settings"] or (isinstance(grid, Mapping) and name in grid):
            raise UsageError(f"{name!r} of agent {values['name']} in a file", expected="it on the line", hint="--trust")
    if not isinstance(grid, Mapping):
        raise UsageError(f"grid = {grid!r}", expected="a table of settings with lists of values")
    return AgentSpec(
        _beside(values["name"], folder), values["settings"], values.get("label", ""), values.get("steps"), grid
    )


def _entry(what: str, entry: Any, keys: Sequence[str]) -> dict[str, Any]:
    """Returns an entry's own keys, with all others as its settings."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise UsageError(f"{what} {entry!r}", expected='a name, or a table {name = "…", SETTING = VALUE}')
    given = entry.get("settings", {})
    if not isinstance(given, Mapping):
        raise UsageError(f"settings = {given!r} of {what} {entry['name']}", expected="a table")
    others = {key: value for key, value in entry.items() if key not in keys}
    for key, kind in (("label", str), ("steps", int), ("max_episode_steps", int), ("wrap", list)):
        if key in entry and key in keys and (not isinstance(entry[key], kind) or isinstance(entry[key], bool)):
            raise UsageError(f"{key} = {entry[key]!r} of {what} {entry['name']}", expected=kind.__name__)
    return {key: value for key, value in entry.items() if key in keys} | {"settings": {**given, **others}}


def _beside(name: str, folder: Path) -> str:
    """Returns a name of code in a file with the file's place, where it lies beside the experiment."""
    file, colon, rest = name.partition(".py:")
    if not colon or Path(file).is_absolute():
        return name
    beside = folder / f"{file}.py"
    return f"{beside}:{rest}" if beside.is_file() else name


def with_line(error: UsageError, file: Path, text: str) -> UsageError:
    """Returns the error with the line of the file that its first quoted word stands in, or the key that it is about."""
    lines = text.splitlines()
    if about := re.match(r"(\w+) = (\S*)", error.found):
        for sought in (rf"(?<!\w){about[1]}\s*=\s*{re.escape(about[2])}", rf"^\s*{about[1]}\s*="):
            for number, line in enumerate(lines, 1):
                if re.search(sought, line.split("#")[0]):
                    return UsageError(f"{file}, line {number}: {error.found}", expected=error.expected, hint=error.hint)
    for word in re.findall(r"'([^']+)'|\"([^\"]+)\"", error.found):
        quoted = re.compile(rf"(?<!\w){re.escape(word[0] or word[1])}(?!\w)")
        for number, line in enumerate(lines, 1):
            if quoted.search(line.split("#")[0]):
                return UsageError(f"{file}, line {number}: {error.found}", expected=error.expected, hint=error.hint)
    return UsageError(f"{file}: {error.found}", expected=error.expected, hint=error.hint)


def _labelled(spec: AgentSpec, index: int, among: Sequence[AgentSpec]) -> AgentSpec:
    label = spec.label or spec.name
    if not spec.label and sum(other.name == spec.name and not other.label for other in among) > 1 and spec.settings:
        label += " " + ", ".join(f"{name}={value}" for name, value in spec.settings.items())
    return AgentSpec(spec.name, spec.settings, _free(label, index, [s.label or s.name for s in among]), spec.steps)


def _labelled_world(spec: WorldSpec, index: int, among: Sequence[WorldSpec]) -> WorldSpec:
    labels = [_plain_label(other) for other in among]
    label = _free(labels[index], index, labels)
    return WorldSpec(spec.name, spec.settings, label, spec.steps, spec.wrap, spec.max_episode_steps)


def _plain_label(spec: WorldSpec) -> str:
    if spec.label:
        return spec.label
    name = spec.name if isinstance(spec.name, str) else as_task(spec.name).name
    short = name.rpartition("/")[2] if ".py:" in name else name
    return " ".join(filter(None, [short, ", ".join(f"{key}={value}" for key, value in spec.settings.items())]))


def _free(label: str, index: int, labels: Sequence[str]) -> str:
    """Returns a label that no other entry has: the second of one name is numbered."""
    before = labels[:index].count(label)
    return label if before == 0 else f"{label} ({before + 1})"


def _json(task: Task) -> dict[str, Any]:
    from inscape.experiments.runs.settings import json_values

    document: dict[str, Any] = json_values(task.to_json(), default=repr)
    return document


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    from inscape.experiments.runs.settings import json_values

    document: dict[str, Any] = json_values(dict(settings), default=repr)
    return document


def _names_of_code(agent: AgentSpec, task: Mapping[str, Any]) -> list[str]:
    from inscape.trust import agent_code_names, allow, task_code_names

    names = [*agent_code_names(agent.name, agent.settings), *task_code_names(task)]
    allow(names)
    return names
