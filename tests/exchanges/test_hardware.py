"""Hardware that was lost: it is opened again, by itself or when somebody asks."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from artiq_link import HardwareLost, Instrument, InstrumentError, command
from artiq_link.exchanges import hardware
from artiq_link.exchanges.dispatch import Dispatch
from artiq_link.exchanges.hardware import Hardware
from artiq_link.exchanges.messages import LinkMembers
from tests.conftest import PATIENCE
from tests.exchanges.asking import Asked, Laser, ask, dispatching, failure, on_loop


class Plug(Instrument):
    """A device on a cable."""

    def __init__(self) -> None:
        self.is_in = True
        self.calls: list[str] = []
        self.opened = threading.Event()
        self.error: Exception = HardwareLost("the cable is out")

    @command
    def use(self) -> str:
        """Use it."""
        self.calls.append("use")
        if not self.is_in:
            raise self.error
        return "used"

    def open_hardware(self) -> None:
        self.calls.append("open")
        if not self.is_in:
            raise InstrumentError("no such port")
        self.opened.set()

    def close(self) -> None:
        self.calls.append("close")

    def safe_state(self) -> None:
        self.calls.append("safe" if self.is_in else "unsafe")
        if not self.is_in:
            raise self.error

    def last_settings(self) -> Any:
        return len(self.calls)

    def restore(self, settings: Any) -> None:
        self.calls.append("restore")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost hardware is opened again at once, and again and again."""
    monkeypatch.setattr(hardware, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(hardware, "LONGEST_PAUSE", 0.001)


async def status_of(dispatch: Dispatch) -> dict[str, Any]:
    status = await ask(dispatch, "link.status")
    return dict(status["result"]["instruments"]["plug"])


@pytest.mark.parametrize("error", [HardwareLost("the cable is out"), OSError("the cable is out")])
def test_lost_hardware_is_opened_again_by_itself(at_once: None, error: Exception) -> None:
    @on_loop
    async def test() -> None:
        plug = Plug()
        plug.error = error
        async with dispatching({"plug": plug}) as dispatch:
            plug.is_in = False
            assert (await ask(dispatch, "use"))["error"] == "the cable is out"
            while plug.calls.count("open") < 3:
                await asyncio.sleep(0.001)
            assert (await status_of(dispatch))["state"] == "lost"
            plug.opened.clear()
            plug.is_in = True
            assert await asyncio.to_thread(plug.opened.wait, PATIENCE)
            while (await status_of(dispatch))["state"] == "lost":
                await asyncio.sleep(0.001)
            assert (await ask(dispatch, "use"))["result"] == "used"
        assert plug.calls[:5] == ["open", "use", "close", "open", "close"]

    test()


@on_loop
async def test_meanwhile_nothing_is_executed_and_the_status_says_since_when_and_why() -> None:
    plug = Plug()
    async with dispatching({"plug": plug}) as dispatch:
        plug.is_in = False
        await ask(dispatch, "use")
        lost = (await status_of(dispatch))["lost"]
        assert lost["why"] == "the cable is out"
        assert lost["since"] > 1e9
        refused = await ask(dispatch, "use")
        assert refused["code"] == "instrument_error"
        assert refused["error"].startswith("plug: lost since ")
        assert refused["error"].endswith(
            ": no such port; it is opened again by itself; the command was not executed"
        )
        batch = await ask(dispatch, "link.batch", requests=[{"command_id": "use"}])
        assert batch["code"] == "instrument_error"
        assert plug.calls.count("use") == 1


@on_loop
async def test_a_command_has_it_opened_where_that_takes_no_time() -> None:
    plug = Plug()
    async with dispatching({"plug": plug}) as dispatch:
        plug.is_in = False
        for _ in range(3):
            assert (await ask(dispatch, "use"))["code"] == "instrument_error"
        plug.is_in = True
        assert (await ask(dispatch, "use"))["result"] == "used"
        assert (await status_of(dispatch))["state"] == "idle"


def test_a_command_does_not_wait_for_what_takes_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hardware, "QUICK", 0.0)
    monkeypatch.setattr(hardware, "FIRST_PAUSE", PATIENCE)

    @on_loop
    async def test() -> None:
        plug = Plug()
        async with dispatching({"plug": plug}) as dispatch:
            plug.is_in = False
            for _ in range(3):
                assert (await ask(dispatch, "use"))["code"] == "instrument_error"
            assert plug.calls.count("open") == 2
            plug.is_in = True
            refused = await ask(dispatch, "use")
            assert refused["error"].startswith("plug: lost since ")

    test()


