"""How many threads compiled kernels use: one in a forked process.

The threads of OpenMP do not survive a fork, and it does not notice: in the child of a process that has run a parallel
kernel (or a parallel product of matrices), the next one aborts the child or waits for ever. What runs in parallel
elsewhere therefore runs on one thread there, with the same results: no result depends on the number of threads.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

from inscape.envs.compile import cpu as compiler
from inscape.envs.compile.switch import is_plain


class _Threaded(Protocol):
    def use_one_thread(self) -> None: ...


_is_forked = False
_threaded: WeakSet[_Threaded] = WeakSet()


def is_forked() -> bool:
    """Returns whether this process was forked from one in which this module was loaded."""
    return _is_forked


def block_count(wanted: int | None, copies: int, parallel_from: int) -> int:
    """Returns in how many blocks copies are stepped, each on a thread of its own where the process may have several.

    Args:
        wanted: as the caller asks; None for one per core.
        copies: how many are stepped.
        parallel_from: from how many copies on more than one thread pays.
    """
    if wanted is not None:
        return wanted
    if copies < parallel_from or is_plain():
        return 1
    import numba

    return int(numba.config.NUMBA_NUM_THREADS if is_forked() else numba.get_num_threads())


def one_thread_after_fork(reader: _Threaded) -> None:
    """Has `reader.use_one_thread` called in every process forked from now on."""
    _threaded.add(reader)


def _after_fork() -> None:
    global _is_forked
    _is_forked = True
    for reader in _threaded:
        reader.use_one_thread()


if hasattr(os, "register_at_fork"):  # not on Windows
    # nobody is amid making a kernel when the process forks: the child would wait for a thread it does not have
    os.register_at_fork(
        before=compiler._lock.acquire, after_in_parent=compiler._lock.release, after_in_child=compiler._lock.release
    )
    os.register_at_fork(after_in_child=_after_fork)
