"""The panel's files as browsers get them, and clients that ask for pages as no browser does."""

from __future__ import annotations

import contextlib
import csv
import http.client
import io
import json
import re
import resource
import socket
from pathlib import Path

import pytest

from artiq_link import Link, LinkServer
from artiq_link.exchanges import history
from artiq_link.server.pages import read_pages
from tests.conftest import PATIENCE, Probe
from tests.peers import answer_to, connected, read_all
from tests.server.asking import SET, SET_REPLY, Serve, ask


def get(server: LinkServer, path: str, **headers: str) -> tuple[int, str, bytes]:
    """The status, the type and the body of one page."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read()


def test_the_panel_is_whole(serve: Serve) -> None:
    """Every file of it is served, and every file that it names is there."""
    server, pages = serve(), read_pages()
    assert {"/", "/health"} <= pages.keys()
    for path, page in pages.items():
        assert get(server, path) == (200, page.content_type, page.body)
        if page.content_type.startswith(("text/html", "text/javascript")):
            named = re.findall(
                rb"""(?:src=|href=|from |import\()["']\.?/?([\w./-]+)["']""", page.body
            )
            for name in named:
                assert f"/{name.decode()}" in pages or get(server, f"/{name.decode()}")[0] == 200


def test_pages_come_on_one_connection(serve: Serve) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", serve().port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.connect()
        first = connection.sock
        for path in ("/", "/health", "/nothing"):
            connection.request("GET", path)
            connection.getresponse().read()
            assert connection.sock is first


def test_a_labs_own_tile(serve: Serve, tmp_path: Path) -> None:
    """One file beside server.py, read at the start."""
    script = tmp_path / "shutter_tile.js"
    script.write_text('export default { shutter: "tile" };\n')
    server = serve(panel_tile=script)
    script.write_text("changed")
    assert get(server, "/tile.js") == (
        200,
        "text/javascript; charset=utf-8",
        b'export default { shutter: "tile" };\n',
    )
    with pytest.raises(ValueError, match=r"panel_tile: .*: No such file or directory"):
        serve(panel_tile=tmp_path / "none.js")


# --- the journal


def test_the_history_of_a_server(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one table, whatever its length; filtered, or refused with a sentence."""
    monkeypatch.setattr(history, "MAX_TEXT", 5000)  # a page ends where its text is long
    server = serve(journal=tmp_path / "journal.sqlite")
    link = Link(port=server.port, link={"rid": 7})
    for number in range(60):
        link.call("set_frequency", channel=number, frequency=80e6)
    assert link.send({"command_id": "refuse"})["status"] == "fail"
    status, content_type, body = get(server, "/history.csv")
    assert (status, content_type) == (200, "text/csv; charset=utf-8; header=present")
    rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    assert [int(row["n"]) for row in rows] == list(range(1, 62))
    assert json.loads(rows[3]["parameters"]) == {"channel": 3, "frequency": 80e6}
    failed = list(csv.DictReader(io.StringIO(get(server, "/history.csv?failed=1")[2].decode())))
    assert [(row["command"], row["code"]) for row in failed] == [("refuse", "instrument_error")]
    assert get(server, "/history.csv?since=soon")[::2] == (
        400,
        b"since: 'soon' is no time such as 100ms, 90s, 15min, 1h, 2d\n",
    )


def test_a_history_that_nobody_takes(serve: Serve, tmp_path: Path, probe: Probe) -> None:
    """It is asked for no further than its client takes it, and others are served."""
    server = serve(journal=tmp_path / "journal.sqlite", linger_time=0.5)
    link = Link(port=server.port)
    for _ in range(20):
        link.call("echo", value="x" * 500_000)
    with connected(server) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET /history.csv HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert ask(server, SET) == SET_REPLY
        rest = b""
        with contextlib.suppress(ConnectionError):
            while len(rest) < 100_000:
                rest += client.recv(1000)
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")


# --- clients that are no browsers


def test_pages_without_end(serve: Serve) -> None:
    """Many thousand requests at once, unread answers: bounded memory, and others are served."""
    server = serve()
    flood = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with connected(server) as client:
        client.settimeout(0)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < len(flood):
                sent += client.send(flood[sent : sent + 65536])
        assert ask(server, SET) == SET_REPLY
        client.settimeout(PATIENCE)
        answered = client.recv(1 << 20)
        assert answered.startswith(b"HTTP/1.1 200 OK\r\n")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 48 * 1024


def test_every_page_of_a_flood_comes(serve: Serve) -> None:
    """Each has its time anew, as far as it was whole when the one before was answered."""
    server = serve(request_time=0.1)
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connected(server) as client:
        client.sendall(
            request * 2000 + request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
        assert read_all(client).count(b"\r\n\r\nok\n") == 2001


@pytest.mark.parametrize("begun", [b"HEAD / HTTP/1.1\r\n", b"POST /session HTTP/1.1\r\nHost: a"])
def test_a_head_that_comes_too_slowly(serve: Serve, begun: bytes) -> None:
    answered = answer_to(serve(request_time=0.05), begun)
    assert answered.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answered.endswith(b"the request was not whole after 0.05 s\n")


def test_a_body_that_never_comes(serve: Serve) -> None:
    """The sign-in of a page that promises more than it sends."""
    server = serve(request_time=0.05)
    head = (
        "POST /session HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    answered = answer_to(server, head.encode() + b'{"token": ')
    assert answered.startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_smuggled_requests(serve: Serve, probe: Probe) -> None:
    """What two programs in a row could read as one request, or as two, is refused and ends."""
    server = serve()
    inner = b"GET /history.csv HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for headers in (
        b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 0\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Content-Length: 0\r\n Transfer-Encoding: chunked\r\n",
        b"X: a\rContent-Length: 5\r\n",
    ):
        for method in (b"GET / ", b"POST /session "):
            first = method + b"HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n0\r\n\r\n"
            answered = answer_to(server, first + inner + SET)
            assert answered.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 ", b"HTTP/1.1 403 "))
            assert answered.count(b"HTTP/1.1 ") == 1
    assert probe.executed == []
