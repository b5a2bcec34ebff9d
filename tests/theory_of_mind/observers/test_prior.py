"""`with_prior`: Bayes' rule between two priors, an observer made afresh, and the observer it came from left alone."""

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.theory_of_mind import BACKUPS, ImpossibleEvidenceError, Observer, PlanningMind, minds_grid
from tests.theory_of_mind.worlds import Corridor, simulate


def test_another_prior_is_bayes_rule_on_the_posterior_and_an_observer_made_afresh():
    """P(mind | steps) under prior q is P(mind | steps) under prior p · q/p, normalised; evidences differ likewise."""
    rng, world = np.random.default_rng(3), Corridor(length=6, slip=0.2, goal=5)
    minds = minds_grid(world.goals, [1.0, 8.0], BACKUPS)
    first = Observer(world, minds)
    count = len(first.prior)
    for seed in range(5):
        held = rng.dirichlet(np.ones(count))
        wanted = rng.dirichlet(np.ones(count)) * (np.arange(count) != seed)  # one of them ruled out
        wanted /= wanted.sum()
        base = first.with_prior(held)
        other, afresh = base.with_prior(wanted), Observer(world, minds, prior=wanted)
        np.testing.assert_allclose(other.prior, wanted)
        episode = simulate(world, np.full((6, 2), 0.5), 12, rng)
        for step, action in enumerate(episode.actions.tolist()):
            state = world.unpack(episode.states, step)
            one, two, three = (each.update(state, action) for each in (base, other, afresh))
            bayes = one * wanted / held
            np.testing.assert_allclose(two, bayes / bayes.sum(), atol=1e-12)
            np.testing.assert_allclose(two, three, atol=1e-15)
            assert two[seed] == 0.0
            ratio = (one * wanted / held).sum()  # P_q(steps) / P_p(steps)
            assert other.log_evidence() - base.log_evidence() == pytest.approx(np.log(ratio), abs=1e-10)
        assert other.with_prior(held).steps == 0  # begins without evidence
        np.testing.assert_allclose(base.posterior(), one)  # and leaves the one it came from as it was
    np.testing.assert_allclose(first.posterior(), np.full(count, 1 / count))


def test_a_prior_that_is_none_is_refused_and_one_that_rules_out_what_happened_says_so():
    world = Corridor()
    observer = Observer(world, [PlanningMind("left end", 2.0, "hard"), PlanningMind("right end", 2.0, "hard")])
    for prior in ([1.0], [0.5, 0.6], [-0.5, 1.5], [np.nan, 1.0], "ab"):
        with pytest.raises(UsageError):
            observer.with_prior(prior)
    certain = observer.with_prior([1.0, 0.0])
    assert certain.update(2, "right").tolist() == [1.0, 0.0]
    with pytest.raises(ImpossibleEvidenceError):
        certain.update(0, "right")  # cannot follow
