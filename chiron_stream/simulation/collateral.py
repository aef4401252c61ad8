"""Collateral in the JSON that dcap-qvl reads (Intel PCS API v4: TCB info 3, QE identity 2)."""

from __future__ import annotations

import json
from typing import Any, Final

from chiron_stream.simulation.certificates import DAY, Holder, chain, moment, revocations
from chiron_stream.simulation.platform import CPU_SVN, PCE_SVN, QE_SIGNER, QE_SVN, Platform
from chiron_stream.simulation.quotes import raw_signature

VALIDITY: Final = 30 * DAY
"""From one hour before the issue to the next update, in seconds."""

_BACKDATED: Final = 3600


def collateral(
    root: Holder, intermediate: Holder, signer: Holder, pck: Holder, platform: Platform, now: int
) -> bytes:
    """Return collateral issued at ``now - 1 h`` for a platform whose certificate is ``pck``."""
    start = now - _BACKDATED
    end = start + VALIDITY
    info, identity = _tcb_info(platform, start, end), _qe_identity(platform, start, end)
    info_signer = pck if platform.signed_by_platform else signer
    above = (intermediate, root) if platform.signed_by_platform else (root,)
    revoked = [pck.certificate.serial_number] if platform.revoked else []
    root_list = revocations(root, start, end)
    pck_list = revocations(intermediate, start, end, revoked)
    parts = {
        "pck_crl_issuer_chain": chain(intermediate, root),
        "root_ca_crl": root_list.hex(),
        "pck_crl": (root_list if platform.pck_list_missing else pck_list).hex(),
        "tcb_info_issuer_chain": chain(info_signer, *above),
        "tcb_info": info,
        "tcb_info_signature": raw_signature(info_signer.key, info.encode()).hex(),
        "qe_identity_issuer_chain": chain(signer, root),
        "qe_identity": identity,
        "qe_identity_signature": raw_signature(signer.key, identity.encode()).hex(),
    }
    return json.dumps(parts).encode()


def _tcb_info(platform: Platform, start: int, end: int) -> str:
    tcb = {"sgxtcbcomponents": [{"svn": svn} for svn in CPU_SVN], "pcesvn": PCE_SVN}
    return _text(
        {
            "id": "SGX",
            "version": 3,
            **_head(platform, start, end),
            "fmspc": platform.fmspc.hex().upper(),
            "pceId": platform.pce_id.hex().upper(),
            "tcbType": 0,
            "tcbLevels": [_level(tcb, platform.tcb_status, start, platform.advisories)],
        }
    )


def _qe_identity(platform: Platform, start: int, end: int) -> str:
    return _text(
        {
            "id": "QE",
            "version": 2,
            **_head(platform, start, end),
            "miscselect": "00000000",
            "miscselectMask": "FFFFFFFF",
            "attributes": "11000000000000000000000000000000",
            "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
            "mrsigner": QE_SIGNER.hex().upper(),
            "isvprodid": 1,
            "tcbLevels": [_level({"isvsvn": QE_SVN}, platform.qe_status, start, ())],
        }
    )


def _head(platform: Platform, start: int, end: int) -> dict[str, Any]:
    return {
        "issueDate": _date(start),
        "nextUpdate": _date(end),
        "tcbEvaluationDataNumber": platform.evaluation_number,
    }


def _level(
    tcb: dict[str, Any], status: str, start: int, advisories: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "tcb": tcb,
        "tcbDate": _date(start - 30 * DAY),
        "tcbStatus": status,
        "advisoryIDs": list(advisories),
    }


def _date(seconds: int) -> str:
    return moment(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(table: dict[str, Any]) -> str:
    # Signed as it stands: the same text goes into the collateral.
    return json.dumps(table, separators=(",", ":"))
