"""The parts of a planning mind, each a frozen dataclass with one law of its own: wants, beliefs, planning, choosing."""
