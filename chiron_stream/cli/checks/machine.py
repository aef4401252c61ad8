"""The machine: Python, the packages of each party, what a local broker needs."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from chiron_stream.broker.local.distribution import is_fetched, java, maven
from chiron_stream.cli.checks.finding import Finding, State, ok, warn
from chiron_stream.errors import BrokerNotStarted

LEAST_PYTHON: Final = (3, 11)
LEAST_JAVA: Final = 17
NEEDED: Final = ("crc32c", "cryptography", "dcap-qvl", "kafka-python", "msgpack", "numpy")
"""What every party needs; versions are the package manager's business."""

JAVA_SECONDS: Final = 20.0
_JAVA: Final = re.compile(r'version "(?:1\.)?(\d+)[^"]*"')


def machine(cache: Path) -> Iterator[Finding]:
    """Yield what there is to say of this machine.

    :param cache: where Kafka's jars are kept.
    """
    yield python(sys.version_info[:2])
    yield packages(NEEDED)
    yield torch()
    yield java_found()
    yield jars(cache)


def python(found: tuple[int, ...]) -> Finding:
    """Say whether the interpreter is new enough."""
    if found >= LEAST_PYTHON:
        return ok("python", f"{platform.python_version()}, {sys.executable}")
    least = ".".join(map(str, LEAST_PYTHON))
    said = f"{'.'.join(map(str, found))} is too old"
    return Finding("python", State.FAIL, said, f"install Python {least} or later")


def packages(names: tuple[str, ...]) -> Finding:
    """Say which versions there are of what every party needs."""
    found = {name: _version(name) for name in names}
    if missing := [name for name, one in found.items() if one is None]:
        said = f"not installed: {', '.join(missing)}"
        return Finding("packages", State.FAIL, said, "install requirements/base.txt again")
    return ok("packages", ", ".join(f"{name} {one}" for name, one in found.items()))


def torch() -> Finding:
    """Say which torch there is; owners and clients need none."""
    found = _version("torch")
    if found is None:
        hint = "providers and workers: install requirements/worker.txt"
        return warn("torch", "not installed", hint)
    return ok("torch", found)


def java_found() -> Finding:
    """Say which Java there is; only a local broker needs one."""
    try:
        path = java()
    except BrokerNotStarted as error:
        return _local_only("java", error.message, error.hint)
    number = _JAVA.search(_java_says(path))
    if number is None or int(number[1]) < LEAST_JAVA:
        said = f"{number[1] if number else 'no version'} at {path}"
        return _local_only("java", said, f"install Java {LEAST_JAVA} or later")
    return ok("java", f"{number[1]} at {path}")


def _java_says(path: str) -> str:
    """Return what Java prints of its version; nothing if it does not in time."""
    try:
        shown = subprocess.run(  # noqa: S603  (java, found on the PATH)
            [path, "-version"], capture_output=True, text=True, timeout=JAVA_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    return shown.stderr


def jars(cache: Path) -> Finding:
    """Say whether Kafka's jars are here, or Maven to fetch them."""
    if is_fetched(cache):
        return ok("kafka's jars", f"in {cache}")
    try:
        return ok("maven", f"{maven()}; it will fetch Apache Kafka once")
    except BrokerNotStarted as error:
        return _local_only("maven", error.message, error.hint)


def _local_only(name: str, said: str, hint: str | None) -> Finding:
    return warn(name, f"{said} (only a local broker needs it)", hint or "")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
