"""``make demo``: one owner, one provider, one client, real processes over a real Kafka."""
