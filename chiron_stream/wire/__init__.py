"""Wire formats: pure functions from bytes to verified objects and back.

No I/O, no clock, no randomness, no global state, no torch, no Kafka: the rule is a test. So far
this is the encoding that all signed and hashed objects share, :mod:`chiron_stream.wire.canonical`.
"""
