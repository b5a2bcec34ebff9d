"""The observing network against the exact observer, on held-out minds: a grid of 11 × 11 with four things to want.

As in Rabinowitz et al. (2018): an agent starts anywhere, walks, and an episode ends with the thing it takes; a step
costs 0.01. What the things are worth to it is Dirichlet(0.3, 0.3, 0.3, 0.3), its rationality β uniform from 10 to 60.
The network is trained on minds drawn from that prior; both observers then see, of minds neither has met, 0 to 4 past
episodes and a new one, whose actions are predicted one by one. The exact observer holds `--exact` minds of its own,
drawn from the same prior: the Bayes-optimal prediction but for their number.

python -m benchmarks.neural_observer [--steps 3000] [--minds 4000] [--exact 4000] [--held-out 200]
"""

from __future__ import annotations

import argparse
import math
import os
import time
from typing import Any, NamedTuple

import numpy as np

from inscape import World
from inscape.theory_of_mind import NeuralObserver, Observer, PlanningMind, train_neural_observer
from inscape.theory_of_mind.neural.population import Population
from inscape.theory_of_mind.observers.numbering import NumberedTrajectory

SIDE = 11
THINGS = (12, 30, 75, 108)
WALLS = frozenset((37, 38, 39, 48, 59, 61, 72, 83, 82, 81))


class Cell(NamedTuple):
    cell: int


class Ground(NamedTuple):
    walls: np.ndarray
    things: np.ndarray


class Worth(NamedTuple):
    first: float = 1.0
    second: float = 0.0
    third: float = 0.0
    fourth: float = 0.0


class Things(World):
    """Four things in a walled grid; whichever is reached ends the episode."""

    State, Params, Purpose = Cell, Ground, Worth
    actions = ("left", "right", "up", "down", "stay")
    initial_branches = SIDE * SIDE
    gamma = 0.95

    def setup(self) -> tuple[Ground, Worth]:
        cells = np.arange(SIDE * SIDE)
        things = np.full(SIDE * SIDE, -1)
        things[list(THINGS)] = np.arange(4)
        return Ground(np.isin(cells, list(WALLS)), things), Worth()

    @staticmethod
    def initial(params: Ground, branch: int) -> tuple[float, Cell]:
        free = 0.0 if params.walls[branch] or params.things[branch] >= 0 else 1.0 / (SIDE * SIDE - 14)
        return free, Cell(branch)

    @staticmethod
    def transition(params: Ground, state: Cell, action: int, branch: int) -> tuple[float, Cell]:
        x = min(max(state.cell % SIDE + (action == 1) - (action == 0), 0), SIDE - 1)
        y = min(max(state.cell // SIDE + (action == 3) - (action == 2), 0), SIDE - 1)
        there = y * SIDE + x
        return 1.0, Cell(state.cell if params.walls[there] else there)

    @staticmethod
    def reward(params: Ground, purpose: Worth, state: Cell, action: int, next_state: Cell) -> float:
        thing = params.things[next_state.cell]
        worth = purpose.first * (thing == 0) + purpose.second * (thing == 1) + purpose.third * (thing == 2)
        return float(worth + purpose.fourth * (thing == 3) - 0.01)

    @staticmethod
    def terminal(params: Ground, purpose: Worth, state: Cell) -> bool:
        return bool(params.things[state.cell] >= 0)


def draw_mind(rng: np.random.Generator) -> PlanningMind:
    """Returns a mind of the prior."""
    return PlanningMind(Worth(*rng.dirichlet(np.full(4, 0.3))), float(rng.uniform(10, 60)), "hard")


def favourite(mind: Any) -> int:
    """Returns the thing a mind likes best."""
    return int(np.argmax(mind.wants))


def main() -> None:
    """Trains, and prints the comparison by the number of past episodes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("steps", 3000), ("minds", 4000), ("exact", 4000), ("held-out", 200), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    world, past, length = Things(), 4, 25
    wall, cpu = time.perf_counter(), time.process_time()
    model = train_neural_observer(
        world, draw_mind, given.steps, by=favourite, past=past, length=length, minds=given.minds, seed=given.seed,
        device=given.device,
        progress=lambda step, bits: print(f"  {step}: {bits:.4f} bits", flush=True),
    )  # fmt: skip
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"load {os.getloadavg()[0]:.1f}; trained {given.steps} steps: {wall:.0f} s, {cpu:.0f} s of processor time")
    rng = np.random.default_rng([given.seed, 99])
    exact = Observer(world, [draw_mind(rng) for _ in range(given.exact)])
    held_out = Population(world, draw_mind, given.held_out, given.seed + 77)
    did = held_out.simulate(given.held_out, past + 1, length, rng)
    watch = NeuralObserver(model)
    bits: dict[tuple[str, int], list[Any]] = {}
    right: dict[tuple[str, int], list[float]] = {}
    floor: dict[int, list[Any]] = {}
    for n in range(given.held_out):
        seen = n % (past + 1)
        episodes = [numbered(did, n, e, world) for e in range(past + 1)]
        order = [*range(seen), past]
        true = favourite(held_out.minds[did.minds[n]])
        for name, observer in (("neural", watch), ("exact", exact)):
            observer.reset()
            for e in order[:-1]:
                observer.observe(episodes[e])
            # the cross-entropy with the true policy: the same expectation as bits of the actions taken, less noise
            probs = np.asarray(observer.predicted_over(episodes[past]))
            wanted = did.probs[n, past, : len(probs)]
            bits.setdefault((name, seen), []).append(-(wanted * np.log2(np.maximum(probs, 1e-300))).sum(axis=1))
            ahead = observer.posterior_over(episodes[past])[0]
            liked = observer.marginal(favourite, ahead[None])
            right.setdefault((name, seen), []).append(float(np.asarray(liked.get(true, [0.0]))[0]))
        floor.setdefault(seen, []).append(-(wanted * np.log2(np.maximum(wanted, 1e-300))).sum(axis=1))
    print(
        "past episodes: bits per action of the network, of the exact observer, of who knows the mind; the difference;"
    )
    print("               probability of the true favourite before the episode, network and exact")
    for seen in range(past + 1):
        ours, theirs = (float(np.concatenate(bits[name, seen]).mean()) for name in ("neural", "exact"))
        known = float(np.concatenate(floor[seen]).mean())
        share = [float(np.mean(right[name, seen])) for name in ("neural", "exact")]
        print(f"{seen:13}: {ours:.4f} {theirs:.4f} {known:.4f}  {ours - theirs:+.4f}   {share[0]:.3f} {share[1]:.3f}")
    everything = {
        name: np.concatenate([row for (whose, _), rows in bits.items() if whose == name for row in rows])
        for name in ("neural", "exact")
    }
    gap = float(everything["neural"].mean() - everything["exact"].mean())
    error = float((everything["neural"] - everything["exact"]).std() / math.sqrt(given.held_out))
    met = "met" if gap <= 0.02 else "NOT MET"
    print(f"all: {gap:+.4f} bits per action (standard error below {error:.4f}); bar 0.02: {met}")


def numbered(did: Any, n: int, e: int, world: World) -> NumberedTrajectory:
    """Returns an episode of simulated behaviour in numbers."""
    acting = did.acting[n, e]
    count = int(acting.sum())
    states, actions = did.states[n, e, :count], did.actions[n, e, :count]
    last = world.dynamics().next_state[states[-1], actions[-1], 0] if count else did.states[n, e, 0]
    return NumberedTrajectory(np.append(states, last), actions)


if __name__ == "__main__":
    main()
