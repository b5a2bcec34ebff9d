"""Runs: training, checkpoints, evaluation, statistics."""
