"""The checks of a world, in order: its law, what is compiled from it, the environments it is read as.

The law is first run as plain Python on states reached from the initial ones; only a law that passes is compiled and
its readers checked, so that a mistake is reported where it was made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from inscape.envs.compile.switch import compiled_kernels
from inscape.experiments.checks.law import Law
from inscape.experiments.checks.readers import Batches, Environments, check_gymnasium_env, trajectory_of
from inscape.experiments.checks.report import CheckReport, require, same

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.envs.world import World


LOOKS = ("text", "text of observations", "scene", "scene for a player")
"""Checks of what readers of the law do not need: the others are made although one of these fails."""


def check_world(world: World, *, readers: Literal["none", "batches", "all"] = "all") -> CheckReport:
    """Checks a built-in or custom world: its law as plain Python, then what is read from it.

    Args:
        world: the world.
        readers: `"none"`: the law alone, nothing compiled; `"batches"`: also the compiled law over batches of states
            (some 4 s to compile); `"all"`: also the environments the world is read as, with the checkers of
            Gymnasium, Stable-Baselines3 and PettingZoo (some 10 s in all).
    """
    report = CheckReport(repr(world))
    law = Law(world)
    checks: dict[str, Callable[[], None]] = {
        "initial distribution": law.check_initial,
        "pure": law.check_pure,
        "state fields": law.check_fields,
        "probabilities": law.check_probabilities,
        "unrolled sampler": law.check_unrolled,
        "terminal": law.check_terminal,
        "reward": law.check_reward,
        "legal": law.check_legal,
        "player names": law.check_names,
        "mover": law.check_mover,
        "observation": law.check_observation,
        "state_of": law.check_state_of,
        "settings": law.check_settings,
        "purposes": law.check_purposes,
        "text": law.check_text,
        "text of observations": law.check_text_of_observations,
        "scene": law.check_scene,
        "scene for a player": law.check_view,
    }
    for name, function in checks.items():
        report.run(name, function)
    report.run("parameters unchanged", law.check_parameters_unchanged)
    batches, environment = Batches(world, law), Environments(world)
    compiled: dict[str, Callable[[], None]] = {}
    if readers != "none":
        compiled |= {
            "compiles": batches.check_compiles,
            "plain equals compiled": batches.check_plain_equals_compiled,
            "terminal states absorb": batches.check_absorbing,
            "frequencies": batches.check_frequencies,
            "rows independent": batches.check_rows,
        }
    if readers == "all":
        compiled |= {
            "same seed, same trajectory": environment.check_same_trajectory,
            "copies independent": environment.check_copies,
            "vector environment": environment.check_vector,
            "random play": environment.check_random_play,
            "Gymnasium's check_env": environment.check_gymnasium,
            "Stable-Baselines3's check_env": environment.check_sb3,
            "PettingZoo's api_test": environment.check_aec,
            "PettingZoo's parallel_api_test": environment.check_parallel,
        }
    for name, function in compiled.items():
        # a law that fails would fail its readers too, and compiling takes seconds; how it looks is no part of it
        if failed := [failure for failure in report.failures if failure.name not in LOOKS]:
            report.skip(name, f"not run: {failed[0].name!r} fails")
        else:
            with compiled_kernels():
                report.run(name, function)
    return report


def check_environment(task: Task) -> CheckReport:
    """Checks any Gymnasium environment: its API, its spaces, and that a seed determines its trajectory."""
    report = CheckReport(task.name)
    report.run("Gymnasium's check_env", lambda: check_gymnasium_env(task.env()))

    def same_trajectory() -> None:
        first, second = (trajectory_of(task.env(), seed) for seed in (5, 5))
        require(
            same(first, second),
            "two environments reset with one seed produced different trajectories",
        )

    report.run("same seed, same trajectory", same_trajectory)
    report.skip("law", "a Gymnasium environment without a law: its dynamics cannot be checked")
    return report
