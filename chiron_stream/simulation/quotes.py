"""Quotes of version 3, in bytes.

Layout: Intel, "SGX ECDSA QuoteLibReference DCAP API", appendix A; the report body is
``sgx_report_body_t`` of the SGX SDK.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from chiron_stream.simulation.platform import CPU_SVN, INIT_MODE64, PCE_SVN, QE_SIGNER, QE_SVN

QE_VENDOR: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
"""Intel's vendor id; dcap-qvl refuses any other."""

_VERSION: Final = 3
_ECDSA_P256: Final = 2
_PEM_CHAIN: Final = 5
_QE_DATA: Final = b"TEST ONLY simulated QE auth data"
_PROVISION_KEY: Final = 0x10
_QE_XFRM: Final = 0xE7


@dataclass(frozen=True)
class Report:
    """An enclave's report; the fields that are not here are zero or the platform's."""

    mr_enclave: bytes
    report_data: bytes
    mr_signer: bytes = bytes(32)
    flags: int = INIT_MODE64
    xfrm: int = 0x3
    isv_prod_id: int = 0
    isv_svn: int = 0

    def encode(self) -> bytes:
        """Return the 384 bytes that a TEE signs."""
        return b"".join(
            (
                CPU_SVN,
                bytes(4 + 12 + 16),
                struct.pack("<QQ", self.flags, self.xfrm),
                self.mr_enclave,
                bytes(32),
                self.mr_signer,
                bytes(32 + 64),
                struct.pack("<HHH", self.isv_prod_id, self.isv_svn, 0),
                bytes(42 + 16),
                self.report_data,
            )
        )


def raw_signature(key: EllipticCurvePrivateKey, message: bytes) -> bytes:
    """Return ECDSA with SHA-256 as ``r ‖ s``, 64 bytes, the form that DCAP uses."""
    r, s = decode_dss_signature(key.sign(message, ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def quote(report: Report, pck_key: EllipticCurvePrivateKey, pck_chain: str) -> bytes:
    """Return a quote over a report, by a new attestation key that the platform's key certifies."""
    attestation_key = generate_private_key(SECP256R1())
    numbers = attestation_key.public_key().public_numbers()
    public = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    header = struct.pack("<HHIHH", _VERSION, _ECDSA_P256, 0, QE_SVN, PCE_SVN) + QE_VENDOR
    signed = header + bytes(20) + report.encode()
    qe_report = _qe_report(hashlib.sha256(public + _QE_DATA).digest()).encode()
    certificates = pck_chain.encode()
    data = b"".join(
        (
            raw_signature(attestation_key, signed),
            public,
            qe_report,
            raw_signature(pck_key, qe_report),
            struct.pack("<H", len(_QE_DATA)),
            _QE_DATA,
            struct.pack("<HI", _PEM_CHAIN, len(certificates)),
            certificates,
        )
    )
    return signed + struct.pack("<I", len(data)) + data


def _qe_report(key_hash: bytes) -> Report:
    return Report(
        mr_enclave=hashlib.sha256(b"TEST ONLY simulated quoting enclave").digest(),
        report_data=key_hash + bytes(32),
        mr_signer=QE_SIGNER,
        flags=INIT_MODE64 | _PROVISION_KEY,
        xfrm=_QE_XFRM,
        isv_prod_id=1,
        isv_svn=QE_SVN,
    )
