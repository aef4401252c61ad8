r"""Sessions: a party and the coordinator agree on keys with one record.

::

    hello = {suite, coordinator's AKD hash, own identity, job, policy version and head, purpose,
             opened-at, answer partition}
    enc   = HPKE single shot of 32 random bytes to the coordinator boot's X-Wing key,
            info = INFO_SESSION ‖ SHA-256(hello)
    id    = SHA-256(SESSION_ID ‖ hello ‖ enc)[:16]
    prk   = HKDF-Extract(salt = SHA-256(SESSION_TRANSCRIPT ‖ hello ‖ enc), secret)

Every direction and kind of message has a key of its own, expanded from ``prk`` under its label.
The open carries a commitment to ``prk`` and an Ed25519 signature over everything else in it.
Signature and roster are checked before anything is decapsulated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar, Final

from chiron_stream.errors import TamperDetected
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import (
    SUITE,
    XWingPrivateKey,
    derive,
    extract,
    gcm_open,
    gcm_seal,
    hpke_seal,
    sha256,
    verified,
)
from chiron_stream.wire.document import (
    Digest,
    Document,
    Limit,
    Name,
    PublicKey,
    Signature,
    Size,
)

ENC_BYTES: Final = 1120 + 32 + 16
"""X-Wing's encapsulated key, and 32 bytes under AES-256-GCM: no other secret is ever journalled."""

INTENT_COUNTER: Final = 0
"""The control key's first counter seals the intent; control records go on with 1."""


class Purpose(IntEnum):
    """What a session is for."""

    PUBLISH = 1
    RECIPE = 2
    QUERY = 3
    LISTEN = 4
    """To hear scores or progress: an owner's or the provider's, and nothing is said in it."""


@dataclass(frozen=True)
class Hello(Document):
    """The clear part of a session open. ``opened_at`` is Unix seconds as the party says."""

    KIND: ClassVar[int] = 1
    suite: int
    coordinator: Digest
    identity: PublicKey
    job: Digest
    policy_version: int
    policy_head: Digest
    purpose: Purpose
    opened_at: int
    answer_partition: int


@dataclass(frozen=True)
class Intent(Document):
    """What the operator need not see of a session: the data set that it claims."""

    KIND: ClassVar[int] = 2
    data_set: Name


@dataclass(frozen=True)
class SessionOpen(Document):
    """The record that opens a session, on ``control``."""

    KIND: ClassVar[int] = 3
    hello: Annotated[bytes, Limit(1024)]
    enc: Annotated[bytes, Size(ENC_BYTES)]
    commitment: Digest
    intent: Annotated[bytes, Limit(1024)]
    signature: Signature

    @property
    def signed(self) -> bytes:
        """The bytes that the signature is over."""
        return sha256(labels.SESSION_TRANSCRIPT, self.hello, self.enc, self.commitment, self.intent)

    @property
    def session(self) -> bytes:
        """The session's id."""
        return sha256(labels.SESSION_ID, self.hello, self.enc)[:16]


@dataclass(frozen=True)
class SessionKeys:
    """The keys of one session; ``prk`` is secret to the party and the coordinator."""

    session: bytes
    prk: bytes

    @property
    def control(self) -> bytes:
        """Key of control records; it never leaves party and coordinator."""
        return derive(self.prk, labels.SESSION_CONTROL)

    @property
    def commitment(self) -> bytes:
        """What the open shows to commit to the key."""
        return derive(self.prk, labels.SESSION_COMMITMENT)

    @property
    def replies(self) -> bytes:
        """Key of what the coordinator answers."""
        return derive(self.prk, labels.SESSION_REPLY)

    @property
    def recipe(self) -> bytes:
        """Key of the recipe's chunks."""
        return derive(self.prk, labels.SESSION_RECIPE)

    @property
    def queries(self) -> bytes:
        """Key of queries, nonce = sequence number."""
        return derive(self.prk, labels.SESSION_QUERY)

    @property
    def answers(self) -> bytes:
        """Secret that each answer's key comes from."""
        return derive(self.prk, labels.SESSION_ANSWER)

    def data_set(self, name: str) -> bytes:
        """Return the opaque id of a data set in shard headers, 8 bytes."""
        return derive(self.prk, labels.SESSION_DATA_SET, name.encode(), length=8)

    def shard(self, name: str, number: int) -> bytes:
        """Return the key of one shard; granted singly to the trainer that needs it."""
        return derive(self.prk, labels.SESSION_SHARD, name.encode(), number)


def open_session(
    hello: Hello,
    intent: Intent,
    coordinator_key: bytes,
    secret: bytes,
    sign: Callable[[bytes, bytes], bytes],
) -> tuple[SessionOpen, SessionKeys]:
    """Return the record that opens a session, and its keys.

    :param coordinator_key: the X-Wing key of an *appraised* coordinator boot.
    :param secret: 32 fresh random bytes.
    :param sign: signs (label, message) with the party's identity.
    """
    packed = hello.pack()
    info = labels.INFO_SESSION + sha256(labels.SESSION_TRANSCRIPT, packed)
    enc = hpke_seal(coordinator_key, secret, info)
    keys = session_keys(packed, enc, secret)
    sealed = gcm_seal(keys.control, INTENT_COUNTER, intent.pack(), keys.session)
    bare = SessionOpen(packed, enc, keys.commitment, sealed, bytes(64))
    signature = sign(labels.SIGN_SESSION, bare.signed)
    return SessionOpen(packed, enc, keys.commitment, sealed, signature), keys


def session_keys(hello: bytes, enc: bytes, secret: bytes) -> SessionKeys:
    """Return the keys that both sides derive."""
    prk = extract(sha256(labels.SESSION_TRANSCRIPT, hello, enc), secret)
    return SessionKeys(sha256(labels.SESSION_ID, hello, enc)[:16], prk)


def read_hello(opened: SessionOpen) -> Hello:
    """Return the hello of an open whose signature is good.

    Nothing is decapsulated. The caller still checks roster, job, policy and coordinator.

    :raises TamperDetected: suite or signature are wrong.
    """
    hello = Hello.unpack(opened.hello)
    if hello.suite != SUITE:
        raise TamperDetected("a session of another suite", code="SUITE", expected=str(SUITE))
    if not verified(hello.identity, labels.SIGN_SESSION, opened.signed, opened.signature):
        raise TamperDetected("a session open with a bad signature", code="SIGNATURE")
    return hello


def decapsulate(opened: SessionOpen, key: XWingPrivateKey) -> bytes:
    """Return the secret of an open whose signature and roster entry were checked.

    :raises TamperDetected: it was sealed to another boot.
    """
    info = labels.INFO_SESSION + sha256(labels.SESSION_TRANSCRIPT, opened.hello)
    return key.open(opened.enc, info)


def admit(opened: SessionOpen, secret: bytes) -> tuple[SessionKeys, Intent]:
    """Return keys and intent of a decapsulated open.

    :raises TamperDetected: the commitment is to another key, or the intent does not open.
    """
    keys = session_keys(opened.hello, opened.enc, secret)
    if keys.commitment != opened.commitment:
        raise TamperDetected("a session open commits to another key", code="COMMITMENT")
    intent = gcm_open(keys.control, INTENT_COUNTER, opened.intent, keys.session)
    return keys, Intent.unpack(intent)
