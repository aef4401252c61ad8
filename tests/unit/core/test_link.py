"""A core's link: extents an answer at a time, from a courier that need not be honest."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from chiron_stream.wire import courier, frames
from chiron_stream.wire.courier import Answer, Line, Lines, Read, Request
from enclave_workers.core.link import CourierGone, Link


@contextmanager
def linked(answer: Callable[[Request], Answer]) -> Iterator[Link]:
    """Give a link to a courier that answers so."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        while prefix := theirs.recv(4):
            request = frames.request(theirs.recv(frames.length(prefix)))
            theirs.sendall(b"".join(frames.pack(answer(request))))

    thread = threading.Thread(target=serve)
    thread.start()
    with theirs:
        with ours:
            yield Link(ours)
        thread.join()


class Shelf:
    """Shows two records at a time at most, and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def __call__(self, request: Request) -> Lines:
        assert isinstance(request, Read)
        self.asked.append((request.first, request.end))
        end = min(request.end, request.first + 2)
        lines = (Line(request.topic, 0, n, b"%d" % n) for n in range(request.first, end))
        return Lines(tuple(lines), 0, end)


def test_extent_is_asked_for_in_parts() -> None:
    shelf = Shelf()
    with linked(shelf) as link:
        found = list(link.stretches("shards", 3, 10, records=3))
    assert [[one.offset for one in lines] for lines in found] == [[3, 4], [5, 6], [7, 8], [9]]
    assert shelf.asked == [(3, 6), (5, 8), (7, 10), (9, 10)]


def test_read_returns_all_of_an_extent_and_asks_for_no_empty_one() -> None:
    shelf = Shelf()
    with linked(shelf) as link:
        assert [one.value for one in link.read("shards", 0, 5)] == [b"0", b"1", b"2", b"3", b"4"]
        assert link.read("shards", 5, 5) == link.read("shards", 5, 4) == []
    assert len(shelf.asked) == 3


@pytest.mark.parametrize("behind", [0, 4, 5, 9, 11])
def test_answer_that_leads_out_of_the_extent_ends_the_core(behind: int) -> None:
    with (
        linked(lambda _request: Lines((), 0, behind)) as link,
        pytest.raises(CourierGone, match="another extent"),
    ):
        link.read("shards", 5, 8)


def test_error_of_the_courier_ends_the_reading() -> None:
    with (
        linked(lambda _request: courier.Untaken("Withheld", "WITHHELD", "gone")) as link,
        pytest.raises(Exception, match="gone") as caught,
    ):
        link.read("shards", 5, 8)
    assert type(caught.value).__name__ == "Withheld"


@pytest.mark.parametrize(
    "said",
    [
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\0\0\0\x05\0\0\0\x01\x80",
        b"\0\0\0\x05\0\0\0\xff\x80",
        b"\0\0\0\x09",
        b"",
    ],
    ids=["of no bytes", "too large", "no document", "cut document", "cut", "nothing"],
)
def test_answer_that_is_no_frame_ends_the_core(said: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(CourierGone):
            Link(ours).read("shards", 5, 8)
