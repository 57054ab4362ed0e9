"""The guard against a restart that nobody noticed: of the server, or of hardware."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from artiq_link import (
    HardwareLost,
    HardwareRestarted,
    Instrument,
    InstrumentError,
    OutOfRange,
    command,
)
from artiq_link.exchanges.dispatch import Dispatch
from artiq_link.exchanges.journal import Journal
from artiq_link.exchanges.messages import LinkMembers
from artiq_link.exchanges.registry import Registry
from tests.conftest import PATIENCE
from tests.exchanges.asking import Asked, Laser, ask, dispatching, failure, on_loop

EXECUTED = "and what was set before may be gone; the command was not executed"


class Lamp(Instrument):
    """A lamp on a cable, which is dark after it was without power."""

    def __init__(self) -> None:
        self.is_in = True
        self.forgets: Exception | None = None
        self.brightness = 0.0
        self.executed: list[float] = []
        self.started = threading.Event()
        self.go_on = threading.Event()

    @command
    def flash(self) -> None:
        """Flash until the test has seen enough."""
        self.started.set()
        assert self.go_on.wait(PATIENCE)

    @command
    def shine(self, brightness: float) -> float:
        """Shine."""
        if not self.is_in:
            raise HardwareLost("the cable is out")
        if (error := self.forgets) is not None:
            self.forgets = None
            raise error
        self.executed.append(brightness)
        self.brightness = brightness
        return brightness

    def pull(self) -> None:
        self.is_in = False
        self.brightness = 0.0

    def open_hardware(self) -> None:
        if not self.is_in:
            raise InstrumentError("no such port")

    def last_settings(self) -> Any:
        return self.brightness if self.executed else None

    def restore(self, settings: Any) -> None:
        self.brightness = settings


async def boot_of(dispatch: Dispatch) -> str:
    return str((await ask(dispatch, "link.status"))["result"]["boot"])


async def must_be_restarted(dispatch: Dispatch, refused: dict[str, Any]) -> None:
    """Refused as such, with the name that the start has now."""
    assert (refused["code"], refused["link"]) == (
        "restarted",
        {"boot": await boot_of(dispatch)},
    )


async def say(
    dispatch: Dispatch, boot: str, command_id: str = "shine", **parameters: Any
) -> dict[str, Any]:
    return await Asked(dispatch, command_id, parameters, LinkMembers(boot=boot)).reply()


async def lose_and_find(dispatch: Dispatch, lamp: Lamp) -> None:
    """The cable is pulled out, a command notices, and it is put in again."""
    lamp.pull()
    assert (await ask(dispatch, "shine", brightness=9))["error"] == "the cable is out"
    lamp.is_in = True
    assert (await ask(dispatch, "link.reopen", instrument="lamp"))["status"] == "success"


@on_loop
async def test_who_talked_to_an_earlier_start_is_refused() -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        boot = await boot_of(dispatch)
        assert await say(dispatch, "earlier", "set_power", power=1) == {
            **failure(
                "set_power",
                "restarted",
                "the server has started anew: what was set before may be gone; the command was "
                "not executed",
            ),
            "link": {"boot": boot},
        }
        assert laser.executed == []
        reply = await say(dispatch, boot, "set_power", power=1)
        assert (reply["status"], reply["link"]) == ("success", {"boot": boot})
        assert "link" not in await ask(dispatch, "link.ping")


@on_loop
async def test_who_only_watches_is_answered() -> None:
    """How else could it learn the new start's name?"""
    async with dispatching({"laser": Laser()}) as dispatch:
        for command_id in ("link.status", "link.ping"):
            assert (await say(dispatch, "earlier", command_id))["status"] == "success"
        assert (await say(dispatch, "earlier", "link.batch", requests=[]))["code"] == "restarted"


@on_loop
async def test_every_start_has_another_name() -> None:
    assert len({Journal(Registry({"laser": Laser()})).boot for _ in range(100)}) == 100


@on_loop
async def test_what_was_executed_before_the_restart_is_not_said_to_be_refused(
    tmp_path: Path,
) -> None:
    link = LinkMembers(id="a1", boot="earlier")
    for number in range(2):
        laser = Laser()
        registry = Registry({"laser": laser})
        journal = Journal(registry, tmp_path / "journal.sqlite")
        async with dispatching({"laser": laser}, registry=registry, journal=journal) as dispatch:
            named = link if number else LinkMembers(id="a1")
            reply = await Asked(dispatch, "set_power", {"power": 1}, named).reply()
            assert reply["status"] == "success"
            assert laser.executed == ([] if number else [1.0])
        await asyncio.to_thread(journal.close)


