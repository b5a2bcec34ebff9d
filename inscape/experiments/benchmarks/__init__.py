"""`inscape bench`."""
