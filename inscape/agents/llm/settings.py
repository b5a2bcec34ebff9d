"""Settings of the language-model agent. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from inscape.agents.learning.settings_checks import (
    require_counts,
    require_counts_if_any,
    require_positive,
    require_shares,
    require_shares_if_any,
    require_weights,
)
from inscape.agents.llm.sampling_settings import Sampling
from inscape.errors import UsageError, whole_number

Scoring = Literal["auto", "tree", "full"]
Algorithm = Literal["auto", "ppo", "grpo", "rloo", "reinforce", "gigpo", "em"]
KLEstimator = Literal["exact", "k1", "k2", "k3"]


@dataclass(frozen=True)
class LanguageModelSettings:
    """Settings of the language-model agent."""

    model: str | None = None
    """Folder or hub name of a causal language model (safetensors only); none builds a small one in place."""
    revision: str | None = None
    """Commit, tag or branch of `model` on a hub; of a folder not asked for."""
    endpoint: str | None = None
    """URL, up to /v1, of a server that speaks OpenAI's protocol and has `model`; for text environments. The key is read
    from OPENAI_API_KEY."""
    endpoint_seconds: float = 60.0
    """Seconds that a request to the endpoint may take; it is made five times."""
    endpoint_parallel: int = 8
    """Requests to the endpoint at once."""
    greedy: bool = False
    """Act by taking the most probable action instead of drawing from the policy; learning draws either way."""
    list_actions: bool | None = None
    """Name the actions in the prompt; by default for loaded models only."""
    threads: int | None = None
    """CPU threads torch uses; by default 1 for the built-in model, for which more do not pay, and torch's own number
    for loaded ones."""
    temperature: float = 1.0
    """Of text environments, where answers are generated: logits are divided by it; 0 takes the most probable token."""
    top_k: int = 0
    """Generate among the so many most probable tokens; 0: all."""
    top_p: float = 1.0
    """Generate among the most probable tokens that together have this probability."""
    min_p: float = 0.0
    """Generate among tokens at least this share as probable as the most probable one."""
    answer_tokens: int = 48
    """Tokens of a generated answer at most; one that needs more is cut, counted, and taken for none."""
    history: int | None = None
    """Turns before the present one that a generated answer can look back on; by default as many as the
    environment says, or as fit."""
    scoring: Scoring = "auto"
    """How answers are scored: all in one pass (tree), one by one (full), or whichever the model allows (auto)."""
    hidden_size: int = 64
    """Width of the built-in model."""
    layers: int = 2
    """Layers of the built-in model."""
    heads: int = 4
    """Attention heads of the built-in model."""
    vocabulary: int = 512
    """Most tokens of the built-in tokenizer."""
    clone_steps: int = 100
    """Gradient steps of stage 1; 0 leaves it out."""
    clone_episodes: int = 4
    """Episodes the planner demonstrates for stage 1."""
    clone_beta: float = 100.0
    """Rationality of the demonstrating planner, per unit of reward; inf for its best actions only."""
    clone_simulations: int = 400
    """Simulations per decision of the demonstrating planner, where the world is too large to be solved."""
    clone_learning_rate: float = 1e-3
    """Adam's step size in stage 1."""
    dpo_steps: int = 200
    """Gradient steps on comparisons, where `prefer` has given some."""
    dpo_beta: float = 1.0
    """β of DPO: how far a comparison moves the policy from its reference (`kl_reference`)."""
    dpo_learning_rate: float = 1e-3
    """Adam's step size on comparisons at the beginning."""
    algorithm: Algorithm = "auto"
    """How stage 2 learns: `ppo` by a value head; `em` by refitting to what earned something (expert iteration); the
    others by whole episodes with their group as the baseline. auto: ppo where actions are scored, grpo where answers
    are generated."""
    num_envs: int = 256
    """Environment copies of stage 2; the group methods play one episode in each between updates."""
    num_steps: int = 64
    """Steps of each copy between updates of `ppo`."""
    group_size: int = 8
    """Episodes that start from the same state and are compared; a divisor of `num_envs`."""
    group_scale: bool = False
    """Divide a group's advantages by its deviation, as GRPO was published; it weighs groups by how alike their returns
    are, and moves the optimum where a KL penalty stands beside."""
    credit: Literal["return-to-go", "return"] = "return-to-go"
    """What the group methods compare at a step: the discounted return from there on, or the whole episode's."""
    anchor_weight: float = 1.0
    """Weight of `gigpo`'s advantages among steps from one state, beside those among episodes."""
    epochs: int = 4
    """Passes over those steps per update."""
    prompts_per_batch: int = 64
    """Distinct prompts per gradient step and per forward pass."""
    learning_rate: float | None = None
    """Adam's step size in stage 2 at the beginning; by default 2e-3 where actions are scored, 3e-4 where answers are
    generated."""
    anneal: Literal["linear", "constant"] = "linear"
    """Whether step size and entropy weight of stage 2 fall linearly to zero over the training."""
    gamma: float | None = None
    """Discount per step; by default the world's own, 0.99 where it has none."""
    gae_lambda: float = 0.95
    """λ of generalised advantage estimation."""
    clip: float = 0.2
    """Half-width of the interval the probability ratio is clipped to, around 1."""
    value_coef: float = 0.5
    """Weight of the value loss."""
    # After the usual cloning 0.03 ends nearer the optimum (FrozenLake8x8, a million steps, two seeds: 97 % and 96 %,
    # with 0.1 95 % and 91 %). After a poor one in FrozenLake (tests, "poor_clone") it reached 95 % with two seeds of
    # five, 0.06 with five of eight, 0.1 with four of four.
    entropy_coef: float | None = None
    """Weight of the entropy bonus. Where actions are scored 0.03 by default; 0.1 where cloning left much to learn,
    which with less may stay with the first way it finds. Where answers are generated 0: it counts over all tokens."""
    kl_coef: float = 0.0
    """Weight τ of KL(policy ‖ reference), in nats."""
    kl_in: Literal["loss", "reward"] = "loss"
    """Where the divergence is charged: in the loss of each update, or in the rewards, so that the return-to-go looks
    ahead to it; the optimum of the latter is `soft_value_iteration`'s with the reference as prior."""
    kl_reference: Literal["start", "uniform"] = "start"
    """The reference: the policy as cloning left it, or exactly uniform over the legal actions."""
    kl_estimator: KLEstimator = "exact"
    """The divergence as the sum over the actions, or estimated from the action taken (`k1`, `k2`, `k3`)."""
    normalize_advantages: bool = True
    """Give the advantages of an update of `ppo` mean 0 and deviation 1; a penalty in the loss is then in units of
    their deviation."""
    max_grad_norm: float = 0.5
    """Gradients are scaled down to this norm, in both stages."""
    on_alarm: Literal["warn", "stop", "roll-back"] = "warn"
    """When reinforcement goes wrong (entropy collapse, echo trap, a leap of the policy, NaN): warn once of each kind,
    stop, or go back to the last good weights with half the step size. A loss that is NaN stops unless rolled back.
    Where answers are generated only `warn` is taken, and nothing is watched but NaN."""

    @property
    def step_size(self) -> float:
        """The `learning_rate` of stage 2, where it is known how the model acts (`for_acting`)."""
        assert self.learning_rate is not None
        return self.learning_rate

    @property
    def entropy_weight(self) -> float:
        """The `entropy_coef`, where it is known how the model acts (`for_acting`)."""
        assert self.entropy_coef is not None
        return self.entropy_coef

    def for_acting(self, acting: Literal["score", "generate"]) -> LanguageModelSettings:
        """Returns the settings with the defaults of a way of acting."""
        scored = acting == "score"
        algorithm: Algorithm = ("ppo" if scored else "grpo") if self.algorithm == "auto" else self.algorithm
        rate = (2e-3 if scored else 3e-4) if self.learning_rate is None else self.learning_rate
        entropy = (0.03 if scored else 0.0) if self.entropy_coef is None else self.entropy_coef
        return replace(self, algorithm=algorithm, learning_rate=rate, entropy_coef=entropy)

    def __post_init__(self) -> None:
        require_counts(self, "hidden_size", "layers", "heads", "vocabulary", "clone_episodes", "clone_simulations")
        require_counts(self, "num_envs", "num_steps", "epochs", "prompts_per_batch", "group_size")
        require_counts(self, "answer_tokens", "endpoint_parallel")
        require_positive(self, "endpoint_seconds")
        require_counts_if_any(self, "threads")
        Sampling(self.temperature, self.top_k, self.top_p, self.min_p)  # refuses what is out of range
        if self.history is not None:
            whole_number("history =", self.history, 0)
        require_positive(self, "dpo_beta", "dpo_learning_rate", "clone_learning_rate", "max_grad_norm")
        if self.learning_rate is not None:
            require_positive(self, "learning_rate")
        require_shares(self, "gae_lambda")
        require_shares_if_any(self, "gamma")
        require_weights(self, "clone_steps", "dpo_steps", "clip", "value_coef", "kl_coef", "anchor_weight")
        if self.entropy_coef is not None:
            require_weights(self, "entropy_coef")
        if not self.clone_beta >= 0:  # written so that NaN is refused too
            raise UsageError(
                f"clone_beta = {self.clone_beta!r}",
                expected="a number of at least 0, per unit of reward; inf for best actions only",
            )
        if self.kl_in == "reward" and self.kl_estimator in ("k2", "k3"):
            raise UsageError(
                f"kl_estimator {self.kl_estimator!r} in the reward, where only its mean would be right",
                expected="exact or k1",
                hint="kl_in loss, for k2 and k3",
            )
        if self.kl_in == "loss" and self.kl_estimator == "k1" and self.kl_coef > 0:
            raise UsageError(
                "kl_estimator 'k1' in the loss, whose gradient has mean 0",
                expected="exact, k2 or k3",
                hint="kl_in reward, for k1",
            )
        if self.algorithm not in ("auto", "ppo"):
            if self.num_envs % self.group_size:
                raise UsageError(
                    f"num_envs {self.num_envs} in groups of {self.group_size}", expected="a multiple of group_size"
                )
            if self.group_size == 1 and self.algorithm not in ("reinforce", "em"):
                raise UsageError(
                    f"a group_size of 1 for {self.algorithm}: an episode alone has nothing to be compared with",
                    expected="at least 2",
                    hint="reinforce, whose baseline is the mean of the whole batch",
                )
