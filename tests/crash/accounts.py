"""What a job did with its senders' rows, and what of it is not as it should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chiron_stream import Auditor
from chiron_stream.clients.identity import Identity
from chiron_stream.clients.receipts import Receipt, checkpoints, read_receipts
from chiron_stream.wire.receipts import Plan, Rejected
from tests.crash import senders
from tests.crash.publishing import Stage
from tests.crash.senders import ROWS, SHARDS, Sender
from tests.crash.watching import Log, Session
from tests.jobs import jobs


@dataclass(frozen=True)
class Account:
    """Everything of a finished job that its senders can hold against their own lists.

    :param senders: by identity.
    :param receipts: by identity: place of the session among its owner's, number, receipt; for each
        shard that any publisher sent and that entered a version.
    :param leaves: how many shards all checkpoints name together.
    """

    passes: int
    senders: Mapping[bytes, Sender]
    plans: Sequence[Plan]
    receipts: Mapping[bytes, Sequence[tuple[int, int, Receipt]]]
    leaves: int
    rejected: Sequence[Rejected]
    log: Log


def account(stage: Stage, log: Log) -> Account:
    """Read what a job came to; signatures, evidence and chain are verified on the way.

    :raises TamperDetected: receipts or plans that are no honest history.
    """
    directory = stage.directory
    log.settle()
    owners = {
        Identity.load(directory.identity(name)).public: one for name, one in stage.senders.items()
    }
    with Auditor(directory.job(), directory.identity("dan"), evidence=jobs.SIMULATED) as auditor:
        return Account(
            stage.passes,
            owners,
            auditor.plans(),
            {owner: _receipts(auditor, log.sessions(owner)) for owner in owners},
            sum(len(record.leaves) for _, record in checkpoints(auditor)),
            jobs.rejected(directory.job()),
            log,
        )


def _receipts(auditor: Auditor, sessions: Sequence[Session]) -> list[tuple[int, int, Receipt]]:
    sent = [
        (place, number, one.id, digest)
        for place, one in enumerate(sessions)
        for number, digest in one.digests().items()
    ]
    wanted = {at: (session, number, digest) for at, (_, number, session, digest) in enumerate(sent)}
    return [(*sent[one.shard][:2], one) for one in read_receipts(auditor, wanted)]


def findings(found: Account) -> list[str]:
    """Return what is wrong, in sentences; an empty list is an honest job's."""
    wrong = [*_wrong_uses(found), *_wrong_receipts(found), *_wrong_rejections(found)]
    return [*wrong, *_wrong_bits(found)]


def _wrong_uses(found: Account) -> Iterator[str]:
    """Each pass uses each shard of each sender's list once, with as many rows as on the list."""
    used = [
        (shard.owner, shard.number, shard.rows)
        for plan in found.plans
        for slot in plan.slots
        for shard in slot.shards
    ]
    each = len(used) // found.passes
    for turn in range(found.passes):
        counted = Counter(used[turn * each : (turn + 1) * each])
        for owner, one in found.senders.items():
            wanted = Counter({(owner, n, one.rows(n)): 1 for n in range(SHARDS)})
            got = Counter({key: count for key, count in counted.items() if key[0] == owner})
            if got != wanted:
                rows = sum(key[2] * count for key, count in got.items())
                yield f"{one.name}: pass {turn}: {got.total()} shards, {rows} rows"
    if len(used) != each * found.passes:
        yield "a pass of its own length"


def _wrong_receipts(found: Account) -> Iterator[str]:
    """Each shard has one receipt, for every pass; later shards are from later sessions."""
    for owner, one in found.senders.items():
        receipts = sorted(found.receipts[owner], key=lambda each: each[1])
        if [number for _, number, _ in receipts] != list(range(SHARDS)):
            yield f"{one.name}: {len(receipts)} receipts"
        places = [place for place, _, _ in receipts]
        if places != sorted(places):
            yield f"{one.name}: receipts of an earlier session behind those of a later one"
        if {len(receipt.checkpoints) for *_, receipt in receipts} != {found.passes}:
            yield f"{one.name}: receipts that do not name every pass once"
    if found.leaves != sum(map(len, found.receipts.values())) * found.passes:
        yield f"{found.leaves} shards on checkpoints, not all of them the senders'"


def _wrong_rejections(found: Account) -> Iterator[str]:
    """Nothing is rejected but what a superseded publisher said behind its successor's claim."""
    for one in found.rejected:
        late = one.topic == "control" and found.log.is_superseded(one.offset)
        if not (late and one.code == "SUPERSEDED"):
            yield f"rejected: {one.topic} at {one.offset}: {one.code}"


def _wrong_bits(found: Account) -> Iterator[str]:
    """The parameters are those of plain PyTorch over the senders' own rows."""
    rows = Counter[bytes]()
    for (owner, _), count in senders.lengths(found.plans).items():
        rows[owner] += count
    if any(rows[owner] != ROWS for owner in found.senders):
        yield "the plan has other rows than the senders: there are no bits to compare"
    elif found.plans[-1].parameters.hex() != senders.reference(found.senders, found.plans):
        yield "the parameters are not plain PyTorch's"
