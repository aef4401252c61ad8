"""Writes ``wire.json``, the test vectors of ``docs/wire-format.md``: ``python generate.py``.

Every secret is fixed, so that the same bytes come out each time. HPKE and Cobblestone draw random
bytes inside the library: what they sealed once is kept from the file as it is (all keys to open it
are there) and made anew only where it no longer opens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chiron_stream.attestation.akd import AttestedKeyDocument, akd_hash, report_data
from chiron_stream.attestation.evidence import (
    INTEL_ROOT_DIGEST,
    ROLES,
    SGX,
    EvidencePolicy,
    RoleMeasurements,
)
from chiron_stream.errors import ChironError
from chiron_stream.job.columns import pack_columns
from chiron_stream.job.policy import (
    DataSet,
    Disclosure,
    Form,
    Kind,
    Member,
    Policy,
    RecipeLimits,
    Role,
    Schedule,
    ShardClass,
    job_id,
    policy_head,
)
from chiron_stream.job.schema import (
    CategoryColumn,
    LabelColumn,
    NumberColumn,
    Schema,
    TensorColumn,
)
from chiron_stream.wire import labels
from chiron_stream.wire.canonical import decode, encode
from chiron_stream.wire.control import (
    Announcement,
    Body,
    Fin,
    RecipeManifest,
    Use,
    chain_next,
    chain_start,
    seal_control,
)
from chiron_stream.wire.crypto import (
    SUITE,
    XWingPrivateKey,
    derive,
    extract,
    gcm_seal,
    hpke_seal,
    seal,
    sha256,
    sign,
    unseal,
)
from chiron_stream.wire.objects import ObjectRef, object_digest, open_object, seal_object
from chiron_stream.wire.receipts import (
    Checkpoint,
    Conflict,
    Plan,
    PlannedShard,
    PlannedSlot,
    PlanRecord,
    checkpoint_hash,
    leaves_root,
    open_plan,
    seal_plan,
    shard_leaf,
    sign_checkpoint,
    sign_conflict,
)
from chiron_stream.wire.replies import (
    Accept,
    Acknowledged,
    Parked,
    Refusal,
    Reply,
    ReplyRecord,
    ShardTrained,
    open_reply,
    seal_reply,
)
from chiron_stream.wire.serving import AnswerBody, QueryName, Status, seal_answer, seal_query
from chiron_stream.wire.session import (
    Hello,
    Intent,
    Purpose,
    SessionKeys,
    SessionOpen,
    decapsulate,
    session_keys,
)
from chiron_stream.wire.shards import ShardName, seal_shard, shard_digest

FILE: Final = Path(__file__).with_name("wire.json")
OPENED_AT: Final = 1_800_000_000


def _bytes(number: int, size: int = 32) -> bytes:
    """Return fixed bytes that look like a secret: SHA-256 over a number, repeated."""
    return (hashlib.sha256(number.to_bytes(4, "big")).digest() * (size // 32 + 1))[:size]


def _signing(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(_bytes(number))


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


OWNER: Final = _signing(1)
PROVIDER: Final = _signing(2)
CLIENT: Final = _signing(3)
AUDITOR: Final = _signing(4)
COORDINATOR: Final = _signing(5)
COORDINATOR_SEED: Final = _bytes(6)
AUDITOR_SEED: Final = _bytes(7)
COORDINATOR_HPKE: Final = XWingPrivateKey(COORDINATOR_SEED)
AUDITOR_HPKE: Final = XWingPrivateKey(AUDITOR_SEED)

SCHEMA: Final = Schema(
    (
        NumberColumn("age", "float32", 0, 120, "mask", 50),
        NumberColumn("visits", "int32", 0, 1000),
        CategoryColumn("site", ("north", "south"), "bucket"),
        TensorColumn("scan", (2, 2), "uint8", 0, 255),
        LabelColumn("outcome", ("home", "ward", "died")),
    )
)
POLICY: Final = Policy(
    version=1,
    name="vectors",
    previous=bytes(32),
    roster=(
        Member(Role.OWNER, "st-mary", _public(OWNER)),
        Member(Role.PROVIDER, "model-lab", _public(PROVIDER)),
        Member(Role.CLIENT, "ward-7", _public(CLIENT)),
        Member(Role.AUDITOR, "auditor", _public(AUDITOR), AUDITOR_HPKE.public),
    ),
    evidence=EvidencePolicy(
        profile=SGX,
        root_digest=INTEL_ROOT_DIGEST,
        service_key=None,
        measurements=tuple(RoleMeasurements(role, (_bytes(8),)) for role in ROLES),
        statuses=("UpToDate",),
        minimum_evaluation_number=17,
    ),
    schema=SCHEMA,
    recipe=RecipeLimits(None, 1_000_000, 10_000_000, 128),
    disclosure=Disclosure(Form.TOP_K, 2, 8, 1, 2, 1000, 50),
    schedule=Schedule(Kind.CLOSED, (DataSet(_public(OWNER), "icu"),), 1, 4, 3, 30, 1),
    seed=_bytes(9),
    shard_classes=(ShardClass(1, 256), ShardClass(3, 256)),
    query_bytes=128,
    answer_bytes=288,
    predictor_batch=16,
    allow_simulation=False,
)
JOB: Final = job_id(POLICY.pack())
HEAD: Final = policy_head(POLICY.pack())

Table = dict[str, Any]


class _Records:
    """What the file held before: randomised bytes are taken from it while they still open."""

    def __init__(self, stored: Table) -> None:
        self._stored = stored

    def kept(self, section: str, name: str, opens: Callable[[bytes], bool]) -> bytes | None:
        """Return the stored bytes of a field, or None where there are none that open."""
        text = self._stored.get(section, {}).get(name)
        try:
            return bytes.fromhex(text) if text and opens(bytes.fromhex(text)) else None
        except ChironError:
            return None


def diagnostic(value: object) -> str:
    """Return a value in the notation of RFC 8949 section 8: texts quoted, bytes as h'…'."""
    if isinstance(value, dict):
        inner = ", ".join(f"{key}: {diagnostic(one)}" for key, one in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(diagnostic, value))}]"
    if isinstance(value, bytes):
        return f"h'{value.hex()}'"
    return json.dumps(value, ensure_ascii=False)


CANONICAL: Final[tuple[Table, ...]] = (
    {},
    {"0": 7, "1": "icu", "2": 3},
    {"1": [0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1]},
    {"1": [-1, -32, -33, -128, -129, -(2**15), -(2**15) - 1, -(2**31) - 1, -(2**63)]},
    {"1": [None, True, False, 0.0, -0.0, 1.0, 0.1, 1e300]},
    {"1": ["", "é", "x" * 31, "x" * 32, "x" * 255, "x" * 256]},
    {"1": [b"", b"\0", b"\xff" * 255, b"\xff" * 256]},
    {"1": [[], list(range(16)), {}, {"0": {"65535": 0}}]},
)
REFUSED: Final = {
    "a number in a longer form": "8101cc02",
    "a key in a longer form": "81cc0102",
    "a text in a longer form": "8101d90161",
    "a map in a longer form": "de00010102",
    "a float of single precision": "8101ca3f800000",
    "a doubled key": "8201020102",
    "keys out of order": "8202000100",
    "a negative key": "81ff01",
    "a text as key": "81a16101",
    "not a number": "8101cb7ff8000000000000",
    "infinity": "8101cb7ff0000000000000",
    "a text that is not UTF-8": "8101a1ff",
    "an extension type": "8101d40100",
    "a list at the top": "9101",
    "a trailing byte": "81010200",
    "a missing byte": "8101a361",
}


def _whole(value: Any) -> Any:
    """Return a value of :data:`CANONICAL` with the whole numbers for keys that JSON cannot have."""
    if isinstance(value, dict):
        return {int(key): _whole(one) for key, one in value.items()}
    return [_whole(one) for one in value] if isinstance(value, list) else value


def canonical() -> Table:
    good = [encode(_whole(one)) for one in CANONICAL]
    return {
        "good": [{"bytes": one.hex(), "value": diagnostic(decode(one))} for one in good],
        "refused": [{"bytes": data, "why": why} for why, data in REFUSED.items()],
    }


def formulas() -> Table:
    label, parts, key = labels.CHECKPOINT, [b"ab", b"", b"c"], _bytes(10)
    return {
        "label": label.hex(),
        "parts": [one.hex() for one in parts],
        "sha256": sha256(label, *parts).hex(),
        "key": key.hex(),
        "ids": "the parts, then the number 9",
        "derive": derive(key, label, *parts, 9).hex(),
        "derive_8_bytes": derive(key, label, *parts, 9, length=8).hex(),
        "extract_with_parts_1_as_salt": extract(parts[0], key).hex(),
    }


def ed25519() -> Table:
    label, message = labels.SIGN_POLICY, b"message"
    return {
        "seed": _bytes(1).hex(),
        "public": _public(OWNER).hex(),
        "label": label.hex(),
        "message": message.hex(),
        "signature": sign(OWNER, label, message).hex(),
        "refused_keys": [
            bytes(32).hex(),
            (1).to_bytes(32, "little").hex(),
            (1 | 1 << 255).to_bytes(32, "little").hex(),
            (2**255 - 20).to_bytes(32, "little").hex(),
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            (2**255 - 19).to_bytes(32, "little").hex(),
            (2**255 - 18).to_bytes(32, "little").hex(),
            "ff" * 32,
        ],
    }


def hpke(records: _Records) -> Table:
    info, plaintext = b"info", _bytes(11)
    sealed = records.kept(
        "hpke", "sealed", lambda data: COORDINATOR_HPKE.open(data, info) == plaintext
    )
    sealed = sealed or hpke_seal(COORDINATOR_HPKE.public, plaintext, info)
    return {
        "seed": COORDINATOR_SEED.hex(),
        "public": COORDINATOR_HPKE.public.hex(),
        "info": info.hex(),
        "plaintext": plaintext.hex(),
        "sealed": sealed.hex(),
    }


def cobblestone(records: _Records) -> Table:
    key, context, plaintext = _bytes(12), b"context", bytes(range(100))
    sealed = records.kept(
        "cobblestone", "sealed", lambda data: unseal(key, context, data) == plaintext
    )
    sealed = sealed or seal(key, context, plaintext)
    return {
        "key": key.hex(),
        "context": context.hex(),
        "plaintext": plaintext.hex(),
        "sealed": sealed.hex(),
    }


def job() -> Table:
    packed = POLICY.pack()
    return {
        "policy": packed.hex(),
        "job_id": JOB.hex(),
        "policy_head": HEAD.hex(),
        "schema": SCHEMA.pack().hex(),
        "schema_digest": SCHEMA.digest.hex(),
        "owner_signature": sign(OWNER, labels.SIGN_POLICY, packed).hex(),
    }


AKD: Final = AttestedKeyDocument(
    version=1,
    profile=SGX,
    role="coordinator",
    job_id=JOB,
    policy_version=1,
    policy_head=HEAD,
    hpke_key=COORDINATOR_HPKE.public,
    signing_key=_public(COORDINATOR),
    boot=_bytes(13, 16),
    not_before=OPENED_AT - 300,
    not_after=OPENED_AT + 43_200,
    checkpoint=bytes(32),
    epoch=1,
    state_version=1,
    journal_head=_bytes(14),
)


def akd() -> Table:
    packed = AKD.pack()
    return {
        "document": packed.hex(),
        "hash": akd_hash(packed).hex(),
        "report_data": report_data(packed).hex(),
        "report_data_with_challenge": report_data(packed, _bytes(15)).hex(),
        "challenge": _bytes(15).hex(),
    }


HELLO: Final = Hello(
    SUITE, akd_hash(AKD.pack()), _public(OWNER), JOB, 1, HEAD, Purpose.PUBLISH, OPENED_AT, 2
)
SECRET: Final = _bytes(16)
DATA_SET: Final = "icu"


def _encapsulation(records: _Records) -> bytes:
    """Return the recorded encapsulation of the session's secret, or a new one."""

    def opens(data: bytes) -> bool:
        bare = SessionOpen(HELLO.pack(), data, bytes(32), b"", bytes(64))
        return decapsulate(bare, COORDINATOR_HPKE) == SECRET

    info = labels.INFO_SESSION + sha256(labels.SESSION_TRANSCRIPT, HELLO.pack())
    kept = records.kept("session", "enc", opens)
    return kept or hpke_seal(COORDINATOR_HPKE.public, SECRET, info)


