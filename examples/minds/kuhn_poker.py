"""Kuhn's poker of three cards: the equilibria that bluff with the jack a share alpha of the time, and level-k players.

Source: Kuhn (1950), "Simplified two-person poker", Contributions to the Theory of Games I (value -1/18); OpenSpiel,
exploitability_test.py (prints NashConv 11/12 of uniform play, 2 of always passing, 0 of the equilibrium with 0.2).
"""

import numpy as np

from inscape.theory_of_mind import as_game, level_k
from inscape.world_models import sequence_form_equilibrium

game = as_game("KuhnPoker")
seen = [(int(owner), *map(int, look)) for owner, look in zip(game.tree.owner, game.tree.observations)]


def equilibrium(alpha):
    """Returns both players' policy [12, 2]: by player, card and what was done before, how likely one bets or calls."""
    bets = {(0, 0, 0): alpha, (0, 2, 0): 3 * alpha, (0, 1, 3): alpha + 1 / 3, (0, 2, 3): 1.0,
            (1, 0, 1): 1 / 3, (1, 2, 1): 1.0, (1, 1, 2): 1 / 3, (1, 2, 2): 1.0}  # fmt: skip
    bet = np.array([bets.get(look, 0.0) for look in seen])
    return np.column_stack([1 - bet, bet])


family = [game.nash_conv((equilibrium(alpha),) * 2) for alpha in (0.0, 0.2, 1 / 3)]
value = game.returns((equilibrium(0.2),) * 2)[0]
passing = game.nash_conv((np.tile([1.0, 0.0], (12, 1)),) * 2)
levels = level_k("KuhnPoker", 5)
convs = [levels.game.nash_conv(levels[k]) for k in range(6)]
uniform, solved_returns = convs[0], sequence_form_equilibrium("KuhnPoker").returns
print(family, value, passing, convs, solved_returns)
