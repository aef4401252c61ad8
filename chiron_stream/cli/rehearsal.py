"""``chiron publish --dry-run``: what would be sent, and who would learn what of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from chiron_stream.cli.common import Context
from chiron_stream.clients.batches import Batches
from chiron_stream.clients.publication import rows_that_fit
from chiron_stream.errors import PolicyRefused, UsageRefused
from chiron_stream.job.disclosure import Form
from chiron_stream.job.fields import packed_bytes
from chiron_stream.job.file import Job
from chiron_stream.job.policy import Policy, Role, ShardClass
from chiron_stream.job.schema import LabelColumn, Schema
from chiron_stream.wire.shards import capacity


def rehearse(
    ready: Context, job: Job, identity: bytes, dataset: str, batches: Batches, rows: int
) -> None:
    """Print what would be sent; every row has passed the schema.

    :raises UsageRefused: shards without rows, or a data set that the policy does not list.
    :raises PolicyRefused: shards that are too large, or no rows at all.
    """
    policy = job.policy
    if not policy.schedule.allows(identity, dataset):
        raise UsageRefused(f"the policy does not list the data set {dataset}", code="DATA_SET")
    shards = _shards(policy, rows, ready.flags.rows_per_shard)
    kept = [column.name for column in policy.schema.columns]
    told = dict(recipients(policy, evaluate=ready.flags.evaluate))
    fields = {
        "dataset": dataset,
        "rows": rows,
        "kept": kept,
        "dropped": list(batches.dropped),
        "shards": [
            {"count": count, "records": one.records, "record_bytes": one.record_bytes}
            for one, count in shards.items()
        ],
        "learns": told,
    }
    ready.output.data("dry-run", fields, "\n".join(_lines(dataset, rows, kept, batches, shards)))
    for who, what in told.items():
        ready.output.note(f"{who}: {what}")


def _lines(
    dataset: str, rows: int, kept: list[str], batches: Batches, shards: Counter[ShardClass]
) -> Iterator[str]:
    yield f"{dataset}: {rows} rows in {shards.total()} shards would be sent; nothing was"
    yield f"columns that are sealed: {', '.join(kept)}"
    yield f"columns that stay here: {', '.join(batches.dropped) or 'none'}"
    for one, count in shards.items():
        yield f"{count} shards, each padded to {one.records} x {one.record_bytes} bytes"


def _shards(policy: Policy, rows: int, given: int | None) -> Counter[ShardClass]:
    """Return how many shards of each size there would be."""
    if given is not None and given < 1:
        raise UsageRefused("a shard has at least one row", got=str(given))
    if not rows:
        raise PolicyRefused("there are no rows", code="NO_ROWS")
    size = given or rows_that_fit(policy)
    full, rest = divmod(rows, size)
    found: Counter[ShardClass] = Counter()
    for count, times in ((size, full), (rest, 1)):
        if count and times:
            found[_class_of(policy, count)] += times
    return found


def _class_of(policy: Policy, rows: int) -> ShardClass:
    content = packed_bytes(policy.schema.fields("train"), rows)
    for one in policy.shard_classes:
        if capacity(one) >= content:
            return one
    raise PolicyRefused(
        "a shard is too large",
        code="SHARD_TOO_LARGE",
        expected=f"at most {rows_that_fit(policy)} rows",
        got=f"{rows} rows",
        hint="--rows-per-shard",
    )


def recipients(policy: Policy, *, evaluate: bool) -> Iterator[tuple[str, str]]:
    """Yield who learns what of rows that are published under a policy: names, and sentences."""
    terms = policy.disclosure
    yield "the operator", "opaque ids, padded sizes, counts and times; no row, no column"
    for one in policy.roster:
        if one.role is Role.PROVIDER:
            most = terms.progress_ceiling
            told = f"at most {most} bits in all of how training goes" if most else "nothing"
            yield f"{one.name} (provider)", told
        elif one.role is Role.CLIENT and not evaluate:
            answers, bits = terms.answers_per_client, answer_bits(policy)
            yield f"{one.name} (client)", f"at most {answers} answers of {bits} bits each"
        elif one.role is Role.AUDITOR:
            yield f"{one.name} (auditor)", "which shards were trained on when; no row"
    yield "each owner", _scores(policy)


def _scores(policy: Policy) -> str:
    most = policy.disclosure.score_ceiling
    if not most:
        return "no score"
    return f"scores on its own rows for evaluation, at most {most} bits in all"


def answer_bits(policy: Policy) -> int:
    """Return how many bits one answer may tell, rounded up."""
    terms, classes = policy.disclosure, _classes(policy.schema)
    if terms.form is Form.LABEL:
        return math.ceil(math.log2(classes))
    if terms.form is Form.TOP_K:
        return math.ceil(math.log2(math.perm(classes, terms.k))) + terms.k * terms.bits
    return classes * terms.bits


def _classes(schema: Schema) -> int:
    target = schema.target
    return len(target.classes) if isinstance(target, LabelColumn) else 1
