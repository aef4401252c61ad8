"""The SGX extension of a PCK certificate, in DER.

By hand: ``cryptography.hazmat.asn1`` 50 has no ENUMERATED (the SGX type is one) and no sequence of
unlike members, and Intel's layout is a sequence of pairs of an identifier and any of five types
(Intel, "SGX PCK Certificate and CRL profile"). Writing only; nothing here reads DER.
"""

from __future__ import annotations

from typing import Final

from cryptography.x509 import ObjectIdentifier

SGX_EXTENSION: Final = ObjectIdentifier("1.2.840.113741.1.13.1")

_INTEGER: Final = 0x02
_OCTETS: Final = 0x04
_OID: Final = 0x06
_ENUMERATED: Final = 0x0A
_SEQUENCE: Final = 0x30
_PLATFORM: Final = 1
"""SGX type "scalable" is 1, "standard" 0."""


def sgx_extension(cpu_svn: bytes, pce_svn: int, pce_id: bytes, fmspc: bytes) -> bytes:
    """Return the extension's value for a platform with these 16, 2 and 6 bytes and this number."""
    components = [_pair(f"2.{n}", _number(svn)) for n, svn in enumerate(cpu_svn, 1)]
    return _sequence(
        _pair("1", _tlv(_OCTETS, bytes(16))),
        _pair(
            "2",
            _sequence(
                *components, _pair("2.17", _number(pce_svn)), _pair("2.18", _tlv(_OCTETS, cpu_svn))
            ),
        ),
        _pair("3", _tlv(_OCTETS, pce_id)),
        _pair("4", _tlv(_OCTETS, fmspc)),
        _pair("5", _number(_PLATFORM, _ENUMERATED)),
    )


def _tlv(tag: int, body: bytes) -> bytes:
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def _sequence(*members: bytes) -> bytes:
    return _tlv(_SEQUENCE, b"".join(members))


def _number(value: int, tag: int = _INTEGER) -> bytes:
    return _tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _pair(suffix: str, value: bytes) -> bytes:
    return _sequence(_identifier(f"{SGX_EXTENSION.dotted_string}.{suffix}"), value)


def _identifier(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    return _tlv(_OID, b"".join(_base128(arc) for arc in (40 * first + second, *rest)))


def _base128(arc: int) -> bytes:
    digits = [arc & 0x7F]
    while arc := arc >> 7:
        digits.append(0x80 | arc & 0x7F)
    return bytes(reversed(digits))
