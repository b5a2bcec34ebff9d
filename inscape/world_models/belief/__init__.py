"""Beliefs over states that are not observed."""
