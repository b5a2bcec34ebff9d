from __future__ import annotations

import numpy as np
import pytest

from inscape.envs.worlds.mdp.chain import Chain
from inscape.errors import UsageError
from inscape.world_models import value_iteration
from tests.envs.worlds.mdp.plain import outcomes, plain_table


def test_law_is_the_published_one():
    """Dearden, Friedman & Russell (1998), Figure 1: slips of 0.2, 2 for going back, 10 at the end."""
    world = Chain()
    for link in range(5):
        on, back = ({s.link: p for s, p in outcomes(world, world.State(link), action).items()} for action in (0, 1))
        assert on == pytest.approx({min(link + 1, 4): 0.8, 0: 0.2})
        assert back == pytest.approx({min(link + 1, 4): 0.2, 0: 0.8})
        for action in (0, 1):
            for to, reward in ((0, 2.0), (min(link + 1, 4), 10.0 if link == 4 else 0.0)):
                assert world.reward(world.params, world.purpose, world.State(link), action, world.State(to)) == reward


def test_the_best_return_is_the_published_one():
    """Going on always is best: 0.8⁴ of the time in the last link, hence 0.8⁴·8 + 0.4 = 3.6768 a step.

    That is 3,677 in 1,000 steps, the optimum of Strens (2000), Table 1.
    """
    gain = 0.8**4 * 0.8 * 10 + 0.2 * 2
    assert round(1000 * gain) == 3677
    gamma = 0.9999
    table, _ = plain_table(Chain())
    solution = value_iteration(table, gamma, tolerance=1e-7)
    assert (solution.policy == 0).all()
    share = 0.8 ** np.arange(5) * np.array([0.2, 0.2, 0.2, 0.2, 1.0])
    assert share.sum() == pytest.approx(1)
    assert share @ solution.values * (1 - gamma) == pytest.approx(gain, rel=1e-8)


@pytest.mark.parametrize("n", [2, 8, 9])
def test_longer_chains_tempt_more(n):
    """Going on always pays 0.8^(n − 1)·8 + 0.4 a step; going back in the first link alone 0.8^(n − 2)·4 + 1.

    (In the second case half of the time is spent in the first link, as the balance of flows shows.) They cross at
    n = 9.
    """
    always, tempted = 0.8 ** (n - 1) * 8 + 0.4, 0.8 ** (n - 2) * 4 + 1
    assert (tempted > always) == (n >= 9)
    gamma = 0.9999
    table, _ = plain_table(Chain(n=n))
    solution = value_iteration(table, gamma, tolerance=1e-6)
    assert (solution.policy[0] == 1) == (n >= 9) and (solution.policy[1:] == 0).all()
    assert solution.values[0] * (1 - gamma) == pytest.approx(max(always, tempted), abs=2e-3)


@pytest.mark.parametrize("settings", [{"n": 1}, {"slip": 1.1}, {"slip": True}, {"large_reward": "ten"}])
def test_bad_settings_are_refused(settings):
    (name,) = settings
    with pytest.raises(UsageError, match=f"{name} = "):
        Chain(**settings)
