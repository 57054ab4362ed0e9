"""The worst single requests that anyone could find: how long each holds up another client.

``python -m benchmarks.torture.worst PORT`` is that client, in a process of its own: it asks again
and again, and for each line that comes it prints how long it was kept waiting at most since.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator

from artiq_link import Link
from artiq_link.wire.base import MAX_TEXT
from artiq_link.wire.pyon import MAX_VALUES
from artiq_link.wire.scanner import MAX_MARKS
from benchmarks.torture.dialects import answer, comet_frame, handshake, ndsp, websocket_frame
from benchmarks.torture.lab import beside
from benchmarks.torture.trial import Trial

AT_MOST = 0.02
"""Seconds for which another client may be held up."""

TRIES = 4

ANSWER_TIME = 30.0

MOST = MAX_TEXT - 2000
"""Bytes of the largest text."""

MARKS = MAX_MARKS - 1000
"""Of brackets and strings, as many as are read."""

NUMBERS = MARKS // 2
"""As many as are read in one list."""

VALUES = MAX_VALUES - 100
"""Of PYON, as many as are read."""

SMALL = b'{"command_id":"count","who":"w"}'
TINY_FLOAT = b"4.940656458412465441765687928682213e-320"
"""Half-way between two of the smallest: the slowest to be read."""


def _take(value: bytes) -> bytes:
    return b'{"command_id": "take", "value": %s}' % value


def _check(values: bytes) -> bytes:
    return b'{"command_id": "link.check", "requests": [%s]}' % values


def _list(value: bytes, count: int) -> bytes:
    return b"[%s]" % b",".join([value] * count)


def _deep(depth: int, count: int) -> bytes:
    return b",".join([b"[" * depth + b"]" * depth] * count)


def _text(piece: bytes, size: int = MOST) -> bytes:
    return b'"%s"' % (piece * (size // len(piece)))


_CALL = b'{"action":"call","name":"%s","args":%s,"kwargs":{}}'


def _wide_text() -> bytes:
    """A text that takes four times as many bytes once it is read."""
    return b'"%s%s"' % ("😀".encode(), b"x" * (MOST - 4))


def _v2(value: bytes) -> bytes:
    arguments = b'{"__jsonclass__":["tuple",[[%s]]]}' % value
    return ndsp("counter", _CALL % (b"take", arguments))


def _v1(value: bytes) -> bytes:
    call = b'{"action":"call","name":"take","args":(%s,),"kwargs":{}}'
    return ndsp("counter", call % value, version=1)


def _websocket(content: bytes) -> bytes:
    return handshake() + websocket_frame(content)


def _binary(size: int) -> bytes:
    return websocket_frame(bytes(size), binary=True)


def _elements(size: int = (MOST - 300) // 4 * 3) -> tuple[int, bytes]:
    """An array's length, and its bytes as base64."""
    return size, base64.b64encode(bytes(size))


def _array_json() -> bytes:
    return b'{"__jsonclass__": ["nparray", [[%d], "<u1", "%s"]]}' % _elements()


def _array_v1() -> bytes:
    return b'nparray((%d,),"<u1",b"%s")' % _elements()


