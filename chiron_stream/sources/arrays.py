"""NumPy's ``.npz``: an array for each column, read in step, some rows at a time.

An array of two or more dimensions in Fortran order has its rows apart, and is read whole.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from chiron_stream.errors import ChironError, SchemaMismatch

if TYPE_CHECKING:
    from chiron_stream.sources.files import Source

BATCH_BYTES: Final = 4 * 1024 * 1024
"""Bytes of a batch, or one row more."""

_EXPECTED: Final = ".npz of plain arrays"
_HEADERS: Final = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}

Array = npt.NDArray[Any]


class ArrayTable:
    """The rows of an ``.npz`` source."""

    unread = ()

    def __init__(self, source: Source) -> None:
        self._source = source

    def __iter__(self) -> Iterator[dict[str, Array]]:
        """Yield columns of rows.

        :raises SchemaMismatch: arrays of different lengths.
        :raises UsageRefused: it is no ``.npz``, or has arrays of objects.
        """
        try:
            with ExitStack() as stack:
                file = stack.enter_context(self._source.open())
                archive = stack.enter_context(zipfile.ZipFile(file))
                yield from self._batches(archive, stack)
        except ChironError:
            raise
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise self._source.unreadable(_EXPECTED, type(error).__name__) from error

    def _batches(self, archive: zipfile.ZipFile, stack: ExitStack) -> Iterator[dict[str, Array]]:
        columns = {
            name.removesuffix(".npy"): _Column(stack.enter_context(archive.open(name)))
            for name in archive.namelist()
        }
        counts = {name: one.rows for name, one in columns.items()}
        rows = next(iter(counts.values()), 0)
        if other := [name for name, count in counts.items() if count != rows]:
            raise SchemaMismatch(
                f"column {other[0]!r}: another number of rows than the columns before",
                expected=str(rows),
                got=str(counts[other[0]]),
            )
        size = max(1, BATCH_BYTES // max(1, sum(one.row_bytes for one in columns.values())))
        for first in range(0, rows, size):
            count = min(size, rows - first)
            yield {name: one.take(count) for name, one in columns.items()}


class _Column:
    """One array of the archive, read from its first row on.

    :raises ValueError: it is no array, has no rows, or holds objects.
    """

    def __init__(self, member: IO[bytes]) -> None:
        self._member = member
        shape, fortran, self._dtype = _header(member)
        self.rows, self._shape = shape[0], shape[1:]
        self.row_bytes = self._dtype.itemsize * int(np.prod(self._shape, dtype=np.int64))
        self._whole = self._transposed(shape) if fortran and self._shape else None
        self._at = 0

    def _transposed(self, shape: tuple[int, ...]) -> Array:
        flat = np.frombuffer(self._bytes(self.rows), self._dtype)
        return flat.reshape(shape[::-1]).transpose()

    def take(self, count: int) -> Array:
        """Return the next rows."""
        self._at += count
        if self._whole is not None:
            return self._whole[self._at - count : self._at]
        flat = np.frombuffer(self._bytes(count), self._dtype)
        return flat.reshape(count, *self._shape)

    def _bytes(self, rows: int) -> bytes:
        wanted = rows * self.row_bytes
        found = self._member.read(wanted)
        if len(found) != wanted:
            raise EOFError("an array is cut off")
        return found


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(member)
    if version not in _HEADERS:
        raise ValueError("an array of another version")
    shape, fortran, dtype = _HEADERS[version](member)
    if dtype.hasobject or not shape or not dtype.itemsize:
        raise ValueError("objects, or an array without rows")
    return shape, fortran, dtype
