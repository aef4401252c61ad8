"""``python -m chiron_stream.simulation DIRECTORY``: run the development quoting service."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from chiron_stream.errors import ChironError
from chiron_stream.simulation.service import serve


def main() -> int:
    """Serve until standard input ends; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m chiron_stream.simulation",
        description="SIMULATED evidence for development: protects nothing. "
        "Ends at the end of standard input, or at SIGTERM.",
    )
    parser.add_argument("directory", type=Path, help="where Authority.create put the keys")
    try:
        serve(parser.parse_args().directory)
    except ChironError as error:
        facts = error.diagnostics()
        sys.stderr.write(f"chiron: error: [{facts.pop('code')}] {facts.pop('message')}\n")
        sys.stderr.writelines(f"chiron: {name}: {text}\n" for name, text in facts.items())
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
