"""Kernel template, shared by others: an open-addressing table from states to numbers."""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
from inscape.envs.kernels.names import NUM_FLOATS, NUM_INTS, jit


@jit
def slot_of(bits, ints, i, slots, known_bits, known_ints):
    """Returns where the state in column i of (bits, ints) lies in the table, or the empty slot for it.

    `bits` is the memory of packed floats as int64: states are equal when their bits are. `slots` holds columns of
    (known_bits, known_ints), −1 where empty. It never fills up: the search ends at an empty slot.
    """
    h = 0
    for k in range(NUM_FLOATS + NUM_INTS):  # 32 bits at a time, so that plain Python and compiled code agree
        x = bits[k, i] if k < NUM_FLOATS else ints[k - NUM_FLOATS, i]
        h = ((h ^ (x & 0xFFFFFFFF)) * 0x01000193 + (h >> 15)) & 0xFFFFFFFF
        h = ((h ^ ((x >> 32) & 0xFFFFFFFF)) * 0x01000193 + (h >> 15)) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 0x5BD1E995) & 0xFFFFFFFF
    size = slots.shape[0]
    slot = (h ^ (h >> 15)) % size
    while True:
        j = slots[slot]
        if j < 0:
            return slot
        same = True
        for k in range(NUM_FLOATS):
            if known_bits[k, j] != bits[k, i]:
                same = False
        for k in range(NUM_INTS):
            if known_ints[k, j] != ints[k, i]:
                same = False
        if same:
            return slot
        slot += 1
        if slot == size:
            slot = 0
