"""SIMULATED: the development quoting service in place of hardware. Protects nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeVar

from chiron_stream.attestation.evidence import SIMULATED, Evidence
from chiron_stream.attestation.quoting import (
    QuoteAnswer,
    QuoteRequest,
    Request,
    SealingKeyAnswer,
    SealingKeyRequest,
    open_answer,
    seal_request,
)
from chiron_stream.errors import EvidenceRefused
from chiron_stream.wire.crypto import XWING_SEED, XWingPrivateKey

A = TypeVar("A", QuoteAnswer, SealingKeyAnswer)


class SimulatedTee:
    """A core's end of the development quoting service.

    :param role: of this core.
    :param service_key: X-Wing public key of the service, from the verified policy.
    :param relay: the courier: carries sealed bytes there and back, and may lie.
    :param measurement: what this core says it is (:mod:`enclave_workers.core.tee.files`).
    """

    profile: Final = SIMULATED

    def __init__(
        self,
        role: str,
        service_key: bytes,
        relay: Callable[[bytes], bytes],
        measurement: bytes,
    ) -> None:
        self._role = role
        self._service_key = service_key
        self._relay = relay
        self._measurement = measurement

    def evidence(self, report_data: bytes) -> Evidence:
        """Return make-believe evidence for 64 bytes of report data.

        :raises EvidenceRefused: the service refuses, or answers something else.
        :raises TamperDetected: the answer is not to this request.
        """
        reply = XWingPrivateKey(os.urandom(XWING_SEED))
        request = QuoteRequest(self._role, self._measurement, report_data, reply.public)
        return self._ask(request, reply, QuoteAnswer).evidence

    def sealing_key(self, label: bytes) -> bytes:
        """Return this measurement's 32-byte key for a label.

        :raises EvidenceRefused: the service refuses, or answers something else.
        :raises TamperDetected: the answer is not to this request.
        """
        reply = XWingPrivateKey(os.urandom(XWING_SEED))
        request = SealingKeyRequest(self._role, self._measurement, label, reply.public)
        return self._ask(request, reply, SealingKeyAnswer).key

    def _ask(self, request: Request, reply: XWingPrivateKey, kind: type[A]) -> A:
        sealed = seal_request(self._service_key, request)
        answer = open_answer(reply, sealed, self._relay(sealed))
        if not isinstance(answer, kind):
            raise EvidenceRefused(
                "the development quoting service answers another question",
                (f"expected a {kind.__name__}, got a {type(answer).__name__}",),
            )
        return answer
