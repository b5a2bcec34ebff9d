"""Imitation as agents: behaviour cloning, DAgger, adversarial imitation. Private; the catalogue names them."""
