"""How far from optimal what tree search chooses is, by the rule that picks an action from a finished search.

Three rules: the highest searched value (`choice="values"`), in proportion to the visits (`choice="visits"`), and the
most visited action. Regret is the best action's exact value less the expected one of what is chosen: in FrozenLake
over all its states, in TicTacToe over positions of random play, where a game won counts 1.

    python benchmarks/search_choice.py --seeds 12
"""

from __future__ import annotations

import argparse
from functools import cache

import numpy as np

from inscape.agents.registry import make_agent
from inscape.envs.tasks.resolve import resolve_task
from inscape.world_models.planning.dynamic_programming import value_iteration
from inscape.world_models.planning.interface import Plan

RULES = ("values", "visits", "most visited")
LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))
POSITIONS = 60


def chosen(plan: Plan, legal: np.ndarray) -> np.ndarray:
    """Returns `[3, A]` probabilities of the actions, a row for each rule."""
    visits = np.where(legal, plan.visit_counts, 0)
    most = np.where(visits == visits.max(), plan.action_values, -np.inf).argmax()
    actions = np.arange(len(visits))
    return np.stack([actions == plan.action, visits / visits.sum(), actions == most])


def lake_regrets(simulations: int, seed: int) -> list[np.ndarray]:
    """Returns the regret of each rule in every state of FrozenLake."""
    task = resolve_task("FrozenLake")
    assert task.world is not None
    dynamics = task.world.dynamics()
    q_values = value_iteration(task.world, task.world.gamma, 1e-9).q_values
    agent = make_agent("mcts", task, seed, settings={"num_simulations": simulations})
    found = []
    for state in np.flatnonzero(~task.world.terminal_of(dynamics.states)):
        plan = agent.plan_for(task.world.observe(dynamics.states[[state]])[0])
        found.append(q_values[state].max() - chosen(plan, dynamics.legal[state]) @ q_values[state])
    return found


@cache
def game_value(board: tuple[int, ...], mover: int) -> int:
    """Returns what a position of TicTacToe is worth to whoever moves: 1, 0 or -1."""
    if any(board[a] and board[a] == board[b] == board[c] for a, b, c in LINES):
        return -1
    return 0 if all(board) else max(after(board, mover))


def after(board: tuple[int, ...], mover: int) -> list[int]:
    """Returns what each of the 9 moves is worth to whoever moves; of fields that are taken, -1."""
    return [-1 if board[i] else -game_value((*board[:i], mover, *board[i + 1 :]), 3 - mover) for i in range(len(board))]


def game_regrets(simulations: int, seed: int) -> list[np.ndarray]:
    """Returns the regret of each rule in positions of TicTacToe after up to five random moves."""
    task, rng = resolve_task("TicTacToe"), np.random.default_rng(5)
    assert task.world is not None
    agent = make_agent("mcts", task, seed, settings={"num_simulations": simulations})
    found = []
    for _ in range(POSITIONS):
        states, board, mover = task.world.sample_initial(1, rng), (0,) * 9, 1
        for _ in range(int(rng.integers(0, 6))):
            action = int(task.world.random_actions(states, rng)[0])
            following, _, ended = task.world.step(states, np.array([action]), rng)
            if ended[0]:
                break
            states, board, mover = following, (*board[:action], mover, *board[action + 1 :]), 3 - mover
        worth = np.array(after(board, mover), float)
        plan = agent.plan_for(task.world.observe(states)[0])
        found.append(worth.max() - chosen(plan, task.world.legal_actions(states)[0]) @ worth)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--simulations", type=int, nargs="+", default=[100, 200, 500, 1000])
    given = parser.parse_args()
    print(f"{'mean regret':12s} {'simulations':>12s}", *(f"{rule:>18s}" for rule in RULES))
    for name, regrets in (("FrozenLake", lake_regrets), ("TicTacToe", game_regrets)):
        for simulations in given.simulations:
            found = np.array([row for seed in range(given.seeds) for row in regrets(simulations, seed)])
            errors = found.std(axis=0) / np.sqrt(len(found))
            cells = (f"{mean:9.4f} ± {error:.4f}" for mean, error in zip(found.mean(axis=0), errors, strict=True))
            print(f"{name:12s} {simulations:12,}", *(f"{cell:>18s}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
