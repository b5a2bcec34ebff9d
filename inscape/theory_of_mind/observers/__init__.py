"""Observers: forward filters over minds."""
