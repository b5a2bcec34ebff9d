"""Third-party environments, each through the commands a user would type; writes `docs/environments.md`.

    pip install -c constraints.txt -e '.[environments]'
    pip install 'mujoco==3.3.7'   # only for Gymnasium-Robotics 1.4.2, whose arms fail with 3.17 and 4.0
    python benchmarks/environments.py                     # what has no row yet, one process for each environment
    python benchmarks/environments.py --only CartPole-v1 pettingzoo:pettingzoo.classic.rps_v2
    python benchmarks/environments.py --again             # all of them
    python benchmarks/environments.py --page              # only writes the page from the rows there are

Rows are kept in `docs/environments.json`: an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import multiprocessing
import os
import platform
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.results_file import ROOT, Notes, load_rows, save_row, table, versions_of

PAGE, FILE = ROOT / "docs" / "environments.md", ROOT / "docs" / "environments.json"
STEPS = 2_000
EPISODES = 2
SHORT = 200
"""Steps of the longest episodes with which SAC is tried: it updates in every step."""
ALWAYS = ("gymnasium", "stable-baselines3", "torch", "numpy")
"""Packages whose versions every row names."""
ROW_SECONDS = 3600
"""After that long the process of a row is ended."""
CELLS = ("random", "learner", "second", "sb3", "evaluate", "episode", "report")
FORK = multiprocessing.get_context("fork")
"""Libraries are imported once, here: what a fault of one environment leaves behind ends with its process."""


@dataclass(frozen=True)
class Group:
    """Environments of one source.

    Attributes:
        title: heading.
        packages: whose versions the page names.
        names: as typed after `inscape train AGENT`.
    """

    title: str
    packages: tuple[str, ...]
    names: tuple[str, ...]


def gymnasium_ids(*modules: str) -> tuple[str, ...]:
    """Returns the ids that Gymnasium registers itself, of these of its modules."""
    import gymnasium as gym

    return tuple(
        name
        for name, spec in gym.registry.items()
        if str(spec.entry_point).startswith(tuple(f"gymnasium.envs.{m}" for m in modules))
    )


MINIGRID = (
    "Empty-5x5", "Empty-Random-6x6", "DoorKey-5x5", "DoorKey-8x8", "FourRooms", "LavaGapS5", "SimpleCrossingS9N1",
    "MemoryS7", "KeyCorridorS3R1", "Dynamic-Obstacles-5x5",
)  # fmt: skip
HIGHWAY = ("highway-fast", "merge", "intersection", "parking")
ROBOTICS = ("FetchReach-v4", "FetchPush-v4", "HandReach-v3", "PointMaze_UMaze-v3")
MPE = (
    "simple_v3", "simple_spread_v3", "simple_adversary_v3", "simple_crypto_v3", "simple_push_v3", "simple_reference_v3",
    "simple_speaker_listener_v4", "simple_tag_v3", "simple_world_comm_v3",
)  # fmt: skip
CLASSIC = (
    "tictactoe_v3", "connect_four_v3", "rps_v2", "leduc_holdem_v4", "texas_holdem_v4", "texas_holdem_no_limit_v6",
    "hanabi_v5", "chess_v6", "go_v5",
)  # fmt: skip


def groups() -> list[Group]:
    """Returns all that is tried."""
    return [
        Group("Gymnasium: classic control", ("gymnasium",), gymnasium_ids("classic_control")),
        Group("Gymnasium: toy text", ("gymnasium",), gymnasium_ids("toy_text")),
        Group("Gymnasium: Box2D", ("gymnasium", "box2d"), gymnasium_ids("box2d")),
        Group("Gymnasium: MuJoCo", ("gymnasium", "mujoco"), gymnasium_ids("mujoco")),
        Group("Gymnasium: functional, in JAX", ("gymnasium", "jax"), gymnasium_ids("phys2d", "tabular")),
        Group("MiniGrid", ("minigrid",), tuple(f"minigrid:MiniGrid-{name}-v0" for name in MINIGRID)),
        Group("Atari", ("ale-py",), tuple(f"ale_py:ALE/{name}-v5" for name in ("Pong", "Breakout", "SpaceInvaders"))),
        Group("highway-env", ("highway-env",), tuple(f"highway_env:{name}-v0" for name in HIGHWAY)),
        Group(
            "Gymnasium-Robotics: Dict observations", ("gymnasium-robotics", "mujoco"),
            tuple(f"gymnasium_robotics:{name}" for name in ROBOTICS),
        ),
        Group("MPE", ("mpe2",), tuple(f"pettingzoo:mpe2.{name}" for name in MPE)),
        Group(
            "PettingZoo: classic", ("pettingzoo", "rlcard", "open_spiel"),
            tuple(f"pettingzoo:pettingzoo.classic.{name}" for name in CLASSIC),
        ),
    ]  # fmt: skip


# --- one environment, in a process of its own -----------------------------------------------------------------------


def command(*words: str) -> dict[str, Any]:
    """Returns what `inscape` with these words did: status `ok`, `refused` (exit 2) or `fault`, and what it printed."""
    from inscape.experiments.cli import main

    out, err, began = io.StringIO(), io.StringIO(), time.perf_counter()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
        status = {0: "ok", 2: "refused"}.get(code, "fault")
        said = err.getvalue() if code else out.getvalue()
    except BaseException:
        if isinstance(sys.exc_info()[1], KeyboardInterrupt):
            raise
        status, said = "fault", traceback.format_exc()
    if "Traceback (most recent call last)" in out.getvalue() + err.getvalue():
        status, said = "fault", out.getvalue() + err.getvalue()
    return {
        "status": status,
        "said": said,
        "seconds": round(time.perf_counter() - began, 1),
        "line": "inscape " + " ".join(words),
    }


def without_folders(text: str) -> str:
    """Returns the text without the folders of this machine, in which packages lie."""
    return re.sub(r"\S*/site-packages/", "", text).replace(f"{ROOT}/", "")


def reason(said: str) -> str:
    """Returns what was found and what was expected, of a refusal; of a fault its last line."""
    said = without_folders(said)
    if "Traceback (most recent call last)" in said:
        return said.strip().splitlines()[-1]
    text = re.sub(r"\s+", " ", said[said.rfind("inscape: ") + len("inscape: ") :] if "inscape: " in said else said)
    return re.sub(r" at 0x[0-9a-f]+", "", text).strip()[:400]


def returns(said: str) -> str:
    """Returns the mean returns that a command printed, those of several players beside each other."""
    found = re.findall(r"mean return (-?[\d.,]+(?:e[+-]?\d+)?)", said)
    if found:
        return found[-1].rstrip(".,")
    # a table with a row for each player: name, agent, mean return, interval
    return " ".join(re.findall(r"(-?\d[\d.]*(?:e[+-]?\d+)?) +-?\d[\d.]*(?:e[+-]?\d+)? to ", said))


def agents_for(task: Any) -> tuple[str, str, str]:
    """Returns the built-in learner to try, another one, and Stable-Baselines3's; empty where there is none."""
    import gymnasium as gym

    if task.players > 1:
        return ("ppo" if task.simultaneous else "self-play", "independent:dqn", "")
    if isinstance(task.action_space, gym.spaces.Box):
        short = task.max_episode_steps is not None and task.max_episode_steps <= SHORT
        return "ppo", "sac" if short else "", "sb3:ppo"
    return "ppo", "dqn" if isinstance(task.action_space, gym.spaces.Discrete) else "", "sb3:ppo"


