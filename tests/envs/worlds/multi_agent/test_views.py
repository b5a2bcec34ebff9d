"""What a player is shown, and told, does not depend on what that player cannot see."""

from __future__ import annotations

import itertools

import pytest

from inscape.envs.worlds.multi_agent.door_helper import DoorHelper
from inscape.envs.worlds.multi_agent.kuhn_poker import CALLED, CARDS, FIRST_FOLDED, HISTORIES, KuhnPoker, KuhnState


@pytest.mark.parametrize("player", [0, 1])
def test_the_other_card_shows_only_when_all_cards_are_shown(player):
    world = KuhnPoker()
    shown = {}
    for first, second in itertools.permutations(range(3), 2):
        for history in range(len(HISTORIES)):
            state = KuhnState(first, second, history)
            seen = world.observation(world.params, state, player)
            scene = world.draw_view(world.params, world.purpose, state, player)
            letters = [shape.text for shape in scene.shapes if hasattr(shape, "text")]
            own = CARDS[state[player]][0].upper()
            if HISTORIES[history] in ("pp", "bb", "pbb"):
                assert letters == [CARDS[first][0].upper(), CARDS[second][0].upper()]
            else:
                assert letters == [own]
                assert shown.setdefault(seen, scene) == scene
            words = world.describe_observation(world.params, world.purpose, seen)
            assert words.startswith(f"your card: {CARDS[state[player]]} | ")


def test_words_at_the_end_name_nobody_to_act():
    world = KuhnPoker()
    words = [world.describe_observation(world.params, world.purpose, (1, h)) for h in (2, CALLED, FIRST_FOLDED)]
    assert words == [
        "your card: queen | first bet; second is to act | ante 1, bet 1",
        "your card: queen | first bet, second called: cards are shown | ante 1, bet 1",
        "your card: queen | first passed, second bet, first folded | ante 1, bet 1",
    ]


def test_the_helper_does_not_see_the_goal():
    worlds = [DoorHelper(goal=goal) for goal in "ABCD"]
    scenes = [
        [w.draw_view(w.params, w.purpose, w.initial(w.params, 0)[1], player) for w in worlds] for player in (0, 1)
    ]
    human, helper = scenes
    assert len({scene.shapes for scene in human}) == 4
    assert len({scene.shapes for scene in helper}) == 1
    assert human[0] == worlds[0].draw(worlds[0].params, worlds[0].purpose, worlds[0].initial(worlds[0].params, 0)[1])
