"""Tasks: what an agent is given to act in, of whatever origin."""
