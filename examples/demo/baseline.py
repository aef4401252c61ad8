"""A simple model on the same rows, in the clear and in memory: logistic regression."""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from examples.demo.data import LABEL, SEED, Data

MOST_ROWS: Final = 10_000
"""Beyond, it is fitted on a seeded sample: it takes minutes otherwise, and gains one percent."""

ITERATIONS: Final = 200


def accuracy(data: Data) -> float:
    """Return its accuracy on the test rows, fitted on both owners' training rows together."""
    codes = data.train[LABEL]
    chosen = np.random.default_rng(SEED).permutation(len(codes))[:MOST_ROWS]
    model = LogisticRegression(max_iter=ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits do not matter here
        model.fit(_flat(data, data.train[data.input][chosen]), codes[chosen])
    score = model.score(_flat(data, data.test[data.input]), data.test[LABEL])
    return round(float(score), 4)


def _flat(data: Data, rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return rows as vectors of numbers from 0 to 1."""
    flat: npt.NDArray[np.float32] = rows.reshape(len(rows), -1).astype(np.float32)
    return flat / np.float32(data.column["high"])
