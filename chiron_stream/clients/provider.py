"""Model providers: a sealed recipe in, "imported" or the reason why not back; then progress.

>>> with ModelProvider("icu.job", "lab.identity") as provider:  # doctest: +SKIP
...     for one in provider.progress(timeout=60):
...         print(one.round, one.loss)
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chiron_stream import timeouts
from chiron_stream.broker.records import Outgoing
from chiron_stream.clients.listening import ListeningParty
from chiron_stream.clients.party import OpenSession
from chiron_stream.errors import RecipeRefused, Timeout
from chiron_stream.job.measures import gradient_range, loss_range
from chiron_stream.job.policy import Role
from chiron_stream.wire.control import FIRST_COUNTER, RecipeManifest, chain_start, seal_control
from chiron_stream.wire.document import whole
from chiron_stream.wire.objects import ObjectRef, object_digest, seal_object
from chiron_stream.wire.replies import Acknowledged, Imported, ImportRefused, RoundProgress
from chiron_stream.wire.session import Purpose

if TYPE_CHECKING:
    from chiron_stream.recipe import Recipe


@dataclass(frozen=True)
class Progress:
    """What the provider may know of one committed round.

    ``loss`` lies in the middle of its level on the logarithmic grid, ``losses`` are the level's
    ends; ``gradients`` are the ends of the power of two that the norm of the gradients lies in.
    ``void``: shards that were left out since the report before. ``bits_left``: what the policy's
    ceiling leaves. ``checkpoint``: hash of the checkpoint that counts this report.
    """

    round: int
    version: int
    loss: float
    losses: tuple[float, float]
    gradients: tuple[float, float]
    void: int
    bits_left: int
    checkpoint: bytes


class ModelProvider(ListeningParty[RoundProgress]):
    """Publishes the job's recipe; see :class:`~chiron_stream.clients.party.Party`."""

    role = Role.PROVIDER
    purpose = Purpose.RECIPE
    _reports = RoundProgress

    def progress(self, *, after: int = 0, timeout: float = 0.0) -> Iterator[Progress]:
        """Yield the report of each round behind ``after``, oldest first: those so far, then others.

        Each was sealed to this identity by the appraised coordinator. The newest 1000 are told
        again to whoever asks later.

        :param timeout: seconds without a further report behind which the iteration ends.
        :raises PolicyRefused: the policy grants the provider nothing.
        :raises Fenced: another process of the provider listens now.
        """
        bits = self.job.policy.disclosure.progress_bits
        for one in self._listen(bits, timeout):
            if one.round > after:
                yield _progress(one, bits)

    def publish(self, recipe: Recipe, *, timeout: float = timeouts.IMPORT) -> None:
        """Seal and send a recipe, and wait until the coordinator has imported it.

        :raises RecipeRefused: the coordinator refused it; code and message say why.
        :raises Timeout: no answer in ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        session = self.open(timeout=timeout)
        try:
            manifest = RecipeManifest(
                self._object(session, recipe.definition), self._object(session, recipe.weights)
            )
            keys = session.keys
            chain = chain_start(session.record)
            record = seal_control(keys.control, keys.session, FIRST_COUNTER, chain, manifest)
            self.send("control", record, keys.session)
            self._imported(session, deadline, timeout)
        finally:
            session.replies.close()

    def _object(self, session: OpenSession, content: bytes) -> ObjectRef:
        object_id = os.urandom(16)
        chunks = seal_object(session.keys.recipe, object_id, content)
        place = self.partition("bulk")
        deliveries = [self.producer.send(Outgoing(place, chunk)) for chunk in chunks]
        offsets = [delivery.result().offset for delivery in deliveries]
        return ObjectRef(
            topic="bulk",
            partition=0,
            first=min(offsets),
            last=max(offsets),
            object_id=object_id,
            chunks=len(chunks),
            size=len(content),
            digest=object_digest(content),
        )

    def _imported(self, session: OpenSession, deadline: float, timeout: float) -> None:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Timeout(
                    "the recipe was sent and is not imported yet",
                    expected=f"an answer within {timeout:g} s",
                    hint="chiron status shows whether the coordinator is alive",
                )
            for reply in session.replies.poll(min(left, 0.5)):
                if isinstance(reply, Imported):
                    return
                if isinstance(reply, ImportRefused):
                    raise RecipeRefused(reply.reason, code=reply.code)
                if isinstance(reply, Acknowledged) and reply.refusals:
                    refusal = reply.refusals[0]
                    raise RecipeRefused(refusal.reason, code=refusal.code)


def _progress(one: RoundProgress, bits: int) -> Progress:
    low, high = loss_range(whole(one.loss), bits)
    return Progress(
        round=one.round,
        version=one.version,
        loss=math.sqrt(low * high),
        losses=(low, high),
        gradients=gradient_range(one.gradient),
        void=one.void,
        bits_left=one.left,
        checkpoint=one.checkpoint,
    )
