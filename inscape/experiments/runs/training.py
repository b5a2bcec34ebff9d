"""Training: what is asked for becomes a run, and the loop around the agent's `learn` fills it; exact resume.

`learn` is a generator that yields at points where `state_dict` is whole; everything else happens between yields. A run
killed at any moment goes on from its last checkpoint and ends with the weights of one never killed: what was logged
after that checkpoint is forgotten and happens again.
"""

from __future__ import annotations

import dataclasses
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from inscape.agents.catalogue import AgentEntry
from inscape.agents.in_hand import known_name, name_of
from inscape.agents.learning.distributed import dismiss, process_count, process_number
from inscape.agents.registry import SB3_PREFIX, default_steps, is_built_in
from inscape.agents.settings import build_settings
from inscape.envs.tasks.arguments import files_in, require_json
from inscape.envs.tasks.resolve import as_task
from inscape.errors import UnknownSettingError, UsageError, whole_number
from inscape.experiments.runs.callbacks import require_callbacks
from inscape.experiments.runs.during.curriculum import curriculum_callbacks, curriculum_json, curriculum_task
from inscape.experiments.runs.during.options import STOPPING, callbacks_for, during_options
from inscape.experiments.runs.folders import DEFAULT_ROOT, create_run, open_run
from inscape.experiments.runs.loading import build_agent, learning_task, require_saving
from inscape.experiments.runs.loop import TrainingLoop, polite_interrupt, steps_learned
from inscape.experiments.runs.progress import Progress
from inscape.experiments.runs.resuming import restore, run_to_resume
from inscape.experiments.runs.run import Run
from inscape.experiments.runs.settings import RunSettings, complete_settings, installed_versions, json_values
from inscape.experiments.runs.storage.checkpoints import require_storable
from inscape.experiments.runs.unsaved import UnsavedRun
from inscape.experiments.tracking.trackers import require_trackers
from inscape.trust import code_record, file_record

if TYPE_CHECKING:
    from inscape.envs.tasks.curriculum.task import Curriculum
    from inscape.envs.tasks.processes.workers import Workers
    from inscape.envs.tasks.resolve import Given
    from inscape.envs.tasks.task import Task


