"""The short form of benchmarks/twin_worlds.py: one trajectory, whoever reads the world."""

import pytest

from benchmarks import twin_worlds as twins


@pytest.mark.parametrize(
    ("world", "routes"),
    [("FrozenLake8x8", ("gym", "text", "answers", "model")), ("KuhnPoker", ("pettingzoo", "model"))],
)
def test_the_same_seed_copy_and_step(world, routes):
    found = twins.compared(world, 12, 6, routes)
    assert found.keys() == set(routes)
    assert all(wrong == 0 and steps > 6 for wrong, steps in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("world", ["CartPole", "Tiger", "ConnectFour", "RockPaperScissors"])
def test_every_reader_in_other_processes_too(world):
    found = twins.compared(world, 40, 5)
    assert {"model", "pickle", "cuda"} <= found.keys()
    assert all(wrong == 0 for wrong, _ in found.values())


def test_a_difference_is_found():
    told = twins.Step(b"1", (0.0,), False, False)
    other = told._replace(reward=(1e-300,))
    assert twins.differing([[told, told]], [[told, other]]) == (1, 2)
    assert twins.differing([[told, told]], [[told]]) == (1, 2)
