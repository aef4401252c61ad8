"""A job's policy in words, for people who are about to sign it."""

from __future__ import annotations

from collections.abc import Iterator

from chiron_stream.job.disclosure import Disclosure, Form
from chiron_stream.job.file import Job
from chiron_stream.job.policy import Kind, Policy
from chiron_stream.job.schema import (
    CategoryColumn,
    Column,
    LabelColumn,
    NumberColumn,
    TensorColumn,
)

_BANNER = (
    "*** SIMULATED: no hardware protects anything here; whoever runs it can read all of it ***"
)
_SHOWN = 8
"""Values of a list that are shown; of longer lists the number follows."""


def describe(job: Job) -> str:
    """Return the terms of a job, some forty lines of ASCII for a usual one."""
    policy = job.policy
    parts = [
        [_BANNER] if policy.is_simulated else [],
        _heading(job),
        ["members", *_members(job)],
        ["schema", *(f"  {one.name}: {_column(one)}" for one in policy.schema.columns)],
        ["training", *_training(policy)],
        ["answers", *_answers(policy.disclosure), *_sizes(policy)],
        ["who learns what of training", *_progress(policy.disclosure)],
        ["evidence", *_evidence(policy)],
        [_BANNER] if policy.is_simulated else [],
    ]
    return "\n".join(line for part in parts for line in part) + "\n"


def _heading(job: Job) -> list[str]:
    policy = job.policy
    return [
        f"job {policy.name}, policy version {policy.version}",
        f"  job id  {job.job_id.hex()}",
        f"  head    {job.head.hex()}",
        f"  broker  {job.bootstrap_servers} (not signed)",
    ]


def _members(job: Job) -> Iterator[str]:
    signed = {identity for identity, _ in job.signatures}
    for one in job.policy.roster:
        notes = [one.identity.hex()]
        notes += ["signed"] if one.identity in signed else []
        notes += ["can be sealed to"] if one.hpke_key else []
        yield f"  {one.role.name.lower():8} {one.name}: {', '.join(notes)}"


def _column(column: Column) -> str:
    if isinstance(column, NumberColumn):
        missing = {"refuse": "none missing"}.get(
            column.missing, f"missing becomes {column.constant:g}"
        )
        marked = ", and is marked" if column.missing == "mask" else ""
        return f"{column.dtype} {column.low:g} to {column.high:g}, {missing}{marked}"
    if isinstance(column, CategoryColumn):
        other = "others refused" if column.other == "refuse" else "others in one bucket"
        return f"one of {_listed(column.values)}; {other}"
    if isinstance(column, TensorColumn):
        shape = " x ".join(map(str, column.shape))
        return f"{column.dtype} array {shape}, {column.low:g} to {column.high:g}"
    if isinstance(column, LabelColumn):
        return f"LABEL, one of {_listed(column.classes)}"
    return f"TARGET, {column.low:g} to {column.high:g}"


def _listed(texts: tuple[str, ...]) -> str:
    shown = ", ".join(ascii(text) for text in texts[:_SHOWN])
    return shown if len(texts) <= _SHOWN else f"{shown} and {len(texts) - _SHOWN} more"


def _training(policy: Policy) -> Iterator[str]:
    names = {one.identity: one.name for one in policy.roster}
    plan, recipe = policy.schedule, policy.recipe
    for one in plan.data_sets:
        yield f"  data set {one.name} of {names[one.owner]}"
    yield f"  {plan.passes} passes, {plan.kind.name.lower()}"
    yield f"  rounds of {plan.slots} slots of {plan.shards_per_slot} shards of one owner"
    if plan.kind is Kind.OPEN:
        yield f"  at most {plan.owner_slots} slots of one owner in a round"
        yield f"  passes over windows of {plan.window} rounds, begun when full"
        yield f"  or when a shard has waited {plan.max_wait} s"
    yield f"  a trainer without a step for {plan.step_deadline} s is replaced"
    if recipe.commitment is None:
        yield "  any recipe of the provider within the limits"
    else:
        yield f"  the recipe {recipe.commitment.hex()} and no other"
    yield f"  at most {recipe.parameter_bytes} bytes of parameters"
    yield f"  at most {recipe.activation_bytes} bytes of activations, {recipe.batch_size} rows"


def _answers(terms: Disclosure) -> Iterator[str]:
    scores = f"scores of {terms.bits} bits" if terms.bits else "no scores"
    yield {
        Form.LABEL: "  the best class, nothing else",
        Form.TOP_K: f"  the {terms.k} best classes, {scores}",
        Form.ROUNDED: f"  all {scores}",
    }[terms.form]
    yield f"  at most {terms.answers_per_client} answers for each client"
    yield f"  charged {terms.grant_size} at a time"
    owners, rows = terms.minimum_owners, terms.minimum_rows
    yield f"  a release needs {rows} rows of {owners} owners since the last"


def _sizes(policy: Policy) -> Iterator[str]:
    yield f"  a release after {policy.schedule.release_every} rounds at the earliest"
    yield f"  queries of {policy.query_bytes} bytes, answers of {policy.answer_bytes} bytes"
    sizes = ", ".join(f"{one.records} x {one.record_bytes}" for one in policy.shard_classes)
    yield f"  the operator sees which size a shard has: {sizes} bytes"


def _progress(terms: Disclosure) -> Iterator[str]:
    if terms.progress_bits:
        yield f"  the provider, of each round: its loss in {terms.progress_bits} bits,"
        yield "  the power of two of its gradients, how many shards were void;"
        yield f"  at most {terms.progress_ceiling} bits in all"
    else:
        yield "  the provider: nothing"
    if terms.score_every:
        yield "  an owner: a score on its own rows that are for evaluation only,"
        yield f"  after every {terms.score_every} releases and the last;"
        yield f"  at most {terms.score_ceiling} bits for each owner"
    else:
        yield "  owners: no score"


def _evidence(policy: Policy) -> Iterator[str]:
    terms = policy.evidence
    note = " (SIMULATED)" if policy.is_simulated else ""
    yield f"  profile {terms.profile}{note}"
    yield f"  root {terms.root_digest.hex()}"
    for one in terms.measurements:
        for digest in one.measurements:
            yield f"  {one.role}: {digest.hex()}"
    yield f"  platform states accepted: {', '.join(terms.statuses)}"
