"""`inscape fit`: minds fitted to people's recorded choices."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.markup import escape
from tyro.conf import Positional, arg

from inscape.errors import UsageError
from inscape.experiments.arguments import parsing as args
from inscape.experiments.commands.output import make_console, make_table, number, print_table
from inscape.experiments.runs.storage.files import write_text
from inscape.theory_of_mind.minds import name_of

if TYPE_CHECKING:
    from rich.console import Console

    from inscape.experiments.verbs.fit import Fitted

MOST_ROWS = 12


@dataclass(frozen=True)
class FitArguments:
    """Fits minds to recorded choices, one row of a table each, and compares models on choices held out.

    Examples:
      inscape fit people.csv FourGoals --beta 1,10,100 --refine beta,lapse
      inscape fit people.csv FoodTrucks --minds my_minds.py --lesions --report fit.html
      inscape fit people.csv MoneyRequest --player 0 --minds levels.py:minds --kinds 1,2,3 --action request
    """

    data: Annotated[Positional[str], arg(metavar="DATA.csv")]
    """The table: a row for each choice, with columns participant, episode (or trial), step, the state (or a column for
    each of its fields), action."""

    task: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world the choices were made in."""

    minds: Annotated[str, arg(metavar="FILE[:NAME]")] = ""
    """The minds: a list in a file or module (called `minds`, unless named), a function of the world that returns one,
    or a dictionary of models {name: minds}, the first being fitted and all compared."""

    goals: Annotated[str, arg(metavar="A,B,…")] = ""
    """Without --minds: goals considered, by name; all that the world names, unless given."""

    beta: Annotated[str, arg(metavar="β,β,…")] = "1,5,25"
    """Without --minds: degrees of rationality considered."""

    backup: Annotated[str, arg(metavar="NAME,…")] = "soft-eval"
    """Without --minds: how a mind values the future: soft-eval, maxent, hard."""

    lapse: float = 0.0
    """Without --minds: share of choices made at random."""

    minds_see: bool = False
    """Without --minds: they know the state even where the world hides it."""

    minds_filter: bool = False
    """Without --minds: they do not see the state, and update beliefs by what they see."""

    gamma: Annotated[float | None, arg(metavar="FLOAT")] = None
    """Discount the minds plan with; without it, the world's."""

    player: Annotated[int | None, arg(metavar="N")] = None
    """Who is watched, where there are several players."""

    refine: Annotated[str, arg(metavar="NAME,…")] = ""
    """Numbers of the best mind to fit, with standard errors and intervals: beta, lapse, k, gamma, rate, tau, or a path
    as wants.step_cost."""

    each: bool = False
    """Fit these numbers for every participant, too."""

    lesions: bool = False
    """Compare also minds without each of their parts (beliefs, costs, planning, …)."""

    folds: int = 10
    """Groups of which each is held out in turn."""

    by: Literal["participant", "episode"] = "participant"
    """What is held out together."""

    people: Literal["differ", "alike"] = "differ"
    """Has every participant a mind of their own, or are all alike."""

    kinds: Annotated[str, arg(metavar="K,K,…")] = ""
    """Kinds of people to look for: a number, or several to choose from by held-out bits."""

    participant: Annotated[str, arg(metavar="COLUMN")] = ""
    """Name of the column of participants, where it is another."""

    episode: Annotated[str, arg(metavar="COLUMN")] = ""
    """Name of the column of episodes (trials)."""

    step: Annotated[str, arg(metavar="COLUMN")] = ""
    """Name of the column of steps."""

    state: Annotated[str, arg(metavar="COLUMN")] = ""
    """Name of the column of states."""

    action: Annotated[str, arg(metavar="COLUMN")] = ""
    """Name of the column of actions."""

    delimiter: Annotated[str, arg(metavar="CHARACTER")] = ""
    """What stands between cells, unless it is what the header has most of."""

    seed: int = 0
    """Seed of folds, bootstrap and beginnings."""

    out: Annotated[Path | None, arg(metavar="FILE.json|FILE.csv")] = None
    """Writes everything as JSON, or a table with a row for each participant."""

    report: Annotated[Path | None, arg(metavar="FILE.html")] = None
    """Writes a page with the tables."""


