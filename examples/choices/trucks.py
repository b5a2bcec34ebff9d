"""What do people believe and want who look for lunch? Models of minds, and each without a part. Try, in this folder:

    inscape fit trucks.csv FoodTrucks --world.map 1.S../.###./....2 --minds trucks.py --lesions

The people in trucks.csv are simulated (`people`, below), on a small campus after Baker et al. (2017): a Korean truck is
parked at spot 1; spot 2, behind the wall, may have a Lebanese or a Mexican one, or none.
"""

from pathlib import Path

import numpy as np

from inscape import make_world
from inscape.theory_of_mind import (
    Controller,
    Filtering,
    Planning,
    Softmax,
    compare_minds,
    fit_minds,
    grid,
    lesions,
    read_choices,
    simulate_choices,
    write_choices,
)
from inscape.world_models import boltzmann_log_probs

CAMPUS = "1.S../.###./....2"
DATA = Path(__file__).with_name("trucks.csv")


def hopeful(state):
    """A prior belief: what one likes is there, with probability 4/5."""
    return 8.0 if state.second == 3 else 1.0


class Heading:
    """Motion without a mind: goes where a spot is, as the crow flies, and eats there."""

    sees = True

    def __init__(self, spot, beta):
        self.spot, self.beta, self.name = spot, beta, f"heading for spot {spot + 1}, β={beta:g}"

    def controller(self, world, player=0):
        dynamics, width = world.dynamics(), world.params.width
        cells = np.array([world.unpack(dynamics.states, s).cell for s in range(len(dynamics))])
        row, column = divmod(world.params.spots[self.spot], width)
        distance = np.hypot(cells // width - row, cells % width - column)
        nearer = (distance[:, None, None] - distance[dynamics.next_state]) * dynamics.probability
        there = (cells == world.params.spots[self.spot])[:, None] & (np.arange(6) == 5)
        return Controller.memoryless(boltzmann_log_probs(nearer.sum(2) + there, self.beta, dynamics.legal))


def minds(world):
    """Returns two models: minds with beliefs and desires, and motion without a mind."""
    full = grid(
        wants=list(world.goals),
        believes=[Filtering(), Filtering(hopeful)],
        chooses=[Softmax(0.3), Softmax(1.0)],
        plans=Planning("hard"),
    )
    return {"beliefs and desires": full, "motion": [Heading(k, beta) for k in (0, 1) for beta in (1.0, 3.0)]}


def people(world, rng):
    """Returns simulated choices: six people, five lunches each."""
    full = minds(world)["beliefs and desires"]
    drawn = [full[4 * int(rng.integers(6)) + 2 * int(rng.integers(2)) + 1] for _ in range(6)]
    return simulate_choices(world, drawn, 5, rng, max_steps=12)


if __name__ == "__main__":
    world = make_world("FoodTrucks", map=CAMPUS)
    if not DATA.exists():
        write_choices(DATA, people(world, np.random.default_rng(0)))
    choices = read_choices(DATA, world)
    models = minds(world)
    fit = fit_minds(choices, models["beliefs and desires"])
    print(compare_minds(choices, {**models, **lesions(fit.minds, world, ["beliefs", "costs"])}))
    print(fit.refine("beta"))
