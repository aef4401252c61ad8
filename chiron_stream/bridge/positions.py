"""Where a bridge is in its source: the resume token of a shard, 256 bytes at most.

A token is ``"B1" ‖ rows ‖ partitions ‖ (number ‖ offset)… ‖ begins (0 or 1) ‖ distance…``, every
number as a varint (seven bits a byte, the lowest first, the high bit set on all but the last):

* rows of the data set behind the shard;
* for each partition of the source, in ascending order: how much higher its number is than the one
  before it, and the offset of the first record that is in no shard yet;
* in the first shard alone, 1 and for each partition how far before that offset the bridge began.

So a shard is what its token and the one before it say: records of these offsets, in the order of
partition and offset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from chiron_stream.errors import PolicyRefused, UsageRefused
from chiron_stream.wire.control import TOKEN_LIMIT

_MAGIC: Final = b"B1"
_MOST: Final = 2**63


@dataclass(frozen=True)
class Position:
    """So many rows of a data set, and the offset behind them in each partition of the source.

    ``begins`` has the offsets at which the first shard begins, in its token alone.
    """

    rows: int
    offsets: Mapping[int, int]
    begins: Mapping[int, int] | None = None

    def pack(self) -> bytes:
        """Return the resume token.

        :raises UsageRefused: the source has too many partitions for one; code ``TOKEN_SIZE``.
        """
        parts = [_MAGIC, _varint(self.rows), _varint(len(self.offsets))]
        before = 0
        for number in sorted(self.offsets):
            parts += [_varint(number - before), _varint(self.offsets[number])]
            before = number
        begins = self.begins
        parts.append(_varint(0 if begins is None else 1))
        if begins is not None:
            parts += [
                _varint(offset - begins[number]) for number, offset in sorted(self.offsets.items())
            ]
        token = b"".join(parts)
        if len(token) > TOKEN_LIMIT:
            raise UsageRefused(
                "the source has too many partitions for one data set",
                code="TOKEN_SIZE",
                expected=f"a resume token of at most {TOKEN_LIMIT} bytes",
                got=f"{len(token)} bytes for {len(self.offsets)} partitions",
                hint="run several bridges with --partitions, each into a data set of its own",
            )
        return token

    @classmethod
    def unpack(cls, token: bytes) -> Position:
        """Return the position of a token that a bridge wrote.

        :raises PolicyRefused: the token of another kind of publisher; code ``TOKEN``.
        """
        if not token.startswith(_MAGIC):
            raise _another(token)
        numbers = list(_numbers(token))
        if len(numbers) < 3:
            raise _another(token)
        rows, count = numbers[:2]
        pairs, rest = numbers[2 : 2 + 2 * count], numbers[2 + 2 * count :]
        if len(pairs) != 2 * count or len(rest) != (1 + count if rest[:1] == [1] else 1):
            raise _another(token)
        places, place = [], 0
        for step in pairs[::2]:
            place += step
            places.append(place)
        offsets = dict(zip(places, pairs[1::2], strict=True))
        if not rest[0]:
            return cls(rows, offsets)
        back = zip(offsets.items(), rest[1:], strict=True)
        begins = {number: offset - distance for (number, offset), distance in back}
        if min(begins.values(), default=0) < 0:
            raise _another(token)
        return cls(rows, offsets, begins)

    @property
    def room(self) -> Position:
        """A position that a bridge does not reach in its life, for a look whether tokens fit."""
        ahead = {number: offset + 2**32 for number, offset in self.offsets.items()}
        return Position(2**40, ahead, self.offsets)

    @property
    def start(self) -> Position | None:
        """Where the bridge began, if this stands behind the first shard."""
        return None if self.begins is None else Position(0, self.begins)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _numbers(token: bytes) -> Iterator[int]:
    number, shift = 0, 0
    for byte in token[len(_MAGIC) :]:
        number |= (byte & 0x7F) << shift
        shift += 7
        if number >= _MOST:
            raise _another(token)
        if not byte & 0x80:
            yield number
            number, shift = 0, 0
    if shift:
        raise _another(token)


def _another(token: bytes) -> PolicyRefused:
    return PolicyRefused(
        "the data set was published by another kind of publisher",
        code="TOKEN",
        expected="a resume token of a bridge",
        got=f"{len(token)} bytes",
        hint="bridge into another data set",
    )
