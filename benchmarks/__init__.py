"""Benchmarks on a real Apache Kafka: ``python -m benchmarks``.

Each row of ``build/bench.json`` compares this project with a named baseline measured in the same
run, alternating, and says under which load and with which versions. See ``docs`` of each module
for what is measured against what, and why.
"""
