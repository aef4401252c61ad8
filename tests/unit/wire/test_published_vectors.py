"""Vectors that others published, run through our own functions.

They are not part of this repository (licences and sizes: ``../shared/vectors/README.md``); where
they are absent these tests say so.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import zlib
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from chiron_stream.errors import TamperDetected
from chiron_stream.wire import crypto
from chiron_stream.wire.crypto import XWingPrivateKey, gcm_open, gcm_seal, is_weak, verified

VECTORS = Path(__file__).parents[4] / "shared" / "vectors"
pytestmark = pytest.mark.skipif(
    not VECTORS.is_dir(), reason="the published vectors are not beside this checkout"
)


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


def groups(name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return pairs of group and test of a Wycheproof file."""
    return [(group, test) for group in load(name)["testGroups"] for test in group["tests"]]


# ---- X-Wing (draft-connolly-cfrg-xwing-kem) and HPKE (RFC 9180, draft-ietf-hpke-pq)


def test_xwing_public_keys_come_from_their_seeds() -> None:
    vectors = load("xwing_draft.json")
    assert len(vectors) == 3
    for one in vectors:
        assert XWingPrivateKey(bytes.fromhex(one["seed"])).public.hex() == one["pk"]


def xwing_hpke_vector() -> dict[str, bytes | int]:
    """Return the vector of our KEM and KDF; its AEAD is ChaCha20Poly1305."""
    (one,) = (v for v in load("hpke_pq_draft.json") if (v["kem_id"], v["kdf_id"]) == (0x647A, 1))
    assert (one["mode"], one["aead_id"]) == (0, 3)
    names = ("info", "skRm", "pkRm", "enc", "shared_secret", "key", "base_nonce")
    found: dict[str, bytes | int] = {name: bytes.fromhex(one[name]) for name in names}
    first = one["encryptions"][0]
    return found | {name: bytes.fromhex(first[name]) for name in ("aad", "ct", "pt")}


def labeled(suite: bytes, salt: bytes, label: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt, b"HPKE-v1" + suite + label + secret, "sha256")


