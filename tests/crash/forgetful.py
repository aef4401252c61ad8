"""``python -m tests.crash.forgetful HOW publish ...``: ``chiron`` that goes on where it should not.

The controls of the tests of killed publishers. HOW: ``from-the-start`` ignores the resume token,
``one-back`` and ``one-on`` begin a shard too early or too late, and ``doubled`` keeps every count
and sends the rows of the shard before instead of the first one's own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final
from unittest.mock import patch

from chiron_stream.cli.main import main
from chiron_stream.clients import owner
from chiron_stream.clients.publication import Publication
from tests.crash.senders import ROWS_PER_SHARD

BEGINS: Final[dict[str, Callable[[int], int]]] = {
    "from-the-start": lambda _row: 0,
    "one-back": lambda row: row - ROWS_PER_SHARD,
    "one-on": lambda row: row + ROWS_PER_SHARD,
    "doubled": lambda row: row,
}


class Forgetful(Publication):
    """A publication that goes on elsewhere than behind the last accepted row."""

    how = sys.argv[1]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._first = self._session.accept.next_number
        self.resumed_at = BEGINS[self.how](self.resumed_at)

    def _sealed(self, number: int, start: int, stop: int) -> list[bytes]:
        back = ROWS_PER_SHARD if self.how == "doubled" and number == self._first else 0
        return super()._sealed(number, start - back, stop - back)


if __name__ == "__main__":
    with patch.object(owner, "Publication", Forgetful):
        sys.exit(main(sys.argv[2:]))
