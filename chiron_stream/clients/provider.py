"""Model providers: a sealed recipe in, "imported" or the reason why not back."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from chiron_stream import timeouts
from chiron_stream.broker.records import Outgoing
from chiron_stream.clients.party import OpenSession, Party
from chiron_stream.errors import RecipeRefused, Timeout
from chiron_stream.job.policy import Role
from chiron_stream.wire.control import FIRST_COUNTER, RecipeManifest, chain_start, seal_control
from chiron_stream.wire.objects import ObjectRef, object_digest, seal_object
from chiron_stream.wire.replies import Acknowledged, Imported, ImportRefused
from chiron_stream.wire.session import Purpose

if TYPE_CHECKING:
    from chiron_stream.recipe import Recipe


class ModelProvider(Party):
    """Publishes the job's recipe; see :class:`~chiron_stream.clients.party.Party`."""

    role = Role.PROVIDER
    purpose = Purpose.RECIPE

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
