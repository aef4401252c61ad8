"""What the make-believe platform is like: honest, or with one of the defects that tests need."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

FMSPC: Final = bytes.fromhex("00ffffff0000")
"""Family of the platform; Intel has none of this number."""

CPU_SVN: Final = bytes([5] * 16)
PCE_SVN: Final = 13
PCE_ID: Final = bytes(2)
QE_SVN: Final = 8
QE_SIGNER: Final = hashlib.sha256(b"TEST ONLY simulated quoting enclave signer").digest()
INIT_MODE64: Final = 0x05


@dataclass(frozen=True)
class Platform:
    """The platform, its collateral and the enclave's attributes; every default is in order.

    :param flags: SGX attributes of the enclave (0x02 is DEBUG).
    :param tcb_status: status of the platform's TCB level.
    :param qe_status: status of the quoting enclave's TCB level.
    :param revoked: the platform's certificate stands on the revocation list.
    :param fmspc: family that the TCB info is for.
    :param pce_id: PCE that the TCB info is for.
    :param signed_by_platform: TCB info is signed by the platform's own key, not Intel's signer.
    :param pck_list_missing: the root's revocation list stands in the place of the platform CA's.
    """

    flags: int = INIT_MODE64
    tcb_status: str = "UpToDate"
    qe_status: str = "UpToDate"
    advisories: tuple[str, ...] = ()
    evaluation_number: int = 1
    revoked: bool = False
    fmspc: bytes = FMSPC
    pce_id: bytes = PCE_ID
    signed_by_platform: bool = False
    pck_list_missing: bool = False


HONEST: Final = Platform()
