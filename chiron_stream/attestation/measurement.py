"""The measurement of a simulated core: a hash over its role and the files that run in it.

Pure: which files count, and their hash. They are read by two thin readers, one on each side of a
boundary that no import crosses: ``chiron_stream.simulation.files`` (the command line, to name
measurements in a job) and ``enclave_workers.core.tee.files`` (the core, to say what it is).

In SGX the hardware measures instead, and nothing here is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from chiron_stream.errors import BugFound
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import sha256

PACKAGES: Final = ("chiron_stream", "enclave_workers")
"""The packages whose files are named ``package/path/in/it``."""

TREES: Final = (
    "chiron_stream/attestation/",
    "chiron_stream/graph/",
    "chiron_stream/job/",
    "chiron_stream/wire/",
    "enclave_workers/core/",
)
"""Every Python file below these runs in a core, or may."""

LOCK: Final = "enclave_workers/core/requirements.txt"
"""The lock file: stands for the packages of others that are installed beside the core."""

FILES: Final = (
    "chiron_stream/__init__.py",
    "chiron_stream/errors.py",
    "enclave_workers/__init__.py",
    LOCK,
)
"""Single files that count, and without which there is no core."""


def measured(names: Iterable[str]) -> list[str]:
    """Return those names of files, relative and with slashes, that are part of a core, in order.

    :raises BugFound: a file is not there that every core has.
    """
    chosen = sorted(
        name for name in names if name in FILES or (name.endswith(".py") and name.startswith(TREES))
    )
    missing = sorted(set(FILES) - set(chosen))
    if missing:
        raise BugFound("a core cannot be measured", expected=f"the file {missing[0]}")
    return chosen


def measure(role: str, files: Mapping[str, bytes]) -> bytes:
    """Return SHA-256 over role, names and contents, each behind its length, in order of names."""
    parts = [part for name in sorted(files) for part in (name.encode(), files[name])]
    return sha256(labels.MEASUREMENT, role.encode(), *parts)
