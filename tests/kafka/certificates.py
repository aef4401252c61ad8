"""A throw-away certificate authority for TLS tests."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM
_KEY_FORMAT = serialization.PrivateFormat.PKCS8


@dataclass(frozen=True)
class Authority:
    """A root certificate, its key, and where its PEM file is."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    file: Path


def authority(folder: Path, name: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _builder(name, name, key).sign(key, hashes.SHA256())
    file = folder / f"{name}.pem"
    file.write_bytes(certificate.public_bytes(PEM))
    return Authority(key, certificate, file)


def key_store(folder: Path, name: str, issuer: Authority, address: str = "127.0.0.1") -> Path:
    """Write a private key and its certificate into one PEM file, as Kafka wants it."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    issuer_name = issuer.certificate.subject.rfc4514_string().removeprefix("CN=")
    builder = _builder(name, issuer_name, key, ca=False).add_extension(names, critical=False)
    certificate = builder.sign(issuer.key, hashes.SHA256())
    file = folder / f"{name}.pem"
    private = key.private_bytes(PEM, _KEY_FORMAT, serialization.NoEncryption())
    file.write_bytes(private + certificate.public_bytes(PEM))
    return file


def _builder(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, *, ca: bool = True
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
