"""World models and the planners that search them. What users import is listed here; deeper paths are private."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inscape.lazy import lazy_names

if TYPE_CHECKING:
    from inscape.world_models.belief.exact import BeliefFilter as BeliefFilter
    from inscape.world_models.belief.exact import FilteredEpisode as FilteredEpisode
    from inscape.world_models.belief.exact import ImpossiblePerceptError as ImpossiblePerceptError
    from inscape.world_models.belief.kalman import LinearGaussian as LinearGaussian
    from inscape.world_models.belief.model import BeliefModel as BeliefModel
    from inscape.world_models.belief.particles import ParticleBeliefs as ParticleBeliefs
    from inscape.world_models.belief.particles import ParticleModel as ParticleModel
    from inscape.world_models.catalogue import make_model as make_model
    from inscape.world_models.catalogue import model_names as model_names
    from inscape.world_models.context_tree.model import ContextTreeModel as ContextTreeModel
    from inscape.world_models.context_tree.model import ContextTreeSettings as ContextTreeSettings
    from inscape.world_models.factored.model import FactoredModel as FactoredModel
    from inscape.world_models.factored.model import FactoredSettings as FactoredSettings
    from inscape.world_models.interface import FitReport as FitReport
    from inscape.world_models.interface import HasDisagreement as HasDisagreement
    from inscape.world_models.interface import HasKeys as HasKeys
    from inscape.world_models.interface import HasLegal as HasLegal
    from inscape.world_models.interface import HasLogProb as HasLogProb
    from inscape.world_models.interface import HasMover as HasMover
    from inscape.world_models.interface import HasOutcomes as HasOutcomes
    from inscape.world_models.interface import HasPosterior as HasPosterior
    from inscape.world_models.interface import HasTables as HasTables
    from inscape.world_models.interface import HasTerminal as HasTerminal
    from inscape.world_models.interface import Learns as Learns
    from inscape.world_models.interface import ModelStep as ModelStep
    from inscape.world_models.interface import WorldModel as WorldModel
    from inscape.world_models.interface import as_numpy as as_numpy
    from inscape.world_models.interface import fit_model as fit_model
    from inscape.world_models.interface import legal_actions as legal_actions
    from inscape.world_models.interface import num_actions as num_actions
    from inscape.world_models.interface import require as require
    from inscape.world_models.interface import total_log_prob as total_log_prob
    from inscape.world_models.known import KnownModel as KnownModel
    from inscape.world_models.known import as_model as as_model
    from inscape.world_models.learned.ensemble.model import EnsembleModel as EnsembleModel
    from inscape.world_models.learned.ensemble.settings import EnsembleSettings as EnsembleSettings
    from inscape.world_models.learned.latent.model import LatentModel as LatentModel
    from inscape.world_models.learned.latent.settings import LatentSettings as LatentSettings
    from inscape.world_models.learned.muzero.model import MuZeroModel as MuZeroModel
    from inscape.world_models.learned.muzero.settings import MuZeroModelSettings as MuZeroModelSettings
    from inscape.world_models.learned.probing import ProbeResult as ProbeResult
    from inscape.world_models.learned.probing import belief_probe as belief_probe
    from inscape.world_models.learned.probing import linear_probe as linear_probe
    from inscape.world_models.learned.program.model import Program as Program
    from inscape.world_models.learned.program.model import ProgramModel as ProgramModel
    from inscape.world_models.learned.program.model import ProgramSettings as ProgramSettings
    from inscape.world_models.learned.sequence import SequenceModel as SequenceModel
    from inscape.world_models.learned.sequence import SequenceSettings as SequenceSettings
    from inscape.world_models.planning.average_reward.average import AverageSolution as AverageSolution
    from inscape.world_models.planning.average_reward.average import (
        average_linear_programme as average_linear_programme,
    )
    from inscape.world_models.planning.average_reward.average import average_of_policy as average_of_policy
    from inscape.world_models.planning.average_reward.average import average_reward as average_reward
    from inscape.world_models.planning.batches.soft_value_iteration import BatchedSoftSolution as BatchedSoftSolution
    from inscape.world_models.planning.batches.soft_value_iteration import (
        batched_soft_value_iteration as batched_soft_value_iteration,
    )
    from inscape.world_models.planning.batches.value_iteration import BatchedSolution as BatchedSolution
    from inscape.world_models.planning.batches.value_iteration import batched_value_iteration as batched_value_iteration
    from inscape.world_models.planning.beliefs.active_inference import ActiveInference as ActiveInference
    from inscape.world_models.planning.beliefs.active_inference import PolicyPosterior as PolicyPosterior
    from inscape.world_models.planning.beliefs.active_inference import parameter_information as parameter_information
    from inscape.world_models.planning.beliefs.alpha_vectors import AlphaVectors as AlphaVectors
    from inscape.world_models.planning.beliefs.alpha_vectors import alpha_vectors as alpha_vectors
    from inscape.world_models.planning.beliefs.alpha_vectors import fast_informed_bound as fast_informed_bound
    from inscape.world_models.planning.beliefs.alpha_vectors import qmdp as qmdp
    from inscape.world_models.planning.beliefs.mixed_observability import MixedSolution as MixedSolution
    from inscape.world_models.planning.beliefs.mixed_observability import mixed_point_based as mixed_point_based
    from inscape.world_models.planning.beliefs.point_based import BeliefSolution as BeliefSolution
    from inscape.world_models.planning.beliefs.point_based import point_based as point_based
    from inscape.world_models.planning.beliefs.pomcp import POMCP as POMCP
    from inscape.world_models.planning.beliefs.problem import BeliefProblem as BeliefProblem
    from inscape.world_models.planning.catalogue import make_planner as make_planner
    from inscape.world_models.planning.catalogue import planner_names as planner_names
    from inscape.world_models.planning.choice import boltzmann_log_probs as boltzmann_log_probs
    from inscape.world_models.planning.choice import boltzmann_value as boltzmann_value
    from inscape.world_models.planning.control.cem import CEM as CEM
    from inscape.world_models.planning.control.icem import ICEM as ICEM
    from inscape.world_models.planning.control.mppi import MPPI as MPPI
    from inscape.world_models.planning.control.random_shooting import RandomShooting as RandomShooting
    from inscape.world_models.planning.control.widening import DPW as DPW
    from inscape.world_models.planning.dynamic_programming import SoftSolution as SoftSolution
    from inscape.world_models.planning.dynamic_programming import Solution as Solution
    from inscape.world_models.planning.dynamic_programming import policy_evaluation as policy_evaluation
    from inscape.world_models.planning.dynamic_programming import soft_value_iteration as soft_value_iteration
    from inscape.world_models.planning.dynamic_programming import value_iteration as value_iteration
    from inscape.world_models.planning.finite_horizon import FiniteHorizonSolution as FiniteHorizonSolution
    from inscape.world_models.planning.finite_horizon import SoftFiniteHorizonSolution as SoftFiniteHorizonSolution
    from inscape.world_models.planning.finite_horizon import backward_induction as backward_induction
    from inscape.world_models.planning.finite_horizon import soft_backward_induction as soft_backward_induction
    from inscape.world_models.planning.games.exact import GameValues as GameValues
    from inscape.world_models.planning.games.exact import game_values as game_values
    from inscape.world_models.planning.games.joint import JointPlan as JointPlan
    from inscape.world_models.planning.games.joint import joint_plan as joint_plan
    from inscape.world_models.planning.games.matrix import Equilibrium as Equilibrium
    from inscape.world_models.planning.games.matrix import correlated_equilibrium as correlated_equilibrium
    from inscape.world_models.planning.games.matrix import nash_equilibria as nash_equilibria
    from inscape.world_models.planning.games.matrix import payoffs_of as payoffs_of
    from inscape.world_models.planning.games.matrix import zero_sum_equilibrium as zero_sum_equilibrium
    from inscape.world_models.planning.games.regret import GameSolution as GameSolution
    from inscape.world_models.planning.games.regret import cfr as cfr
    from inscape.world_models.planning.games.sequence_form import (
        sequence_form_equilibrium as sequence_form_equilibrium,
    )
    from inscape.world_models.planning.games.tree import GameTree as GameTree
    from inscape.world_models.planning.interface import Evaluate as Evaluate
    from inscape.world_models.planning.interface import Plan as Plan
    from inscape.world_models.planning.interface import Planner as Planner
    from inscape.world_models.planning.interface import Plans as Plans
    from inscape.world_models.planning.interface import SearchTree as SearchTree
    from inscape.world_models.planning.policies import Hitting as Hitting
    from inscape.world_models.planning.policies import ReturnDistribution as ReturnDistribution
    from inscape.world_models.planning.policies import hitting as hitting
    from inscape.world_models.planning.policies import occupancy as occupancy
    from inscape.world_models.planning.policies import return_distribution as return_distribution
    from inscape.world_models.planning.policy_iteration import linear_programme as linear_programme
    from inscape.world_models.planning.policy_iteration import policy_iteration as policy_iteration
    from inscape.world_models.planning.policy_iteration import prioritized_sweeping as prioritized_sweeping
    from inscape.world_models.planning.shaping import ShapingReport as ShapingReport
    from inscape.world_models.planning.shaping import shaped as shaped
    from inscape.world_models.planning.shaping import shaping_report as shaping_report
    from inscape.world_models.planning.soft_policies import EpsilonSoftSolution as EpsilonSoftSolution
    from inscape.world_models.planning.soft_policies import epsilon_soft_optimum as epsilon_soft_optimum
    from inscape.world_models.planning.soft_policies import stage_values as stage_values
    from inscape.world_models.planning.solve import solve as solve
    from inscape.world_models.planning.solve import solve_beliefs as solve_beliefs
    from inscape.world_models.planning.tree_search.alpha_beta import AlphaBeta as AlphaBeta
    from inscape.world_models.planning.tree_search.batched import BatchedSearch as BatchedSearch
    from inscape.world_models.planning.tree_search.gumbel import Gumbel as Gumbel
    from inscape.world_models.planning.tree_search.network import PerceptronEvaluator as PerceptronEvaluator
    from inscape.world_models.planning.tree_search.puct import PUCT as PUCT
    from inscape.world_models.planning.tree_search.rho_uct import RhoUCT as RhoUCT
    from inscape.world_models.planning.tree_search.uct import UCT as UCT
    from inscape.world_models.scoring.code_length import CodeLength as CodeLength
    from inscape.world_models.scoring.code_length import bits as bits
    from inscape.world_models.scoring.code_length import learning_curve as learning_curve
    from inscape.world_models.scoring.exact import ExactBits as ExactBits
    from inscape.world_models.scoring.exact import Regret as Regret
    from inscape.world_models.scoring.exact import ValueGap as ValueGap
    from inscape.world_models.scoring.exact import exact_bits as exact_bits
    from inscape.world_models.scoring.exact import regret as regret
    from inscape.world_models.scoring.exact import value_gap as value_gap
    from inscape.world_models.scoring.questions import Calibration as Calibration
    from inscape.world_models.scoring.questions import Prediction as Prediction
    from inscape.world_models.scoring.questions import calibration as calibration
    from inscape.world_models.scoring.questions import disagreement_map as disagreement_map
    from inscape.world_models.scoring.questions import imagined_episode as imagined_episode
    from inscape.world_models.scoring.questions import predict as predict
    from inscape.world_models.scoring.questions import reliability as reliability
    from inscape.world_models.scoring.questions import surprise as surprise
    from inscape.world_models.scoring.score import ModelScore as ModelScore
    from inscape.world_models.scoring.score import score_model as score_model
    from inscape.world_models.tabular.counts import LearnedTabularModel as LearnedTabularModel
    from inscape.world_models.tabular.counts import TabularModelSettings as TabularModelSettings
    from inscape.world_models.tabular.model import TabularModel as TabularModel
    from inscape.world_models.tabular.model import absorb as absorb
    from inscape.world_models.tabular.purposes import purpose_tables as purpose_tables

_HOMES = {
    # learned by gradient
    "learned.ensemble.model": ("EnsembleModel",),
    "learned.ensemble.settings": ("EnsembleSettings",),
    "learned.program.model": ("Program", "ProgramModel", "ProgramSettings"),
    "learned.sequence": ("SequenceModel", "SequenceSettings"),
    "learned.latent.model": ("LatentModel",),
    "learned.latent.settings": ("LatentSettings",),
    "learned.muzero.model": ("MuZeroModel",),
    "learned.muzero.settings": ("MuZeroModelSettings",),
    "learned.probing": ("ProbeResult", "belief_probe", "linear_probe"),
    # how good a learned model is
    "scoring.code_length": (
        "CodeLength",
        "bits",
        "learning_curve",
    ),
    "scoring.exact": (
        "ExactBits",
        "Regret",
        "ValueGap",
        "exact_bits",
        "regret",
        "value_gap",
    ),
    "scoring.questions": (
        "Calibration",
        "Prediction",
        "calibration",
        "disagreement_map",
        "imagined_episode",
        "predict",
        "reliability",
        "surprise",
    ),
    "scoring.score": (
        "ModelScore",
        "score_model",
    ),
    "factored.model": ("FactoredModel", "FactoredSettings"),
    "context_tree.model": ("ContextTreeModel", "ContextTreeSettings"),
    # learned models by name
    "catalogue": ("make_model", "model_names"),
    # what a model is
    "interface": (
        "FitReport",
        "HasDisagreement",
        "HasKeys",
        "HasLegal",
        "HasLogProb",
        "HasMover",
        "HasOutcomes",
        "HasPosterior",
        "HasTables",
        "HasTerminal",
        "Learns",
        "ModelStep",
        "WorldModel",
        "as_numpy",
        "fit_model",
        "legal_actions",
        "num_actions",
        "require",
        "total_log_prob",
    ),
    # models
    "known": (
        "KnownModel",
        "as_model",
    ),
    "tabular.model": (
        "TabularModel",
        "absorb",
    ),
    "tabular.purposes": ("purpose_tables",),
    "tabular.counts": (
        "LearnedTabularModel",
        "TabularModelSettings",
    ),
    "belief.exact": (
        "BeliefFilter",
        "FilteredEpisode",
        "ImpossiblePerceptError",
    ),
    "belief.kalman": ("LinearGaussian",),
    "belief.model": ("BeliefModel",),
    "belief.particles": (
        "ParticleBeliefs",
        "ParticleModel",
    ),
    # planners
    "planning.catalogue": (
        "make_planner",
        "planner_names",
    ),
    "planning.interface": (
        "Evaluate",
        "Plan",
        "Planner",
        "Plans",
        "SearchTree",
    ),
    "planning.average_reward.average": (
        "AverageSolution",
        "average_linear_programme",
        "average_of_policy",
        "average_reward",
    ),
    "planning.beliefs.active_inference": (
        "ActiveInference",
        "PolicyPosterior",
        "parameter_information",
    ),
    "planning.beliefs.alpha_vectors": (
        "AlphaVectors",
        "alpha_vectors",
        "fast_informed_bound",
        "qmdp",
    ),
    "planning.beliefs.mixed_observability": (
        "MixedSolution",
        "mixed_point_based",
    ),
    "planning.beliefs.point_based": (
        "BeliefSolution",
        "point_based",
    ),
    "planning.beliefs.pomcp": ("POMCP",),
    "planning.beliefs.problem": ("BeliefProblem",),
    "planning.choice": (
        "boltzmann_log_probs",
        "boltzmann_value",
    ),
    "planning.control.cem": ("CEM",),
    "planning.control.icem": ("ICEM",),
    "planning.control.mppi": ("MPPI",),
    "planning.control.random_shooting": ("RandomShooting",),
    "planning.dynamic_programming": (
        "SoftSolution",
        "Solution",
        "policy_evaluation",
        "soft_value_iteration",
        "value_iteration",
    ),
    "planning.batches.soft_value_iteration": (
        "BatchedSoftSolution",
        "batched_soft_value_iteration",
    ),
    "planning.batches.value_iteration": (
        "BatchedSolution",
        "batched_value_iteration",
    ),
    "planning.finite_horizon": (
        "FiniteHorizonSolution",
        "SoftFiniteHorizonSolution",
        "backward_induction",
        "soft_backward_induction",
    ),
    "planning.games.exact": (
        "GameValues",
        "game_values",
    ),
    "planning.games.joint": (
        "JointPlan",
        "joint_plan",
    ),
    "planning.games.matrix": (
        "Equilibrium",
        "correlated_equilibrium",
        "nash_equilibria",
        "payoffs_of",
        "zero_sum_equilibrium",
    ),
    "planning.games.regret": (
        "GameSolution",
        "cfr",
    ),
    "planning.games.sequence_form": ("sequence_form_equilibrium",),
    "planning.games.tree": ("GameTree",),
    "planning.policies": (
        "Hitting",
        "ReturnDistribution",
        "hitting",
        "occupancy",
        "return_distribution",
    ),
    "planning.policy_iteration": (
        "linear_programme",
        "policy_iteration",
        "prioritized_sweeping",
    ),
    "planning.shaping": (
        "ShapingReport",
        "shaped",
        "shaping_report",
    ),
    "planning.soft_policies": (
        "EpsilonSoftSolution",
        "epsilon_soft_optimum",
        "stage_values",
    ),
    "planning.solve": (
        "solve",
        "solve_beliefs",
    ),
    "planning.tree_search.batched": ("BatchedSearch",),
    "planning.tree_search.gumbel": ("Gumbel",),
    "planning.tree_search.network": ("PerceptronEvaluator",),
    "planning.tree_search.puct": ("PUCT",),
    "planning.tree_search.alpha_beta": ("AlphaBeta",),
    "planning.tree_search.rho_uct": ("RhoUCT",),
    "planning.tree_search.uct": ("UCT",),
    "planning.control.widening": ("DPW",),
}
if not TYPE_CHECKING:  # a type checker reads the imports above and reports a name that does not exist
    __getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
