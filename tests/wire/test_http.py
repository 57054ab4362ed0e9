"""HTTP: pages, what the exchanges are asked for, sign-in, and what is refused, by bytes alone."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable
from http.client import HTTPMessage, parse_headers
from typing import Any, NamedTuple

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.errors import InternalError, Unauthorized
from artiq_link.exchanges.history_table import COLUMNS
from artiq_link.exchanges.messages import LinkMembers, Reply, Request
from artiq_link.wire.base import WireOptions
from artiq_link.wire.http import MAX_BODY, MAX_HEAD, HttpWire
from artiq_link.wire.origins import UNKNOWN_NAME
from artiq_link.wire.responses import NOT_ALLOWED, Page
from tests.peers import HANDSHAKE, Outcome, one_by_one, pieces, posted, talk, websocket_frame

INDEX = Page.of("index.html", b"<!doctype html>\n<title>panel</title>\n")
SCRIPT = Page.of("main.js", b"export {};\n" * 100)
OPTIONS = WireOptions(pages={"/": INDEX, "/main.js": SCRIPT}, host_names=("lab-pc",))
SESSION = "artiq-link-session-abc"


class Response(NamedTuple):
    """What a client makes of a response."""

    status: int
    headers: HTTPMessage
    body: bytes


def responses(sent: bytes, methods: str = "") -> list[Response]:
    """Take a server's bytes apart, with h11 as a client does; `methods` are G, H or P for each."""
    found = []
    for which in methods or "G" * sent.count(b"HTTP/1.1 "):
        client = h11.Connection(h11.CLIENT)
        method = {"G": "GET", "H": "HEAD", "P": "POST"}[which]
        client.send(h11.Request(method=method, target="/", headers=[("Host", "localhost")]))
        client.send(h11.EndOfMessage())
        client.receive_data(sent)
        head, body = client.next_event(), b""
        assert isinstance(head, h11.Response)
        while isinstance(event := client.next_event(), h11.Data):
            body += event.data
            if event is h11.NEED_DATA:
                break
        if event is h11.NEED_DATA:  # the connection's end is the body's
            client.receive_data(b"")
            event = client.next_event()
        assert isinstance(event, h11.EndOfMessage), event
        lines = b"".join(b"%b: %b\r\n" % item for item in head.headers.raw_items())
        found.append(Response(head.status_code, parse_headers(io.BytesIO(lines + b"\r\n")), body))
        sent = client.trailing_data[0]
    assert sent == b""
    return found


