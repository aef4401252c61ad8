"""Shared libraries of the system that the files of an image are linked against."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from deploy.gramine.contents import GPU, is_library

RUNTIME: Final = (
    *("ld-linux-x86-64.so.2", "libanl.so.1", "libc.so.6", "libdl.so.2", "libm.so.6"),
    *("libmvec.so.1", "libpthread.so.0", "libresolv.so.2", "librt.so.1", "libutil.so.1"),
)
"""The C library: Gramine brings its own, which is mounted at ``/lib``."""


def with_libraries(files: Mapping[str, Path], *, gpu: bool = False) -> dict[str, Path]:
    """Return the files of an image and the libraries that they need, in ``chiron/lib``.

    :param gpu: follow links into the GPU libraries beside torch as well.
    """
    linked = [path for name, path in files.items() if is_library(name) or "/bin/" in name]
    there = set(files.values())
    found = dict(files)
    for name, path in sorted(needed(linked).items()):
        wanted = gpu or not ("nvidia" in path.parts or name.startswith(GPU))
        if name not in RUNTIME and path not in there and wanted:
            found[f"chiron/lib/{name}"] = path
    return found


def needed(binaries: Iterable[Path]) -> dict[str, Path]:
    """Return the libraries, by the names that the loader looks for, that binaries need.

    ``ldd`` runs the loader, not the binaries' own code. What it does not find is left out: an
    image that lacks something does not start.
    """
    shown = subprocess.run(  # noqa: S603  (files that are installed here)
        ["ldd", *map(str, binaries)],  # noqa: S607  (the system's)
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = {}
    for line in shown.splitlines():
        name, arrow, rest = line.strip().partition(" => ")
        if arrow and rest.startswith("/"):
            found[name] = Path(rest.rpartition(" (")[0]).resolve()
    return found
