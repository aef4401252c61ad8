"""``docs/wire-format.md``, read: its tables, and how it puts a field's type into words."""

from __future__ import annotations

import re
import types
import typing
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from chiron_stream.wire.document import DEFAULT_LIMIT, Document, Limit, Range, Size

PAGE = (Path(__file__).parents[3] / "docs" / "wire-format.md").read_text()


class Row(NamedTuple):
    """A field as the page shows it."""

    number: int
    name: str
    words: str


def rows(text: str) -> list[list[str]]:
    """Return the cells of a text's table rows, without headings and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [one for one in cells if not set("".join(one)) <= set("-| ")]


def section(title: str) -> str:
    """Return the part of the page below a heading, up to the next of its level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}$", PAGE, re.MULTILINE)
    assert found is not None, title
    rest = PAGE[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest if end is None else rest[: end.start()]


def documents_of_page() -> list[tuple[int, str, list[Row]]]:
    """Return kind, name and fields of each document, in the page's order."""
    parts = re.split(r"^#### ", PAGE, flags=re.MULTILINE)[1:]
    found = []
    for part in parts:
        heading = re.match(r"(\d+) `(\w+)`\n", part)
        if heading is not None:
            body = re.split(r"^#", part, flags=re.MULTILINE)[0]
            fields = [
                Row(int(one[0]), one[1].strip("`"), one[2])
                for one in rows(body)
                if one[0].isdigit()
            ]
            found.append((int(heading[1]), heading[2], fields))
    return found


def words(hint: Any) -> str:
    """Return how the page says a field's type and bounds."""
    bound: Any = None
    if typing.get_origin(hint) is Annotated:
        hint, bound = typing.get_args(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("nil" if one is type(None) else _inner(one) for one in arguments)
    if origin is tuple:
        assert bound is None  # no list has a bound of its own so far
        return f"list of {_inner(arguments[0])}"
    if issubclass(hint, Document | IntEnum):
        return f"`{hint.__name__}`"
    return _scalar(hint, bound)


def _inner(hint: Any) -> str:
    text = words(hint)
    return f"({text})" if "," in text or " or " in text else text


def _scalar(hint: type, bound: Any) -> str:
    if hint is int:
        if not isinstance(bound, Range):
            return "uint"
        return "int" if bound.low == -(2**63) else f"{bound.low} to {bound.high}"
    if isinstance(bound, Size):
        return f"bytes, {bound.bytes}"
    most = bound.most if isinstance(bound, Limit) else DEFAULT_LIMIT
    return {
        bool: "bool",
        float: "float",
        bytes: f"bytes, ≤ {most}",
        str: f"text, ≤ {most}",
    }[hint]
