"""Where to ski for ten years: one who discounts never tries the place that may be five times as good.

Source: agentmodels.org, chapter 5a (Tahoe 1; Chile 0 or 5, with 0.1; Switzerland 0.5 or 1.5; in truth 1, 0, 0.5).
"""

from inscape.envs import enumerated_world
from inscape.theory_of_mind import Best, Exponential, Filtering, Observer, Planning, PlanningMind

PLACES = ("Tahoe", "Chile", "Switzerland")
prior = {(chile, swiss, "", 10): p for chile, p in ((0.0, 0.9), (5.0, 0.1)) for swiss in (0.5, 1.5)}


def step(state, action):
    """Returns the state a year later, in which one knows how it was."""
    chile, swiss, _, left = state
    return chile, swiss, {"Tahoe": 1.0, "Chile": chile, "Switzerland": swiss}[action], left - 1


world = enumerated_world(prior, PLACES, step, lambda s, a, t: t[2], over=lambda s: s[3] == 0, sees=lambda s: s[2:])
trips = {}
for gamma in (0.5, 1.0):
    mind = PlanningMind(
        world.purpose, believes=Filtering(), plans=Planning("hard", discount=Exponential(gamma)), chooses=Best()
    )
    watch, state, trips[gamma] = Observer(world, [mind]), (0.0, 0.5, "", 10), []
    while state[3]:
        place = PLACES[watch.predict(world.number[state]).action_probs.argmax()]
        watch.update(world.number[state], place, world.number[step(state, place)])
        trips[gamma], state = [*trips[gamma], place], step(state, place)
print(trips)
