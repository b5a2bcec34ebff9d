"""What each command takes, as frozen dataclasses, and the two-stage parse: names first, then their settings.

The settings a command takes depend on the agent and the world it is given (`train ppo CartPole --learning-rate 1e-3`,
`evaluate random FrozenLake --world.slip 0.2`), so names come first on the line: they are read, the parser is built for
them, and then the whole line is parsed strictly by tyro.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg

from inscape.errors import UsageError

Device = Literal["auto", "cpu", "cuda"]
Name = Annotated[str, arg(metavar="NAME")]
Steps = Annotated[int | None, arg(metavar="N")]


@dataclass(frozen=True)
class ListArguments:
    """Lists what is known by name.

    Examples:
      inscape list
      inscape list agents
      inscape list runs
      inscape list worlds --gallery docs/worlds.md
    """

    what: Positional[Literal["all", "worlds", "agents", "models", "runs"]] = "all"
    """What to list."""

    gallery: Annotated[str | None, arg(metavar="FILE.md")] = None
    """Write a page on every world, with a picture and the settings of each, instead."""


@dataclass(frozen=True)
class TrainArguments:
    """Trains an agent in a world; AGENT and WORLD come first, their settings after them.

    AGENT is a name (inscape list agents), file.py:Class or package.module:Class.
    WORLD is a name (inscape list worlds), any Gymnasium id, or file.py:Class.

    Examples:
      inscape train ppo CartPole
      inscape train q-learning FrozenLake8x8 --steps 1000000 --world.slip 0.2
      inscape train sb3:dqn LunarLander-v3 --seed 3 --out runs/lander
      inscape train --resume runs/CartPole-ppo-seed0          agent, world and settings are the run's
      inscape train ppo CartPole --help          lists the settings of both
    """

    agent: Annotated[Positional[str], arg(metavar="AGENT")]
    """The agent."""

    task: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world."""

    steps: Steps = None
    """Environment steps in total; without it, what is known to do for this agent and world."""

    seed: int = 0
    """Seed of everything random."""

    device: Device = "auto"
    """Where tensors live."""

    out: Annotated[str | None, arg(metavar="DIR")] = None
    """The run folder; without it, a fresh one under runs/."""

    resume: bool = False
    """Go on from the last checkpoint of a run: --resume RUN, which needs no more; after AGENT WORLD alone, of their
    newest run."""

    evaluate_every: Steps = None
    """Steps between two points of the learning curve; 0 for none; without it, ten points."""

    evaluate_episodes: int = 10
    """Episodes of each of these evaluations."""

    final_episodes: int = 100
    """Episodes of the evaluation at the end; 0 for none."""


@dataclass(frozen=True)
class EvaluateArguments:
    """Plays episodes; prints the mean return, its 95 % interval, and where the law allows exact value and regret.

    Several players: an agent for each, with commas, or one for all; prints how each of them did.

    Examples:
      inscape evaluate random CartPole
      inscape evaluate runs/CartPole-ppo-seed0 CartPole --episodes 500
      inscape evaluate examples/balance.py:Balance CartPole
      inscape evaluate sb3:ppo CartPole --load model.zip --trust
      inscape evaluate mcts,random ConnectFour
    """

    agent: Annotated[Positional[str], arg(metavar="AGENT|RUN|FILE.py:Class[,…]")]
    """An agent or a run folder; several players: one for each, with commas, or one for all."""

    task: Annotated[Positional[str], arg(metavar="WORLD")] = ""
    """The world; a run may leave it out."""

    episodes: int = 100
    """Episodes to play."""

    seed: int = 0
    """Seed of the episodes and of the agent's own chance."""

    exact_gamma: Annotated[float | None, arg(metavar="FLOAT")] = None
    """Discount of the exact value; without it, the world's."""

    save_episodes: Annotated[str | None, arg(metavar="FILE.npz|minari:NAME")] = None
    """Record the episodes in a file, or as a Minari data set such as minari:lake/ppo-v0."""


