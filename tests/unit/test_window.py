"""The bound on unacknowledged bytes, which kafka-python 3 does not have."""

from __future__ import annotations

import threading

import pytest

from chiron_stream.broker.kafka.producing import Window
from chiron_stream.errors import Timeout


def test_full_window_refuses_after_its_time() -> None:
    window = Window(100)
    window.take(60, timeout=1)
    with pytest.raises(Timeout, match="not sent"):
        window.take(60, timeout=0.05)
    window.give_back(60)
    window.take(60, timeout=1)


def test_record_larger_than_the_window_goes_alone() -> None:
    window = Window(100)
    window.take(500, timeout=1)
    with pytest.raises(Timeout):
        window.take(1, timeout=0.05)


def test_waiting_sender_goes_on_when_room_is_given_back() -> None:
    window = Window(100)
    window.take(100, timeout=1)
    went_on = threading.Event()

    def wait_and_take() -> None:
        window.take(50, timeout=30)
        went_on.set()

    waiting = threading.Thread(target=wait_and_take)
    waiting.start()
    assert not went_on.is_set()
    window.give_back(100)
    waiting.join(30)
    assert went_on.is_set()
