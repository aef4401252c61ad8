"""What goes into the image of a core: which files, at which path inside, and nothing else.

The image is the same for the three roles. Everything lies below ``chiron/``: ``bin/python3``,
``lib/python3.X`` with a pruned standard library, and below its ``site-packages`` our own modules
and the few distributions that a core imports. Shared libraries of the system lie in ``chiron/lib``.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator, Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Final

from chiron_stream.attestation.measurement import PACKAGES, measured

DISTRIBUTIONS: Final[Mapping[str, str]] = {
    "cffi": "the foreign function module that cryptography's bindings load",
    "cryptography": "X25519, ML-KEM, Ed25519, AEADs, hashes",
    "dcap-qvl": "verifies quotes of other workers",
    "msgpack": "the wire encoding",
    "mpmath": "imported by sympy",
    "numpy": "rows, and tensors as bytes",
    "sympy": "imported by torch's shape functions, which the check of a recipe runs",
    "torch": "checks, trains and runs recipes",
    "typing-extensions": "imported by torch",
}
"""Distributions of others that are trusted, and why: a list that is written, not resolved."""

_ONLY: Final = {"cffi": ("_cffi_backend.", "cffi-"), "sympy": ("sympy/", "sympy-")}
"""Of these distributions only names with such a beginning."""

LEFT_OUT: Final = (
    "numpy/_pyinstaller",
    "numpy/distutils",
    "numpy/f2py",
    "torch/bin",
    "torch/include",
    "torch/share",
    "torch/test",
    "torch/testing/_internal",
    "torch/utils/benchmark",
    "torch/utils/tensorboard",
    "torch/utils/viz",
)
"""Parts of those distributions that no core imports: compilers of C, headers, tests."""

KEPT: Final = (
    "torch/bin/torch_shm_manager",
    "torch/testing/_internal/__init__.py",
    "torch/testing/_internal/common_dtype.py",
    "torch/testing/_internal/logging_tensor.py",
)
"""What torch's import looks for in them; the program is never run: a core has no subprocesses."""

STANDARD_LEFT_OUT: Final = (
    *("curses", "dbm", "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data"),
    *("site-packages", "sqlite3", "test", "tkinter", "turtledemo", "venv", "wsgiref", "xmlrpc"),
)
"""Packages of the standard library that no core imports."""

_EXTENSIONS_LEFT_OUT: Final = (
    *("_crypt", "_ctypes_test", "_curses", "_dbm", "_gdbm", "_sqlite3", "_test", "_tkinter"),
    *("_xxtestfuzz", "audioop", "nis", "ossaudiodev", "readline", "spwd", "syslog", "xxlimited"),
)

GPU: Final = ("libc10_cuda", "libtorch_cuda", "libtorch_nvshmem", "libcaffe2_nvrtc")
"""Beginnings of torch's own GPU libraries; no core uses them."""


def image_files(*, gpu: bool = False) -> dict[str, Path]:
    """Return the files of a core's image, without shared libraries of the system.

    :param gpu: keep the GPU libraries of a torch that does not start without them.
    """
    library = f"chiron/lib/python{sysconfig.get_python_version()}"
    site = f"{library}/site-packages"
    found = {"chiron/bin/python3": Path(sys.executable).resolve()}
    found |= {f"{library}/{name}": path for name, path in standard_files()}
    found |= {f"{site}/{name}": path for name, path in own_files().items()}
    for distribution in DISTRIBUTIONS:
        for name, path in distribution_files(distribution):
            if gpu or not PurePosixPath(name).name.startswith(GPU):
                found[f"{site}/{name}"] = path
    return found


def standard_files() -> Iterator[tuple[str, Path]]:
    """Yield the standard library's sources and extensions that a core may import."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        left_out = inside.parts[0] in STANDARD_LEFT_OUT or path.name.startswith(
            _EXTENSIONS_LEFT_OUT
        )
        source = path.suffix == ".py" and inside.parts[0] != "lib-dynload"
        if not left_out and (source or path.suffix == ".so"):
            yield inside.as_posix(), path


def own_files() -> dict[str, Path]:
    """Return our modules that run in a core: those that a simulated core measures."""
    paths = {}
    for package in PACKAGES:
        spec = find_spec(package)
        for location in (spec and spec.submodule_search_locations) or ():
            for path in Path(location).rglob("*"):
                paths[f"{package}/{path.relative_to(location).as_posix()}"] = path
    return {name: paths[name].resolve() for name in measured(paths)}


def distribution_files(distribution: str) -> Iterator[tuple[str, Path]]:
    """Yield the files of a distribution that run: sources and shared libraries.

    And its METADATA, where dcap-qvl and others look up their own version.
    """
    for file in sorted(metadata.files(distribution) or ()):
        if _runs(file) and file.as_posix().startswith(_ONLY.get(distribution, "")):
            yield file.as_posix(), Path(str(file.locate())).resolve()


def is_library(name: str) -> bool:
    """Tell whether a file name is that of a shared library: ``x.so``, ``x.so.1``."""
    return ".so" in PurePosixPath(name).suffixes


def gpu_build() -> bool:
    """Tell whether the torch that is installed here is linked against GPU libraries."""
    return any(file.name.startswith(GPU) for file in metadata.files("torch") or ())


def _runs(file: metadata.PackagePath) -> bool:
    if ".." in file.parts or "tests" in file.parts:
        return False
    if file.as_posix() in KEPT:
        return True
    if any(file.as_posix().startswith(f"{part}/") for part in LEFT_OUT):
        return False
    version = file.parts[0].endswith(".dist-info") and file.name == "METADATA"
    return version or file.suffix == ".py" or is_library(file.name)
