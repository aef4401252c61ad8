"""Apache Kafka's jars: fetched once by Maven, every file checked against a recorded SHA-256.

``pom.xml`` names the two artifacts, ``jars.sha256`` every file that comes of them. Maven checks
the repository's checksums strictly; the list here decides, at each start.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from chiron_stream.errors import BrokerNotStarted

VERSION: Final = "4.3.1"
FETCH_SECONDS: Final = 600.0
_HERE: Final = files("chiron_stream.broker.local")


def kafka_jars(cache: Path, report: Callable[[str], None]) -> Path:
    """Return the folder with Kafka's jars, fetching them if they are not there yet.

    :param cache: folder that may be shared by checkouts and processes.
    :param report: gets a sentence before anything that takes long.
    :raises BrokerNotStarted: Maven is missing or failed, or a file is not the recorded one.
    """
    wanted = _recorded()
    folder = _folder(cache, wanted)
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with _exclusive(cache / "fetch.lock"):
            if not folder.is_dir():
                report(f"fetching Apache Kafka {VERSION} with Maven ({len(wanted)} files, 44 MB)")
                _fetch(folder, wanted)
    _verify(folder, wanted)
    return folder


def is_fetched(cache: Path) -> bool:
    """Return whether Kafka's jars are there; each start checks that they are the recorded ones."""
    return _folder(cache, _recorded()).is_dir()


def maven() -> str:
    """Return the Maven to run, from the PATH.

    :raises BrokerNotStarted: there is none.
    """
    found = shutil.which("mvn")
    return found or _missing("MAVEN_MISSING", "mvn", "Maven 3.6 or later", "maven")


def java() -> str:
    """Return the Java to run: ``$JAVA_HOME/bin/java``, else the one on the PATH.

    :raises BrokerNotStarted: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    return found or _missing("JAVA_MISSING", "java", "Java 17 or later", "openjdk-17-jre-headless")


def _folder(cache: Path, wanted: dict[str, str]) -> Path:
    lock_digest = hashlib.sha256(repr(sorted(wanted.items())).encode()).hexdigest()[:8]
    return cache / f"kafka-{VERSION}-{lock_digest}"


def _recorded() -> dict[str, str]:
    lines = (_HERE / "jars.sha256").read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(folder: Path, wanted: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetch-") as scratch:
        libs = Path(scratch) / "libs"
        with as_file(_HERE / "pom.xml") as pom:
            command = [
                maven(),
                "--quiet",
                "--batch-mode",
                "--strict-checksums",
                f"--file={pom}",
                "dependency:copy-dependencies",
                f"-DoutputDirectory={libs}",
                "-DincludeScope=runtime",
            ]
            _run(command)
        _verify(libs, wanted)
        libs.rename(folder)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603  (mvn, found on the PATH, with our own arguments)
            command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BrokerNotStarted(
            "Maven did not finish fetching Apache Kafka",
            code="KAFKA_FETCH",
            expected=f"an end within {FETCH_SECONDS:g} s",
            hint="check the network and Maven's settings.xml (mirrors, proxies)",
        ) from error
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if "ERROR" in line]
        raise BrokerNotStarted(
            "Maven could not fetch Apache Kafka",
            code="KAFKA_FETCH",
            got=(lines or ["no message"])[0][:300],
            hint="check the network and Maven's settings.xml (mirrors, proxies)",
        )


def _verify(folder: Path, wanted: dict[str, str]) -> None:
    """Refuse a folder that does not hold exactly the recorded files."""
    there = {path.name: path for path in folder.glob("*.jar")}
    if strange := set(there) ^ set(wanted):
        name = min(strange)
        got = "not there" if name in wanted else "there"
        raise _corrupt(folder, name, "there" if name in wanted else "not there", got)
    for name, digest in wanted.items():
        with there[name].open("rb") as jar:
            got = hashlib.file_digest(jar, "sha256").hexdigest()
        if got != digest:
            raise _corrupt(folder, name, f"SHA-256 {digest}", got)


def _corrupt(folder: Path, name: str, expected: str, got: str) -> BrokerNotStarted:
    return BrokerNotStarted(
        f"{name} in {folder} is not the recorded file of Apache Kafka {VERSION}",
        code="KAFKA_CORRUPT",
        expected=expected,
        got=got,
        hint=f"remove {folder} to fetch it again; if it recurs, distrust the repository",
    )


def _missing(code: str, program: str, what: str, package: str) -> str:
    raise BrokerNotStarted(
        f"a local Kafka needs {what}, and there is no {program}",
        code=code,
        expected=f"{program} on the PATH",
        got=os.environ.get("PATH", "(PATH is not set)"),
        hint=f"install it, on Debian: apt-get install {package}; or name a broker of your own in "
        "CHIRON_BOOTSTRAP_SERVERS",
    )
