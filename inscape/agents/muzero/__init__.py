"""The agent that plans by search in a model learned from what its searches said. Deeper paths are private."""
