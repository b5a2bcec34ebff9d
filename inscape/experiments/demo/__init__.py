"""`inscape demo`."""
