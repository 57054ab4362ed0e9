"""Attacks from a web page, from the network, with somebody else's certificate or a weaker token.

docs/security.md lists them; each must end with nothing executed and nothing told.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import re
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from artiq_link import ConnectFailed, Instrument, Link, LinkServer, ServerFailed, command
from artiq_link.server import tokens
from artiq_link.server.tokens import FREE_TRIES
from tests.conftest import CONTROL_TOKEN, PATIENCE, WATCH_TOKEN, Certificates, Probe, until
from tests.peers import (
    HANDSHAKE,
    answer_to,
    comet_content,
    comet_frame,
    connected,
    read_all,
    websocket_frame,
    websocket_messages,
)
from tests.programs import ROOT, finish, first_line, running
from tests.server.asking import Serve
from tests.server.elsewhere import ask_from, ndsp_call

PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
SET = b'{"command_id": "set_frequency", "channel": 0, "frequency": 80e6}'
EOT_SET = b'{"set_frequency": {"channel": 0, "frequency": 80e6}}\x04'


def test_each_attack_on_the_page_has_its_test() -> None:
    """And there are as many as a laboratory should expect to have been tried."""
    named = re.findall(r"\| `(tests/[\w/]+\.py)::(test_\w+)` \|$", PAGE, re.MULTILINE)
    rows = [line for line in PAGE.splitlines() if re.search(r"`tests/", line)]
    assert len(named) == len(rows) >= 30
    for path, name in named:
        text = (ROOT / path).read_text("utf-8")
        assert re.search(rf"^def {name}\(", text, re.MULTILINE), name


# --- from a web page, in a browser of this computer or of the laboratory


def browsers_handshake(host: str, origin: str | None, *more: str) -> bytes:
    lines = HANDSHAKE.decode().replace("Host: localhost", f"Host: {host}").splitlines()[:-1]
    lines += [] if origin is None else [f"Origin: {origin}"]
    return "\r\n".join([*lines, *more, "", ""]).encode()


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:{port}", "https://evil.example"),
        ("127.0.0.1:{port}", "null"),  # a sandboxed frame, a file
        ("127.0.0.1:{port}", "http://127.0.0.1:8000"),  # another program of this computer
        ("127.0.0.1:{port}", "http://127.0.0.1:{port}.evil.example"),
        ("127.0.0.1:{port}", "http://evil.example/http://127.0.0.1:{port}"),
        ("127.0.0.1:{port}", "file://"),
        ("127.0.0.1:{port}", ""),
    ],
)
def test_a_foreign_page_opens_no_websocket(
    serve: Serve, probe: Probe, host: str, origin: str
) -> None:
    """Cross-site WebSocket hijacking: nothing that comes with the handshake is read either."""
    server = serve()
    host, origin = host.format(port=server.port), origin.format(port=server.port)
    answer = answer_to(server, browsers_handshake(host, origin) + websocket_frame(SET))
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert probe.executed == []


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "lab-pc.evil.example"])
def test_a_rebound_name_opens_no_websocket(serve: Serve, probe: Probe, name: str) -> None:
    """DNS rebinding: to the browser the page and the server are of one origin."""
    server = serve(host_names=["lab-pc"])
    host = f"{name}:{server.port}"
    request = browsers_handshake(host, f"http://{host}") + websocket_frame(SET)
    assert answer_to(server, request).startswith(b"HTTP/1.1 403 Forbidden\r\n")
    page = answer_to(server, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert page.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert name.encode() not in page
    assert probe.executed == []


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "lab-pc", "LAB-PC"])
def test_the_servers_own_page_is_let_in(serve: Serve, name: str) -> None:
    """Under an address, localhost, and the names that its keeper has given."""
    server = serve(host_names=["lab-pc"])
    host = f"{name}:{server.port}"
    request = browsers_handshake(host, f"http://{host.lower()}") + websocket_frame(b"quit")
    assert answer_to(server, request).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    "more",
    [
        ("Origin: http://localhost", "Origin: https://evil.example"),
        ("Host: localhost", "Origin: http://localhost"),
    ],
)
def test_a_header_that_comes_twice(serve: Serve, probe: Probe, more: tuple[str, ...]) -> None:
    """What one part of a program reads and another does not."""
    request = browsers_handshake("localhost", None, *more) + websocket_frame(SET)
    assert not answer_to(serve(), request).startswith(b"HTTP/1.1 101 ")
    assert probe.executed == []


@pytest.mark.parametrize(
    "first",
    [
        b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PUT / HTTP/1.1\r\n\r\n",
        b"OPTIONS / HTTP/1.1\r\n\r\n",
        b"post / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 64\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n",
        b"CONNECT localhost:1 HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
@pytest.mark.parametrize("body", [SET, EOT_SET, b"\x00\x67" + SET, b"ARTIQ pc_rpc\ndds\n"])
def test_a_forms_body_is_no_request(serve: Serve, probe: Probe, first: bytes, body: bytes) -> None:
    """Cross-protocol requests: what follows HTTP's first line is never taken for a dialect."""
    answer_to(serve(), first + body)
    assert probe.executed == []


