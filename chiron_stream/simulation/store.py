"""The keys of the development quoting service in one file that only its owner may read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Final

from chiron_stream.errors import ConfigurationRefused
from chiron_stream.wire.document import Digest, Document, Limit

FILE: Final = "authority.keys"
_DIRECTORY_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_OTHERS: Final = 0o077

Der = Annotated[bytes, Limit(4096)]


@dataclass(frozen=True, repr=False)
class StoredHolder(Document):
    """A private key (PKCS #8) and its certificate, both in DER."""

    KIND: ClassVar[int] = 220

    key: Der
    certificate: Der


@dataclass(frozen=True, repr=False)
class StoredAuthority(Document):
    """Everything the service must remember: secrets throughout."""

    KIND: ClassVar[int] = 221

    root: StoredHolder
    intermediate: StoredHolder
    signer: StoredHolder
    pck: StoredHolder
    service_seed: Digest = field()
    sealing_secret: Digest = field()


def write(directory: Path, stored: StoredAuthority) -> None:
    """Write the file into a directory, which is made if it is not there.

    :raises ConfigurationRefused: others may enter the directory, or the file is there already.
    """
    directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    _check_private(directory, directory.stat(), _DIRECTORY_MODE)
    path = directory / FILE
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _FILE_MODE)
    except FileExistsError as error:
        raise ConfigurationRefused(
            f"{path} is there already", expected="a directory without a quoting service"
        ) from error
    with os.fdopen(handle, "wb") as file:
        file.write(stored.pack())


def read(directory: Path) -> StoredAuthority:
    """Return what :func:`write` wrote.

    :raises ConfigurationRefused: the file is not there, or others may read it.
    :raises EncodingRefused: it is damaged.
    """
    path = directory / FILE
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise ConfigurationRefused(
            f"{directory} holds no development quoting service", expected=f"the file {FILE}"
        ) from error
    with os.fdopen(handle, "rb") as file:
        _check_private(directory, directory.stat(), _DIRECTORY_MODE)
        _check_private(path, os.fstat(file.fileno()), _FILE_MODE)
        return StoredAuthority.unpack(file.read())


def _check_private(path: Path, found: os.stat_result, wanted: int) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if mode & _OTHERS or found.st_uid != os.geteuid():
        raise ConfigurationRefused(
            f"{path} holds keys and others may read it",
            code="CONFIGURATION_PERMISSIONS",
            expected=f"mode {wanted:04o} and this user as owner",
            got=f"mode {mode:04o}, owner {found.st_uid}",
            hint=f"run: chmod {wanted:o} {path}",
        )
