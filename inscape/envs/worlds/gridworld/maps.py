"""Text maps of grids, by name."""

from __future__ import annotations

# a barrier with a gap on the left, both the end of one story and the beginning of another
LONG_WAY = (
    "........G",
    ".........",
    ".........",
    ".########",
    ".........",
    "...S.....",
)
MAPS: dict[str, tuple[str, ...]] = {
    # Gymnasium's FrozenLake maps
    "4x4": ("SFFF", "FHFH", "FFFH", "HFFG"),
    "8x8": (
        "SFFFFFFF",
        "FFFFFFFF",
        "FFFHFFFF",
        "FFFFFHFF",
        "FFFHFFFF",
        "FHHFFFHF",
        "FHFFHFHF",
        "FFFHFFFG",
    ),
    "four-goals": (
        "A...#...B",
        ".........",
        "..#...#..",
        ".........",
        "#...S...#",
        ".........",
        "..#...#..",
        ".........",
        "C...#...D",
    ),
    "rooms": (
        "#########",
        "#S..#...#",
        "#...>...#",
        "#...#.H.#",
        "##v###.##",
        "#FFF#...#",
        "#FHF<...#",
        "#FFF#..G#",
        "#########",
    ),
    # Sutton & Barto (2018), Reinforcement Learning: Figure 8.2; Example 8.2 (Figure 8.4) before and after the barrier
    # moves; Example 8.3 (Figure 8.5) before and after the shortcut opens
    "dyna-maze": (
        ".......#G",
        "..#....#.",
        "S.#....#.",
        "..#......",
        ".....#...",
        ".........",
    ),
    "blocking-maze": (
        "........G",
        ".........",
        ".........",
        "########.",
        ".........",
        "...S.....",
    ),
    "blocking-maze-later": LONG_WAY,
    "shortcut-maze": LONG_WAY,
    "shortcut-maze-later": (
        "........G",
        ".........",
        ".........",
        ".#######.",
        ".........",
        "...S.....",
    ),
}
