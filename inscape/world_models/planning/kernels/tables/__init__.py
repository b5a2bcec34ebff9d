"""Kernels of dynamic programming: sweeps and backups over tables."""
