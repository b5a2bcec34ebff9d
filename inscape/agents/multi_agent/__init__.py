"""Agents that learn with or against others: self-play, independent learners, ratings."""
