"""Readers of a law: environments, batches, enumeration, random play."""