def get(target: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost:65432", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def ask(data: bytes, answer: Callable[[Request], Reply] = lambda request: Reply()) -> Outcome:
    return talk([data], answer, OPTIONS)


def only(outcome: Outcome, method: str = "G") -> Response:
    [response] = responses(outcome.sent, method)
    return response


# --- pages


def test_a_page() -> None:
    """With its type, its version, and what browsers are to keep from it; the connection stays."""
    outcome = ask(get("/"))
    status, headers, body = only(outcome)
    assert (status, body, outcome.closed, outcome.requests) == (200, INDEX.body, False, [])
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Length"] == str(len(INDEX.body))
    assert (headers["ETag"], headers["Cache-Control"]) == (INDEX.etag, "no-cache")
    assert headers["Connection"] == "keep-alive"
    assert only(ask(get("/main.js?v=2"))).headers["Content-Type"] == (
        "text/javascript; charset=utf-8"
    )


@pytest.mark.parametrize("request_", [get("/"), get("/no"), get("/", method="PUT"), posted(b"{}")])
def test_what_browsers_are_to_keep_from_each_response(request_: bytes) -> None:
    headers = only(ask(request_)).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers


CONVERSATION = (
    get("/")
    + get("/main.js", method="HEAD")
    + get("/nothing")
    + get("/main.js", f"If-None-Match: {SCRIPT.etag}")
    + get("/main.js", f'If-None-Match: "old", W/{SCRIPT.etag}')
    + get("/main.js", 'If-None-Match: "old"')
    + get("/nothing", method="HEAD")
    + get("/", "Connection: close")
    + get("/late")
)


def check_conversation(chunks: list[bytes]) -> None:
    outcome = talk(chunks, options=OPTIONS)
    found = [(status, body) for status, _, body in responses(outcome.sent, "GHGGGGHG")]
    assert found == [
        (200, INDEX.body),
        (200, b""),
        (404, b"there is no such page on this server; its panel is at /\n"),
        (304, b""),
        (304, b""),
        (200, SCRIPT.body),
        (404, b""),
        (200, INDEX.body),
    ]
    assert outcome.closed
    assert outcome.requests == []


def test_a_conversation_whole_and_byte_by_byte() -> None:
    """Pages in the order in which they are asked for, and nothing behind the end."""
    check_conversation([CONVERSATION])
    check_conversation(one_by_one(CONVERSATION))


@given(st.lists(st.integers(0, 10**6)))
def test_a_conversation_in_any_pieces(cuts: list[int]) -> None:
    check_conversation(pieces(CONVERSATION, cuts))


@given(
    st.binary(max_size=100),
    st.sampled_from([b"GET ", b"HEAD / HTTP/1.1\r\n", get("/"), get("/history.csv"), posted(b"")]),
    st.lists(st.integers(0, 400), max_size=5),
    st.booleans(),
)
def test_garbage(data: bytes, begin: bytes, cuts: list[int], eof: bool) -> None:
    """Nothing but the link's errors is raised, and cuts change nothing that is asked for."""
    whole, cut = (
        talk(chunks, lambda request: Reply([]), OPTIONS, eof)
        for chunks in ([begin + data], pieces(begin + data, cuts))
    )
    assert (cut.requests, cut.closed, cut.sent) == (whole.requests, whole.closed, whole.sent)


def test_another_protocol_is_not_taken_up() -> None:
    """As curl and Java offer HTTP/2: they get their page all the same."""
    offered = get(
        "/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA"
    )
    assert only(ask(offered)).body == INDEX.body


def test_http_1_0() -> None:
    """Its connection ends behind each response, and it needs no Host."""
    outcome = ask(b"GET / HTTP/1.0\r\n\r\n" + get("/"))
    assert (only(outcome).status, outcome.closed) == (200, True)


def test_a_half_closed_connection_gets_its_pages() -> None:
    outcome = talk([get("/") + get("/main.js")], options=OPTIONS, eof=True)
    assert [response.status for response in responses(outcome.sent)] == [200, 200]
    assert outcome.closed


def test_pages_are_given_in_turns() -> None:
    """Who asks for many at once gets one, and the next when he has been looked at again."""
    wire = HttpWire(OPTIONS)
    wire.receive_data(get("/main.js") * 100)
    for left in range(99, 0, -1):
        assert wire.next_request() is None
        assert len(responses(wire.data_to_send())) == 1
        assert wire.unfinished
        assert wire.buffered == left * len(get("/main.js"))
        wire.receive_data(b"")
    assert wire.next_request() is None
    assert (wire.unfinished, wire.awaiting, wire.closed) == (False, False, False)


@pytest.mark.parametrize(
    "target",
    [
        "/../main.js",
        "/./main.js",
        "//main.js",
        "/%6dain.js",
        "/main.js/",
        "/main.js%00.html",
        "/..%2fmain.js",
        "/%2e%2e/main.js",
        "/..\\main.js",
        "/main.js;a=b",
        "/main.js#top",
        "/Main.js",
        "/tile.js",
        "main.js",
        "*",
        "http://localhost/main.js",
        "http://evil.example/",
        "file:///etc/passwd",
        "/" + "../" * 100 + "etc/passwd",
    ],
)
def test_other_spellings_of_a_path(target: str) -> None:
    """A path is a page's, letter for letter, or nothing: nothing of it is decoded or joined."""
    assert only(ask(get(target))).status == 404


def test_a_page_of_a_kind_that_is_not_known() -> None:
    with pytest.raises(ValueError, match=r"^notes\.exe: a page's name ends with \.css, \.html"):
        Page.of("notes.exe", b"")


def test_a_server_without_pages() -> None:
    """Where http is not spoken, a plain GET is told so, and WebSocket goes on."""
    options = WireOptions(dialects=frozenset({"websocket"}), pages=OPTIONS.pages)
    assert only(talk([get("/")], options=options)).status == 404
    assert only(talk([get("/history.csv")], options=options)).status == 404
    outcome = talk([HANDSHAKE + websocket_frame(b'{"command_id": "a"}')], options=options)
    assert [type(request) for request in outcome.requests] == [Request]


# --- what is refused

NO_REQUEST = "this is no request of HTTP/1.1"
NO_BODY = "a request for a page has no body"
HEAD_TOO_LARGE = f"the request's head is over the limit of {MAX_HEAD} bytes"


@pytest.mark.parametrize(
    ("request_", "status", "sentence"),
    [
        (get("/", method="PUT"), 405, NOT_ALLOWED),
        (posted(b"{}").replace(b"/session", b"/"), 405, NOT_ALLOWED),
        (posted(b"{}").replace(b"/session", b"/session?"), 405, NOT_ALLOWED),
        (get("/", "Content-Length: 5") + b"12345", 400, NO_BODY),
        (get("/", "Transfer-Encoding: chunked"), 400, NO_BODY),
        (get("/", "Transfer-Encoding: gzip"), 501, NO_REQUEST),
        (get("/", "Transfer-Encoding: chunked", "Content-Length: 5"), 400, NO_BODY),
        (get("/", "Content-Length: 5", "Content-Length: 6"), 400, NO_REQUEST),
        (get("/", "Content-Length: +5"), 400, NO_REQUEST),
        (get("/", "Host: localhost"), 400, NO_REQUEST),
        (get("/", "no header"), 400, NO_REQUEST),
        (get("/", "A : b"), 400, NO_REQUEST),
        (get("/", "A: b\x00c"), 400, NO_REQUEST),
        (get("/", "A: b\rX: c"), 400, NO_REQUEST),
        (get("/\x00"), 400, NO_REQUEST),
        (get("/\xe4"), 400, NO_REQUEST),
        (get("/", version="2.0"), 505, "expected HTTP/1.1"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, NO_REQUEST),  # without Host
        (b"GET /\r\n\r\n", 400, NO_REQUEST),
        (get("/", "A: " + "a" * MAX_HEAD), 431, HEAD_TOO_LARGE),
        (get("/", *["A: a"] * 5000), 431, HEAD_TOO_LARGE),
        (get("/" + "a" * MAX_HEAD), 431, HEAD_TOO_LARGE),
        (get("/").replace(b"localhost", b"evil.example"), 403, UNKNOWN_NAME),
        (get("/history.csv").replace(b"localhost", b"evil.example"), 403, UNKNOWN_NAME),
        (
            get("/", "Upgrade: websocket").replace(b"/1.1", b"/1.0"),
            505,
            "unsupported HTTP version",
        ),
    ],
)
def test_what_is_refused(request_: bytes, status: int, sentence: str) -> None:
    """With a sentence, and the end: where the next request begins, nobody knows."""
    for behind in (b"", get("/main.js"), b'{"command_id": "late"}'):
        outcome = ask(request_ + behind)
        response = only(outcome)
        assert outcome.closed
        assert not any(isinstance(request, Request) for request in outcome.requests)
        assert response.status == status
        assert sentence in response.body.decode()


def test_a_head_as_large_as_it_may_be() -> None:
    request = get("/", "A: b")
    request = request.replace(b"A: b", b"A: " + b"b" * (MAX_HEAD - len(request) + 1))
    assert len(request) == MAX_HEAD
    for chunks in ([request], one_by_one(request)):
        assert only(talk(chunks, options=OPTIONS)).status == 200


def test_a_head_that_never_ends_takes_bounded_memory() -> None:
    wire = HttpWire(OPTIONS)
    wire.receive_data(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
    assert wire.next_request() is None
    assert wire.awaiting
    for _ in range(10):
        wire.receive_data(b"A: " + b"a" * 5000 + b"\r\n")
        if (request := wire.next_request()) is not None:
            break
    assert request is not None
    assert request.refusal is not None
    assert wire.encode_reply(request, Reply(error=request.refusal)).startswith(b"HTTP/1.1 431 ")
    assert wire.buffered < MAX_HEAD + 5010


# --- the way into WebSocket


def test_a_websocket_behind_a_page() -> None:
    """On a connection that a proxy keeps, for one."""
    stream = get("/") + HANDSHAKE + websocket_frame(b'{"command_id": "a"}')
    for chunks in ([stream], one_by_one(stream)):
        outcome = talk(chunks, options=OPTIONS)
        assert [request.command_id for request in outcome.requests] == ["a"]  # type: ignore[union-attr]
        page, _, rest = outcome.sent.partition(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert only(Outcome([], page, False)).body == INDEX.body
        assert b'"command_id":"a"' in rest


@pytest.mark.parametrize("host", ["localhost:65432", "lab-pc:65432"])
def test_a_websocket_with_a_session(host: str) -> None:
    """The cookie is the proof of its first request, as a token would be."""
    handshake = HANDSHAKE.replace(b"Host: localhost", f"Host: {host}".encode())
    cookie = f"Cookie: other=1; artiq_link_65432={SESSION}\r\n\r\n".encode()
    stream = handshake[:-2] + cookie + websocket_frame(b'{"command_id": "a"}') * 2
    first, second = ask(stream).requests
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    assert (first.link.token, second.link.token) == (SESSION, None)


# --- what the exchanges are asked for


def test_metrics() -> None:
    """The text of `link.metrics`, as OpenMetrics wants it; the connection ends behind it."""
    outcome = ask(get("/metrics") + get("/"), lambda request: Reply("up 1\n# EOF\n"))
    status, headers, body = only(outcome)
    assert (status, body, outcome.closed) == (200, b"up 1\n# EOF\n", True)
    assert headers["Content-Type"] == (
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    )
    assert outcome.requests == [
        Request("link.metrics", {}, form=outcome.requests[0].form, ends=True)  # type: ignore[union-attr]
    ]


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        (["Authorization: Bearer abc"], "abc"),
        (["Authorization: bearer  abc "], "abc"),
        (["Authorization: Basic abc"], None),
        (["Authorization: Bearer abc", "Authorization: Bearer def"], None),
        ([f"Cookie: artiq_link_65432={SESSION}"], SESSION),
        ([f"Cookie: a=b; artiq_link_65432={SESSION};c=d"], SESSION),
        (["Authorization: Bearer abc", f"Cookie: artiq_link_65432={SESSION}"], "abc"),
        ([f"Cookie: artiq_link_65433={SESSION}"], None),  # another port's
        ([f"Cookie: artiq_link={SESSION}"], None),
        ([f"Cookie: artiq_link_65432={SESSION}; artiq_link_65432={SESSION}"], None),
        ([f"Cookie: artiq_link_65432={SESSION}", "Cookie: artiq_link_65432=x"], None),
        (["Cookie: artiq_link_65432=0123456789abcdef"], None),  # a token is no session
        (["Cookie: artiq_link_65432"], None),
        (["Cookie: ;;=;"], None),
    ],
)
def test_proofs(headers: list[str], shown: str | None) -> None:
    """A token or a session of this port; what comes twice is none."""
    [request] = ask(get("/metrics", *headers), lambda request: Reply("")).requests
    assert isinstance(request, Request)
    assert request.link == LinkMembers(token=shown)


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("", {}),
        ("?since=1h", {"since": 3600.0}),
        ("?since=1.5min&failed=1", {"since": 90.0, "failed": True}),
        ("?command=set%20it&rid=7", {"command": "set it", "rid": 7}),
        ("?failed=0&slow=100ms&before=9", {"failed": False, "slow": 0.1, "before": 9}),
    ],
)
def test_filters_of_the_history(query: str, parameters: dict[str, Any]) -> None:
    [request] = ask(get(f"/history.csv{query}"), lambda request: Reply([])).requests
    assert isinstance(request, Request)
    assert request.command_id == "link.history"
    assert request.parameters == {"after": 0, "limit": 1000, **parameters}


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("since=soon", "since: 'soon' is no time such as 100ms, 90s, 15min, 1h, 2d"),
        ("rid=seven", "rid: 'seven' is not a whole number"),
        ("failed=yes", "there is no filter 'failed=yes'; there are after, before, command, "),
        ("colour=red", "there is no filter 'colour=red'; there are after, before, command, "),
        ("since=1h&since=2h", "since comes twice"),
        ("since", "the filter is not of the form since=1h&failed=1"),
        ("&".join(["rid=1"] * 1000), "the filter is not of the form since=1h&failed=1"),
        ("rid=" + "9" * 5000, "rid: "),
    ],
)
def test_filters_that_are_none(query: str, sentence: str) -> None:
    response = only(ask(get(f"/history.csv?{query}")))
    assert (response.status, response.body.decode().startswith(sentence)) == (400, True)


