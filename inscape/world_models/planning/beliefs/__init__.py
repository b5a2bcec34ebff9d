"""Planning where the state is not seen: value functions over beliefs, exact and bounded."""