def _opened(records: _Records) -> tuple[SessionOpen, SessionKeys]:
    hello, enc = HELLO.pack(), _encapsulation(records)
    keys = session_keys(hello, enc, SECRET)
    intent = gcm_seal(keys.control, 0, Intent(DATA_SET).pack(), keys.session)
    bare = SessionOpen(hello, enc, keys.commitment, intent, bytes(64))
    signature = sign(OWNER, labels.SIGN_SESSION, bare.signed)
    return SessionOpen(hello, enc, keys.commitment, intent, signature), keys


def session(record: SessionOpen, keys: SessionKeys) -> Table:
    return {
        "owner_seed": _bytes(1).hex(),
        "coordinator_xwing_seed": COORDINATOR_SEED.hex(),
        "hello": record.hello.hex(),
        "info": (labels.INFO_SESSION + sha256(labels.SESSION_TRANSCRIPT, record.hello)).hex(),
        "secret": SECRET.hex(),
        "enc": record.enc.hex(),
        "session": keys.session.hex(),
        "prk": keys.prk.hex(),
        "control_key": keys.control.hex(),
        "commitment": keys.commitment.hex(),
        "reply_key": keys.replies.hex(),
        "recipe_key": keys.recipe.hex(),
        "query_key": keys.queries.hex(),
        "answer_secret": keys.answers.hex(),
        "data_set": DATA_SET,
        "data_set_id": keys.data_set(DATA_SET).hex(),
        "shard_0_key": keys.shard(DATA_SET, 0).hex(),
        "intent": Intent(DATA_SET).pack().hex(),
        "sealed_intent": record.intent.hex(),
        "signed": record.signed.hex(),
        "signature": record.signature.hex(),
        "record": record.pack().hex(),
    }


