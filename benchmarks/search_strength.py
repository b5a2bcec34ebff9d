"""How well tree search plays, by the rule that values a state from its actions: averages without end, or ours.

Plain UCT (Kocsis & Szepesvári 2006) values a state by the average over all visits; ours does so only until all within
reach has been tried, or is known exactly (see `TreeSearchSettings.averaging_visits`). The search is otherwise the same.

    python benchmarks/search_strength.py --seeds 8

- TicTacToe, as the second player and as the first, γ = 1: against every reply of the opponent, how many lines of play
  are lost (none need be). Every position is searched with a random stream that follows from the seed and the position.
- CartPole: total reward of episodes of at most 500 steps, γ = 0.99.
- FrozenLake: exact value at the start (γ = 0.99) of the policy that searches in each of its states, and the optimum.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from inscape.envs.tasks.resolve import resolve_task
from inscape.world_models import UCT, TabularModel, policy_evaluation, value_iteration

if TYPE_CHECKING:
    from inscape.envs.law.states import States
    from inscape.envs.world import World

PLAIN = 1e12
"""`averaging_visits` of a search that averages, for all one can see, without end."""
RULES: dict[str, tuple[float | None, bool]] = {
    "plain": (PLAIN, False),
    "plain, most visited": (PLAIN, True),
    "ours": (None, False),
    "ours, most visited": (None, True),
}
"""`averaging_visits`, and whether the most visited action is taken rather than the one of highest value."""
Search = Callable[["World", "States", int], int]


def world_of(name: str) -> World:
    world = resolve_task(name).world
    assert world is not None
    return world


def searching(simulations: int, gamma: float, averaging: float | None, most_visited: bool) -> Search:
    """Returns a function of a world, a batch of one state and a seed to the action chosen there."""
    planner = UCT(num_simulations=simulations, gamma=gamma, averaging_visits=averaging)

    def search(world: World, states: States, seed: int) -> int:
        stream = [seed, *states.ints[:, 0].tolist(), *states.floats[:, 0].view(np.uint64).tolist()]
        plan = planner.plan(world, states, np.random.default_rng(stream))[0]
        if not most_visited or plan.simulations < simulations:  # proven: visits say nothing more
            return int(plan.action)
        most = plan.visit_counts == plan.visit_counts.max()
        return int(np.where(most, plan.action_values, -np.inf).argmax())

    return search


def lost_lines(search: Search, seed: int, player: int = 1) -> int:
    """Returns how many lines of TicTacToe the searching player loses, of all that the other can choose."""
    world, rng = world_of("TicTacToe"), np.random.default_rng(0)
    answers: dict[bytes, int] = {}

    def moved(states: States, action: int) -> tuple[States, np.ndarray, bool]:
        following, reward, ended = world.step(states, np.array([action]), rng)
        return following, reward[0], bool(ended[0])

    def answered(states: States) -> int:
        """Returns the lines lost from where the searching player moves."""
        key = states.ints.tobytes() + states.floats.tobytes()
        if key not in answers:
            answers[key] = search(world, states, seed)
        following, _, ended = moved(states, answers[key])
        return 0 if ended else lost(following)

    def lost(states: States) -> int:
        found = 0
        for action in np.flatnonzero(world.legal_actions(states)[0]):
            following, reward, ended = moved(states, int(action))
            found += int(reward[player] < 0) if ended else answered(following)
        return found

    return (answered if player == 0 else lost)(world.sample_initial(1, rng))


def lost_as_first(search: Search, seed: int) -> int:
    """Returns how many lines the searching first player loses."""
    return lost_lines(search, seed, player=0)


def cartpole_return(search: Search, seed: int) -> float:
    """Returns the total reward of an episode of CartPole, cut at 500 steps."""
    world, rng = world_of("CartPole"), np.random.default_rng(seed)
    states, total = world.sample_initial(1, rng), 0.0
    for _ in range(500):
        states, reward, ended = world.step(states, np.array([search(world, states, seed)]), rng)
        total += float(reward[0])
        if ended[0]:
            break
    return total


def lake_value(search: Search, seed: int) -> float:
    """Returns the exact value at the start of FrozenLake of searching in every state."""
    world = world_of("FrozenLake")
    dynamics, model = world.dynamics(), TabularModel.from_world(world)
    policy = np.full((model.num_states, model.num_actions), 1 / model.num_actions)
    for state in np.flatnonzero(~world.terminal_of(dynamics.states)):
        policy[state] = np.arange(model.num_actions) == search(world, dynamics.states[[state]], seed)
    return float(model.initial @ policy_evaluation(model, policy, 0.99))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--only", nargs="+", choices=("TicTacToe", "TicTacToe-first", "CartPole", "FrozenLake"))
    given = parser.parse_args()
    model = TabularModel.from_world(world_of("FrozenLake"))
    best = float(model.initial @ value_iteration(model, 0.99, 1e-10).values)
    rows = (
        ("TicTacToe", "lines lost", lost_lines, 1.0, (100, 200, 400, 800, 1600, 3200)),
        ("TicTacToe-first", "lines lost", lost_as_first, 1.0, (50, 100, 200)),
        ("CartPole", "return", cartpole_return, 0.99, (16, 64, 250, 1000)),
        ("FrozenLake", f"value (best {best:.4f})", lake_value, 0.99, (50, 100, 200, 500, 1000, 4000)),
    )
    print(f"| world | simulations | {' | '.join(RULES)} | measured |\n|---|---:|{'---:|' * len(RULES)}---|")
    for name, what, measure, gamma, budgets in rows:
        if given.only and name not in given.only:
            continue
        for simulations in budgets:
            cells = []
            for rule in RULES.values():
                search = searching(simulations, gamma, *rule)
                found = np.array([measure(search, seed) for seed in range(given.seeds)], float)
                cells.append(f"{found.mean():.4g} ({found.min():.4g}–{found.max():.4g})")
            print(f"| {name} | {simulations:,} | {' | '.join(cells)} | {what} |", flush=True)


if __name__ == "__main__":
    main()
