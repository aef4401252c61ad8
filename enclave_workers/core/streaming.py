"""Chunked objects piece by piece: read into a sink, written from an iterator, never whole.

Memory is bounded by two answers of the courier on the way in and two appends on the way out,
whatever the object's size, and whatever a broker does to the order of its chunks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from chiron_stream.wire import labels, objects
from chiron_stream.wire.courier import Line, Send
from chiron_stream.wire.crypto import Bytes, running_sha256
from chiron_stream.wire.objects import ChunkName, ObjectOpener, ObjectRef, chunks_of, seal_chunk
from chiron_stream.wire.tasks import KeyedObject
from enclave_workers.core.ahead import ahead
from enclave_workers.core.link import Link
from enclave_workers.core.scanning import STRETCH, Hint, around, hinted

APPEND_BYTES: Final = 4_000_000
"""Bytes of values handed to the courier at once, about."""


class Sink(Protocol):
    """What an object is read into.

    A sink counts when ``finish`` was called, and not before: the chunks that it took were written
    under the object's key, and may yet turn out to be a part of the object, or of another one.
    """

    def take(self, chunk: bytes) -> None:
        """Take the next chunk's plaintext."""
        ...

    def finish(self) -> None:
        """Learn that all that was taken is the object referred to."""
        ...


def read_stream(link: Link, keyed: KeyedObject, sink: Sink) -> None:
    """Read an object into a sink, chunk by chunk, in order.

    No chunk is kept: one that comes before its turn is read again when its turn has come.

    :raises TamperDetected: chunks are missing, or it is another object; the sink was not finished.
    """
    reading = _Reading(link, keyed, sink)
    if not reading.opener.complete:
        for lines in _records(link, reading.hint):
            if reading.takes_all(lines):
                break
    reading.opener.finish()
    sink.finish()


def _records(link: Link, hint: Hint) -> Iterator[Sequence[Line]]:
    if hint.last - hint.first < STRETCH:
        yield from hinted(link, hint)
    else:
        with ahead(hinted(link, hint)) as found:
            yield from found
    yield from around(link, hint)


class _Reading:
    """An object on its way into a sink."""

    def __init__(self, link: Link, keyed: KeyedObject, sink: Sink) -> None:
        ref = keyed.ref
        self._link = link
        self._sink = sink
        self.hint = Hint(ref.topic, ref.partition, ref.first, ref.last)
        self.opener = ObjectOpener(keyed.key, ref)
        self._passed: dict[int, int] = {}
        """Offsets of chunks that came before their turn: the first of each."""

    def takes_all(self, lines: Sequence[Line]) -> bool:
        """Take what is next among the records; tell whether the object is complete."""
        for line in lines:
            if self._take(line):
                self._go_back()
            if self.opener.complete:
                return True
        return False

    def _take(self, line: Line) -> bool:
        place = self.opener.place(line.value)
        if place is None or place < self.opener.next:
            return False
        if place > self.opener.next:
            if len(self._passed) < objects.MAX_CHUNKS:
                self._passed.setdefault(place, line.offset)
            return False
        self._sink.take(self.opener.opened(line.value))
        return True

    def _go_back(self) -> None:
        """Take what is next as long as it was passed before. A broker may have changed it since."""
        while (offset := self._passed.pop(self.opener.next, None)) is not None:
            hint = Hint(self.hint.topic, self.hint.partition, offset, offset)
            for lines in hinted(self._link, hint):
                for line in lines[:1]:
                    self._take(line)


def write_stream(
    link: Link,
    topic: str,
    key: bytes,
    object_id: bytes,
    size: int,
    pieces: Iterator[Bytes],
    partition: int = 0,
) -> ObjectRef:
    """Append an object's chunks, wait until all are acknowledged, and return its reference.

    :param size: of all pieces together, in bytes.
    """
    total = chunks_of(size)
    digest = running_sha256(labels.OBJECT, size)

    def batches() -> Iterator[list[Send]]:
        batch: list[Send] = []
        for place, chunk in enumerate(cut(pieces, size)):
            digest.update(chunk)
            record = seal_chunk(key, ChunkName(object_id, place, total), chunk)
            batch.append(Send(topic, partition, record, b"", b""))
            if len(batch) == stride:
                yield batch
                batch = []
        if batch:
            yield batch

    stride = max(1, APPEND_BYTES // objects.CHUNK_BYTES)
    offsets: list[int] = []
    with ahead(batches()) as sealed:
        for batch in sealed:
            offsets += link.append(batch)
    return ObjectRef(
        topic=topic,
        partition=partition,
        first=min(offsets),
        last=max(offsets),
        object_id=object_id,
        chunks=total,
        size=size,
        digest=digest.digest(),
    )


def cut(pieces: Iterator[Bytes], size: int) -> Iterator[memoryview]:
    """Yield the bytes of the pieces as chunks, each good until the next is asked for.

    :raises AssertionError: the pieces are not ``size`` bytes together.
    """
    buffer = memoryview(bytearray(min(size, objects.CHUNK_BYTES)))
    left, filled = size, 0
    for piece in pieces:
        view = memoryview(piece).cast("B")
        while view:
            part = view[: min(len(buffer), left) - filled]
            if not part:
                raise AssertionError("more than was announced")
            buffer[filled : filled + len(part)] = part
            view, filled = view[len(part) :], filled + len(part)
            if filled == min(len(buffer), left):
                yield buffer[:filled]
                left, filled = left - filled, 0
    if left:
        raise AssertionError("less than was announced")
    if not size:
        yield buffer
