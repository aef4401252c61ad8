"""``python -m tests.faults.forgetful_bridge HOW bridge ...``: a bridge that goes on elsewhere.

The controls of the tests of killed bridges. HOW: ``from-the-start`` ignores the resume token, and
``from-the-end`` begins at what comes next, as a consumer without committed offsets might.
"""

from __future__ import annotations

import sys
from unittest.mock import patch

from chiron_stream.bridge.ingest import Bridge
from chiron_stream.bridge.positions import Position
from chiron_stream.cli.main import main

HOW = sys.argv[1]


class Forgetful(Bridge):
    """A bridge for which the token says how many rows there are, and nothing else."""

    def _position(self, token: bytes) -> Position:
        right = super()._position(token)
        if HOW == "from-the-start":
            return Position(right.rows, self._source.beginning().offsets)
        return Position(right.rows, self._source.ends())


if __name__ == "__main__":
    with patch("chiron_stream.cli.bridge_rows.Bridge", Forgetful):
        sys.exit(main(sys.argv[2:]))