@dataclass(frozen=True)
class PlanArguments:
    """Searches from a world's start with MCTS and prints what each action is worth, beside the exact optimum.

    Examples:
      inscape plan FrozenLake8x8
      inscape plan FrozenLake8x8 --simulations 100000 --gamma 0.95
      inscape plan FrozenLake8x8 --model tabular --model-steps 50000
      inscape plan examples/elevator.py:Elevator --model runs/Elevator-mcts-seed0
      inscape plan Tiger --full-information
    """

    task: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world, at its initial state."""

    simulations: int = 10_000
    """Simulations of the search."""

    model: Annotated[str, arg(metavar="known|tabular|RUN")] = "known"
    """The world's own law, a table learned from random steps, or the model that the agent of a run has learned."""

    model_steps: int = 20_000
    """Random steps the table is learned from, with --model tabular."""

    gamma: Annotated[float | None, arg(metavar="FLOAT")] = None
    """Discount; without it, the world's."""

    full_information: bool = False
    """Where the one who acts cannot tell the state, plan as one who sees it."""

    seed: int = 0
    """Seed of the start state and of the search."""


@dataclass(frozen=True)
class ObserveArguments:
    """Watches episodes and prints, step by step, what an observer believes the agent wants.

    Examples:
      inscape observe runs/FourGoals-q-learning-seed0
      inscape observe episodes.npz --goals A,B,C --beta 1,10
      inscape observe value-iteration FourGoals --backup maxent
    """

    source: Annotated[Positional[str], arg(metavar="RUN|EPISODES|AGENT")]
    """A run folder, a file of recorded episodes, or an agent to play some."""

    task: Annotated[Positional[str], arg(metavar="WORLD")] = ""
    """The world, for an agent."""

    goals: Annotated[str, arg(metavar="A,B,…")] = ""
    """Goals considered, by name; without it, all that the world names."""

    beta: Annotated[str, arg(metavar="β,β,…")] = "1,5,25"
    """Degrees of rationality considered, per unit of reward: 0 acts at random."""

    backup: Annotated[str, arg(metavar="NAME,…")] = "soft-eval"
    """How a mind values the future: soft-eval (as it will act), maxent (log-sum-exp), hard (at its best)."""

    prior: Annotated[str, arg(metavar="P,P,…")] = ""
    """Prior probability of each goal; without it, equal."""

    gamma: Annotated[float | None, arg(metavar="FLOAT")] = None
    """Discount the minds plan with; without it, the world's."""

    episodes: int = 1
    """Episodes to show (and to play, for an agent or a run without recorded ones)."""

    seed: int = 0
    """Seed of the episodes played."""


@dataclass(frozen=True)
class WatchArguments:
    """Shows agents at work, or recorded episodes: a window, a GIF or MP4 file, or a folder of pictures.

    Examples:
      inscape watch runs/CartPole-ppo-seed0
      inscape watch mcts FrozenLake8x8
      inscape watch random CartPole --copies 9 --save nine.gif
      inscape watch mcts,random TicTacToe
      inscape watch runs/play/FourGoals-1.npz
    """

    source: Annotated[Positional[str], arg(metavar="RUN|AGENT[,AGENT…]|EPISODES")]
    """A run folder, an agent (several players: one for each, with commas), or a file of recorded episodes."""

    task: Annotated[Positional[str], arg(metavar="WORLD")] = ""
    """The world; a run or recorded episodes leave it out."""

    save: Annotated[str | None, arg(metavar="FILE|DIR")] = None
    """Write .gif or .mp4, or numbered .png pictures in a folder, instead of opening a window."""

    episodes: Annotated[int | None, arg(metavar="N")] = None
    """Episodes to show; without it, as many as copies, and all that are recorded."""

    copies: int = 1
    """Episodes side by side."""

    fps: Annotated[float | None, arg(metavar="FLOAT")] = None
    """Frames per second; without it, what suits the world."""

    size: int = 480
    """Width of the picture in pixels."""

    seed: int = 0
    """Seed of the episodes."""


