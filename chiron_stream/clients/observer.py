"""Whoever looks at a job without taking part: verified checkpoints, and counts of rejections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chiron_stream.broker.seam import Broker
from chiron_stream.clients.party import Connected
from chiron_stream.clients.receipts import Checkpoints
from chiron_stream.job.file import Job
from chiron_stream.wire.receipts import Checkpoint


@dataclass(frozen=True)
class Seen:
    """What a job's public topics show now. ``epoch`` 0: there was no coordinator yet."""

    name: str
    simulated: bool
    epoch: int
    checkpoint: Checkpoint | None
    rejected: int


class Observer(Connected):
    """Reads a job's public topics; needs no identity, and learns nothing that is sealed."""

    def __init__(
        self,
        job: Job,
        *,
        bootstrap_servers: str | None = None,
        kafka: Mapping[str, str] | None = None,
        broker: Broker | None = None,
    ) -> None:
        super().__init__(
            job,
            allow_simulation=True,
            bootstrap_servers=bootstrap_servers,
            kafka=kafka,
            broker=broker,
        )
        self._checkpoints = Checkpoints(self)

    def look(self) -> Seen:
        """Return what there is, all signatures and evidence verified; later looks read on.

        :raises TamperDetected: checkpoints that are no honest history.
        :raises EvidenceRefused: a coordinator that the policy does not allow.
        """
        epochs = [one.epoch for one in self.activations()]
        self._checkpoints.read_on()
        marks = self.broker.watermarks(self.partition("rejected"))
        return Seen(
            name=self.job.policy.name,
            simulated=self.job.policy.is_simulated,
            epoch=max(epochs, default=0),
            checkpoint=self._checkpoints.newest,
            rejected=marks.high - marks.low,
        )
