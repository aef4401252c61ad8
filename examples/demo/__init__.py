"""``make demo``: two owners, a provider and a client; real processes over a real Kafka.

In the order of the story: :mod:`~examples.demo.options` and :mod:`~examples.demo.choosing` (which
data), :mod:`~examples.demo.story` (who does what when), :mod:`~examples.demo.judging` (what has to
be true of it).
"""
