"""The arguments of `inscape train`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from inscape.experiments.arguments.parsing import TaskArguments

Device = Literal["auto", "cpu", "cuda"]
Steps = Annotated[int | None, arg(metavar="N")]


@dataclass(frozen=True)
class TrainArguments(TaskArguments):
    """Trains an agent in a world; AGENT and WORLD come first, their settings after them.

    AGENT is a name (inscape list agents), file.py:Class or package.module:Class.
    WORLD is a name (inscape list worlds), any Gymnasium id, or file.py:Class.

    Examples:
      inscape train ppo CartPole
      inscape train q-learning FrozenLake8x8 --steps 1000000 --world.slip 0.2
      inscape train sb3:dqn LunarLander-v3 --seed 3 --out runs/lander
      inscape train --resume runs/CartPole-ppo-seed0          agent, world and settings are the run's
      inscape train ppo CartPole --seeds 10 --jobs 2          a run for each of ten seeds, then the comparison
      inscape train ppo CartPole --keep-best --stop-at 475 --patience 10
      inscape train ppo DoorKey --curriculum size=5,6,8
      inscape train --config ppo.toml --steps 50000           agent, world and settings of a file; the line over it
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

    accept_changes: bool = False
    """With --resume: go on although a file of the agent or of the world was edited since."""

    evaluate_every: Steps = None
    """Steps between two points of the learning curve; 0 for none; without it, ten points."""

    evaluate_episodes: int = 10
    """Episodes of each of these evaluations."""

    keep_best: bool = False
    """Keep the agent of the best evaluation beside the newest: inscape evaluate RUN --best."""

    stop_at: Annotated[float | None, arg(metavar="RETURN")] = None
    """Stop when an evaluation's mean return is at least this."""

    patience: Annotated[int | None, arg(metavar="N")] = None
    """Stop after so many evaluations in a row without a new best."""

    go_on: bool = False
    """With --resume: go on with a run that was stopped early, to its end or until --stop-at or --patience given now."""

    curriculum: Annotated[tuple[str, ...], arg(metavar="SETTING=VALUES")] = ()
    """Learn in these settings of the world, chosen for each episode by a teacher: size=5,6,8, or a range slip=0.0..0.4;
    several settings with spaces between them. Evaluations stay in the world as it is."""

    teacher: Literal["learning-progress", "uniform"] = "learning-progress"
    """With --curriculum: what chooses."""

    video_every: Steps = None
    """Steps between videos of an episode, in the run's folder videos/; 0 for none."""

    final_episodes: int = 100
    """Episodes of the evaluation at the end; 0 for none."""

    workers: Annotated[int | Literal["auto"], arg(metavar="N|auto")] = 0
    """Processes that the copies of a third-party environment are divided over; 0 keeps them in this one. Results do not
    depend on it."""

    hang_seconds: float = 60.0
    """With --workers: time in one step or reset of a copy after which its process is started again."""

    preset: bool = True
    """Take the preset of this agent in this world, yours or the one that comes with Inscape; --no-preset for the
    agent's own defaults."""

    track: Annotated[str | None, arg(metavar="wandb|mlflow|trackio")] = None
    """Trackers that metrics are sent to beside the run's own files; several with commas between them."""

    max_restarts: Annotated[int, arg(metavar="N")] = 20
    """With --workers: how often copies that raise, end their process or hang are made again before the run stops."""
