"""``KEEP=1``: the job comes up again from its log, and stays."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import IO, Final

from chiron_stream.errors import BrokerNotStarted
from chiron_stream.local.directory import JobDirectory
from examples.demo.data import Data
from examples.demo.saying import say

CHIRON: Final = ("-c", "from chiron_stream.cli.main import entry; entry()")
UP: Final = ("--insecure-simulation", "--trainers", "2", "--predictors", "2")

HOW: Final = """\
SIMULATED job demo is up again, from its log, and stays until you end it:
  .venv/bin/chiron status {path}
  .venv/bin/chiron predict --job {path} --insecure-simulation "$(cat {row})"
  .venv/bin/chiron down {path}            # ends it"""


def keep(directory: JobDirectory, data: Data, lock: IO[str]) -> None:
    """Start ``chiron up`` in a session of its own, and return when the job is up.

    :param lock: of the demo's folder; the job holds it on.
    :raises BrokerNotStarted: it is not; its log says why.
    """
    say("KEEP=1: starting the job again, in the background")
    log = directory.run / "up.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(  # noqa: S603  (our own command)
            [sys.executable, *CHIRON, "up", str(directory.path), *UP],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
    assert process.stdout is not None
    if not process.stdout.readline():
        raise BrokerNotStarted("the job did not come up again", hint=f"its log is {log}")
    say(HOW.format(path=directory.path, row=_typed_row(directory, data)))


def _typed_row(directory: JobDirectory, data: Data) -> Path:
    """Write the first test row as a person would type it; return where."""
    path = directory.path / "row.txt"
    path.write_text(f"{data.input}={json.dumps(data.test[data.input][0].tolist())}")
    return path