def rows() -> tuple[Table, bytes, bytes]:
    """Return the section, two rows to train on, and one to ask about."""
    columns = {
        "age": np.array([61.5, 50.0], "<f4"),
        "age:mask": np.array([0, 1], "u1"),
        "visits": np.array([3, 1000], "<i4"),
        "site": np.array([1, 2], "<i8"),
        "scan": np.array([[[1, 2], [3, 4]], [[5, 6], [7, 255]]], "u1"),
        "outcome": np.array([0, 2], "<i8"),
    }
    train = pack_columns(SCHEMA, columns, 2)
    first = {name: array[:1] for name, array in columns.items()}
    query = pack_columns(SCHEMA, first, 1, purpose="query")
    shown = {name: array.tolist() for name, array in columns.items()}
    return {"values": shown, "train": train.hex(), "query": query.hex()}, train, query


def shard(keys: SessionKeys, content: bytes) -> tuple[Table, Announcement]:
    name = ShardName(keys.session, keys.data_set(DATA_SET), 0)
    records = seal_shard(keys.shard(DATA_SET, 0), name, content, POLICY.shard_classes)
    digest = shard_digest(records)
    announcement = Announcement(
        0, 2, Use.TRAIN, len(records), digest, 0, 12, (2).to_bytes(8, "big")
    )
    large = bytes(range(256)) * 2
    others = seal_shard(
        keys.shard(DATA_SET, 1), name._replace(number=1), large, POLICY.shard_classes
    )
    return {
        "classes": [[one.records, one.record_bytes] for one in POLICY.shard_classes],
        "key": keys.shard(DATA_SET, 0).hex(),
        "content": content.hex(),
        "records": [one.hex() for one in records],
        "digest": digest.hex(),
        "larger_key": keys.shard(DATA_SET, 1).hex(),
        "larger_content": large.hex(),
        "larger_records": [one.hex() for one in others],
        "larger_digest": shard_digest(others).hex(),
        "leaf": shard_leaf(keys.session, 0, digest).hex(),
    }, announcement


