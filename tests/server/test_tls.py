"""TLS: the same connection as without it, for who has a certificate, and nothing for others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from artiq_link import CannotListen, ConnectFailed, Link, LinkServer, ServerFailed
from artiq_link.cli.certificate import make_certificate
from artiq_link.link_client import tls_context
from artiq_link.server import loop
from artiq_link.server.tls import TlsLayer, create_context
from tests.conftest import PATIENCE, Certificates, Probe, until
from tests.peers import answer_to, connected, read_all
from tests.server.asking import SET, SET_REPLY, Serve


@pytest.fixture(params=["the fastest loop", "asyncio's loop"])
def server(
    serve: Serve,
    certificates: Certificates,
    elsewhere: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> LinkServer:
    """It wants certificates beyond this computer."""
    if request.param == "asyncio's loop":
        monkeypatch.setattr(loop, "_fastest_event_loop", asyncio.new_event_loop)
    return serve(host=["127.0.0.1", elsewhere], ssl=certificates.of_server)


@contextlib.contextmanager
def secured(
    server: LinkServer, files: list[str], host: str = "127.0.0.2"
) -> Iterator[ssl.SSLSocket]:
    """A connection with TLS, as any client makes one."""
    with socket.create_connection((host, server.port), timeout=PATIENCE) as plain:
        with tls_context(files).wrap_socket(plain) as client:
            yield client


def test_a_trusted_client(server: LinkServer, certificates: Certificates, elsewhere: str) -> None:
    """Each of several is let in; with TLS 1.3 and with 1.2."""
    for name in ("client", "second"):
        link = Link(elsewhere, server.port, ssl=certificates.of(name))
        assert link.call("set_frequency", channel=0, frequency=80e6) == {"frequency": 80e6}
    context = tls_context(certificates.of())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        assert Link(elsewhere, server.port, ssl=certificates.of()).call("link.ping") is True
    finally:
        context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED


def test_on_this_computer_both_are_spoken(server: LinkServer, certificates: Certificates) -> None:
    assert Link("127.0.0.1", server.port).call("link.ping") is True
    assert Link("127.0.0.1", server.port, ssl=certificates.of()).call("link.ping") is True
    # A dialect whose first byte could begin TLS is still waited for.
    with connected(server) as client:
        client.sendall(b"\x16")
        client.sendall(b"\x04[")
        assert json.loads(read_all(client))["code"] == "malformed"


def test_one_wildcard_serves_both(
    serve: Serve, certificates: Certificates, elsewhere: str
) -> None:
    """What is plain is decided by the address that a client has connected to."""
    server = serve(host="0.0.0.0", ssl=certificates.of_server)
    assert Link("127.0.0.1", server.port).call("link.ping") is True
    with pytest.raises(ServerFailed, match="speaks TLS alone"):
        Link(elsewhere, server.port).call("link.ping")


@pytest.mark.parametrize(
    ("shown", "reason", "logged"),
    [
        ("stranger", "it does not know this client's certificate", "is none of those"),
        (None, "", "it has shown no certificate"),
    ],
)
def test_a_client_that_is_not_trusted(
    server: LinkServer,
    certificates: Certificates,
    elsewhere: str,
    probe: Probe,
    shown: str | None,
    reason: str,
    logged: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It reaches no wire, is told why, and the log says who it was."""
    if shown is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(certificates.folder / "server.pem")
        with socket.create_connection((elsewhere, server.port), timeout=PATIENCE) as plain:
            with context.wrap_socket(plain) as client:
                client.sendall(SET)
                with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
                    client.recv(1)
    else:
        link = Link(elsewhere, server.port, ssl=certificates.of(shown))
        with pytest.raises(ConnectFailed, match=reason):
            link.call("set_frequency", channel=0, frequency=80e6)
    until(lambda: not server.connections)
    assert probe.executed == []
    (line,) = caplog.messages
    assert "127.0.0." in line
    assert f"refused, unauthorized: no TLS: {'its certificate ' if shown else ''}{logged}" in line


