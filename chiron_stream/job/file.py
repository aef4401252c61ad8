"""The job file: a policy, the signatures under it, and where the broker is.

JSON, so that people can mail it and look at it; what counts is inside, byte for byte::

    {
      "chiron_job": 1,
      "name": "icu-mortality",                       as in the policy
      "job_id": "6f0c…",                             64 hexadecimal digits
      "bootstrap_servers": "kafka.example:9093",     not signed: a hint where to look
      "policy": "gQG…",                              base64 of the policy's canonical bytes
      "signatures": {"3b6a…": "q83v…"}               identity in hexadecimal: base64
    }

:func:`loads` is for whoever takes part: the :class:`Job` it returns is checked and signed by every
owner and the provider. :func:`parse` is for whoever still collects signatures: nothing of the
:class:`JobFile` it returns is verified.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chiron_stream.errors import JobRefused
from chiron_stream.job.policy import Policy, job_id, member, policy_head, read_policy
from chiron_stream.job.roster import MAX_MEMBERS, SIGNERS
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import sign, verified

FORMAT: Final = 1
KEYS: Final = ("chiron_job", "name", "job_id", "bootstrap_servers", "policy", "signatures")
MAX_TEXT: Final = 1024 * 1024
"""Characters of a job file, at most."""

MAX_SERVERS: Final = 1000
_SERVER: Final = re.compile(r"[A-Za-z0-9._-]+:[0-9]{1,5}|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}")
_IDENTITY: Final = re.compile(r"[0-9a-f]{64}")
_SIGNATURE_BYTES: Final = 64

Signatures = tuple[tuple[bytes, bytes], ...]
"""Pairs of identity (32 bytes) and signature (64 bytes), in ascending order of identities."""


@dataclass(frozen=True)
class JobFile:
    """What a job file holds; of a file that was read, nothing but the form is verified."""

    policy: bytes
    signatures: Signatures
    bootstrap_servers: str

    def signed(self, identity: bytes, signature: bytes) -> JobFile:
        """Return the file with one more signature, or another in the place of an older one."""
        table = dict(self.signatures) | {identity: signature}
        return JobFile(self.policy, tuple(sorted(table.items())), self.bootstrap_servers)


@dataclass(frozen=True)
class Job:
    """A job whose policy is consistent and signed by every owner and the provider.

    ``bootstrap_servers`` is not signed: a wrong one can do no more than a broker can.
    """

    policy: Policy
    policy_bytes: bytes
    job_id: bytes
    head: bytes
    bootstrap_servers: str
    signatures: Signatures

    def __repr__(self) -> str:
        """Show name and id."""
        return f"Job({self.policy.name!r}, {self.job_id.hex()[:16]}…)"

    @property
    def file(self) -> JobFile:
        """What :func:`dumps` writes."""
        return JobFile(self.policy_bytes, self.signatures, self.bootstrap_servers)

    def require_simulation(self, allowed: bool) -> None:  # noqa: FBT001  (the one argument)
        """Refuse a job with simulated evidence to a caller who did not ask for it.

        :param allowed: whether the caller passed :class:`InsecureSimulation`.
        :raises JobRefused: code ``SIMULATION``.
        """
        if self.policy.is_simulated and not allowed:
            raise JobRefused(
                f"the evidence of the job {self.policy.name} is SIMULATED: nothing is confidential",
                code="SIMULATION",
                expected="a caller who asks for simulation, or a policy with hardware evidence",
                got=self.policy.evidence.profile,
                hint="for tests only: evidence=InsecureSimulation()",
            )


def sign_policy(policy_bytes: bytes, key: Ed25519PrivateKey) -> tuple[bytes, bytes]:
    """Return identity and signature under a policy. Read it first: :func:`read_policy`."""
    identity = key.public_key().public_bytes_raw()
    return identity, sign(key, labels.SIGN_POLICY, policy_bytes)


def verify(file: JobFile) -> Job:
    """Return the job of a file whose policy is consistent and signed by all who must.

    :raises EncodingRefused: the policy's bytes are not canonical.
    :raises JobRefused: the policy contradicts itself, a signature is missing (named), does not
        verify, or is by somebody whose signature says nothing; code ``JOB_SIGNATURES``.
    """
    policy = read_policy(file.policy)
    for identity, signature in file.signatures:
        _check_signature(policy, file.policy, identity, signature)
    signers = {identity for identity, _ in file.signatures}
    if missing := [one.name for one in policy.signers if one.identity not in signers]:
        raise _unsigned("signatures are missing", "every owner's and the provider's", missing)
    if len(signers) != len(file.signatures):
        raise _unsigned("a member signed twice", "one signature each", ["two of one"])
    return Job(
        policy=policy,
        policy_bytes=file.policy,
        job_id=job_id(file.policy),
        head=policy_head(file.policy),
        bootstrap_servers=_servers(file.bootstrap_servers),
        signatures=file.signatures,
    )


def _check_signature(policy: Policy, data: bytes, identity: bytes, signature: bytes) -> None:
    known = member(policy, identity)
    if known is None or known.role not in SIGNERS:
        raise _unsigned(
            "a signature is by somebody else",
            "owners and the provider as signers",
            [identity.hex()[:16] if known is None else known.name],
        )
    if not verified(identity, labels.SIGN_POLICY, data, signature):
        raise _unsigned("a signature does not verify", "a signature of these bytes", [known.name])


def _unsigned(what: str, expected: str, names: Iterable[str]) -> JobRefused:
    return JobRefused(what, code="JOB_SIGNATURES", expected=expected, got=", ".join(names))


def dumps(file: JobFile) -> str:
    """Return the text of a job file, which may still lack signatures.

    :raises ChironError: the policy cannot be used.
    """
    table = {
        "chiron_job": FORMAT,
        "name": read_policy(file.policy).name,
        "job_id": job_id(file.policy).hex(),
        "bootstrap_servers": _servers(file.bootstrap_servers),
        "policy": _base64(file.policy),
        "signatures": {one.hex(): _base64(signature) for one, signature in file.signatures},
    }
    return json.dumps(table, indent=2) + "\n"


def loads(text: str) -> Job:
    """Return the job of a file's text, verified: see :func:`verify`.

    :param text: untrusted.
    :raises JobRefused: not a job file (code ``JOB_FILE``), or as :func:`verify`.
    """
    return verify(parse(text))


def parse(text: str) -> JobFile:
    """Return what a job file's text holds; the policy is consistent, no signature is verified.

    :param text: untrusted.
    :raises JobRefused: not a job file, or name or id are not the policy's; code ``JOB_FILE``.
    """
    table = _table(text)
    _expect(set(table) == set(KEYS), f"exactly the keys {', '.join(KEYS)}", "others")
    version = table["chiron_job"]
    _expect(type(version) is int and version == FORMAT, f"format {FORMAT}", "another")
    data = _decoded(table["policy"], "policy")
    _expect(table["name"] == read_policy(data).name, "the policy's name", "another")
    _expect(table["job_id"] == job_id(data).hex(), "the policy's job_id", "another")
    return JobFile(data, _signatures(table["signatures"]), _servers(table["bootstrap_servers"]))


def _table(text: str) -> dict[str, Any]:
    _expect(len(text) <= MAX_TEXT, f"at most {MAX_TEXT} characters", str(len(text)))
    try:
        table = json.loads(text, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise _refused("one JSON object", type(error).__name__) from error
    if not isinstance(table, dict):
        raise _refused("one JSON object", type(table).__name__)
    return table


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    _expect(len(table) == len(pairs), "each key once", "a doubled key")
    return table


def _signatures(table: object) -> Signatures:
    if not isinstance(table, dict) or len(table) > MAX_MEMBERS:
        raise _refused(f"a table of at most {MAX_MEMBERS} signatures", "another")
    found = []
    for identity, text in table.items():
        good = _IDENTITY.fullmatch(identity) is not None
        _expect(good, "an identity of 64 lower-case hexadecimal digits", "another")
        signature = _decoded(text, "signature")
        size = len(signature)
        _expect(size == _SIGNATURE_BYTES, f"{_SIGNATURE_BYTES} bytes of signature", str(size))
        found.append((bytes.fromhex(identity), signature))
    return tuple(sorted(found))


def _servers(text: object) -> str:
    good = isinstance(text, str) and len(text) <= MAX_SERVERS
    if not isinstance(text, str) or not good:
        raise _refused(f"bootstrap_servers of at most {MAX_SERVERS} characters", "another")
    for server in text.split(","):
        good = _SERVER.fullmatch(server) is not None and 0 < int(server.rpartition(":")[2]) < 65536
        _expect(good, "bootstrap_servers like host:port,host:port", "another")
    return text


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decoded(text: object, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError) as error:
        raise _refused(f"the {what} in base64", "another text") from error
    _expect(_base64(data) == text, f"the {what} in base64", "another form")
    return data


def _expect(good: bool, expected: str, got: str) -> None:  # noqa: FBT001  (a condition)
    if not good:
        raise _refused(expected, got)


def _refused(expected: str, got: str) -> JobRefused:
    return JobRefused("a job file does not read", code="JOB_FILE", expected=expected, got=got)
