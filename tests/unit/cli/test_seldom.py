"""What libraries say again and again is said once a minute."""

from __future__ import annotations

import logging
from io import StringIO

import pytest

from chiron_stream.cli.seldom import PAUSE, Seldom, warn_seldom


def record(
    name: str = "aiokafka.conn", words: str = "no node %s", detail: int = 1
) -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, "", 0, words, (detail,), None)


def test_message_passes_once_a_minute_whatever_its_details() -> None:
    clock = [100.0]
    seldom = Seldom(lambda: clock[0])
    assert seldom.filter(record())
    assert not seldom.filter(record(detail=2))
    assert seldom.filter(record("aiokafka.group"))
    assert seldom.filter(record(words="another of %s"))
    clock[0] += PAUSE
    assert seldom.filter(record(detail=3))


def test_traceback_is_left_out_and_warnings_alone_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    root, out = logging.Logger("root"), StringIO()
    monkeypatch.setattr(logging, "getLogger", lambda: root)
    monkeypatch.setattr("sys.stderr", out)
    warn_seldom()
    root.info("nothing of this")
    root.error("it failed", exc_info=ValueError())
    assert out.getvalue() == "root: it failed\n"
