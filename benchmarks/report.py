"""Rows: figures with the load and versions of their run, as JSON and as a table."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.bench import Bench, Figure, Stage
from benchmarks.intervals import Intervals
from chiron_stream.broker.local import distribution


@dataclass(frozen=True)
class Row:
    """One row of the report.

    :param intervals: of 95 %, where the bench has them.
    :param load: the machine's load average over a minute, when its bench began and when it ended.
    """

    name: str
    ours: float | None
    baseline: float | None
    ratio: float | None
    unit: str
    goal: str | None
    met: bool | None
    intervals: Intervals | None
    load: tuple[float, float]
    versions: dict[str, str]


def run(bench: Bench, stage: Stage) -> list[Row]:
    """Run one bench and return its rows."""
    before = os.getloadavg()[0]
    figures = bench.measure(stage)
    load = before, os.getloadavg()[0]
    return [_row(figure, load, versions_of(bench)) for figure in figures]


def _row(figure: Figure, load: tuple[float, float], versions: dict[str, str]) -> Row:
    return Row(
        name=figure.name,
        ours=figure.ours,
        baseline=figure.baseline,
        ratio=figure.ratio,
        unit=figure.unit,
        goal=None if figure.goal is None else str(figure.goal),
        met=figure.met,
        intervals=figure.intervals,
        load=load,
        versions=versions,
    )


def versions_of(bench: Bench) -> dict[str, str]:
    """Return the versions of everything that took part."""
    return {
        "python": platform.python_version(),
        "kafka broker": distribution.VERSION,
        **{name: version(name) for name in ("kafka-python", *bench.packages)},
    }


def write(rows: Sequence[Row], output: Path) -> None:
    """Write the rows as a list of objects."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


HEADINGS = ("name", "ours", "baseline", "ratio", "95 %", "unit", "goal", "met", "load")
NUMBERS = range(1, 4)


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text, names to the left and figures to the right."""
    lines = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        _number(row.ours),
        _number(row.baseline),
        "-" if row.ratio is None else f"{row.ratio:.2f}",
        "-" if row.intervals is None else "{:.2f}-{:.2f}".format(*row.intervals.ratio),
        row.unit,
        row.goal or "-",
        {None: "-", True: "yes", False: "NO"}[row.met],
        f"{row.load[0]:.1f}-{row.load[1]:.1f}",
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *others = (
        cell.rjust(width) if column in NUMBERS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join((name, *others)).rstrip()
