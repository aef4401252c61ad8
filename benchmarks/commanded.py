"""A command of ``chiron`` in a process that tells what it took.

``python -m benchmarks.commanded WORD…`` is ``chiron WORD…``, whose words go to standard error, and
prints what :mod:`benchmarks.peak` tells, as JSON. Importing is not measured, connecting is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from typing import Final

from benchmarks.peak import told
from chiron_stream.cli.main import main as chiron

IMPORTED: Final = {
    "bridge": ("chiron_stream.cli.bridge", "faust"),
    "publish": ("chiron_stream.cli.publish",),
}


def main(words: Sequence[str]) -> dict[str, float]:
    """Run the command.

    :raises SystemExit: with its code, where it fails.
    """
    for name in IMPORTED[words[0]]:
        import_module(name)
    codes: list[int] = []
    with redirect_stdout(sys.stderr):
        took = told(lambda: codes.append(chiron(words)))
    if codes != [0]:
        sys.exit(codes[0])
    return took


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
