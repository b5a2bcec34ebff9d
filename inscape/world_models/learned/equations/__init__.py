"""Laws of motion recovered as equations: sparse regression over a library of terms."""
