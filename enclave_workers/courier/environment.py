"""What a core is started with, and how both keep the memory that they free.

A core gets a few variables by name, and nothing else of its courier's.

The two settings of the C library's allocator are for speed alone. As it comes, glibc gives memory
back to the system whenever much of it is free, between two steps of training for instance, and
takes it again page by page: convolutional models train 3 to 8 % slower
(``docs/decisions/0012-allocator.md``). In an enclave the manifest sets them
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

_LARGE: Final = 31 << 20
"""Bytes of a block that glibc remembers having seen freed."""

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


def keep_freed_memory() -> None:
    """Have this process, a courier, use freed blocks of the size of a frame again, from now on.

    A courier is started by others, with an environment of theirs. But glibc raises its thresholds
    by itself when it sees a large block freed: what is smaller comes from the heap from then on,
    and twice as much may lie free at the heap's end (``M_MMAP_THRESHOLD`` in mallopt(3), where the
    bound is 32 MiB). Without this every record and every frame is mapped anew, and the page faults
    cost more than the copies. Another C library takes no notice.
    """
    bytearray(_LARGE)
