"""Context-tree weighting as a world model: exact mixtures over prediction suffix trees, bit by bit."""
