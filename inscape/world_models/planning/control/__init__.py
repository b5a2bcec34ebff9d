"""Planners that search over sequences of actions: random shooting, the cross-entropy method, iCEM, MPPI."""
