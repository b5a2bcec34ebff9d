"""`inscape.fit`: minds fitted to people's recorded choices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from inscape import html
from inscape.envs.tasks.resolve import as_task
from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind.fitting.choices import Choices, choices_of
from inscape.theory_of_mind.fitting.comparing import Comparison, compare_minds
from inscape.theory_of_mind.fitting.fit import MindFit, fit_minds
from inscape.theory_of_mind.fitting.lesions import lesions as lesions_of
from inscape.theory_of_mind.fitting.mixture import MindMixture, mixture_of_minds
from inscape.theory_of_mind.fitting.reading import read_choices
from inscape.theory_of_mind.fitting.refining import RefinedMind
from inscape.theory_of_mind.minds import name_of
from inscape.theory_of_mind.observers.numbering import episodes_of
from inscape.theory_of_mind.parts.believing import Filtering, Sees
from inscape.theory_of_mind.parts.choosing import Softmax
from inscape.theory_of_mind.parts.planning import Planning
from inscape.theory_of_mind.planning_mind import PlanningMind

if TYPE_CHECKING:
    from inscape.envs.tasks.resolve import Given
    from inscape.envs.world import World
    from inscape.theory_of_mind.minds import Mind

BETAS = (1.0, 5.0, 25.0)
BACKUP = "soft-eval"


@dataclass(frozen=True, eq=False)
class Fitted:
    """What was fitted to choices.

    Attributes:
        fit: the minds, for all participants and for each.
        refined: the best mind for all with its numbers fitted; None where none were asked for.
        each: the same for every participant; None where that was not asked for.
        comparison: models on choices held out, with baselines; None where there is nothing to hold out.
        mixture: kinds of people; None where they were not asked for.
    """

    fit: MindFit
    refined: RefinedMind | None
    each: Mapping[str, RefinedMind] | None
    comparison: Comparison | None
    mixture: MindMixture | None

    @property
    def choices(self) -> Choices:
        """What was fitted."""
        return self.fit.choices

    def people(self) -> list[dict[str, Any]]:
        """Returns a row for each participant: choices, most probable mind and its probability, bits, fitted numbers."""
        counts = self.choices.by_participant(self.choices.lengths.astype(float))
        uniform = self.choices.by_participant(self.choices.uniform_bits) / np.maximum(counts, 1)
        found = []
        for n, participant in enumerate(self.choices.participants):
            held = self.fit.posteriors[n]
            row: dict[str, Any] = {
                "participant": participant, "choices": int(counts[n]),
                "mind": name_of(self.fit.minds[int(held.argmax())]),
                "probability": float(held.max()), "bits per choice": float(self.fit.bits_per_choice_of_each[n]),
                "uniform bits per choice": float(uniform[n]),
            }  # fmt: skip
            if self.mixture is not None:
                row["kind"] = int(self.mixture.kind_of[n]) + 1
            if self.each is not None:
                for name, estimate in self.each[participant].estimates.items():
                    row |= {
                        name: estimate.value, f"{name} s.e.": estimate.standard_error, f"{name} low": estimate.low,
                        f"{name} high": estimate.high,
                    }  # fmt: skip
            found.append(row)
        return found

    def minds(self) -> list[dict[str, Any]]:
        """Returns a row for each mind, the most common first: share of people, whom it fits best, log-likelihood."""
        fit = self.fit
        best = np.bincount(fit.log_likelihoods.argmax(axis=1), minlength=len(fit.minds))
        total = fit.episode_log_likelihoods.sum(axis=0)
        order = np.lexsort((-total, -fit.population))
        return [
            {
                "mind": name_of(fit.minds[g]), "share": float(fit.population[g]), "best for": int(best[g]),
                "log-likelihood of all": float(total[g]),
            }
            for g in order
        ]  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Returns all of it as JSON values; what is infinite, or no number, is null."""
        fit, mixture = self.fit, self.mixture
        found: dict[str, Any] = {
            "choices": len(self.choices), "participants": self.people(), "minds": self.minds(),
            "best for all": name_of(fit.best), "log-likelihood": fit.log_likelihood,
            "bits per choice": fit.bits_per_choice, "bits per choice, minds differing": fit.population_bits_per_choice,
            "uniform bits per choice": fit.uniform_bits_per_choice,
        }  # fmt: skip
        if self.refined is not None:
            found["refined"] = {
                name: {"value": e.value, "standard error": e.standard_error, "low": e.low, "high": e.high}
                for name, e in self.refined.estimates.items()
            } | {"log-likelihood": self.refined.log_likelihood}
        if self.comparison is not None:
            found["models"] = self.comparison.rows()
        if mixture is not None:
            found["kinds"] = [
                {"share": float(share), "mind": name_of(mind), "participants": list(mixture.members(k))}
                for k, (share, mind) in enumerate(zip(mixture.shares, mixture.mind_of_kind))
            ]
            found["held-out bits by number of kinds"] = {str(k): bits for k, bits in mixture.held_out.items()}
        cleaned: dict[str, Any] = _finite(found)
        return cleaned

    def __repr__(self) -> str:
        return f"Fitted({self.fit!r})"

    def _repr_html_(self) -> str:
        parts = [_html_table(self.minds()[:8], ("mind",))]
        if self.comparison is not None:
            parts.append(_html_table(self.comparison.rows(), ("model",)))
        return html.block(f"Minds fitted to {self.choices!r}", *parts, note=repr(self.refined) if self.refined else "")


