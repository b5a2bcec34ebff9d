"""Agents by name, and the loops that run them. What users import is listed here; deeper paths are private."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from inscape.lazy import lazy_names

if TYPE_CHECKING:
    from inscape.agents.adapters import as_agent as as_agent
    from inscape.agents.imagination.dreamer import Dreamer as Dreamer
    from inscape.agents.imagination.settings import DreamerSettings as DreamerSettings
    from inscape.agents.interface import Agent as Agent
    from inscape.agents.interface import AnyAgent as AnyAgent
    from inscape.agents.interface import Learner as Learner
    from inscape.agents.interface import LearningAgent as LearningAgent
    from inscape.agents.interface import RememberingAgent as RememberingAgent
    from inscape.agents.interface import ResumableAgent as ResumableAgent
    from inscape.agents.interface import ScoringAgent as ScoringAgent
    from inscape.agents.learning.elastic_weights import ElasticWeights as ElasticWeights
    from inscape.agents.learning.elastic_weights import empirical_fisher as empirical_fisher
    from inscape.agents.learning.elastic_weights import expected_fisher as expected_fisher
    from inscape.agents.learning.env_runner import EnvRunner as EnvRunner
    from inscape.agents.learning.returns import VTrace as VTrace
    from inscape.agents.learning.returns import discounted_returns as discounted_returns
    from inscape.agents.learning.returns import generalized_advantages as generalized_advantages
    from inscape.agents.learning.returns import importance_weights as importance_weights
    from inscape.agents.learning.returns import n_step_returns as n_step_returns
    from inscape.agents.learning.returns import vtrace as vtrace
    from inscape.agents.learning.standard_equation import StandardSolution as StandardSolution
    from inscape.agents.learning.standard_equation import standard_equation as standard_equation
    from inscape.agents.llm.preferences import Preferences as Preferences
    from inscape.agents.llm.preferences import best_of_n as best_of_n
    from inscape.agents.llm.preferences import bradley_terry as bradley_terry
    from inscape.agents.llm.settings import LanguageModelSettings as LanguageModelSettings
    from inscape.agents.llm.stages.pretraining import episode_pieces as episode_pieces
    from inscape.agents.llm.stages.pretraining import pack as pack
    from inscape.agents.llm.stages.pretraining import perplexity as perplexity
    from inscape.agents.llm.stages.pretraining import pretrain as pretrain
    from inscape.agents.llm.stages.pretraining import to_text as to_text
    from inscape.agents.multi_agent.self_play import SelfPlay as SelfPlay
    from inscape.agents.multi_agent.self_play import SelfPlaySettings as SelfPlaySettings
    from inscape.agents.muzero.agent import MuZero as MuZero
    from inscape.agents.muzero.settings import MuZeroSettings as MuZeroSettings
    from inscape.agents.off_policy.dqn import DQN as DQN
    from inscape.agents.off_policy.dqn import DQNSettings as DQNSettings
    from inscape.agents.off_policy.sac import SAC as SAC
    from inscape.agents.off_policy.sac import SACSettings as SACSettings
    from inscape.agents.on_policy.a2c import A2C as A2C
    from inscape.agents.on_policy.a2c import A2CSettings as A2CSettings
    from inscape.agents.on_policy.ppo import PPO as PPO
    from inscape.agents.on_policy.ppo import PPOSettings as PPOSettings
    from inscape.agents.on_policy.recurrent_ppo import RecurrentPPO as RecurrentPPO
    from inscape.agents.on_policy.recurrent_ppo import RecurrentPPOSettings as RecurrentPPOSettings
    from inscape.agents.on_policy.reinforce import Reinforce as Reinforce
    from inscape.agents.on_policy.reinforce import ReinforceSettings as ReinforceSettings
    from inscape.agents.planners.alpha_beta import AlphaBetaAgent as AlphaBetaAgent
    from inscape.agents.planners.alpha_beta import AlphaBetaSettings as AlphaBetaSettings
    from inscape.agents.planners.mc_aixi import MCAIXI as MCAIXI
    from inscape.agents.planners.mc_aixi import MCAIXISettings as MCAIXISettings
    from inscape.agents.planners.mcts import MCTS as MCTS
    from inscape.agents.planners.mcts import MCTSSettings as MCTSSettings
    from inscape.agents.planners.pets import PETS as PETS
    from inscape.agents.planners.pets import PETSSettings as PETSSettings
    from inscape.agents.planners.psrl import PSRL as PSRL
    from inscape.agents.planners.psrl import PSRLSettings as PSRLSettings
    from inscape.agents.planners.value_iteration import ValueIterationAgent as ValueIterationAgent
    from inscape.agents.planners.value_iteration import ValueIterationSettings as ValueIterationSettings
    from inscape.agents.presets import Preset as Preset
    from inscape.agents.random_agent import RandomAgent as RandomAgent
    from inscape.agents.registry import agent_names as agent_names
    from inscape.agents.registry import default_settings as default_settings
    from inscape.agents.registry import default_steps as default_steps
    from inscape.agents.registry import make_agent as make_agent
    from inscape.agents.rollout import Evaluation as Evaluation
    from inscape.agents.rollout import evaluate as evaluate
    from inscape.agents.rollout import evaluate_players as evaluate_players
    from inscape.agents.sb3.env import LawVecEnv as LawVecEnv
    from inscape.agents.sb3.policy import as_sb3_policy as as_sb3_policy
    from inscape.agents.sb3.settings import SB3Settings as SB3Settings
    from inscape.agents.tabular.double_q_learning import DoubleQLearning as DoubleQLearning
    from inscape.agents.tabular.double_q_learning import DoubleQLearningSettings as DoubleQLearningSettings
    from inscape.agents.tabular.dyna_q import DynaQ as DynaQ
    from inscape.agents.tabular.dyna_q import DynaQSettings as DynaQSettings
    from inscape.agents.tabular.monte_carlo import MonteCarlo as MonteCarlo
    from inscape.agents.tabular.monte_carlo import MonteCarloSettings as MonteCarloSettings
    from inscape.agents.tabular.q_learning import QLearning as QLearning
    from inscape.agents.tabular.q_learning import QLearningSettings as QLearningSettings
    from inscape.agents.tabular.sarsa import ExpectedSarsa as ExpectedSarsa
    from inscape.agents.tabular.sarsa import ExpectedSarsaSettings as ExpectedSarsaSettings
    from inscape.agents.tabular.sarsa import NStepSarsa as NStepSarsa
    from inscape.agents.tabular.sarsa import NStepSarsaSettings as NStepSarsaSettings
    from inscape.agents.tabular.sarsa import Sarsa as Sarsa
    from inscape.agents.tabular.sarsa import SarsaSettings as SarsaSettings
    from inscape.agents.tabular.temporal_difference import TDLambda as TDLambda
    from inscape.agents.tabular.temporal_difference import TDLambdaSettings as TDLambdaSettings
    from inscape.agents.vector_actor import VectorActor as VectorActor

_HOMES = {
    # what an agent is
    "interface": (
        "Agent",
        "AnyAgent",
        "Learner",
        "LearningAgent",
        "RememberingAgent",
        "ResumableAgent",
        "ScoringAgent",
    ),
    "adapters": ("as_agent",),
    # making one
    "registry": (
        "agent_names",
        "default_settings",
        "default_steps",
        "make_agent",
    ),
    "presets": ("Preset",),
    "random_agent": ("RandomAgent",),
    # letting it act
    "rollout": (  # the function rollout itself is inscape.rollout: here its name is the module's
        "Evaluation",
        "evaluate",
        "evaluate_players",
    ),
    "vector_actor": ("VectorActor",),
    # writing one that learns
    "learning.env_runner": ("EnvRunner",),
    "learning.returns": (
        "VTrace",
        "discounted_returns",
        "generalized_advantages",
        "importance_weights",
        "n_step_returns",
        "vtrace",
    ),
    "llm.preferences": (
        "Preferences",
        "best_of_n",
        "bradley_terry",
    ),
    "llm.stages.pretraining": (
        "episode_pieces",
        "pack",
        "perplexity",
        "pretrain",
        "to_text",
    ),
    "learning.standard_equation": (
        "StandardSolution",
        "standard_equation",
    ),
    "learning.elastic_weights": (
        "ElasticWeights",
        "empirical_fisher",
        "expected_fisher",
    ),
    # the built-in ones, with their settings
    "tabular.q_learning": (
        "QLearning",
        "QLearningSettings",
    ),
    "tabular.double_q_learning": (
        "DoubleQLearning",
        "DoubleQLearningSettings",
    ),
    "tabular.sarsa": (
        "ExpectedSarsa",
        "ExpectedSarsaSettings",
        "NStepSarsa",
        "NStepSarsaSettings",
        "Sarsa",
        "SarsaSettings",
    ),
    "tabular.monte_carlo": (
        "MonteCarlo",
        "MonteCarloSettings",
    ),
    "tabular.temporal_difference": (
        "TDLambda",
        "TDLambdaSettings",
    ),
    "tabular.dyna_q": (
        "DynaQ",
        "DynaQSettings",
    ),
    "on_policy.reinforce": (
        "Reinforce",
        "ReinforceSettings",
    ),
    "on_policy.a2c": (
        "A2C",
        "A2CSettings",
    ),
    "on_policy.ppo": (
        "PPO",
        "PPOSettings",
    ),
    "on_policy.recurrent_ppo": (
        "RecurrentPPO",
        "RecurrentPPOSettings",
    ),
    "off_policy.dqn": (
        "DQN",
        "DQNSettings",
    ),
    "off_policy.sac": (
        "SAC",
        "SACSettings",
    ),
    "multi_agent.self_play": (
        "SelfPlay",
        "SelfPlaySettings",
    ),
    "planners.alpha_beta": (
        "AlphaBetaAgent",
        "AlphaBetaSettings",
    ),
    "planners.mcts": (
        "MCTS",
        "MCTSSettings",
    ),
    "planners.mc_aixi": (
        "MCAIXI",
        "MCAIXISettings",
    ),
    "planners.pets": (
        "PETS",
        "PETSSettings",
    ),
    "imagination.dreamer": ("Dreamer",),
    "imagination.settings": ("DreamerSettings",),
    "muzero.agent": ("MuZero",),
    "muzero.settings": ("MuZeroSettings",),
    "planners.psrl": (
        "PSRL",
        "PSRLSettings",
    ),
    "planners.value_iteration": (
        "ValueIterationAgent",
        "ValueIterationSettings",
    ),
    "llm.settings": ("LanguageModelSettings",),
    # Stable-Baselines3
    "sb3.settings": ("SB3Settings",),
    "sb3.policy": ("as_sb3_policy",),
    "sb3.env": ("LawVecEnv",),
}
if not TYPE_CHECKING:  # a type checker reads the imports above and reports a name that does not exist
    __getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)

# Intel's MKL, under torch, rounds a product of small matrices differently by where its operands happen to lie in
# memory, so that a resumed run would drift from one never killed by the last bit. This asks it not to, at no cost that
# we could measure; it is read at the first product, so it may come after `import torch`.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
