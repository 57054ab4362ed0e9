"""`link.stop`: it asks for the server's end, and tells what could not be closed."""

from __future__ import annotations

import asyncio

import pytest

from artiq_link import Instrument
from tests.conftest import PATIENCE
from tests.exchanges.asking import Asked, Laser, ask, busy, dispatching, on_loop, success


class Stuck(Instrument):
    """Its hardware does not let itself be closed."""

    def close(self) -> None:
        raise OSError("the adapter is gone")


@pytest.mark.parametrize("at_once", [False, True])
@on_loop
async def test_it_is_answered_at_once(at_once: bool) -> None:
    """Also while a command runs; a second one may ask for more."""
    laser, stops = Laser(), list[bool]()
    async with dispatching({"laser": laser}, stop=stops.append) as dispatch:
        await busy(dispatch, laser)
        assert await ask(dispatch, "link.stop") == success("link.stop", None)
        reply = await ask(dispatch, "link.stop", at_once=at_once)
        assert reply == success("link.stop", None)
    assert stops == [False, at_once]


@on_loop
async def test_who_waits_is_told_when_all_is_closed() -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        running = await busy(dispatch, laser)
        waits = Asked(dispatch, "link.stop", {"wait": True})
        closing = asyncio.ensure_future(dispatch.close(PATIENCE))
        assert (await ask(dispatch, "set_power", power=1.0))["code"] == "shutting_down"
        assert waits.replies == []
        laser.go_on.set()
        assert await waits.reply() == success("link.stop", [])
        assert (len(running.replies), laser.closed) == (1, 1)
        await closing


@on_loop
async def test_who_waits_is_told_what_is_not_closed() -> None:
    """Also where the time was up with the first command that did not end."""
    laser, second = Laser(), Laser()
    instruments = {"laser": laser, "shutter": Laser(), "second": second, "stuck": Stuck()}
    async with dispatching(instruments) as dispatch:
        await busy(dispatch, laser, "laser.wait")
        await busy(dispatch, second, "second.wait")
        waits = Asked(dispatch, "link.stop", {"wait": True})
        await dispatch.close(0.0)
        assert waits.replies == [success("link.stop", ["laser", "second", "stuck"])]
