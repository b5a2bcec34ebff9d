"""Exact dynamic programming for many purposes at once."""
