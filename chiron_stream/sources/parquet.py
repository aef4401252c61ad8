"""Parquet, by pyarrow: only the columns that the schema names are read, some rows at a time.

pyarrow is an optional dependency: ``pip install 'chiron-stream[parquet]'``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from chiron_stream.errors import ChironError, UsageRefused
from chiron_stream.job.fields import packed_bytes
from chiron_stream.job.schema import Schema

if TYPE_CHECKING:
    from chiron_stream.sources.files import Source

BATCH_BYTES: Final = 4 * 1024 * 1024
"""Packed bytes of a batch, or one row more."""


class ParquetTable:
    """The rows of a Parquet source.

    :param schema: says which columns are read.
    :raises UsageRefused: it is no Parquet, or pyarrow is not installed.
    """

    def __init__(self, source: Source, schema: Schema) -> None:
        self._source = source
        wanted = {column.name for column in schema.columns}
        with self._file() as file:
            names: list[str] = file.schema_arrow.names
        self._names = [name for name in names if name in wanted]
        self.unread = tuple(name for name in names if name not in wanted)
        row = packed_bytes(schema.fields("train"), 2) - packed_bytes(schema.fields("train"), 1)
        self._size = max(1, BATCH_BYTES // row)

    def __iter__(self) -> Iterator[Any]:
        """Yield record batches.

        :raises UsageRefused: it does not read to its end.
        """
        with self._file() as file:
            yield from file.iter_batches(self._size, columns=self._names, use_threads=False)

    @contextmanager
    def _file(self) -> Iterator[Any]:
        arrow, parquet = _pyarrow()
        try:
            with self._source.open() as opened:
                yield parquet.ParquetFile(opened, pre_buffer=False)
        except ChironError:
            raise
        except (arrow.ArrowException, OSError) as error:
            raise self._source.unreadable("a Parquet file", type(error).__name__) from error


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageRefused(
            "reading Parquet needs pyarrow",
            code="PYARROW_MISSING",
            hint="run: pip install 'chiron-stream[parquet]'",
        ) from error
    return pyarrow, pyarrow.parquet