def try_environment(name: str, steps: int, cells: TextIO) -> None:
    """Runs all commands on one environment; writes each cell as a line of JSON as soon as it is known."""
    from inscape.envs import resolve_task
    from inscape.errors import UsageError

    def tell(cell: str, **found: Any) -> None:
        print(json.dumps({"cell": cell, **found}), file=cells, flush=True)

    try:
        task = resolve_task(name)
        spaces = task.observation_space, task.action_space
    except UsageError as error:
        tell("made", status="refused", reason=reason(f"inscape: {error}"), seconds=0.0)
        return
    except Exception:
        tell("made", status="fault", reason=reason(traceback.format_exc()), said=traceback.format_exc(), seconds=0.0)
        return
    endless = task.players == 1 and task.max_episode_steps is None and not name.startswith("pettingzoo:")
    # an agent that has learned little may never end an episode
    limit = ["--max-episode-steps", str(SHORT)] if endless else []
    made = {"observation": shown(spaces[0]), "action": shown(spaces[1]), "players": task.players}
    tell("made", status="ok", limit=SHORT if endless else None, **made)
    several = ["--episodes", str(EPISODES), *limit]
    everyone = ",".join(["random"] * task.players)
    done = command("evaluate", everyone, name, *several)
    tell("random", agent="random", **cell_of(done))
    runs = []
    for cell, agent in zip(CELLS[1:4], agents_for(task), strict=True):
        if not agent:
            continue
        words = ["train", agent, name, "--steps", str(steps), "--evaluate-every", "0", "--out", cell]
        done = command(*words, "--final-episodes", str(EPISODES), *limit)
        tell(cell, agent=agent, **cell_of(done))
        runs += [cell] if done["status"] == "ok" else []
    if not runs:
        done = command("evaluate", everyone, name, "--episodes", "1", "--save-episodes", "random.npz", *limit)
        tell("evaluate", agent="random", **cell_of(done))
        words = ["watch", "random", name, "--save", "episode.gif", "--size", "96", *limit]
        tell("episode", agent="random", **cell_of(command(*words)))
        return
    tell("evaluate", **cell_of(command("evaluate", runs[0], "--episodes", "1", "--save-episodes", "episodes.npz")))
    tell("episode", **cell_of(command("watch", runs[0], "--save", "episode.gif", "--size", "96")))
    tell("report", **cell_of(command("report", *runs, "--out", "report.html")))


