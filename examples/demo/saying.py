"""Sentences for whoever runs the demo, as it happens."""

from __future__ import annotations

from typing import Any

Facts = dict[str, Any]
"""What ``build/demo.json`` will hold, by name."""


def say(sentence: str) -> None:
    """Print a line at once."""
    print(sentence, flush=True)
