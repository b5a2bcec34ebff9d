"""Tree search, compiled and as a plain reference."""