@dataclass(frozen=True)
class PlayArguments:
    """Opens a window to play in; what happens is recorded as any agent's episodes are.

    The window lists the keys. R begins again, P pauses, Space takes a single step, Esc or Q leaves and keeps what was
    played. Worlds in real time begin with the first key; the others wait for every key.

    Examples:
      inscape play FourGoals
      inscape play CartPole --fps 15
      inscape play TicTacToe --players human,mcts
      inscape play TicTacToe --players human          everybody at one keyboard
    """

    task: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world, or any Gymnasium environment with few enough actions."""

    players: Annotated[str, arg(metavar="NAME,…")] = ""
    """Who plays each part: human, an agent or a run; one name for all; without it, you, the others at random."""

    reveal: bool = False
    """Show what the player cannot perceive, too."""

    fps: Annotated[float | None, arg(metavar="FLOAT")] = None
    """Steps per second in real time; without it, what suits the world."""

    realtime: Annotated[bool | None, arg(metavar="True|False")] = None
    """Whether time goes on without a key; without it, in worlds of continuous states or actions."""

    size: int = 640
    """Pixels of the longer side of the picture."""

    save: Annotated[str | None, arg(metavar="FILE.npz")] = None
    """Where to record; without it, a fresh file in runs/play."""

    seed: int = 0
    """Seed of the first episode; each later one has the next."""


@dataclass(frozen=True)
class ReportArguments:
    """Writes one self-contained HTML file on some runs.

    Examples:
      inscape report runs/CartPole-ppo-seed0
      inscape report runs/CartPole-* --out cartpole.html
    """

    runs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN")]
    """Run folders; runs of one agent and world are averaged."""

    out: Annotated[str | None, arg(metavar="FILE")] = None
    """Where to write; without it, report.html in the first run's folder."""


@dataclass(frozen=True)
class CheckArguments:
    """Checks a world, an environment or an agent against its contract.

    Examples:
      inscape check FrozenLake
      inscape check examples/elevator.py:Elevator
      inscape check q-learning FrozenLake8x8
      inscape check examples/balance.py:Balance CartPole
    """

    target: Annotated[Positional[str], arg(metavar="WORLD|AGENT|FILE.py:Class")]
    """What to check."""

    task: Annotated[Positional[str], arg(metavar="WORLD")] = ""
    """The world to check an agent in; without it, one that it can act in."""


@dataclass(frozen=True)
class BenchArguments:
    """Compares methods over many seeds, exact values beside them.

    tabular: Monte Carlo against temporal differences, learning on-policy against off-policy.

    Examples:
      inscape bench tabular
      inscape bench tabular FrozenLake Chain --steps 50000 --seeds 100
    """

    what: Annotated[Positional[Literal["tabular"]], arg(metavar="tabular")]
    """The comparison."""

    worlds: Annotated[Positional[tuple[str, ...]], arg(metavar="WORLD")] = ("FrozenLake", "CliffWalking")
    """Worlds small enough to solve exactly."""

    steps: Annotated[int, arg(metavar="N")] = 50_000
    """Environment steps of each learner."""

    seeds: int = 30
    """Learners of each method."""

    seed: int = 0
    """Seed of the first."""

    out: Annotated[str, arg(metavar="DIR")] = "runs/bench-tabular"
    """Where the numbers go."""


@dataclass(frozen=True)
class DemoArguments:
    """Runs the whole platform once, in under three minutes, and leaves runs/demo/report.html.

    Examples:
      inscape demo
    """

    seed: int = 0
    """Seed of everything random."""

    out: Annotated[str, arg(metavar="DIR")] = "runs/demo"
    """Where the runs and the report go."""


def parse(
    command: str,
    kind: type,
    argv: Sequence[str],
    extra: Mapping[str, tuple[Any, Any]] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Any:
    """Returns the arguments of a command, an instance of a dataclass with the fields of `kind` and the extra groups.

    Args:
        command: name of the command.
        kind: its dataclass.
        argv: the line after the command.
        extra: name → (annotation, default) of further groups of settings.
        defaults: what stands in for arguments that are not given, other than the dataclass says.

    Raises:
        SystemExit: 2 for wrong input, said on stderr with the nearest known option; 0 after `--help`.
        UsageError: a seed or a count is negative.
    """
    whole = kind
    if extra:
        more = [(name, annotation, field(default=default)) for name, (annotation, default) in extra.items()]
        whole = dataclasses.make_dataclass(kind.__name__, more, bases=(kind,), frozen=True)
    text = inspect.cleandoc(kind.__doc__ or "")
    more_options = {} if defaults is None else {"default": whole(**defaults)}
    given: Any = tyro.cli(whole, args=list(argv), prog=f"inscape {command}", description=text, **more_options)
    for name in ("seed", "evaluate_every", "final_episodes"):
        value = getattr(given, name, None)
        if value is not None and value < 0:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option} {value}", expected="a whole number of at least 0", hint=f"{option} 0")
    return given