def cell_of(done: dict[str, Any]) -> dict[str, Any]:
    """Returns what is kept of a command."""
    kept = {"status": done["status"], "seconds": done["seconds"], "line": done["line"]}
    if done["status"] == "ok":
        return {**kept, "value": returns(done["said"])}
    return {
        **kept,
        "reason": reason(done["said"]),
        **({"said": done["said"][-3000:]} if done["status"] == "fault" else {}),
    }


def shown(space: Any) -> str:
    """Returns a space in a few words."""
    import gymnasium as gym

    if isinstance(space, gym.spaces.Box):
        return f"Box {list(space.shape)} {space.dtype}"
    if isinstance(space, gym.spaces.Discrete):
        return f"Discrete({space.n})"
    if isinstance(space, gym.spaces.MultiDiscrete):
        return f"MultiDiscrete({space.nvec.tolist()})"
    if isinstance(space, gym.spaces.Dict):
        return "Dict(" + ", ".join(f"{key}: {shown(part)}" for key, part in space.items()) + ")"
    if isinstance(space, gym.spaces.Tuple):
        return "Tuple(" + ", ".join(map(shown, space.spaces)) + ")"
    return str(space) if len(str(space)) < 40 else type(space).__name__


def in_folder(folder: Path, name: str, steps: int) -> None:
    """Tries one environment in this process, in a folder; cells go to `cells.txt`, what libraries print elsewhere."""
    os.chdir(folder)
    for descriptor, file in ((1, "output.txt"), (2, "errors.txt")):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    with open("cells.txt", "w") as cells:
        try_environment(name, steps, cells)


# --- all of them ------------------------------------------------------------------------------------------------------


def row_of(name: str, group: Group, steps: int, seconds: float) -> dict[str, Any]:
    """Returns the row of one environment: its cells by name."""
    versions = versions_of(dict.fromkeys((*group.packages, *ALWAYS)))
    row: dict[str, Any] = {"group": group.title, "versions": {**versions, "python": platform.python_version()}}
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        child = FORK.Process(target=in_folder, args=(Path(folder), name, steps))
        child.start()
        child.join(seconds)
        ended = "" if child.exitcode == 0 else f"the process ended with {child.exitcode}"
        if child.is_alive():
            child.kill()
            child.join()
            ended = f"ended after {seconds:.0f} s"
        said = (Path(folder) / "cells.txt").read_text()
        last = (Path(folder) / "errors.txt").read_text()[-1500:]
    for line in said.splitlines():
        found = json.loads(line)
        row[found.pop("cell")] = found
    if ended:
        order = ("made", *CELLS)  # not every environment has every cell: the one after the last that is known
        missing = order[min(max((k + 1 for k, cell in enumerate(order) if cell in row), default=0), len(CELLS))]
        row[missing] = {
            "status": "time" if "after" in ended else "fault",
            "reason": ended,
            "said": last,
            "seconds": 0.0,
        }
    row["seconds"] = round(time.perf_counter() - began)
    return row


def text_of(cell: dict[str, Any] | None, notes: Notes, plain: str = "") -> str:
    """Returns what stands in a cell of the table."""
    if cell is None:
        return "–"
    if cell["status"] == "ok":
        value = plain or cell.get("value") or "yes"
        return f"`{cell['agent']}` {value}" if cell.get("agent") not in (None, "random") else value
    word = {"refused": "refused", "fault": "**TRACEBACK**", "time": "not finished"}[cell["status"]]
    agent = f"`{cell['agent']}` " if cell.get("agent") not in (None, "random") else ""
    return f"{agent}{word} {notes.mark(cell['reason'])}"


