"""World models learned by gradient: one file a model. Deeper paths are private."""
