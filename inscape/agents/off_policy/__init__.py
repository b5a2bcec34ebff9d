"""Off-policy agents: DQN, SAC, and what they share."""
