"""The law recovered as a program: rules of grids by Bayesian search."""
