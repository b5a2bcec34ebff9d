"""Sweeps: `sweep(agent, world)` searches the settings that do best, and confirms them on seeds of their own."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inscape.agents.presets import Preset, may_have_own_preset, presets_in_use, save_own_preset
from inscape.agents.settings import build_settings
from inscape.envs.tasks.resolve import Given, as_task
from inscape.errors import UsageError, whole_number
from inscape.experiments.runs.progress import Progress
from inscape.experiments.runs.settings import differing, json_values
from inscape.experiments.sweeps import worker as child
from inscape.experiments.sweeps.space import Space, frozen, read_space, require_space, shipped_space, space_of
from inscape.experiments.sweeps.study import ATTEMPTS, PRUNERS, SweepStudy, require_optuna, wait_for_others
from inscape.experiments.sweeps.worker import SweepJob, work
from inscape.experiments.trials.execute import run_trials
from inscape.experiments.trials.trial import Trial
from inscape.experiments.trials.worker import payload_of

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

FORMAT = 1
"""Of a sweep's folder."""
WHAT = "sweep.json"
SEARCHING = 0.7
"""Share of the time that is searched in; the rest confirms."""
CANDIDATES = 5
"""Settings that are trained again with fresh seeds, besides the defaults."""
FRESH_SEED = 1000
"""The first of the seeds that candidates are confirmed with: none that the search has used."""


class SweepInterrupted(KeyboardInterrupt):
    """Ctrl-C during a sweep. The message says what is kept and how to go on."""


