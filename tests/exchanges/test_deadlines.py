"""Deadlines: one table, one timer."""

from __future__ import annotations

import asyncio
import time

from artiq_link.exchanges.deadlines import Deadlines
from tests.exchanges.asking import on_loop


class Alarm:
    """A deadline whose coming can be awaited."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self.at = 0.0

    def ring(self) -> None:
        assert not self.came.is_set(), "twice"
        self.at = time.monotonic()
        self.came.set()


@on_loop
async def test_each_is_called_once_when_its_time_has_come_and_not_before() -> None:
    deadlines = Deadlines(asyncio.get_running_loop())
    alarms = [Alarm() for _ in range(5)]
    start = time.monotonic()
    times = [start + after for after in (0.03, 0.0, -1.0, 0.015, 0.0305)]
    for alarm, when in zip(alarms, times, strict=True):
        deadlines.set(alarm.ring, when)
    for alarm in alarms:
        await alarm.came.wait()
    assert all(alarm.at > when - 0.002 for alarm, when in zip(alarms, times, strict=True))
    assert len(deadlines) == 0


@on_loop
async def test_one_that_was_cleared_or_put_off_does_not_come() -> None:
    """Also where another one of the same moment clears it."""
    deadlines = Deadlines(asyncio.get_running_loop())
    cleared, put_off, last = Alarm(), Alarm(), Alarm()
    soon = time.monotonic() + 0.01

    def change() -> None:
        deadlines.clear(cleared.ring)
        deadlines.set(put_off.ring, soon + 1000)
        deadlines.set(last.ring, soon)

    deadlines.set(change, soon)
    deadlines.set(cleared.ring, soon)
    deadlines.set(put_off.ring, soon)
    await last.came.wait()
    assert not cleared.came.is_set()
    assert not put_off.came.is_set()
    assert put_off.ring in deadlines
    deadlines.close()
    assert len(deadlines) == 0


@on_loop
async def test_a_nearer_one_comes_before_one_that_was_set_earlier() -> None:
    deadlines = Deadlines(asyncio.get_running_loop())
    far, near = Alarm(), Alarm()
    deadlines.set(far.ring, time.monotonic() + 1000)
    deadlines.set(near.ring, time.monotonic() + 0.01)
    await near.came.wait()
    assert not far.came.is_set()
    deadlines.close()