def journal_of(count: int, page: int = 3, growth: int = 0) -> Callable[[Request], Reply]:
    """Answers `link.history` of so many exchanges, a few at a time; it grows at first."""
    looks = itertools.count()

    def answer(request: Request) -> Reply:
        newest = count + growth * min(next(looks), 20)
        which = request.parameters
        if "after" not in which:
            return Reply([{"n": newest, "command": "set"}])
        end = min(which["after"] + page, newest, which.get("before", newest + 1) - 1)
        return Reply([{"n": n, "command": "=1+1"} for n in range(which["after"] + 1, end + 1)])

    return answer


@pytest.mark.parametrize("count", [0, 1, 3, 7])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_the_history_comes_page_by_page(count: int, version: str) -> None:
    """As one table, whose rows are asked for when those before them are written; then the end."""
    outcome = ask(get("/history.csv", version=version) + get("/"), journal_of(count))
    status, headers, body = only(outcome)
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, "text/csv")
    rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    assert [int(row["n"]) for row in rows] == list(range(1, count + 1))
    assert body.startswith(",".join(COLUMNS).encode())
    assert outcome.closed


def test_a_table_ends_though_exchanges_come_faster_than_it_is_written() -> None:
    """With the one that was the newest when it had begun, or where its filter ends it."""
    outcome = ask(get("/history.csv"), journal_of(5, growth=4))
    assert outcome.closed
    assert only(outcome).body.count(b"=1+1") == 9
    outcome = ask(get("/history.csv?before=8"), journal_of(5, growth=4))
    assert only(outcome).body.count(b"=1+1") == 7


