"""``python -m tests.crash.forgetful HOW publish ...``: ``chiron`` that goes on where it should not.

The controls of the tests of killed publishers. HOW: ``from-the-start`` ignores the resume token,
``one-back`` and ``one-on`` begin a shard too early or too late, and ``doubled`` keeps every count
and sends the rows of the shard before instead of the first one's own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final
from unittest.mock import patch

from chiron_stream.cli.main import main
from chiron_stream.clients import owner
from chiron_stream.clients.windows import RowWindows, Window, row_of, row_token
from chiron_stream.wire.replies import Accept
from tests.crash.senders import ROWS_PER_SHARD

BEGINS: Final[dict[str, Callable[[int], int]]] = {
    "from-the-start": lambda _row: 0,
    "one-back": lambda row: row - ROWS_PER_SHARD,
    "one-on": lambda row: row + ROWS_PER_SHARD,
    "doubled": lambda row: row,
}


class Forgetful(RowWindows):
    """Windows that go on elsewhere than behind the last accepted row."""

    how = sys.argv[1]

    def shards(self, accept: Accept) -> Iterator[tuple[int, Window]]:
        """Yield other shards than those to send."""
        row = BEGINS[self.how](row_of(accept.token))
        for number, window in super().shards(replace(accept, token=row_token(row))):
            doubled = self.how == "doubled" and number == accept.next_number
            yield number, self._before(window) if doubled else window

    def _before(self, window: Window) -> Window:
        before = row_token(window.start - ROWS_PER_SHARD), row_token(window.stop - ROWS_PER_SHARD)
        return replace(window, columns=self.again(*before).columns)


if __name__ == "__main__":
    with patch.object(owner, "RowWindows", Forgetful):
        sys.exit(main(sys.argv[2:]))
