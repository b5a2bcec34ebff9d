"""What is hidden stays hidden: text and observations of every partly observed world."""

from __future__ import annotations

import numpy as np
import pytest

from inscape.envs.catalogue import PARTIAL
from inscape.envs.readers.enumeration import enumerate_dynamics
from inscape.envs.registry import make_world
from inscape.errors import PartialObservationError

# 96 states, enumerated in plain Python
SMALLER = {"Household": {"containers": "cupboard in kitchen, chest in living room", "objects": "mug, key"}}


@pytest.mark.parametrize("name", [spec.name for spec in PARTIAL])
def test_text_says_what_is_perceived_and_no_more(name):
    """States that look alike are described alike; states that look otherwise are told apart."""
    world = make_world(name, **SMALLER.get(name, {}))
    states = enumerate_dynamics(world, compiled=False).states
    texts: dict[tuple, str] = {}
    hidden = 0
    for i, observation in enumerate(
        np.asarray(world.observe(states, compiled=False)).reshape(len(states), -1).tolist()
    ):
        said = world.describe_state(states, i)
        hidden += tuple(observation) in texts
        assert texts.setdefault(tuple(observation), said) == said
        seen = observation[0] if len(observation) == 1 else np.array(observation)
        assert world.describe_observation(world.params, world.purpose, seen) == said
    assert hidden
    assert len(set(texts.values())) == len(texts)


def test_states_cannot_be_had_from_observations():
    with pytest.raises(PartialObservationError, match="several states of Tiger"):
        make_world("Tiger").states_of(np.array([2]))
