"""A helper that plans under its posterior over the mind of the one it helps."""