def _html_table(rows: list[dict[str, Any]], words: Sequence[str]) -> str:
    columns = list(rows[0])
    cells = [[html.number(v) if isinstance(v, float) else v for v in row.values()] for row in rows]
    return html.table(columns, cells, [name for name in columns if name not in words])


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def fit(
    data: Any,
    world: Given,
    minds: Sequence[Mind] | Mapping[str, Sequence[Mind]] | None = None,
    *,
    goals: Sequence[Any] | None = None,
    betas: float | Sequence[float] = BETAS,
    backups: str | Sequence[str] = BACKUP,
    lapse: float = 0.0,
    minds_see: bool = False,
    minds_filter: bool = False,
    gamma: float | None = None,
    player: int | None = None,
    columns: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    refine: Sequence[str] = (),
    each: bool = False,
    lesions: bool = False,
    folds: int = 10,
    by: Literal["participant", "episode"] = "participant",
    people: Literal["differ", "alike"] = "differ",
    kinds: int | Sequence[int] | None = None,
    seed: int = 0,
) -> Fitted:
    """Returns minds fitted to people's recorded choices, and compared on choices held out.

        fit("people.csv", "FoodTrucks", minds, lesions=True).comparison
        fit("people.csv", "FourGoals", betas=[1, 10, 100], refine=["beta", "lapse"], kinds=[1, 2, 3])

    Args:
        data: a table of text (see `read_choices`), `Choices`, or trajectories, of one person or by person.
        world: what the choices were made in, as `evaluate` takes it, with a law.
        minds: the hypotheses; several models, `{name: minds}`, the first being fitted and all compared; None: every
            goal with every beta and backup.
        goals, betas, backups, minds_see, minds_filter: as in `observe`.
        lapse: of these minds: the share of choices made at random.
        gamma: discount the minds plan with; None: the world's.
        player: who is watched, where there are several players.
        columns: names of columns of the table, where they are others: `{"participant": NAME, …}`.
        delimiter: of the table; None: found in its header.
        refine: numbers of the best mind that are fitted, as `["beta", "lapse"]` (see `refine_mind`).
        each: of every participant's best mind, too.
        lesions: compare also minds without each of their parts.
        folds, by, people: how choices are held out, and whether people differ (see `compare_minds`).
        kinds: how many kinds of people are looked for, or numbers to choose from (see `mixture_of_minds`).
        seed: of folds, bootstrap and beginnings.

    Raises:
        MissingLawError: the world has no law; or several players, and none is named.
        UsageError: the table cannot be read (naming the line); or as `fit_minds`, `compare_minds`, `refine_mind`.
    """
    task = as_task(world)
    if task.world is None:
        raise MissingLawError(
            f"{task.name} has no law to fit minds in",
            expected="a built-in world, or a World in a file: minds plan as a person might",
        )
    choices = _choices(data, task.world, columns, delimiter, player)
    if minds is None:
        considered = _considered(task.world, goals, betas, backups, lapse, minds_see, minds_filter)
        models: dict[str, Any] = {"minds": considered}
    elif goals is not None:
        raise UsageError("minds and goals", expected="one of them: minds have goals of their own")
    elif isinstance(minds, Mapping):
        models = dict(minds)
        if not models:
            raise UsageError("no models of minds", expected="{name: minds}")
    else:
        models = {"minds": [minds] if callable(getattr(minds, "controller", None)) else minds}
    first = next(iter(models.values()))
    found = fit_minds(choices, first, gamma=gamma)
    if lesions:
        models |= {f"without {name}": made for name, made in lesions_of(list(first), task.world).items()}
    units = len(choices.episodes) if by == "episode" or len(choices.participants) == 1 else len(choices.participants)
    comparison = None
    if units > 1:
        models[next(iter(models))] = found
        comparison = compare_minds(choices, models, folds=folds, by=by, people=people, gamma=gamma, seed=seed)
    mixture = None if kinds is None else mixture_of_minds(choices, first, kinds, gamma=gamma, seed=seed)
    refined = found.refine(*refine) if refine else None
    return Fitted(found, refined, found.refine_each(*refine) if refine and each else None, comparison, mixture)


def _choices(
    data: Any, world: World, columns: Mapping[str, str] | None, delimiter: str | None, player: int | None
) -> Choices:
    if isinstance(data, Choices):
        return data
    if isinstance(data, (str, Path)):
        return read_choices(data, world, columns=columns, delimiter=delimiter, player=player)
    return choices_of(world, data if isinstance(data, Mapping) else episodes_of(data), player)


def _considered(
    world: World, goals: Any, betas: Any, backups: Any, lapse: float, minds_see: bool, minds_filter: bool
) -> list[PlanningMind]:
    if minds_see and minds_filter:
        raise UsageError("minds that see the state and minds that filter", expected="one of minds_see and minds_filter")
    wanted = [goals] if isinstance(goals, str) else list(world.goals if goals is None else goals)
    if not wanted:
        raise UsageError(
            f"{world.name} names no goals to choose between", expected="a world with `purposes`, or minds=[…]",
            hint="minds=[PlanningMind(world.purpose, beta, 'hard')]; inscape fit DATA.csv WORLD --minds FILE",
        )  # fmt: skip
    rationality = [betas] if isinstance(betas, (int, float)) else list(betas)
    ways: list[Any] = [backups] if isinstance(backups, str) else list(backups)
    believes = Sees() if minds_see else Filtering() if minds_filter else None
    found = [
        PlanningMind(wants, believes=believes, plans=Planning(backup), chooses=Softmax(beta, lapse))
        for wants in wanted
        for beta in rationality
        for backup in ways
    ]
    if not found:
        raise UsageError("no betas, or no backups", expected="at least one of each")
    return found
