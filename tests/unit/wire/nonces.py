"""A monitor of nonces: no key may meet one nonce with two contents."""

from __future__ import annotations

from cryptography.cobblestone import Cobblestone256Encryptor
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_SALT = 24


class NonceMonitor:
    """Stands in for ``AESGCM`` and ``Cobblestone256Encryptor`` and remembers what they sealed.

    ``reused`` counts pairs of key and nonce that met a second content; ``resent`` those that met
    the same content and associated data again, which gives the same bytes and is allowed.
    """

    def __init__(self) -> None:
        self._met: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}
        self.reused = 0
        self.resent = 0

    @property
    def sealed(self) -> int:
        """How many different pairs of key and nonce were used."""
        return len(self._met)

    def gcm(self, key: bytes) -> _Gcm:
        return _Gcm(self, key)

    def cobblestone(self, key: bytes, context: bytes) -> _Cobblestone:
        return _Cobblestone(self, key, context)

    def note(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> None:
        content = plaintext, associated
        known = self._met.setdefault((key, nonce), content)
        if known is not content:
            self.resent += known == content
            self.reused += known != content


class _Gcm:
    def __init__(self, monitor: NonceMonitor, key: bytes) -> None:
        self._monitor, self._key, self._cipher = monitor, key, AESGCM(key)

    def encrypt(self, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        self._monitor.note(self._key, nonce, plaintext, associated)
        return self._cipher.encrypt(nonce, plaintext, associated)

    def decrypt(self, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        return self._cipher.decrypt(nonce, sealed, associated)


class _Cobblestone:
    """Keys and nonces inside come from key, context and salt, the first bytes of the output."""

    def __init__(self, monitor: NonceMonitor, key: bytes, context: bytes) -> None:
        self._monitor, self._key, self._context = monitor, key, context
        self._encryptor = Cobblestone256Encryptor(key, context)
        self._plaintext = b""
        self._salt = b""

    def update(self, plaintext: bytes) -> bytes:
        self._plaintext += plaintext
        return self._kept(self._encryptor.update(plaintext))

    def finalize(self) -> bytes:
        last = self._kept(self._encryptor.finalize())
        self._monitor.note(self._key + self._context, self._salt, self._plaintext, b"")
        return last

    def _kept(self, output: bytes) -> bytes:
        self._salt = (self._salt + output)[:_SALT]
        return output