def page(rows: dict[str, Any]) -> str:
    """Returns the page of these rows."""
    cells = [cell for row in rows.values() for cell in row.values() if isinstance(cell, dict) and "status" in cell]
    counts = {status: sum(cell["status"] == status for cell in cells) for status in ("ok", "refused", "time", "fault")}
    lines = [
        "# Third-party environments",
        "",
        "Written by `make environments`; do not edit. Each environment went through the commands a user would type:",
        f"`inscape evaluate random`, `inscape train AGENT … --steps {STEPS}` with one or two built-in learners and",
        "with `sb3:ppo`, `inscape evaluate RUN`, `inscape watch RUN --save episode.gif` and `inscape report`. A",
        "number is a mean return (of each player, where there are several): it says that training ran, not how well an",
        f"agent can learn; {STEPS:,} steps are few. `sac` was tried where episodes have at most {SHORT} steps.",
        "What Gymnasium registers only to say what is missing (MuJoCo's v2 and v3, its shims) is left out.",
        "",
        f"{len(rows)} environments, {len(cells)} commands: {counts['ok']} did what was asked, {counts['refused']} were",
        f"refused with a reason (numbers in brackets, below each table), {counts['time']} were not finished in time, "
        f"{counts['fault']} ended in a traceback.",
    ]
    header = (
        "environment",
        "observations; actions",
        "random",
        "learner",
        "another",
        "Stable-Baselines3",
        "evaluate",
        "episode",
        "report",
        "s",
    )
    for group in groups():
        own_rows = {name: rows[name] for name in group.names if name in rows}
        if not own_rows:
            lines += ["", f"## {group.title}", "", f"Not run yet: {', '.join(f'`{name}`' for name in group.names)}."]
            continue
        versions = next(iter(own_rows.values()))["versions"]
        notes = Notes()
        lines += ["", f"## {group.title}", "", ", ".join(f"{k} {v}" for k, v in versions.items()) + ".", ""]
        table_rows = []
        for name, row in own_rows.items():
            made = row.get("made", {"status": "fault", "reason": "no answer"})
            if made["status"] != "ok":
                table_rows.append([f"`{name}`", text_of(made, notes), *["–"] * 7, str(row["seconds"])])
                continue
            players = f"{made['players']} players; " if made["players"] > 1 else ""
            players += f"limited to {made['limit']} steps; " if made.get("limit") else ""
            table_rows.append([
                f"`{name}`", f"{players}{made['observation']}; {made['action']}",
                *(text_of(row.get(cell), notes) for cell in CELLS[:5]),
                *(text_of(row.get(cell), notes, "yes") for cell in CELLS[5:]),
                str(row["seconds"]),
            ])  # fmt: skip
        lines += [*table(header, table_rows), "", *notes.lines()]
        missing = [f"`{name}`" for name in group.names if name not in rows]
        if missing:
            lines += ["", f"Not run yet: {', '.join(missing)}."]
    return "\n".join(lines).rstrip() + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these environments, whether they have a row or not")
    parser.add_argument("--again", action="store_true", help="all environments, whether they have a row or not")
    parser.add_argument("--page", action="store_true", help="write the page from the rows there are")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seconds", type=float, default=ROW_SECONDS, help="for each environment")
    given = parser.parse_args(argv)
    known = {name: group for group in groups() for name in group.names}
    unknown = set(given.only or ()) - set(known)
    if unknown:
        parser.error(f"not one of those tried: {', '.join(sorted(unknown))}")
    rows = load_rows(FILE)
    for module in ("torch", "stable_baselines3", "sb3_contrib", "inscape.experiments.commands.train"):
        importlib.import_module(module)
    os.environ.update(SDL_VIDEODRIVER="dummy", MPLBACKEND="agg")
    os.environ.setdefault("MUJOCO_GL", "egl")  # draws without a display
    wanted = given.only or [name for name in known if given.again or name not in rows]
    for name in [] if given.page else wanted:
        row = row_of(name, known[name], given.steps, given.seconds)
        rows = save_row(FILE, name, row)
        summary = {cell: row[cell]["status"] for cell in ("made", *CELLS) if cell in row}
        print(f"{name:44s} {row['seconds']:5d} s  " + " ".join(f"{k}:{v}" for k, v in summary.items()), flush=True)
    PAGE.write_text(page(rows))
    print(f"Wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
