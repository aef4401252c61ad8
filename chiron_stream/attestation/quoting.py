"""Messages between a simulated core and the development quoting service.

The untrusted courier carries them and reads nothing: a request is sealed to the service's X-Wing
key, which the job's policy names; the answer to a key that the core made for this request, under an
``info`` that binds the request's bytes. A refusal is in the clear, because the service may not know
whom to seal it to; so it is hearsay, fit to be shown and nothing more.

The service does **not** learn who asks: whoever knows its public key may name any measurement, and
gets a quote or the sealing key for it. That is what simulation gives up, and why it is never a
default.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Final

from chiron_stream.attestation.evidence import Evidence, XWingPublicKey
from chiron_stream.errors import EvidenceRefused
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import XWingPrivateKey, hpke_seal, sha256
from chiron_stream.wire.document import Digest, Document, Limit, Name, Size, union

FRAME_LIMIT: Final = 128 * 1024
"""Bytes of a request or answer, at most."""


@dataclass(frozen=True)
class QuoteRequest(Document):
    """Ask for evidence that a measurement vouches for REPORTDATA."""

    KIND: ClassVar[int] = 210

    role: Name
    measurement: Digest
    report_data: Annotated[bytes, Size(64)]
    reply_key: XWingPublicKey


@dataclass(frozen=True)
class SealingKeyRequest(Document):
    """Ask for the key that is the same for a measurement and label at every start."""

    KIND: ClassVar[int] = 211

    role: Name
    measurement: Digest
    label: Annotated[bytes, Limit(256)]
    reply_key: XWingPublicKey


@dataclass(frozen=True)
class QuoteAnswer(Document):
    """The evidence asked for."""

    KIND: ClassVar[int] = 212

    evidence: Evidence


@dataclass(frozen=True)
class SealingKeyAnswer(Document):
    """The sealing key asked for; kept out of representations."""

    KIND: ClassVar[int] = 213

    key: Digest = field(repr=False)


@dataclass(frozen=True)
class QuotingRefused(Document):
    """The service does not answer, in the clear and unauthenticated."""

    KIND: ClassVar[int] = 214

    reason: Annotated[str, Limit(1024)]


@dataclass(frozen=True)
class SealedAnswer(Document):
    """An answer, sealed to the request's reply key."""

    KIND: ClassVar[int] = 215

    sealed: Annotated[bytes, Limit(FRAME_LIMIT - 64)]


Request = QuoteRequest | SealingKeyRequest
Answer = QuoteAnswer | SealingKeyAnswer

_REQUEST: Final[Callable[[bytes], Request]] = union(QuoteRequest, SealingKeyRequest)
_ANSWER: Final[Callable[[bytes], Answer]] = union(QuoteAnswer, SealingKeyAnswer)
_FRAME: Final[Callable[[bytes], SealedAnswer | QuotingRefused]] = union(
    SealedAnswer, QuotingRefused
)


def seal_request(service_key: bytes, request: Request) -> bytes:
    """Return the bytes for the courier to carry to the service.

    :raises TamperDetected: the service key is not an X-Wing public key.
    """
    return hpke_seal(service_key, request.pack(), labels.INFO_QUOTING_REQUEST)


def open_request(service: XWingPrivateKey, sealed: bytes) -> Request:
    """Return the request in untrusted bytes, on the service's side.

    :raises TamperDetected: it is sealed to another key.
    :raises EncodingRefused: it is sealed to our key and not a request.
    """
    return _REQUEST(service.open(sealed, labels.INFO_QUOTING_REQUEST))


def seal_answer(request: Request, sealed_request: bytes, answer: Answer) -> bytes:
    """Return the bytes that answer a request, on the service's side.

    :raises TamperDetected: the request's reply key is not an X-Wing public key.
    """
    sealed = hpke_seal(request.reply_key, answer.pack(), _answer_info(sealed_request))
    return SealedAnswer(sealed).pack()


def open_answer(reply: XWingPrivateKey, sealed_request: bytes, frame: bytes) -> Answer:
    """Return the answer in untrusted bytes from the courier; evidence in it is not appraised.

    :param reply: the key whose public half the request named.
    :raises EvidenceRefused: a refusal; its reason is hearsay.
    :raises TamperDetected: an answer to another request or key.
    :raises EncodingRefused: not an answer at all.
    """
    outer = _FRAME(frame)
    if isinstance(outer, QuotingRefused):
        raise EvidenceRefused("the development quoting service refuses", (outer.reason,))
    return _ANSWER(reply.open(outer.sealed, _answer_info(sealed_request)))


def _answer_info(sealed_request: bytes) -> bytes:
    return labels.INFO_QUOTING_RESPONSE + sha256(labels.INFO_QUOTING_REQUEST, sealed_request)
