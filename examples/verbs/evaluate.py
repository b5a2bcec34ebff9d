"""Evaluating: whatever acts, in whatever can be acted in."""

import numpy as np

from inscape import evaluate, train


class Lean:
    """An agent of one's own: a batch of observations `[B, 4]` in, an action for each out."""

    def act(self, observation):
        return (observation[:, 2] > 0).astype(np.int64)


result = evaluate(Lean(), "CartPole", episodes=50)
print(result.mean, result.ci, result.returns.max())
print(evaluate(lambda observation: int(observation[2] + observation[3] > 0), "CartPole-v1", episodes=20))
print(evaluate("random", "CartPole"))
print(evaluate(train("q-learning", "FrozenLake", steps=20_000)))  # a run knows its world

game = evaluate(["mcts", "random"], "TicTacToe", episodes=10)
print(game.players[0].mean, game.players[1].mean)
