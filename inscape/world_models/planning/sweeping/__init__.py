"""Exact dynamic programming in large tables."""
