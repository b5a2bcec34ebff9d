"""A custom mind: any object with `controller`. Try: python examples/my_mind.py"""

import numpy as np

from inscape.theory_of_mind import Observer, minds_grid, observe
from inscape.world_models import boltzmann_log_probs


class MyMind:
    """Does what `mind` would, but in one step of five its attention lapses and it takes any legal action."""

    def __init__(self, mind):
        self.mind, self.goal, self.name = mind, mind.goal, f"{mind.name}, with lapses"

    def controller(self, world, player=0):
        attentive, legal = self.mind.controller(world, player), world.dynamics().legal
        lapsed = boltzmann_log_probs(np.zeros(legal.shape), 0.0, legal)[:, None]
        return attentive._replace(log_probs=np.logaddexp(np.log(0.8) + attentive.log_probs, np.log(0.2) + lapsed))


if __name__ == "__main__":  # which minds explain an agent that makes mistakes on its way to D?
    from inscape import make_agent, resolve_task, rollout

    task = resolve_task("FourGoals", {"goal": "D"})
    agent = make_agent("value-iteration", task, settings={"beta": 8.0})
    built_in = minds_grid(task.world.goals, 25.0, "soft-eval")
    observer = Observer(task.world, [*built_in, *map(MyMind, built_in)])
    for trajectory in rollout(agent, task, episodes=3, seed=0):
        observe(observer, trajectory)
    for feature in ("goal", lambda mind: type(mind).__name__):
        print({value: round(probability, 3) for value, probability in observer.marginal(feature).items()})
