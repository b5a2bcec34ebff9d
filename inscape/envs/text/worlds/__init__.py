"""Text environments whose rewards are verified: by a law of arithmetic, an edit distance, a word's own letters."""
