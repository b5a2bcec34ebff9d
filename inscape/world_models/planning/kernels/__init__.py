"""Compiled search; `tables` has sweeps."""
