"""``python -m tests.faults.forgetful_answers HOW bridge ...``: answers and offsets that differ.

The controls of the tests of killed bridges. HOW: ``from-the-start`` does not believe the group's
offsets, as a bridge without transactions cannot; ``ahead`` commits what it has not answered yet,
and dies.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from unittest.mock import patch

from chiron_stream.bridge.outlet import Outlet
from chiron_stream.broker.records import Outgoing
from chiron_stream.cli.main import main

HOW = sys.argv[1]


class Forgetful(Outlet):
    """An outlet whose offsets say something else than its answers."""

    def open(self) -> int | None:
        found = super().open()
        return None if HOW == "from-the-start" else found

    def write(self, records: Sequence[Outgoing], behind: int) -> None:
        if HOW == "from-the-start":
            return super().write(records, behind)
        super().write(records, self._broker.watermarks(self._place).high)
        os._exit(1)


if __name__ == "__main__":
    with patch("chiron_stream.bridge.answering.Outlet", Forgetful):
        sys.exit(main(sys.argv[2:]))