def key_schedule(aead: int, secret: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Return key and base nonce of base mode (RFC 9180 section 5.1), written out once more."""
    suite = b"HPKE" + b"".join(n.to_bytes(2, "big") for n in (0x647A, 1, aead))
    context = b"\0" + labeled(suite, b"", b"psk_id_hash", b"")
    context += labeled(suite, b"", b"info_hash", info)
    base = labeled(suite, secret, b"secret", b"")

    def expand(label: bytes, length: int) -> bytes:
        text = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context + b"\x01"
        return hmac.digest(base, text, "sha256")[:length]

    return expand(b"key", 32), expand(b"base_nonce", 12)


def test_hpke_vector_of_our_kem_and_kdf_opens_with_our_private_key() -> None:
    one: Any = xwing_hpke_vector()
    key = XWingPrivateKey(one["skRm"])
    assert key.public == one["pkRm"]
    aead = hpke.AEAD.CHACHA20_POLY1305
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, aead)
    sealed = ChaCha20Poly1305(one["key"]).encrypt(one["base_nonce"], one["pt"], b"")
    assert suite.decrypt(one["enc"] + sealed, key._key, one["info"]) == one["pt"]


def test_key_schedule_written_out_here_gives_the_vectors_key_and_ciphertext() -> None:
    one: Any = xwing_hpke_vector()
    key, nonce = key_schedule(3, one["shared_secret"], one["info"])
    assert (key, nonce) == (one["key"], one["base_nonce"])
    assert ChaCha20Poly1305(key).encrypt(nonce, one["pt"], one["aad"]) == one["ct"]


def test_published_encapsulation_opens_under_our_suite_with_aes_256_gcm() -> None:
    one: Any = xwing_hpke_vector()
    key, nonce = key_schedule(2, one["shared_secret"], one["info"])
    sealed = one["enc"] + AESGCM(key).encrypt(nonce, one["pt"], b"")
    assert XWingPrivateKey(one["skRm"]).open(sealed, one["info"]) == one["pt"]
    with pytest.raises(TamperDetected):
        XWingPrivateKey(one["skRm"]).open(sealed, one["info"] + b"\0")


# ---- AES-GCM, HKDF, Ed25519 (Wycheproof), small-order keys (CCTV)


def aes_256_gcm() -> list[dict[str, Any]]:
    found = groups("wycheproof/aes_gcm_test.json")
    return [test for group, test in found if (group["keySize"], group["ivSize"]) == (256, 96)]


def opens(test: dict[str, Any]) -> bytes | None:
    part = {name: bytes.fromhex(test[name]) for name in ("key", "iv", "ct", "tag", "aad")}
    counter = int.from_bytes(part["iv"], "big")
    try:
        return gcm_open(part["key"], counter, part["ct"] + part["tag"], part["aad"])
    except TamperDetected:
        return None


def test_gcm_open_agrees_with_wycheproof() -> None:
    found = aes_256_gcm()
    assert len(found) > 50
    for test in found:
        wanted = bytes.fromhex(test["msg"]) if test["result"] == "valid" else None
        assert opens(test) == wanted, test["tcId"]


def test_gcm_seal_gives_the_ciphertexts_of_wycheproof() -> None:
    for test in aes_256_gcm():
        if test["result"] == "valid":
            part = {name: bytes.fromhex(test[name]) for name in ("key", "iv", "msg", "aad")}
            sealed = gcm_seal(
                part["key"], int.from_bytes(part["iv"], "big"), part["msg"], part["aad"]
            )
            assert sealed.hex() == test["ct"] + test["tag"], test["tcId"]


def test_extract_and_derive_agree_with_wycheproof() -> None:
    tried = 0
    for _group, test in groups("wycheproof/hkdf_sha256_test.json"):
        if test["result"] == "valid":
            prk = crypto.extract(bytes.fromhex(test["salt"]), bytes.fromhex(test["ikm"]))
            # The info of a vector stands where our label does: without ids there is nothing else.
            found = crypto.derive(prk, bytes.fromhex(test["info"]), length=test["size"])
            assert found.hex() == test["okm"], test["tcId"]
            tried += 1
    assert tried > 50


def test_verified_agrees_with_wycheproof() -> None:
    found = groups("wycheproof/ed25519_test.json")
    assert len(found) > 100
    for group, test in found:
        key = bytes.fromhex(group["publicKey"]["pk"])
        good = verified(key, b"", bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]))
        assert good == (test["result"] == "valid"), test["tcId"]


def cctv() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = load("cctv/ed25519vectors.json")
    return found


def test_every_small_order_key_is_weak_and_verifies_nothing() -> None:
    small = [one for one in cctv() if "low_order_A" in (one["flags"] or [])]
    assert len({one["key"] for one in small}) >= 8
    for one in small:
        key = bytes.fromhex(one["key"])
        assert is_weak(key)
        assert not verified(key, b"", one["msg"].encode(), bytes.fromhex(one["sig"]))


def test_key_is_weak_only_if_it_is_of_small_order_or_not_canonical() -> None:
    for one in cctv():
        if not {"low_order_A", "non_canonical_A"} & set(one["flags"] or []):
            assert not is_weak(bytes.fromhex(one["key"])), one["number"]


# ---- C2SP chunked encryption: the vectors are of its SHA-256 instance, Cobblestone is of SHA-512

SEGMENT = 16_384
CIPHERS: dict[str, tuple[Any, int]] = {
    "AEAD_AES_128_GCM": (AESGCM, 16),
    "AEAD_AES_256_GCM": (AESGCM, 32),
    "AEAD_CHACHA20_POLY1305": (ChaCha20Poly1305, 32),
}


def expand(hash_name: str, key: bytes, info: bytes, length: int) -> bytes:
    block, output = b"", b""
    for number in range(1, 10):
        block = hmac.digest(key, block + info + bytes([number]), hash_name)
        output += block
    return output[:length]


def chunked_keys(
    hash_name: str, aead: str, key: bytes, salt: bytes, context: bytes
) -> tuple[Any, int, bytes]:
    """Return cipher, first nonce and commitment, as c2sp.org/chunked-encryption says."""
    cipher, size = CIPHERS[aead]
    if len(key) != size:
        raise ValueError("a key of another length")
    info = b"c2sp.org/chunked-encryption@v1+" + aead.encode() + b"\0" + salt + context
    output = expand(hash_name, key, info, size + 44)
    nonce = int.from_bytes(output[size : size + 12], "big")
    return cipher(output[:size]), nonce, output[size + 12 :]


def chunked_open(hash_name: str, aead: str, key: bytes, context: bytes, sealed: bytes) -> bytes:
    cipher, nonce, commitment = chunked_keys(hash_name, aead, key, sealed[:24], context)
    if len(sealed) < 56 or sealed[24:56] != commitment:
        raise ValueError("another commitment")
    output = bytearray()
    body, number = sealed[56:], 0
    while True:
        part, body = body[: SEGMENT + 16], body[SEGMENT + 16 :]
        output += cipher.decrypt((nonce ^ number).to_bytes(12, "big"), part, None)
        number += 1
        if len(part) < SEGMENT + 16:
            return bytes(output)


def chunked_seal(hash_name: str, aead: str, key: bytes, context: bytes, content: bytes) -> bytes:
    salt = os.urandom(24)
    cipher, nonce, commitment = chunked_keys(hash_name, aead, key, salt, context)
    parts = [content[at : at + SEGMENT] for at in range(0, len(content) + 1, SEGMENT)]
    sealed = [
        cipher.encrypt((nonce ^ number).to_bytes(12, "big"), part, None)
        for number, part in enumerate(parts)
    ]
    return salt + commitment + b"".join(sealed)


def test_chunked_encryption_written_out_here_agrees_with_the_vectors() -> None:
    tried = 0
    for one in load("c2sp_chunked_encryption.json")["vectors"]:
        if one.get("ciphertext") is None:
            continue
        sealed = base64.b64decode(one["ciphertext"])
        sealed = zlib.decompress(sealed) if one.get("compressed") else sealed
        arguments = one["aead"], bytes.fromhex(one["key"]), one["context"].encode(), sealed
        try:
            content = chunked_open("sha256", *arguments)
            good = hashlib.sha256(content).hexdigest() == one.get("payload_sha256")
        except (ValueError, InvalidTag):
            good = False
        assert good == (one["expect"] == "success"), one["name"]
        tried += 1
    assert tried > 50


@pytest.mark.parametrize("size", [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 40_000])
def test_seal_and_unseal_are_the_same_scheme_with_sha_512(size: int) -> None:
    key, content = bytes([7]) * 32, os.urandom(size)
    sealed = crypto.seal(key, b"context", content)
    assert chunked_open("sha512", "AEAD_AES_256_GCM", key, b"context", sealed) == content
    ours = chunked_seal("sha512", "AEAD_AES_256_GCM", key, b"context", content)
    assert crypto.unseal(key, b"context", ours) == content
