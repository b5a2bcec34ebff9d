"""Processes forked from one that has stepped many copies in parallel: no hang, no abort, the same results."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from inscape import make_world
from inscape.envs.compile import cpu as compiler
from inscape.envs.compile import threads
from inscape.envs.readers.vector_env import WorldVectorEnv

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
    # what a child inherits is what this is about: Python warns that it may be too much
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]
MANY = 8192
PATIENCE = 120


def in_a_fork(call: Callable[[], Any]) -> Any:
    """Returns what `call` returns in a forked child.

    Raises:
        AssertionError: the child hangs, or dies.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(call()))
    child.start()
    sender.close()
    try:
        assert receiver.poll(PATIENCE), "the child hangs"
        answer = receiver.recv()
    except EOFError:
        raise AssertionError("the child died") from None
    finally:
        child.join(1)
        if child.is_alive():
            child.kill()
            child.join()
    return answer


def copies(**options: Any) -> WorldVectorEnv:
    env = make_world("FrozenLake", slip=0.5).vector_env(MANY, "same-step", threads=2, **options)
    env.reset(seed=0)
    return env


def lived(env: WorldVectorEnv) -> list[Any]:
    """Returns what some steps come to: rewards and the states at the end."""
    rewards = sum(env.step(np.full(MANY, a % 4))[1] for a in range(12))
    return [float(np.sum(rewards)), env.states.ints.sum(), env._ints[-2].sum()]


def test_copies_made_in_the_child() -> None:
    here = lived(copies())
    assert in_a_fork(lambda: lived(copies())) == here


def test_copies_made_before_are_stepped_in_the_child() -> None:
    env, same = copies(), copies()
    lived(env), lived(same)
    assert in_a_fork(lambda: lived(env)) == lived(same) == lived(env)


def test_copies_made_and_never_stepped_are_stepped_in_the_child() -> None:
    lived(copies())
    env = copies()
    assert in_a_fork(lambda: lived(env)) == lived(env)


def test_the_parent_goes_on_in_parallel() -> None:
    env = copies()
    step = env._step
    in_a_fork(lambda: None)
    assert env._step is step
    assert not threads.is_forked()
    lived(env)


def test_a_child_says_that_it_is_forked() -> None:
    assert in_a_fork(threads.is_forked)
    assert in_a_fork(lambda: in_a_fork(threads.is_forked))


def test_a_fork_of_a_fork() -> None:
    env = copies()
    here = lived(copies())
    assert in_a_fork(lambda: in_a_fork(lambda: lived(env))) == here


def test_copies_sent_to_a_child_made_before() -> None:
    """By pickle, as a pool of workers does it."""
    env = copies()
    lived(env)
    data = pickle.dumps(env)
    assert in_a_fork(lambda: lived(pickle.loads(data))) == lived(env)


def _lived_from(data: bytes) -> list[Any]:
    return lived(pickle.loads(data))


def test_a_pool_of_workers() -> None:
    env = copies()
    data = pickle.dumps(env)
    here = lived(env)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = [pool.apply_async(_lived_from, (data,)) for _ in range(3)]
        assert [result.get(PATIENCE) for result in results] == [here] * 3


@pytest.mark.parametrize("count", [2000, 2001])
def test_random_play_adds_up_to_the_same_bits(count: int) -> None:
    def play() -> list[Any]:
        played = make_world("FrozenLake", slip=0.5).random_play(count, 60, seed=1, threads=2)
        return [played.episodes, played.mean_return.tolist(), played.mean_length]

    assert in_a_fork(play) == play()


def test_random_play_takes_one_thread_of_its_own_accord() -> None:
    def play() -> list[Any]:
        return make_world("FrozenLake").random_play(4096, 30, seed=1).mean_return.tolist()

    here = play()
    assert in_a_fork(play) == here


def test_one_kind_of_autoreset_after_another() -> None:
    for autoreset in ("next-step", "same-step"):
        env = make_world("FrozenLake").vector_env(MANY, autoreset, threads=2)  # type: ignore[arg-type]
        env.reset(seed=3)
        twin = pickle.loads(pickle.dumps(env))
        assert in_a_fork(lambda env=env: lived(env)) == lived(twin)


def test_a_raw_fork() -> None:
    env = copies()
    lived(env)
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE)  # ends the child if it hangs
        try:
            lived(env)
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_no_thread_is_amid_making_a_kernel_when_the_process_forks() -> None:
    """The lock would never be given back in the child."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with compiler._lock:
            held.set()
            done.wait(0.5)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    assert in_a_fork(lambda: compiler._lock.acquire(timeout=5) or "the lock is held") is True
    done.set()
    thread.join()


@pytest.mark.parametrize(("wanted", "count", "blocks"), [(None, 10, 1), (3, 10, 3), (1, 10**6, 1)])
def test_blocks(wanted: int | None, count: int, blocks: int) -> None:
    assert threads.block_count(wanted, count, 100) == blocks
    assert threads.block_count(None, 100, 100) == numba.get_num_threads()
    assert in_a_fork(lambda: threads.block_count(wanted, count, 100)) == blocks
