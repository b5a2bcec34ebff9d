"""What learners share: running copies, returns, normalisation, several processes."""
