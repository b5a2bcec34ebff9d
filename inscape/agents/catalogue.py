"""The built-in agents by name: data only, read by `inscape.agents.registry`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

LearnerName = Literal[
    "q-learning", "double-q-learning", "sarsa", "expected-sarsa", "n-step-sarsa", "monte-carlo", "dyna-q", "psrl",
    "pets", "td-lambda",
    "reinforce", "dqn", "ppo", "recurrent-ppo", "sac", "self-play", "a2c", "mcts", "alphazero", "llm",
    "clone", "dagger", "airl",
    "mc-aixi", "dreamer", "muzero",
]  # fmt: skip
"""Names of the built-in agents that learn, for type checkers."""


@dataclass(frozen=True)
class AgentEntry:
    """What is known of an agent before it is imported.

    Attributes:
        name: what the user types.
        description: one line for `inscape list agents`.
        path: `module:Class`.
        settings_path: `module:Class` of its settings, "" if it has none.
        learns: whether it has `learn`.
        steps: environment steps to train for where no preset says otherwise; of `clone`, gradient steps.
    """

    name: str
    description: str
    path: str
    settings_path: str = ""
    learns: bool = False
    steps: int = 100_000


BUILT_IN: tuple[AgentEntry, ...] = (
    AgentEntry(
        "random", "chooses uniformly among the legal actions",
        "inscape.agents.random_agent:RandomAgent", "inscape.agents.random_agent:RandomSettings",
    ),
    AgentEntry(
        "q-learning", "tabular Q-learning, compiled with the world (Watkins 1989)",
        "inscape.agents.tabular.q_learning:QLearning", "inscape.agents.tabular.q_learning:QLearningSettings",
        learns=True, steps=3_000_000,
    ),
    AgentEntry(
        "double-q-learning", "tabular, two tables against the bias of the maximum (van Hasselt 2010)",
        "inscape.agents.tabular.double_q_learning:DoubleQLearning",
        "inscape.agents.tabular.double_q_learning:DoubleQLearningSettings",
        learns=True, steps=3_000_000,
    ),
    AgentEntry(
        "sarsa", "tabular, the value of what it does, exploration included (Rummery & Niranjan 1994)",
        "inscape.agents.tabular.sarsa:Sarsa", "inscape.agents.tabular.sarsa:SarsaSettings",
        learns=True, steps=3_000_000,
    ),
    AgentEntry(
        "expected-sarsa", "tabular SARSA with the mean over next actions (van Seijen et al. 2009)",
        "inscape.agents.tabular.sarsa:ExpectedSarsa", "inscape.agents.tabular.sarsa:ExpectedSarsaSettings",
        learns=True, steps=3_000_000,
    ),
    AgentEntry(
        "n-step-sarsa", "tabular SARSA with n rewards before the estimate (Sutton & Barto 2018, §7.2)",
        "inscape.agents.tabular.sarsa:NStepSarsa", "inscape.agents.tabular.sarsa:NStepSarsaSettings",
        learns=True, steps=3_000_000,
    ),
    AgentEntry(
        "monte-carlo", "tabular, from whole returns: first or every visit, or off-policy (Sutton & Barto 2018, ch. 5)",
        "inscape.agents.tabular.monte_carlo:MonteCarlo", "inscape.agents.tabular.monte_carlo:MonteCarloSettings",
        learns=True, steps=3_000_000,
    ),
    AgentEntry(
        "mc-aixi", "learns a mixture over context trees and plans in it (Veness et al. 2011); hidden states",
        "inscape.agents.planners.mc_aixi:MCAIXI", "inscape.agents.planners.mc_aixi:MCAIXISettings",
        learns=True, steps=10_000,
    ),
    AgentEntry(
        "psrl", "acts on laws drawn from its posterior over tables (Strens 2000; Osband et al. 2013)",
        "inscape.agents.planners.psrl:PSRL", "inscape.agents.planners.psrl:PSRLSettings",
        learns=True, steps=40_000,
    ),
    AgentEntry(
        "pets", "plans in an ensemble of probabilistic networks that it learns (Chua et al. 2018)",
        "inscape.agents.planners.pets:PETS", "inscape.agents.planners.pets:PETSSettings",
        learns=True, steps=1_000,
    ),
    AgentEntry(
        "dyna-q", "tabular Q-learning that also learns from a model (Sutton 1990)",
        "inscape.agents.tabular.dyna_q:DynaQ", "inscape.agents.tabular.dyna_q:DynaQSettings",
        learns=True, steps=3_000_000,
    ),
    AgentEntry(
        "td-lambda", "values of a given policy by TD(0) or TD(λ), tabular (Sutton 1988)",
        "inscape.agents.tabular.temporal_difference:TDLambda",
        "inscape.agents.tabular.temporal_difference:TDLambdaSettings",
        learns=True, steps=3_000_000,
    ),
    AgentEntry(
        "reinforce", "policy gradient from whole episodes, with or without a baseline (Williams 1992)",
        "inscape.agents.on_policy.reinforce:Reinforce", "inscape.agents.on_policy.reinforce:ReinforceSettings",
        learns=True, steps=200_000,
    ),
    AgentEntry(
        "dqn", "deep Q-network: double, dueling, n-step, prioritised; numbers or pixels (Mnih et al. 2015)",
        "inscape.agents.off_policy.dqn:DQN", "inscape.agents.off_policy.dqn:DQNSettings",
        learns=True, steps=100_000,
    ),
    AgentEntry(
        "ppo", "proximal policy optimisation on vector environments (Schulman et al. 2017)",
        "inscape.agents.on_policy.ppo:PPO", "inscape.agents.on_policy.ppo:PPOSettings",
        learns=True, steps=200_000,
    ),
    AgentEntry(
        "recurrent-ppo", "PPO that remembers: a gated recurrent unit, for worlds seen in part (Schulman et al. 2017)",
        "inscape.agents.on_policy.recurrent_ppo:RecurrentPPO",
        "inscape.agents.on_policy.recurrent_ppo:RecurrentPPOSettings",
        learns=True, steps=200_000,
    ),
    AgentEntry(
        "sac", "soft actor-critic for continuous actions, off-policy (Haarnoja et al. 2018)",
        "inscape.agents.off_policy.sac:SAC", "inscape.agents.off_policy.sac:SACSettings",
        learns=True, steps=100_000,
    ),
    AgentEntry(
        "dreamer", "learns a latent model, and to act by what it imagines (Hafner et al. 2023); hidden states, pixels",
        "inscape.agents.imagination.dreamer:Dreamer", "inscape.agents.imagination.settings:DreamerSettings",
        learns=True, steps=10_000,
    ),
    AgentEntry(
        "muzero", "plans by search in a model learned from what its searches said (Schrittwieser et al. 2020)",
        "inscape.agents.muzero.agent:MuZero", "inscape.agents.muzero.settings:MuZeroSettings",
        learns=True, steps=10_000,
    ),
    AgentEntry(
        "self-play", "learns against itself and a pool of its past selves, several players (Heinrich et al. 2015)",
        "inscape.agents.multi_agent.self_play:SelfPlay", "inscape.agents.multi_agent.self_play:SelfPlaySettings",
        learns=True, steps=500_000,
    ),
    AgentEntry(
        "a2c", "advantage actor-critic, one gradient step per batch (Mnih et al. 2016)",
        "inscape.agents.on_policy.a2c:A2C", "inscape.agents.on_policy.a2c:A2CSettings",
        learns=True, steps=300_000,
    ),
    AgentEntry(
        "mcts", "Monte-Carlo tree search over a known or a learned model (Kocsis & Szepesvári 2006)",
        "inscape.agents.planners.mcts:MCTS", "inscape.agents.planners.mcts:MCTSSettings",
        learns=True, steps=10_000,
    ),
    AgentEntry(
        "alphazero", "learns from a search that its network guides, by self-play (Silver et al. 2018)",
        "inscape.agents.planners.alphazero:AlphaZero", "inscape.agents.planners.alphazero:AlphaZeroSettings",
        learns=True, steps=500_000,
    ),
    AgentEntry(
        "alphabeta", "alpha-beta with a table of positions: exact in board games of two (Knuth & Moore 1975)",
        "inscape.agents.planners.alpha_beta:AlphaBetaAgent", "inscape.agents.planners.alpha_beta:AlphaBetaSettings",
    ),
    AgentEntry(
        "value-iteration", "acts on the exact solution, greedily or with rationality beta",
        "inscape.agents.planners.value_iteration:ValueIterationAgent",
        "inscape.agents.planners.value_iteration:ValueIterationSettings",
    ),
    AgentEntry(
        "cem", "plans action sequences by the cross-entropy method (Rubinstein 1999)",
        "inscape.agents.planners.control:CEMAgent", "inscape.agents.planners.control:CEMAgentSettings",
    ),
    AgentEntry(
        "icem", "plans action sequences by CEM with correlated noise and elites kept (Pinneri et al. 2020)",
        "inscape.agents.planners.control:ICEMAgent", "inscape.agents.planners.control:ICEMAgentSettings",
    ),
    AgentEntry(
        "mppi", "plans action sequences by weighing random ones, path integrals (Williams et al. 2017)",
        "inscape.agents.planners.control:MPPIAgent", "inscape.agents.planners.control:MPPIAgentSettings",
    ),
    AgentEntry(
        "random-shooting", "takes the first action of the best of many random sequences (Nagabandi et al. 2018)",
        "inscape.agents.planners.control:RandomShootingAgent",
        "inscape.agents.planners.control:RandomShootingAgentSettings",
    ),
    AgentEntry(
        "pbvi", "acts on its belief, by point-based values with certified bounds (Smith & Simmons 2005)",
        "inscape.agents.planners.belief:PBVIAgent", "inscape.agents.planners.belief:PBVISettings",
    ),
    AgentEntry(
        "pomcp", "searches from its belief, exact or in particles (Silver & Veness 2010)",
        "inscape.agents.planners.pomcp:POMCPAgent", "inscape.agents.planners.pomcp:POMCPAgentSettings",
    ),
    AgentEntry(
        "active-inference", "acts by expected free energy: rewards, and information (Friston et al. 2015)",
        "inscape.agents.planners.active_inference:ActiveInferenceAgent",
        "inscape.agents.planners.active_inference:ActiveInferenceAgentSettings",
    ),
    AgentEntry(
        "qmdp", "acts on its belief as if it saw the state from the next step on (Littman et al. 1995)",
        "inscape.agents.planners.belief:QMDPAgent", "inscape.agents.planners.belief:QMDPSettings",
    ),
    # agents that model other minds are named, and not imported: they lie in theory_of_mind, which stands on agents
    AgentEntry(
        "helper", "helps the other of two players, whose goal it infers (Fern et al. 2014)",
        "inscape.theory_of_mind.assistance.agent:HelperAgent", "inscape.theory_of_mind.assistance.agent:HelperSettings",
    ),
    AgentEntry(
        "level-k", "in games, answers players who think one level less, or all lower levels (Camerer et al. 2004)",
        "inscape.theory_of_mind.recursion.agent:LevelKAgent", "inscape.theory_of_mind.recursion.agent:LevelKSettings",
    ),
    AgentEntry(
        "i-pomdp", "in games, infers what others want, taken to be a level below (Gmytrasiewicz & Doshi 2005)",
        "inscape.theory_of_mind.recursion.interactive_agent:IPOMDPAgent",
        "inscape.theory_of_mind.recursion.interactive_agent:IPOMDPSettings",
    ),
    AgentEntry(
        "clone", "imitates an expert, or recorded episodes, by maximum likelihood (Pomerleau 1989)",
        "inscape.theory_of_mind.imitation.cloning:Clone", "inscape.theory_of_mind.imitation.settings:CloneSettings",
        learns=True, steps=5_000,
    ),
    AgentEntry(
        "dagger", "imitates an expert in the states that it gets to itself (Ross, Gordon & Bagnell 2011)",
        "inscape.theory_of_mind.imitation.dagger:DAgger", "inscape.theory_of_mind.imitation.settings:DAggerSettings",
        learns=True, steps=5_000,
    ),
    AgentEntry(
        "airl", "adversarial imitation, which recovers a reward (Fu et al. 2018); form gail (Ho & Ermon 2016)",
        "inscape.theory_of_mind.imitation.adversarial:AIRL", "inscape.theory_of_mind.imitation.settings:AIRLSettings",
        learns=True, steps=200_000,
    ),
    AgentEntry(
        "llm", "a causal language model that reads the world's description and answers with an action",
        "inscape.agents.llm:LanguageModelAgent", "inscape.agents.llm:LanguageModelSettings",
        learns=True, steps=500_000,
    ),
)  # fmt: skip


SB3_ALGORITHMS: Mapping[str, tuple[str, str]] = {
    "a2c": ("stable_baselines3:A2C", "advantage actor-critic (Mnih et al. 2016)"),
    "ddpg": ("stable_baselines3:DDPG", "deep deterministic policy gradient (Lillicrap et al. 2016)"),
    "dqn": ("stable_baselines3:DQN", "deep Q-network (Mnih et al. 2015)"),
    "ppo": ("stable_baselines3:PPO", "proximal policy optimisation (Schulman et al. 2017)"),
    "sac": ("stable_baselines3:SAC", "soft actor-critic (Haarnoja et al. 2018)"),
    "td3": ("stable_baselines3:TD3", "twin delayed DDPG (Fujimoto et al. 2018)"),
    "ars": ("sb3_contrib:ARS", "augmented random search (Mania et al. 2018)"),
    "crossq": ("sb3_contrib:CrossQ", "batch-normalised critic (Bhatt et al. 2024)"),
    "maskable-ppo": ("sb3_contrib:MaskablePPO", "PPO with action masks (Huang & Ontañón 2022)"),
    "recurrent-ppo": ("sb3_contrib:RecurrentPPO", "PPO with an LSTM, which remembers within an episode"),
    "qrdqn": ("sb3_contrib:QRDQN", "quantile regression DQN (Dabney et al. 2018)"),
    "tqc": ("sb3_contrib:TQC", "truncated quantile critics (Kuznetsov et al. 2020)"),
    "trpo": ("sb3_contrib:TRPO", "trust region policy optimisation (Schulman et al. 2015)"),
}
