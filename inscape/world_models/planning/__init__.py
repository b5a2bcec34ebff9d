"""Planners: they take a model, never an environment."""
