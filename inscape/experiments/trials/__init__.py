"""Experiments of many runs: what is run (trials), by whom (workers), and what came of it (results)."""
