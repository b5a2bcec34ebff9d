"""Minds about minds: level-k thinking, cognitive hierarchies, and what they answer to."""
