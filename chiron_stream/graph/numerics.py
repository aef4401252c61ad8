"""What decides the bits besides the recipe: threads, instruction set, denormals, torch itself."""

from __future__ import annotations

from typing import Final

import torch

from chiron_stream.errors import BugFound

_SMALLEST_NORMAL: Final = 1.1754943508222875e-38
_PROBE_ELEMENTS: Final = 1 << 17
"""More than the 32,768 elements that torch gives to one thread at least."""


def configure_numerics(threads: int = 1) -> dict[str, str | int]:
    """Set this process up for training or prediction; return its numerics class.

    Call it once, on the thread that will compute, before that thread computes anything: denormals
    are flushed per thread, threads that OpenMP starts later take it over from the one that starts
    them, and the backward pass runs on the calling thread. Denormals are worth it twice: they slow
    kernels down a hundredfold, which tells an observer about values.

    :returns: ``torch`` (version), ``isa`` (kernels in use), ``threads``.
    :raises BugFound: some thread keeps denormals: it was started before.
    """
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(mode=True)
    flush_denormals()
    if not denormals_are_flushed():
        raise BugFound("denormals are not flushed on every thread", hint="configure first")
    isa = torch.backends.cpu.get_cpu_capability()
    return {"torch": torch.__version__, "isa": isa, "threads": torch.get_num_threads()}


def flush_denormals() -> None:
    """Flush denormals in all that the calling thread computes from now on, in NumPy too.

    A merge needs it as training does: the average of a small number and of one that was flushed may
    be a denormal, which plain PyTorch, set up like a worker, flushes.

    :raises BugFound: this processor cannot.
    """
    if not torch.set_flush_denormal(True):
        raise BugFound("this processor does not flush denormals")


def denormals_are_flushed() -> bool:
    """Return whether the calling thread, and all that it computes with, flush denormals."""
    numbers = torch.full((_PROBE_ELEMENTS,), _SMALLEST_NORMAL)
    return not bool((numbers * 0.5).count_nonzero())
