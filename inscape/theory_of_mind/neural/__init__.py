"""Networks that observe: trained on simulated populations of minds, they infer and predict without planning."""
