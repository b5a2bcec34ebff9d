"""Free text from a language model: the distribution it is drawn from, drawing it, conversations, learning on tokens."""
