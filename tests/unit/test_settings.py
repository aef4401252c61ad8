"""flag > environment > file > default, with the origin of each value."""

from __future__ import annotations

from pathlib import Path

import pytest

from chiron_stream.errors import ConfigurationRefused
from chiron_stream.settings import SETTINGS, Settings, resolve


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text('bootstrap_servers = "file:1"\nheap_mb = 300\n')
    return path


def servers(settings: Settings) -> tuple[str, str]:
    found = settings.found["bootstrap_servers"]
    return str(found.value), found.origin


def test_each_source_yields_to_the_one_before(file: Path) -> None:
    flags = {"bootstrap_servers": "flag:1"}
    environ = {"CHIRON_BOOTSTRAP_SERVERS": "env:1"}
    named = str(file)
    assert servers(resolve(flags, environ, named)) == ("flag:1", "flag --bootstrap-servers")
    assert servers(resolve({}, environ, named)) == (
        "env:1",
        "environment CHIRON_BOOTSTRAP_SERVERS",
    )
    assert servers(resolve({}, {}, named)) == ("file:1", f"file {file}")
    assert servers(resolve({}, {"HOME": str(file.parent)}, None)) == ("127.0.0.1:9092", "default")


def test_file_of_the_environment_and_of_the_home_are_found(file: Path, tmp_path: Path) -> None:
    assert servers(resolve({}, {"CHIRON_CONFIG": str(file)}, None))[0] == "file:1"
    usual = tmp_path / ".config" / "chiron" / "config.toml"
    usual.parent.mkdir(parents=True)
    usual.write_text('bootstrap_servers = "home:1"')
    assert servers(resolve({}, {"HOME": str(tmp_path)}, None))[0] == "home:1"
    xdg = {"HOME": "/nowhere", "XDG_CONFIG_HOME": str(tmp_path / ".config")}
    assert servers(resolve({}, xdg, None))[0] == "home:1"


def test_numbers_are_read_from_every_source(file: Path) -> None:
    assert resolve({}, {}, str(file)).number("heap_mb") == 300
    assert resolve({"heap_mb": "400"}, {}, str(file)).number("heap_mb") == 400


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        ({"bootstrap_servers": "nohost"}, "host:port"),
        ({"bootstrap_servers": "host:0"}, "host:port"),
        ({"bootstrap_servers": "host:99999"}, "host:port"),
        ({"bootstrap_servers": "a:1,"}, "host:port"),
        ({"bootstrap_servers": ""}, "not empty"),
        ({"heap_mb": "lots"}, "64 to 65536"),
        ({"heap_mb": "63"}, "64 to 65536"),
        ({"cache": 7}, "not empty"),
    ],
)
def test_value_that_does_not_read_names_setting_and_origin(
    flags: dict[str, object], shown: str
) -> None:
    with pytest.raises(ConfigurationRefused) as refused:
        resolve(flags, {"HOME": "/nowhere"}, None)
    assert next(iter(flags)) in str(refused.value)
    assert "flag --" in str(refused.value)
    assert shown in str(refused.value.expected)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bootstrap_server = 'a:1'", "bootstrap_server"),
        ("= broken", "TOML"),
        ("kafka = 3", "[kafka]"),
        ("[kafka]\nsecurity.protocol = 'SSL'", "quote the names"),
        ("[kafka]\n'linger.ms' = 5", "[kafka]"),
        ("heap_mb = true", "64 to 65536"),
    ],
)
def test_file_that_does_not_read_is_named(tmp_path: Path, text: str, shown: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationRefused) as refused:
        resolve({}, {}, str(path))
    assert str(path) in str(refused.value)
    assert shown in " ".join(refused.value.diagnostics().values())


def test_missing_file_is_named() -> None:
    with pytest.raises(ConfigurationRefused, match="there is no configuration file /nowhere/c"):
        resolve({}, {}, "/nowhere/c")


def test_secret_readable_by_others_is_refused_and_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[kafka]\n'sasl.jaas.config' = 'hunter2'\n'client.id' = 'me'")
    path.chmod(0o644)
    with pytest.raises(ConfigurationRefused, match="others may read it") as refused:
        resolve({}, {}, str(path))
    assert refused.value.hint == f"run: chmod 600 {path}"
    path.chmod(0o600)
    shown = resolve({}, {}, str(path)).shown()
    assert ("kafka: sasl.jaas.config", "(set)", f"file {path}") in shown
    assert ("kafka: client.id", "me", f"file {path}") in shown
    assert "hunter2" not in repr(shown)


def test_file_without_secret_may_be_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[kafka]\n'security.protocol' = 'SSL'")
    path.chmod(0o644)
    assert resolve({}, {}, str(path)).kafka == {"security.protocol": "SSL"}


def test_nothing_that_is_insecure_has_an_environment_variable() -> None:
    assert not [one for one in SETTINGS if "insecure" in one.name and one.environment]