@dataclass(frozen=True)
class Candidate:
    """Settings that a sweep found.

    Attributes:
        settings: what differs from the defaults; empty for the defaults themselves.
        searched: its score in the search, which is too high by choice: the best of many; None for defaults that
            were not among the trials.
        scores: with fresh seeds, one each.
    """

    settings: dict[str, Any]
    searched: float | None = None
    scores: tuple[float, ...] = ()

    @property
    def score(self) -> float | None:
        """Mean over the fresh seeds; None where there were none."""
        return sum(self.scores) / len(self.scores) if self.scores else None


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Attributes:
        agent, world: names.
        steps: environment steps of each trial.
        best: the settings that did best with fresh seeds; without those, in the search.
        default: the agent's defaults in this world, with the same seeds.
        candidates: all that were confirmed, best first.
        complete, pruned, failed: numbers of trials.
        curve: for each finished trial in order, the best score so far.
        folder: of the sweep; None in memory.
        preset: the file that the best was saved in, if it was.
        errors: why trials failed, each once.
    """

    agent: str
    world: str
    steps: int
    best: Candidate
    default: Candidate
    candidates: tuple[Candidate, ...]
    complete: int
    pruned: int
    failed: int
    curve: tuple[float, ...] = ()
    folder: Path | None = None
    preset: Path | None = None
    errors: tuple[str, ...] = field(default=(), repr=False)

    @property
    def settings(self) -> dict[str, Any]:
        """The best settings, to train with: `train(agent, world, settings=found.settings)`."""
        return dict(self.best.settings)


def sweep(
    agent: Any,
    world: Given,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    jobs: int = 1,
    search: Space | Mapping[str, Any] | str | Path | None = None,
    steps: int | None = None,
    seeds: int = 1,
    confirm: int = 5,
    pruner: str = "median",
    seed: int = 0,
    device: str = "cpu",
    out: str | Path | None = None,
    save_preset: bool = False,
    verbose: bool = True,
) -> Sweep:
    """Searches the settings with which an agent does best in a world.

        found = sweep("ppo", MyWorld(), minutes=10)
        run = train("ppo", MyWorld(), settings=found.settings)

    The first trial has the defaults; later ones are drawn where earlier ones did well, and ended when their learning
    curve is below the median of the others'. The best of many noisy scores is too good to be true: in the end the best
    five are trained again with fresh seeds, beside the defaults, and the best of these is what was found.

    Args:
        agent: a name, or a class.
        world: as `train` takes it.
        trials: how many, those of earlier calls on this folder included; 50 without `minutes`, otherwise no limit.
        minutes: time for everything; three tenths of it confirm.
        jobs: worker processes; 1 works in this one.
        search: setting → `SearchRange`, `{"low": …, "high": …}` or a list of choices; or a TOML file of these; None for
            what comes with the agent.
        steps: environment steps of each trial; None for the default of this agent in this world.
        seeds: how many each trial is trained with; its score is their mean.
        confirm: fresh seeds of the best at the end; 0 confirms nothing.
        pruner: "median", "halving" (successive halving) or "none".
        seed: of the search.
        device: where tensors live.
        out: the sweep's folder: several processes, on several machines, may work on one; one that was stopped or
            killed goes on. None keeps nothing.
        save_preset: keep the best as the user's preset, which `train` takes from then on for this agent in this world.
        verbose: show progress.

    Raises:
        UsageError: there is no such agent, world or setting; a number out of range; a search space with no values; a
            time too short for one trial; a folder of another sweep; all trials failed; Optuna is not installed.
        SweepInterrupted: Ctrl-C; what is finished is kept.
    """
    require_optuna()
    trials, jobs, minutes = _numbers(trials, jobs, minutes, seeds, confirm, pruner)
    task = as_task(world)
    name, payload = _named(agent, task, jobs)
    with presets_in_use("shipped"):
        trial, space, usual = _prepared(name, agent, task, steps, search, device)
    began = time.time()
    ends = math.inf if minutes is None else began + 60 * minutes
    searches_until = began + 60 * minutes * (SEARCHING if confirm else 1.0) if minutes is not None else math.inf
    with tempfile.TemporaryDirectory(prefix="inscape-sweep-") as scratch:
        folder = Path(scratch) if out is None else Path(out)
        _require_folder(folder, trial, space, seeds)
        job = SweepJob(trial, space, seeds, trials, pruner, whole_number("seed", seed), folder, searches_until)
        study = SweepStudy(folder, pruner, seed, trials)
        try:
            with Progress(f"Sweep of {name} in {task.name}", *_extent(trials, minutes), enabled=verbose) as bar:
                report = _reporting(bar, trials, minutes, began)
                if jobs == 1:
                    work(job, task, agent, report)
                else:
                    _in_processes(job, payload, jobs, lambda: report(study))
                wait_for_others(study, searches_until)
            _require_one(study, minutes, began, job)
            found = _confirmed(study, job, task, usual, confirm, jobs, ends, verbose)
        except KeyboardInterrupt:
            kept = "nothing is kept: no folder was given" if out is None else (
                f"{len(study.finished())} trials are in {folder}; the same command goes on"
            )  # fmt: skip
            raise SweepInterrupted(f"stopped; {kept}") from None
        path = None
        if save_preset and found.best.settings and found.best is not found.default and may_have_own_preset(task):
            path = save_own_preset(name, task, _preset_of(name, trial, found.best))
    return replace(found, folder=None if out is None else folder, preset=path)


def _numbers(
    trials: int | None, jobs: int, minutes: float | None, seeds: int, confirm: int, pruner: str
) -> tuple[int, int, float | None]:
    jobs = whole_number("jobs =", jobs, 1, hint="--jobs 2")
    if trials is None:
        trials = 50 if minutes is None else 1_000_000
    trials = whole_number("trials =", trials, 1, hint="--trials 50")
    whole_number("seeds =", seeds, 1)
    whole_number("confirm =", confirm, 0)
    if minutes is not None and not (isinstance(minutes, (int, float)) and 0 < minutes < math.inf):
        raise UsageError(f"minutes = {minutes!r}", expected="a number above 0", hint="--minutes 10")
    if pruner not in PRUNERS:
        raise UsageError(f"pruner = {pruner!r}", expected=", ".join(PRUNERS))
    return trials, jobs, minutes


def _named(agent: Any, task: Task, jobs: int) -> tuple[str, bytes]:
    """Returns the agent's name, and what worker processes get of agent and world."""
    from inscape.agents.in_hand import name_of
    from inscape.agents.registry import learns
    from inscape.trust import agent_code_names, allow, task_code_names

    if not isinstance(agent, (str, type)):
        raise UsageError(
            f"an agent in hand, {type(agent).__name__}", expected="its name or class: each trial makes one"
        )
    name = name_of(agent)
    allow(agent_code_names(name, {}))
    if isinstance(agent, str) and not learns(agent):
        raise UsageError(f"agent {agent} does not learn", expected="one that does: inscape list agents")
    if jobs == 1:
        return name, b""
    allowed = [*agent_code_names(name, {}), *task_code_names(json_values(task.to_json(), default=repr))]
    return name, pickle.dumps((payload_of(task, allowed), agent), pickle.HIGHEST_PROTOCOL)


