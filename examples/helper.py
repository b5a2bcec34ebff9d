"""A helper at work: it asks one who acts at random, watches one who knows the way. Try: python examples/helper.py"""

import numpy as np

from inscape import make_world
from inscape.theory_of_mind import Answering, PlanningMind, assistance_problem


def helped(world, beta, wanted="book in table", seed=0):
    """Plays an episode beside a person of rationality beta, and prints what the helper does and believes."""
    minds = [Answering(PlanningMind(goal, beta, "hard")) for goal in world.goals]
    helper = assistance_problem(world, minds).solve(tolerance=1e-3)
    print(f"β = {beta:g}: the helper is worth {helper.lower:.3f} to {helper.upper:.3f}")
    person = minds[list(world.goals).index(wanted)].controller(world, player=0)
    rng = np.random.default_rng(seed)
    states = world.sample_initial(1, rng)
    work = helper.begin(world.observe(states, player=1)[0])
    world = world.with_purpose(wanted)  # the same house, and what is really wanted
    while not world.terminal_of(states)[0]:
        s = world.dynamics().index_of(states)[0]
        human = rng.choice(world.num_actions, p=np.exp(person.log_probs[s, 0]))
        action = work.act()
        states, *_ = world.step(states, np.array([[human, action]]), rng)
        if world.terminal_of(states)[0]:
            belief = ""
        else:
            belief = np.round(work.update(action, world.observe(states, player=1)[0]), 2)
        print(f"  person: {world.action_names[human]:20} helper: {world.action_names[action]:20} {belief}")


if __name__ == "__main__":
    house = make_world("HouseholdHelper")
    helped(house, beta=10.0)
    helped(house, beta=40.0)
