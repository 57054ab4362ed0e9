"""Requests with random damage in every dialect: refused, never executed, and nothing leaks.

What is damaged asks for a command that takes one key alone, and has another: no damage that is
not that key executes it.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from benchmarks.torture.dialects import (
    DIALECTS,
    answer,
    comet_frame,
    handshake,
    ndsp,
    websocket_frame,
)
from benchmarks.torture.lab import Lab
from benchmarks.torture.trial import Trial

CLIENTS = 4
ANSWER_TIME = 12.0
"""Seconds until a client is answered or thrown out: those of a request, and some."""

MOST_CHANGES = 6
WRONG_KEY = "0123456789abcdef"
LATE_DESCRIPTORS = 3
"""Of the journal: SQLite opens the files of a connection when it is first used."""

LEAKED = 60.0
"""MiB that the server may have taken for good after all inputs."""

PIECES = [
    b"{", b"}", b"[", b"]", b'"', b"'", b"\\", b",", b":", b"\n", b"\r\n", b"\x04", b"\0", b"\xff",
    b"1e999", b"-", b"NaN", b"null", b"true", b"9" * 70, b"\\ud800", b'"__jsonclass__"', b"(",
    b")", b"nparray", b"GET / HTTP/1.1\r\n", b"ARTIQ pc_rpc\n", b'"link"', b'"keep"', b'"buffers"',
    b"#", b'"command_id"', b"link.batch", b"link.check", b"\xf0\x9f\x98\x80", b"[" * 200,
    b"lambda: 0", b"__import__('os')", b"\x16\x03", b"\x80" * 9,
    b"\x00\xff\xff\xff\xff\xff\xff\xff\xff",
]  # fmt: skip
"""Texts that some dialect takes for more than they are."""


def seeds() -> list[bytes]:
    """One whole request or more of each dialect, and of each of the odder parts of JSON."""
    parameters: dict[str, object] = {"key": WRONG_KEY}
    request = {"command_id": "fire", **parameters}
    text = json.dumps(request).encode()
    array = {"__jsonclass__": ["nparray", [[2], "<f8", "AAAAAAAAAAAAAAAAAAAAAA=="]]}
    return [
        *(dialect.ask("fire", parameters) for dialect in DIALECTS),
        json.dumps({**request, "link": {"id": "m", "timeout": 1.0, "keep": True}}).encode() * 2,
        json.dumps({"command_id": "link.batch", "requests": [request] * 3}).encode(),
        json.dumps({"command_id": "link.check", "requests": [request] * 3}).encode(),
        json.dumps({**request, "key": array}).encode(),
        b'{"command_id": "fire", "key": {"__jsonclass__": ["nparray", [[2], "<f8", '
        b'{"buffer": 0}]]}, "link": {"buffers": [16]}}\n' + bytes(16),
        comet_frame(text),
        handshake() + websocket_frame(text) + websocket_frame(text),
        ndsp("counter", b'{"action": "call", "name": "fire", "args": ("x", nparray((1,), "<f8", '
             b'b"AAAAAAAAAAA=")), "kwargs": {}}', version=1),
        ndsp("counter", b'{"action": "get_rpc_method_list"}'),
    ]  # fmt: skip


def _flip(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _overwrite(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] = chance.randrange(256)


def _insert(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.choice(PIECES)


def _delete(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    del data[at : at + chance.randrange(1, 20)]


def _repeat(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    data[at:at] = data[at : at + chance.randrange(1, 20)] * chance.choice([1, 2, 100])


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


CHANGES: list[Callable[[bytearray, random.Random], None]] = [
    _flip, _overwrite, _insert, _delete, _repeat, _cut,
]  # fmt: skip


def mutated(seeds: list[bytes], chance: random.Random) -> bytes:
    """A damaged request; sometimes one that goes on as another."""
    data = bytearray(chance.choice(seeds))
    if chance.random() < 0.1:
        other = chance.choice(seeds)
        data[chance.randrange(len(data)) :] = other[chance.randrange(len(other)) :]
    for _ in range(chance.randrange(1, MOST_CHANGES)):
        if data:
            chance.choice(CHANGES)(data, chance)
    return bytes(data)


def mutations(trial: Trial) -> None:
    """Send so many damaged requests, each on a connection of its own."""
    whole = seeds()
    chances = [random.Random(trial.random.random()) for _ in range(CLIENTS)]
    answers: list[Counter[str]] = [Counter() for _ in range(CLIENTS)]
    odd: list[str] = []

    def send(client: int) -> None:
        chance = chances[client]
        for _ in range(client, trial.times, CLIENTS):
            data = mutated(whole, chance)
            reply = answer(lab.port, data, ANSWER_TIME)
            kind = kind_of(reply)
            answers[client][kind] += 1
            if kind in ("success", "a bug"):
                odd.append(f"{data!r:.300} was answered by {reply!r:.300}")

    with trial.lab(request_time=5.0) as lab:
        for _ in range(200):  # so that the allocator has what it needs
            answer(lab.port, mutated(whole, chances[0]), ANSWER_TIME)
        lab.settle()
        before = _held(lab)
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(send, range(CLIENTS)))
        lab.settle()
        after = _held(lab)
        trial.must_be_none(list(lab.counted()), "executed")
        trial.must(lab.is_served("at-last"), "not served afterwards")
        trial.must("Traceback" not in lab.text("log"), "the log has a traceback")
    trial.figures |= dict(sum(answers, Counter()))
    trial.figures["threads"] = f"{before[0]}, then {after[0]}"
    trial.figures["descriptors"] = f"{before[1]}, then {after[1]}"
    trial.figures["memory"] = f"{before[2]:.0f} MiB, then {after[2]:.0f}"
    trial.must_be_none(odd, "answered as they should not be")
    trial.must(after[0] == before[0], "threads leak")
    trial.must(after[1] <= before[1] + LATE_DESCRIPTORS, "descriptors leak")
    trial.must(after[2] < before[2] + LEAKED, "memory leaks")


def _held(lab: Lab) -> tuple[int, int, float]:
    return lab.threads(), lab.descriptors(), lab.memory()


def kind_of(reply: bytes) -> str:
    """What an answer is, in whichever dialect."""
    if not reply:
        return "closed without a word"
    if b"Traceback" in reply or b"internal_error" in reply:
        return "a bug"
    if b"counted" in reply:
        return "success"
    return "answered"
