"""A dynamic Bayesian network: the law of each field of the state learned from the few things it depends on."""
