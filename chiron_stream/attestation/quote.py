"""The one thing about a quote that is read by hand: whether it is as long as it says.

dcap-qvl 0.7 ignores whatever follows a quote, so that one quote would have endless encodings.
Every other field is read from dcap-qvl's verified claims. Layout: Intel, "SGX ECDSA
QuoteLibReference DCAP API", appendix A, version 3::

    header 48 ‖ report 384 ‖ length 4 ‖ signature data
    signature data = signature 64 ‖ key 64 ‖ QE report 384 ‖ QE report's signature 64
                   ‖ length 2 ‖ QE authentication data ‖ type 2 ‖ length 4 ‖ certification data
"""

from __future__ import annotations

import struct
from typing import Final

VERSION: Final = 3
_LENGTH_AT: Final = 48 + 384
_SIGNATURE_DATA_AT: Final = _LENGTH_AT + 4
_QE_DATA_LENGTH_AT: Final = _SIGNATURE_DATA_AT + 64 + 64 + 384 + 64
_CERTIFICATION_HEADER: Final = 2 + 4


def length_defect(quote: bytes) -> str | None:
    """Return why untrusted bytes are not exactly one quote of version 3, or ``None`` if they are.

    Three lengths must agree with the number of bytes: of the signature data, of the QE's
    authentication data and of the certification data. Nothing else is checked.
    """
    if len(quote) < _QE_DATA_LENGTH_AT + 2 + _CERTIFICATION_HEADER:
        return f"quote: {len(quote)} bytes are too few"
    version = struct.unpack_from("<H", quote)[0]
    if version != VERSION:
        return f"quote: expected version {VERSION}, got {version}"
    told = _SIGNATURE_DATA_AT + struct.unpack_from("<I", quote, _LENGTH_AT)[0]
    if len(quote) != told:
        return f"quote: expected {told} bytes, got {len(quote)}"
    end = _QE_DATA_LENGTH_AT + 2 + struct.unpack_from("<H", quote, _QE_DATA_LENGTH_AT)[0]
    if len(quote) < end + _CERTIFICATION_HEADER:
        return "quote: the QE's authentication data reach beyond the end"
    told = end + _CERTIFICATION_HEADER + struct.unpack_from("<I", quote, end + 2)[0]
    if len(quote) != told:
        return f"quote: expected {told} bytes by its certification data, got {len(quote)}"
    return None