def test_a_server_that_is_not_trusted(
    server: LinkServer, certificates: Certificates, elsewhere: str
) -> None:
    """A client tells its command to nobody but the server whose certificate it has."""
    link = Link(elsewhere, server.port, ssl=certificates.of("client", server="stranger"))
    with pytest.raises(ConnectFailed) as failed:
        link.call("link.ping")
    assert str(failed.value) == (
        f"no TLS with {elsewhere}:{server.port}: the server's certificate is not the one that "
        "this client trusts; nothing was sent"
    )


@pytest.mark.parametrize(
    "first", [SET, b"GET / HTTP/1.1\r\n\r\n", b"ARTIQ pc_rpc\n", b"\x00\x67{", b"\x16{", b"\xff"]
)
def test_what_is_not_tls_is_refused(
    server: LinkServer, elsewhere: str, probe: Probe, first: bytes
) -> None:
    """With a sentence, whatever it is, and no wire has seen it."""
    with socket.create_connection((elsewhere, server.port), timeout=PATIENCE) as client:
        client.sendall(first)
        assert json.loads(read_all(client)) == {
            "status": "fail",
            "code": "unauthorized",
            "error": "this address speaks TLS alone, with a certificate",
        }
    assert probe.executed == []


def test_old_tls_is_not_spoken(
    server: LinkServer, certificates: Certificates, elsewhere: str
) -> None:
    """No version before 1.2: those have known weaknesses (RFC 8996)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(*certificates.of()[:2])
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((elsewhere, server.port), timeout=PATIENCE) as plain:
        with pytest.raises(OSError, match=r"PROTOCOL_VERSION|UNSUPPORTED|NO_PROTOCOLS"):
            context.wrap_socket(plain)


def test_in_pieces_of_one_byte(
    server: LinkServer, certificates: Certificates, elsewhere: str
) -> None:
    """Handshake and request may come in any pieces."""
    tls = ssl.MemoryBIO(), ssl.MemoryBIO()
    side = tls_context(certificates.of()).wrap_bio(*tls)
    with socket.create_connection((elsewhere, server.port), timeout=PATIENCE) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def until_done(step: Any) -> Any:
            while True:
                with contextlib.suppress(ssl.SSLWantReadError):
                    result = step()
                    send()
                    return result
                send()
                tls[0].write(client.recv(1))

        def send() -> None:
            for byte in tls[1].read():
                client.sendall(bytes([byte]))

        until_done(side.do_handshake)
        until_done(lambda: side.write(SET))
        assert json.loads(until_done(lambda: side.read(1000))) == SET_REPLY


def test_a_late_newline_costs_nothing(server: LinkServer, certificates: Certificates) -> None:
    """The server has said its last word, and still reads: it resets nothing."""
    with secured(server, certificates.of()) as client:
        client.sendall(SET)
        until(lambda: any(c._phase.name == "ENDING" for c in server.connections))
        client.sendall(b"\n")
        assert json.loads(read_all(client)) == SET_REPLY
        client.sendall(b"\n")


def test_a_client_that_has_finished_sending(
    server: LinkServer, certificates: Certificates, probe: Probe
) -> None:
    """Its end, with TLS's own word for it or without, takes it no reply."""
    for ends in (lambda client: client._sslobj.shutdown(), None):
        with secured(server, certificates.of()) as client:
            client.sendall(SET[:-1])
            client.sendall(b"}")
            with contextlib.suppress(ssl.SSLError):
                if ends is None:
                    socket.socket.shutdown(client, socket.SHUT_WR)
                else:
                    ends(client)
            until(lambda: any(c._eof for c in server.connections) or not server.connections)
    until(lambda: not server.connections)
    assert probe.executed == [(0, 80e6)] * 2


def test_large_values_both_ways(
    server: LinkServer, certificates: Certificates, elsewhere: str
) -> None:
    """More than the systems' buffers hold, byte for byte."""
    value = "".join(map(str, range(1_500_000)))
    link = Link(elsewhere, server.port, timeout=PATIENCE, ssl=certificates.of())
    assert link.call("echo", value=value) == value


