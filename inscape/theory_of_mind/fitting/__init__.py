"""Minds fitted to recorded choices: likelihoods, estimates, comparisons, kinds of people."""