# --- hardware that was lost and came back --------------------------------------------------------


@on_loop
async def test_who_set_it_before_it_was_lost_is_refused_and_nobody_else_is() -> None:
    lamp, laser = Lamp(), Laser()
    async with dispatching({"lamp": lamp, "laser": laser}) as dispatch:
        before = await boot_of(dispatch)
        assert (await say(dispatch, before, brightness=1))["status"] == "success"
        await lose_and_find(dispatch, lamp)
        after = await boot_of(dispatch)
        assert after != before
        refused = await say(dispatch, before, brightness=2)
        assert (refused["code"], refused["link"]) == ("restarted", {"boot": after})
        assert refused["error"].startswith("lamp: its hardware was opened again at ")
        assert refused["error"].endswith(EXECUTED)
        assert lamp.executed == [1]
        # Not even for a while: nobody has set it up again under this name.
        assert (await say(dispatch, before, brightness=2))["code"] == "restarted"
        # Another instrument's user is told nothing that would have it forget what it relies on.
        reply = await say(dispatch, before, "set_power", power=1)
        assert (reply["status"], reply["link"]) == ("success", {"boot": before})
        assert (await say(dispatch, after, brightness=3))["link"] == {"boot": after}
        assert (await ask(dispatch, "shine", brightness=4))["status"] == "success"
        assert lamp.executed == [1, 3, 4]


@on_loop
async def test_a_command_that_has_it_opened_does_not_run_on_what_is_gone() -> None:
    lamp = Lamp()
    async with dispatching({"lamp": lamp}) as dispatch:
        before = await boot_of(dispatch)
        lamp.pull()
        assert (await say(dispatch, before, brightness=1))["code"] == "instrument_error"
        lamp.is_in = True
        await must_be_restarted(dispatch, await say(dispatch, before, brightness=1))
        assert lamp.executed == []


@on_loop
async def test_who_comes_while_it_is_lost_relies_on_nothing_and_is_served() -> None:
    """Plugging it in is enough for an experiment that has just begun."""
    lamp = Lamp()
    async with dispatching({"lamp": lamp}) as dispatch:
        lamp.pull()
        assert (await ask(dispatch, "shine", brightness=1))["code"] == "instrument_error"
        meanwhile = await boot_of(dispatch)
        lamp.is_in = True
        assert (await say(dispatch, meanwhile, brightness=1))["status"] == "success"


@on_loop
async def test_a_command_that_waited_while_it_was_lost_is_refused() -> None:
    lamp = Lamp()
    async with dispatching({"lamp": lamp}) as dispatch:
        before = await boot_of(dispatch)
        running = Asked(dispatch, "flash")
        assert await asyncio.to_thread(lamp.started.wait, PATIENCE)
        waiting = Asked(dispatch, "shine", {"brightness": 1}, LinkMembers(boot=before))
        reopening = Asked(dispatch, "link.reopen", {"instrument": "lamp"})
        while dispatch.workers["lamp"].describe()["waiting"] < 2:
            await asyncio.sleep(0)
        lamp.go_on.set()
        assert (await running.reply())["status"] == "success"
        assert (await reopening.reply())["status"] == "success"
        await must_be_restarted(dispatch, await waiting.reply())
        assert lamp.executed == []


@on_loop
async def test_who_has_it_opened_again_is_told_of_it_as_others_are() -> None:
    """Somebody may have put another device in its place. A lease stays what it is."""
    lamp = Lamp()
    async with dispatching({"lamp": lamp}) as dispatch:
        before = await boot_of(dispatch)
        asked = {"instrument": "lamp", "owner": "scan", "seconds": PATIENCE}
        number = (await ask(dispatch, "link.acquire", **asked))["result"]["lease"]
        holder = LinkMembers(lease=number, boot=before)
        reply = await Asked(dispatch, "link.reopen", {"instrument": "lamp"}, holder).reply()
        assert reply["status"] == "success"
        refused = await Asked(dispatch, "shine", {"brightness": 1}, holder).reply()
        assert refused["code"] == "restarted"
        now = LinkMembers(lease=number, boot=await boot_of(dispatch))
        reply = await Asked(dispatch, "shine", {"brightness": 1}, now).reply()
        assert reply["status"] == "success"


@on_loop
async def test_what_was_restored_is_not_gone() -> None:
    lamp = Lamp()
    async with dispatching({"lamp": lamp}, restores=True) as dispatch:
        before = await boot_of(dispatch)
        await say(dispatch, before, brightness=1)
        await ask(dispatch, "link.reopen", instrument="lamp")
        assert await boot_of(dispatch) != before
        assert (await say(dispatch, before, brightness=2))["status"] == "success"


