"""Networks, encoders and replay memory, for learned models, searches and agents alike."""