REQUESTS: dict[str, Callable[[], bytes]] = {
    "JSON: array": lambda: _take(_array_json()),
    "JSON: text": lambda: _take(_text(b"x")),
    "JSON: escapes": lambda: _take(_text(b"\\n", 2_000_000)),
    "JSON: too many escapes": lambda: _take(_text(b"\\n")),
    "JSON: escapes of letters": lambda: _take(_text(b"\\u00e9", 6_000_000)),
    "JSON: emoji": lambda: _take(_text("😀".encode())),
    "JSON: text of wide characters": lambda: _take(_wide_text()),
    "JSON: array beside a text": lambda: _take(b'["\xc2\xb5", %s]' % _array_json()),
    "JSON: few tiny floats": lambda: _check(_list(TINY_FLOAT, 1500)),
    "JSON: tiny floats": lambda: _check(_list(TINY_FLOAT, NUMBERS)),
    "JSON: long integers": lambda: _check(_list(b"9" * 64, NUMBERS)),
    "JSON: objects": lambda: _check(_list(b'{"":0}', MARKS // 5)),
    "JSON: nesting": lambda: _check(_deep(90, 700)),
    "JSON: parameters": lambda: (
        b'{"command_id": "count", %s}' % b",".join(b'"k%d":0' % number for number in range(43_000))
    ),
    "JSON: spaces": lambda: _take(b" " * MOST + b"1"),
    "JSON: long name of a parameter": lambda: b'{"command_id": "count", %s: 1}' % _text(b"k"),
    "JSON: long name of a member": lambda: (
        b'{"command_id": "count", "link": {%s: 1}}' % _text(b"k")
    ),
    "JSON: long command": lambda: b'{"command_id": %s}' % _text(b"k"),
    "JSON: texts": lambda: _check(_list(b'"abc"', MARKS // 2)),
    "JSON: buffers": lambda: (
        b'{"command_id": "link.ping", "link": {"buffers": %s}}' % _list(b"0", NUMBERS)
    ),
    "JSON: link.check": lambda: _check(b",".join([SMALL] * 9000)),
    "JSON: link.batch": lambda: (
        b'{"command_id": "link.batch", "requests": [%s]}'
        % b",".join([b'{"command_id":"set_clock","back":0}'] * 9000)
    ),
    "JSON: many requests": lambda: (
        b'{"command_id": "link.ping", "link": {"keep": true}}\n' * 20_000
    ),
    "JSON: many descriptions": lambda: (
        b'{"command_id":"link.describe","link":{"keep":true}}\n' * 1000
    ),
    "JSON: many refusals": lambda: b'{"command_id": "nothing", "link": {"keep": true}}\n' * 10_000,
    "JSON: large result": lambda: b'{"command_id": "give_too_much"}',
    "JSON: result of an array": lambda: b'{"command_id": "give_array"}',
    "EOT text: text": lambda: b'{"take": {"value": %s}}\x04' % _text(b"x"),
    "EOT text: objects": lambda: b'{"take": {"value": %s}}\x04' % _list(b'{"":0}', MARKS // 5),
    "EOT text: many requests": lambda: b'{"set_clock": {"back": 0}}\x04' * 20_000,
    "WebSocket: array": lambda: _websocket(_take(_array_json())),
    "WebSocket: texts": lambda: _websocket(_check(_list(b'"abc"', MARKS // 2))),
    "WebSocket: objects": lambda: _websocket(_check(_list(b'{"":0}', MARKS // 5))),
    "WebSocket: tiny floats": lambda: _websocket(_check(_list(TINY_FLOAT, NUMBERS))),
    "WebSocket: large message": lambda: handshake() + _binary(31 << 20),
    "WebSocket: many pings": lambda: handshake() + b"\x89\x80\x01\x02\x03\x04" * 500_000,
    "WebSocket: many fragments": lambda: (
        handshake() + b"\x01\x80\1\2\3\4" + b"\0\x80\1\2\3\4" * 500_000
    ),
    "WebSocket: headers": lambda: b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100_000,
    "COMET: text": lambda: comet_frame(
        b'{"action": "take", "value": {"value": %s}}' % _text(b"x")
    ),
    "COMET: objects": lambda: comet_frame(
        b'{"action": "take", "value": {"value": %s}}' % _list(b'{"":0}', MARKS // 5)
    ),
    "COMET: result of an array": lambda: comet_frame(b'{"action": "give_array", "value": {}}'),
    "COMET: link.batch": lambda: comet_frame(
        b'{"action": "link.batch", "value": {"requests": [%s]}}'
        % b",".join([b'{"command_id":"set_clock","back":0}'] * 9000)
    ),
    "COMET: spaces in the header": lambda: b"\xff\xff{" + b" " * 65_534,
    "NDSP v2: array": lambda: _v2(_array_json()),
    "NDSP v2: text": lambda: _v2(_text(b"x")),
    "NDSP v2: tiny floats": lambda: _v2(_list(TINY_FLOAT, VALUES)),
    "NDSP v2: long integers": lambda: _v2(_list(b"9" * 640, 17_000)),
    "NDSP v2: nesting": lambda: _v2(_deep(60, VALUES // 60)),
    "NDSP v2: complex numbers": lambda: _v2(
        _list(b'{"__jsonclass__":["complex",[1,2]]}', VALUES // 6)
    ),
    "NDSP v2: arrays": lambda: _v2(
        _list(b'{"__jsonclass__":["nparray",[[1],"<f8","AAAAAAAAAAA="]]}', VALUES // 8)
    ),
    "NDSP v2: keys of one hash": lambda: _v2(
        b'{"__jsonclass__":["dict",[[%s]]]}'
        % b",".join(b"[%d,0]" % (number * ((1 << 61) - 1)) for number in range(1000))
    ),
    "NDSP v2: escapes": lambda: _v2(_text(b"\\u00e9", 6_000_000)),
    "NDSP v2: result of an array": lambda: ndsp("rogue", _CALL % (b"give_array", b"[]")),
    "NDSP v1: result of an array": lambda: ndsp(
        "rogue", _CALL % (b"give_array", b"[]"), version=1
    ),
    "NDSP v1: array": lambda: _v1(_array_v1()),
    "NDSP v1: text": lambda: _v1(_text(b"x")),
    "NDSP v1: escapes": lambda: _v1(_text(b"\\u00e9", 1_500_000)),
    "NDSP v1: numbers": lambda: _v1(_list(b"1", VALUES)),
    "NDSP v1: tiny floats": lambda: _v1(_list(TINY_FLOAT, VALUES)),
    "NDSP v1: tuples": lambda: _v1(_list(b"(1,)", VALUES // 3)),
    "NDSP v1: nesting": lambda: _v1(b"(" * 20_000),
    "NDSP: many calls": lambda: ndsp(
        "counter", b'{"action":"call","name":"ping","args":[],"kwargs":{}}\n' * 20_000
    ),
    "NDSP: many lines of nothing": lambda: ndsp("counter", b"x\n" * 20_000),
}
"""By dialect and what is much in it."""


def worst(trial: Trial) -> None:
    """Send so many of them, or all where there are no more, some times each.

    The shortest hold-up counts: what else the computer does only adds to it.
    """
    chosen = trial.random.sample(sorted(REQUESTS), min(trial.times, len(REQUESTS)))
    held: dict[str, float] = {}
    with trial.lab() as lab, _watching(lab.port) as held_up:
        quiet = held_up()
        for what in chosen:
            data = REQUESTS[what]()
            for _ in range(TRIES):
                held_up()
                answer(lab.port, data, ANSWER_TIME)
                held[what] = min(held.get(what, ANSWER_TIME), held_up())
                if held[what] < AT_MOST / 2:
                    break
        trial.must(lab.is_served("at-last"), "not served afterwards")
        trial.must("Traceback" not in lab.text("log"), "the log has a traceback")
    order = sorted(held, key=lambda what: held[what], reverse=True)
    trial.figures["requests"] = len(held)
    trial.figures["held up without any"] = f"{1e3 * quiet:.1f} ms"
    trial.figures |= {what: f"{1e3 * held[what]:.1f} ms" for what in order[:5]}
    for what in order:
        trial.must_take(held[what], AT_MOST, what)


@contextlib.contextmanager
def _watching(port: int) -> Iterator[Callable[[], float]]:
    """The other client: a function tells how long it was kept waiting since it was last asked."""
    with beside("benchmarks.torture.worst", port) as process:

        def held_up() -> float:
            assert process.stdin is not None
            assert process.stdout is not None
            print(file=process.stdin, flush=True)
            return float(json.loads(process.stdout.readline()))

        held_up()
        yield held_up


def _watch(port: int) -> None:
    longest = [0.0]

    def tell() -> None:
        for _ in sys.stdin:
            print(longest[0], flush=True)
            longest[0] = 0.0

    threading.Thread(target=tell, daemon=True).start()
    with Link(port=port, timeout=ANSWER_TIME) as link:
        while True:
            started = time.perf_counter()
            link.call("link.ping")
            longest[0] = max(longest[0], time.perf_counter() - started)
            time.sleep(0.001)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _watch(int(sys.argv[1]))
