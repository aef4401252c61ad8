"""Measuring a core from outside it: what a simulated job's policy names for each role.

``enclave_workers.core.tee.files`` is the same thing on the other side of the boundary; a test
holds the two together. Packages are found, not imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from chiron_stream.attestation.measurement import PACKAGES, measure, measured
from chiron_stream.errors import BugFound


def core_measurement(role: str, packages: Mapping[str, Path] | None = None) -> bytes:
    """Return the measurement of the core that would run here as a role.

    :param packages: directory of each package; without it, those that Python would import.
    :raises BugFound: a package or a file of the core is missing.
    """
    return measure(role, core_files(packages))


def core_files(packages: Mapping[str, Path] | None = None) -> dict[str, bytes]:
    """Return the files that run in a core, by names such as ``enclave_workers/core/loop.py``."""
    found = packages or {package: _directory(package) for package in PACKAGES}
    paths = {
        f"{package}/{path.relative_to(directory).as_posix()}": path
        for package, directory in found.items()
        for path in directory.rglob("*")
    }
    return {name: paths[name].read_bytes() for name in measured(paths)}


def _directory(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise BugFound("a core cannot be measured", expected=f"the package {package}")
    return Path(spec.submodule_search_locations[0])
