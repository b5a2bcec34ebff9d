"""What the viewer serves: a list of runs, a run, an agent led by hand, a world to play."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections import OrderedDict
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from inscape import trust
from inscape.agents.registry import agent_entries, make_agent
from inscape.envs.registry import world_specs
from inscape.envs.tasks.resolve import resolve_task, task_from_json
from inscape.envs.tasks.task import Task
from inscape.errors import UsageError
from inscape.experiments.arguments.command_lines import train_line
from inscape.experiments.report.page import PageParts, render_report
from inscape.experiments.runs.folders import open_run
from inscape.experiments.runs.run import Run
from inscape.experiments.serving.playing import Playing
from inscape.experiments.serving.server import NotFoundError, Page, Route, Stream, Viewer
from inscape.experiments.serving.stories import Led, Recorded, Story
from inscape.experiments.serving.summaries import RunList

JSON = Any
Given = Mapping[str, Any]

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)

MOST_OPEN = 16
"""Stories and games kept for pages; the one used longest ago makes room."""

EPISODES = 8
"""Recorded episodes of a run that are shown, the latest."""


class App:
    """The viewer's pages and what they ask for.

    Args:
        root: the folder with runs, or a run, or an experiment.

    Raises:
        UsageError: there is no such folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise UsageError(
                f"no folder {root}", expected="a folder with runs", hint="inscape train AGENT WORLD makes runs/"
            )
        self.list = RunList(self.root)
        self._numbers = itertools.count(1)
        self._open: OrderedDict[str, Story | Playing] = OrderedDict()
        self._lock = threading.Lock()
        self._computing = threading.RLock()  # kernels, agents and observers are made by one thread at a time

    def viewer(self, port: int | None = None) -> Viewer:
        """Returns a server of this, listening already."""
        return Viewer(self.routes(), port)

    def routes(self) -> dict[tuple[str, str], Route]:
        """Returns what answers which request."""
        return {
            ("GET", "/"): lambda given: self._page("list", "Runs"),
            ("GET", "/run"): self.run_page,
            ("GET", "/experiment"): self.experiment_page,
            ("GET", "/act"): lambda given: self._page("act", "An agent, step by step"),
            ("GET", "/play"): lambda given: self._page("play", "Play"),
            ("GET", "/api/runs"): self.runs,
            ("GET", "/api/names"): self.names,
            ("GET", "/api/curves"): self.curves,
            ("GET", "/api/changes"): self.changes,
            ("POST", "/api/episodes"): self.episodes,
            ("POST", "/api/act/new"): self.act_new,
            ("POST", "/api/act"): self.act,
            ("POST", "/api/what-if"): self.what_if,
            ("POST", "/api/prior"): self.prior,
            ("POST", "/api/play/new"): self.play_new,
            ("POST", "/api/play"): self.play,
        }

    def close(self) -> None:
        """Keeps what was played."""
        for one in list(self._open.values()):
            if isinstance(one, Playing):
                one.finish()

    # ------------------------------------------------------------------------------------------------- pages

    def _page(
        self, kind: str, title: str, summary: str = "", commands: tuple[str, ...] = (), facts: Any = None,
        sections: Any = (),
    ) -> Page:  # fmt: skip
        return Page(
            render_report(
                sections, title=title, summary=summary, commands=commands, facts=facts or {},
                parts=PageParts(
                    POLICY, "Served by inscape view to this machine only.", "How it was made", _part("view.css"),
                    _part("view.js"),
                    f'<div id="view" data-kind="{kind}"></div>',
                ),
            )
        )  # fmt: skip

    def run_page(self, given: Given) -> Page:
        """Returns the page of a run, without what takes time to read."""
        folder = self.list.folder(given.get("run"))
        try:
            run = open_run(folder)
        except UsageError as error:
            return self._page("damaged", folder.name, str(error))
        s = run.settings
        facts = {"world": str(s.task.get("name")), "agent": s.agent, "seed": str(s.seed), "steps": f"{s.steps:,}"}
        return self._page("run", folder.name, "", (train_line(run),), facts)

    def experiment_page(self, given: Given) -> Page:
        """Returns the page of an experiment: its agents compared."""
        from inscape.experiments.report.compared import compared_sections
        from inscape.experiments.trials.comparison import compare

        folder = self.list.folder(given.get("experiment"), self.list.experiments)
        try:
            sections = compared_sections(compare(str(folder)))
        except UsageError as error:
            return self._page("damaged", folder.resolve().name, str(error))
        return self._page("experiment", folder.resolve().name, sections=sections)

    # ------------------------------------------------------------------------------------------ runs in files

    def runs(self, given: Given) -> JSON:
        """Returns all runs in short, and the names of experiments."""
        return {
            "runs": [dataclasses.asdict(summary) for summary in self.list.summaries()],
            "experiments": list(self.list.experiments()),
        }

    def names(self, given: Given) -> JSON:
        """Returns the worlds and agents that can be chosen."""
        return {
            "worlds": [{"name": spec.name, "players": spec.players} for spec in world_specs()],
            "agents": [entry.name for entry in agent_entries()],
        }

    def changes(self, given: Given) -> Stream:
        """Returns a stream of what changes whenever a run does, or with `run` that run."""
        if "run" not in given:
            return Stream(self.list.fingerprint)
        name = given["run"]
        self.list.folder(name)
        return Stream(lambda: [stamp for known, stamp in self.list.fingerprint() if known == name] or {"gone": True})

    def curves(self, given: Given) -> JSON:
        """Returns the learning curves of a run, every row of its metrics read and checked."""
        from inscape.experiments.report.packing import pack_curves
        from inscape.experiments.report.runs import runs_sections
        from inscape.experiments.report.sections import CurvesSection

        folder = self.list.folder(given.get("run"))
        sections = runs_sections([_opened(folder)], 0)
        charts = [{"title": s.title, **pack_curves(s)} for s in sections if isinstance(s, CurvesSection)]
        summary = next(s for s in self.list.summaries() if s.id == given.get("run"))
        return {"charts": charts, "summary": dataclasses.asdict(summary)}

    # --------------------------------------------------------------------------- stories: recorded, led by hand

    def episodes(self, given: Given) -> JSON:
        """Returns the recorded episodes of a run for the player, with overlays, and the id they are asked about by."""
        folder = self.list.folder(given.get("run"))
        with self._computing:
            run = _opened(folder)
            recorded = [one for one in run.episodes() if one.states is not None][-EPISODES:]
            if not recorded:
                return {"player": None, "notes": ["No episodes were recorded that could be drawn."], "prior": {}}
            task, agent, notes = _agent_of(run)
            if task is None or task.world is None:
                return {"player": None, "notes": notes, "prior": {}}
            for one in recorded:
                assert one.states is not None
                task.world.require_states(one.states, f"the states recorded in {folder.name}")
            observer, why = _observer(task)
            story = Recorded(task, agent, observer, [*notes, *why], recorded)
            return {"id": self._keep(story), **story.data()}

    def act_new(self, given: Given) -> JSON:
        """Returns an episode that begins: of a run's agent, or of a named agent in a named world."""
        seed = _whole(given, "seed", 0)
        with self._computing:
            if given.get("run"):
                run = _opened(self.list.folder(given["run"]))
                task, agent, notes = _agent_of(run)
                if task is None or agent is None:
                    raise UsageError(" ".join(notes), expected="a run whose agent can be loaded")
            else:
                task, notes = _world(given.get("world")), []
                agent = make_agent(_agent_name(given.get("agent")), task, seed=seed)
            observer, why = _observer(task)
            story = Led(task, agent, observer, [*notes, *why], seed)
            return {"id": self._keep(story), "title": f"{agent.name} in {task.name}", **story.data()}

    def act(self, given: Given) -> JSON:
        """Takes a step (`action`: its number, or null for the agent's own), or begins again (`restart`)."""
        story = self._find(given, Led)
        with self._computing:
            if given.get("restart"):
                story.restart()
            else:
                story.act(None if given.get("action") is None else _whole(given, "action", 0))
            return story.data()

    def what_if(self, given: Given) -> JSON:
        """Returns what would follow from the alternatives at a frame of an episode."""
        story = self._find(given, Story)
        with self._computing:
            place = _whole(given, "episode", 0), _whole(given, "frame", 0)
            return story.what_if(*place, _whole(given, "horizon", 20), _whole(given, "samples", 20))

    def prior(self, given: Given) -> JSON:
        """Gives the observer another prior and returns the episodes with what it believes then."""
        story = self._find(given, Story)
        with self._computing, story.lock:
            story.set_prior(given.get("prior"))
            return story.data()

    # ------------------------------------------------------------------------------------------------ playing

    def play_new(self, given: Given) -> JSON:
        """Returns a game that begins."""
        task = self._task_to_play(given)
        asked = given.get("players") or []
        if not isinstance(asked, list) or len(asked) > 16:
            raise UsageError("the players", expected="a list of names")
        players = [name if name == "human" else _agent_name(name) for name in asked]
        with self._computing:
            observer = _observer(task)[0] if given.get("observe") else None
            playing = Playing(task, players, _whole(given, "seed", 0), observer)
            return {"id": self._keep(playing), "title": task.name, **playing.view()}

    def _task_to_play(self, given: Given) -> Task:
        if not given.get("run"):
            return _world(given.get("world"))
        run = _opened(self.list.folder(given["run"]))
        task, _, notes = _agent_of(run)
        if task is None:
            raise UsageError(" ".join(notes), expected="a run whose world can be made")
        return task

    def play(self, given: Given) -> JSON:
        """Takes in what the keyboard did, and returns the picture if it changed."""
        playing = self._find(given, Playing)
        pressed, held = given.get("pressed") or [], given.get("held") or []
        if not all(isinstance(keys, list) and len(keys) <= 32 for keys in (pressed, held)):
            raise UsageError("the keys", expected="lists of at most 32 names")
        return playing.report(pressed, held, bool(given.get("again")))

    # ------------------------------------------------------------------------------------------- what is open

    def _keep(self, one: Story | Playing) -> str:
        with self._lock:
            name = str(next(self._numbers))
            self._open[name] = one
            left = [self._open.popitem(last=False)[1] for _ in range(len(self._open) - MOST_OPEN)]
        for other in left:
            if isinstance(other, Playing):
                other.finish()
        return name

    def _find(self, given: Given, kind: type[Any]) -> Any:
        with self._lock:
            found = self._open.get(str(given.get("id")))
            if not isinstance(found, kind):
                raise NotFoundError("what this page showed is closed", hint="load the page again")
            self._open.move_to_end(str(given["id"]))
        return found


