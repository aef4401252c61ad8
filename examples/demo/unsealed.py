"""The control: the same job with sealing switched to identity, on a broker of its own.

``python -m examples.demo.unsealed DATA FOLDER DIRECTORY`` runs it, in a process of its own: nothing
of the demo's own process is switched. ``FOLDER`` is ``-`` where none was named. It ends when its
standard input does. ``… courier ROLE …`` and ``… core ROLE`` are its workers.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from benchmarks import identity

ENTRY: Final = ("-m", "examples.demo.unsealed")
WORKERS: Final = {"coordinator": 1, "trainer": 1, "predictor": 1}
QUERIES: Final = 20
TRAIN_SECONDS: Final = 240.0


def main(arguments: list[str]) -> int:
    """Run the job, or one of its workers' processes."""
    if arguments[0] == "courier":
        from enclave_workers.courier.__main__ import main as courier

        return courier(arguments[1:], (sys.executable, *ENTRY, "core"))
    identity.switch_off()
    identity.switch_off_shards()
    if arguments[0] == "core":
        from enclave_workers.core.__main__ import main as core

        return core(arguments[1:])
    _end_with_parent()
    return _job(*arguments)


def _job(data_name: str, folder: str, path: str) -> int:
    """Run the job until both owners' first day is trained on and some queries are answered."""
    from chiron_stream.local.directory import create
    from chiron_stream.local.running import RunningJob
    from examples.demo.asking import Asker
    from examples.demo.choosing import choose
    from examples.demo.data import FIRST, SECOND
    from examples.demo.options import Options
    from examples.demo.owning import PublishingOwner
    from examples.demo.parties import publish_recipe

    data = choose(Options(data_name, None if folder == "-" else Path(folder)))
    directory = create(Path(path), data.terms("unsealed"))
    with RunningJob(directory, workers=WORKERS, courier=(*ENTRY, "courier")), ExitStack() as stack:
        publish_recipe(directory, data)
        owners = [
            stack.enter_context(closing(PublishingOwner(directory, name, data)))
            for name in (FIRST, SECOND)
        ]
        for owner in owners:
            owner.bring(data.pace.first_day(owner.name))
        for owner in owners:
            owner.publications[0].wait("trained", TRAIN_SECONDS)
        stack.enter_context(closing(Asker(directory, data))).one_by_one(QUERIES)
    return 0


def _end_with_parent() -> None:
    """Stop the job, as Ctrl-C does, when the demo closes the pipe or ends."""
    threading.Thread(target=_await_end, name="end with parent", daemon=True).start()


def _await_end() -> None:
    # Not sys.stdin.read(): a thread inside it crashes an interpreter that is shutting down.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
