"""What a broker can do to a topic without a key: flips, swaps, drops, duplications, splices.

Alterations are drawn by Hypothesis and applied one after the other, so that each may build on the
one before. Splices come from records that the broker holds of elsewhere: another job, another
history of this job, another session or worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import Phase, settings
from hypothesis import strategies as st

from chiron_stream.wire.canonical import EncodingRefused, decode, encode

MANY: Final = 10**6


class Record(NamedTuple):
    """A record and the topic that it stands on."""

    topic: str
    value: bytes


@dataclass(frozen=True)
class Alteration:
    """One change; ``at`` and ``to`` are places among the records, ``byte`` and ``mask`` in one."""

    kind: str
    at: int
    to: int
    byte: int
    mask: int


Records = list[Record]


def _flip(records: Records, one: Alteration, _foreign: Sequence[Record]) -> None:
    topic, value = records[one.at]
    changed = bytearray(value)
    changed[one.byte % len(value)] ^= one.mask
    records[one.at] = Record(topic, bytes(changed))


def _swap(records: Records, one: Alteration, _foreign: Sequence[Record]) -> None:
    to = one.to % len(records)
    records[one.at], records[to] = records[to], records[one.at]


def _neighbours(records: Records, one: Alteration, _foreign: Sequence[Record]) -> None:
    """Swap a record with the next one of its topic: the smallest disorder there is."""
    at, topic = one.at, records[one.at].topic
    for to in range(at + 1, len(records)):
        if records[to].topic == topic:
            records[at], records[to] = records[to], records[at]
            return


def _drop(records: Records, one: Alteration, _foreign: Sequence[Record]) -> None:
    del records[one.at]


def _cut(records: Records, one: Alteration, _foreign: Sequence[Record]) -> None:
    """Drop everything from a place on."""
    del records[one.at + 1 :]


def _double(records: Records, one: Alteration, _foreign: Sequence[Record]) -> None:
    records.insert(one.to % (len(records) + 1), records[one.at])


def _splice(records: Records, one: Alteration, foreign: Sequence[Record]) -> None:
    records.insert(one.at, foreign[one.to % len(foreign)])


def _replace(records: Records, one: Alteration, foreign: Sequence[Record]) -> None:
    records[one.at] = foreign[one.to % len(foreign)]


def _parallel(records: Records, one: Alteration, foreign: Sequence[Record]) -> None:
    """Put, for a record, the one that stands at its place elsewhere: in a fork of this history."""
    records[one.at] = foreign[one.at % len(foreign)]


def _astray(records: Records, one: Alteration, _foreign: Sequence[Record]) -> None:
    """Show a record on the topic of another."""
    records[one.at] = Record(records[one.to % len(records)].topic, records[one.at].value)


def _join(records: Records, one: Alteration, foreign: Sequence[Record]) -> None:
    """Put the beginning of a record before the rest of another."""
    topic, value = records[one.at]
    other = [*records, *foreign][one.to % (len(records) + len(foreign))].value
    cut = one.byte % (len(value) + 1)
    records[one.at] = Record(topic, value[:cut] + other[cut:])


def _graft(records: Records, one: Alteration, foreign: Sequence[Record]) -> None:
    """Give a well-formed record one field of another of its kind."""
    topic, value = records[one.at]
    others = [one for one in (*records, *foreign) if _kind(one.value) == _kind(value)]
    if _kind(value) is None or not others:
        return
    table = decode(value)
    other = decode(others[one.to % len(others)].value)
    field = sorted(table)[one.byte % len(table)]
    table[field] = other.get(field, table[field])
    records[one.at] = Record(topic, encode(table))


def _kind(value: bytes) -> object:
    try:
        return decode(value).get(0)
    except EncodingRefused:
        return None


KINDS: Final[Mapping[str, Callable[[Records, Alteration, Sequence[Record]], None]]] = {
    "flip": _flip,
    "swap": _swap,
    "neighbours": _neighbours,
    "drop": _drop,
    "cut": _cut,
    "double": _double,
    "splice": _splice,
    "replace": _replace,
    "parallel": _parallel,
    "astray": _astray,
    "join": _join,
    "graft": _graft,
}


def alterations(*kinds: str, most: int = 6) -> st.SearchStrategy[list[Alteration]]:
    """Return a strategy for alterations of some kinds, or of every kind."""
    places = st.integers(0, MANY)
    kind, mask = st.sampled_from(kinds or sorted(KINDS)), st.integers(1, 255)
    one = st.builds(Alteration, kind, places, places, places, mask)
    return st.lists(one, max_size=most)


def altered(
    records: Sequence[Record], changes: Sequence[Alteration], foreign: Sequence[Record]
) -> Records:
    """Return the records behind every change."""
    made = list(records)
    for one in changes:
        if made:
            placed = Alteration(one.kind, one.at % len(made), one.to, one.byte, one.mask)
            KINDS[one.kind](made, placed, foreign)
    return made


def without_its_tag(key: bytes, counter: int, sealed: bytes, _associated: bytes) -> bytes:
    """Decrypt AES-GCM as the counter mode that it is, and look at no tag."""
    start = counter.to_bytes(12, "big") + (2).to_bytes(4, "big")
    opened = Cipher(algorithms.AES256(key), modes.CTR(start)).decryptor()
    return opened.update(sealed[:-16]) + opened.finalize()


def searching(examples: int, test: Callable[[], None]) -> Callable[[], None]:
    """Return a property that is tried on the same examples each time, to its first failure."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        report_multiple_bugs=False,
    )(test)
