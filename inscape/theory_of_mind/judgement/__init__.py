"""Judgements of what was done to others: helping or hindering, meant or not."""
