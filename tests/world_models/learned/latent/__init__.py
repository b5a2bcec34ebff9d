"""Tests of the latent model."""
