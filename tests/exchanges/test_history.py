"""``link.history``: what became of all exchanges."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from artiq_link.exchanges import history
from artiq_link.exchanges.dispatch import Dispatch
from artiq_link.exchanges.journal import Journal
from artiq_link.exchanges.journal_file import JournalFile
from artiq_link.exchanges.messages import LinkMembers
from artiq_link.exchanges.registry import Registry
from tests.exchanges.asking import Asked, Laser, ask, dispatching, on_loop


@asynccontextmanager
async def journalled(path: Path) -> AsyncIterator[Dispatch]:
    registry = Registry({"laser": (laser := Laser())})
    journal = Journal(registry, path)
    async with dispatching({"laser": laser}, registry=registry, journal=journal) as dispatch:
        yield dispatch
    await asyncio.to_thread(journal.close)


async def listed(dispatch: Dispatch, **which: Any) -> list[dict[str, Any]]:
    reply = await ask(dispatch, "link.history", **which)
    assert reply["status"] == "success", reply
    entries: list[dict[str, Any]] = reply["result"]
    return entries


@on_loop
async def test_each_exchange_is_listed_with_who_what_when_and_what_it_came_to(
    tmp_path: Path,
) -> None:
    """As soon as its reply is there."""
    async with journalled(tmp_path / "journal.sqlite") as dispatch:
        link = LinkMembers(id="a1", rid=7, owner="Ada")
        await Asked(dispatch, "set_power", {"power": 1}, link).reply()
        (entry,) = await listed(dispatch)
        boot = (await ask(dispatch, "link.status"))["result"]["boot"]
        for time in ("received", "queue", "duration"):
            assert entry.pop(time) >= 0
        assert entry == {
            "n": 1,
            "id": "a1",
            "boot": boot,
            "peer": "nobody",
            "dialect": "",
            "instrument": "laser",
            "command": "set_power",
            "parameters": {"power": 1},
            "owner": "Ada",
            "rid": 7,
            "outcome": "done",
            "result": 1.0,
        }


@on_loop
async def test_what_is_looked_for_is_listed(tmp_path: Path) -> None:
    async with journalled(tmp_path / "journal.sqlite") as dispatch:
        await ask(dispatch, "set_power", power=1)
        await ask(dispatch, "laser.set_power", power=1)
        await ask(dispatch, "fail")
        await ask(dispatch, "set_pwer")
        commands = {
            name: [entry["command"] for entry in await listed(dispatch, **which)]
            for name, which in {
                "failed": {"failed": True},
                "named": {"command": "set_power"},
                "last": {"limit": 1},
                "after": {"after": 2, "limit": 1},
                "before": {"before": 3, "limit": 1},
                "recent": {"since": 60},
                "slow": {"slow": 60},
                "run": {"rid": 1},
            }.items()
        }
        assert commands == {
            "failed": ["fail", "set_pwer"],
            "named": ["set_power", "laser.set_power"],
            "last": ["set_pwer"],
            "after": ["fail"],
            "before": ["laser.set_power"],
            "recent": ["set_power", "laser.set_power", "fail", "set_pwer"],
            "slow": [],
            "run": [],
        }


@on_loop
async def test_no_more_is_listed_than_can_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is there for who goes on asking, whichever way."""
    monkeypatch.setattr(history, "MAX_TEXT", 1500)
    async with journalled(tmp_path / "journal.sqlite") as dispatch:
        for _ in range(5):
            await ask(dispatch, "set_power", power=1)
        assert [entry["n"] for entry in await listed(dispatch)] == [4, 5]
        assert [entry["n"] for entry in await listed(dispatch, before=4)] == [2, 3]
        assert [entry["n"] for entry in await listed(dispatch, after=0)] == [1, 2]
        monkeypatch.setattr(history, "MAX_TEXT", 1)
        assert [entry["n"] for entry in await listed(dispatch)] == [5]


@on_loop
async def test_a_file_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    async with journalled(tmp_path / "journal.sqlite") as dispatch:
        monkeypatch.setattr(JournalFile, "select", fail)
        reply = await ask(dispatch, "link.history")
        assert (reply["code"], reply["error"]) == (
            "internal_error",
            "the journal cannot be read: database disk image is malformed",
        )


@pytest.mark.parametrize("name", ["rid", "after", "before"])
@on_loop
async def test_numbers_that_no_row_can_have_find_what_they_say(tmp_path: Path, name: str) -> None:
    async with journalled(tmp_path / "journal.sqlite") as dispatch:
        await ask(dispatch, "set_power", power=1)
        assert (everything := await listed(dispatch))
        for number in (2**63 - 1, 2**63, 10**30):
            found = await listed(dispatch, **{name: number})
            assert found[: len(everything)] == (everything if name == "before" else [])
        reply = await ask(dispatch, "link.history", **{name: -1})
        assert (reply["code"], reply["where"]) == ("out_of_range", name)
