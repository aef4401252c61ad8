"""Auditors: each round's plan as it was executed, opened with the auditor's key.

>>> with Auditor("icu.job", "dan.identity") as auditor:  # doctest: +SKIP
...     [plan.round for plan in auditor.plans()]
"""

from __future__ import annotations

from collections.abc import Mapping

from chiron_stream.attestation.akd import AttestedKeyDocument
from chiron_stream.clients.party import Member
from chiron_stream.clients.receipts import receipt_records, signers
from chiron_stream.errors import TamperDetected
from chiron_stream.job.policy import Role
from chiron_stream.wire.crypto import XWingPrivateKey
from chiron_stream.wire.receipts import Plan, PlanRecord, open_plan


class Auditor(Member):
    """Reads plans; see :class:`~chiron_stream.clients.party.Member` for the arguments."""

    role = Role.AUDITOR

    def plans(self) -> list[Plan]:
        """Return the plans of all rounds so far, in order.

        What a plan says is the attested coordinator's word: whoever has rows and recipe can check
        it by computing the rounds again (``chiron_stream.recipe.reference_loop``).

        :raises TamperDetected: a plan does not open, is not signed by a coordinator that the policy
            allows, or a round is missing.
        """
        known = signers(self)
        found = [
            self._opened(record, known)
            for record in receipt_records(self)
            if isinstance(record, PlanRecord) and record.auditor == self.identity.public
        ]
        for number, plan in enumerate(found, 1):
            if plan.version != number:
                raise TamperDetected(
                    "a plan is missing",
                    code="PLAN_MISSING",
                    expected=f"version {number}",
                    got=f"version {plan.version}",
                )
        return found

    def _opened(self, record: PlanRecord, known: Mapping[bytes, AttestedKeyDocument]) -> Plan:
        if record.signer not in known:
            raise TamperDetected("a plan of a signer without evidence", code="SIGNER")
        key = XWingPrivateKey(self.identity.hpke_seed)
        return open_plan(record, self.job.job_id, key, known[record.signer].signing_key)
