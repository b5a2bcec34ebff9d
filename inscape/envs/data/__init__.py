"""What happened: trajectories, transitions, data sets."""
