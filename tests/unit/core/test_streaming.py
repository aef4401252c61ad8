"""Objects piece by piece, from a broker that does to the order of chunks what it likes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chiron_stream.errors import RolledBack, TamperDetected
from chiron_stream.wire import objects
from chiron_stream.wire.courier import Line, Send
from chiron_stream.wire.objects import ObjectRef, object_digest, open_object, seal_object
from chiron_stream.wire.tasks import KeyedObject
from enclave_workers.core import scanning
from enclave_workers.core.lookup import read_object, write_object
from enclave_workers.core.streaming import cut, read_stream, write_stream
from tests.unit.core.shelf import Shelf

KEY, OBJECT, OTHER = bytes([7]) * 32, bytes([1]) * 16, bytes([2]) * 16
TOPIC = "update-chunks"
CHUNK = 100
CONTENT = bytes(n % 251 for n in range(CHUNK * 20 + 37))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 100 bytes, and a scan of 60 offsets on either side of a hint."""
    monkeypatch.setattr(objects, "CHUNK_BYTES", CHUNK)
    monkeypatch.setattr(scanning, "SCAN", 60)
    monkeypatch.setattr(scanning, "STRIDE", 20)


class Kept:
    """A sink that remembers everything that it was told."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.finished = False

    def take(self, chunk: bytes) -> None:
        assert not self.finished
        self.chunks.append(chunk)

    def finish(self) -> None:
        assert not self.finished
        self.finished = True


def chunks(content: bytes = CONTENT, object_id: bytes = OBJECT, key: bytes = KEY) -> list[bytes]:
    return seal_object(key, object_id, content)


def keyed(first: int = 0, last: int | None = None, **changes: Any) -> KeyedObject:
    end = len(chunks()) - 1 if last is None else last
    ref = ObjectRef(
        TOPIC, 0, first, end, OBJECT, len(chunks()), len(CONTENT), object_digest(CONTENT)
    )
    return KeyedObject(replace(ref, **changes), KEY)


def shelf(records: Sequence[bytes], at: int = 0) -> Shelf:
    made = Shelf()
    made.topics[TOPIC] = {at + n: record for n, record in enumerate(records)}
    return made


def read(link: Shelf, what: KeyedObject) -> Kept:
    sink = Kept()
    read_stream(link, what, sink)
    assert sink.finished
    assert b"".join(sink.chunks) == CONTENT
    return sink


def refused(link: Shelf, what: KeyedObject) -> tuple[str, Kept]:
    sink = Kept()
    with pytest.raises(TamperDetected) as caught:
        read_stream(link, what, sink)
    assert not sink.finished
    return caught.value.code, sink


def test_chunks_come_one_by_one_in_order() -> None:
    link = shelf(chunks())
    assert [len(one) for one in read(link, keyed()).chunks] == [CHUNK] * 20 + [37]
    assert [at for _, at in link.reads] == [0, 4, 8, 12, 16, 20]


@pytest.mark.parametrize("order", ["backwards", "rotated", "swapped", "even then odd"])
def test_chunks_in_another_order_are_taken_in_their_own(order: str) -> None:
    records = chunks()
    made = {
        "backwards": records[::-1],
        "rotated": records[9:] + records[:9],
        "swapped": [records[1], records[0], *records[2:]],
        "even then odd": records[::2] + records[1::2],
    }[order]
    link = shelf(made)
    read(link, keyed())
    # Once past each, and once more for each that came too early: never the whole again and again.
    assert len(link.reads) <= 6 + len(records)


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(21)), st.lists(st.integers(0, 41), max_size=20), st.booleans())
def test_chunks_in_any_order_doubled_and_among_others_are_read(
    order: list[int], doubled: list[int], wrong_hint: bool
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(objects, "CHUNK_BYTES", CHUNK)
        patched.setattr(scanning, "SCAN", 80)
        mine, others = chunks(), chunks(object_id=OTHER)
        records = [mine[place] for place in order]
        for at in doubled:
            records.insert(at, mine[at % 21])
            records.insert(at, others[at % 21])
        hint = (3, 5) if wrong_hint else (0, len(records) - 1)
        read(shelf(records), keyed(*hint))


@pytest.mark.parametrize("shift", [-50, -3, 3, 50])
def test_chunks_beside_their_hint_are_found(shift: int) -> None:
    read(shelf(chunks(), at=60), keyed(60 + shift, 80 + shift))


@pytest.mark.parametrize("shift", [-300, 300])
def test_search_is_bounded(shift: int) -> None:
    records = [b"noise"] * 1000
    records[500:521] = chunks()
    link = shelf(records)
    code, _ = refused(link, keyed(500 + shift, 520 + shift))
    assert code == "CHUNK_MISSING"
    assert len(link.reads) * scanning.STRETCH < 300
    read(shelf(records), keyed(500, 520))


@pytest.mark.parametrize("last", [10_000, 2**63])
def test_hint_far_beyond_the_log_costs_no_more_than_the_log(last: int) -> None:
    link = Ending(chunks())
    read(link, keyed(0, last))
    assert len(link.reads) < 20


class Ending(Shelf):
    """A shelf that says so when it is asked for what is beyond its end."""

    def __init__(self, records: Sequence[bytes]) -> None:
        super().__init__()
        self.topics[TOPIC] = dict(enumerate(records))

    def shown(self, topic: str, first: int, end: int) -> list[Line]:
        if end > len(self.topics[topic]):
            raise RolledBack("beyond the end")
        return super().shown(topic, first, end)


@pytest.mark.parametrize("place", [0, 7, 20])
def test_missing_chunk_is_missing(place: int) -> None:
    records = chunks()
    code, sink = refused(shelf(records[:place] + records[place + 1 :]), keyed())
    assert code == "CHUNK_MISSING"
    assert len(sink.chunks) == place


@pytest.mark.parametrize("place", [0, 7, 20])
@pytest.mark.parametrize("change", ["tampered", "cut", "longer", "under another key", "renamed"])
def test_damaged_chunk_does_not_open(place: int, change: str) -> None:
    records = chunks()
    one = records[place]
    records[place] = {
        "tampered": one[:-1] + bytes([one[-1] ^ 1]),
        "cut": one[:-1],
        "longer": one + b"\0",
        "under another key": chunks(key=bytes(32))[place],
        "renamed": one[:28] + chunks()[(place + 1) % 21][28:],
    }[change]
    code, sink = refused(shelf(records), keyed())
    assert code == "DOES_NOT_OPEN"
    assert len(sink.chunks) == place  # authenticated ones; nothing of the damaged one
    read(shelf(chunks()), keyed())


def test_chunks_of_another_object_are_passed_by() -> None:
    others = chunks(object_id=OTHER)
    mixed = [record for pair in zip(others, chunks(), strict=True) for record in pair]
    read(shelf(mixed), keyed(0, len(mixed) - 1))
    code, sink = refused(shelf(others), keyed())
    assert (code, sink.chunks) == ("CHUNK_MISSING", [])


def test_old_object_under_the_same_name_and_key_is_refused_at_its_end() -> None:
    old = bytes(len(CONTENT))
    code, sink = refused(shelf(chunks(old)), keyed())
    assert code == "OBJECT_DIGEST"
    assert b"".join(sink.chunks) == old
    what = keyed(digest=object_digest(old))
    sink = Kept()
    read_stream(shelf(chunks(old)), what, sink)  # the control: it is good under its own digest
    assert sink.finished


def test_last_chunk_of_an_old_object_is_refused_at_the_end() -> None:
    old = chunks(bytes(len(CONTENT)))
    assert refused(shelf([*chunks()[:-1], old[-1]]), keyed())[0] == "OBJECT_DIGEST"


@pytest.mark.parametrize("size", [0, 36, len(CONTENT) - 1, len(CONTENT) + 1, 2**64 - 1])
def test_object_of_another_size_is_refused(size: int) -> None:
    code, sink = refused(shelf(chunks()), keyed(size=size))
    assert code == "OBJECT_DIGEST"
    assert sum(map(len, sink.chunks)) <= size


@pytest.mark.parametrize("total", [20, 22, 2**32 - 1])
def test_object_of_another_number_of_chunks_is_refused(total: int) -> None:
    code, sink = refused(shelf(chunks()), keyed(chunks=total))
    assert (code, sink.chunks) == ("CHUNK_MISSING", [])


def test_object_of_no_chunks_is_empty() -> None:
    assert refused(shelf(chunks()), keyed(chunks=0))[0] == "OBJECT_DIGEST"
    sink = Kept()
    read_stream(shelf([]), keyed(chunks=0, size=0, digest=object_digest(b"")), sink)
    assert (sink.chunks, sink.finished) == ([], True)


class Changing(Shelf):
    """A courier that shows other records when it is asked again."""

    def __init__(self, records: Sequence[bytes], later: Sequence[bytes]) -> None:
        super().__init__()
        self.topics[TOPIC] = dict(enumerate(records))
        self._later = dict(enumerate(later))
        self._seen: set[int] = set()

    def shown(self, topic: str, first: int, end: int) -> list[Line]:
        found = []
        for line in super().shown(topic, first, end):
            again = line.offset in self._seen
            found.append(replace(line, value=self._later[line.offset]) if again else line)
            self._seen.add(line.offset)
        return found


def test_record_that_is_another_one_when_read_again_is_none() -> None:
    backwards = chunks()[::-1]
    noise = [b"noise"] * 21
    link = Changing(backwards, noise)
    assert refused(link, keyed())[0] == "CHUNK_MISSING"
    assert len(link.reads) < 6 + 21 + 60
    read(Changing(backwards, backwards), keyed())


class Watched(Shelf):
    """A shelf that counts the records that are out, and makes every value anew."""

    def __init__(self, records: Sequence[bytes]) -> None:
        super().__init__()
        self.topics[TOPIC] = dict(enumerate(records))
        self.most = 0
        self._out = 0
        self._lock = threading.Lock()

    def stretches(self, *args: Any, **kwargs: Any) -> Iterator[Sequence[Line]]:
        for lines in super().stretches(*args, **kwargs):
            with self._lock:
                self._out += len(lines)
                self.most = max(self.most, self._out)
            yield lines
            with self._lock:
                self._out -= len(lines)


@pytest.mark.parametrize("order", [1, -1])
def test_no_more_than_two_answers_are_held(order: int) -> None:
    content = bytes(CHUNK * 400)
    records = chunks(content)[::order]
    ref = keyed(0, 399, chunks=400, size=len(content), digest=object_digest(content))
    link, sink = Watched(records), Kept()
    read_stream(link, ref, sink)
    assert sink.finished
    assert link.most <= 2 * scanning.STRETCH + 1


def test_error_of_a_sink_ends_the_reading_and_its_thread() -> None:
    class Refusing(Kept):
        def take(self, chunk: bytes) -> None:
            super().take(chunk)
            if len(self.chunks) == 6:
                raise TamperDetected("enough", code="ENOUGH")

    before, sink, link = threading.active_count(), Refusing(), shelf(chunks())
    with pytest.raises(TamperDetected) as caught:
        read_stream(link, keyed(), sink)
    assert caught.value.code == "ENOUGH"
    assert len(sink.chunks) == 6
    assert len(link.reads) <= 4
    assert threading.active_count() == before


def test_written_pieces_are_the_object() -> None:
    for sizes in ([len(CONTENT)], [1, 99, 100, 101, 1000, 736], [0, 5, 0, 2032, 0]):
        link, at, pieces = Shelf(), 0, []
        for size in sizes:
            pieces.append(CONTENT[at : at + size])
            at += size
        assert at == len(CONTENT)
        ref = write_stream(link, TOPIC, KEY, OBJECT, at, iter(pieces))
        assert ref == keyed().ref
        assert open_object(KEY, ref, link.topics[TOPIC]) == CONTENT
        assert read_object(link, KeyedObject(ref, KEY)) == CONTENT


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1])
def test_written_object_is_read(size: int) -> None:
    link = Shelf()
    ref = write_object(link, TOPIC, KEY, OBJECT, bytes(size))
    assert ref.chunks == max(1, -(-size // CHUNK))
    assert read_object(link, KeyedObject(ref, KEY)) == bytes(size)


@pytest.mark.parametrize("size", [0, 99, 150, 199, 201, 300])
def test_pieces_that_are_not_what_was_announced_are_no_object(size: int) -> None:
    pieces = [bytes(120), bytes(80)]
    assert b"".join(bytes(one) for one in cut(iter(pieces), 200)) == bytes(200)
    with pytest.raises(AssertionError):
        write_stream(Shelf(), TOPIC, KEY, OBJECT, size, iter(pieces))


def test_error_of_the_pieces_ends_the_writing() -> None:
    def pieces() -> Iterator[bytes]:
        yield bytes(5000)
        raise TamperDetected("no more", code="NO_MORE")

    before, link = threading.active_count(), Shelf()
    with pytest.raises(TamperDetected) as caught:
        write_stream(link, TOPIC, KEY, OBJECT, 9000, pieces())
    assert caught.value.code == "NO_MORE"
    assert threading.active_count() == before


def test_error_of_the_broker_ends_the_writing() -> None:
    class Full(Shelf):
        def append(self, records: Sequence[Send]) -> tuple[int, ...]:  # noqa: ARG002
            raise RolledBack("no")

    before = threading.active_count()
    with pytest.raises(RolledBack):
        write_object(Full(), TOPIC, KEY, OBJECT, bytes(5000))
    assert threading.active_count() == before
