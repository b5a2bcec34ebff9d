"""How a language model learns from return: PPO with a value head, and policy gradients with a baseline of the group."""
