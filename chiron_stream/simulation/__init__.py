"""SIMULATED evidence: the development quoting service, for machines without a TEE.

It plays Intel: a root, a PCK certificate authority, a TCB signer, a platform and its quoting
enclave, all software keys under names that say TEST ONLY. Nothing outside this folder mints
evidence, and what it mints goes through the same appraisal as Intel's, with one difference: the
root that the job's policy pins. It protects nothing from whoever runs it.

Keys are made once by :meth:`.authority.Authority.create`, in a directory of the operator, and held
by ``python -m chiron_stream.simulation DIRECTORY``, a process of its own. Couriers reach it through
:func:`.relay.relay`. Why it is like this: ``docs/decisions/0008-simulation.md``.
"""
