"""Metrics of a run sent to experiment trackers beside its own files: wandb, mlflow, trackio."""