@on_loop
async def test_what_was_not_restored_whole_is_gone() -> None:
    class Dim(Lamp):
        """A lamp that is not to be as bright as it was."""

        def restore(self, settings: Any) -> None:
            raise OutOfRange(f"brightness: {settings} is too bright")

    dim = Dim()
    async with dispatching({"dim": dim}, restores=True) as dispatch:
        before = await boot_of(dispatch)
        await say(dispatch, before, brightness=1)
        assert (await ask(dispatch, "link.reopen", instrument="dim"))["status"] == "success"
        assert (await say(dispatch, before, brightness=2))["code"] == "restarted"


@on_loop
async def test_what_was_made_safe_instead_is_gone() -> None:
    lamp = Lamp()
    lamp.lease_policy = "safe"

    def fail() -> None:
        if not lamp.is_in:
            raise HardwareLost("the cable is out")

    lamp.safe_state = fail  # type: ignore[method-assign]
    async with dispatching({"lamp": lamp}, restores=True) as dispatch:
        before = await boot_of(dispatch)
        await say(dispatch, before, brightness=1)
        lamp.pull()
        asked = {"instrument": "lamp", "owner": "scan", "seconds": 0.1}
        await ask(dispatch, "link.acquire", **asked)
        while dispatch.leases.holder("lamp") is not None or await boot_of(dispatch) == before:
            await asyncio.sleep(0.001)
        lamp.is_in = True
        await ask(dispatch, "link.reopen", instrument="lamp")
        assert (await say(dispatch, before, brightness=2))["code"] == "restarted"


@on_loop
async def test_hardware_that_says_that_it_has_restarted_is_like_one_that_was_lost() -> None:
    """The command that found it was told; all others, and what comes behind it, are now."""
    lamp = Lamp()
    async with dispatching({"lamp": lamp}) as dispatch:
        before = await boot_of(dispatch)
        lamp.forgets = HardwareRestarted("it was switched off; nothing was set")
        assert (await say(dispatch, before, brightness=1))["code"] == "instrument_error"
        refused = await say(dispatch, before, brightness=1)
        assert refused["code"] == "restarted"
        assert refused["error"].startswith("lamp: its hardware was found to have restarted at ")
        reply = await say(dispatch, await boot_of(dispatch), brightness=1)
        assert reply["status"] == "success"
        assert lamp.executed == [1]


@pytest.mark.parametrize("check", [True, False])
@on_loop
async def test_a_batch_is_refused_as_a_whole_if_one_of_its_instruments_was_lost(
    check: bool,
) -> None:
    lamp, laser = Lamp(), Laser()
    async with dispatching({"laser": laser, "lamp": lamp}) as dispatch:
        before = await boot_of(dispatch)
        await lose_and_find(dispatch, lamp)
        power = {"command_id": "set_power", "power": 1}
        both = [power, {"command_id": "shine", "brightness": 1}]
        refused = await say(dispatch, before, "link.batch", requests=both, check=check)
        assert refused["code"] == "restarted"
        assert refused["error"].startswith("lamp: its hardware was opened again at ")
        assert (laser.executed, lamp.executed) == ([], [])
        done = await say(dispatch, before, "link.batch", requests=[power], check=check)
        assert [each["status"] for each in done["result"]] == ["success"]
        done = await say(
            dispatch, await boot_of(dispatch), "link.batch", requests=both, check=check
        )
        assert [each["status"] for each in done["result"]] == ["success"] * 2


@on_loop
async def test_a_batch_that_loses_it_does_not_go_on_upon_what_is_gone() -> None:
    lamp = Lamp()
    async with dispatching({"lamp": lamp}) as dispatch:
        before = await boot_of(dispatch)
        lamp.forgets = HardwareRestarted("it was switched off; nothing was set")
        requests = [{"command_id": "shine", "brightness": each} for each in (1, 2)]
        asked = {"requests": requests, "on_failure": "continue"}
        done = await say(dispatch, before, "link.batch", **asked)
        assert [each["code"] for each in done["result"]] == ["instrument_error", "restarted"]
        assert lamp.executed == []


@pytest.mark.parametrize("end", [".2", ".x", ".", ".-1", ".1.1", ".²", "." + "9" * 60, "x"])
@on_loop
async def test_a_name_that_was_never_given_is_that_of_no_start(end: str) -> None:
    lamp = Lamp()
    async with dispatching({"lamp": lamp}) as dispatch:
        before = await boot_of(dispatch)
        await lose_and_find(dispatch, lamp)
        refused = await say(dispatch, before + end, brightness=1)
        assert refused["error"].startswith("the server has started anew: ")
