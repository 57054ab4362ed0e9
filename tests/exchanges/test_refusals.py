"""What clients are refused and closed for: warned of once, then counted."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from collections.abc import Callable
from typing import Any

import pytest

from artiq_link.errors import Malformed, TooLarge
from artiq_link.exchanges import refusals
from artiq_link.exchanges.client import Client
from artiq_link.exchanges.refusals import Refusals
from tests.conftest import until
from tests.exchanges.asking import on_loop
from tests.peers import connected, read_all
from tests.server.asking import Serve, ask

FIRST = r"127\.0\.0\.1:\d+ \(json\): refused, malformed: .*"


def test_one_clients_refusals_are_logged_once_and_counted(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Each on a connection of its own; the rest is told at the latest when the server ends."""
    server = serve()
    for _ in range(20):
        assert ask(server, b"{]")["code"] == "malformed"
    assert len(caplog.messages) == 1
    assert re.fullmatch(FIRST, caplog.messages[0])
    with connected(server) as client:
        client.sendall(b"hello")
        read_all(client)
    assert len(caplog.messages) == 1
    server.stop()
    until(lambda: len(caplog.messages) == 2)
    assert re.fullmatch(
        r"127\.0\.0\.1: malformed: refused 20 more times in .* s", caplog.messages[1]
    )


def test_clients_that_take_nothing_are_logged_once_and_counted(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """A thousand of them are one attacker, or one network that has gone."""
    server = serve(linger_time=0.1)
    with contextlib.ExitStack() as clients:
        for _ in range(4):
            client = clients.enter_context(connected(server))
            client.sendall(b'{"command_id": "echo", "value": "%s"}' % (b"x" * (10 << 20)))
        until(lambda: "closed" in caplog.text and not server.connections)
        server.stop()
        until(lambda: len(caplog.messages) == 2)
    first, others = caplog.messages
    assert re.fullmatch(
        r"127\.0\.0\.1:\d+ \(json\): closed: it took \d+ bytes of what it was sent in 0\.1 s, "
        r"and \d+ are left",
        first,
    )
    assert re.fullmatch(r"127\.0\.0\.1: closed for not reading 3 more times in .* s", others)


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose timers the test lets come."""

    def __init__(self) -> None:
        super().__init__()
        self.due: list[Callable[[], None]] = []

    def call_soon_threadsafe(self, callback: Any, *args: Any, **_: Any) -> Any:
        callback(*args)

    def call_later(self, delay: float, callback: Any, *args: Any, **_: Any) -> Any:
        self.due.append(functools.partial(callback, *args))


def test_they_are_told_after_each_period(caplog: pytest.LogCaptureFixture) -> None:
    """And one that comes after a period without any is logged as the first was."""
    client = Client("lab-pc:1", "json")
    with contextlib.closing(Clock()) as clock:
        counted = Refusals(clock)
        for more in (2, 1, 0):
            for _ in range(more + (more == 2)):
                counted.warn(client, Malformed("no JSON"))
            assert len(clock.due) == 1
            clock.due.pop()()
        assert clock.due == []
        counted.warn(client, Malformed("again"))
    first, told, told_again, first_again = caplog.messages
    assert first == "lab-pc:1 (json): refused, malformed: no JSON"
    assert re.fullmatch(r"lab-pc: malformed: refused 2 more times in .* s", told)
    assert re.fullmatch(r"lab-pc: malformed: refused once more in .* s", told_again)
    assert first_again == "lab-pc:1 (json): refused, malformed: again"


@on_loop
async def test_other_codes_and_other_addresses_are_counted_apart(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to a number of them: an attacker may have a thousand addresses."""
    monkeypatch.setattr(refusals, "MAX_ADDRESSES", 3)
    counted = Refusals(asyncio.get_running_loop())
    for address in ("[::1]:5", "[::1]:6", "10.0.0.1:5", "10.0.0.2:5", "10.0.0.3:5", "a client"):
        counted.warn(Client(address), Malformed("no JSON"))
    counted.warn(Client("[::1]:7"), TooLarge("too large"))
    assert [message.partition(": ")[0] for message in caplog.messages] == [
        "[::1]:5",
        "10.0.0.1:5",
        "10.0.0.2:5",
        "10.0.0.3:5",
        "[::1]:7",
    ]
    counted.close()
    assert [message.partition(" in ")[0] for message in caplog.messages[5:]] == [
        "[::1]: malformed: refused once more",
        "other clients: malformed: refused once more",
    ]