@on_loop
async def test_somebody_can_have_it_opened_now() -> None:
    plug = Plug()
    async with dispatching({"plug": plug}) as dispatch:
        plug.is_in = False
        await ask(dispatch, "use")
        assert await ask(dispatch, "link.reopen", instrument="plug") == failure(
            "link.reopen", "instrument_error", "plug cannot be opened again: no such port"
        )
        assert (await status_of(dispatch))["lost"]["why"] == "no such port"
        plug.is_in = True
        assert (await ask(dispatch, "link.reopen", instrument="plug"))["status"] == "success"
        assert (await status_of(dispatch))["state"] == "idle"
        assert (await ask(dispatch, "use"))["result"] == "used"
        # What is not lost, too: somebody may have replaced it.
        assert (await ask(dispatch, "link.reopen", instrument="plug"))["status"] == "success"
    assert plug.calls[-5:] == ["open", "use", "close", "open", "close"]


@on_loop
async def test_a_batch_that_loses_it_goes_no_further() -> None:
    plug = Plug()
    async with dispatching({"plug": plug}) as dispatch:
        plug.is_in = False
        requests = [{"command_id": "use"}] * 3
        asked = {"requests": requests, "on_failure": "continue"}
        replies = (await ask(dispatch, "link.batch", **asked))["result"]
        assert [each["code"] for each in replies] == ["instrument_error"] * 3
        assert plug.calls.count("use") == 1
        assert (await status_of(dispatch))["state"] == "lost"


@on_loop
async def test_who_does_not_hold_it_does_not_have_it_opened() -> None:
    async with dispatching({"plug": Plug()}) as dispatch:
        asked = {"instrument": "plug", "owner": "scan", "seconds": PATIENCE}
        number = (await ask(dispatch, "link.acquire", **asked))["result"]["lease"]
        asked = {"instrument": "plug"}
        assert (await ask(dispatch, "link.reopen", **asked))["code"] == "leased"
        holder = Asked(dispatch, "link.reopen", asked, LinkMembers(lease=number))
        assert (await holder.reply())["status"] == "success"


@on_loop
async def test_what_has_no_hardware_loses_none() -> None:
    """An OSError is a failure of its command then, and no more."""

    class Files(Laser):
        @command
        def read(self) -> None:
            """Read a file that there is not."""
            raise FileNotFoundError(2, "No such file")

    async with dispatching({"files": Files()}) as dispatch:
        assert (await ask(dispatch, "read"))["code"] == "instrument_error"
        assert (await ask(dispatch, "look"))["status"] == "success"
        sentence = "files has nothing that could be opened again"
        assert (await ask(dispatch, "link.reopen", instrument="files"))["error"] == sentence
        reply = await ask(dispatch, "link.reopen", instrument="file")
        assert reply["error"] == "there is no instrument 'file'; did you mean 'files'?"


@on_loop
async def test_what_could_not_be_made_safe_is_as_soon_as_it_is_there_again() -> None:
    """And it is not restored before: nobody is there to look at what it does."""
    plug = Plug()
    plug.lease_policy = "safe"
    async with dispatching({"plug": plug}, restores=True) as dispatch:
        await ask(dispatch, "use")
        plug.is_in = False
        asked = {"instrument": "plug", "owner": "scan", "seconds": 0.1}
        assert (await ask(dispatch, "link.acquire", **asked))["status"] == "success"
        while "lease" in await status_of(dispatch) or "lost" not in await status_of(dispatch):
            await asyncio.sleep(0.001)
        plug.is_in = True
        await ask(dispatch, "link.reopen", instrument="plug")
        await ask(dispatch, "link.reopen", instrument="plug")
    first = ["open", "use", "unsafe", "close", "open", "safe"]
    assert plug.calls == [*first, "close", "open", "restore", "close"]


def test_the_pauses_grow() -> None:
    def fail() -> None:
        raise InstrumentError("no such port")

    plug = Hardware("plug", fail)
    plug.note(HardwareLost("the cable is out"))
    pauses = [plug._pause]
    while pauses[-1] < hardware.LONGEST_PAUSE:
        with pytest.raises(HardwareLost):
            plug.reopen()
        pauses.append(plug._pause)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0]
    assert plug.patience == pytest.approx(15.0, abs=5)
