"""The development quoting service as a process, and a core that asks it through a courier."""

from __future__ import annotations

import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chiron_stream.attestation.evidence import SIMULATED, TRAINER
from chiron_stream.attestation.quoting import (
    FRAME_LIMIT,
    QuoteRequest,
    QuotingRefused,
    seal_request,
)
from chiron_stream.attestation.verification import verify
from chiron_stream.errors import EvidenceRefused, TamperDetected
from chiron_stream.simulation.authority import Authority
from chiron_stream.simulation.frames import FrameRefused, receive, send
from chiron_stream.simulation.relay import SOCKET, relay
from chiron_stream.simulation.service import answer
from chiron_stream.wire.crypto import XWingPrivateKey
from enclave_workers.core.tee import Tee
from enclave_workers.core.tee.simulated import SimulatedTee
from tests.unit.attestation.workers import Worker

NOW = 1_800_000_000
MEASUREMENT = bytes([1]) * 32
REPORT_DATA = bytes(range(100, 164))
PATIENCE = 30.0


class Service:
    """A running service, from its ready line to its end."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chiron_stream.simulation", str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.ready = self.process.stdout.readline()

    def end(self) -> tuple[int, str]:
        """Close its standard input; return exit code and what it printed since it was ready."""
        printed, complaints = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, printed + complaints


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    Authority.create(tmp_path / "service")
    return tmp_path / "service"


@pytest.fixture
def service(directory: Path) -> Iterator[Service]:
    running = Service(directory)
    yield running
    running.process.kill()
    running.process.communicate()


def tee(directory: Path, measurement: bytes = MEASUREMENT) -> Tee:
    public = Authority.load(directory).service().public
    return SimulatedTee(
        TRAINER, public, lambda request: relay(directory, request, PATIENCE), measurement
    )


def test_service_answers_until_its_standard_input_ends(service: Service) -> None:
    assert service.ready.startswith("ready: SIMULATED")
    asked = tee(service.directory)
    first, second = asked.evidence(REPORT_DATA), asked.evidence(REPORT_DATA)
    assert first.profile == SIMULATED
    assert first.quote != second.quote
    refused = QuotingRefused.unpack(relay(service.directory, b"garbage", PATIENCE))
    assert refused.reason.startswith("not a request")
    assert asked.sealing_key(b"label")
    assert service.end() == (0, "")
    assert not (service.directory / SOCKET).exists()


def test_service_ends_at_sigterm(service: Service) -> None:
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(PATIENCE) == 0
    assert not (service.directory / SOCKET).exists()


def test_service_ends_while_somebody_is_connected(service: Service) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(service.directory / SOCKET))
        assert service.end() == (0, "")


def test_socket_is_for_its_owner_only(service: Service) -> None:
    assert stat.S_IMODE((service.directory / SOCKET).stat().st_mode) == 0o600


def test_minted_evidence_verifies_under_the_service_root(service: Service) -> None:
    authority = Authority.load(service.directory)
    evidence = tee(service.directory).evidence(REPORT_DATA)
    now = int(authority.root.certificate.not_valid_before_utc.timestamp()) + 86_400
    verdict = verify(evidence, Worker(authority).policy(), now)
    assert verdict.reasons == ()
    assert verdict.report is not None
    assert (verdict.report.mr_enclave, verdict.report.report_data) == (MEASUREMENT, REPORT_DATA)


def test_sealing_key_is_the_same_after_a_restart(directory: Path) -> None:
    keys = []
    for _ in range(2):
        running = Service(directory)
        keys.append(tee(directory).sealing_key(b"label"))
        assert running.end() == (0, "")
    assert keys[0] == keys[1]
    assert len(keys[0]) == 32


def test_sealing_key_of_another_measurement_or_label_is_another(service: Service) -> None:
    mine, other = tee(service.directory), tee(service.directory, bytes(32))
    keys = {mine.sealing_key(b"a"), mine.sealing_key(b"b"), other.sealing_key(b"a")}
    assert len(keys) == 3


def test_relay_sees_no_plaintext(service: Service) -> None:
    seen: list[bytes] = []

    def curious(request: bytes) -> bytes:
        seen.extend((request, relay(service.directory, request, PATIENCE)))
        return seen[-1]

    public = Authority.load(service.directory).service().public
    asked = SimulatedTee(TRAINER, public, curious, MEASUREMENT)
    evidence, key = asked.evidence(REPORT_DATA), asked.sealing_key(b"a label")
    assert len(seen) == 4
    for secret in (REPORT_DATA, MEASUREMENT, evidence.quote[:48], evidence.root, key, b"a label"):
        assert not any(secret in frame for frame in seen)


def test_answer_to_another_request_is_refused(service: Service) -> None:
    answers: list[bytes] = []

    def replaying(request: bytes) -> bytes:
        answers.append(relay(service.directory, request, PATIENCE))
        return answers[0]

    public = Authority.load(service.directory).service().public
    asked = SimulatedTee(TRAINER, public, replaying, MEASUREMENT)
    asked.evidence(REPORT_DATA)
    with pytest.raises(TamperDetected):
        asked.evidence(REPORT_DATA)


@pytest.mark.parametrize("frame", [b"", b"\0" * 2000, b"\xff" * FRAME_LIMIT])
def test_garbage_gets_a_refusal_and_the_service_goes_on(service: Service, frame: bytes) -> None:
    QuotingRefused.unpack(relay(service.directory, frame, PATIENCE))
    tee(service.directory).evidence(REPORT_DATA)


@pytest.mark.parametrize("sent", [b"\xff\xff\xff\xff", b"\0\0\1\0cut", b"\0\0"])
def test_frame_that_is_no_frame_gets_a_refusal(service: Service, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(service.directory / SOCKET))
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        frame = receive(connection)
        assert frame is not None
        assert "a frame" in QuotingRefused.unpack(frame).reason
        assert receive(connection) is None
    tee(service.directory).evidence(REPORT_DATA)


def test_several_connections_are_served_at_once(service: Service) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(service.directory / SOCKET))
        tee(service.directory).evidence(REPORT_DATA)


def test_second_service_of_a_directory_is_refused(service: Service) -> None:
    second = Service(service.directory)
    code, printed = second.end()
    assert (second.ready, code) == ("", 2)
    assert "listens" in printed
    tee(service.directory).evidence(REPORT_DATA)


def test_socket_that_a_killed_service_left_is_replaced(service: Service) -> None:
    service.process.kill()
    service.process.wait(PATIENCE)
    assert (service.directory / SOCKET).exists()
    successor = Service(service.directory)
    tee(service.directory).evidence(REPORT_DATA)
    assert successor.end() == (0, "")


def test_service_without_keys_says_so(tmp_path: Path) -> None:
    code, printed = Service(tmp_path).end()
    assert code == 2
    assert printed.startswith("chiron: error: [CONFIGURATION]")


def test_service_whose_path_is_too_long_says_so(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 110)
    Authority.create(directory)
    code, printed = Service(directory).end()
    assert (code, "too long" in printed) == (2, True)


def test_service_that_is_not_there_is_said_to_the_courier(directory: Path) -> None:
    with pytest.raises(EvidenceRefused, match="no evidence to be had") as caught:
        relay(directory, b"", PATIENCE)
    assert caught.value.code == "QUOTING_SERVICE"


def speaking(directory: Path, said: bytes) -> threading.Thread:
    """Listen in the place of a service, say something to the first caller, and hang up."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(directory / SOCKET))
    listener.listen(1)

    def speak() -> None:
        with listener, listener.accept()[0] as connection:
            receive(connection)
            connection.sendall(said)

    thread = threading.Thread(target=speak)
    thread.start()
    return thread


