"""World models as runs: an agent that gathers experience, fits a world model to it, and acts by planning in it."""
