"""The make-believe Intel: mints quotes and collateral, and derives sealing keys."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from chiron_stream.attestation.evidence import SIMULATED, Evidence
from chiron_stream.errors import ConfigurationRefused
from chiron_stream.simulation import certificates, store
from chiron_stream.simulation.certificates import Holder
from chiron_stream.simulation.collateral import collateral
from chiron_stream.simulation.der import sgx_extension
from chiron_stream.simulation.platform import CPU_SVN, FMSPC, HONEST, PCE_ID, PCE_SVN, Platform
from chiron_stream.simulation.quotes import Report, quote
from chiron_stream.simulation.store import StoredAuthority, StoredHolder
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import KEY, XWING_SEED, XWingPrivateKey, derive


@dataclass(frozen=True, repr=False)
class Authority:
    """All keys of one development quoting service; TEST ONLY, it vouches for whatever is asked.

    :param root: its certificate's digest is what a simulated job pins.
    :param pck: certificate of the one platform, with its SGX extension.
    :param service: opens requests; a simulated job names its public half.
    """

    root: Holder
    intermediate: Holder
    signer: Holder
    pck: Holder
    service_seed: bytes
    sealing_secret: bytes

    @classmethod
    def generate(cls, now: int) -> Authority:
        """Return new keys, with certificates valid from a day before ``now`` for ten years."""
        root = certificates.authority("SGX Root CA", None, now, below=1)
        intermediate = certificates.authority("SGX PCK Platform CA", root, now, below=0)
        extension = sgx_extension(CPU_SVN, PCE_SVN, PCE_ID, FMSPC)
        return cls(
            root=root,
            intermediate=intermediate,
            signer=certificates.leaf("SGX TCB Signing", root, now),
            pck=certificates.leaf("SGX PCK Certificate", intermediate, now, extension),
            service_seed=os.urandom(XWING_SEED),
            sealing_secret=os.urandom(KEY),
        )

    @classmethod
    def create(cls, directory: Path) -> Authority:
        """Make keys and keep them in a directory.

        :raises ConfigurationRefused: there are keys already, or others may read the directory.
        """
        made = cls.generate(int(time.time()))
        store.write(
            directory,
            StoredAuthority(
                root=_stored(made.root),
                intermediate=_stored(made.intermediate),
                signer=_stored(made.signer),
                pck=_stored(made.pck),
                service_seed=made.service_seed,
                sealing_secret=made.sealing_secret,
            ),
        )
        return made

    @classmethod
    def load(cls, directory: Path) -> Authority:
        """Return the keys of a directory.

        :raises ConfigurationRefused: there are none, they do not read, or others may read them.
        """
        stored = store.read(directory)
        return cls(
            root=_loaded(stored.root),
            intermediate=_loaded(stored.intermediate),
            signer=_loaded(stored.signer),
            pck=_loaded(stored.pck),
            service_seed=stored.service_seed,
            sealing_secret=stored.sealing_secret,
        )

    @property
    def root_der(self) -> bytes:
        """The root certificate in DER; public."""
        return self.root.certificate.public_bytes(Encoding.DER)

    def service(self) -> XWingPrivateKey:
        """Return the key that opens requests; its ``public`` goes into the job's policy."""
        return XWingPrivateKey(self.service_seed)

    def evidence(
        self, measurement: bytes, report_data: bytes, now: int, platform: Platform = HONEST
    ) -> Evidence:
        """Mint evidence for a measurement (32 bytes) and report data (64 bytes).

        The collateral is issued anew, one hour before ``now``, and valid for 30 days.
        """
        report = Report(measurement, report_data, flags=platform.flags)
        pck_chain = certificates.chain(self.pck, self.intermediate, self.root)
        parts = (self.root, self.intermediate, self.signer, self.pck)
        return Evidence(
            profile=SIMULATED,
            quote=quote(report, self.pck.key, pck_chain),
            collateral=collateral(*parts, platform, now),
            root=self.root_der,
        )

    def sealing_key(self, measurement: bytes, label: bytes) -> bytes:
        """Return the key that a measurement gets for a label, the same at every start."""
        return derive(self.sealing_secret, labels.SIMULATED_SEALING, measurement, label)


def _stored(holder: Holder) -> StoredHolder:
    key = holder.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return StoredHolder(key, holder.certificate.public_bytes(Encoding.DER))


def _loaded(stored: StoredHolder) -> Holder:
    try:
        key = load_der_private_key(stored.key, None)
        certificate = x509.load_der_x509_certificate(stored.certificate)
    except ValueError as error:
        raise ConfigurationRefused("a stored key or certificate does not read") from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ConfigurationRefused("a stored key is not an elliptic-curve key")
    return Holder(key, certificate)
