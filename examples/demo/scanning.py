"""The operator's eye: all that a broker has on disk, searched for rows.

A row is found where its bytes stand, at any place of any file. So that 60,000 rows are searched for
in one pass, eight bytes of each, where it is most varied, are its key; where a key stands the whole
row is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

KEY: Final = 8
_FILTER_BITS: Final = 20
_MASK: Final = np.uint64((1 << _FILTER_BITS) - 1)
PIECE: Final = 16 * 1024 * 1024
"""Bytes of a file that are searched at a time."""


class Scan:
    """A search for rows.

    :param rows: arrays ``[rows, ...]`` of one shape and dtype; rows that are equal count once.
    """

    def __init__(self, rows: Iterable[npt.NDArray[Any]]) -> None:
        parts = [np.ascontiguousarray(one).reshape(len(one), -1).view(np.uint8) for one in rows]
        self._rows = np.unique(np.concatenate(parts), axis=0)
        self._places = _most_varied(self._rows)
        spans = self._places[:, None] + np.arange(KEY)
        keys = np.take_along_axis(self._rows, spans, axis=1).copy().view("<u8").ravel()
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        self._filter = np.zeros(1 << _FILTER_BITS, bool)
        self._filter[(self._keys & _MASK).astype(np.int64)] = True

    def __len__(self) -> int:
        return len(self._rows)

    def hits(self, folder: Path) -> int:
        """Count the rows that stand in any file below a folder."""
        found: set[int] = set()
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                for piece in _pieces(path, self._rows.shape[1]):
                    found |= self.found(piece)
        return len(found)

    def found(self, data: bytes) -> set[int]:
        """Return which rows, by number, stand in some bytes."""
        found: set[int] = set()
        for shift in range(KEY):
            words = np.frombuffer(data[shift : shift + (len(data) - shift) // KEY * KEY], "<u8")
            likely = np.flatnonzero(self._filter[(words & _MASK).astype(np.int64)])
            first = np.searchsorted(self._keys, words[likely], "left")
            behind = np.searchsorted(self._keys, words[likely], "right")
            for place, start, stop in zip(likely.tolist(), first, behind, strict=True):
                candidates = self._order[start:stop].tolist()
                found |= {one for one in candidates if self._stands(data, one, place * KEY + shift)}
        return found

    def _stands(self, data: bytes, row: int, key_at: int) -> bool:
        start = key_at - int(self._places[row])
        return start >= 0 and data[start : start + self._rows.shape[1]] == self._rows[row].tobytes()


def _most_varied(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return where in each row the eight bytes with the most different values begin."""
    count = rows.shape[1] // KEY
    windows = np.sort(rows[:, : count * KEY].reshape(len(rows), count, KEY), axis=2)
    different = np.count_nonzero(np.diff(windows, axis=2), axis=2)
    found: npt.NDArray[np.int64] = different.argmax(axis=1) * KEY
    return found


def _pieces(path: Path, overlap: int) -> Iterator[bytes]:
    """Yield a file in pieces; whatever is no longer than ``overlap`` is whole in one of them."""
    before = b""
    with path.open("rb") as file:
        while part := file.read(PIECE):
            yield before + part
            before = (before + part)[-overlap:]
