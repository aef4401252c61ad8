"""The roster: who takes part in a job, in which role, under which public keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from chiron_stream.attestation.evidence import XWingPublicKey
from chiron_stream.job.refusal import expect, expect_between, expect_name
from chiron_stream.wire.crypto import XWING_PUBLIC, is_weak
from chiron_stream.wire.document import Document, Name, PublicKey

MAX_MEMBERS: Final = 1000
_MLKEM_PUBLIC: Final = XWING_PUBLIC - 32
_PROBE: Final = X25519PrivateKey.from_private_bytes(bytes(31) + b"\x40")


class Role(IntEnum):
    """What a member may do."""

    OWNER = 1
    PROVIDER = 2
    CLIENT = 3
    AUDITOR = 4


SIGNERS: Final = (Role.OWNER, Role.PROVIDER)
"""Whose signatures a policy needs: theirs are the rows and the recipe."""


@dataclass(frozen=True)
class Member(Document):
    """One party: an Ed25519 identity in one role, and an X-Wing key to seal things to."""

    KIND: ClassVar[int] = 150
    role: Role
    name: Name
    identity: PublicKey
    hpke_key: XWingPublicKey | None = None

    def check(self) -> None:
        """Raise :class:`JobRefused` unless name and keys can be used; auditors need both keys."""
        expect_name(self.name, f"a member in the role {self.role.name}")
        strong = len(self.identity) == 32 and not is_weak(self.identity)
        expect(strong, f"the identity of {self.name} is weak", "an Ed25519 key of full order")
        needed = self.role is Role.AUDITOR
        given = self.hpke_key is not None
        expect(given or not needed, f"the auditor {self.name} has no X-Wing key", "one", "none")
        if self.hpke_key is not None:
            usable = is_hpke_key(self.hpke_key)
            expect(usable, f"the X-Wing key of {self.name} cannot be used", "an X-Wing public key")


def is_hpke_key(key: bytes) -> bool:
    """Tell whether one can seal to an X-Wing public key: its parts parse, no part is degenerate."""
    if len(key) != XWING_PUBLIC:
        return False
    try:
        MLKEM768PublicKey.from_public_bytes(key[:_MLKEM_PUBLIC])
        # Of small order: every exchange gives zeros, which the library refuses (RFC 7748, 6.1).
        _PROBE.exchange(X25519PublicKey.from_public_bytes(key[_MLKEM_PUBLIC:]))
    except ValueError:
        return False
    return True


def check_roster(roster: Sequence[Member]) -> None:
    """Raise :class:`JobRefused` unless members differ, and there are owners and one provider."""
    expect_between(len(roster), 1, MAX_MEMBERS, "the number of members")
    for member in roster:
        member.check()
    _expect_distinct([member.name for member in roster], "names")
    _expect_distinct([member.identity for member in roster], "identities")
    _expect_distinct([one.hpke_key for one in roster if one.hpke_key is not None], "X-Wing keys")
    roles = [member.role for member in roster]
    expect(Role.OWNER in roles, "the roster has no data owner", "at least one", 0)
    providers = roles.count(Role.PROVIDER)
    expect(providers == 1, "the roster has no single provider", "exactly one", providers)


def _expect_distinct(values: Sequence[str | bytes], what: str) -> None:
    doubled = len(values) - len(set(values))
    expect(not doubled, f"members share {what}", f"different {what}", f"{doubled} doubled")
