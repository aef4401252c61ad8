"""The trusted execution environment as a core sees it: evidence, and a key of its own.

Two implementations of one :class:`Tee`: :class:`.simulated.SimulatedTee` asks the development
quoting service through the courier; :class:`.gramine.GramineTee` asks the hardware through Gramine.
"""

from __future__ import annotations

from typing import Protocol

from chiron_stream.attestation.evidence import Evidence


class Tee(Protocol):
    """What a core asks of the environment it runs in."""

    @property
    def profile(self) -> str:
        """The evidence profile, as a job's policy names it."""
        ...

    def evidence(self, report_data: bytes) -> Evidence:
        """Return evidence for 64 bytes of report data.

        Its collateral came through untrusted hands; whoever appraises it verifies that too.

        :raises EvidenceRefused: there is none to be had.
        """
        ...

    def sealing_key(self, label: bytes) -> bytes:
        """Return 32 secret bytes that this measurement gets for a label at every start.

        :raises EvidenceRefused: there is none to be had.
        """
        ...
