"""Keys of the development quoting service: kept from others, and the same at every start."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from cryptography import x509

from chiron_stream.errors import ConfigurationRefused
from chiron_stream.simulation.authority import Authority
from chiron_stream.simulation.certificates import LIFETIME
from chiron_stream.simulation.der import SGX_EXTENSION
from chiron_stream.simulation.platform import CPU_SVN, FMSPC
from chiron_stream.simulation.store import FILE
from chiron_stream.wire.canonical import EncodingRefused

NOW = 1_800_000_000
MEASUREMENT = bytes([1]) * 32


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.generate(NOW)


def test_created_keys_are_loaded_again(tmp_path: Path) -> None:
    directory = tmp_path / "service"
    made = Authority.create(directory)
    again = Authority.load(directory)
    assert again.root_der == made.root_der
    assert again.service().public == made.service().public
    assert again.sealing_key(MEASUREMENT, b"x") == made.sealing_key(MEASUREMENT, b"x")


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "service"
    Authority.create(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize(("name", "mode"), [(".", 0o750), (".", 0o701), (FILE, 0o640)])
def test_keys_that_others_may_read_are_refused(tmp_path: Path, name: str, mode: int) -> None:
    directory = tmp_path / "service"
    Authority.create(directory)
    (directory / name).chmod(mode)
    with pytest.raises(ConfigurationRefused, match="others may read") as caught:
        Authority.load(directory)
    assert caught.value.code == "CONFIGURATION_PERMISSIONS"


def test_directory_that_others_may_enter_gets_no_keys(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(ConfigurationRefused, match="others may read"):
        Authority.create(tmp_path)
    assert not (tmp_path / FILE).exists()


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    Authority.create(tmp_path / "service")
    with pytest.raises(ConfigurationRefused, match="there already"):
        Authority.create(tmp_path / "service")


def test_directory_without_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationRefused, match="no development quoting service"):
        Authority.load(tmp_path)


def test_link_to_keys_is_refused(tmp_path: Path) -> None:
    Authority.create(tmp_path / "service")
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    (other / FILE).symlink_to(tmp_path / "service" / FILE)
    with pytest.raises(ConfigurationRefused, match="no development quoting service"):
        Authority.load(other)


def test_damaged_keys_are_refused(tmp_path: Path) -> None:
    Authority.create(tmp_path / "service")
    path = tmp_path / "service" / FILE
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(EncodingRefused):
        Authority.load(tmp_path / "service")


def test_keys_are_not_in_representations(authority: Authority) -> None:
    assert "seed" not in repr(authority)
    assert "key" not in repr(authority.root)


def test_sealing_key_depends_on_authority_measurement_and_label(authority: Authority) -> None:
    keys = {
        one.sealing_key(measurement, label)
        for one in (authority, Authority.generate(NOW))
        for measurement in (MEASUREMENT, bytes(32))
        for label in (b"", b"a")
    }
    assert len(keys) == 8
    assert {len(key) for key in keys} == {32}


def test_every_certificate_says_test_only(authority: Authority) -> None:
    for holder in (authority.root, authority.intermediate, authority.signer, authority.pck):
        assert "TEST ONLY" in holder.certificate.subject.rfc4514_string()
        assert "TEST ONLY" in holder.certificate.issuer.rfc4514_string()


def test_root_is_valid_for_ten_years(authority: Authority) -> None:
    end = authority.root.certificate.not_valid_after_utc.timestamp()
    assert end == NOW + LIFETIME == NOW + 3650 * 86_400


def test_collateral_is_issued_anew_for_thirty_days(authority: Authority) -> None:
    for now in (NOW, NOW + 86_400 * 365):
        evidence = authority.evidence(MEASUREMENT, bytes(64), now)
        revoked = json.loads(evidence.collateral)["pck_crl"]
        found = x509.load_der_x509_crl(bytes.fromhex(revoked))
        assert found.last_update_utc.timestamp() == now - 3600
        assert found.next_update_utc is not None
        assert found.next_update_utc.timestamp() == now - 3600 + 30 * 86_400


def test_platform_certificate_carries_its_versions(authority: Authority) -> None:
    dcap_qvl = pytest.importorskip("dcap_qvl")
    quote = authority.evidence(MEASUREMENT, bytes(64), NOW).quote
    extension = dcap_qvl.parse_quote(quote).pck_extension()
    assert (extension.cpu_svn, extension.pce_svn) == (CPU_SVN, 13)
    assert (extension.pce_id, extension.fmspc, extension.sgx_type) == (bytes(2), FMSPC, 1)
    svn = extension.get_value(f"{SGX_EXTENSION.dotted_string}.2.17")
    assert svn.endswith(b"\x0d")
