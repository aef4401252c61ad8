"""The predictors' group by Faust, where there is no broker."""

from __future__ import annotations

import gc
import socket
import threading

import pytest

from chiron_stream.errors import BrokerUnreachable
from enclave_workers.courier.predictor import FaustGroup

LIMIT = 60.0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_group_that_cannot_be_joined_says_so_to_whoever_takes_records() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    arrived = threading.Event()
    group = FaustGroup(f"127.0.0.1:{port}", {}, "queries", "group", arrived.set)
    try:
        assert arrived.wait(LIMIT)
        with pytest.raises(BrokerUnreachable, match="cannot be joined: KafkaConnectionError"):
            group.taken(1)
    finally:
        group.close()
        del group
        gc.collect()  # Faust leaves the event loop of a consumer that it made and never started
