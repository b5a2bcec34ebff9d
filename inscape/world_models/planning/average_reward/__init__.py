"""Average reward per step: gain and bias, and the chains that policies make."""