def _prepared(
    name: str, agent: Any, task: Task, steps: int | None, search: Any, device: str
) -> tuple[Trial, Space, dict[str, Any]]:
    """Returns the trial that others are changes of, the search space, and all default settings."""
    from inscape.agents.registry import default_settings, default_steps
    from inscape.trust import agent_code_names, code_record, task_code_names

    settings, _ = default_settings(name, task)
    if settings is None:
        raise UsageError(f"agent {name} has no settings", expected="one with a dataclass `Settings`")
    if search is None:
        space = shipped_space(name)
    elif isinstance(search, (str, Path)):
        space = read_space(search)
    else:
        space = space_of(search)
    try:
        require_space(space, name, type(settings), settings)
    except UsageError as error:
        if not isinstance(search, (str, Path)):
            raise
        from inscape.experiments.trials.experiment import with_line

        raise with_line(error, Path(search), Path(search).read_text(encoding="utf-8-sig")) from error
    usual: dict[str, Any] = json_values(
        {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings) if f.init}
    )
    if steps is None:
        steps = default_steps(name, task)
    steps = whole_number("{} training steps", steps, 1, hint="--steps 100000")
    document = json_values(task.to_json(), default=repr)
    trial = Trial(
        name, usual, document, 0, steps, evaluate_every=max(1, steps // 10), evaluate_episodes=10, final_episodes=50,
        device=device, keep="results", code=code_record([*agent_code_names(name, {}), *task_code_names(document)]),
        agent_label=name, world_label=task.name.rpartition("/")[2],
    )  # fmt: skip
    return trial, space, usual


def _require_folder(folder: Path, trial: Trial, space: Space, seeds: int) -> None:
    """Makes the folder, or sees that it is one of this sweep."""
    what = json_values(
        {
            "format": FORMAT,
            "agent": trial.agent,
            "world": trial.task,
            "steps": trial.steps,
            "seeds": seeds,
            "settings": trial.settings,
            "code": {name: record.get("sha256", "") for name, record in trial.code.items()},
            "search": {name: dataclasses.asdict(one) for name, one in space.items()},
        },
        default=repr,
    )
    path = folder / WHAT
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            if any(not one.name.startswith(f".{WHAT}") for one in folder.iterdir()):
                raise UsageError(
                    f"{folder} holds something else", expected="a new folder, or one of a sweep", hint="--out"
                )
            temporary = path.with_name(f".{WHAT}.{os.getpid()}")
            temporary.write_text(json.dumps(what, indent=1), encoding="utf-8")
            os.replace(temporary, path)
        known = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror or error}", hint="another --out") from error
    except ValueError as error:
        raise UsageError(f"{path} is damaged: {error}", expected="a sweep's folder", hint="another --out") from error
    if not isinstance(known, dict) or known.get("format") != FORMAT:
        raise UsageError(f"{folder} is of another version", expected=f"format {FORMAT}", hint="another --out")
    if changes := differing(known, what):
        raise UsageError(
            f"{folder} holds another sweep: {', '.join(changes[:6])} differ",
            expected="the same agent, world, steps, seeds and search space",
            hint="another --out, or remove that folder",
        )


def _extent(trials: int, minutes: float | None) -> tuple[int, int]:
    """Returns what progress counts: trials, or seconds."""
    return (trials, 0) if minutes is None else (max(1, int(60 * minutes)), 0)


