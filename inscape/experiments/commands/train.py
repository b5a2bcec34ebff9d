"""`inscape train`: trains an agent, evaluates it at the end, and says where the results lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.markup import escape

from inscape.errors import UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.arguments.config import TrainConfig, read_config, setting_words, take_number, take_option
from inscape.experiments.arguments.suggestions import require_agent_first
from inscape.experiments.arguments.train import TrainArguments
from inscape.experiments.commands.evaluate import evaluation_line, print_players
from inscape.experiments.commands.output import make_console
from inscape.experiments.runs.during.curriculum import curriculum_words, stored_curriculum
from inscape.experiments.runs.folders import DEFAULT_ROOT, open_run
from inscape.experiments.runs.run import Run
from inscape.experiments.runs.settings import DURING, RunSettings
from inscape.experiments.trials.experiment import AgentSpec, WorldSpec

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

RECORDED_EPISODES = 4
"""Episodes recorded at the end of training, for `watch`, `observe` and `report`."""


def train_command(argv: Sequence[str]) -> int:
    """Trains, evaluates at the end, and says where the results lie."""
    from inscape.agents.presets import presets_in_use

    with presets_in_use("none" if "--no-preset" in argv else "all"):
        return _train(argv)


def _train(argv: Sequence[str]) -> int:
    from inscape.agents.learning.distributed import process_number
    from inscape.envs.registry import PIXELS_PREFIX
    from inscape.envs.tasks.resolve import task_from_json
    from inscape.experiments.runs.training import train

    several = _several(argv)
    words, resumed = _run_to_resume(several.words)
    default: Task | None
    if resumed is not None and (not words or words[0].startswith("-")):
        resumed.require_trust()
        default = args.changed_task(
            task_from_json(resumed.settings.task, resumed.path), args.task_options(words)[1]
        )  # what differs from the run's is named, and refused, as other settings are
        given = _given_over(resumed.settings, resumed.trusted_settings(), default, words)
    else:
        given, default = _given(words, several.config)
    from inscape.agents.registry import SB3_PREFIX, default_steps
    from inscape.envs.compile.compile_time import compile_seconds

    task = args.in_workers(args.task_given(given, default), given)
    if several.seeds is not None:
        return _train_seeds(given, task, several.seeds, several.jobs)
    steps = default_steps(given.agent, task) if given.steps is None else given.steps
    if process_number() == 0:
        _say_preset(given.agent, task, steps, getattr(given, "settings", None))
    third_party = given.agent.startswith(SB3_PREFIX) and (task.world is None or task.players > 1)
    exact = task.world is not None or task.name.startswith(PIXELS_PREFIX)
    if given.resume and process_number() == 0 and (third_party or not exact):
        text = f"The state of {task.name} is not saved with {given.agent}: resuming restarts the episode."
        make_console().print(f"[dim]{escape(text)}[/dim]", soft_wrap=True)
    compiling = compile_seconds()
    stored = None if resumed is None else stored_curriculum(resumed.settings.curriculum)
    run = train(
        given.agent,
        task,
        steps,
        seed=given.seed,
        device=given.device,
        out=given.out,
        root=DEFAULT_ROOT,
        resume=given.resume,
        accept_changes=given.accept_changes,
        settings=getattr(given, "settings", None),
        evaluate_every=given.evaluate_every,
        evaluate_episodes=given.evaluate_episodes,
        track=given.track,
        keep_best=given.keep_best or None,
        stop_at=given.stop_at,
        patience=given.patience,
        video_every=given.video_every,
        go_on=given.go_on,
        curriculum=curriculum_words(given.curriculum, given.teacher) or stored,
    )
    compiling = compile_seconds() - compiling
    console = make_console()
    stopped = run.stopped
    if stopped is not None:
        why = escape(stopped) or "a callback asked for it"
        reached = f"{run.steps_taken:,} of {run.settings.steps:,} steps"
        console.print(f"Stopped early at {reached}: {why}.", soft_wrap=True)
    if run.trained_steps == 0 and stopped is not None and given.resume:
        console.print(f"Go on with: inscape train --resume {run.path} --go-on", soft_wrap=True)
    elif run.trained_steps == 0 and stopped is None and given.resume:
        console.print(f"{run.path} is finished already: all {run.settings.steps:,} steps were taken.")
    elif run.trained_steps == 0 and stopped is None:
        console.print(f"{given.agent} has nothing to learn with these settings: no steps were taken.")
    elif given.final_episodes > 0:
        final_evaluation(run, task, given.final_episodes)
    if compiling >= 1:
        console.print(f"[dim]{compiling:.0f} s of this were compiling: not again on this machine.[/dim]")
    if (best := run.best_evaluation()) is not None:
        text = f"Best evaluation: {best.return_mean:.4g} at step {best.steps:,}; inscape evaluate {run.path} --best"
        console.print(text, soft_wrap=True)
    console.print(f"Results in {run.path}; show them: inscape report {run.path}", soft_wrap=True)
    return 0


@dataclass(frozen=True)
class _Several:
    """What was read off the line before it is parsed: the words left, a file, how many seeds and worker processes."""

    words: list[str]
    config: TrainConfig
    seeds: int | None
    jobs: int


def _several(argv: Sequence[str]) -> _Several:
    words, file = take_option(argv, "--config", "FILE.toml")
    config = TrainConfig("") if file is None else read_config(file)
    words, seeds = take_number(words, "--seeds")
    words, jobs = take_number(words, "--jobs")
    for name in ("seeds", "jobs"):
        if name in config.options:
            args.require_positive(name, config.options[name])
    seeds = config.options.get("seeds") if seeds is None else seeds
    if seeds is None and jobs is not None:
        raise UsageError("--jobs without --seeds", expected="several runs", hint=f"--seeds 5 --jobs {jobs}")
    if (seeds is not None or file is not None) and "--resume" in words:
        what = "--seeds" if seeds is not None else "--config"
        hint = "the same command goes on" if seeds is not None else "inscape train --resume RUN"
        raise UsageError(f"--resume with {what}", expected="one of them", hint=hint)
    return _Several(setting_words(words), config, seeds, config.options.get("jobs", 1) if jobs is None else jobs)


def _given(words: Sequence[str], config: TrainConfig) -> tuple[Any, Task | None]:
    """Returns the arguments, those of the line over those of a file, and the task that the line's options were read
    for."""
    usage = "inscape train AGENT WORLD [options], inscape train --config FILE, or inscape train --resume RUN"
    bare = not words or words[0].startswith("-")
    if bare and config.agent is not None and config.world is not None:
        assert isinstance(config.world.name, str)
        words = [config.agent.name, config.world.name, *words]
    elif bare and config.file:
        what = "agent" if config.agent is None else "world"
        raise UsageError(f"{config.file} names no {what}", expected=f'{what} = "NAME", or the names on the line',
                         hint="inscape train AGENT WORLD --config FILE")  # fmt: skip
    names = args.leading_names(words, 2, usage)
    require_agent_first("train", names)
    if len(names) < 2:
        return args.parse("train", TrainArguments, words, None), None
    asked = args.task_options(words)[1]
    world = config.world or WorldSpec(names[1])
    limit = world.max_episode_steps if asked.max_episode_steps is None else asked.max_episode_steps
    options = args.TaskOptions(asked.env, (*world.wrap, *asked.wrappers), limit)
    task = args.named_task(names[1], options, world.settings)
    settings = None if config.agent is None else config.agent.settings
    groups = args.settings_groups(TrainArguments, names[0], task, settings)
    if settings and "settings" not in groups:
        raise UsageError(
            f"settings {', '.join(settings)} in {config.file}", expected=f"none: {names[0]} has no settings"
        )
    own = {name: value for name, value in config.options.items() if name not in ("seeds", "jobs")}
    if not config.file:
        return args.parse("train", TrainArguments, words, groups), task
    defaults = {"agent": names[0], "task": names[1], **own}
    given = args.parse("train", TrainArguments, words, groups, defaults)
    return dataclasses.replace(given, wrap=options.wrappers, max_episode_steps=options.max_episode_steps), task


def _train_seeds(given: Any, task: Task, seeds: int, jobs: int) -> int:
    """Trains a run for each seed in worker processes, and compares them."""
    from inscape.agents.registry import default_settings
    from inscape.experiments.commands.compare import print_comparison
    from inscape.experiments.runs.settings import differing, run_name, settings_as_json
    from inscape.experiments.trials.comparison import compare
    from inscape.experiments.trials.experiment import Experiment
    from inscape.world_models.networks.device import resolve_device

    if asked := [name for name in (*DURING, "curriculum") if getattr(given, name)]:
        option = f"--{asked[0].replace('_', '-')}"
        raise UsageError(f"{option} with --seeds", expected="one of them", hint=f"inscape train … {option} --seed N")
    if task.workers is not None:
        raise UsageError("--workers with --seeds", expected="one of them", hint=f"--seeds {seeds} --jobs {jobs}")
    default, _ = default_settings(given.agent, task)
    chosen = settings_as_json(getattr(given, "settings", None)) or {}
    usual = settings_as_json(default) or {}
    settings = {name: chosen[name] for name in differing(usual, chosen) if name in chosen}
    device = str(resolve_device("auto")) if given.device == "auto" else given.device
    experiment = Experiment(
        worlds=[WorldSpec(task)],
        agents=[AgentSpec(given.agent, settings)],
        seeds=[given.seed + k for k in range(seeds)],
        steps=given.steps,
        evaluate_every=given.evaluate_every,
        evaluate_episodes=given.evaluate_episodes,
        final_episodes=given.final_episodes,
        device=device,
        name=f"{given.agent} in {task.name}",
    )
    named = RunSettings(given.agent, task.to_json(), given.seed, 1)
    out = DEFAULT_ROOT / run_name(named).rpartition("-seed")[0] if given.out is None else Path(given.out)
    results = experiment.run(out, jobs)
    console = make_console()
    console.print(f"{len(results)} runs, {results.reused or 'none'} of them finished before", soft_wrap=True)
    for error in dict.fromkeys(result.error.splitlines()[0] for result in results.failed):
        console.print(f"[red]failed[/red] {escape(error)}", soft_wrap=True)
    if len(results.failed) < len(results):
        print_comparison(console, compare(results))
    console.print(f"Results in {out}; show them: inscape report {out}/runs/*, inscape compare {out}", soft_wrap=True)
    return 1 if results.failed else 0


def _run_to_resume(argv: Sequence[str]) -> tuple[list[str], Run | None]:
    """Returns the line with `--resume RUN` as `--resume --out RUN`, and the run; as it is, and None, without a RUN."""
    words = list(argv)
    if "--resume" not in words[:-1]:
        return words, None
    at = words.index("--resume") + 1
    if words[at].startswith("-"):
        return words, None
    run = open_run(words.pop(at))
    if run.is_best:
        raise UsageError(
            f"--resume {run.path}/best", expected="a run, which goes on from its newest model",
            hint=f"--resume {run.path}",
        )  # fmt: skip
    return [*words, "--out", str(run.path)], run


def _given_over(before: RunSettings, settings: Mapping[str, Any], task: Task, words: Sequence[str]) -> Any:
    """Returns the arguments of `train` where those that are not given are those of a run in `task`.

    Args:
        before: the run's settings.
        settings: its agent's, as `Run.trusted_settings` gives them.
        task: its task.
        words: the line after the command.
    """
    from inscape.experiments.runs.training import workers_of

    names = {"agent": before.agent, "task": str(before.task["name"])}
    others = ("steps", "seed", "device", "evaluate_every", "evaluate_episodes")
    defaults = {**names, **{name: getattr(before, name) for name in others}}
    if (workers := workers_of(before)) is not None:
        defaults |= {
            "workers": workers.count,
            "hang_seconds": workers.hang_seconds,
            "max_restarts": workers.max_restarts,
        }
    groups = args.settings_groups(TrainArguments, names["agent"], task, settings)
    return args.parse("train", TrainArguments, [*names.values(), *words], groups, defaults)


def _say_preset(agent: str, task: Task, steps: int, settings: Any) -> None:
    from inscape.agents.registry import default_settings

    _, preset = default_settings(agent, task)
    if preset is not None and (line := preset.describe(agent, task.name, steps, settings)):
        make_console().print(f"[dim]{escape(line)}[/dim]", soft_wrap=True)


def final_evaluation(run: Run, task: Task, episodes: int) -> None:
    """Evaluates the agent of a finished run, prints how it did, and stores that and some episodes in the run folder."""
    from inscape.agents.rollout import bootstrap_interval, evaluate_players, rollout
    from inscape.experiments.runs.loop import EVALUATION_SEED, evaluated_casts
    from inscape.experiments.runs.resuming import load_agent

    agent, _ = load_agent(run)
    seed = EVALUATION_SEED + run.settings.seed
    console = make_console()
    returns = []
    for number, (agents_by_player, own) in enumerate(evaluated_casts(agent, task, seed)):
        found = evaluate_players(agents_by_player, task, episodes, seed)
        returns += [found[player].returns for player in own]
        if task.players == 1:
            console.print(evaluation_line(run.settings.agent, task, found[0]), soft_wrap=True)
        else:
            print_players(console, agents_by_player, task, found)
        if number == 0:
            run.save_episodes("final", rollout(agents_by_player, task, min(RECORDED_EPISODES, episodes), seed))
    everything = np.concatenate(returns)
    low, high = bootstrap_interval(everything, np.random.default_rng(seed))
    document: dict[str, Any] = {
        "mean": float(everything.mean()),
        "low": low,
        "high": high,
        "episodes": episodes,
        "seed": seed,
    }
    if task.players > 1:
        document["players"] = [float(own.mean()) for own in returns]
    run.write_evaluation(document)
