"""A model for search: it foresees rewards, endings, values and a policy, and no observation. Paths are private."""
