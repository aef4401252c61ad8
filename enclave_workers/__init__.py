"""Workers: a trusted core (``core``, runs in the enclave) and an untrusted courier (``courier``).

The two are processes that live and die together. What may be plaintext is in ``core`` only; what
speaks Kafka is in ``courier`` only. ``docs/architecture.md`` draws it.
"""
