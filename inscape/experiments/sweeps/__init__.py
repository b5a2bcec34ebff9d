"""Sweeps: settings of an agent that do best in a world, searched for."""