# --- from the network, without a proof


def test_every_dialect_asks_for_a_token(
    serve: Serve, elsewhere: str, token_file: str, probe: Probe
) -> None:
    """Nothing is executed, and nothing told but that a token is wanted."""
    server = serve(host=elsewhere, token_file=token_file)
    wanted = b"this server wants a token"
    comet = {"action": "set_frequency", "value": {"channel": 0, "frequency": 80e6}}
    websocket = ask_from(
        server, HANDSHAKE + websocket_frame(SET) + websocket_frame(EOT_SET[:-1]) +
        websocket_frame(b"quit")
    ).partition(b"\r\n\r\n")[2]  # fmt: skip
    messages = [text for _, text in websocket_messages(websocket)]
    assert [wanted in text for text in messages[:2]] == [True, True]
    assert wanted in ask_from(server, SET)
    assert wanted in ask_from(server, EOT_SET)
    assert wanted.decode() in comet_content(ask_from(server, comet_frame(comet)))["result"]
    assert ask_from(server, b"ARTIQ pc_rpc\ndds\n") == b""
    assert probe.executed == []


def test_every_dialect_asks_for_a_certificate(
    serve: Serve, elsewhere: str, certificates: Certificates, probe: Probe
) -> None:
    server = serve(host=elsewhere, ssl=certificates.of_server)
    for first in (SET, EOT_SET, HANDSHAKE, comet_frame({"action": "count", "value": {}}),
                  b"ARTIQ pc_rpc\ndds\n"):  # fmt: skip
        assert json.loads(ask_from(server, first))["code"] == "unauthorized"
    assert probe.executed == []


def test_a_token_is_no_way_around_tls(
    serve: Serve, elsewhere: str, certificates: Certificates, token_file: str, probe: Probe
) -> None:
    """Downgrade: where TLS is asked for, nothing plain is read, whatever it shows."""
    server = serve(host=elsewhere, ssl=certificates.of_server, token_file=token_file)
    link = Link(elsewhere, server.port, link={"token": CONTROL_TOKEN})
    with pytest.raises(ServerFailed, match="speaks TLS alone"):
        link.call("count")
    assert probe.executed == []


def test_what_stands_behind_the_first_bytes_of_tls(
    serve: Serve, elsewhere: str, certificates: Certificates, probe: Probe
) -> None:
    """A plain request behind half a handshake, and half a one before it."""
    server = serve(host=["127.0.0.1", elsewhere], ssl=certificates.of_server)
    for host in ("127.0.0.1", elsewhere):
        for data in (b"\x16\x03" + SET, b"\x16\x03\x01\x00\x40" + SET, b"\x16\x03{" + SET):
            ask_from(server, data, host)
    until(lambda: not server.connections)
    assert probe.executed == []


