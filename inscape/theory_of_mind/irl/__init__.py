"""Inverse reinforcement learning: rewards, linear in features, that explain what was done."""
