"""Compiled search and sweeps."""
