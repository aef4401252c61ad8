"""The trusted half of a worker: bytes in, bytes out, no Kafka, plaintext only here.

Of this project it imports ``chiron_stream.wire``, ``.job``, ``.attestation``, ``.graph`` and
``.errors`` only; a test reads the imports. ``requirements.txt`` links to the lock file that is part
of a simulated core's measurement (:mod:`chiron_stream.attestation.measurement`).
"""
