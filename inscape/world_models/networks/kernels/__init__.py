"""Networks in compiled code."""
