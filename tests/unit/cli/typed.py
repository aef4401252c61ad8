"""``chiron`` in this process: what a command prints, without the seconds that torch takes to load.

Transcripts of the real command are in ``tests/jobs`` and ``tests/kafka``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from chiron_stream.cli.main import main
from tests.jobs.command import clean_environment


def typed(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; modules that it found stay loaded."""
    arguments, out, err = [str(word) for word in words], StringIO(), StringIO()
    with (
        patch.dict(os.environ, clean_environment(), clear=True),
        patch.object(sys, "path", [*sys.path]),
        chdir(cwd or Path.cwd()),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
