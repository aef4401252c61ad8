"""The page alone is enough: a second implementation of it, without a line of ours.

Nothing of ``chiron_stream`` is imported here but the vectors, which are a file of hexadecimal. Each
formula stands as ``docs/wire-format.md`` gives it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import msgpack
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

V: Any = json.loads((Path(__file__).parents[2] / "vectors" / "wire.json").read_text())


def raw(section: str, name: str) -> bytes:
    return bytes.fromhex(V[section][name])


def label(text: str) -> bytes:
    return b"chiron-stream/v1 " + text.encode() + b"\0"


def be4(n: int) -> bytes:
    return n.to_bytes(4, "big")


def be8(n: int) -> bytes:
    return n.to_bytes(8, "big")


def h(text: str, *parts: bytes) -> bytes:
    return hashlib.sha256(label(text) + b"".join(be8(len(p)) + p for p in parts)).digest()


def extract(salt: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt, secret, "sha256")


def derive(key: bytes, text: str, *ids: bytes | int, length: int = 32) -> bytes:
    parts = [be8(one) if isinstance(one, int) else one for one in ids]
    info = label(text) + b"".join(be4(len(p)) + p for p in parts)
    return hmac.digest(key, info + b"\x01", "sha256")[:length]


def gcm_open(key: bytes, n: int, sealed: bytes, associated: bytes) -> bytes:
    return AESGCM(key).decrypt(n.to_bytes(12, "big"), sealed, associated)


def gcm_seal(key: bytes, n: int, plaintext: bytes, associated: bytes) -> bytes:
    return AESGCM(key).encrypt(n.to_bytes(12, "big"), plaintext, associated)


def unseal(key: bytes, context: bytes, sealed: bytes) -> bytes:
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + sealed[:24] + context
    first = hmac.digest(key, info + b"\x01", "sha512")
    okm = first + hmac.digest(key, first + info + b"\x02", "sha512")
    assert sealed[24:56] == okm[44:76]
    body, output, number = sealed[56:], b"", 0
    while True:
        segment, body = body[:16_400], body[16_400:]
        nonce = (int.from_bytes(okm[32:44], "big") ^ number).to_bytes(12, "big")
        output, number = output + AESGCM(okm[:32]).decrypt(nonce, segment, None), number + 1
        if len(segment) < 16_400:
            return output


def hpke_open(seed: bytes, sealed: bytes, info: bytes) -> bytes:
    keys = hashlib.shake_256(seed).digest(96)
    private = hpke.MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(keys[:64]),
        X25519PrivateKey.from_private_bytes(keys[64:]),
    )
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    return suite.decrypt(sealed, private, info)


def check(public: bytes, text: str, message: bytes, signature: bytes) -> None:
    Ed25519PublicKey.from_public_bytes(public).verify(signature, label(text) + message)


def read(data: bytes, kind: int) -> list[Any]:
    """Return the fields of a document, by position; place 0 is the kind."""
    table = msgpack.unpackb(data, raw=False, strict_map_key=False)
    assert msgpack.packb(table, use_bin_type=True) == data
    assert list(table) == list(range(len(table)))
    assert table[0] == kind
    return list(table.values())


def write(kind: int, *values: object) -> bytes:
    return bytes(msgpack.packb(dict(enumerate((kind, *values))), use_bin_type=True))


HELLO, ENC, PRK = (raw("session", name) for name in ("hello", "enc", "prk"))
SESSION = raw("session", "session")


def test_hashes_and_derivations() -> None:
    parts = [bytes.fromhex(one) for one in V["formulas"]["parts"]]
    key = raw("formulas", "key")
    assert h("checkpoint hash", *parts) == raw("formulas", "sha256")
    assert derive(key, "checkpoint hash", *parts, 9) == raw("formulas", "derive")
    assert extract(parts[0], key) == raw("formulas", "extract_with_parts_1_as_salt")


def test_sealed_objects() -> None:
    assert hpke_open(raw("hpke", "seed"), raw("hpke", "sealed"), raw("hpke", "info")) == raw(
        "hpke", "plaintext"
    )
    opened = unseal(*(raw("cobblestone", name) for name in ("key", "context", "sealed")))
    assert opened == raw("cobblestone", "plaintext")


def test_weak_keys() -> None:
    p = 2**255 - 19
    numbers = [
        int.from_bytes(bytes.fromhex(one), "little") % 2**255
        for one in V["ed25519"]["refused_keys"]
    ]
    order_eight = {one for one in numbers if 1 < one < p - 1}
    assert len(order_eight) == 2
    # y² of a point of order 8 solves d·y⁴ + 2·y² - 1 = 0 on edwards25519.
    d = -121_665 * pow(121_666, -1, p)
    assert all((d * y**4 + 2 * y**2 - 1) % p == 0 for y in order_eight)


def test_job_and_key_document() -> None:
    policy = raw("job", "policy")
    assert h("job id", policy) == raw("job", "job_id")
    assert h("policy head", policy) == raw("job", "policy_head")
    owner = read(policy, 156)[4][0]
    check(owner[3], "sign policy", policy, raw("job", "owner_signature"))
    assert hashlib.sha256(raw("job", "schema")).digest() == raw("job", "schema_digest")
    document = raw("akd", "document")
    assert h("attested key document", document) == raw("akd", "hash")
    assert raw("akd", "report_data") == raw("akd", "hash") + bytes(32)


def test_session_open_from_a_secret_to_a_record() -> None:
    session = h("session id", HELLO, ENC)[:16]
    prk = extract(h("session transcript", HELLO, ENC), raw("session", "secret"))
    assert (session, prk) == (SESSION, PRK)
    intent = gcm_seal(derive(prk, "session control key"), 0, write(2, "icu"), session)
    commitment = derive(prk, "session key commitment")
    signed = h("session transcript", HELLO, ENC, commitment, intent)
    key = Ed25519PrivateKey.from_private_bytes(raw("session", "owner_seed"))
    signature = key.sign(label("sign session open") + signed)
    assert write(3, HELLO, ENC, commitment, intent, signature) == raw("session", "record")


def test_encapsulation_opens_with_the_coordinators_key() -> None:
    info = label("hpke session") + h("session transcript", HELLO)
    seed = raw("session", "coordinator_xwing_seed")
    assert hpke_open(seed, ENC, info) == raw("session", "secret")


def test_hello_is_written_from_its_fields() -> None:
    owner = raw("ed25519", "public")
    job, head = raw("job", "job_id"), raw("job", "policy_head")
    made = write(1, 1, raw("akd", "hash"), owner, job, 1, head, 1, 1_800_000_000, 2)
    assert made == HELLO


def test_control_records_and_their_chain() -> None:
    key = derive(PRK, "session control key")
    link = h("control chain", raw("session", "record"))
    for counter, one in enumerate(V["control"]["records"], 1):
        header = write(4, SESSION, counter, link)
        sealed = gcm_seal(key, counter, bytes.fromhex(one["body"]), header)
        record = write(5, header, sealed)
        assert record.hex() == one["record"]
        link = h("control chain", link, record)
    assert link == raw("control", "last_link")


def test_rows() -> None:
    data = b"CHRW\x01\x01\0\0" + (2).to_bytes(4, "little") + raw("job", "schema_digest")
    data += bytes.fromhex("00007642 00004842")  # 61.5, 50.0
    data += b"\0\1"  # the second is missing
    data += b"\x03\0\0\0\xe8\x03\0\0"
    data += (1).to_bytes(8, "little") + (2).to_bytes(8, "little")
    data += bytes([1, 2, 3, 4, 5, 6, 7, 255])
    data += (0).to_bytes(8, "little") + (2).to_bytes(8, "little")
    assert data == raw("rows", "train")


def test_shard_records() -> None:
    content = raw("shard", "content")
    key = derive(PRK, "session shard key", b"icu", 0)
    data_set = derive(PRK, "session data set id", b"icu", length=8)
    sizes = V["shard"]["classes"]
    count, size = next(one for one in sizes if one[0] * one[1] - 8 >= len(content))
    padded = (be8(len(content)) + content).ljust(count * size, b"\0")
    values = []
    for index in range(count):
        header = b"CSs1" + SESSION + data_set + be8(0) + be4(index) + be4(count)
        part = padded[index * size : (index + 1) * size]
        values.append(header + gcm_seal(key, index, part, header))
    assert [one.hex() for one in values] == V["shard"]["records"]
    digest = h("shard digest", *values)
    assert digest == raw("shard", "digest")
    assert h("shard leaf", SESSION, be8(0), digest) == raw("shard", "leaf")


def test_chunk_of_an_object() -> None:
    chunk, key = raw("object", "chunk"), derive(PRK, "session recipe key")
    ref = read(raw("object", "ref"), 20)
    assert chunk[:28] == b"CSo1" + ref[5] + be4(0) + be4(1)
    content = unseal(key, chunk[:28], chunk[28:])
    assert content == raw("object", "content")
    assert (len(content), h("object digest", content)) == (ref[7], ref[8])


def test_replies_in_order() -> None:
    key = derive(PRK, "session reply key")
    for number, name in enumerate(("accept", "acknowledged", "trained")):
        _, session, told, sealed = read(raw("replies", name), 30)
        assert (session, told) == (SESSION, number)
        assert unseal(key, write(30, session, number), sealed) == raw("replies", f"{name}_body")


def test_query_and_answer() -> None:
    row, size = raw("serving", "query_content"), V["serving"]["query_bytes"]
    header = b"CSq1" + SESSION + be8(5)
    padded = (be4(len(row)) + row).ljust(size, b"\0")
    key = derive(PRK, "session query key")
    assert header + gcm_seal(key, 5, padded, header) == raw("serving", "query")

    answer = raw("serving", "answer")
    one = derive(derive(PRK, "session answer secret"), "session answer secret", 5)
    prk = extract(SESSION + be8(5) + answer[28:60], one)
    padded = gcm_open(derive(prk, "answer key"), 0, answer[60:], answer[:60] + b"\x01")
    length = int.from_bytes(padded[:4], "big")
    assert padded[4 : 4 + length] == raw("serving", "answer_body")
    assert not any(padded[4 + length :])


def test_receipt_and_plan() -> None:
    _, checkpoint, leaves, signer, signature = read(raw("receipts", "record"), 85)
    message = h("sign checkpoint", checkpoint, signer)
    check(raw("receipts", "signing_key"), "sign checkpoint", message, signature)
    assert signer == raw("akd", "hash")
    assert read(checkpoint, 84)[17] == h("shard node", *leaves)
    assert h("checkpoint hash", checkpoint) == raw("receipts", "hash")
    assert raw("shard", "leaf") in leaves
    _, conflict, signer, signature = read(raw("receipts", "conflict_record"), 93)
    message = h("sign conflict", conflict, signer)
    check(raw("receipts", "signing_key"), "sign conflict", message, signature)
    assert read(conflict, 92)[7] == raw("shard", "leaf")
    _, number, auditor, sealed, signer, signature = read(raw("plan", "record"), 89)
    context = h("hpke plan", raw("job", "job_id"), auditor, be8(number))
    message = h("sign plan", context, sealed, signer)
    check(raw("receipts", "signing_key"), "sign plan", message, signature)
    info = label("hpke plan") + context
    assert hpke_open(raw("plan", "auditor_xwing_seed"), sealed, info) == raw("plan", "plan")
