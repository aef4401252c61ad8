"""The untrusted half of a worker: moves bytes between Kafka and its core, and shows telemetry.

``python -m enclave_workers.courier ROLE --job FILE``. A courier that lies can only deny service:
everything it moves is sealed or tamper-evident, and the core verifies what it gets.
"""
