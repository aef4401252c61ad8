"""A data owner with a Kafka of its own: rows stand there in clear, ``chiron bridge`` seals them.

Nothing of that Kafka is the operator's: the search through the job's broker leaves it out.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka
from chiron_stream.broker.records import Outgoing, Partition, TopicState
from chiron_stream.clients.identity import Identity
from chiron_stream.clients.observer import Observer
from chiron_stream.clients.receipts import read_receipts
from chiron_stream.errors import ChironError, Timeout
from chiron_stream.local.directory import JobDirectory
from chiron_stream.recipe.published import DataSetName
from examples.demo.arriving import ACCEPT_SECONDS, Owner
from examples.demo.data import LABEL, Data, Rows
from examples.demo.keeping import CHIRON
from examples.demo.saying import say

TOPIC: Final = "scans"
DATA_SET: Final = "from-its-topic"
HEAP_MB: Final = 256
STOP_SECONDS: Final = 30.0


class BridgeEnded(ChironError):
    """The bridge ended, and nobody asked it to."""

    default_code = "BRIDGE_ENDED"


class BridgingOwner(Owner):
    """An owner whose rows come through a bridge.

    :param folder: of its own Kafka; what was there is removed.
    """

    def __init__(self, directory: JobDirectory, name: str, data: Data, folder: Path) -> None:
        super().__init__(name, data)
        shutil.rmtree(folder, ignore_errors=True)
        self._directory = directory
        self._kafka = LocalKafka(folder, heap_mb=HEAP_MB)
        self._days: list[Rows] = []
        self._bridge: _Bridge | None = None
        self._kafka.start()
        self._broker = KafkaBroker(self._kafka.bootstrap_servers)
        self._broker.administration().create(TOPIC, TopicState(1))
        self._producer = self._broker.producer()

    def join(self) -> None:
        """Start ``chiron bridge``, which goes on until the owner is closed."""
        size = self.data.pace.rows_per_shard
        self._bridge = _Bridge(self._directory, self.name, self._kafka.bootstrap_servers, size)
        say(f"owner B: chiron bridge follows the topic {TOPIC} of a Kafka of B's own")

    def _bring(self, _day: int, rows: Rows) -> None:
        """Write a day's rows to the topic, as JSON; wait until the bridge says: accepted."""
        assert self._bridge is not None, "join() first"
        sent = [self._producer.send(Outgoing(Partition(TOPIC, 0), one)) for one in self._json(rows)]
        for one in sent:
            one.result(ACCEPT_SECONDS)
        self._days.append(rows)
        written = sum(len(one[LABEL]) for one in self._days)
        self._bridge.reach(written // self.data.pace.rows_per_shard)

    def _json(self, rows: Rows) -> list[bytes]:
        values = zip(rows[self.data.input].tolist(), rows[LABEL].tolist(), strict=True)
        return [
            json.dumps({self.data.input: value, LABEL: self.data.classes[code]}).encode()
            for value, code in values
        ]

    @property
    def tables(self) -> Mapping[DataSetName, Rows]:
        """All rows so far, as one data set, in the order of the topic."""
        if not self._days:
            return {}
        identity = Identity.load(self._directory.identity(self.name)).public
        whole = {name: np.concatenate([day[name] for day in self._days]) for name in self._days[0]}
        return {DataSetName(identity, DATA_SET): whole}

    @property
    def shards(self) -> int:
        """Shards accepted so far."""
        return len(self._bridge.accepted) if self._bridge else 0

    def receipts(self, passes: int) -> int:
        """Return how many shards have a receipt of each pass, by what the bridge said of them."""
        assert self._bridge is not None, "join() first"
        with Observer(self._directory.job()) as observer:
            found = read_receipts(observer, self._bridge.accepted)
        return sum(len(one.checkpoints) == passes for one in found)

    def close(self) -> None:
        """End the bridge and the owner's Kafka."""
        if self._bridge is not None:
            self._bridge.close()
        self._producer.close()
        self._broker.close()
        self._kafka.stop()


class _Bridge:
    """The command as a process, and what it says."""

    def __init__(self, directory: JobDirectory, member: str, servers: str, size: int) -> None:
        self.accepted: dict[int, tuple[bytes, int, bytes]] = {}
        """Session, number and digest of every accepted shard, by number."""
        self._log = directory.run / "bridge.log"
        words = ("bridge", TOPIC, "--dataset", DATA_SET, "--source-servers", servers, "--json")
        job = ("--job", str(directory.path), "--as", member, "--insecure-simulation")
        # A day fills its shards: no row waits, however long the machine takes to write a day.
        cut = ("--rows-per-shard", str(size), "--max-wait", "3600")
        with self._log.open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603  (our own command)
                [sys.executable, *CHIRON, *words, *job, *cut],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._ended = False
        self._change = threading.Condition()
        self._listener = threading.Thread(target=self._listen, name="bridge", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._take(json.loads(line))
        with self._change:
            self._ended = True
            self._change.notify_all()

    def _take(self, said: Mapping[str, Any]) -> None:
        if said["kind"] != "bridge.accepted":
            return
        one = said["data"]
        number, digest = one["shard"], bytes.fromhex(one["digest"])
        with self._change:
            self.accepted[number] = bytes.fromhex(one["session"]), number, digest
            self._change.notify_all()

    def reach(self, shards: int) -> None:
        """Wait until so many shards are accepted.

        :raises BridgeEnded: the command ended before.
        :raises Timeout: they are not, for long.
        """
        with self._change:
            self._change.wait_for(
                lambda: self._ended or len(self.accepted) >= shards, ACCEPT_SECONDS
            )
        if len(self.accepted) >= shards:
            return
        if self._ended:
            raise BridgeEnded("the bridge ended", hint=f"its log is {self._log}")
        raise Timeout(
            "the bridge does not go on",
            expected=f"{shards} accepted shards within {ACCEPT_SECONDS:g} s",
            got=f"{len(self.accepted)}",
            hint=f"its log is {self._log}",
        )

    def close(self) -> None:
        """Have it finish what is under way, and end."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._listener.join()
