"""`inscape check`: the contracts of worlds, agents and environments."""
