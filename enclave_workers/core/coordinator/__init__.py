"""The coordinator's core: the pure state machine (``step`` and what it calls), and its shell."""
