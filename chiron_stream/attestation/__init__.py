"""Attestation: whether measured code, in a TEE that the job accepts, holds a key.

Pure functions: evidence, policy and ``now`` in, a verdict with every reason out. Roles are those of
RFC 9334: a worker is the *attester*, whoever calls :func:`.appraisal.appraise` is *verifier* and
*relying party* in one. Nothing here fetches, mints or stores: collateral comes from the untrusted
courier, and make-believe evidence from :mod:`chiron_stream.simulation`, a process of its own.

What is checked, by whom, and what is left to the caller: ``docs/attestation.md``.
"""
