"""The seam to Kafka: records, clients, the topic catalogue, a local broker, an in-memory double.

Nothing in here is trusted, and nothing in here needs to be: what crosses it is sealed or
tamper-evident, and readers verify. ``chiron_stream.broker.kafka`` is the only importer of a Kafka
client.
"""
