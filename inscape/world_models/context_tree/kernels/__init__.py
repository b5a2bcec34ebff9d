"""Compiled code of context trees."""
