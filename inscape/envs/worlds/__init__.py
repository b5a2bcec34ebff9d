"""The built-in worlds, one family per folder."""
