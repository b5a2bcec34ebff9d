"""Observations as features for a network: packed rows of bytes, NumPy, torch."""
