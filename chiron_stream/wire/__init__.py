"""Wire formats: pure functions from bytes to verified objects and back.

No I/O, no clock, no global state, no torch, no Kafka: the rule is a test. The only randomness is
what HPKE and Cobblestone draw inside the library. ``docs/wire-format.md`` describes every format
for whoever writes a party in another language; ``tests/vectors/wire.json`` has examples.
"""
