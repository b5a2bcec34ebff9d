"""Agents that plan with a model: tree search, value iteration."""