def leading_names(argv: Sequence[str], count: int, usage: str) -> list[str]:
    """Returns the first words of the line, at most `count`, up to the first option.

    Raises:
        UsageError: options come before the names.
    """
    names: list[str] = []
    for word in argv:
        if word.startswith("-") or len(names) == count:
            break
        names.append(word)
    if not names and argv and not any(word in ("-h", "--help") for word in argv):
        raise UsageError(f"{argv[0]!r} where a name should be", expected=usage, hint="names first, options after them")
    return names


def agent_settings_group(
    spec: str, task: Any, kind: type, values: Mapping[str, Any] | None = None
) -> dict[str, tuple[Any, Any]]:
    """Returns the group of an agent's settings; empty if it has none. `values` replace defaults and presets.

    Without a prefix, unless one of them is called like an argument of the command `kind`: then all are `--agent.…`.
    """
    from inscape.agents.plugins import build_settings, default_settings

    default, _ = default_settings(spec, task)
    if default is None:
        return {}
    default = build_settings(type(default), values or {}, base=default)
    own = {f.name for f in dataclasses.fields(kind)}
    if own & {f.name for f in dataclasses.fields(default)}:
        return {"settings": (Annotated[type(default), arg(name="agent")], default)}
    without_prefix: Any = tyro.conf.OmitArgPrefixes
    return {"settings": (without_prefix[type(default)], default)}


def world_settings_group(name: str, values: Mapping[str, Any] | None = None) -> dict[str, tuple[Any, Any]]:
    """Returns the group `--world.…` of a world's settings, or of a Gymnasium environment's; empty if it has none.

    `values` replace the world's defaults.
    """
    known = {key: entry for key, entry in _world_settings(name).items() if _readable(entry[1])}
    if not known:
        return {}
    fields = [
        (key, Annotated[_annotation(hint, default), arg(help=doc or "Setting of the world.")], field(default=default))
        for key, (hint, default, doc) in known.items()
    ]
    kind = dataclasses.make_dataclass("WorldSettings", fields, frozen=True)
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in (values or {}).items() if key in known}
    return {"world_settings": (Annotated[kind, arg(name="world")], kind(**given))}


def changed_world_settings(arguments: Any, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Returns the world's settings that differ from their defaults, as `resolve_task` takes them; with those in `base`,
    unless they were given anew."""
    group, settings = getattr(arguments, "world_settings", None), dict(base or {})
    if group is None:
        return settings
    for f in dataclasses.fields(group):
        value, before = getattr(group, f.name), settings.get(f.name, f.default)
        if not _equal(value, tuple(before) if isinstance(before, list) else before):
            settings[f.name] = value
    return settings


def _world_settings(name: str) -> dict[str, tuple[Any, Any, str]]:
    import gymnasium

    from inscape.envs import registry

    if registry.find_spec(name) is not None or name.startswith(registry.PIXELS_PREFIX):
        return registry.world_settings(name)
    if name not in gymnasium.registry:
        return {}
    spec = gymnasium.registry[name]
    if not isinstance(spec.entry_point, str):
        return {}
    try:
        creator = gymnasium.envs.registration.load_env_creator(spec.entry_point)
    except (
        ImportError,
        gymnasium.error.Error,
    ):  # a package is missing: making the environment reports it in Gymnasium's words
        return {}
    parameters = inspect.signature(creator).parameters.values()
    return {
        p.name: (inspect.Parameter.empty, spec.kwargs.get(p.name, p.default), f"Argument of {name}.")
        for p in parameters
        if p.name not in ("render_mode", "self") and p.default is not p.empty
    }


def _readable(default: Any) -> bool:
    """Whether a value of this kind can be typed on a command line."""
    if isinstance(default, tuple):
        return all(map(_readable, default))
    return default is None or isinstance(default, bool | int | float | str)


def _annotation(hint: Any, default: Any) -> Any:
    simple = {bool, int, float, str}
    options = set(typing.get_args(hint)) or {hint}
    if hint in simple or options <= simple | {type(None)} or typing.get_origin(hint) in (Literal, tuple):
        return hint
    if isinstance(default, tuple):
        return types.GenericAlias(tuple, tuple(type(item) for item in default))
    return str | None if default is None else type(default)


def _equal(left: Any, right: Any) -> bool:
    return bool(left == right) or (left != left and right != right)
