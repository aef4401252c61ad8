"""From a record's bytes to a row, or to the reason why it is none.

What does not decode, or is no new row, is poison: it is counted by its reason, and the rest goes
on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from importlib import import_module
from typing import Any, Final

import msgpack

from chiron_stream.broker.records import Record
from chiron_stream.errors import UsageRefused

Row = Mapping[str, Any]
Reading = Callable[[Record], Row]
"""From a record to its row; raises :class:`Poison`."""

Decoder = Callable[[bytes], Row]
"""From the bytes of a value to a row; any :class:`Exception` says that it is none."""


class Reason(StrEnum):
    """Why a record of the source is no row."""

    TOMBSTONE = "tombstone"
    """It has no value."""
    UNDECODABLE = "undecodable"
    """Its decoder refused it."""
    NO_ROW = "no-row"
    """It decodes to something that has no named values."""
    UPDATE = "update"
    """A change of a row that may have been trained on: nothing can be taken back."""
    DELETE = "delete"
    """The same of a row that is deleted."""
    OPERATION = "operation"
    """An envelope of another operation: a truncation, a message, one that is not known."""
    SCHEMA = "schema"
    """The job's schema refuses the row."""
    PREDICTOR = "predictor"
    """It was asked about, and the predictor refused it."""
    SIZE = "size"
    """It is larger than the policy's queries."""


class Poison(Exception):
    """A record that is no row, for a reason.

    :param detail: a sentence of names, never of values.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.detail = detail


def read_json(value: bytes) -> Row:
    """Return the object that a JSON text is."""
    return json.loads(value)  # type: ignore[no-any-return]


def read_msgpack(value: bytes) -> Row:
    """Return the map that a MessagePack value is."""
    return msgpack.unpackb(value, raw=False, strict_map_key=True)  # type: ignore[no-any-return]


FORMATS: Final[Mapping[str, Decoder]] = {"json": read_json, "msgpack": read_msgpack}


def decoder(word: str) -> Decoder:
    """Return the decoder of a name: ``json``, ``msgpack``, or ``module:function`` of one's own.

    :raises UsageRefused: there is no such function.
    """
    if word in FORMATS:
        return FORMATS[word]
    module, colon, name = word.partition(":")
    try:
        found = getattr(import_module(module), name) if colon else None
    except (ImportError, AttributeError) as error:
        raise UsageRefused(f"there is no decoder {word}", got=str(error)) from error
    if not callable(found):
        raise UsageRefused(
            f"there is no decoder {word}", expected=f"{', '.join(FORMATS)}, or module:function"
        )
    return found  # type: ignore[no-any-return]


def plain(decoded: Any) -> Row:
    """Return a decoded value that is a row.

    :raises Poison: it is none.
    """
    if not isinstance(decoded, Mapping):
        raise Poison(Reason.NO_ROW, f"a {type(decoded).__name__}")
    return decoded


_INSERTS: Final = ("c", "r")
_REFUSED: Final = {"u": Reason.UPDATE, "d": Reason.DELETE}


def debezium(decoded: Any) -> Row:
    """Return the row of a Debezium envelope, with its schema or without: a create or a read.

    :raises Poison: an update, a delete, something else, or no envelope.
    """
    envelope = plain(decoded)
    inner = envelope.get("payload", envelope)
    if not isinstance(inner, Mapping) or "op" not in inner:
        raise Poison(Reason.NO_ROW, "no envelope of Debezium")
    operation = inner["op"]
    if operation not in _INSERTS:
        known = operation if isinstance(operation, str) else ""
        raise Poison(_REFUSED.get(known, Reason.OPERATION), "an envelope that adds no row")
    return plain(inner.get("after"))


ENVELOPES: Final[Mapping[str, Callable[[Any], Row]]] = {"none": plain, "debezium": debezium}


class RowReader:
    """Reads rows from values.

    :param decode: from bytes to what an envelope, or a row, is.
    :param envelope: one of :data:`ENVELOPES`.
    :param fields: for a column of the schema, the field of the source that it is, where the names
        differ.
    """

    def __init__(self, decode: Decoder, envelope: str, fields: Mapping[str, str]) -> None:
        self._decode = decode
        self._open = ENVELOPES[envelope]
        self._fields = dict(fields)

    def of(self, record: Record) -> Row:
        """Return the row of a record, as :meth:`row`."""
        return self.row(record.value)

    def row(self, value: bytes) -> Row:
        """Return the row of a value.

        :raises Poison: it has none.
        """
        if not value:
            raise Poison(Reason.TOMBSTONE)
        try:
            decoded = self._decode(value)
        except Exception as error:  # noqa: BLE001  (a decoder of the user's says so by any)
            raise Poison(Reason.UNDECODABLE, type(error).__name__) from None
        row = self._open(decoded)
        if not self._fields:
            return row
        taken = set(self._fields.values())
        kept = {name: one for name, one in row.items() if name not in taken}
        return kept | {name: row[one] for name, one in self._fields.items() if one in row}
