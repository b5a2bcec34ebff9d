"""`inscape collect`: episodes for models to learn from, in a file, or as a Minari data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from tyro.conf import Positional, arg

from inscape.agents.learning.model_settings import Source
from inscape.errors import UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console


@dataclass(frozen=True)
class CollectArguments(args.TaskArguments):
    """Records episodes of a world, for world models to learn from (inscape train MODEL WORLD --data FILE).

    Examples:
      inscape collect FrozenLake --steps 5000 --out lake.npz
      inscape collect FrozenLake --source disagreement --model tabular --out lake.npz
      inscape collect CartPole --source planning --model runs/CartPole-ensemble-seed0 --out minari:cartpole/plans-v0
    """

    task: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world."""

    source: Source = "random"
    """Who acts: random play; the plan made in the model, with random actions (epsilon-greedy) or without (planning);
    what leads to where the model is least certain (disagreement); the plan in a law drawn for each episode
    (posterior)."""

    model: Annotated[str | None, arg(metavar="NAME|RUN")] = None
    """The model that plans are made in: by name, learned on the way, or of a run, as it is."""

    steps: Annotated[int, arg(metavar="N")] = 10_000
    """Environment steps; the last episode is cut."""

    epsilon: float = 0.1
    """Probability of a random action, with --source epsilon-greedy."""

    round_steps: Annotated[int, arg(metavar="N")] = 100
    """Steps between two fits of a model that is learned on the way, at least."""

    out: Annotated[str, arg(metavar="FILE.npz|minari:NAME")] = ""
    """Where they go: a file, or a Minari data set such as minari:lake/random-v0. Without it, WORLD-SOURCE.npz here."""

    seed: int = 0
    """Seed of everything random."""


def collect_command(argv: Sequence[str]) -> int:
    """Gathers episodes, stores them, and says what they are."""
    from inscape.experiments.runs.storage.episodes import MINARI, save_trajectories
    from inscape.experiments.verbs.collect import collect

    names = args.leading_names(argv, 1, "inscape collect WORLD [options]")
    task = args.named_task(names[0], args.task_options(argv)[1]) if names else None
    given = args.parse("collect", CollectArguments, argv, args.world_settings_group(names[0]) if names else {})
    task = args.task_given(given, task)
    out = given.out or f"{''.join(c if c.isalnum() else '-' for c in task.name)}-{given.source}.npz"
    if not out.startswith(MINARI) and not out.endswith(".npz"):
        raise UsageError(f"--out {out}", expected="FILE.npz, or minari:NAME", hint=f"--out {out}.npz")
    args.require_positive("steps", given.steps)
    episodes = collect(
        task, given.source, given.steps, model=given.model, seed=given.seed, epsilon=given.epsilon,
        round_steps=given.round_steps,
    )  # fmt: skip
    save_trajectories(out, episodes)
    returns = np.array([episode.total_reward for episode in episodes])
    seen = len({row.tobytes() for episode in episodes for row in np.asarray(episode.observations)})
    console = make_console()
    console.print(
        f"{sum(map(len, episodes)):,} steps in {len(episodes):,} episodes of {task.name}, mean return "
        f"{returns.mean():.4g}, {seen:,} different observations", soft_wrap=True,
    )  # fmt: skip
    console.print(
        f"Episodes in {out}; learn from them: inscape train tabular {given.task} --data {out}", soft_wrap=True
    )
    return 0
