from __future__ import annotations

import numpy as np
import pytest

from inscape.envs.law import streams


@pytest.mark.compiled
def test_compiled_equals_plain():
    compiled = streams.compiled_uniform()
    keys = streams.random_keys(np.random.default_rng(0), 50)
    for key in keys:
        for counter in (0, 1, 7, 2**40):
            assert compiled(key, counter) == streams.uniform(key, counter)


def test_first_outputs_are_splitmix64s():
    # published test vector: SplitMix64 seeded with 1234567 gives 6457827717110365317, 3203168211198807973, …
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [streams.mix(1234567 + (k + 1) * streams.GOLDEN) for k in range(3)] == expected


def test_keys_of_a_batch_are_those_of_its_copies():
    assert streams.stream_keys(42, 1000).tolist() == [streams.stream_key(42, i) for i in range(1000)]


@pytest.mark.compiled
def test_streams_are_uniform_and_unrelated():
    compiled = streams.compiled_uniform()
    draws = np.array([[compiled(key, c) for c in range(200)] for key in streams.stream_keys(0, 500)])
    assert draws.min() >= 0
    assert draws.max() < 1
    counts = np.histogram(draws, 20, (0, 1))[0]
    assert ((counts - 5000) ** 2 / 5000).sum() < 44  # chi-square, 19 degrees of freedom, p = 0.001
    # correlations between neighbours in time and between neighbouring copies stay within 5 standard errors
    for a, b in ((draws[:, 1:], draws[:, :-1]), (draws[1:], draws[:-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(a.size)


def test_seeds_of_copies_never_coincide():
    """Those that Gymnasium gives, seed + i, would be 99 different ones of 6,400."""
    seeds = [own for seed in range(100) for own in streams.copy_seeds(seed, 64)]
    assert len(set(seeds)) == len(seeds)
    assert streams.copy_seeds(7, 1) == [7]
    assert all(0 <= own < 2**31 for own in seeds)
    assert streams.copy_seeds(7, 3, first=2) == streams.copy_seeds(7, 5)[2:]
    later = [streams.later_seed(seed, steps) for seed in range(10) for steps in range(100)]
    assert len(set(later)) == 1000 and max(later) < 2**31
    assert len(set(seeds) & set(later)) == 10  # the ten that begin at the beginning


def test_the_seed_of_a_copy_gives_one_environment_the_stream_of_that_copy():
    rng = np.random.default_rng(1)
    for seed in (0, 7, 2**40, *rng.integers(2**63, size=20).tolist()):
        for copy in (0, 1, 3017, 2**33):
            own = streams.seed_of_copy(seed, copy)
            assert streams.stream_key(own) == streams.stream_key(seed, copy)
        assert streams.seed_of_copy(seed, 0) == seed