@pytest.mark.parametrize("said", [b"", b"\0\0", b"\0\0\0\x08cut", b"\xff\xff\xff\xff"])
def test_service_that_answers_no_frame_is_said_to_the_courier(directory: Path, said: bytes) -> None:
    thread = speaking(directory, said)
    with pytest.raises(EvidenceRefused, match="no evidence to be had"):
        relay(directory, b"request", PATIENCE)
    thread.join()


def test_frames_come_back_as_they_were() -> None:
    one, other = socket.socketpair()
    with one, other:
        send(one, b"bytes")
        send(one, b"")
        assert (receive(other), receive(other)) == (b"bytes", b"")
        one.close()
        assert receive(other) is None


def test_frame_beyond_the_limit_is_refused() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.sendall((FRAME_LIMIT + 1).to_bytes(4, "big"))
        with pytest.raises(FrameRefused, match="too long"):
            receive(other)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.generate(NOW)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda sealed: sealed[:-1], "does not open"),
        (lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1]), "does not open"),
        (lambda _sealed: b"", "does not open"),
    ],
)
def test_altered_request_is_refused(
    authority: Authority, change: Callable[[bytes], bytes], reason: str
) -> None:
    reply = XWingPrivateKey(bytes(32))
    request = QuoteRequest(TRAINER, MEASUREMENT, REPORT_DATA, reply.public)
    sealed = seal_request(authority.service().public, request)
    assert reason in QuotingRefused.unpack(answer(authority, change(sealed), NOW)).reason


def test_request_of_an_unknown_role_is_refused(authority: Authority) -> None:
    reply = XWingPrivateKey(bytes(32))
    request = QuoteRequest("auditor", MEASUREMENT, REPORT_DATA, reply.public)
    sealed = seal_request(authority.service().public, request)
    assert "roles" in QuotingRefused.unpack(answer(authority, sealed, NOW)).reason


def test_request_with_an_unusable_reply_key_is_refused(authority: Authority) -> None:
    request = QuoteRequest(TRAINER, MEASUREMENT, REPORT_DATA, b"\xff" * 1216)
    sealed = seal_request(authority.service().public, request)
    assert "X-Wing" in QuotingRefused.unpack(answer(authority, sealed, NOW)).reason
