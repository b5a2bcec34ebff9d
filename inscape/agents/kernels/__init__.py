"""Kernel templates of agents: compiled with the law of the world they act in."""
