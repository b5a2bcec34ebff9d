"""Environments whose observations and answers are text, and every other environment read as one."""
