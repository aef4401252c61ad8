"""Certificates and revocation lists of the make-believe infrastructure, all named TEST ONLY."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from chiron_stream.simulation.der import SGX_EXTENSION

DAY: Final = 24 * 3600
LIFETIME: Final = 3650 * DAY
"""Validity of every certificate, in seconds: ten years."""

ORGANISATION: Final = "TEST ONLY - not Intel"


@dataclass(frozen=True, repr=False)
class Holder:
    """A certificate and its private key."""

    key: EllipticCurvePrivateKey
    certificate: x509.Certificate


def moment(seconds: int) -> datetime:
    """Return seconds since 1970 as a time."""
    return datetime.fromtimestamp(seconds, UTC)


def authority(name: str, issuer: Holder | None, now: int, *, below: int) -> Holder:
    """Return a certificate authority with at most ``below`` authorities under it.

    :param issuer: who signs it; without one it signs itself.
    """
    key = generate_private_key(SECP256R1())
    constraints = x509.BasicConstraints(ca=True, path_length=below)
    return _issue(name, key, issuer, now, constraints, None)


def leaf(name: str, issuer: Holder, now: int, sgx: bytes | None = None) -> Holder:
    """Return a certificate that signs no other; ``sgx`` is the value of its SGX extension."""
    key = generate_private_key(SECP256R1())
    return _issue(name, key, issuer, now, x509.BasicConstraints(ca=False, path_length=None), sgx)


def revocations(issuer: Holder, start: int, end: int, revoked: Iterable[int] = ()) -> bytes:
    """Return the DER of a list, valid from start to end, of revoked serial numbers."""
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(moment(start))
        .next_update(moment(end))
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(identifier, critical=False)
    )
    for serial in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial)
        builder = builder.add_revoked_certificate(entry.revocation_date(moment(start)).build())
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def chain(*holders: Holder) -> str:
    """Return certificates in PEM, one after the other."""
    return "".join(one.certificate.public_bytes(Encoding.PEM).decode() for one in holders)


def _issue(
    name: str,
    key: EllipticCurvePrivateKey,
    issuer: Holder | None,
    now: int,
    constraints: x509.BasicConstraints,
    sgx: bytes | None,
) -> Holder:
    signer = issuer.key if issuer else key
    public = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer.certificate.subject if issuer else _name(name))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment(now - DAY))
        .not_valid_after(moment(now + LIFETIME))
        .add_extension(constraints, critical=True)
        .add_extension(_usage(signs_certificates=constraints.ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if sgx is not None:
        builder = builder.add_extension(
            x509.UnrecognizedExtension(SGX_EXTENSION, sgx), critical=False
        )
    return Holder(key, builder.sign(signer, hashes.SHA256()))


def _name(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"TEST ONLY simulated {name}"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
        ]
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=not signs_certificates,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
