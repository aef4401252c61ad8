"""Every document of the project, and a strategy for each, made from its fields' types."""

from __future__ import annotations

import importlib
import pkgutil
import types
import typing
from collections.abc import Iterator
from dataclasses import fields
from enum import IntEnum
from functools import cache
from typing import Annotated, Any

from hypothesis import strategies as st

import chiron_stream.attestation
import chiron_stream.job
import chiron_stream.wire
import enclave_workers.core.coordinator
from chiron_stream.job.schema import Schema
from chiron_stream.wire.document import Document, Limit, Range, Size
from tests.unit.job.builders import REGRESSION, SCHEMA

PACKAGES = (
    chiron_stream.attestation,
    chiron_stream.job,
    chiron_stream.wire,
    enclave_workers.core.coordinator,
)


@cache
def all_documents() -> tuple[type[Document], ...]:
    """Return every document of the packages whose bytes cross a boundary, in order of kinds."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            importlib.import_module(module.name)
    ours = tuple(package.__name__ + "." for package in PACKAGES)
    found = [one for one in _below(Document) if one.__module__.startswith(ours)]
    return tuple(sorted(found, key=lambda one: one.KIND))


def _below(kind: type[Document]) -> Iterator[type[Document]]:
    for sub in kind.__subclasses__():
        yield sub
        yield from _below(sub)


_STRATEGIES: dict[str, st.SearchStrategy[Any]] = {}


def documents(kind: type[Document]) -> st.SearchStrategy[Any]:
    """Return a strategy for valid documents of a kind."""
    name = f"{kind.__module__}.{kind.__name__}"
    if name not in _STRATEGIES:
        _STRATEGIES[name] = _documents(kind)
    return _STRATEGIES[name]


def _documents(kind: type[Document]) -> st.SearchStrategy[Any]:
    if kind is Schema:  # its columns must agree with each other
        return st.sampled_from([SCHEMA, REGRESSION])
    hints = typing.get_type_hints(kind, include_extras=True)
    parts = {one.name: _values(hints[one.name]) for one in fields(kind)}  # type: ignore[arg-type]
    return st.builds(kind, **parts)


def _values(hint: Any) -> st.SearchStrategy[Any]:
    bound: Any = None
    if typing.get_origin(hint) is Annotated:
        hint, bound = typing.get_args(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([_values(one) for one in arguments])
    if origin is tuple:
        most = 2 if bound is None else min(2, bound.most)
        return st.lists(_values(arguments[0]), max_size=most).map(tuple)
    if origin is dict:
        return st.dictionaries(_values(arguments[0]), _values(arguments[1]), max_size=2)
    if issubclass(hint, Document):
        return documents(hint)
    if issubclass(hint, IntEnum):
        return st.sampled_from(list(hint))
    return _scalar(hint, bound)


def _scalar(hint: type, bound: Any) -> st.SearchStrategy[Any]:
    if hint is int:
        low, high = bound if isinstance(bound, Range) else (0, 2**64 - 1)
        return st.integers(low, high)
    if isinstance(bound, Size):  # short draws, long values
        return st.binary(min_size=1, max_size=8).map(
            lambda part: (part * bound.bytes)[: bound.bytes]
        )
    most = min(24, bound.most if isinstance(bound, Limit) else 24)
    return {
        type(None): st.none(),
        bool: st.booleans(),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bytes: st.binary(max_size=most),
        str: st.text(st.characters(codec="utf-8"), max_size=most // 4),
    }[hint]
