"""The cryptographic operations: exact formulas, and every refusal in our own words."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.errors import TamperDetected
from chiron_stream.wire import crypto
from chiron_stream.wire.crypto import (
    XWING_PUBLIC,
    XWingPrivateKey,
    derive,
    extract,
    gcm_open,
    gcm_seal,
    hpke_seal,
    seal,
    sha256,
    sign,
    unseal,
    verified,
)
from tests.unit.wire.damage import assert_only_the_original_reads, assert_refused, flip
from tests.unit.wire.parties import COORDINATOR_HPKE, KEY, OTHER_HPKE, OTHER_KEY

SIGNING = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
PUBLIC = SIGNING.public_key().public_bytes_raw()


def test_hash_is_over_label_and_parts_each_behind_eight_bytes_of_length() -> None:
    wanted = b"label\0" + bytes(7) + b"\x02" + b"ab" + bytes(8) + bytes(7) + b"\x01" + b"c"
    assert sha256(b"label\0", b"ab", b"", b"c") == hashlib.sha256(wanted).digest()


@given(st.lists(st.binary(max_size=3), max_size=4), st.lists(st.binary(max_size=3), max_size=4))
def test_hash_tells_apart_how_bytes_are_cut_into_parts(a: list[bytes], b: list[bytes]) -> None:
    assert (sha256(b"l\0", *a) == sha256(b"l\0", *b)) == (a == b)


def test_extract_is_hmac_of_the_secret_under_the_salt() -> None:
    assert extract(b"salt", b"secret") == hmac.digest(b"salt", b"secret", "sha256")


def test_derive_expands_label_and_ids_each_behind_four_bytes_of_length() -> None:
    info = b"label\0" + b"\0\0\0\x02ab" + b"\0\0\0\x08" + bytes(7) + b"\x09"
    wanted = hmac.digest(KEY, info + b"\x01", "sha256")
    assert derive(KEY, b"label\0", b"ab", 9) == wanted
    assert derive(KEY, b"label\0", b"ab", 9, length=8) == wanted[:8]


@given(st.lists(st.binary(max_size=3), max_size=4), st.lists(st.binary(max_size=3), max_size=4))
def test_derive_tells_apart_how_bytes_are_cut_into_ids(a: list[bytes], b: list[bytes]) -> None:
    assert (derive(KEY, b"l\0", *a) == derive(KEY, b"l\0", *b)) == (a == b)


def test_signature_holds_for_its_label_message_and_key_only() -> None:
    signature = sign(SIGNING, b"label\0", b"message")
    other = Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32).public_key().public_bytes_raw()
    assert verified(PUBLIC, b"label\0", b"message", signature)
    assert not verified(PUBLIC, b"other\0", b"message", signature)
    assert not verified(PUBLIC, b"label\0", b"massage", signature)
    assert not verified(other, b"label\0", b"message", signature)


@pytest.mark.parametrize("at", range(0, 64, 7))
def test_altered_signature_is_none(at: int) -> None:
    signature = sign(SIGNING, b"label\0", b"message")
    assert not verified(PUBLIC, b"label\0", b"message", flip(signature, at))


@pytest.mark.parametrize("length", [0, 31, 33, 63, 65])
def test_key_or_signature_of_another_length_verifies_nothing(length: int) -> None:
    signature = sign(SIGNING, b"label\0", b"message")
    assert not verified(bytes(length), b"label\0", b"message", signature)
    assert not verified(PUBLIC, b"label\0", b"message", bytes(length))


def test_weak_key_verifies_nothing_though_the_library_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identity = b"\x01" + bytes(31)  # the neutral element: signs every message with R = it, S = 0
    signature = identity + bytes(32)
    assert not verified(identity, b"label\0", b"anything", signature)
    monkeypatch.setattr(crypto, "is_weak", lambda _key: False)
    assert verified(identity, b"label\0", b"anything", signature)


def test_hpke_opens_for_its_key_and_info_only() -> None:
    sealed = hpke_seal(COORDINATOR_HPKE.public, KEY, b"info")
    assert COORDINATOR_HPKE.open(sealed, b"info") == KEY
    for key, info in ((OTHER_HPKE, b"info"), (COORDINATOR_HPKE, b"inf"), (COORDINATOR_HPKE, b"")):
        with pytest.raises(TamperDetected) as caught:
            key.open(sealed, info)
        assert caught.value.code == "HPKE_OPEN"


def test_hpke_opens_only_the_original_bytes() -> None:
    sealed = hpke_seal(COORDINATOR_HPKE.public, KEY, b"info")
    assert len(sealed) == 1120 + 32 + 16
    assert_only_the_original_reads(lambda data: COORDINATOR_HPKE.open(data, b"info"), sealed)


def test_hpke_encapsulates_anew_each_time() -> None:
    first, second = (hpke_seal(COORDINATOR_HPKE.public, KEY, b"") for _ in range(2))
    assert first[:1120] != second[:1120]


@pytest.mark.parametrize(
    "key",
    [
        b"",
        COORDINATOR_HPKE.public[:-1],
        COORDINATOR_HPKE.public + b"\0",
        b"\xff" * XWING_PUBLIC,  # coefficients of the ML-KEM half beyond the modulus
        COORDINATOR_HPKE.public[:-32] + bytes(32),  # X25519 point of small order
    ],
    ids=["empty", "cut", "longer", "beyond the modulus", "small order"],
)
def test_hpke_seals_to_no_broken_key(key: bytes) -> None:
    with pytest.raises(TamperDetected) as caught:
        hpke_seal(key, KEY, b"")
    assert caught.value.code == "HPKE_KEY"


@pytest.mark.parametrize("length", [0, 31, 33])
def test_seed_of_another_length_makes_no_key(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        XWingPrivateKey(bytes(length))


def test_gcm_opens_for_its_key_counter_and_header_only() -> None:
    sealed = gcm_seal(KEY, 7, b"content", b"header")
    assert gcm_open(KEY, 7, sealed, b"header") == b"content"
    for key, counter, header in (
        (OTHER_KEY, 7, b"header"),
        (KEY, 8, b"header"),
        (KEY, 7, b"heade"),
    ):
        with pytest.raises(TamperDetected) as caught:
            gcm_open(key, counter, sealed, header)
        assert caught.value.code == "DOES_NOT_OPEN"


def test_gcm_opens_only_the_original_bytes() -> None:
    sealed = gcm_seal(KEY, 7, b"content", b"header")
    assert len(sealed) == len(b"content") + crypto.TAG
    assert_only_the_original_reads(lambda data: gcm_open(KEY, 7, data, b"header"), sealed)


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 16_385, 40_000])
def test_object_comes_back_at_every_segment_boundary(size: int) -> None:
    assert unseal(KEY, b"context", seal(KEY, b"context", b"\x07" * size)) == b"\x07" * size


def test_object_opens_for_its_key_and_context_only() -> None:
    sealed = seal(KEY, b"context", b"content")
    for key, context in ((OTHER_KEY, b"context"), (KEY, b"contex"), (KEY, b"")):
        with pytest.raises(TamperDetected) as caught:
            unseal(key, context, sealed)
        assert caught.value.code == "DOES_NOT_OPEN"


def test_object_opens_only_the_original_bytes() -> None:
    sealed = seal(KEY, b"context", b"content")
    assert_only_the_original_reads(lambda data: unseal(KEY, b"context", data), sealed)


@pytest.mark.parametrize("left", [56, 56 + 16_400, 56 + 2 * 16_400])
def test_object_cut_between_its_segments_is_refused(left: int) -> None:
    sealed = seal(KEY, b"context", bytes(40_000))
    assert_refused(lambda data: unseal(KEY, b"context", data), sealed[:left], f"{left} bytes left")


def test_object_with_two_segments_swapped_is_refused() -> None:
    sealed = seal(KEY, b"context", bytes(50_000))
    head, first, second, rest = (
        sealed[:56],
        sealed[56:16_456],
        sealed[16_456:32_856],
        sealed[32_856:],
    )
    with pytest.raises(TamperDetected):
        unseal(KEY, b"context", head + second + first + rest)


def test_object_of_the_same_content_differs_each_time() -> None:
    assert seal(KEY, b"context", b"content") != seal(KEY, b"context", b"content")
