"""The client's TLS: every way to send, within its time, with files that are as they should be."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artiq_link import link_client, serve_in_background
from artiq_link.link_client import (
    ConnectFailed,
    Deadline,
    Link,
    NoReply,
    Peer,
    connect,
    exchange,
    request_reply,
    send_bytes,
    send_data,
)
from tests.conftest import CONTROL_TOKEN, PATIENCE, Certificates, Probe, until
from tests.scripted_server import reset, scripted_server

PING = {"command_id": "link.ping"}


def test_a_server_that_is_killed_while_tls_begins_may_be_starting_anew(
    certificates: Certificates,
) -> None:
    """The connection is reset then, or ends."""
    end = (reset, lambda connection: connection.recv(65536))
    with scripted_server(*end, *end, ends=True) as (host, port):
        link_client._remember((host, port), None)
        link = Link(host, port, timeout=1.0, retries=1, ssl=certificates.of())
        with pytest.raises(ConnectFailed, match=r"nobody was there since .*, in \d tries$"):
            link.call("link.ping")


def test_tls_is_within_the_deadline(certificates: Certificates) -> None:
    """A server that accepts and says nothing costs the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(ConnectFailed) as failed:
            exchange(PING, port=port, timeout=0.2, ssl=certificates.of())
    assert str(failed.value) == (
        f"no TLS with 127.0.0.1:{port}: it did not answer in time; nothing was sent"
    )


def test_sending_with_tls_is_within_the_deadline(certificates: Certificates) -> None:
    """Also where the handshake was given more time than is left for what is never read."""
    certificate, key, trusted = certificates.of_server
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(trusted)
    gave_up = threading.Event()

    def accept(listener: socket.socket) -> bool:
        with context.wrap_socket(listener.accept()[0], server_side=True):
            return gave_up.wait(PATIENCE / 2)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        accepted = pool.submit(accept, listener)
        peer = Peer("127.0.0.1", listener.getsockname()[1], certificates.of())
        sock = connect(peer, Deadline(PATIENCE))
        with pytest.raises(NoReply, match=r"did not take the whole request within 0\.1 s"):
            send_bytes(sock, bytes(10**8), peer, Deadline(0.1))
        gave_up.set()
        sock.close()
        assert accepted.result()


def test_tls_with_each_way_to_send(certificates: Certificates, tmp_path: Path) -> None:
    """Functions and links, one connection for each exchange or for all."""
    with serve_in_background({"dds": Probe()}, ssl=certificates.of_server) as server:
        files = certificates.of()
        assert exchange(PING, port=server.port, ssl=files) is True
        assert request_reply(PING, port=server.port, ssl=files)["result"] is True
        seen = []
        send_data(PING, port=server.port, ssl=files, server_success=seen.append)
        assert seen[0]["result"] is True
        array = np.arange(100_000.0)
        with Link(port=server.port, ssl=files, timeout=PATIENCE) as link:
            for _ in range(3):
                assert np.array_equal(link.call("echo", value=array), array)
            server.loop.call_soon_threadsafe(
                lambda: [connection.close() for connection in list(server.connections)]
            )
            until(lambda: not server.connections)
            assert link.call("link.ping") is True, "a connection that has ended is made anew"


def test_tls_files_that_are_renewed_are_read_again(
    certificates: Certificates, tmp_path: Path
) -> None:
    own = [str(tmp_path / name) for name in ("own.pem", "own.key")]
    for source, target in zip(certificates.of("stranger"), own, strict=False):
        shutil.copy(source, target)
    files = [*own, certificates.of()[2]]
    with serve_in_background({"dds": Probe()}, ssl=certificates.of_server) as server:
        with pytest.raises(ConnectFailed, match="does not know this client's certificate"):
            exchange(PING, port=server.port, ssl=files)
        for source, target in zip(certificates.of("client"), own, strict=False):
            shutil.copy(source, target)
        assert exchange(PING, port=server.port, ssl=files) is True


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (lambda c: "client.pem", "ssl: expected three files, the client's certificate, its key, "
         "and the server's certificate"),
        (lambda c: c.of()[:2], "ssl: expected three files, the client's certificate, its key, and "
         "the server's certificate"),
        (lambda c: ["no.pem", *c.of()[1:]], "ssl: no.pem: No such file or directory"),
        (lambda c: [c.of()[0], c.of("second")[1], c.of()[2]],
         "ssl: {0} and {1}: the key does not belong to the certificate"),
        (lambda c: [c.of()[1], c.of()[1], c.of()[2]],
         "ssl: {0} and {1}: expected certificate and key in PEM"),
        (lambda c: [*c.of()[:2], c.of()[1]], "ssl: {2}: expected certificate and key in PEM"),
    ],
)  # fmt: skip
def test_tls_files_that_are_wrong(
    certificates: Certificates, files: Callable[[Certificates], Any], sentence: str
) -> None:
    """They are named before anything is sent."""
    chosen = files(certificates)
    with pytest.raises(ValueError) as refused:  # noqa: PT011 the whole sentence is compared
        exchange(PING, port=1, ssl=chosen)
    assert str(refused.value) == sentence.format(*chosen)


def test_a_token_is_not_shown(capsys: pytest.CaptureFixture[str], token_file: str) -> None:
    """What debug prints may be kept, or sent to somebody who helps."""
    with serve_in_background({"dds": Probe()}, token_file=token_file) as server:
        link = {"token": CONTROL_TOKEN}
        assert exchange(PING, port=server.port, link=link, debug=True) is True
    printed = capsys.readouterr().out
    assert '"token": "..."' in printed
    assert CONTROL_TOKEN not in printed