def test_many_exchanges_on_one_connection(
    server: LinkServer, certificates: Certificates, elsewhere: str
) -> None:
    with Link(elsewhere, server.port, ssl=certificates.of()) as link:
        assert [link.call("echo", value=number) for number in range(100)] == list(range(100))
        assert len(server.connections) == 1


def test_a_reply_that_nobody_takes(
    serve: Serve, certificates: Certificates, elsewhere: str, probe: Probe
) -> None:
    """The connection is dropped after its time; who takes a little now and then keeps it."""
    server = serve(host=elsewhere, ssl=certificates.of_server, linger_time=0.2)
    request = json.dumps({"command_id": "echo", "value": "x" * (10 << 20)}).encode()
    with secured(server, certificates.of()) as client:
        client.sendall(request)
        until(lambda: probe.executed == ["echo"] and not server.connections)
    with secured(server, certificates.of()) as client:
        sender = threading.Thread(target=client.sendall, args=(request,))
        sender.start()
        sender.join()
        received = bytearray()
        while data := client.recv(1 << 20):
            received += data
        assert json.loads(received)["status"] == "success"


def test_a_reset_takes_back_what_has_not_started(
    server: LinkServer, certificates: Certificates, elsewhere: str, probe: Probe
) -> None:
    """A client that gives up is noticed with TLS as well."""
    with secured(server, certificates.of()) as client:
        client.sendall(b'{"command_id": "wait"}')
        assert probe.started.wait(PATIENCE)
        link = Link(elsewhere, server.port, timeout=0.2, ssl=certificates.of())
        with contextlib.suppress(Exception):
            link.call("set_frequency", channel=0, frequency=80e6, link={"timeout": 60.0})
        until(lambda: len(server.connections) == 1)
        probe.go_on.set()
        assert json.loads(read_all(client))["result"] == "waited"
    assert probe.executed == ["wait"]


def test_a_stop_answers_first(
    server: LinkServer, certificates: Certificates, probe: Probe
) -> None:
    with secured(server, certificates.of()) as client:
        client.sendall(b'{"command_id": "wait"}')
        assert probe.started.wait(PATIENCE)
        server.stop()
        probe.go_on.set()
        assert json.loads(read_all(client))["result"] == "waited"


def test_silence_in_the_handshake(
    serve: Serve, certificates: Certificates, elsewhere: str
) -> None:
    """It has the time of a request, and no more."""
    server = serve(host=elsewhere, ssl=certificates.of_server, request_time=0.05)
    for first in (b"", b"\x16", b"\x16\x03\x01"):
        with socket.create_connection((elsewhere, server.port), timeout=PATIENCE) as client:
            client.sendall(first)
            assert read_all(client) == b""
    until(lambda: not server.connections)