def _part(name: str) -> str:
    return resources.files("inscape.experiments.serving").joinpath(name).read_text(encoding="utf-8")


def _opened(folder: Path) -> Run:
    try:
        return open_run(folder)
    except UsageError as error:
        if not folder.is_dir():
            raise NotFoundError(f"{folder.name} was removed", hint="the list of runs") from error
        raise


def _agent_of(run: Run) -> tuple[Task | None, Any, list[str]]:
    """Returns a run's task and agent, None where they may not be made or cannot be, and why."""
    from inscape.experiments.runs.resuming import load_agent

    if not trust.is_allowed(trust.task_code_names(run.settings.task)):
        name = run.settings.task.get("name")
        return None, None, [f"Not drawn: that would run {name}, and you did not sign this run (inscape view --trust)."]
    try:
        agent, task = load_agent(run)
        return task, agent, []
    except UsageError as error:
        notes = [f"The agent is not here: {error.found}"]
    try:
        return task_from_json(run.settings.task, run.path), None, notes
    except UsageError as error:
        return None, None, [*notes, f"The world is not here: {error.found}"]


def _observer(task: Task) -> tuple[Any, list[str]]:
    """Returns the observer that a world's goals suggest, or why there is none."""
    from inscape.experiments.verbs.observe import observer_for

    if task.world is None or task.players > 1 or not task.world.goals:
        return None, []
    try:
        return observer_for(task), []
    except UsageError as error:
        return None, [f"No observer: {error.found}"]


def _world(name: Any) -> Task:
    """Returns a world that is registered: a page cannot name a file."""
    if not isinstance(name, str) or name not in {spec.name for spec in world_specs()}:
        raise UsageError(f"no world {str(name)[:80]!r} here", expected="one of the list", hint="inscape list worlds")
    return resolve_task(name)


def _agent_name(name: Any) -> str:
    if not isinstance(name, str) or name not in {entry.name for entry in agent_entries()}:
        raise UsageError(f"no agent {str(name)[:80]!r} here", expected="one of the list", hint="inscape list agents")
    return str(name)


def _whole(given: Given, name: str, default: int) -> int:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise UsageError(f"{name} {str(value)[:40]!r}", expected="a whole number of at least 0")
    return value