def train(
    agent: Any,
    world: Given,
    steps: int | None = None,
    *,
    seed: int = 0,
    device: str = "cpu",
    out: str | Path | None = None,
    root: str | Path | None = None,
    resume: bool = False,
    settings: Any = None,
    verbose: bool = True,
    progress: bool = True,
    evaluate_every: int | None = None,
    evaluate_episodes: int = 10,
    checkpoint_seconds: float = 30.0,
    checkpoint_steps: int | None = None,
    on_yield: Callable[[Any, Mapping[str, float]], None] | None = None,
    accept_changes: bool = False,
    workers: Workers | int | Literal["auto"] | None = None,
    track: str | Sequence[str] | None = None,
    on: Sequence[Any] = (),
    keep_best: bool | None = None,
    stop_at: float | None = None,
    patience: int | None = None,
    video_every: int | None = None,
    go_on: bool = False,
    curriculum: Curriculum | Mapping[str, Any] | None = None,
    **agent_settings: Any,
) -> Run:
    """Trains an agent in a world and returns the run: the trained agent, its metrics, and its folder if it has one.

        run = train("ppo", "CartPole")
        run = train(PPO, MyWorld(), steps=20_000, learning_rate=1e-3)
        run = train(my_agent, gym.make("CartPole-v1"), steps=10_000, out="runs/mine")

    Without `out` and `root` no file is written: the run is in memory, and `run.save(FOLDER)` writes it. The same seed
    gives the same run.

    Under `torchrun` all processes call this alike. The first has the run folder and returns; the others learn along
    (`inscape.agents.learning.distributed`) and leave when it is done.

    Args:
        agent: a name (`"ppo"`, `"sb3:dqn"`, `"file.py:Class"`), a class (of Inscape, of Stable-Baselines3, your own),
            or an agent in hand, which goes on learning.
        world: a name, or a task, a world or an environment, its class or a function that makes one; agents learn in
            copies of it.
        steps: environment steps in total, those before a resume included, those an agent in hand has learned before
            not; None for the preset of this agent in this world, or the agent's default.
        seed: seed of everything random.
        device: `"auto"`, `"cpu"` or `"cuda"`; what `"auto"` came to is recorded.
        out: the run folder; None makes one under `root`, or with `resume` finds the newest one of this name there.
        root: where run folders without a name of their own go; the command line has `runs`.
        resume: go on from the last checkpoint of a run with the same settings.
        settings: the agent's settings, a dataclass or a dict; None for its defaults.
        verbose: show progress when training takes longer than two seconds: a bar, in a notebook too; a line now and
            then where output is not a terminal.
        progress: False shows no progress either.
        evaluate_every: steps between points of the learning curve; None for ten points, 0 for none.
        evaluate_episodes: episodes of each of those evaluations.
        checkpoint_seconds: time between checkpoints, at most; whatever the value, one is made at the end and on Ctrl-C,
            and more often in third-party environments (`CHECKPOINT_SHARE`).
        checkpoint_steps: steps between checkpoints, besides those made by time.
        on_yield: called with the agent and its metrics whenever `learn` yields; to look, not to change.
        accept_changes: with `resume`, go on although a file of the agent or of the task was edited since.
        workers: processes that the copies of a third-party environment are divided over, a number, `"auto"` or
            `Workers` with the limits; None for what the task says (`Task.in_workers`), or with `resume` and `out` for
            what the run was started with. Results do not depend on it.
        track: trackers that metrics are sent to beside the run's own files: "wandb", "mlflow", "trackio", several
            with commas between them. One that fails later is dropped with a warning.
        on: callbacks (`inscape.experiments.Callback`): called at the start, at each yield of `learn`, after each
            evaluation, at the end; they may stop training.
        keep_best: keep the agent of the best evaluation beside the newest: `run.best`.
        stop_at: stop when an evaluation's mean return is at least this: `StopAt`.
        patience: stop after so many evaluations in a row without a new best: `StopOnPlateau`.
        video_every: steps between videos of an episode, in the run's folder `videos`; 0 for none.
        go_on: with `resume`, go on although the run was stopped early, to the end or until a `stop_at` or `patience`
            that is given now. With `resume` alone, a stopped run stays as it is, and what is not given of these is
            as the run was started with.
        curriculum: settings of the world between which a teacher chooses for each episode of training, a `Curriculum`
            or its settings (`{"size": [5, 6, 8]}`); evaluations stay in `world` as it is. With `resume` it is to be
            given again.
        agent_settings: settings of the agent by name, over `settings`. `data` of an agent that imitates may be a list
            of trajectories in hand.

    Raises:
        UsageError: there is no such agent or world; the agent does not learn or cannot be saved, or not among the
            players of this world; an unknown setting (a `TypeError` too); a number below the least it can be; the
            folder cannot be used, or another process trains the run; or the settings of a resumed run changed, or its
            code without `accept_changes`.
        EnvironmentFault: a third-party environment went wrong; the run is kept, and can be resumed.
        TrainingInterrupted: Ctrl-C; a checkpoint was left.
        SystemExit: under torchrun, in the processes that only learn along, when the first is done.
    """
    task, spec = as_task(world), name_of(agent)
    _require_own_names(agent_settings)
    data = None if isinstance(agent_settings.get("data", ""), str) else agent_settings.pop("data")
    settings = merged_settings(settings, agent_settings)
    hint = "--steps 100000"
    steps = _steps_of(agent, task) if steps is None else whole_number("{} training steps", steps, 1, hint=hint)
    seed = whole_number("seed", seed)
    _require_numbers(evaluate_every, evaluate_episodes, checkpoint_steps, checkpoint_seconds)
    trackers, callbacks = require_trackers(track), require_callbacks(on)
    during = during_options(keep_best, stop_at, patience, video_every)
    if go_on and not resume:
        raise UsageError("go_on without resume", expected="a run that was stopped early", hint="resume=True")
    unsaved = out is None and root is None and not resume
    if task.world is None and not unsaved:
        require_json(task.to_json()["settings"], task.name)
    if workers is None and task.workers is None and resume and out is not None:
        workers = workers_of(open_run(out).settings)
    if workers is not None:
        task = in_workers(task, workers)
    learned_in, given = curriculum_task(learning_task(agent, task), curriculum), agent
    with _settings_of_the_world(agent_settings, task):
        agent = build_agent(given, learned_in, seed, settings, device)
    _require_learning(agent, spec, unsaved)
    if data is not None:
        _demonstrate(agent, spec, data)
    if not unsaved and not is_built_in(spec):  # built-in states can be stored, and may be large
        require_storable(agent.state_dict(), spec)
    if process_count() > 1:
        _learn_along(agent, spec, learned_in)
    before = 0 if resume or isinstance(given, (str, type)) else steps_learned(given)
    steps += before
    wanted = RunSettings(
        agent=spec,
        task=json_values(task.to_json()),
        seed=seed,
        steps=steps,
        device=_resolved(device),
        agent_settings=complete_settings(agent, settings, lenient=unsaved),
        evaluate_every=max(1, (steps - before) // 10) if evaluate_every is None else evaluate_every,
        evaluate_episodes=evaluate_episodes,
        during=during,
        curriculum=curriculum_json(learned_in),
        versions=installed_versions(),
        workers=_stored_workers(task),
    )
    loaded = wanted.agent_settings.get("load") if spec.startswith(SB3_PREFIX) else None
    code = code_record(wanted.code_names()) | (file_record(loaded) if loaded else {})
    for file in files_in(wanted.task):
        code |= file_record(file)
    wanted = dataclasses.replace(wanted, code=code)
    root = DEFAULT_ROOT if root is None else root
    run: Run
    if unsaved:
        run = UnsavedRun(wanted)
    elif resume:
        run = run_to_resume(wanted, agent, out, root, accept_changes)
    else:
        run = create_run(wanted, out, root, locked=True)
    try:
        if resume:
            _take_options(run, during, go_on)
        run.hold(agent, task)
        callbacks = (*callbacks_for(run.settings.during), *curriculum_callbacks(learned_in), *callbacks)
        start = restore(run, agent, callbacks, go_on) if resume else before
        if start is not None:
            _begin_tracking(run, trackers, fresh=not resume)
            loop = TrainingLoop(
                run, agent, task, learned_in, start, not resume, checkpoint_seconds, checkpoint_steps, on_yield,
                callbacks,
            )  # fmt: skip
            with (
                Progress(f"{spec} in {task.name}", steps, done=start, enabled=verbose and progress) as bar,
                polite_interrupt() as asked,
            ):
                loop.drive(bar, asked)
            run.trained_steps = loop.steps - start
    finally:
        run.release()
    dismiss()
    return run


def _take_options(run: Run, given: Mapping[str, Any], go_on: bool) -> None:
    """Takes what is to be done while a resumed run learns: as it was, but for what is given; going on past an early
    stop, none of what stopped it but what is given."""
    known = run.settings.during
    if run.finished and run.stopped is None:
        return
    if go_on and run.stopped is not None:
        known = {name: value for name, value in known.items() if name not in STOPPING}
    run.take_options({**known, **given})


def in_workers(task: Task, workers: Workers | int | Literal["auto"]) -> Task:
    """Returns the task with its copies in worker processes; with `"auto"`, as it is where that is not possible.

    Raises:
        UsageError: a number of processes for copies that cannot be divided over any (`Task.in_workers`).
    """
    if workers == "auto" and (why := task.no_workers()):
        logging.getLogger("inscape").info("No worker processes for %s: %s.", task.name, why)
        return task
    return task.in_workers(workers)


def _begin_tracking(run: Run, trackers: dict[str, Any], fresh: bool) -> None:
    """Begins trackers; where one refuses, a run that was just made is gone again."""
    try:
        run.track(trackers)
    except UsageError:
        if fresh:
            run.discard()
        raise


def _stored_workers(task: Task) -> dict[str, Any]:
    if task.workers is None:
        return {}
    return {name: getattr(task.workers, name) for name in ("count", "hang_seconds", "max_restarts")}


def workers_of(settings: RunSettings) -> Workers | None:
    """Returns the worker processes that a run was started with; None where it had none.

    Raises:
        UsageError: what is stored of them are no numbers of processes, seconds and restarts.
    """
    from inscape.envs.tasks.processes.workers import Workers

    if not settings.workers:
        return None
    try:
        return Workers(**settings.workers)
    except TypeError as error:
        raise UsageError(
            f"run setting 'workers' is {settings.workers}", expected="count, hang_seconds, max_restarts"
        ) from error


def _require_own_names(settings: Mapping[str, Any]) -> None:
    """Raises `UsageError`, a `TypeError` too, for arguments that are none of an agent's and that belong elsewhere."""
    for name, instead in (("total_timesteps", "steps=…"), ("timesteps", "steps=…"), ("episodes", "steps=…")):
        if name in settings:
            raise UnknownSettingError("train", name, expected="how many environment steps", hint=instead)


@contextmanager
def _settings_of_the_world(given: Mapping[str, Any], task: Task) -> Iterator[None]:
    """Where an agent has no such setting, says so if the world has it."""
    try:
        yield
    except UnknownSettingError as error:
        known = {} if task.world is None else task.world.setting_parameters()
        name = next((name for name in given if name in known and repr(name) in error.found), None)
        if name is None:
            raise
        raise UnknownSettingError(
            error.found, expected="a setting of the agent; this is one of the world",
            hint=f"make_world({task.name!r}, {name}={given[name]!r})",
        ) from error  # fmt: skip


def merged_settings(settings: Any, named: Mapping[str, Any]) -> Any:
    """Returns settings, a dataclass, a mapping or None, with those given by name over them."""
    if not named:
        return settings
    if settings is None or isinstance(settings, Mapping):
        return {**(settings or {}), **named}
    return build_settings(type(settings), named, base=settings)


def _require_numbers(every: Any, episodes: Any, checkpoint_steps: Any, checkpoint_seconds: Any) -> None:
    for name, value, least in (
        ("evaluate_every", every, 0), ("evaluate_episodes", episodes, 1),
        ("checkpoint_steps", checkpoint_steps, 1), ("checkpoint_seconds", checkpoint_seconds, 0),
    ):  # fmt: skip
        if value is not None and not value >= least:
            raise UsageError(f"{name} = {value!r}", expected=f"a number of at least {least}")


def _steps_of(agent: Any, task: Task) -> int:
    """Returns how many steps to train for where that is not given."""
    name = agent if isinstance(agent, str) else known_name(agent if isinstance(agent, type) else type(agent))
    return AgentEntry.steps if name is None else default_steps(name, task)


def _require_learning(agent: Any, spec: str, unsaved: bool) -> None:
    if not callable(getattr(agent, "learn", None)):
        raise UsageError(
            f"agent {spec} does not learn",
            expected="an agent with a method learn(task, steps)",
            hint=_how_to_learn(agent, spec),
        )
    if not unsaved:
        require_saving(agent, spec)


def _demonstrate(agent: Any, spec: str, data: Any) -> None:
    """Gives an agent that imitates what it is to imitate."""
    if not callable(getattr(agent, "demonstrate", None)):
        raise UsageError(f"data for {spec}", expected="an agent that imitates", hint="clone, airl")
    agent.demonstrate(data)


def _how_to_learn(agent: Any, spec: str) -> str:
    if type(getattr(agent, "wrapped", None)).__module__.startswith(("stable_baselines3.", "sb3_contrib.")):
        return "model.learn(…), or train with its class: train(PPO, world)"
    return f"inscape evaluate {spec} WORLD"


def _learn_along(agent: Any, spec: str, task: Task) -> None:
    """Under torchrun: refuses agents that learn in one process; in all but the first, does not return."""
    if not callable(getattr(agent, "run_worker", None)):
        raise UsageError(
            f"{spec} in {process_count()} processes",
            expected="an agent that can share its learning: ppo, a2c, dqn, sac", hint="leave out torchrun",
        )  # fmt: skip
    if process_number() > 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process: the first decides
        agent.run_worker(task)
        dismiss()
        raise SystemExit(0)


def _resolved(device: str) -> str:
    """Returns what a device came to: an agent with tensors has imported torch by now, any other runs on the CPU."""
    if "torch" not in sys.modules:
        return "cpu"
    from inscape.world_models.networks.device import resolve_device

    return str(resolve_device(device))
