"""What commands print: data on standard output, everything else on standard error.

With ``--json`` every line of data is one JSON object, the envelope ``{"v": 1, "kind": …,
"data": {…}}``; an error is the same on standard error, of kind ``error``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Final

from chiron_stream.errors import ChironError

ENVELOPE_VERSION: Final = 1


class Output:
    """Prints for people or for programs.

    :param as_json: JSON lines instead of sentences.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def data(self, kind: str, fields: Mapping[str, object], sentence: str) -> None:
        """Print one piece of data: ``sentence`` for people, the envelope for programs."""
        text = self._envelope(kind, fields) if self._as_json else sentence
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def note(self, sentence: str) -> None:
        """Tell a person what goes on."""
        sys.stderr.write(sentence + "\n")
        sys.stderr.flush()

    def error(self, error: ChironError) -> None:
        """Tell why a command failed: what was expected, what came, what to do."""
        parts = error.diagnostics()
        if self._as_json:
            sys.stderr.write(self._envelope("error", parts) + "\n")
            return
        sys.stderr.write(f"chiron: error: {parts.pop('message')} [{parts.pop('code')}]\n")
        for name, text in parts.items():
            sys.stderr.write(f"chiron: {name}: {text}\n")

    @staticmethod
    def _envelope(kind: str, fields: Mapping[str, object]) -> str:
        return json.dumps({"v": ENVELOPE_VERSION, "kind": kind, "data": dict(fields)})
