"""On-policy agents: REINFORCE, A2C, PPO, recurrent PPO; the learners that run them (torch, compiled, CUDA)."""