def control(opened: bytes, keys: SessionKeys, bodies: list[Body]) -> Table:
    """A recipe manifest never stands in an owner's session; here it shows its encoding."""
    link = chain_start(opened)
    shown = []
    for counter, body in enumerate(bodies, 1):
        record = seal_control(keys.control, keys.session, counter, link, body)
        shown.append(
            {
                "counter": counter,
                "previous": link.hex(),
                "body": body.pack().hex(),
                "record": record.hex(),
            }
        )
        link = chain_next(link, record)
    return {"records": shown, "last_link": link.hex()}


def chunked(keys: SessionKeys, records: _Records) -> tuple[Table, ObjectRef]:
    content, object_id = b"a recipe's definition", _bytes(17, 16)
    ref = ObjectRef("bulk", 0, 4, 4, object_id, 1, len(content), object_digest(content))

    def opens(data: bytes) -> bool:
        return open_object(keys.recipe, ref, {0: data}) == content

    chunk = records.kept("object", "chunk", opens)
    chunk = chunk or seal_object(keys.recipe, object_id, content)[0]
    return {
        "key": keys.recipe.hex(),
        "content": content.hex(),
        "digest": ref.digest.hex(),
        "ref": ref.pack().hex(),
        "chunk": chunk.hex(),
    }, ref


