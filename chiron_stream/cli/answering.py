"""How commands print answers."""

from __future__ import annotations

from typing import Any

from chiron_stream.cli.output import Output
from chiron_stream.clients.answers import Answer


def show(output: Output, answer: Answer, **more: Any) -> None:
    """Print one answer: its value for people, everything of it for programs.

    :param more: further fields, in front.
    """
    fields = {
        **more,
        "value": answer.value,
        "release": answer.release,
        "version": answer.version,
        "checkpoint": answer.checkpoint.hex(),
        "budget_left": answer.budget_left,
        "freshness": answer.freshness,
        "simulated": answer.simulated,
        "tag": answer.tag,
        "cursor": answer.cursor,
    }
    sentence = str(answer.value)
    if answer.error is not None:
        fields["error"] = answer.error.diagnostics()
        sentence = f"refused [{answer.error.code}]"
    output.data("answer", fields, sentence)


def rests_on(answer: Answer, end: str) -> str:
    """Return the sentence that says what an answer rests on."""
    mark = "SIMULATED, " if answer.simulated else ""
    return f"{mark}release {answer.release}, freshness: {answer.freshness}, {end}"
