"""What the updates of DQN and SAC are given, by name: flat tuples of arrays and numbers, which Numba caches."""

from __future__ import annotations

from typing import Any, NamedTuple


class ValueNetwork(NamedTuple):
    """A perceptron that gives action values.

    Attributes:
        parameters: `[P]`.
        sizes: of its layers, from F features.
        activation: of its hidden layers, as `perceptron` numbers them.
        dueling: whether its first output is V and the others are advantages.
    """

    parameters: Any
    sizes: Any
    activation: int
    dueling: bool


class Trained(NamedTuple):
    """Parameters that Adam changes; all are changed.

    Attributes:
        parameters: `[P]`.
        gradient: `[P]`, the last one.
        first, second: `[P]` moments.
        steps: `[1]` steps taken.
    """

    parameters: Any
    gradient: Any
    first: Any
    second: Any
    steps: Any


class ValueBatches(NamedTuple):
    """Transitions to learn action values from; batches lie one behind the other.

    Attributes:
        features: `[rows, F]`.
        actions, rewards, discounts: `[rows]`.
        next_features: `[rows, F]` of what follows; used with `double` only, and else `[0, F]`.
        next_values: `[rows, A]` the target network's values there.
        mask: `[rows, A]` what is legal there; `[0, A]` where everything is.
        weights: `[rows]` of the errors.
    """

    features: Any
    actions: Any
    rewards: Any
    discounts: Any
    next_features: Any
    next_values: Any
    mask: Any
    weights: Any


class ValueSettings(NamedTuple):
    """Settings of the update of action values.

    Attributes:
        batch: rows of a gradient step.
        rate, epsilon: Adam's learning rate and ε.
        max_norm: greatest norm of a gradient.
        double: whether the network, not its target, chooses the next action.
        huber: whether large errors count linearly.
    """

    batch: int
    rate: float
    epsilon: float
    max_norm: float
    double: bool
    huber: bool


class ValueMemory(NamedTuple):
    """Working memory.

    Attributes:
        outputs: of all layers, for a batch, and for the rows computed together.
        deltas: `[2, batch · widest]` for `backward`.
    """

    outputs: Any
    deltas: Any


class ActorCriticBatches(NamedTuple):
    """Transitions to learn continuous control from; batches lie one behind the other.

    Attributes:
        features: `[rows, F]`.
        actions: `[rows, D]` in [−1, 1].
        rewards, discounts: `[rows]`.
        next_features: `[rows, F]`.
    """

    features: Any
    actions: Any
    rewards: Any
    next_features: Any
    discounts: Any


class ActorCriticSettings(NamedTuple):
    """Settings of the update of SAC.

    Attributes:
        rate, epsilon: Adam's learning rate and ε.
        tau: part of the way the target critics go at each step.
        low, high: bounds of log σ.
        fixed: α where it is not adjusted; else −1.
        goal: the target entropy H̄.
    """

    rate: float
    epsilon: float
    tau: float
    low: float
    high: float
    fixed: float
    goal: float


class ActorCriticMemory(NamedTuple):
    """Working memory of a batch of N rows.

    Attributes:
        rows: `[N, F + D]` features and actions.
        drawn: `[N, D]` actions drawn from the policy.
        log_probs, targets: `[N]`.
        outputs: of all the policy's layers.
        critic_outputs: `[2, …]` of all the critics' layers.
        q_values: `[2, N]`.
        slopes: `[2, N, 1]` derivatives of a loss by them.
        deltas: `[2, N · widest]` for going back.
        of_outputs: `[N, 2·D]` derivatives by the policy's outputs.
        of_actions: `[2, N, D]` derivatives by its actions.
    """

    rows: Any
    drawn: Any
    log_probs: Any
    targets: Any
    outputs: Any
    critic_outputs: Any
    q_values: Any
    slopes: Any
    deltas: Any
    of_outputs: Any
    of_actions: Any
