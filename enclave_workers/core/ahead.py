"""Doing two things at once, in order: the next item is made while the one before is used."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def ahead(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """Give the items, each made in a second thread while the one before it is used.

    Two exist at a time, never more. What making one raises comes out where it would have been
    used. The second thread ends with the block, after the item that it is at.
    """
    with ThreadPoolExecutor(1, "ahead") as second:
        yield _one_ahead(items, second)


def _one_ahead(items: Iterator[T], second: ThreadPoolExecutor) -> Iterator[T]:
    coming: Future[list[T]] = second.submit(_next, items)
    while found := coming.result():
        coming = second.submit(_next, items)
        yield found.pop()


def _next(items: Iterator[T]) -> list[T]:
    """Return the next item, or nothing at the end: a future does not carry a StopIteration."""
    return [item for _, item in zip(range(1), items, strict=False)]
