"""A party's identity: an Ed25519 key that signs, an X-Wing key that others seal to, a name.

The file is JSON, mode 0600, and not encrypted: whoever reads it is the party::

    {"chiron_identity": 1, "name": "st-mary", "ed25519": "<base64>", "xwing": "<base64>"}

What goes to the author of the policy is one line, ``Identity.public_line()``::

    chiron-identity-1 st-mary <base64 of the Ed25519 key> <base64 of the X-Wing key>

The line is not secret and proves nothing: compare keys over a second channel, and look for your
own keys in the policy before you sign it.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chiron_stream.errors import ConfigurationRefused
from chiron_stream.job.refusal import NAME_PATTERN
from chiron_stream.job.roster import Member, Role, is_hpke_key
from chiron_stream.wire.crypto import KEY, XWING_SEED, XWingPrivateKey, is_weak, sign

FORMAT: Final = 1
LINE: Final = "chiron-identity-1"
MAX_FILE: Final = 4096
"""Bytes of an identity file, at most."""

_KEYS: Final = {"chiron_identity", "name", "ed25519", "xwing"}


@dataclass(frozen=True)
class PublicIdentity:
    """What others know of a party: enough to put it into a roster."""

    name: str
    identity: bytes
    hpke_key: bytes

    def member(self, role: Role) -> Member:
        """Return the entry of a policy's roster."""
        return Member(role, self.name, self.identity, self.hpke_key)


@dataclass(frozen=True)
class Identity:
    """A party's keys. Make one with :meth:`generate` or :meth:`load`; the seeds are 32 bytes each.

    ``signing_seed`` and ``hpke_seed`` are the secrets; neither shows in a repr.
    """

    name: str
    signing_seed: bytes = field(repr=False)
    hpke_seed: bytes = field(repr=False)
    signing_key: Ed25519PrivateKey = field(init=False, repr=False, compare=False)
    hpke_key: XWingPrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the keys.

        :raises ConfigurationRefused: a name that no roster takes.
        """
        if NAME_PATTERN.fullmatch(self.name) is None:
            raise _refused(
                "an identity has no usable name", "1 to 64 ASCII letters, digits, _ . @ -"
            )
        key = Ed25519PrivateKey.from_private_bytes(self.signing_seed)
        object.__setattr__(self, "signing_key", key)
        object.__setattr__(self, "hpke_key", XWingPrivateKey(self.hpke_seed))

    @classmethod
    def generate(cls, name: str) -> Identity:
        """Return an identity with new keys from the operating system's randomness."""
        return cls(name, os.urandom(KEY), os.urandom(XWING_SEED))

    @property
    def public(self) -> bytes:
        """The raw Ed25519 public key: the identity in a roster."""
        return self.signing_key.public_key().public_bytes_raw()

    @property
    def hpke_public(self) -> bytes:
        """The X-Wing public key (1216 bytes)."""
        return self.hpke_key.public

    @property
    def public_identity(self) -> PublicIdentity:
        """What others may know."""
        return PublicIdentity(self.name, self.public, self.hpke_public)

    def sign(self, label: bytes, message: bytes) -> bytes:
        """Return the signature over a label of :mod:`chiron_stream.wire.labels` and a message."""
        return sign(self.signing_key, label, message)

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Return what was HPKE-sealed to this identity under ``info``.

        :raises TamperDetected: it was sealed to another key or info, or altered.
        """
        return self.hpke_key.open(sealed, info)

    def public_line(self) -> str:
        """Return the line for the author of the policy; :func:`parse_public_line` reads it."""
        return f"{LINE} {self.name} {_base64(self.public)} {_base64(self.hpke_public)}"

    def save(self, path: Path | str) -> None:
        """Write a new file that only its owner can read (0600; a new parent 0700).

        :raises ConfigurationRefused: there is a file already; code ``IDENTITY_EXISTS``.
        """
        path = Path(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        table = {
            "chiron_identity": FORMAT,
            "name": self.name,
            "ed25519": _base64(self.signing_seed),
            "xwing": _base64(self.hpke_seed),
        }
        _write_new(path, (json.dumps(table) + "\n").encode("ascii"))

    @classmethod
    def load(cls, path: Path | str) -> Identity:
        """Return the identity of a file.

        :raises ConfigurationRefused: there is no such file, others may read it (code
            ``IDENTITY_PERMISSIONS``), or it is no identity (code ``IDENTITY_FILE``).
        """
        path = Path(path)
        table = _table(_read_private(path))
        if table is None:
            raise _refused(f"{path} is not an identity", "the JSON that `Identity.save` writes")
        return cls(table["name"], _seed(path, table["ed25519"]), _seed(path, table["xwing"]))


def parse_public_line(text: str) -> PublicIdentity:
    """Return what a party's line says; nothing proves that the party wrote it.

    :param text: untrusted; white space around it is ignored.
    :raises ConfigurationRefused: another form, an unusable name, a weak or broken key.
    """
    what = "not the public line of an identity"
    words = text.strip().split(" ")
    if len(words) != 4 or words[0] != LINE:
        raise _refused(what, f"{LINE}, a name and two keys, in one line")
    if NAME_PATTERN.fullmatch(words[1]) is None:
        raise _refused(what, "a name of 1 to 64 ASCII letters, digits, _ . @ -")
    identity, hpke_key = _decoded(words[2]), _decoded(words[3])
    if identity is None or len(identity) != KEY or is_weak(identity):
        raise _refused(what, "an Ed25519 key of full order in base64")
    if hpke_key is None or not is_hpke_key(hpke_key):
        raise _refused(what, "an X-Wing public key in base64")
    return PublicIdentity(words[1], identity, hpke_key)


def _write_new(path: Path, data: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigurationRefused(
            f"{path} exists already",
            code="IDENTITY_EXISTS",
            expected="a new file: a key that is overwritten is lost",
        ) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        # Half a key would block the next attempt.
        with suppress(OSError):
            path.unlink()
        raise


def refuse_readable(path: Path, status: os.stat_result, *, code: str) -> None:
    """Refuse a file with secrets that others than its owner may read or write.

    :raises ConfigurationRefused: with ``code``.
    """
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise ConfigurationRefused(
            f"{path} holds secret keys and others may read it",
            code=code,
            expected="mode 0600",
            got=f"mode {mode:04o}",
            hint=f"run: chmod 600 {path}",
        )


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            _check_private(path, os.fstat(file.fileno()))
            return file.read(MAX_FILE + 1)
    except OSError as error:
        raise _refused(f"{path} does not open", "an identity file", error.strerror) from error


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _refused(f"{path} is not an identity", "a file", "something else")
    refuse_readable(path, status, code="IDENTITY_PERMISSIONS")


def _table(data: bytes) -> dict[str, Any] | None:
    """Return the table of a file, or None; no exception holds the text, which has the secrets."""
    if len(data) > MAX_FILE:
        return None
    try:
        table = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(table, dict) or set(table) != _KEYS or not isinstance(table["name"], str):
        return None
    version = table["chiron_identity"]
    return table if type(version) is int and version == FORMAT else None


def _seed(path: Path, text: object) -> bytes:
    seed = _decoded(text)
    if seed is None or len(seed) != KEY:
        raise _refused(f"{path} is not an identity", "two seeds of 32 bytes in base64")
    return seed


def _decoded(text: object) -> bytes | None:
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        return None
    return data if data is not None and _base64(data) == text else None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _refused(message: str, expected: str, got: str | None = None) -> ConfigurationRefused:
    return ConfigurationRefused(message, code="IDENTITY_FILE", expected=expected, got=got)
