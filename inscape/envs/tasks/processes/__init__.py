"""Copies of third-party environments in worker processes."""
