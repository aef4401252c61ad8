"""SGX under Gramine: quotes and sealing keys through the files below ``/dev/attestation``.

Gramine documentation, "Attestation and Secret Provisioning": write 64 bytes to
``user_report_data``, read ``quote``; ``keys/_sgx_mrenclave`` holds 16 bytes that the processor
derives from MRENCLAVE, the same at every start on one machine. Not run on hardware yet.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from chiron_stream.attestation.evidence import SGX, Evidence
from chiron_stream.errors import EvidenceRefused
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import derive, extract

DEVICE: Final = Path("/dev/attestation")
_SEALING_KEY: Final = 16


def inside_gramine(device: Path = DEVICE) -> bool:
    """Tell whether this process runs under Gramine with DCAP quotes.

    It decides which :class:`Tee` a core makes, and nothing else: whoever appraises the evidence
    does not ask the core what it runs in.
    """
    kind = device / "attestation_type"
    return kind.is_file() and kind.read_bytes().strip() == b"dcap"


class GramineTee:
    """The hardware. Two threads must not ask at the same time: they share the report data file.

    :param collateral: asks the untrusted courier for collateral (JSON) and root certificate (DER)
        that fit a quote; whoever appraises the evidence verifies them.
    """

    profile: Final = SGX

    def __init__(
        self, collateral: Callable[[bytes], tuple[bytes, bytes]], device: Path = DEVICE
    ) -> None:
        self._collateral = collateral
        self._device = device

    def evidence(self, report_data: bytes) -> Evidence:
        """Return a quote over 64 bytes of report data, with collateral.

        :raises EvidenceRefused: Gramine gives no quote.
        """
        try:
            (self._device / "user_report_data").write_bytes(report_data)
            quote = (self._device / "quote").read_bytes()
        except OSError as error:
            raise _refused("a quote", error) from error
        collateral, root = self._collateral(quote)
        return Evidence(self.profile, quote, collateral, root)

    def sealing_key(self, label: bytes) -> bytes:
        """Return 32 bytes for a label, derived from the processor's key for this MRENCLAVE.

        :raises EvidenceRefused: Gramine gives no key, or one of another length.
        """
        try:
            secret = (self._device / "keys" / "_sgx_mrenclave").read_bytes()
        except OSError as error:
            raise _refused("a sealing key", error) from error
        if len(secret) != _SEALING_KEY:
            raise EvidenceRefused(
                "Gramine gives no usable sealing key",
                (f"expected {_SEALING_KEY} bytes, got {len(secret)}",),
            )
        return derive(extract(b"", secret), labels.K_SEALING, label)


def _refused(what: str, error: OSError) -> EvidenceRefused:
    return EvidenceRefused(f"Gramine gives no {what[2:]}", (type(error).__name__,))
