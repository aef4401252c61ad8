"""Hostile bytes: what can be done to a record without a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from chiron_stream.errors import ChironError

Read = Callable[[bytes], Any]


def flip(data: bytes, at: int, mask: int = 1) -> bytes:
    """Return the bytes with some bits of one byte turned over."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def damaged(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a flip of every byte, cuts at many lengths, and what is longer."""
    for at in range(len(data)):
        yield f"byte {at} flipped", flip(data, at, 1 << at % 8)
    for length in {0, 1, len(data) // 2, *range(max(0, len(data) - 40), len(data))}:
        yield f"cut to {length} bytes", data[:length]
    yield "a zero behind", data + b"\0"
    yield "twice", data + data


def assert_only_the_original_reads(read: Read, honest: bytes) -> None:
    """Read the honest bytes, and demand a refusal of every damaged form of them."""
    read(honest)
    for what, forged in damaged(honest):
        assert_refused(read, forged, what)


def assert_refused(read: Read, forged: bytes, what: str) -> None:
    try:
        read(forged)
    except ChironError:
        return
    pytest.fail(f"was read with {what}")


def rearranged(records: Sequence[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """Yield a sequence of records with one dropped, one doubled, or two swapped, at each place."""
    for at in range(len(records)):
        yield f"record {at} dropped", [*records[:at], *records[at + 1 :]]
        yield f"record {at} doubled", [*records[: at + 1], *records[at:]]
    for at in range(len(records) - 1):
        swapped = list(records)
        swapped[at], swapped[at + 1] = swapped[at + 1], swapped[at]
        yield f"records {at} and {at + 1} swapped", swapped