def _reporting(bar: Progress, trials: int, minutes: float | None, began: float) -> Any:
    def report(study: SweepStudy) -> None:
        finished, complete = study.finished(), study.complete()
        note = f"{len(finished)} trials, best {complete[0].value:.4g}" if complete else f"{len(finished)} trials"
        bar.update(len(finished) if minutes is None else min(bar.total, int(time.time() - began)), note)

    return report


def _in_processes(job: SweepJob, payload: bytes, jobs: int, report: Any) -> None:
    """Works in processes until all have ended; one that dies is started again."""
    task_payload, agent = pickle.loads(payload)
    order = pickle.dumps((job, task_payload, agent), pickle.HIGHEST_PROTOCOL)
    running = [_start(order) for _ in range(jobs)]
    deaths, refused = 0, None
    try:
        while running:
            time.sleep(0.2)
            report()
            for one in [one for one in running if one.poll() is not None]:
                running.remove(one)
                if one.returncode == 2:
                    refused = refused or (one.stderr.read().decode(errors="replace").strip() if one.stderr else "")
                elif one.returncode != 0:
                    deaths += 1
                    if deaths <= ATTEMPTS * jobs + 20 and time.time() < job.deadline:
                        running.append(_start(order))
    finally:
        for one in running:
            with suppress(OSError):
                one.kill()
            one.wait()
    if refused:
        raise UsageError(refused)


def _start(order: bytes) -> subprocess.Popen[bytes]:
    code = f"import sys; sys.path[:] = {sys.path!r}; from {child.__name__} import main; main()"
    one = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0)
    assert one.stdin is not None
    with suppress(BrokenPipeError):
        one.stdin.write(order)
        one.stdin.flush()
    return one


def _require_one(study: SweepStudy, minutes: float | None, began: float, job: SweepJob) -> None:
    """Raises `UsageError` where no trial came to its end."""
    if study.complete():
        return
    trials = study.study.get_trials(deepcopy=False)
    if errors := [t.user_attrs["error"] for t in trials if "error" in t.user_attrs]:
        raise UsageError(f"all {len(errors)} trials failed, the last one: {errors[-1]}", expected="one that succeeds")
    tried = [t.user_attrs for t in trials if "share" in t.user_attrs]
    whole = [a["seconds"] / a["share"] for a in tried if a["share"] > 0]
    least = min(whole) / 60 / SEARCHING if whole else 2 * (minutes or 1)
    raise UsageError(
        f"minutes = {minutes:g} is too little for one trial of {job.trial.steps:,} steps" if minutes else "no trial",
        expected=f"at least {'about ' if whole else 'some '}{math.ceil(least * 100) / 100:g} minutes",
        hint=f"--minutes {math.ceil(20 * least):g}; or fewer steps: --steps {max(1, job.trial.steps // 10)}",
    )


def _confirmed(
    study: SweepStudy,
    job: SweepJob,
    task: Task,
    usual: dict[str, Any],
    seeds: int,
    jobs: int,
    ends: float,
    verbose: bool,
) -> Sweep:
    """Trains the best settings and the defaults with fresh seeds and returns what was found."""
    complete, finished = study.complete(), study.finished()
    usually = next((t.value for t in complete if t.user_attrs.get("default")), None)
    default = Candidate({}, usually)
    found: list[Candidate] = []
    for one in complete:
        settings = {name: _value(job.space, name, value) for name, value in one.params.items()}
        changed = {name: value for name, value in settings.items() if json_values(value) != usual.get(name)}
        if changed and all(changed != other.settings for other in found):
            found.append(Candidate(changed, one.value))
    best, seeds = _affordable(found[:CANDIDATES], complete, job, seeds, jobs, ends)
    if seeds:
        best, default = _trained_again([*best, default], job, task, usual, seeds, jobs, ends, verbose)
    ranked = sorted([*best, default], key=lambda c: (-_order(c.score), -_order(c.searched)))
    if not any(c.scores for c in ranked):
        ranked.sort(key=lambda c: -_order(c.searched))
    curve, highest = [], -math.inf
    for one in finished:
        highest = max(highest, one.value) if one.value is not None and one.state.name == "COMPLETE" else highest
        curve.append(highest)
    failed = [t.user_attrs["error"] for t in finished if t.state.name == "FAIL"]
    return Sweep(
        job.trial.agent, job.trial.world_label, job.trial.steps, ranked[0], default, tuple(ranked),
        len(complete), len(finished) - len(complete) - len(failed), len(failed), tuple(curve),
        errors=tuple(dict.fromkeys(failed)),
    )  # fmt: skip


