"""What a core is started with: a few variables by name, and nothing else of its courier's.

The two settings of the C library's allocator are for speed alone. As it comes, glibc gives memory
back to the system whenever much of it is free, between two steps of training for instance, and
takes it again page by page: convolutional models train 5 to 12 % slower
(``docs/decisions/0015-allocator.md``). In an enclave the manifest sets them
(``deploy/gramine/core.manifest.template``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ALLOCATOR: Final[Mapping[str, str]] = {
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
}
"""Bytes. Freed memory is kept for the next step, unless 4 GiB of it lie at the heap's end; what is
smaller than 1 GiB is taken from the heap and not mapped by itself."""

KEPT: Final = ("PATH", "HOME", "LANG")
"""What Python needs."""

_NUMERIC: Final = "OPENBLAS_"
"""Beginning of what decides which kernels numpy computes with."""


def core_environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a core, without its courier's port.

    :param own: the courier's environment.
    """
    kept = {name: own[name] for name in own if name in KEPT or name.startswith(_NUMERIC)}
    return {**kept, **ALLOCATOR}