def test_rubbish_behind_the_beginning_of_tls(server: LinkServer, elsewhere: str) -> None:
    for rubbish in (b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x03" + b"\xff" * 20_000):
        with socket.create_connection((elsewhere, server.port), timeout=PATIENCE) as client:
            client.sendall(rubbish)
            assert read_all(client)[:1] in {b"", b"\x15"}  # an alert
    until(lambda: not server.connections)


def test_tls_to_a_server_without_it(serve: Serve, certificates: Certificates) -> None:
    """It is said on both sides."""
    server = serve()
    with pytest.raises(ConnectFailed, match=r"perhaps it does not speak TLS; nothing was sent$"):
        Link("127.0.0.1", server.port, ssl=certificates.of()).call("link.ping")
    assert answer_to(server, SET) == json.dumps(SET_REPLY, separators=(",", ":")).encode() + b"\n"


def starting(serve: Serve, files: list[str]) -> str:
    with pytest.raises(CannotListen) as refused:
        serve(ssl=files)
    return str(refused.value)


def test_files_that_are_wrong(serve: Serve, certificates: Certificates, tmp_path: Path) -> None:
    """One sentence, which names the file and what it lacks; nothing is listened on."""
    certificate, key, trusted = certificates.of_server
    other_key = str(certificates.folder / "client.key")
    empty = tmp_path / "empty.pem"
    empty.touch()
    begin = "cannot let anyone in: "
    assert starting(serve, ["no.pem", key, trusted]) == f"{begin}no.pem: No such file or directory"
    assert starting(serve, [certificate, other_key, trusted]) == (
        f"{begin}{certificate} and {other_key}: the key does not belong to the certificate"
    )
    assert starting(serve, [certificate, key, str(empty)]) == (
        f"{begin}{empty}: there is no certificate in it"
    )
    assert starting(serve, [trusted, key, key]).endswith("does not belong to the certificate")
    empty.chmod(0o600)
    assert starting(serve, [certificate, str(empty), trusted]) == (
        f"{begin}{certificate} and {empty}: expected a certificate and its key in PEM"
    )


def test_a_key_that_others_can_read(serve: Serve, tmp_path: Path) -> None:
    key = tmp_path / "own.key"
    make_certificate("own", tmp_path / "own.pem", key)
    key.chmod(0o640)
    files = [str(tmp_path / "own.pem"), str(key), str(tmp_path / "own.pem")]
    assert starting(serve, files) == (
        f"cannot let anyone in: {key}: others than its owner can read it: chmod 600 {key}"
    )


def test_who_is_let_in_is_not_logged(
    server: LinkServer,
    certificates: Certificates,
    elsewhere: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    Link(elsewhere, server.port, ssl=certificates.of()).call("link.ping")
    until(lambda: not server.connections)
    assert caplog.messages == []


# --- the layer alone


class Wires(asyncio.Transport):
    """A socket's transport that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.ended = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def write_eof(self) -> None:
        self.ended += 1

    def get_write_buffer_size(self) -> int:
        return 0


class Alone:
    """A layer between a transport that keeps what it is given and a client in memory."""

    def __init__(self, certificates: Certificates) -> None:
        self.refusals: list[str] = []
        self.transport = Wires()
        self.protocol = asyncio.Protocol()
        self.layer = TlsLayer(
            create_context(*certificates.of_server),
            self.transport,
            self.protocol,
            lambda error: self.refusals.append(str(error)),
        )
        self.to_client, self.from_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = tls_context(certificates.of())
        self.client = context.wrap_bio(self.to_client, self.from_client)

    def shake_hands(self) -> None:
        for _ in range(3):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.client.do_handshake()
            self.layer.data_received(self.from_client.read())
            self.to_client.write(self.take())

    def take(self) -> bytes:
        taken = bytes(self.transport.sent)
        self.transport.sent.clear()
        return taken

    def read(self) -> bytes:
        """What the client reads of all that was sent."""
        self.to_client.write(self.take())
        read = bytearray()
        with contextlib.suppress(ssl.SSLWantReadError):
            while piece := self.client.read(1 << 20):
                read += piece
        return bytes(read)


def test_what_the_socket_does_not_take_waits(certificates: Certificates) -> None:
    """It is counted, encrypted when the socket takes more, and the end waits behind it."""
    alone = Alone(certificates)
    alone.shake_hands()
    data = bytes(range(256)) * 4000
    alone.layer.pause_writing()
    alone.layer.write(data)
    alone.layer.write(b"the end")
    alone.layer.write_eof()
    alone.layer.write(b"behind the end")
    assert alone.take() == b""
    assert alone.layer.get_write_buffer_size() == len(data) + len(b"the end")
    assert alone.transport.ended == 0
    alone.layer.resume_writing()
    assert alone.read() == data + b"the end"
    assert (alone.layer.get_write_buffer_size(), alone.transport.ended) == (0, 1)


def test_a_refusal_is_the_last_word(certificates: Certificates) -> None:
    """What still comes is neither read nor refused once more."""
    alone = Alone(certificates)
    for _ in range(3):
        alone.layer.data_received(b"\x16\x03\x01\x00\x05hello")
    assert len(alone.refusals) == alone.transport.ended == 1
