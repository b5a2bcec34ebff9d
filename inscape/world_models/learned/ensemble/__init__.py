"""An ensemble of probabilistic networks as a world model. Deeper paths are private."""
