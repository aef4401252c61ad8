"""From effects to records of the coordinator's topics: here randomness enters, and signatures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from chiron_stream.job.policy import Role
from chiron_stream.wire import labels
from chiron_stream.wire.courier import Send
from chiron_stream.wire.crypto import derive, seal
from chiron_stream.wire.receipts import VersionHead, seal_plan, sign_checkpoint, sign_conflict
from chiron_stream.wire.replies import SessionRefused, seal_reply
from chiron_stream.wire.serving import seal_sessions
from chiron_stream.wire.session import SessionKeys
from chiron_stream.wire.tasks import seal_task, seal_welcome
from enclave_workers.core.boot import Boot
from enclave_workers.core.coordinator.effects import (
    Broadcast,
    Certify,
    Contradict,
    Disclose,
    Effect,
    PublishHead,
    RefuseSession,
    ReplyTo,
    Tell,
    WelcomeTo,
)
from enclave_workers.core.coordinator.joining import scope
from enclave_workers.core.coordinator.serving import predictors_key
from enclave_workers.core.coordinator.state import Context, ImportEffect, MergeEffect


def emit(context: Context, boot: Boot, epoch: int, effects: Iterable[Effect]) -> Iterator[Send]:
    """Yield the records that go with the journal entries of these effects, in one transaction."""
    for effect in effects:
        yield from _emit(context, boot, epoch, effect)


def _emit(context: Context, boot: Boot, epoch: int, effect: Effect) -> Iterator[Send]:
    match effect:
        case ReplyTo():
            key = SessionKeys(effect.session, effect.prk).replies
            value = seal_reply(key, effect.session, effect.number, effect.body)
            yield Send("replies", 0, value, effect.session, b"")
        case RefuseSession():
            value = SessionRefused(effect.session, effect.code).pack()
            yield Send("replies", 0, value, effect.session, b"")
        case WelcomeTo():
            about = scope(context, epoch, effect.boot)
            value = seal_welcome(
                about, boot.hash, effect.akd, effect.hpke_key, effect.secret, boot.sign
            )
            yield Send("tasks", 0, value, effect.boot, b"")
        case Tell():
            about = scope(context, epoch, effect.boot)
            value = seal_task(effect.secret, about, effect.number, effect.body, boot.sign)
            yield Send("tasks", 0, value, effect.boot, b"")
        case Broadcast():
            key = predictors_key(context)
            value = seal_sessions(key, effect.index, effect.place, effect.body)
            yield Send("sessions", 0, value, b"", b"")
        case Certify() | Contradict():
            yield Send("receipts", 0, _signed(boot, effect), b"", b"")
        case Disclose():
            yield from _disclose(context, boot, effect)
        case PublishHead():
            key = derive(context.key, labels.K_VERSION, b"heads")
            sealed = seal(key, effect.version.to_bytes(8, "big"), effect.reference)
            head = VersionHead(effect.version, effect.release, sealed)
            yield Send("versions", 0, head.pack(), b"", b"")
        case ImportEffect() | MergeEffect():
            return  # open effects: done outside the transaction, by the shell
        case _:
            assert_never(effect)


def _signed(boot: Boot, effect: Certify | Contradict) -> bytes:
    if isinstance(effect, Contradict):
        return sign_conflict(effect.conflict, boot.hash, boot.sign)
    return sign_checkpoint(effect.checkpoint, effect.leaves, boot.hash, boot.sign)


def _disclose(context: Context, boot: Boot, effect: Disclose) -> Iterator[Send]:
    for one in context.policy.roster:
        if one.role is Role.AUDITOR and one.hpke_key is not None:
            value = seal_plan(
                one.identity, one.hpke_key, context.job, effect.plan, boot.hash, boot.sign
            )
            yield Send("receipts", 0, value, b"", b"")
