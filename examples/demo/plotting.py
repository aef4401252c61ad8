"""The picture: accuracy on each owner's classes over the rounds, and what happened when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from examples.demo.accuracy import Accuracy
from examples.demo.asking import Asked

Curve = tuple[list[int], list[float]]
"""Rounds, and the accuracy at each."""

ENOUGH: Final = 10
"""Answers on an owner's classes that a point needs."""

COLOURS: Final = {"A's classes": "tab:blue", "B's classes": "tab:orange"}


def curve(accuracy: Accuracy, answers: Sequence[Asked], *, first: bool) -> Curve:
    """Return the accuracy at each version that gave enough answers on an owner's classes."""
    by_version: dict[int, list[Asked]] = {}
    for one in answers:
        by_version.setdefault(one.version, []).append(one)
    rounds, values = [], []
    for version in sorted(by_version):
        found = by_version[version]
        value = accuracy.of(found, first=first)
        if value is not None and accuracy.count(found, first=first) >= ENOUGH:
            rounds.append(version)
            values.append(value)
    return rounds, values


def draw(
    path: Path, curves: Mapping[str, Curve], events: Mapping[str, int], baseline: float
) -> None:
    """Write the picture.

    :param curves: by name.
    :param events: rounds by what happened in them.
    :param baseline: accuracy of the simple baseline, over all classes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, (rounds, values) in curves.items():
        axes.plot(rounds, values, label=name, color=COLOURS[name])
    axes.axhline(baseline, linestyle=":", color="grey", label="logistic regression, all classes")
    for said, number in events.items():
        axes.axvline(number, linestyle="--", linewidth=0.8, color="black")
        axes.text(number, 1.03, said, rotation=20, fontsize=8)
    axes.set(xlabel="round", ylabel="accuracy of the answers", ylim=(-0.02, 1.02))
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)
