"""The table of operations: every row, by the name that a definition uses.

What a row says, and what has to hold before one may be added:
:mod:`chiron_stream.graph.operation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chiron_stream.graph.elementwise import ELEMENTWISE
from chiron_stream.graph.layers import LAYERS
from chiron_stream.graph.losses import INCREMENT, LOSSES
from chiron_stream.graph.operation import Axis, Op
from chiron_stream.graph.shapes import SHAPES

__all__ = ["INCREMENT", "OPS", "Axis", "Op"]

OPS: Final[Mapping[str, Op]] = {**LAYERS, **ELEMENTWISE, **SHAPES, **LOSSES}
"""By the name that a definition uses."""
