"""Games: trees of histories, equilibria, best responses, exact values."""
