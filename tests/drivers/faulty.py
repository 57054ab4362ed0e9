"""A device that goes wrong for a while, in the drivers' tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from artiq_link.transports import Protocol
from artiq_link.transports.fake import Fake, Fault
from tests.probe import PATIENCE

HASTE = 0.5
"""Seconds for an answer that does not come."""


def patient(protocol: Protocol, **changes: Any) -> Protocol:
    """A make's protocol that waits for answers however busy the computer is, and then not long."""
    return replace(protocol, **{"timeout": PATIENCE, "late": 0.1, **changes})


@contextmanager
def faulty(fake: Fake, driver: Any, fault: Fault | None) -> Iterator[None]:
    """For the length of a ``with`` block it goes wrong so, and is not waited for long."""
    line = driver._line
    fake.fault, protocol = fault, line.protocol
    line.protocol = replace(protocol, timeout=HASTE)
    try:
        yield
    finally:
        fake.fault, line.protocol = None, protocol
