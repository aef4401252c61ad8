"""Tensors as people type them: JSON lists of numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from chiron_stream.errors import SchemaMismatch


def typed_tensor(name: str, text: str) -> npt.NDArray[Any]:
    """Return the array of a tensor column that was typed as ``[[0, 0.5], [1, 0]]``.

    Its shape and range are for the schema to check.

    :raises SchemaMismatch: the text is no JSON, or no lists of one length of numbers; the message
        names the column, never the text.
    """
    try:
        array = np.array(json.loads(text))
    except (ValueError, RecursionError):
        raise _refused(name, "another text") from None
    if array.dtype.kind not in "iuf":
        raise _refused(name, "other values than numbers")
    return array


def _refused(name: str, got: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"column {name!r} is no tensor",
        expected="lists of one length of numbers, as JSON writes them",
        got=got,
    )