def replies(keys: SessionKeys, records: _Records) -> Table:
    parked = Parked(1, b"token", b"", "SHARD_MISSING")
    bodies: dict[str, Reply] = {
        "accept": Accept(3, b"newest", (parked,), fin=False),
        "acknowledged": Acknowledged(3, (Refusal(2, "GAP", "the next shard is number 4"),)),
        "trained": ShardTrained(0, 1, _bytes(18)),
    }
    table: Table = {"key": keys.replies.hex(), "session": keys.session.hex()}
    for number, (name, body) in enumerate(bodies.items()):
        kept = records.kept("replies", name, _opens_as(keys, body))
        record = kept or seal_reply(keys.replies, keys.session, number, body)
        table |= {f"{name}_body": body.pack().hex(), name: record.hex()}
    return table


def _opens_as(keys: SessionKeys, body: Reply) -> Callable[[bytes], bool]:
    return lambda data: open_reply(keys.replies, ReplyRecord.unpack(data)) == body


def serving(keys: SessionKeys, row: bytes) -> Table:
    name, nonce = QueryName(keys.session, 5), _bytes(19)
    body = AnswerBody(
        Status.OK, (1, 0), (0.75, 0.25), 1, 2, _bytes(18), 949, "local", simulated=False, reason=""
    )
    query = seal_query(keys.queries, name, row, POLICY.query_bytes)
    answer = seal_answer(keys.answers, name, nonce, body, POLICY.answer_bytes)
    return {
        "session": keys.session.hex(),
        "number": 5,
        "query_key": keys.queries.hex(),
        "query_content": row.hex(),
        "query_bytes": POLICY.query_bytes,
        "query": query.hex(),
        "answer_secret": keys.answers.hex(),
        "response_nonce": nonce.hex(),
        "answer_body": body.pack().hex(),
        "answer_bytes": POLICY.answer_bytes,
        "answer": answer.hex(),
    }


