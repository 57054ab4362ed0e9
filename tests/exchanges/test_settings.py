"""What was set last is set again where the server is asked to, and nothing is otherwise."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from artiq_link import Instrument, InstrumentError, OutOfRange, command
from artiq_link.exchanges.dispatch import Dispatch
from artiq_link.exchanges.journal import Journal
from artiq_link.exchanges.registry import Registry
from tests.conftest import until
from tests.exchanges.asking import ask, dispatching, on_loop


class Lamp(Instrument):
    """A lamp that goes dark when its server ends."""

    highest = 100.0
    fails: Exception | None = None
    bug: BaseException | None = None

    def __init__(self) -> None:
        self.brightness = 0.0
        self.restored: list[Any] = []

    @command
    def set_brightness(self, brightness: float) -> None:
        """Set it."""
        self.brightness = brightness

    @command
    def ask_it(self) -> float:
        """Tell it."""
        return self.brightness

    def open_hardware(self) -> None:
        """Open it."""

    def last_settings(self) -> Any:
        if self.bug is not None:
            raise self.bug
        return {"brightness": self.brightness}

    def restore(self, settings: Any) -> None:
        self.restored.append(settings)
        if self.fails is not None:
            raise self.fails
        if settings["brightness"] > self.highest:
            raise OutOfRange(f"brightness: {settings['brightness']} is above {self.highest}")
        self.brightness = settings["brightness"]


@contextlib.asynccontextmanager
async def start(path: Path | None, lamp: Lamp, **options: Any) -> AsyncIterator[Dispatch]:
    registry = Registry({"lamp": lamp})
    journal = Journal(registry, path)
    parts = {"registry": registry, "journal": journal, **options}
    try:
        async with dispatching({"lamp": lamp}, **parts) as dispatch:
            yield dispatch
    finally:
        await asyncio.to_thread(journal.close)


async def restored(dispatch: Dispatch) -> Any:
    status = await ask(dispatch, "link.status")
    return status["result"]["instruments"]["lamp"].get("restored")


@on_loop
async def test_what_was_set_last_is_set_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with start(path, Lamp()) as dispatch:
        for brightness in (10, 20):
            await ask(dispatch, "set_brightness", brightness=brightness)
        assert await restored(dispatch) is None
    lamp = Lamp()
    async with start(path, lamp, restores=True) as dispatch:
        assert (await ask(dispatch, "ask_it"))["result"] == 20.0
        assert await restored(dispatch) == {"problem": None}
    assert lamp.restored == [{"brightness": 20.0}]


@on_loop
async def test_a_batch_sets_too(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with start(path, Lamp()) as dispatch:
        requests = [{"command_id": "set_brightness", "brightness": 30}]
        await ask(dispatch, "link.batch", requests=requests)
    async with start(path, Lamp(), restores=True) as dispatch:
        assert (await ask(dispatch, "ask_it"))["result"] == 30.0


@on_loop
async def test_nothing_is_set_where_nobody_asked_for_it(tmp_path: Path) -> None:
    """And what was set last is still known at the next start."""
    path = tmp_path / "journal.sqlite"
    async with start(path, Lamp()) as dispatch:
        await ask(dispatch, "set_brightness", brightness=20)
    lamp = Lamp()
    async with start(path, lamp) as dispatch:
        assert await restored(dispatch) is None
    assert lamp.restored == []
    async with start(path, Lamp(), restores=True) as dispatch:
        assert (await ask(dispatch, "ask_it"))["result"] == 20.0


@on_loop
async def test_what_is_beyond_todays_limits_is_not_set_and_said(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with start(path, Lamp()) as dispatch:
        await ask(dispatch, "set_brightness", brightness=20)
    lamp = Lamp()
    lamp.highest = 15.0
    async with start(path, lamp, restores=True) as dispatch:
        assert await restored(dispatch) == {"problem": "brightness: 20.0 is above 15.0"}
        assert (await ask(dispatch, "ask_it"))["result"] == 0.0


@on_loop
async def test_a_bug_in_restore_does_not_stop_the_server(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with start(path, Lamp()) as dispatch:
        await ask(dispatch, "set_brightness", brightness=20)
    lamp = Lamp()
    lamp.fails = KeyError("colour")
    async with start(path, lamp, restores=True) as dispatch:
        assert "colour" in (await restored(dispatch))["problem"]


@on_loop
async def test_hardware_that_refuses_it_is_not_open(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with start(path, Lamp()) as dispatch:
        await ask(dispatch, "set_brightness", brightness=20)
    lamp = Lamp()
    lamp.fails = InstrumentError("the lamp does not answer")
    with pytest.raises(InstrumentError, match=r"^lamp cannot be opened: the lamp does not answer"):
        async with start(path, lamp, restores=True):
            pass


@on_loop
async def test_without_a_file_it_says_that_nothing_is_known() -> None:
    lamp = Lamp()
    async with start(None, lamp, restores=True) as dispatch:
        problem = (await restored(dispatch))["problem"]
        assert problem == "nothing was set before, as far as is known"
    assert lamp.restored == []


@pytest.mark.parametrize("bug", [RuntimeError("the bug's text"), SystemExit(3)])
@on_loop
async def test_a_bug_in_last_settings_hinders_nothing(tmp_path: Path, bug: BaseException) -> None:
    """It is called in the instrument's thread, which has more to do; what was noted stays."""
    path = tmp_path / "journal.sqlite"
    lamp = Lamp()
    async with start(path, lamp) as dispatch:
        await ask(dispatch, "set_brightness", brightness=10)
    lamp.bug = bug
    async with start(path, lamp) as dispatch:
        await ask(dispatch, "set_brightness", brightness=20)
        await asyncio.to_thread(until, lambda: not dispatch.settings._due)
        assert (await ask(dispatch, "ask_it"))["result"] == 20
    later = Lamp()
    async with start(path, later, restores=True):
        assert later.brightness == 10
