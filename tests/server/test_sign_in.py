"""Sign-in: a token for a session, on real connections from elsewhere, as a browser makes them."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from artiq_link import Link, LinkServer
from artiq_link.exchanges import sessions
from artiq_link.exchanges.rights import EVERYTHING
from artiq_link.exchanges.sessions import LIFETIME, MAX_SESSIONS, PREFIX, Sessions
from artiq_link.link_client import tls_context
from artiq_link.server.tokens import FREE_TRIES
from tests.conftest import CONTROL_TOKEN, PATIENCE, WATCH_TOKEN, Certificates, Probe
from tests.server.asking import Serve
from tests.server.elsewhere import ask_from

SET = {"command_id": "set_frequency", "channel": 0, "frequency": 80e6}


class Answer(NamedTuple):
    """A response."""

    status: int
    text: str
    cookie: str | None
    """Of the header ``Set-Cookie``, its name and value."""


class Browser:
    """A browser's way to a server: its cookies, and pages that name their origin."""

    def __init__(self, server: LinkServer, host: str, cookie: str = "") -> None:
        self.server, self.host, self.cookie = server, host, cookie
        self.origin = f"http://{host}:{server.port}"

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection(self.host, self.server.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            own = {"Cookie": self.cookie} if self.cookie else {}
            connection.request(method, path, body, {**own, **headers})
            response = connection.getresponse()
            text = response.read().decode()
            set_cookie = response.headers.get("Set-Cookie")
        return Answer(response.status, text, set_cookie and set_cookie.partition(";")[0])

    def post(self, token: str | None) -> Answer:
        """Sign in or out, and keep the cookie."""
        answer = self.ask(
            "POST",
            "/session",
            json.dumps({"token": token}),
            Origin=self.origin,
            **{"Content-Type": "application/json"},
        )
        self.cookie = self.cookie if answer.cookie is None else answer.cookie
        return answer

    def websocket(self) -> ClientConnection:
        """Open one as a page of the server does."""
        headers = {"Cookie": self.cookie} if self.cookie else {}
        return connect(
            f"ws://{self.host}:{self.server.port}/",
            origin=self.origin,  # type: ignore[arg-type]
            additional_headers=headers,
            open_timeout=PATIENCE,
        )


@pytest.fixture
def server(serve: Serve, elsewhere: str, token_file: str) -> LinkServer:
    """A server that asks for a token, but on loopback."""
    return serve(host=["127.0.0.1", elsewhere], token_file=token_file)


@pytest.fixture
def browser(server: LinkServer, elsewhere: str) -> Browser:
    """A browser elsewhere, which has shown nothing."""
    return Browser(server, elsewhere)


def say(websocket: ClientConnection, message: dict[str, Any]) -> dict[str, Any]:
    websocket.send(json.dumps(message))
    reply: dict[str, Any] = json.loads(websocket.recv(PATIENCE))
    return reply


def test_pages_are_shown_to_everyone_and_what_is_known_to_who_signs_in(browser: Browser) -> None:
    assert browser.ask("GET", "/").status == 200
    assert browser.ask("GET", "/history.csv").status == 401
    with browser.websocket() as websocket:
        assert say(websocket, {"command_id": "link.status"})["code"] == "unauthorized"
    assert browser.post(CONTROL_TOKEN).status == 204
    assert browser.ask("GET", "/history.csv").text.startswith("n,id,boot,")
    with browser.websocket() as websocket:
        assert say(websocket, {"command_id": "link.status"})["status"] == "success"
        assert say(websocket, SET)["status"] == "success"
        assert say(websocket, SET)["status"] == "success"


@pytest.mark.parametrize("path", ["/history.csv", "/metrics"])
def test_who_has_shown_nothing_is_told_and_closed(server: LinkServer, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    assert ask_from(server, request).startswith(b"HTTP/1.1 401 Unauthorized\r\n")


def test_a_session_may_do_what_its_token_may(browser: Browser, probe: Probe) -> None:
    browser.post(WATCH_TOKEN)
    with browser.websocket() as websocket:
        assert say(websocket, {"command_id": "link.status"})["status"] == "success"
        assert say(websocket, SET)["code"] == "unauthorized"
    assert probe.executed == []


def test_signing_out_ends_the_session_wherever_it_is_used(browser: Browser, probe: Probe) -> None:
    """Also on a WebSocket that is open, and for who has kept the cookie."""
    browser.post(CONTROL_TOKEN)
    kept = Browser(browser.server, browser.host, browser.cookie)
    with browser.websocket() as websocket:
        assert say(websocket, {"command_id": "link.ping"})["status"] == "success"
        assert browser.post(None).status == 204
        assert browser.cookie.endswith("=")
        reply = say(websocket, SET)
        assert (reply["code"], reply["error"]) == (
            "unauthorized",
            "your session has ended: sign in again",
        )
    assert kept.ask("GET", "/history.csv").status == 401
    assert probe.executed == []


def test_who_has_signed_out_follows_nothing_any_more(browser: Browser) -> None:
    """A WebSocket that only listens ends with the next event, which it does not get."""
    browser.post(WATCH_TOKEN)
    link = Link(port=browser.server.port)
    with browser.websocket() as websocket:
        subscribed = say(websocket, {"command_id": "link.subscribe", "kinds": ["exchange"]})
        assert subscribed["status"] == "success"
        link.call("count")
        assert json.loads(websocket.recv(PATIENCE))["command"] == "count"
        browser.post(None)
        link.call("count")
        with pytest.raises(ConnectionClosed):
            websocket.recv(PATIENCE)


def test_a_session_ends_in_time(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    browser.post(CONTROL_TOKEN)
    with browser.websocket() as websocket:
        assert say(websocket, {"command_id": "link.ping"})["status"] == "success"
        later = time.monotonic() + LIFETIME + 1
        monkeypatch.setattr(sessions, "time", SimpleNamespace(monotonic=lambda: later))
        assert say(websocket, {"command_id": "link.ping"})["code"] == "unauthorized"
    assert browser.ask("GET", "/history.csv").status == 401


def test_a_session_of_a_server_before(browser: Browser) -> None:
    """It is no proof, and not a wrong token either: a browser keeps it, and asks again and again.

    On loopback nothing has to be shown, so that it harms nobody there.
    """
    browser.cookie = f"artiq_link_{browser.server.port}={PREFIX}gone"
    for _ in range(3 * FREE_TRIES):
        assert browser.ask("GET", "/history.csv").status == 401
    here = Browser(browser.server, "127.0.0.1", browser.cookie)
    assert here.ask("GET", "/history.csv").status == 200
    assert browser.post(CONTROL_TOKEN).status == 204


def test_guessing_is_slowed_as_elsewhere(browser: Browser) -> None:
    for _ in range(FREE_TRIES):
        answer = browser.post("wrong-0123456789abcdef")
        assert answer.text == "this token is none of this server's\n"
    answer = browser.post(CONTROL_TOKEN)
    assert answer.status == 401
    assert answer.text.startswith("too many wrong tokens have come from 127.0.0.")


@pytest.mark.parametrize("token", [None, "", PREFIX, f"{PREFIX}guessed"])
def test_nothing_else_opens_a_session(browser: Browser, token: str | None) -> None:
    answer = browser.post(token)
    assert (answer.status, browser.cookie) == (401, "")


def test_a_session_opens_no_other_one(browser: Browser) -> None:
    """It would never end."""
    browser.post(CONTROL_TOKEN)
    first = browser.cookie
    answer = browser.post(first.partition("=")[2])
    assert (answer.status, browser.cookie) == (401, first)


def test_what_another_ports_page_can_do(browser: Browser, serve: Serve, probe: Probe) -> None:
    """The browser counts it to the same site, and shows the cookie: but not as its own."""
    other = serve(host=[browser.host], token_file=None, open_to_all=True)
    browser.post(CONTROL_TOKEN)
    page = Browser(browser.server, browser.host, browser.cookie)
    page.origin = f"http://{browser.host}:{other.port}"
    with pytest.raises(InvalidStatus, match="403"):
        page.websocket()
    assert page.post(None).status == 403
    assert browser.ask("GET", "/history.csv").status == 200
    # A cookie that it sets under the other port's name makes two of one name: none holds.
    page.cookie = f"{browser.cookie}; {browser.cookie}"
    assert page.ask("GET", "/history.csv").status == 401
    assert probe.executed == []


def test_what_one_has_shown_is_not_another_ones_behind_the_same_proxy(browser: Browser) -> None:
    """A connection on which something was shown ends, so that nobody follows on it."""
    browser.post(CONTROL_TOKEN)
    connection = http.client.HTTPConnection(browser.host, browser.server.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", "/", headers={"Cookie": browser.cookie})
        assert connection.getresponse().read() != b""
        connection.request("GET", "/history.csv", headers={"Cookie": browser.cookie})
        response = connection.getresponse()
        assert (response.status, response.headers["Connection"]) == (200, "close")
        response.read()
        connection.request("GET", "/history.csv")  # a new one
        assert connection.getresponse().status == 401


def test_a_server_without_tokens_has_no_sessions(serve: Serve) -> None:
    browser = Browser(serve(), "127.0.0.1")
    answer = browser.post(CONTROL_TOKEN)
    assert (answer.status, answer.text) == (
        400,
        "this server asks for no token: nobody has to sign in\n",
    )


def test_a_session_is_printed_nowhere(
    serve: Serve,
    elsewhere: str,
    token_file: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    browser = Browser(serve(host=elsewhere, token_file=token_file, debug=True), elsewhere)
    browser.post(CONTROL_TOKEN)
    with browser.websocket() as websocket:
        assert say(websocket, {"command_id": "link.ping"})["status"] == "success"
    session = browser.cookie.partition("=")[2]
    printed = "".join(capfd.readouterr())
    assert "a session, which is not printed" in printed
    own = [record for record in caplog.records if record.name.startswith("artiq_link")]
    logged = "".join(record.getMessage() for record in own)
    assert "link.sign_in: done" in logged
    for secret in (session, CONTROL_TOKEN):
        assert secret not in printed + logged


def test_over_tls_the_certificate_is_the_proof(
    serve: Serve, elsewhere: str, certificates: Certificates
) -> None:
    """The pages come over it as all else does, and nothing has to be signed in to."""
    server = serve(host=elsewhere, ssl=certificates.of_server)
    context = tls_context(certificates.of())
    context.check_hostname = False
    connection = http.client.HTTPSConnection(
        elsewhere, server.port, timeout=PATIENCE, context=context
    )
    with contextlib.closing(connection):
        for path in ("/", "/history.csv"):
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            assert response.status == 200


# --- the sessions themselves


def test_only_so_many_are_open() -> None:
    """The oldest ends where there are more."""
    opened = Sessions()
    names = [opened.open(EVERYTHING) for _ in range(MAX_SESSIONS + 1)]
    assert len(set(names)) == len(names)
    assert opened.find(names[0]) is None
    assert opened.find(names[1]) is EVERYTHING
    opened.close(names[1])
    opened.close(names[1])
    assert opened.find(names[1]) is None
