"""The log's allow-list: declared events and fields only, and no other library's text."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from chiron_stream.errors import BugFound
from chiron_stream.events import configure, emit


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root, ours = logging.getLogger(), logging.getLogger("chiron_stream")
    before = (root.handlers[:], root.level, ours.level)
    stream = io.StringIO()
    configure(stream)
    yield stream
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)


def test_event_is_one_line_of_json(log: io.StringIO) -> None:
    emit("writer.started", transactional_id="chiron-demo", seconds=0.25)
    line = json.loads(log.getvalue())
    assert line.pop("time") > 1_700_000_000
    assert line == {
        "level": "INFO",
        "event": "writer.started",
        "transactional_id": "chiron-demo",
        "seconds": 0.25,
    }


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("row.read", {"row": "alice,42"}),
        ("writer.started", {"transactional_id": "zebra"}),
        ("writer.started", {"transactional_id": "zebra", "seconds": 4.75, "key": "zebu"}),
        ("writer.started", {"transactional_id": b"zebra", "seconds": 4.75}),
        ("writer.started", {"transactional_id": "zebra", "seconds": 475}),
        ("writer.started", {"transactional_id": "a text with blanks", "seconds": 4.75}),
        ("writer.started", {"transactional_id": "x" * 201, "seconds": 4.75}),
        ("writer.started", {"transactional_id": "line\nbreak", "seconds": 4.75}),
    ],
)
def test_what_is_not_declared_is_refused_without_showing_it(
    log: io.StringIO, event: str, fields: dict[str, object]
) -> None:
    with pytest.raises(BugFound) as refused:
        emit(event, **fields)  # type: ignore[arg-type]
    assert log.getvalue() == ""
    assert not any(str(value) in str(refused.value) for value in fields.values())


def test_text_of_other_libraries_is_dropped(log: io.StringIO) -> None:
    logging.getLogger("kafka.admin.client").warning("password=%s", "hunter2")
    assert "hunter2" not in log.getvalue()
    line = json.loads(log.getvalue())
    assert (line["event"], line["logger"]) == ("library", "kafka.admin.client")


def test_text_logged_past_the_allow_list_is_dropped(log: io.StringIO) -> None:
    logging.getLogger("chiron_stream").warning("row %s", "alice")
    logging.getLogger("chiron_stream.wire").warning("row %s", "alice")
    assert "alice" not in log.getvalue()


def test_control_an_ordinary_formatter_would_show_it() -> None:
    record = logging.LogRecord("kafka", logging.INFO, "", 0, "password=%s", ("hunter2",), None)
    assert "hunter2" in logging.Formatter().format(record)


def test_importing_the_library_configures_no_logging() -> None:
    assert logging.getLogger("chiron_stream").handlers == []
