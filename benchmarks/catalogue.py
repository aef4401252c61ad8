"""All benches, in the order in which they run."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import (
    coordinating,
    cpu,
    faust_workers,
    footprint,
    ingesting,
    interpreter,
    merging,
    publishing,
    querying,
    rounds,
    serving,
    throughput,
    together,
    training,
    transactions,
)
from benchmarks.bench import Bench


def all_benches() -> list[Bench]:
    """Return every bench; the broker's memory comes first, before anything has used it."""
    modules = (
        footprint,
        throughput,
        transactions,
        rounds,
        interpreter,
        merging,
        coordinating,
        training,
        together,
        publishing,
        ingesting,
        querying,
        serving,
        cpu,
        faust_workers,
    )
    return [bench for module in modules for bench in module.benches()]


def select(benches: Sequence[Bench], names: Sequence[str]) -> list[Bench]:
    """Return the benches of these names, or below them: ``seam`` is all of ``seam.*``.

    :raises ValueError: a name fits none; the message names it.
    """
    for name in names:
        if not any(_fits(bench, name) for bench in benches):
            raise ValueError(f"no bench is called {name}; --list shows all")
    if not names:
        return list(benches)
    return [bench for bench in benches if any(_fits(bench, name) for name in names)]


def _fits(bench: Bench, name: str) -> bool:
    return f"{bench.name}.".startswith(f"{name}.")
