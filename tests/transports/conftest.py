"""Fixtures of the transports' tests: a device on a real pseudo-terminal, and on a real port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from artiq_link.transports import Protocol, Transport, transport_to
from artiq_link.transports.fake import Fake, FakeSerial, FakeTcp
from tests.conftest import PATIENCE
from tests.transports.devices import Counter

KINDS = [FakeSerial, FakeTcp]

Attach = Callable[..., Transport]


@pytest.fixture(params=KINDS, ids=["serial", "tcp"])
def fake(request: pytest.FixtureRequest) -> Iterator[Fake]:
    """A counter at the end of each kind of line."""
    with request.param(Counter()) as made:
        yield made


@pytest.fixture
def attach() -> Iterator[Attach]:
    """Make transports to a fake; all are closed at the test's end."""
    with ExitStack() as stack:

        def attach(fake: Fake, **protocol: object) -> Transport:
            options: dict[str, Any] = {"timeout": PATIENCE, **protocol}
            made = transport_to(fake.device_string, Protocol(**options))
            stack.callback(made.close)
            return made

        yield attach
