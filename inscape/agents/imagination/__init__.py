"""Agents that learn to act inside a model they have learned. Deeper paths are private."""
