"""Computing as a worker does without changing how the caller's process computes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from chiron_stream.errors import UsageRefused
from chiron_stream.graph.numerics import configure_numerics

T = TypeVar("T")

Numerics = dict[str, str | int]
"""torch's version, the instruction set of its kernels, threads."""


def like_a_worker(threads: int, stop: threading.Event, work: Callable[[Numerics], T]) -> T:
    """Return what ``work`` returns, in a thread that is set up as a worker's is.

    Denormals are flushed in that thread alone; number of threads and determinism are torch's own
    and put back afterwards: do not compute in another thread meanwhile.

    :param stop: set when the caller is interrupted; ``work`` looks at it and ends.
    :raises UsageRefused: fewer than one thread.
    """
    if threads < 1:
        raise UsageRefused("threads cannot mean anything", expected="at least 1", got=str(threads))
    with _put_back(), ThreadPoolExecutor(1) as pool:
        future = pool.submit(lambda: work(configure_numerics(threads)))
        try:
            return future.result()
        except BaseException:
            stop.set()
            raise


@contextmanager
def _put_back() -> Iterator[None]:
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warns)
