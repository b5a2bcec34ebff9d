"""Training, runs, evaluation, statistics, reports. What users import is listed here; deeper paths are private."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inscape.lazy import lazy_names

if TYPE_CHECKING:
    from inscape.experiments.checks.check import check as check
    from inscape.experiments.exporting.export import export as export
    from inscape.experiments.report.cells import Shown as Shown
    from inscape.experiments.report.cells import cell as cell
    from inscape.experiments.report.cells import player as player
    from inscape.experiments.report.episodes import player_episode as player_episode
    from inscape.experiments.report.page import write_report as write_report
    from inscape.experiments.report.runs import report_for_runs as report_for_runs
    from inscape.experiments.report.sections import Curve as Curve
    from inscape.experiments.report.sections import CurvesSection as CurvesSection
    from inscape.experiments.report.sections import PlayerSection as PlayerSection
    from inscape.experiments.report.sections import TableSection as TableSection
    from inscape.experiments.report.sections import TextSection as TextSection
    from inscape.experiments.runs.callbacks import Callback as Callback
    from inscape.experiments.runs.callbacks import Training as Training
    from inscape.experiments.runs.during.best import KeepBest as KeepBest
    from inscape.experiments.runs.during.stopping import StopAt as StopAt
    from inscape.experiments.runs.during.stopping import StopOnPlateau as StopOnPlateau
    from inscape.experiments.runs.evaluation import ExactEvaluation as ExactEvaluation
    from inscape.experiments.runs.evaluation import exact_value as exact_value
    from inscape.experiments.runs.folders import open_run as open_run
    from inscape.experiments.runs.loop import TrainingInterrupted as TrainingInterrupted
    from inscape.experiments.runs.resuming import load_agent as load_agent
    from inscape.experiments.runs.run import Run as Run
    from inscape.experiments.runs.settings import RunSettings as RunSettings
    from inscape.experiments.runs.statistics import Interval as Interval
    from inscape.experiments.runs.statistics import bootstrap_interval as bootstrap_interval
    from inscape.experiments.runs.statistics import improvement_interval as improvement_interval
    from inscape.experiments.runs.statistics import interquartile_mean as interquartile_mean
    from inscape.experiments.runs.statistics import optimality_gap as optimality_gap
    from inscape.experiments.runs.statistics import performance_profile as performance_profile
    from inscape.experiments.runs.statistics import probability_of_improvement as probability_of_improvement
    from inscape.experiments.runs.statistics import stratified_bootstrap_interval as stratified_bootstrap_interval
    from inscape.experiments.runs.storage.checkpoints import latest_checkpoint as latest_checkpoint
    from inscape.experiments.runs.storage.checkpoints import load_checkpoint as load_checkpoint
    from inscape.experiments.runs.storage.checkpoints import save_checkpoint as save_checkpoint
    from inscape.experiments.runs.storage.episodes import load_trajectories as load_trajectories
    from inscape.experiments.runs.storage.episodes import save_trajectories as save_trajectories
    from inscape.experiments.runs.storage.metrics import read_columns as read_columns
    from inscape.experiments.runs.storage.metrics import read_rows as read_rows
    from inscape.experiments.runs.training import train as train
    from inscape.experiments.serving.show import show as show
    from inscape.experiments.studies.studying import study as study
    from inscape.experiments.sweeps.space import SearchRange as SearchRange
    from inscape.experiments.sweeps.sweep import Sweep as Sweep
    from inscape.experiments.sweeps.sweep import SweepInterrupted as SweepInterrupted
    from inscape.experiments.sweeps.sweep import sweep as sweep
    from inscape.experiments.trials.comparison import Comparison as Comparison
    from inscape.experiments.trials.comparison import compare as compare
    from inscape.experiments.trials.execute import ExperimentInterrupted as ExperimentInterrupted
    from inscape.experiments.trials.experiment import AgentSpec as AgentSpec
    from inscape.experiments.trials.experiment import Experiment as Experiment
    from inscape.experiments.trials.experiment import WorldSpec as WorldSpec
    from inscape.experiments.trials.ray_engine import RayEngine as RayEngine
    from inscape.experiments.trials.results import Results as Results
    from inscape.experiments.trials.trial import Trial as Trial
    from inscape.experiments.trials.trial import TrialResult as TrialResult
    from inscape.experiments.verbs.evaluate import PlayersEvaluation as PlayersEvaluation
    from inscape.experiments.verbs.evaluate import evaluate as evaluate
    from inscape.experiments.verbs.observe import Posterior as Posterior
    from inscape.experiments.verbs.observe import Posteriors as Posteriors
    from inscape.experiments.verbs.observe import observe as observe
    from inscape.experiments.verbs.plan import plan as plan
    from inscape.experiments.viewing.recording import RecordVideo as RecordVideo
    from inscape.experiments.viewing.watch import watch as watch

_HOMES = {
    # training
    "runs.training": ("train",),
    "runs.loop": ("TrainingInterrupted",),
    "runs.callbacks": ("Callback", "Training"),
    "runs.during.best": ("KeepBest",),
    "viewing.recording": ("RecordVideo",),
    "runs.during.stopping": ("StopAt", "StopOnPlateau"),
    "sweeps.sweep": ("Sweep", "SweepInterrupted", "sweep"),
    "sweeps.space": ("SearchRange",),
    "runs.resuming": ("load_agent",),
    # what is to be known about a world
    "studies.studying": ("study",),
    # many runs
    "trials.experiment": ("AgentSpec", "Experiment", "WorldSpec"),
    "trials.execute": ("ExperimentInterrupted",),
    "trials.trial": ("Trial", "TrialResult"),
    "trials.ray_engine": ("RayEngine",),
    "trials.results": ("Results",),
    "trials.comparison": ("Comparison", "compare"),
    # the other verbs
    "verbs.evaluate": (
        "PlayersEvaluation",
        "evaluate",
    ),
    "verbs.plan": ("plan",),
    "verbs.observe": (
        "Posterior",
        "Posteriors",
        "observe",
    ),
    # run folders
    "runs.run": ("Run",),
    "runs.settings": ("RunSettings",),
    "runs.folders": ("open_run",),
    "runs.storage.episodes": (
        "load_trajectories",
        "save_trajectories",
    ),
    "runs.storage.checkpoints": (
        "latest_checkpoint",
        "load_checkpoint",
        "save_checkpoint",
    ),
    "runs.storage.metrics": (
        "read_columns",
        "read_rows",
    ),
    # measuring
    "runs.evaluation": (
        "ExactEvaluation",
        "exact_value",
    ),
    "runs.statistics": (
        "Interval",
        "bootstrap_interval",
        "interquartile_mean",
        "stratified_bootstrap_interval",
        "improvement_interval",
        "optimality_gap",
        "performance_profile",
        "probability_of_improvement",
    ),
    "checks.check": ("check",),
    # showing
    "report.page": ("write_report",),
    "report.runs": ("report_for_runs",),
    "report.sections": (
        "Curve",
        "CurvesSection",
        "PlayerSection",
        "TableSection",
        "TextSection",
    ),
    "report.episodes": ("player_episode",),
    "report.cells": ("Shown", "cell", "player"),
    "viewing.watch": ("watch",),
    "serving.show": ("show",),
    "exporting.export": ("export",),
}
if not TYPE_CHECKING:  # a type checker reads the imports above and reports a name that does not exist
    __getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
