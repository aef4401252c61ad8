"""The schema: which columns rows have, and what a value may be.

A :class:`Schema` that exists is a checked one: building or unpacking another raises. It is part of
the policy and therefore public; the rows are not.

>>> age = NumberColumn("age", "float32", 0, 120, "mask")
>>> schema = Schema((age, CategoryColumn("site", ("a", "b")), LabelColumn("y", ("no", "yes"))))
>>> schema.kinds()["age:mask"]
('number', ())
>>> [field.name for field in schema.fields("query")]
['age', 'age:mask', 'site']
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Final

from chiron_stream.errors import JobRefused
from chiron_stream.job.fields import ITEM_BYTES, Field, Kind, Purpose
from chiron_stream.wire.document import Document, Name

COLUMN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
MAX_COLUMNS: Final = 1024
MAX_VALUES: Final = 65_536
"""Values of a category or classes of a label, at most."""

MAX_DIMENSIONS: Final = 8
MAX_ELEMENTS: Final = 2**24
"""Values in one row of a tensor column, at most."""

MISSING: Final = ("refuse", "constant", "mask")
OTHER: Final = ("refuse", "bucket")
TENSOR_DTYPES: Final = ("float32", "uint8")
TARGET_DTYPE: Final = "float32"
CODE_DTYPE: Final = "int64"
FLOAT32_MAX: Final = float.fromhex("0x1.fffffep+127")


@dataclass(frozen=True)
class NumberColumn(Document):
    """A number in [low, high].

    A missing value (NaN, None) is refused, or becomes ``constant``, or becomes ``constant`` and is
    marked in a field of its own. ``constant`` is 0 where missing values are refused.
    """

    KIND: ClassVar[int] = 100
    name: Name
    dtype: Name
    low: float
    high: float
    missing: Name = "refuse"
    constant: float = 0.0

    def __post_init__(self) -> None:
        _as_floats(self, "low", "high", "constant")

    def check(self) -> None:
        """Raise :class:`JobRefused` unless bounds, dtype and rule for missing values agree."""
        _member(self.name, "dtype", self.dtype, tuple(ITEM_BYTES))
        _member(self.name, "rule for missing values", self.missing, MISSING)
        _bounds(self.name, self.dtype, self.low, self.high)
        if self.missing == "refuse":
            good, wanted = self.constant == 0, "0 where missing values are refused"
        else:
            good, wanted = self.low <= self.constant <= self.high, "a constant within the range"
            good = good and (self.is_float or self.constant.is_integer())
        _expect(good, self.name, wanted, f"{self.constant!r}")

    @property
    def is_float(self) -> bool:
        """Whether the values have fractions."""
        return self.dtype.startswith("float")

    def fields(self) -> tuple[Field, ...]:
        """Return the values' field and, with ``missing="mask"``, the mask's."""
        values = _ranged(self.name, "number", self.dtype, (), self.low, self.high)
        if self.missing != "mask":
            return (values,)
        return (values, Field(f"{self.name}:mask", "number", "uint8", (), 0, 1))


@dataclass(frozen=True)
class CategoryColumn(Document):
    """One of the listed texts, as its int64 position in the list.

    Another text, or a missing value, is refused or counts as ``len(values)``, the bucket.
    """

    KIND: ClassVar[int] = 101
    name: Name
    values: tuple[Name, ...]
    other: Name = "refuse"

    def __post_init__(self) -> None:
        _as_tuple(self, "values")

    def check(self) -> None:
        """Raise :class:`JobRefused` unless the values are 1 to 65,536 different texts."""
        _member(self.name, "rule for other values", self.other, OTHER)
        _listed(self.name, "values", self.values, 1)

    def fields(self) -> tuple[Field, ...]:
        """Return the field of the codes."""
        last = len(self.values) - (self.other == "refuse")
        return (Field(self.name, "category", CODE_DTYPE, (), 0, last),)


@dataclass(frozen=True)
class TensorColumn(Document):
    """An array of one shape in each row, every value in [low, high], none missing."""

    KIND: ClassVar[int] = 102
    name: Name
    shape: tuple[int, ...]
    dtype: Name
    low: float
    high: float

    def __post_init__(self) -> None:
        _as_tuple(self, "shape")
        _as_floats(self, "low", "high")

    def check(self) -> None:
        """Raise :class:`JobRefused` unless shape, dtype and bounds make sense."""
        _member(self.name, "dtype", self.dtype, TENSOR_DTYPES)
        good = 1 <= len(self.shape) <= MAX_DIMENSIONS and min(self.shape) >= 1
        wanted = f"1 to {MAX_DIMENSIONS} dimensions, {MAX_ELEMENTS} values at most"
        good = good and math.prod(self.shape) <= MAX_ELEMENTS
        _expect(good, self.name, wanted, f"shape {self.shape}")
        _bounds(self.name, self.dtype, self.low, self.high)

    def fields(self) -> tuple[Field, ...]:
        """Return the field of the arrays."""
        return (_ranged(self.name, "tensor", self.dtype, self.shape, self.low, self.high),)


@dataclass(frozen=True)
class LabelColumn(Document):
    """What a classifier learns: one of the classes, as its int64 position in the list."""

    KIND: ClassVar[int] = 103
    name: Name
    classes: tuple[Name, ...]

    def __post_init__(self) -> None:
        _as_tuple(self, "classes")

    def check(self) -> None:
        """Raise :class:`JobRefused` unless the classes are 2 to 65,536 different texts."""
        _listed(self.name, "classes", self.classes, 2)

    def fields(self) -> tuple[Field, ...]:
        """Return the field of the codes."""
        return (Field(self.name, "label", CODE_DTYPE, (), 0, len(self.classes) - 1),)


@dataclass(frozen=True)
class TargetColumn(Document):
    """What a regression learns: a float32 in [low, high]."""

    KIND: ClassVar[int] = 104
    name: Name
    low: float
    high: float

    def __post_init__(self) -> None:
        _as_floats(self, "low", "high")

    def check(self) -> None:
        """Raise :class:`JobRefused` unless the bounds are finite and rising."""
        _bounds(self.name, TARGET_DTYPE, self.low, self.high)

    def fields(self) -> tuple[Field, ...]:
        """Return the field of the targets."""
        return (_ranged(self.name, "target", TARGET_DTYPE, (), self.low, self.high),)


Column = NumberColumn | CategoryColumn | TensorColumn | LabelColumn | TargetColumn


@dataclass(frozen=True)
class Schema(Document):
    """1 to 1024 columns of different names, exactly one of them a label or a target.

    :raises JobRefused: when built from columns that break a rule; code ``JOB_SCHEMA``.
    """

    KIND: ClassVar[int] = 105
    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        _as_tuple(self, "columns")
        count = len(self.columns)
        _expect(1 <= count <= MAX_COLUMNS, None, f"1 to {MAX_COLUMNS} columns", str(count))
        for column in self.columns:
            good = COLUMN_NAME.fullmatch(column.name) is not None
            _expect(good, column.name, f"a name like {COLUMN_NAME.pattern}", "another name")
            column.check()
        names = {column.name for column in self.columns}
        _expect(len(names) == count, None, "columns of different names", "a doubled name")
        wanted = [one for one in self.columns if isinstance(one, LabelColumn | TargetColumn)]
        _expect(len(wanted) == 1, None, "exactly one label or target", str(len(wanted)))

    @cached_property
    def target(self) -> LabelColumn | TargetColumn:
        """The column to learn."""
        return next(one for one in self.columns if isinstance(one, LabelColumn | TargetColumn))

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over the schema's canonical bytes; stands in packed rows."""
        return hashlib.sha256(self.pack()).digest()

    @cached_property
    def _train_fields(self) -> tuple[Field, ...]:
        return tuple(field for column in self.columns for field in column.fields())

    @cached_property
    def _query_fields(self) -> tuple[Field, ...]:
        return tuple(field for field in self._train_fields if field.name != self.target.name)

    def fields(self, purpose: Purpose) -> tuple[Field, ...]:
        """Return the arrays of packed rows, in their order on the wire."""
        return self._train_fields if purpose == "train" else self._query_fields

    def kinds(self) -> dict[str, tuple[Kind, tuple[int, ...]]]:
        """Return kind and shape (of one row) of every field, by name; masks are numbers."""
        return {field.name: (field.kind, field.shape) for field in self._train_fields}