def fit_command(argv: Sequence[str]) -> int:
    """Prints what was fitted."""
    from inscape.experiments.commands.observers import minds_of
    from inscape.experiments.verbs.fit import fit

    names = args.leading_names(argv, 2, "inscape fit DATA.csv WORLD [options]")
    group = args.world_settings_group(names[1]) if len(names) == 2 else None
    given = args.parse("fit", FitArguments, argv, group)
    if given.out is not None and given.out.suffix.lower() not in (".json", ".csv"):
        raise UsageError(f"--out {given.out}", expected="a file that ends in .json or .csv")
    if given.each and not given.refine:
        raise UsageError("--each without --refine", expected="numbers to fit", hint="--refine beta --each")
    task = args.named_task(given.task, args.NO_OPTIONS, args.changed_world_settings(given))
    minds = minds_of(given.minds if ":" in given.minds else f"{given.minds}:minds", task, True) if given.minds else None
    roles = ("participant", "episode", "step", "state", "action")
    fitted = fit(
        given.data, task, minds, goals=args.words_of(given.goals) or None, betas=args.numbers_of("beta", given.beta),
        backups=args.words_of(given.backup), lapse=given.lapse, minds_see=given.minds_see,
        minds_filter=given.minds_filter, gamma=given.gamma, player=given.player,
        columns={role: getattr(given, role) for role in roles if getattr(given, role)},
        delimiter={"\\t": "\t", "tab": "\t"}.get(given.delimiter, given.delimiter) or None,
        refine=args.words_of(given.refine), each=given.each, lesions=given.lesions, folds=given.folds, by=given.by,
        people=given.people, kinds=_whole_numbers(given.kinds), seed=given.seed,
    )  # fmt: skip
    console = make_console()
    _print(console, fitted, given)
    if given.out is not None:
        _write(given.out, fitted)
        console.print(f"Saved in {escape(str(given.out))}", soft_wrap=True)
    if given.report is not None:
        from inscape.experiments.report.fitted import write_fit_report

        command = shlex.join(["inscape", "fit", *argv])
        console.print(f"Report: {escape(str(write_fit_report(given.report, fitted, [command])))}", soft_wrap=True)
    return 0


def _whole_numbers(text: str) -> list[int] | None:
    if not text:
        return None
    try:
        return [args.whole_number(word) for word in args.words_of(text)]
    except ValueError:
        raise UsageError(
            f"--kinds {text}", expected="whole numbers with commas between", hint="--kinds 1,2,3"
        ) from None


def _print(console: Console, fitted: Fitted, given: Any) -> None:
    fit, choices = fitted.fit, fitted.choices
    skipped = f"; {choices.skipped} rows without an action left out" if choices.skipped else ""
    console.print(escape(f"{choices!r}{skipped}"), style="dim", soft_wrap=True)
    rows = fitted.minds()
    table = make_table(*rows[0], numbers=[name for name in rows[0] if name != "mind"])
    for row in rows[:MOST_ROWS]:
        table.add_row(*(_cell(value) for value in row.values()))
    print_table(console, f"{len(fit.minds)} minds: how common each is among {len(choices.participants)} people", table)
    if len(rows) > MOST_ROWS:
        console.print(f"[dim]{len(rows) - MOST_ROWS:,} more minds: --out FILE.json[/dim]")
    console.print(
        f"Best for all: [bold]{escape(name_of(fit.best))}[/bold], {number(fit.bits_per_choice)} bits per choice "
        f"(minds that differ: {number(fit.population_bits_per_choice)}; a uniform guess: "
        f"{number(fit.uniform_bits_per_choice)})",
        soft_wrap=True,
    )
    if fitted.refined is not None:
        table = make_table("number", "estimate", "s.e.", "low", "high", numbers=("estimate", "s.e.", "low", "high"))
        for name, e in fitted.refined.estimates.items():
            table.add_row(escape(name), *(_cell(value) for value in (e.value, e.standard_error, e.low, e.high)))
        title = f"Fitted to all choices: log-likelihood {fitted.refined.log_likelihood:.3f}, 95 % intervals"
        print_table(console, title, table)
    if fitted.each is not None:
        hidden = ("bits per choice", "uniform bits per choice")
        people = [{name: value for name, value in row.items() if name not in hidden} for row in fitted.people()]
        table = make_table(*people[0], numbers=[name for name in people[0] if name not in ("participant", "mind")])
        for row in people[:MOST_ROWS]:
            table.add_row(*(_cell(value) for value in row.values()))
        print_table(console, "Each participant", table)
        if len(people) > MOST_ROWS:
            console.print(f"[dim]{len(people) - MOST_ROWS:,} more participants: --out FILE.csv[/dim]")
    if fitted.comparison is not None:
        rows = fitted.comparison.rows()
        table = make_table(*rows[0], numbers=[name for name in rows[0] if name != "model"])
        for row in rows:
            table.add_row(*(_cell(value, 3) for value in row.values()))
        by = fitted.comparison.by
        print_table(console, f"Bits per choice, held out by {by} (low, high: bootstrap of the difference, 95 %)", table)
    if fitted.mixture is not None:
        console.print(escape(str(fitted.mixture)), soft_wrap=True)
        if fitted.mixture.held_out:
            held = ", ".join(f"{k}: {number(bits)}" for k, bits in fitted.mixture.held_out.items())
            console.print(f"Held-out bits per choice by number of kinds: {held}", soft_wrap=True)


def _cell(value: Any, digits: int = 4) -> str:
    if isinstance(value, float):
        return "∞" if value == float("inf") else "–" if value != value else f"{value:.{digits}f}"
    return escape(str(value))


def _write(path: Path, fitted: Fitted) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".json":
            write_text(path, json.dumps(fitted.to_json(), indent=1, ensure_ascii=False) + "\n")
            return
        rows = fitted.people()
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", expected="a file in a folder of yours"
        ) from None
