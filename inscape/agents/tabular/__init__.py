"""Tabular agents: one compiled loop, one file per algorithm."""
