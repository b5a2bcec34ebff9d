"""The command that trains a run again, from its settings: the inverse of what `arguments` reads."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inscape import trust
from inscape.agents.in_hand import IN_HAND as AGENT_IN_HAND
from inscape.envs.tasks.in_hand import IN_HAND
from inscape.envs.tasks.wrapping import as_wrapping
from inscape.errors import UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.arguments.config import OF_SETTING, setting_words
from inscape.experiments.arguments.train import TrainArguments
from inscape.experiments.runs.during.curriculum import words_of_curriculum
from inscape.experiments.runs.settings import differing, settings_as_json

if TYPE_CHECKING:
    from inscape.experiments.runs.run import Run
    from inscape.experiments.runs.settings import RunSettings

USUAL = TrainArguments(agent="", task="")
"""What `inscape train` does by default."""


def train_line(run: Run) -> str:
    """Returns the line that trains a run again, into a folder of its name: with what differs from the usual.

    The line is read back as the command reads it. Where it would not say the same (a map as rows of text, an agent
    whose settings have no names), a line of Python does.
    """
    from inscape.world_models.networks.device import has_cuda

    s = run.settings
    if s.task.get(IN_HAND) or s.agent.endswith(AGENT_IN_HAND):
        agent = s.agent.removesuffix(AGENT_IN_HAND)
        return f"# in Python, with these in hand: train({agent}, {s.task['name']}, {s.steps}, seed={s.seed})"
    trusted = trust.is_allowed(s.code_names())  # else the line is written without making agent or world
    words = [s.agent, str(s.task.get("name", "")), "--steps", str(s.steps), "--seed", str(s.seed)]
    if s.device != ("cuda" if has_cuda() else "cpu"):
        words += ["--device", s.device]
    if s.evaluate_every != max(1, s.steps // 10):
        words += ["--evaluate-every", str(s.evaluate_every)]
    if s.evaluate_episodes != USUAL.evaluate_episodes:
        words += ["--evaluate-episodes", str(s.evaluate_episodes)]
    for name in ("hang_seconds", "max_restarts") if s.workers else ():
        if s.workers.get(name) != getattr(USUAL, name):
            words += [f"--{name.replace('_', '-')}", str(s.workers.get(name))]
    if s.workers:
        words += ["--workers", str(s.workers.get("count"))]
    curriculum = words_of_curriculum(s.curriculum)
    words += curriculum or []
    evaluation = run.evaluation()
    if evaluation is not None and evaluation[1] != USUAL.final_episodes:
        words += ["--final-episodes", str(evaluation[1])]
    try:
        if same := trusted and curriculum is not None:
            words += _settings_words(s)
            same = _read_back(words, s)
    except UsageError:  # the agent's file has gone, say
        same = False
    if not same:
        code = _python(s, str(run.path), 0 if evaluation is None else evaluation[1])
        return f"python -c {shlex.quote(code)}" if set(code) & set('"$`!\\') else f'python -c "{code}"'
    return shlex.join(["inscape", "train", *words, "--out", str(run.path)])


def _settings_words(s: RunSettings) -> list[str]:
    """Returns the options of an agent's and of a world's settings that differ from what they are by default."""
    of_task = _task_words(s.task)
    task = args.named_task(str(s.task["name"]), args.task_options(of_task)[1])
    words: list[str] = []
    groups = args.settings_groups(TrainArguments, s.agent, task)
    if "settings" in groups:
        default = groups["settings"][1]
        prefix = "agent." if args.needs_prefix(TrainArguments, default) else ""
        changed = {name.split(".")[0] for name in differing(settings_as_json(default), s.agent_settings)}
        words += [
            w for name, value in s.agent_settings.items() if name in changed for w in _own_option(prefix + name, value)
        ]
    return words + of_task


def _task_words(task: Mapping[str, Any]) -> list[str]:
    """Returns the options of a stored task: the world's settings or the environment's, time limit and wrappers."""
    world = args.is_world(str(task["name"]))
    words: list[str] = []
    for name, value in task["settings"].items():
        if name == "max_episode_steps":
            words += ["--max-episode-steps", str(value)]
        elif world:
            words += _option(f"world.{name}", value)
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            words.append(f"--env.{name.replace('_', '-')}={text}")
    for wrapper in task.get("wrappers", []):
        words += ["--wrap", str(as_wrapping(wrapper))]
    return words


def _own_option(name: str, value: Any) -> list[str]:
    """Returns the option of an agent's setting, told from the command's own of that name."""
    return _option(OF_SETTING.removeprefix("--") if name == "seeds" else name, value)


def _option(name: str, value: Any) -> list[str]:
    option = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        head, dot, last = option.removeprefix("--").rpartition(".")
        return [option if value else f"--{head}{dot}no-{last}"]
    if isinstance(value, Mapping):
        return [option, *(str(word) for pair in value.items() for word in pair)]
    if isinstance(value, list | tuple):
        return [option, *map(str, value)]
    return [f"{option}={value}"] if str(value).startswith("-") else [option, str(value)]


def _read_back(words: Sequence[str], s: RunSettings) -> bool:
    """Returns whether `inscape train` understands these words as the settings of the run."""
    default = args.named_task(str(s.task["name"]), args.task_options(words)[1])
    groups = args.settings_groups(TrainArguments, s.agent, default)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            given = args.parse("train", TrainArguments, setting_words(words), groups)
    except SystemExit:
        return False
    understood = settings_as_json(getattr(given, "settings", None))
    own = {name: understood[name] for name in s.agent_settings if name in understood}  # older runs have fewer
    task = settings_as_json(args.task_given(given, default).to_json())
    return not differing(own, s.agent_settings) and not differing(task, s.task)


def _python(s: RunSettings, out: str, final_episodes: int) -> str:
    settings = f", settings={s.agent_settings!r}" if s.agent_settings else ""
    imports = "from inscape.experiments.commands.train import final_evaluation; " if final_episodes else ""
    evaluated = f"; final_evaluation(run, task, {final_episodes})" if final_episodes else ""
    trusted = trust.task_code_names(s.task)  # typed with the line: it names the code to run
    allowing = f"from inscape.trust import allow; allow({trusted!r}); " if trusted else ""
    curriculum = f", curriculum=Curriculum.from_json({s.curriculum!r})" if s.curriculum else ""
    imports += "from inscape.envs import Curriculum; " if s.curriculum else ""
    return (
        "from math import inf, nan; from inscape.envs.tasks.resolve import task_from_json; "
        f"from inscape.experiments.runs.training import train; {imports}{allowing}"
        f"task = task_from_json({dict(s.task)!r}); run = train({s.agent!r}, task, {s.steps}, "
        f"seed={s.seed}, device={s.device!r}, out={out!r}"
        f"{settings}, evaluate_every={s.evaluate_every}, evaluate_episodes={s.evaluate_episodes}"
        f"{curriculum}){evaluated}"
    )
