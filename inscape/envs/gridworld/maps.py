"""Text maps of grids, by name."""

from __future__ import annotations

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
}
