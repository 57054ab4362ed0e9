"""The guard against a restart that nobody noticed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from artiq_link.exchanges.journal import Journal
from artiq_link.exchanges.messages import LinkMembers
from artiq_link.exchanges.registry import Registry
from tests.exchanges.asking import Asked, Laser, ask, dispatching, failure, on_loop


@on_loop
async def test_who_talked_to_an_earlier_start_is_refused() -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        boot = (await ask(dispatch, "link.status"))["result"]["boot"]
        earlier = Asked(dispatch, "set_power", {"power": 1}, LinkMembers(boot="earlier"))
        assert await earlier.reply() == {
            **failure(
                "set_power",
                "restarted",
                "the server has started anew: what was set before may be gone; the command was "
                "not executed",
            ),
            "link": {"boot": boot},
        }
        assert laser.executed == []
        now = Asked(dispatch, "set_power", {"power": 1}, LinkMembers(boot=boot))
        reply = await now.reply()
        assert (reply["status"], reply["link"]) == ("success", {"boot": boot})
        assert "link" not in await ask(dispatch, "link.ping")


@on_loop
async def test_who_only_watches_is_answered() -> None:
    """How else could it learn the new start's name?"""
    async with dispatching({"laser": Laser()}) as dispatch:
        for command_id in ("link.status", "link.ping"):
            reply = await Asked(dispatch, command_id, {}, LinkMembers(boot="earlier")).reply()
            assert reply["status"] == "success"
        batch = Asked(dispatch, "link.batch", {"requests": []}, LinkMembers(boot="earlier"))
        assert (await batch.reply())["code"] == "restarted"


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
