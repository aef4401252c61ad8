"""The few cryptographic operations of this project, each a call of ``cryptography``.

Nothing here is a construction of our own: HKDF (RFC 5869), Ed25519 (RFC 8032), HPKE single shot
(RFC 9180, with the KEM MLKEM768-X25519 "X-Wing"), AES-256-GCM (NIST SP 800-38D) and Cobblestone-256
(C2SP chunked-encryption). What a caller must still see to: which label, which key, which nonce.
"""

from __future__ import annotations

import hashlib
from typing import Final, Protocol

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from chiron_stream.errors import TamperDetected

Bytes = bytes | bytearray | memoryview
"""Bytes wherever they lie."""

KEY: Final = 32
"""Bytes of every symmetric key and secret."""

NONCE: Final = 12
TAG: Final = 16
"""Bytes that AES-256-GCM adds."""

_MLKEM_PUBLIC: Final = 1184
XWING_PUBLIC: Final = _MLKEM_PUBLIC + 32
"""Bytes of an encoded X-Wing public key: ML-KEM-768's, then X25519's."""

XWING_SEED: Final = 32

_P: Final = 2**255 - 19
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _P - 1,
        int.from_bytes(
            bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
            "little",
        )
        & ((1 << 255) - 1),
        int.from_bytes(
            bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
            "little",
        )
        & ((1 << 255) - 1),
    }
)
"""y coordinates of the points of order 1, 2, 4 and 8 (C2SP CCTV, ed25519)."""

SUITE: Final = 1
"""The one suite: X-Wing, HKDF-SHA256, AES-256-GCM; its number stands in every hello."""

_HPKE: Final = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class Hash(Protocol):
    """A hash under way."""

    def update(self, data: Bytes, /) -> None:
        """Put more in."""
        ...

    def digest(self) -> bytes:
        """Return the hash of what was put in."""
        ...


def sha256(label: bytes, *parts: bytes) -> bytes:
    """Return SHA-256 over a label and the parts, each behind its length in 8 bytes."""
    digest = hashlib.sha256(label)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def running_sha256(label: bytes, size: int) -> Hash:
    """Return the hash that is ``sha256(label, part)`` once the part was put in, piece by piece.

    :param size: of the one part, in bytes; that so many come is for the caller to see to.
    """
    return hashlib.sha256(label + size.to_bytes(8, "big"))


def extract(salt: bytes, secret: bytes) -> bytes:
    """Return HKDF-Extract(salt, secret) with SHA-256."""
    return HKDF.extract(hashes.SHA256(), salt, secret)


def derive(prk: bytes, label: bytes, *ids: bytes | int, length: int = KEY) -> bytes:
    """Return HKDF-Expand(prk, label ‖ ids), each id behind its length; numbers take 8 bytes."""
    info = bytearray(label)
    for one in ids:
        part = one.to_bytes(8, "big") if isinstance(one, int) else one
        info += len(part).to_bytes(4, "big") + part
    return HKDFExpand(hashes.SHA256(), length, bytes(info)).derive(prk)


def is_weak(public_key: bytes) -> bool:
    """Tell whether an Ed25519 key is of small order or not canonical; OpenSSL accepts both."""
    y = int.from_bytes(public_key, "little") & ((1 << 255) - 1)
    return y >= _P or y in _SMALL_ORDER


def sign(key: Ed25519PrivateKey, label: bytes, message: bytes) -> bytes:
    """Return the signature over label and message."""
    return key.sign(label + message)


def verified(public_key: bytes, label: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether a signature is good; never under a weak key."""
    if len(public_key) != 32 or is_weak(public_key):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, label + message)
    except InvalidSignature:
        return False
    return True


class XWingPrivateKey:
    """An X-Wing key pair from its 32-byte seed (draft-connolly-cfrg-xwing-kem section 5.2)."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != XWING_SEED:
            raise ValueError("an X-Wing seed has 32 bytes")
        expanded = hashlib.shake_256(seed).digest(96)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
        self.public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        self._key = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Return what :func:`hpke_seal` sealed to this key under ``info``.

        :raises TamperDetected: it was sealed to another key or info, or altered.
        """
        try:
            return _HPKE.decrypt(sealed, self._key, info)
        except (InvalidTag, ValueError) as error:
            raise TamperDetected(
                "an HPKE message does not open", code="HPKE_OPEN", expected="our key and info"
            ) from error


def hpke_seal(public_key: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Seal to an X-Wing public key: encapsulated key (1120 bytes), then the ciphertext.

    :raises TamperDetected: the bytes are not an X-Wing public key.
    """
    if len(public_key) != XWING_PUBLIC:
        raise TamperDetected(
            "not an X-Wing public key",
            code="HPKE_KEY",
            expected=f"{XWING_PUBLIC} bytes",
            got=str(len(public_key)),
        )
    try:
        key = hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public_key[:_MLKEM_PUBLIC]),
            X25519PublicKey.from_public_bytes(public_key[_MLKEM_PUBLIC:]),
        )
        return _HPKE.encrypt(plaintext, key, info)
    except ValueError as error:
        raise TamperDetected("not an X-Wing public key", code="HPKE_KEY") from error


def gcm_seal(key: bytes, counter: int, plaintext: bytes | memoryview, associated: bytes) -> bytes:
    """Return AES-256-GCM with the counter as nonce: a key seals each counter at most once."""
    return AESGCM(key).encrypt(counter.to_bytes(NONCE, "big"), plaintext, associated)


def gcm_open(key: bytes, counter: int, sealed: bytes, associated: bytes) -> bytes:
    """Open :func:`gcm_seal`.

    :raises TamperDetected: another key, counter or associated data, or altered bytes.
    """
    try:
        return AESGCM(key).decrypt(counter.to_bytes(NONCE, "big"), sealed, associated)
    except InvalidTag as error:
        raise TamperDetected("a sealed record does not open", code="DOES_NOT_OPEN") from error


def seal(key: bytes, context: bytes, plaintext: Bytes) -> bytes:
    """Return one finalised Cobblestone-256 object; its random salt lets a key seal many."""
    encryptor = Cobblestone256Encryptor(key, context)
    return encryptor.update(plaintext) + encryptor.finalize()


def unseal(key: bytes, context: bytes, sealed: Bytes) -> bytes:
    """Open :func:`seal`; nothing is returned before the whole object is authenticated.

    :raises TamperDetected: another key or context, or altered, cut or extended bytes.
    """
    try:
        decryptor = Cobblestone256Decryptor(key, context)
        return decryptor.update(sealed) + decryptor.finalize()
    except (InvalidTag, ValueError) as error:
        raise TamperDetected("a sealed object does not open", code="DOES_NOT_OPEN") from error
