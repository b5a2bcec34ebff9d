"""A custom planner, for any model that can be simulated in. Try: python examples/my_planner.py"""

import numpy as np
from gymnasium import spaces

from inscape.world_models import Plans, as_model, as_numpy, legal_actions


class RandomShooting:
    """Imagines `samples` random futures of `horizon` steps from each state and takes the best one's first action."""

    def __init__(self, samples=500, horizon=20, gamma=0.99):
        self.samples, self.horizon, self.gamma = samples, horizon, gamma

    def plan(self, model, states, rng, evaluate=None):
        """Plans for a batch of states; `evaluate(states) -> (values, None)` values states at the horizon."""
        model = as_model(model, "random shooting")  # a World becomes its known law; an environment is refused
        batch = len(states)
        imagined = states[np.repeat(np.arange(batch), self.samples)]  # row b·samples + k
        returns, weight = np.zeros(len(imagined)), np.ones(len(imagined))
        first = actions = self.random_actions(model, imagined, rng)
        for _ in range(self.horizon):
            step = model.step(imagined, actions, rng)
            returns += weight * as_numpy(step.reward)  # a model of networks may answer in torch tensors
            weight = weight * self.gamma * as_numpy(step.continuation)
            imagined = step.states
            actions = self.random_actions(model, imagined, rng)
        going = weight > 0
        if evaluate is not None and going.any():
            returns[going] += weight[going] * as_numpy(evaluate(imagined[going])[0])
        returns = returns.reshape(batch, self.samples)
        best = np.arange(batch) * self.samples + returns.argmax(axis=1)
        return Plans(actions=first[best], values=returns.max(axis=1), metrics={"mean_return": returns.mean(axis=1)})

    @staticmethod
    def random_actions(model, states, rng):
        if isinstance(model.action_space, spaces.Box):
            return rng.uniform(
                model.action_space.low, model.action_space.high, (len(states), *model.action_space.shape)
            )
        legal = legal_actions(model, states, "random shooting")
        return np.where(legal, rng.random(legal.shape), -1.0).argmax(axis=1)


def main():
    """Learns a lake from random episodes, and plans in what was learned: by shooting at random, and by tree search."""
    from my_model import MyModel

    from inscape import make_agent, resolve_task, rollout
    from inscape.world_models import UCT, fit_model, total_log_prob

    task = resolve_task("FrozenLake", {"slip": 0.0})
    episodes, held_out = (rollout(make_agent("random", task, seed), task, 300, seed) for seed in (0, 1))
    model = MyModel(states=16, actions=4)
    print(fit_model(model, episodes).transitions, "transitions learned from")
    bits = -total_log_prob(model, held_out) / sum(map(len, held_out)) / np.log(2)
    print(f"{bits:.3f} bits per held-out step")
    state, rng = model.init(np.array([0])), np.random.default_rng(0)
    for planner in (RandomShooting(samples=3000, gamma=0.9), UCT(num_simulations=1000, gamma=0.9)):
        plan = planner.plan(model, state, rng)[0]
        print(f"{type(planner).__name__}: {task.action_names[plan.action]}, worth {plan.value:.3f} (exactly 0.590)")


if __name__ == "__main__":
    main()
