"""Theory of mind: which mind would have acted like this, and what will it do next? Deeper paths are private."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inscape.lazy import lazy_names

if TYPE_CHECKING:
    from inscape.theory_of_mind.assistance.answering import Answering as Answering
    from inscape.theory_of_mind.assistance.helpers import Helper as Helper
    from inscape.theory_of_mind.assistance.helpers import Helping as Helping
    from inscape.theory_of_mind.assistance.helpers import PlannedHelper as PlannedHelper
    from inscape.theory_of_mind.assistance.off_switch import NormalBelief as NormalBelief
    from inscape.theory_of_mind.assistance.off_switch import OffSwitch as OffSwitch
    from inscape.theory_of_mind.assistance.off_switch import off_switch as off_switch
    from inscape.theory_of_mind.assistance.problem import AssistanceProblem as AssistanceProblem
    from inscape.theory_of_mind.assistance.problem import Assisted as Assisted
    from inscape.theory_of_mind.assistance.problem import assistance_problem as assistance_problem
    from inscape.theory_of_mind.assistance.trusting import Trusting as Trusting
    from inscape.theory_of_mind.belief_points import BeliefWorld as BeliefWorld
    from inscape.theory_of_mind.belief_points import belief_world as belief_world
    from inscape.theory_of_mind.controllers import Controller as Controller
    from inscape.theory_of_mind.controllers import Step as Step
    from inscape.theory_of_mind.explaining import explain as explain
    from inscape.theory_of_mind.explaining import weight_of_evidence as weight_of_evidence
    from inscape.theory_of_mind.fitting.choices import Choices as Choices
    from inscape.theory_of_mind.fitting.choices import choices_of as choices_of
    from inscape.theory_of_mind.fitting.comparing import Comparison as Comparison
    from inscape.theory_of_mind.fitting.comparing import compare_minds as compare_minds
    from inscape.theory_of_mind.fitting.fit import MindFit as MindFit
    from inscape.theory_of_mind.fitting.fit import fit_minds as fit_minds
    from inscape.theory_of_mind.fitting.lesions import lesions as lesions
    from inscape.theory_of_mind.fitting.mixture import MindMixture as MindMixture
    from inscape.theory_of_mind.fitting.mixture import mixture_of_minds as mixture_of_minds
    from inscape.theory_of_mind.fitting.reading import read_choices as read_choices
    from inscape.theory_of_mind.fitting.reading import write_choices as write_choices
    from inscape.theory_of_mind.fitting.refining import RefinedMind as RefinedMind
    from inscape.theory_of_mind.fitting.refining import refine_mind as refine_mind
    from inscape.theory_of_mind.fitting.simulating import simulate_choices as simulate_choices
    from inscape.theory_of_mind.foreseeing_oneself import SelfKnowledge as SelfKnowledge
    from inscape.theory_of_mind.foreseeing_oneself import self_knowledge as self_knowledge
    from inscape.theory_of_mind.informative import Informative as Informative
    from inscape.theory_of_mind.informative import Watch as Watch
    from inscape.theory_of_mind.informative import most_informative as most_informative
    from inscape.theory_of_mind.irl.likelihood import ChoiceLikelihood as ChoiceLikelihood
    from inscape.theory_of_mind.irl.rewards import LearnedReward as LearnedReward
    from inscape.theory_of_mind.irl.rewards import RewardPosterior as RewardPosterior
    from inscape.theory_of_mind.irl.rewards import bayesian_irl as bayesian_irl
    from inscape.theory_of_mind.irl.rewards import max_entropy_irl as max_entropy_irl
    from inscape.theory_of_mind.judgement.intention import Intention as Intention
    from inscape.theory_of_mind.judgement.intention import intended as intended
    from inscape.theory_of_mind.judgement.stance import Stance as Stance
    from inscape.theory_of_mind.judgement.stance import helping_or_hindering as helping_or_hindering
    from inscape.theory_of_mind.learned import learned_dynamics as learned_dynamics
    from inscape.theory_of_mind.mind_policies import MindPolicies as MindPolicies
    from inscape.theory_of_mind.mind_policies import policies_of as policies_of
    from inscape.theory_of_mind.minds import Mind as Mind
    from inscape.theory_of_mind.minds import MindGrid as MindGrid
    from inscape.theory_of_mind.minds import grid as grid
    from inscape.theory_of_mind.minds import minds_grid as minds_grid
    from inscape.theory_of_mind.misspecification import PredictiveCheck as PredictiveCheck
    from inscape.theory_of_mind.misspecification import none_of_these as none_of_these
    from inscape.theory_of_mind.misspecification import predictive_check as predictive_check
    from inscape.theory_of_mind.neural.observer import NeuralObserver as NeuralObserver
    from inscape.theory_of_mind.neural.training import NeuralModel as NeuralModel
    from inscape.theory_of_mind.neural.training import train_neural_observer as train_neural_observer
    from inscape.theory_of_mind.observers.endings import Ends as Ends
    from inscape.theory_of_mind.observers.exact import ExactObserver as ExactObserver
    from inscape.theory_of_mind.observers.exact import observe as observe
    from inscape.theory_of_mind.observers.interface import ImpossibleEvidenceError as ImpossibleEvidenceError
    from inscape.theory_of_mind.observers.interface import ObserverProtocol as ObserverProtocol
    from inscape.theory_of_mind.observers.interface import Prediction as Prediction
    from inscape.theory_of_mind.observers.numbering import NumberedTrajectory as NumberedTrajectory
    from inscape.theory_of_mind.observers.observer import Observer as Observer
    from inscape.theory_of_mind.observers.partial import PartialObserver as PartialObserver
    from inscape.theory_of_mind.observers.particle import ParticleObserver as ParticleObserver
    from inscape.theory_of_mind.observers.planned import PlannedObserver as PlannedObserver
    from inscape.theory_of_mind.parts.believing import Filtering as Filtering
    from inscape.theory_of_mind.parts.believing import Learned as Learned
    from inscape.theory_of_mind.parts.believing import Params as Params
    from inscape.theory_of_mind.parts.believing import Sees as Sees
    from inscape.theory_of_mind.parts.choosing import Best as Best
    from inscape.theory_of_mind.parts.choosing import Proportional as Proportional
    from inscape.theory_of_mind.parts.choosing import Softmax as Softmax
    from inscape.theory_of_mind.parts.others import Hierarchy as Hierarchy
    from inscape.theory_of_mind.parts.others import LevelK as LevelK
    from inscape.theory_of_mind.parts.others import Uniform as Uniform
    from inscape.theory_of_mind.parts.planning import BACKUPS as BACKUPS
    from inscape.theory_of_mind.parts.planning import Exponential as Exponential
    from inscape.theory_of_mind.parts.planning import Hyperbolic as Hyperbolic
    from inscape.theory_of_mind.parts.planning import Planning as Planning
    from inscape.theory_of_mind.parts.wanting import Caring as Caring
    from inscape.theory_of_mind.parts.wanting import Curious as Curious
    from inscape.theory_of_mind.parts.wanting import InTurn as InTurn
    from inscape.theory_of_mind.parts.wanting import Switching as Switching
    from inscape.theory_of_mind.planning_mind import PlanningMind as PlanningMind
    from inscape.theory_of_mind.policy_mind import PolicyMind as PolicyMind
    from inscape.theory_of_mind.recursion.folding import against as against
    from inscape.theory_of_mind.recursion.folding import follow as follow
    from inscape.theory_of_mind.recursion.games import Game as Game
    from inscape.theory_of_mind.recursion.games import as_game as as_game
    from inscape.theory_of_mind.recursion.interactive import InteractiveLevels as InteractiveLevels
    from inscape.theory_of_mind.recursion.interactive import interactive_levels as interactive_levels
    from inscape.theory_of_mind.recursion.joint import Joint as Joint
    from inscape.theory_of_mind.recursion.levels import Levels as Levels
    from inscape.theory_of_mind.recursion.levels import cognitive_hierarchy as cognitive_hierarchy
    from inscape.theory_of_mind.recursion.levels import level_k as level_k
    from inscape.theory_of_mind.recursion.quantal import quantal_response as quantal_response
    from inscape.theory_of_mind.scoring import Calibration as Calibration
    from inscape.theory_of_mind.scoring import PredictionScore as PredictionScore
    from inscape.theory_of_mind.scoring import calibration as calibration
    from inscape.theory_of_mind.scoring import score_predictions as score_predictions

_HOMES = {
    # what a mind is
    "minds": (
        "Mind",
        "MindGrid",
        "grid",
        "minds_grid",
    ),
    "parts.wanting": ("Caring", "Curious", "InTurn", "Switching"),
    "parts.believing": ("Filtering", "Learned", "Params", "Sees"),
    "parts.planning": ("BACKUPS", "Exponential", "Hyperbolic", "Planning"),
    "parts.others": ("Hierarchy", "LevelK", "Uniform"),
    "parts.choosing": ("Best", "Proportional", "Softmax"),
    "belief_points": ("BeliefWorld", "belief_world"),
    "controllers": (
        "Controller",
        "Step",
    ),
    "planning_mind": ("PlanningMind",),
    "policy_mind": ("PolicyMind",),
    "mind_policies": (
        "MindPolicies",
        "policies_of",
    ),
    # inferring one
    "observers.interface": (
        "ImpossibleEvidenceError",
        "ObserverProtocol",
        "Prediction",
    ),
    "learned": ("learned_dynamics",),
    "observers.endings": ("Ends",),
    "observers.exact": (
        "ExactObserver",
        "observe",
    ),
    "observers.numbering": ("NumberedTrajectory",),
    "observers.observer": ("Observer",),
    "observers.partial": ("PartialObserver",),
    "observers.particle": ("ParticleObserver",),
    "observers.planned": ("PlannedObserver",),
    "neural.observer": ("NeuralObserver",),
    "neural.training": ("NeuralModel", "train_neural_observer"),
    # minds about minds
    "recursion.folding": ("against", "follow"),
    "recursion.games": ("Game", "as_game"),
    "recursion.interactive": ("InteractiveLevels", "interactive_levels"),
    "recursion.joint": ("Joint",),
    "recursion.quantal": ("quantal_response",),
    "recursion.levels": ("Levels", "cognitive_hierarchy", "level_k"),
    # helping
    "assistance.problem": ("Assisted", "AssistanceProblem", "assistance_problem"),
    "assistance.helpers": ("Helper", "Helping", "PlannedHelper"),
    "judgement.intention": ("Intention", "intended"),
    "judgement.stance": ("Stance", "helping_or_hindering"),
    "assistance.answering": ("Answering",),
    "assistance.off_switch": ("NormalBelief", "OffSwitch", "off_switch"),
    "assistance.trusting": ("Trusting",),
    # rewards from behaviour
    "irl.likelihood": ("ChoiceLikelihood",),
    "irl.rewards": ("LearnedReward", "RewardPosterior", "bayesian_irl", "max_entropy_irl"),
    # minds fitted to recorded choices
    "fitting.choices": ("Choices", "choices_of"),
    "fitting.reading": ("read_choices", "write_choices"),
    "fitting.simulating": ("simulate_choices",),
    "fitting.fit": ("MindFit", "fit_minds"),
    "fitting.refining": ("RefinedMind", "refine_mind"),
    "fitting.comparing": ("Comparison", "compare_minds"),
    "fitting.lesions": ("lesions",),
    "fitting.mixture": ("MindMixture", "mixture_of_minds"),
    "explaining": ("explain", "weight_of_evidence"),
    # choosing what to look at
    "informative": ("Informative", "Watch", "most_informative"),
    # judging an observer
    "misspecification": ("PredictiveCheck", "none_of_these", "predictive_check"),
    "foreseeing_oneself": ("SelfKnowledge", "self_knowledge"),
    "scoring": (
        "Calibration",
        "PredictionScore",
        "calibration",
        "score_predictions",
    ),
}
if not TYPE_CHECKING:  # a type checker reads the imports above and reports a name that does not exist
    __getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
