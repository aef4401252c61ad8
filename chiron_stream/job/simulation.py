"""The one word with which a caller accepts evidence that no hardware stands behind."""

from __future__ import annotations


class InsecureSimulation:
    """Accept simulated evidence: ``DataOwner(job, me, evidence=InsecureSimulation())``.

    For tests, demonstrations and development. Whoever runs the machines can read everything. The
    policy must allow simulation as well; there is no environment variable for it.
    """

    def __repr__(self) -> str:
        """Show the name."""
        return "InsecureSimulation()"
