"""Counter-based random streams: a number depends on (key, counter) alone, never on what was drawn before.

`uniform(key, counter)` is output number `counter` of the SplitMix64 generator started at `key`. A copy of an
environment owns one key, so that copy *i* of seed *s* produces the same trajectory alone, among 8 or among 8,192, in
one process or several. Planners draw their keys from a generator of their own and cannot foresee the environment's.

Source: Steele, Lea & Flood (2014), "Fast splittable pseudorandom number generators", OOPSLA, figure 16 (constants of
Stafford's variant 13).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inscape.envs.law.tools import Target, inline_jit
from inscape.errors import UsageError

MASK = 0xFFFFFFFFFFFFFFFF
GOLDEN = 0x9E3779B97F4A7C15
MULTIPLIER_1 = 0xBF58476D1CE4E5B9
MULTIPLIER_2 = 0x94D049BB133111EB


def mix(z: int) -> int:
    """Returns the 64-bit finaliser of `z` (a bijection on 0 … 2^64 − 1)."""
    z &= MASK
    z = ((z ^ (z >> 30)) * MULTIPLIER_1) & MASK
    z = ((z ^ (z >> 27)) * MULTIPLIER_2) & MASK
    return z ^ (z >> 31)


def stream_key(seed: int, copy: int = 0) -> int:
    """Returns the key of copy number `copy` under `seed`, as a signed 64-bit integer (how packed arrays hold it)."""
    key = mix(mix(seed + GOLDEN) + copy * GOLDEN)
    return key - (1 << 64) if key >> 63 else key


def seed_of_copy(seed: int, copy: int) -> int:
    """Returns the seed with which one environment alone produces the trajectory of copy `copy` under `seed`.

        world.vector_env(4096).reset(seed=7)[0][3017] == gym.make(…).reset(seed=seed_of_copy(7, 3017))[0]

    That of copy 0 is congruent to `seed` itself, modulo 2⁶⁴.
    """
    key = (mix(seed + GOLDEN) + copy * GOLDEN) & MASK
    key = _unshifted(key, 31)
    key = _unshifted((key * pow(MULTIPLIER_2, -1, 1 << 64)) & MASK, 27)
    key = _unshifted((key * pow(MULTIPLIER_1, -1, 1 << 64)) & MASK, 30)
    return (key - GOLDEN) & MASK


def _unshifted(z: int, shift: int) -> int:
    """Returns the number whose exclusive or with itself shifted right is `z`."""
    found, left = z, z >> shift
    while left:
        found ^= left
        left >>= shift
    return found


def stream_keys(seed: int, copies: int) -> np.ndarray:
    """Returns `[copies]` int64 keys, equal to `stream_key(seed, i)` for each copy i."""
    z = np.uint64(mix(seed + GOLDEN)) + np.arange(copies, dtype=np.uint64) * np.uint64(GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MULTIPLIER_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(MULTIPLIER_2)
    return np.asarray((z ^ (z >> np.uint64(31))).view(np.int64))


def copy_seeds(seed: int, copies: int, first: int = 0) -> list[int]:
    """Returns the seeds of copies of an environment that is not ours: copy 0 has `seed` itself, as one alone has.

    Those of copies `first` to `first + copies − 1`, so that several processes can share them out.

    The others have 31 bits of their key, because many environments hand their seed to an `int` of C. Seeds one after
    another, which Gymnasium gives copies, would make copy 1 of seed s live the life of copy 0 of seed s + 1.
    """
    return [seed, *(int(key) & 0x7FFFFFFF for key in stream_keys(seed, first + copies)[1:])][first:]


def later_seed(seed: int, steps: int) -> int:
    """Returns the seed of what begins anew after `steps` steps; `seed` itself where these are 0."""
    return stream_key(stream_key(seed, steps)) & 0x7FFFFFFF if steps else seed


def require_generator(rng: Any) -> None:
    """Raises UsageError unless `rng` is a generator of NumPy."""
    if not isinstance(rng, np.random.Generator):
        seed = rng if isinstance(rng, int) and not isinstance(rng, bool) else 0
        raise UsageError(
            f"rng = {rng!r}"[:80], expected="a numpy.random.Generator", hint=f"rng = np.random.default_rng({seed})"
        )


def random_keys(rng: np.random.Generator, count: int) -> np.ndarray:
    """Returns `[count]` int64 keys drawn from `rng`, for batched calls with explicit randomness.

    Raises:
        UsageError: `rng` is no generator (a seed, say, which would give every call the same numbers).
    """
    require_generator(rng)
    return rng.integers(np.iinfo(np.int64).min, np.iinfo(np.int64).max, size=count, dtype=np.int64, endpoint=True)


def uniform(key: int, counter: int) -> float:
    """Returns a double in [0, 1): number `counter` of stream `key`; bit for bit what compiled kernels draw."""
    return (mix(int(key) + (int(counter) + 1) * GOLDEN) >> 11) * 2.0**-53


def words(keys: np.ndarray, counters: np.ndarray) -> np.ndarray:
    """Returns `[B]` uint64: output number `counters[i]` of the generator started at `keys[i]` (int64).

    Its upper 53 bits are `uniform(keys[i], counters[i])`; as an int64 it may be the key of another stream.
    """
    z = keys.view(np.uint64) + (counters.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MULTIPLIER_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(MULTIPLIER_2)
    return np.asarray(z ^ (z >> np.uint64(31)))


def uniforms(keys: np.ndarray, counters: np.ndarray) -> np.ndarray:
    """Returns `[B]` doubles, `uniform(keys[i], counters[i])` each."""
    return np.asarray((words(keys, counters) >> np.uint64(11)) * 2.0**-53)


def compiled_uniform(target: Target = "cpu") -> Any:
    """Returns `uniform` as a compiled function."""
    golden, m1, m2 = np.uint64(GOLDEN), np.uint64(MULTIPLIER_1), np.uint64(MULTIPLIER_2)
    s30, s27, s31, s11, one = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11), np.uint64(1)

    @inline_jit(target)  # type: ignore[untyped-decorator, unused-ignore]
    def uniform(key, counter):  # type: ignore[no-untyped-def]
        z = np.uint64(key) + (np.uint64(counter) + one) * golden
        z = (z ^ (z >> s30)) * m1
        z = (z ^ (z >> s27)) * m2
        z = z ^ (z >> s31)
        return np.float64(z >> s11) * 2.0**-53

    return uniform