def test_guessing_tokens(
    serve: Serve, elsewhere: str, token_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the tries come, in new connections or one, those of an address are counted."""
    monkeypatch.setattr(tokens, "monotonic", lambda: 0.0)
    server = serve(host=elsewhere, token_file=token_file)

    def guess(token: str, **link: Any) -> bytes:
        message = {"command_id": "link.ping", "link": {"token": token, **link}}
        return json.dumps(message).encode()

    errors = []
    for number in (1, 1, FREE_TRIES + 3):
        sent = guess("guess", keep=True) * (number - 1) + guess("guess")
        errors += [json.loads(line)["error"] for line in ask_from(server, sent).splitlines()]
    assert errors[:FREE_TRIES] == ["this token is none of this server's"] * FREE_TRIES
    paused = "too many wrong tokens have come from 127.0.0.1: try again in 1 s"
    assert errors[FREE_TRIES:] == [paused] * 5
    right = json.loads(ask_from(server, guess(CONTROL_TOKEN)))
    assert right["error"] == paused, "a right guess looks as a wrong one"


@pytest.mark.parametrize(
    "token", [[], {}, 5, True, [CONTROL_TOKEN], CONTROL_TOKEN[:-1], CONTROL_TOKEN + " ", "",
              f"{CONTROL_TOKEN}\n{WATCH_TOKEN}", CONTROL_TOKEN.upper()]
)  # fmt: skip
def test_tokens_that_are_nearly_right(
    serve: Serve, elsewhere: str, token_file: str, token: Any, probe: Probe
) -> None:
    """A part, a list, another type: none is the token."""
    server = serve(host=elsewhere, token_file=token_file)
    request = json.dumps({"command_id": "count", "link": {"token": token}}).encode()
    assert json.loads(ask_from(server, request))["status"] == "fail"
    assert probe.executed == []


def test_an_open_server_is_not_ended_by_everyone(serve: Serve, elsewhere: str) -> None:
    server = serve(host=elsewhere, open_to_all=True, quit_stops=True)
    answer = ndsp_call(server, "terminate", elsewhere)
    assert answer["exception"]["class"] == "PermissionError"
    ask_from(server, HANDSHAKE + websocket_frame(b"quit"))
    assert Link(elsewhere, server.port).call("link.ping") is True


# --- with a certificate that is not trusted


def sign(
    folder: Path,
    name: str,
    *,
    issuer: str | None = None,
    days: tuple[int, int] = (-1, 10),
    ca: bool = False,
) -> None:
    """Make a certificate, signed by the key of `issuer` or by its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issued_by, signing_key = who, key
    if issuer is not None:
        issued_by = x509.load_pem_x509_certificate((folder / f"{issuer}.pem").read_bytes()).subject
        loaded = serialization.load_pem_private_key((folder / f"{issuer}.key").read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signing_key = loaded
    now = datetime.datetime.now(datetime.UTC)
    begin, end = (now + datetime.timedelta(days=each) for each in days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(issued_by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(signing_key, hashes.SHA256())
    )
    kind = serialization.Encoding.PEM
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(kind))
    in_pem = key.private_bytes(
        kind, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / f"{name}.key").write_bytes(in_pem)
    (folder / f"{name}.key").chmod(0o600)


@pytest.fixture
def guarded(
    serve: Serve, certificates: Certificates, elsewhere: str, tmp_path: Path
) -> LinkServer:
    """A server that trusts ``client``, whose files are copied to a folder of the test's own."""
    for name in ("server", "client"):
        for kind in ("pem", "key"):
            file = tmp_path / f"{name}.{kind}"
            file.write_bytes((certificates.folder / file.name).read_bytes())
            file.chmod(0o600)
    return serve(host=elsewhere, ssl=certificates.of_server)


@pytest.mark.parametrize(
    "attack",
    ["a stranger's", "of the same name", "signed by a client", "signed by the server", "expired",
     "not yet good"],
)  # fmt: skip
def test_certificates_that_are_not_trusted(
    guarded: LinkServer, elsewhere: str, tmp_path: Path, probe: Probe, attack: str
) -> None:
    """The certificate itself is known, and not what stands in it; a client can sign no other."""
    trusting = guarded
    match attack:
        case "a stranger's":
            sign(tmp_path, "mallory")
        case "of the same name":
            sign(tmp_path, "client")
            for kind in ("pem", "key"):
                (tmp_path / f"client.{kind}").rename(tmp_path / f"mallory.{kind}")
        case "signed by a client":
            sign(tmp_path, "mallory", issuer="client")
        case "signed by the server":
            sign(tmp_path, "mallory", issuer="server")
        case "expired":
            sign(tmp_path, "mallory", days=(-10, -1))
        case "not yet good":
            sign(tmp_path, "mallory", days=(1, 10))
    files = [str(tmp_path / name) for name in ("mallory.pem", "mallory.key", "server.pem")]
    with pytest.raises(ConnectFailed, match="does not know this client's certificate"):
        Link(elsewhere, trusting.port, ssl=files).call("count")
    assert probe.executed == []


@pytest.mark.parametrize(
    ("days", "told", "logged"),
    [
        ((-10, -1), "this client's certificate has ended, by the server's clock", "has ended, by"),
        ((1, 10), "it refuses this client's certificate; is the server's", "is not valid yet, by"),
    ],
)
def test_an_expired_certificate_is_not_trusted_though_it_is_listed(
    serve: Serve,
    certificates: Certificates,
    elsewhere: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    days: tuple[int, int],
    told: str,
    logged: str,
) -> None:
    """Nor one whose time has not come; perhaps a clock is wrong, so that is named."""
    sign(tmp_path, "old", days=days)
    own, key, _ = certificates.of_server
    server = serve(host=elsewhere, ssl=[own, key, str(tmp_path / "old.pem")])
    files = [str(tmp_path / "old.pem"), str(tmp_path / "old.key"), own]
    with pytest.raises(ConnectFailed, match=told):
        Link(elsewhere, server.port, ssl=files).call("count")
    until(lambda: any(f"its certificate {logged} this" in line for line in caplog.messages))


@pytest.mark.parametrize(
    ("days", "told"), [((-10, -1), "has ended"), ((1, 10), "is not valid yet")]
)
def test_a_servers_certificate_whose_time_it_is_not(
    serve: Serve,
    certificates: Certificates,
    elsewhere: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    days: tuple[int, int],
    told: str,
) -> None:
    sign(tmp_path, "old", days=days)
    own, key, _ = certificates.of()
    server = serve(host=elsewhere, ssl=[str(tmp_path / "old.pem"), str(tmp_path / "old.key"), own])
    with pytest.raises(ConnectFailed, match=f"{told}: this computer's clock says 20"):
        Link(elsewhere, server.port, ssl=[own, key, str(tmp_path / "old.pem")]).call("count")
    until(lambda: any("this server's certificate" in line for line in caplog.messages))


def test_an_impostor_of_the_server_learns_no_command(
    serve: Serve, certificates: Certificates, tmp_path: Path
) -> None:
    """Man in the middle: with any certificate but the server's own it gets not one byte."""
    sign(tmp_path, "server")
    impostor = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    impostor.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with running(
            sys.executable, "-c", IMPOSTORS_VICTIM, str(port), *certificates.of()
        ) as victim:
            client, _ = listener.accept()
            client.settimeout(PATIENCE)
            with client, contextlib.suppress(OSError):
                with impostor.wrap_socket(client, server_side=True) as secured:
                    assert secured.recv(100) == b""
            code, output, errors = finish(victim)
    assert (code, errors) == (0, "")
    assert "is not the one that this client trusts; nothing was sent" in output


IMPOSTORS_VICTIM = """
import sys
from artiq_link import ConnectFailed, Link
try:
    Link(port=int(sys.argv[1]), ssl=sys.argv[2:], link={"token": "secret"}).call("count")
except ConnectFailed as error:
    print(error)
"""


# --- with a token that may do less


class Two(Instrument):
    """One of two instruments with the same commands."""

    def __init__(self) -> None:
        self.done = 0

    @command
    def act(self) -> int:
        """Act."""
        self.done += 1
        return self.done


def test_no_other_name_of_a_command_gets_around_a_role(
    serve: Serve, elsewhere: str, tmp_path: Path
) -> None:
    """With its instrument's name or without, in batches, in batches of batches, by interact."""
    token_file = tmp_path / "tokens"
    token_file.write_text(f"part {WATCH_TOKEN} watch oven=control\n")
    token_file.chmod(0o600)
    dds, oven = Two(), Two()
    server = serve(
        {"dds": dds, "oven": oven},
        host=elsewhere,
        token_file=str(token_file),
        interact=dds.interact,
    )
    link = Link(elsewhere, server.port, link={"token": WATCH_TOKEN})
    act = {"command_id": "dds.act"}
    nested = {"command_id": "link.batch", "requests": [act]}
    for request in (
        {"command_id": "act"},
        act,
        {"command_id": "anything"},
        {"command_id": "link.batch", "requests": [act], "check": False},
        {"command_id": "link.batch", "requests": [nested], "check": False},
        {"command_id": "link.batch", "requests": [{**act, "link": {"token": CONTROL_TOKEN}}]},
        {"command_id": "oven.act.dds.act"},
        {"command_id": " dds.act"},
    ):
        link.send(request)
    assert dds.done == 0
    websocket = HANDSHAKE + websocket_frame(
        json.dumps({"dds.act": {"link": {"token": WATCH_TOKEN}}}).encode()
    ) + websocket_frame(b"quit")  # fmt: skip
    assert b"needs the role control" in ask_from(server, websocket)
    assert dds.done == 0


# --- what is told, and what is written down


class Careless(Instrument):
    """Raises what says more than it should."""

    @command
    def read(self) -> None:
        """Fail to read a file."""
        Path("/home/keeper/secret/table.csv").read_text()

    @command
    def parse(self) -> None:
        """Have a bug that names a path."""
        raise RuntimeError(r"in C:\Users\keeper\secret\table.csv, line 5")

    @read.checker
    def _check_read(self) -> None:
        """Nothing is wrong with it."""


@pytest.mark.parametrize("name", ["read", "parse"])
def test_no_reply_tells_a_path_or_a_traceback(serve: Serve, name: str) -> None:
    """In any dialect; a file's own name stays, because the experimenter needs it."""
    server = serve({"dds": Careless()})
    answers = [
        answer_to(server, json.dumps({"command_id": name}).encode()),
        answer_to(server, json.dumps({name: {}}).encode() + b"\x04"),
        answer_to(server, comet_frame({"action": name, "value": {}})),
        json.dumps(ndsp_call(server, name, "127.0.0.1")).encode(),
    ]
    for answer in answers:
        assert b"table.csv" in answer
        for leak in (b"keeper", b"secret", b"Traceback", b"test_security", b".py"):
            assert leak not in answer


SERVER = """
import sys
from artiq_link import DDS, SimulatedDriver, parse_server_options, start_server
options = parse_server_options("A server.")
start_server({"dds": DDS(SimulatedDriver())}, host=options.host, port=options.port,
             debug=options.debug, **options.more)
"""


def test_a_token_is_written_nowhere(token_file: str) -> None:
    """Neither by the log at its most talkative, nor by --debug, nor in any reply."""
    arguments = ("-c", SERVER, "-p", "0", "-vv", "--debug", "--token-file", token_file)
    with running(sys.executable, *arguments) as process:
        address = first_line(process)
        port = int(address.rpartition(":")[2])
        link = Link(port=port, link={"token": CONTROL_TOKEN})
        replies = [link.send({"command_id": name}) for name in ("link.status", "link.describe")]
        replies.append(link.send({"command_id": "get", "channel": "wrong"}))
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            header = f"Authorization: Bearer {CONTROL_TOKEN}"
            client.sendall(browsers_handshake("localhost", None, header))
            request = {"command_id": "link.ping", "link": {"token": CONTROL_TOKEN}}
            client.sendall(websocket_frame(json.dumps(request).encode()))
            client.sendall(websocket_frame(b"quit"))
            replies.append(repr(read_all(client)))
        comet = {"action": "link.ping", "value": {}, "link": {"token": CONTROL_TOKEN, "no": 1}}
        replies.append(repr(ask(port, comet_frame(comet))))
        replies.append(repr(ask(port, b'{"a": {"link": {"token": "%s"' % CONTROL_TOKEN.encode())))
        process.terminate()
        code, output, errors = finish(process)
    assert code == 0
    assert "link.ping" in output
    assert CONTROL_TOKEN not in json.dumps(replies) + output + errors


def ask(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return read_all(client)


def test_a_wrong_token_is_written_nowhere(
    serve: Serve, elsewhere: str, token_file: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be that of another server."""
    caplog.set_level(logging.DEBUG)
    server = serve(host=elsewhere, token_file=token_file)
    request = b'{"command_id": "link.ping", "link": {"token": "that-of-another-server"}}'
    assert b"another" not in ask_from(server, request)
    assert "another-server" not in caplog.text


# --- with bytes that do more than they say


def test_who_is_not_let_in_has_no_more_time_or_room(
    serve: Serve, elsewhere: str, certificates: Certificates
) -> None:
    """Half handshakes count as connections, and end with a request's time."""
    server = serve(
        host=["127.0.0.1", elsewhere],
        ssl=certificates.of_server,
        request_time=0.2,
        max_connections=20,
    )
    with contextlib.ExitStack() as opened:
        for _ in range(40):
            client = opened.enter_context(
                socket.create_connection((elsewhere, server.port), timeout=PATIENCE)
            )
            client.sendall(b"\x16\x03\x01\x02\x00")
        until(lambda: 0 < len(server.connections) <= 40)
        until(lambda: not server.connections)
    assert Link("127.0.0.1", server.port).call("link.ping") is True


def test_a_closed_tls_connection_leaves_nothing(
    serve: Serve, elsewhere: str, certificates: Certificates, probe: Probe
) -> None:
    """A request that was cut off by whoever is in between is not executed."""
    server = serve(host=elsewhere, ssl=certificates.of_server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(certificates.of_server[0])
    context.load_cert_chain(*certificates.of()[:2])
    for part in (SET[:-1], EOT_SET[:-2], SET[:5]):
        with socket.create_connection((elsewhere, server.port), timeout=PATIENCE) as plain:
            with context.wrap_socket(plain) as client:
                client.sendall(part)
                socket.socket.shutdown(client, socket.SHUT_WR)
                with contextlib.suppress(OSError):
                    while client.recv(1000):
                        pass
    until(lambda: not server.connections)
    assert probe.executed == []


@pytest.fixture
def closed_elsewhere() -> list[str]:
    """An address of this computer beyond loopback, if it has one."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing (RFC 5737)
        found.append(probe.getsockname()[0])
    return found


def test_the_network_does_not_reach_a_server_by_itself(
    serve: Serve, closed_elsewhere: list[str]
) -> None:
    server = serve(host=["127.0.0.1", "::1"])
    assert Link(port=server.port).call("link.ping") is True
    for address in closed_elsewhere:
        with pytest.raises(ConnectFailed):
            Link(address, server.port, timeout=1.0).call("link.ping")


def test_a_secret_that_others_can_read_lets_nobody_in(
    certificates: Certificates, token_file: str, tmp_path: Path
) -> None:
    """The server does not start: one sentence, exit code 2."""
    Path(token_file).chmod(0o644)
    key = tmp_path / "server.key"
    key.write_bytes((certificates.folder / "server.key").read_bytes())
    key.chmod(0o644)
    own, _, trusted = certificates.of_server
    for options in (["--token-file", token_file], ["--ssl", own, str(key), trusted]):
        done = subprocess.run(
            [sys.executable, "-c", SERVER, "-p", "0", *options],
            capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=ROOT,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "")
        (sentence,) = done.stderr.splitlines()
        told = r"cannot let anyone in: (.*): others than its owner can read it: chmod 600 \1"
        assert re.fullmatch(told, sentence)


def test_loopback_alone_listens_without_options(serve: Serve) -> None:
    with connected(serve()) as client:
        client.sendall(b'{"command_id": "link.status"}')
        status = json.loads(read_all(client))["result"]
    assert status["access"] == "programs of this computer"