def _ranged(
    name: str, kind: Kind, dtype: str, shape: tuple[int, ...], low: float, high: float
) -> Field:
    if dtype.startswith("float"):
        return Field(name, kind, dtype, shape, low, high)
    return Field(name, kind, dtype, shape, int(low), int(high))


def _bounds(name: str, dtype: str, low: float, high: float) -> None:
    least, most = {
        "float32": (-FLOAT32_MAX, FLOAT32_MAX),
        "float64": (-math.inf, math.inf),
        "int32": (-(2**31), 2**31 - 1),
        "int64": (-(2**63), 2**63 - 1),
        "uint8": (0, 255),
    }[dtype]
    good = math.isfinite(low) and math.isfinite(high) and low < high
    _expect(good, name, "finite bounds, the lower one first", f"{low!r} and {high!r}")
    good = least <= low and high <= most
    _expect(good, name, f"bounds that {dtype} can hold", f"{low!r} and {high!r}")
    good = dtype.startswith("float") or (low.is_integer() and high.is_integer())
    _expect(good, name, f"whole bounds for {dtype}", f"{low!r} and {high!r}")


def _listed(name: str, what: str, texts: Sequence[str], least: int) -> None:
    good = least <= len(texts) <= MAX_VALUES
    _expect(good, name, f"{least} to {MAX_VALUES} {what}", str(len(texts)))
    _expect(len(set(texts)) == len(texts), name, f"different {what}", "a doubled one")
    good = all(text and text.isprintable() for text in texts)
    _expect(good, name, f"{what} that are printable texts", "an empty or unprintable one")


def _member(name: str, what: str, value: str, allowed: tuple[str, ...]) -> None:
    _expect(value in allowed, name, f"{what}: {', '.join(allowed)}", repr(value))


def _expect(good: bool, name: str | None, expected: str, got: str) -> None:  # noqa: FBT001
    if not good:
        where = "the schema" if name is None else f"column {name!r} of the schema"
        raise JobRefused(f"{where} cannot be used", code="JOB_SCHEMA", expected=expected, got=got)


def _as_floats(document: Document, *names: str) -> None:
    """Let callers write 0 for 0.0: the encoding knows no such latitude."""
    for name in names:
        if type(value := getattr(document, name)) is int:
            object.__setattr__(document, name, float(value))


def _as_tuple(document: Document, name: str) -> None:
    object.__setattr__(document, name, tuple(getattr(document, name)))
