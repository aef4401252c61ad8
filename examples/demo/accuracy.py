"""How good answers are, on the classes of each owner."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from examples.demo.asking import Asked
from examples.demo.data import LABEL, Data, of_first


class Accuracy:
    """Accuracy on the classes of each owner, from the answers that came."""

    def __init__(self, data: Data) -> None:
        codes = data.test[LABEL]
        self._truth = [data.classes[code] for code in codes]
        self._first = of_first(codes)

    def of(self, answers: Sequence[Asked], *, first: bool) -> float | None:
        """Return the share of right answers on one owner's classes; None: there are no answers."""
        mine = self._of_owner(answers, first=first)
        return self.overall(mine) if mine else None

    def count(self, answers: Sequence[Asked], *, first: bool) -> int:
        """Return how many answers are on one owner's classes."""
        return len(self._of_owner(answers, first=first))

    def _of_owner(self, answers: Sequence[Asked], *, first: bool) -> list[Asked]:
        return [one for one in answers if bool(self._first[one.row]) == first]

    def overall(self, answers: Sequence[Asked]) -> float:
        """Return the share of right answers."""
        right = [one.value == self._truth[one.row] for one in answers]
        return round(float(np.mean(right)), 4)

    def said(self, answers: Sequence[Asked]) -> str:
        """Return both accuracies, for people."""
        parts = (self.of(answers, first=True), self.of(answers, first=False))
        a, b = ("  -  " if one is None else f"{one:.3f}" for one in parts)
        return f"accuracy on A's classes {a}, on B's {b} ({len(answers)} answers)"
