"""Tests of agents that learn in imagination."""
