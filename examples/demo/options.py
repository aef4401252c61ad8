"""What the user of the demo asks for: ``DATA``, ``DATA_DIR`` and ``KEEP`` in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chiron_stream.errors import UsageRefused

DATA: Final = ("digits", "fashion-mnist", "cifar10")


@dataclass(frozen=True)
class Options:
    """``data`` none: Fashion-MNIST where Debian's package is installed, else digits."""

    data: str | None = None
    folder: Path | None = None
    keep: bool = False


def read_options(environment: Mapping[str, str]) -> Options:
    """Return the options; an empty variable is as good as none.

    :raises UsageRefused: an unknown word, or a folder for data that has none.
    """
    data, folder = environment.get("DATA") or None, environment.get("DATA_DIR") or None
    keep = environment.get("KEEP") or "0"
    _check("DATA", data, DATA)
    _check("KEEP", keep, ("0", "1"))
    if folder is not None and data in (None, "digits"):
        raise UsageRefused(
            "DATA_DIR names a folder for no data",
            expected="DATA=fashion-mnist or DATA=cifar10 beside it",
            got=f"DATA={data or ''}",
        )
    return Options(data, Path(folder) if folder else None, keep == "1")


def _check(name: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        raise UsageRefused(
            f"{name} is not known", expected=" or ".join(allowed), got=f"{name}={value}"
        )
