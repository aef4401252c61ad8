"""How the parts of a policy refuse: what is wrong, what would have been right, what came."""

from __future__ import annotations

import re
from typing import Final

from chiron_stream.errors import JobRefused

NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")
"""Names of members and data sets: nothing that a terminal or a file system minds."""


def expect(good: bool, what: str, expected: str, got: object = None) -> None:  # noqa: FBT001
    """Refuse a policy unless ``good``.

    :param what: the sentence that says what is wrong, naming the object.
    :raises JobRefused: ``good`` is false; code ``JOB_POLICY``.
    """
    if not good:
        raise JobRefused(
            what, code="JOB_POLICY", expected=expected, got=None if got is None else str(got)
        )


def expect_between(value: int, low: int, high: int, what: str) -> None:
    """Refuse a number outside ``low`` to ``high``, both included.

    :raises JobRefused: it is; code ``JOB_POLICY``.
    """
    expect(low <= value <= high, f"{what} is out of bounds", f"{low} to {high}", value)


def expect_name(name: str, what: str) -> None:
    """Refuse a name of a member or a data set that :data:`NAME_PATTERN` does not match.

    :raises JobRefused: it does not; code ``JOB_POLICY``.
    """
    good = NAME_PATTERN.fullmatch(name) is not None
    expect(good, f"{what} has no usable name", "1 to 64 ASCII letters, digits, _ . @ -", repr(name))
