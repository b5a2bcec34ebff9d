"""Agents. See `inscape.agents.interface` for what an agent is and `inscape.agents.plugins` for those known by name."""

import os

# Intel's MKL, under torch, rounds a product of small matrices differently by where its operands happen to lie in
# memory, so that a resumed run would drift from one never killed by the last bit. This asks it not to, at no cost that
# we could measure; it is read at the first product, so it may come after `import torch`.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