def test_a_table_holds_no_formulas() -> None:
    """A spreadsheet would run them, and their text is a client's."""
    body = only(ask(get("/history.csv"), journal_of(1))).body
    assert b"'=1+1" in body


def test_a_table_that_breaks_off() -> None:
    """An error behind the first rows leaves it without its end, which a client sees."""
    whole = journal_of(7)

    def answer(request: Request) -> Reply:
        is_first = request.parameters.get("after") == 0
        return whole(request) if is_first else Reply(error=InternalError("the disk has gone"))

    outcome = ask(get("/history.csv"), answer)
    assert outcome.closed
    assert len(outcome.requests) == 2
    assert not outcome.sent.endswith(b"0\r\n\r\n")
    assert b"the disk has gone" not in outcome.sent


def test_who_has_shown_nothing_is_told_how() -> None:
    wanted = Unauthorized("this server wants a token")
    for target in ("/metrics", "/history.csv"):
        outcome = ask(get(target), lambda request: Reply(error=wanted))
        status, headers, body = only(outcome)
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert body.startswith(b"this server wants a token\nIn a browser sign in at /sign-in")


# --- sign-in


def signed_in(request: Request) -> Reply:
    return Reply({"session": SESSION, "seconds": 43200.0})


def test_signing_in() -> None:
    """A token, once, for a cookie that no script reads and no other site's page sends."""
    outcome = ask(posted(b'{"token": "0123456789abcdef"}', host="lab-pc:65432"), signed_in)
    [request] = outcome.requests
    assert isinstance(request, Request)
    assert (request.command_id, request.link.token, request.parameters) == (
        "link.sign_in",
        "0123456789abcdef",
        {},
    )
    response = only(outcome, "P")
    assert (response.status, response.body, outcome.closed) == (204, b"", True)
    assert response.headers["Set-Cookie"] == (
        f"artiq_link_65432={SESSION}; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"
    )


