"""Measuring this core from inside it; ``chiron_stream.simulation.files`` is its twin outside.

A simulated core says of itself what it is, and nobody checks: only hardware can.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from chiron_stream.attestation.measurement import PACKAGES, measure, measured
from chiron_stream.errors import BugFound


def own_measurement(role: str, packages: Mapping[str, Path] | None = None) -> bytes:
    """Return the measurement of the core that runs here as a role.

    :param packages: directory of each package; without it, those that were imported.
    :raises BugFound: a package or a file of the core is missing.
    """
    found = packages or {package: _directory(package) for package in PACKAGES}
    paths = {
        f"{package}/{path.relative_to(directory).as_posix()}": path
        for package, directory in found.items()
        for path in directory.rglob("*")
    }
    return measure(role, {name: paths[name].read_bytes() for name in measured(paths)})


def _directory(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise BugFound("a core cannot be measured", expected=f"the package {package}")
    return Path(spec.submodule_search_locations[0])