def receipts(leaf: bytes) -> Table:
    leaves = (leaf, _bytes(20))
    checkpoint = Checkpoint(
        job=JOB,
        policy_version=1,
        policy_head=HEAD,
        epoch=1,
        index=40,
        journal_head=_bytes(21),
        round=1,
        version=1,
        release=1,
        accepted=2,
        trained=2,
        void=0,
        parked=0,
        finished=False,
        disclosed=0,
        scored=0,
        root=leaves_root(leaves),
        commitment=_bytes(22),
        previous=bytes(32),
    )
    signer = akd_hash(AKD.pack())
    record = sign_checkpoint(
        checkpoint, leaves, signer, lambda label, message: sign(COORDINATOR, label, message)
    )
    conflict = Conflict(JOB, 1, HEAD, 1, 41, _bytes(26), leaf, _bytes(27))
    contradicted = sign_conflict(
        conflict, signer, lambda label, message: sign(COORDINATOR, label, message)
    )
    return {
        "signing_key": _public(COORDINATOR).hex(),
        "signer": signer.hex(),
        "conflict": conflict.pack().hex(),
        "conflict_record": contradicted.hex(),
        "checkpoint": checkpoint.pack().hex(),
        "hash": checkpoint_hash(checkpoint.pack()).hex(),
        "leaves": [one.hex() for one in leaves],
        "root": checkpoint.root.hex(),
        "record": record.hex(),
    }


def plan(records: _Records) -> Table:
    shards = (PlannedShard(_public(OWNER), DATA_SET, 0, 2),)
    slot = PlannedSlot(0, 12_345, 0, shards, 2, 1, "torch", _bytes(23), _bytes(24))
    body = Plan(1, 1, _bytes(25), _bytes(23), _bytes(24), (slot,))

    def opens(data: bytes) -> bool:
        return open_plan(PlanRecord.unpack(data), JOB, AUDITOR_HPKE, _public(COORDINATOR)) == body

    record = records.kept("plan", "record", opens)
    record = record or seal_plan(
        _public(AUDITOR),
        AUDITOR_HPKE.public,
        JOB,
        body,
        akd_hash(AKD.pack()),
        lambda label, message: sign(COORDINATOR, label, message),
    )
    return {
        "auditor_xwing_seed": AUDITOR_SEED.hex(),
        "plan": body.pack().hex(),
        "record": record.hex(),
    }


def build(stored: Table) -> Table:
    """Return all vectors; randomised bytes are those of ``stored`` while they open."""
    records = _Records(stored)
    opened, keys = _opened(records)
    packed_rows, train, query = rows()
    sealed_shard, announcement = shard(keys, train)
    sealed_object, ref = chunked(keys, records)
    bodies: list[Body] = [announcement, Fin(1), RecipeManifest(ref, ref)]
    return {
        "about": "Test vectors of docs/wire-format.md. Bytes in hexadecimal. See generate.py.",
        "canonical": canonical(),
        "formulas": formulas(),
        "ed25519": ed25519(),
        "hpke": hpke(records),
        "cobblestone": cobblestone(records),
        "job": job(),
        "akd": akd(),
        "session": session(opened, keys),
        "control": control(opened.pack(), keys, bodies),
        "rows": packed_rows,
        "shard": sealed_shard,
        "object": sealed_object,
        "replies": replies(keys, records),
        "serving": serving(keys, query),
        "receipts": receipts(bytes.fromhex(sealed_shard["leaf"])),
        "plan": plan(records),
    }


def load() -> Table:
    """Return the vectors of the file, or nothing where there is none."""
    table: Table = json.loads(FILE.read_text()) if FILE.exists() else {}
    return table


if __name__ == "__main__":
    FILE.write_text(json.dumps(build(load()), indent=1, ensure_ascii=False) + "\n")
    print(f"{FILE}: {FILE.stat().st_size} bytes")
