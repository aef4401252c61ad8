"""The operator's eye on the job, and the control: the same search where sealing is identity."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from chiron_stream.errors import ChironError
from chiron_stream.local.directory import JobDirectory
from examples.demo.data import FIRST, SECOND, Data
from examples.demo.options import Options
from examples.demo.saying import Facts, say
from examples.demo.scanning import Scan
from examples.demo.unsealed import ENTRY, QUERIES

CONTROL_SECONDS: Final = 300.0
STOP_SECONDS: Final = 60.0


class ControlFailed(ChironError):
    """The control job did not come to its end."""

    default_code = "CONTROL_FAILED"


def look(directory: JobDirectory, data: Data, facts: Facts) -> None:
    """Search the files of the job's broker, which has stopped, for all rows."""
    scan = Scan([data.train[data.input], data.test[data.input], *_days(data)])
    facts |= {"rows_searched": len(scan), "operator_hits": scan.hits(directory.broker)}
    say(
        f"the operator's eye: {facts['operator_hits']} of {len(scan)} rows found "
        f"in the {_size(directory.broker)} MB that the broker has on disk"
    )


def look_at_control(path: Path, options: Options, data: Data, facts: Facts) -> None:
    """Run the same job with sealing as identity, and search its broker for the same rows."""
    say("control: the same job with sealing switched to identity")
    shutil.rmtree(path, ignore_errors=True)
    run_unsealed(path, options, data)
    scan = Scan([data.train[data.input], data.test[data.input], *_days(data)])
    expected = Scan([*_days(data), data.test[data.input][:QUERIES]])
    broker = JobDirectory(path).broker
    facts |= {"control_hits": scan.hits(broker), "control_rows": len(expected)}
    say(
        f"control: the same search finds {facts['control_hits']} rows, "
        f"of {facts['control_rows']} that were published or asked about"
    )


def run_unsealed(path: Path, options: Options, data: Data) -> None:
    """Run the control job in a process of its own, which ends with this one.

    :raises ControlFailed: it did not come to its end.
    """
    command = [sys.executable, *ENTRY, data.name, str(options.folder or "-"), str(path)]
    log = path.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  (our own module)
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        code = process.wait(CONTROL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ControlFailed("the control takes too long", hint=f"its log is {log}") from error
    finally:
        _end(process)
    if code:
        raise ControlFailed("the control ended", got=f"exit code {code}", hint=f"its log is {log}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close its pipe, which stops its job, and wait for it."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    finally:
        process.kill()
        process.wait()


def _days(data: Data) -> list[npt.NDArray[Any]]:
    return [data.day(owner, data.pace.first_day(owner))[data.input] for owner in (FIRST, SECOND)]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) // 1_000_000