def test_signing_in_over_tls() -> None:
    request = posted(b'{"token": "0123456789abcdef"}').replace(b"http:", b"https:")
    assert only(ask(request, signed_in), "P").headers["Set-Cookie"].endswith("; Secure")


def test_signing_out() -> None:
    request = posted(b'{"token": null}', f"Cookie: artiq_link_1={SESSION}", host="[::1]:1")
    outcome = ask(request)
    [asked] = outcome.requests
    assert isinstance(asked, Request)
    assert (asked.command_id, asked.link.token) == ("link.sign_out", SESSION)
    cookie = only(outcome, "P").headers["Set-Cookie"]
    assert cookie.startswith("artiq_link_1=; Path=/; Max-Age=0; ")


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"Origin: http://localhost\r\n", b"", 403),
        (b"Origin: http://localhost", b"Origin: http://localhost:8080", 403),
        (b"Origin: http://localhost", b"Origin: http://evil.example", 403),
        (b"Origin: http://localhost", b"Origin: null", 403),
        (b"Origin: ", b"Origin: http://localhost\r\nOrigin: ", 403),
        (b"localhost", b"evil.example", 403),  # a rebound name
        (b"application/json", b"text/plain", 415),
        (b"application/json", b"application/x-www-form-urlencoded", 415),
        (b"application/json", b"multipart/form-data", 415),
        (b"Content-Type: application/json\r\n", b"", 415),
        (b"Content-Type", b"Content-Type: text/plain\r\nContent-Type", 415),
        (b"Content-Length: 29", b"Content-Length: 28", 400),
        (b"token", b"taken", 400),
        (b"token", b"tok\xdcn", 400),
        (b"cdef", b"c\xdcef", 400),
        (b'"token"', b'"token\xff', 400),
        (b'0123456789abcdef"}', b'0123456789abcdef"]', 400),
    ],
)
def test_posts_that_sign_nobody_in(old: bytes, new: bytes, status: int) -> None:
    """What a page of another server can have sent, and what is broken."""
    request = posted(b'{"token": "0123456789abcdef"}')
    assert old in request
    outcome = ask(request.replace(old, new) + get("/"))
    assert only(outcome, "P").status == status
    assert outcome.closed
    assert not any(isinstance(asked, Request) for asked in outcome.requests)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_post_that_is_too_large(chunked: bool) -> None:
    """Nothing of it is kept beyond the limit."""
    body = b'{"token": "' + b"a" * MAX_BODY + b'"}'
    request = posted(body)
    if chunked:
        head, _, _ = request.partition(b"\r\n\r\n")
        head = head.replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked")
        request = head + b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    for chunks in ([request], one_by_one(request)):
        outcome = talk(chunks, options=OPTIONS)
        assert only(outcome, "P").status == 413
        assert outcome.closed