def _order(value: float | None) -> float:
    return -math.inf if value is None else value


def _value(space: Space, name: str, parameter: Any) -> Any:
    return frozen(json.loads(parameter)) if space[name].choices else parameter


def _affordable(
    found: list[Candidate], complete: Sequence[Any], job: SweepJob, seeds: int, jobs: int, ends: float
) -> tuple[list[Candidate], int]:
    """Returns as many candidates, best first, and seeds as the time left allows: two seeds at least, or none."""
    if math.isinf(ends) or not found or not seeds:
        return found, seeds if found else 0
    seconds = [t.user_attrs["seconds"] / job.seeds for t in complete if "seconds" in t.user_attrs]
    each = sorted(seconds)[len(seconds) // 2] if seconds else 0.0
    runs = int(jobs * max(0.0, ends - time.time()) / max(each, 1e-3))
    if runs < 4:
        return found[:1], min(seeds, runs // 2)
    count = max(1, min(len(found), runs // min(seeds, 3) - 1))
    return found[:count], min(seeds, max(2, runs // (count + 1)))


def _trained_again(
    candidates: list[Candidate],
    job: SweepJob,
    task: Task,
    usual: dict[str, Any],
    seeds: int,
    jobs: int,
    ends: float,
    verbose: bool,
) -> tuple[list[Candidate], Candidate]:
    trials = [
        (replace(job.trial, settings=json_values({**usual, **one.settings}), seed=FRESH_SEED + number, evaluate_every=0,
                 agent_label=f"candidate {index}"), task)
        for number in range(seeds)
        for index, one in enumerate(candidates)
    ]  # fmt: skip
    left = None if math.isinf(ends) else max(0.0, ends - time.time())
    try:
        results = run_trials(
            trials,
            job.folder / "confirmed",
            jobs,
            verbose=verbose,
            title="Confirming",
            seconds=left,
            retry_failed=False,
        )
    except UsageError:  # another process confirms at present: the same trials, so that waiting for it is enough
        while left is None or time.time() < ends:
            time.sleep(1.0)
            with suppress(UsageError):
                results = run_trials(
                    trials, job.folder / "confirmed", jobs, verbose=False, seconds=left, retry_failed=False
                )
                break
        else:
            return candidates[:-1], candidates[-1]
    scores: dict[int, dict[int, float]] = {}
    for one in results:
        if one.finished and one.score is not None:
            scores.setdefault(one.seed, {})[int(one.agent.split()[1])] = one.score
    whole = [by for _, by in sorted(scores.items()) if len(by) == len(candidates)]  # seeds that all were trained with
    again = [replace(one, scores=tuple(by[index] for by in whole)) for index, one in enumerate(candidates)]
    return again[:-1], again[-1]


def _preset_of(name: str, trial: Trial, best: Candidate) -> Preset:
    """Returns the best as a preset: what differs from the settings class, whatever the world's own preset says."""
    from inscape.agents.registry import settings_class

    cls = settings_class(name)
    plain = build_settings(cls, {})  # type: ignore[arg-type]
    settings = build_settings(cls, {**trial.settings, **best.settings})  # type: ignore[arg-type]
    names = [f.name for f in dataclasses.fields(settings) if f.init]
    changed = {n: getattr(settings, n) for n in names if getattr(settings, n) != getattr(plain, n)}
    return Preset(trial.steps, changed, own=True)
