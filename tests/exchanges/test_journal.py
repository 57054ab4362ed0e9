"""The journal as a guard and as an observer: nothing twice, and what became of it is known."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artiq_link import Instrument, InstrumentError, command
from artiq_link.exchanges import journal as journal_module
from artiq_link.exchanges.dispatch import Dispatch
from artiq_link.exchanges.journal import Journal
from artiq_link.exchanges.journal_file import JournalFile
from artiq_link.exchanges.messages import LinkMembers
from artiq_link.exchanges.registry import Registry
from tests.conftest import until
from tests.exchanges.asking import Asked, Laser, ask, busy, dispatching, failure, on_loop, success


class Counter(Instrument):
    """Counts, and returns one list that it changes."""

    def __init__(self) -> None:
        self.counted = 0
        self.list: list[int] = []

    @command
    def count(self, by: int = 1) -> int:
        """Count on."""
        self.counted += by
        return self.counted

    @command
    def grow(self) -> list[int]:
        """Return a list that has one member more each time."""
        self.list.append(len(self.list))
        return self.list

    @command
    def jam(self) -> None:
        """Fail, having counted."""
        self.counted += 1
        raise InstrumentError("it is jammed")

    @command
    def picture(self, size: int) -> Any:
        """Return an array."""
        self.counted += 1
        return np.zeros(size)


@asynccontextmanager
async def journalled(path: Path | None = None) -> AsyncIterator[tuple[Dispatch, Counter, Laser]]:
    """A dispatch with a journal, which is closed at the end as a server does it."""
    counter, laser = Counter(), Laser()
    registry = Registry({"counter": counter, "laser": laser})
    journal = Journal(registry, path)
    try:
        async with dispatching(
            {"counter": counter, "laser": laser}, registry=registry, journal=journal
        ) as dispatch:
            yield dispatch, counter, laser
    finally:
        await asyncio.to_thread(journal.close)


@pytest.fixture(params=["in memory", "in a file"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "journal.sqlite" if request.param == "in a file" else None


def named(name: str = "a1", **more: Any) -> LinkMembers:
    return LinkMembers(id=name, **more)


async def outcome(dispatch: Dispatch, name: str = "a1") -> dict[str, Any]:
    reply = await ask(dispatch, "link.outcome", id=name)
    told: dict[str, Any] = reply["result"]
    told.pop("received", None)
    told.pop("known_for", None)
    return told


@on_loop
async def test_a_repeated_request_gets_its_reply_and_is_not_executed(path: Path | None) -> None:
    async with journalled(path) as (dispatch, counter, _):
        replies = [await Asked(dispatch, "count", {"by": 2}, named()).reply() for _ in range(3)]
        assert replies == [{**success("count", 2), "id": "a1"}] * 3
        assert counter.counted == 2
        assert await Asked(dispatch, "count", {"by": 2}, named("a2")).reply() == {
            **success("count", 4),
            "id": "a2",
        }
        assert await ask(dispatch, "count") == await ask(dispatch, "count") | {"result": 5}


@on_loop
async def test_a_failure_is_repeated_as_it_was(path: Path | None) -> None:
    async with journalled(path) as (dispatch, counter, _):
        for _ in range(2):
            reply = await Asked(dispatch, "jam", {}, named()).reply()
            assert reply == {**failure("jam", "instrument_error", "it is jammed"), "id": "a1"}
        assert counter.counted == 1


@on_loop
async def test_the_reply_is_the_one_of_then() -> None:
    """The command has changed since what it returned."""
    async with journalled() as (dispatch, _, _):
        first = await Asked(dispatch, "grow", {}, named()).reply()
        await ask(dispatch, "grow")
        assert await Asked(dispatch, "grow", {}, named()).reply() == first
        assert first["result"] == [0]


@on_loop
async def test_a_result_that_was_not_kept_is_not_fetched_again() -> None:
    async with journalled() as (dispatch, counter, _):
        first = await Asked(dispatch, "picture", {"size": 10**5}, named()).reply()
        assert first["status"] == "success"
        again = await Asked(dispatch, "picture", {"size": 10**5}, named()).reply()
        assert again["code"] == "unknown_outcome"
        assert counter.counted == 1
        assert await outcome(dispatch) == {"outcome": "done", "command_id": "picture"}


@on_loop
async def test_the_repeat_of_a_running_command_waits_for_its_reply(path: Path | None) -> None:
    async with journalled(path) as (dispatch, _, laser):
        first = Asked(dispatch, "wait", {}, named())
        assert await asyncio.to_thread(laser.started.wait, 20)
        repeats = [Asked(dispatch, "wait", {}, named()) for _ in range(2)]
        assert await outcome(dispatch) == {"outcome": "running", "command_id": "wait"}
        assert [each.replies for each in (first, *repeats)] == [[], [], []]
        laser.go_on.set()
        replies = [await each.reply() for each in (first, *repeats)]
        assert replies == [{**success("wait", "waited"), "id": "a1"}] * 3
        assert laser.executed == ["wait"]


@on_loop
async def test_a_repeat_that_gives_up_is_told_that_the_command_goes_on() -> None:
    """Not that it was not started: it may be."""
    async with journalled() as (dispatch, _, laser):
        await busy(dispatch, laser)
        first = Asked(dispatch, "set_power", {"power": 1}, named())
        repeat = Asked(dispatch, "set_power", {"power": 1}, named(timeout=0.02))
        assert await repeat.reply() == {
            **failure("set_power", "timeout", "set_power has not finished in 0.02 s; it goes on"),
            "id": "a1",
        }
        laser.go_on.set()
        assert (await first.reply())["status"] == "success"
        assert laser.executed == ["wait", 1.0]
        assert len(repeat.replies) == 1


@on_loop
async def test_a_repeat_is_executed_where_the_first_is_withdrawn() -> None:
    """Its client has gone while it waited; the one that repeats it is there."""
    async with journalled() as (dispatch, _, laser):
        await busy(dispatch, laser)
        first = Asked(dispatch, "set_power", {"power": 1}, named())
        repeats = [Asked(dispatch, "set_power", {"power": 1}, named()) for _ in range(2)]
        gone = Asked(dispatch, "set_power", {"power": 1}, named())
        dispatch.abandon(gone.exchange)
        dispatch.abandon(first.exchange)
        laser.go_on.set()
        for repeat in repeats:
            assert (await repeat.reply())["result"] == 1.0
        assert laser.executed == ["wait", 1.0]
        assert gone.replies == first.replies == []


@on_loop
async def test_what_was_refused_may_be_tried_again(path: Path | None) -> None:
    async with journalled(path) as (dispatch, _, laser):
        running = await busy(dispatch, laser)
        late = Asked(dispatch, "set_power", {"power": 1}, named(timeout=0.02))
        assert (await late.reply())["code"] == "expired"
        told = await outcome(dispatch)
        assert told["outcome"] == "refused"
        assert told["reply"]["code"] == "expired"
        laser.go_on.set()
        await running.reply()
        assert (await Asked(dispatch, "set_power", {"power": 1}, named()).reply())["result"] == 1.0
        assert laser.executed == ["wait", 1.0]


def taken(command_id: str) -> str:
    return (
        f"link.id: 'a1' is that of another request, for {command_id}: give each request an id of "
        "its own"
    )


@pytest.mark.parametrize(
    ("command_id", "parameters"), [("count", {"by": 3}), ("count", {}), ("jam", {"by": 2})]
)
def test_an_id_is_one_requests(command_id: str, parameters: dict[str, Any]) -> None:
    @on_loop
    async def test() -> None:
        async with journalled() as (dispatch, counter, _):
            first = await Asked(dispatch, "count", {"by": 2}, named()).reply()
            reply = await Asked(dispatch, command_id, parameters, named()).reply()
            assert (reply["code"], reply["error"]) == ("malformed", taken("count"))
            # That refusal has not taken the id from the first one.
            assert await Asked(dispatch, "count", {"by": 2}, named()).reply() == first
            assert counter.counted == 2

    test()


@on_loop
async def test_an_id_is_one_requests_from_the_moment_it_came() -> None:
    async with journalled() as (dispatch, _, laser):
        await busy(dispatch, laser)
        first = Asked(dispatch, "set_power", {"power": 1}, named())
        other = await Asked(dispatch, "set_power", {"power": 2}, named()).reply()
        assert (other["code"], other["error"]) == ("malformed", taken("set_power"))
        laser.go_on.set()
        assert (await first.reply())["result"] == 1.0
        assert laser.executed == ["wait", 1.0]


@on_loop
async def test_the_order_of_parameters_makes_no_other_request() -> None:
    async with journalled() as (dispatch, counter, _):
        requests = [{"command_id": "count"}]
        for parameters in (
            {"requests": requests, "check": True},
            {"check": True, "requests": requests},
        ):
            reply = await Asked(dispatch, "link.batch", parameters, named()).reply()
            assert reply["result"][0]["result"] == 1
        assert counter.counted == 1


@on_loop
async def test_what_only_watches_is_not_kept(tmp_path: Path) -> None:
    async with journalled(tmp_path / "journal.sqlite") as (dispatch, _, _):
        for command_id in ("link.ping", "link.status"):
            for _ in range(2):
                reply = await Asked(dispatch, command_id, {}, named()).reply()
                assert reply["status"] == "success"
        assert await outcome(dispatch) == {"outcome": "never_arrived"}
        assert (await ask(dispatch, "link.history"))["result"] == []


@on_loop
async def test_what_became_of_a_request_can_be_asked(path: Path | None) -> None:
    async with journalled(path) as (dispatch, _, _):
        await Asked(dispatch, "count", {}, named("done")).reply()
        await Asked(dispatch, "jam", {}, named("failed")).reply()
        await Asked(dispatch, "jm", {}, named("refused")).reply()
        for name, expected in {
            "done": success("count", 1),
            "failed": failure("jam", "instrument_error", "it is jammed"),
            "refused": failure(
                "jm", "unknown_command", "there is no command 'jm'; did you mean 'jam'?"
            ),
        }.items():
            assert await outcome(dispatch, name) == {
                "outcome": name,
                "command_id": expected["command_id"],
                "reply": {**expected, "id": name},
            }
        assert await outcome(dispatch, "other") == {"outcome": "never_arrived"}


@on_loop
async def test_what_memory_cannot_know_it_does_not_deny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file: how long it looks back; less far, once it has forgotten something."""
    monkeypatch.setattr(journal_module, "MAX_KNOWN", 2)
    async with journalled() as (dispatch, counter, _):
        long = (await ask(dispatch, "link.outcome", id="x"))["result"]["known_for"]
        received = []
        for name in "abc":
            asked = Asked(dispatch, "count", {}, named(name))
            await asked.reply()
            received.append((await ask(dispatch, "link.outcome", id=name))["result"]["received"])
        short = (await ask(dispatch, "link.outcome", id="x"))["result"]["known_for"]
        assert short >= 0
        assert received == sorted(received)
        assert (await outcome(dispatch, "a")) == {"outcome": "never_arrived"}
        assert (await outcome(dispatch, "b"))["outcome"] == "done"
        assert long < 20
        assert counter.counted == 3


@on_loop
async def test_what_memory_forgets_the_file_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At no moment is an exchange in neither of both."""
    monkeypatch.setattr(journal_module, "MAX_KNOWN", 3)
    async with journalled(tmp_path / "journal.sqlite") as (dispatch, counter, _):
        for number in range(200):
            for name in (number, max(0, number - 10), number // 2):
                await Asked(dispatch, "count", {}, named(str(name))).reply()
        assert counter.counted == 200


@on_loop
async def test_after_a_restart_all_is_known(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with journalled(path) as (dispatch, _, _):
        await Asked(dispatch, "count", {"by": 2}, named()).reply()
        await Asked(dispatch, "jam", {}, named("a2")).reply()
    async with journalled(path) as (dispatch, counter, _):
        reply = await Asked(dispatch, "count", {"by": 2}, named()).reply()
        assert reply == {**success("count", 2), "id": "a1"}
        reply = await Asked(dispatch, "jam", {}, named("a2")).reply()
        assert reply == {**failure("jam", "instrument_error", "it is jammed"), "id": "a2"}
        other = await Asked(dispatch, "count", {"by": 3}, named()).reply()
        assert other["code"] == "malformed"
        assert counter.counted == 0
        entries = (await ask(dispatch, "link.history"))["result"]
        assert [entry["command"] for entry in entries] == ["count", "jam", "count"]
        assert len({entry["boot"] for entry in entries}) == 2


@on_loop
async def test_what_ran_when_the_server_died_is_not_executed_again(tmp_path: Path) -> None:
    """The file is copied while the command runs: so the death of the process leaves it."""
    path, copy = tmp_path / "journal.sqlite", tmp_path / "copy.sqlite"
    async with journalled(path) as (dispatch, _, laser):
        Asked(dispatch, "wait", {}, named())
        assert await asyncio.to_thread(laser.started.wait, 20)
        for ending in ("", "-starts"):
            copied = (tmp_path / f"journal.sqlite{ending}").read_bytes()
            (tmp_path / f"copy.sqlite{ending}").write_bytes(copied)
        (tmp_path / "copy.sqlite-wal").write_bytes((tmp_path / "journal.sqlite-wal").read_bytes())
    async with journalled(copy) as (dispatch, _, laser):
        reply = await Asked(dispatch, "wait", {}, named()).reply()
        assert (reply["code"], reply["error"]) == (
            "unknown_outcome",
            "wait was running when the server ended; whether it was executed is not known: check "
            "the instrument before sending it again",
        )
        assert await outcome(dispatch) == {"outcome": "unknown", "command_id": "wait"}
        (entry, refusal) = (await ask(dispatch, "link.history"))["result"]
        assert (entry["outcome"], refusal["outcome"]) == ("unknown", "refused")
        assert laser.executed == []


@on_loop
async def test_what_was_told_is_known_though_the_server_dies_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database has no row yet when the files are copied."""
    monkeypatch.setattr(journal_module, "DELAY", 60.0)
    path, copy = tmp_path / "journal.sqlite", tmp_path / "copy.sqlite"
    async with journalled(path) as (dispatch, _, _):
        reply = await Asked(dispatch, "count", {}, named()).reply()
        for ending in ("", "-starts", "-wal"):
            copied = (tmp_path / f"journal.sqlite{ending}").read_bytes()
            (tmp_path / f"copy.sqlite{ending}").write_bytes(copied)
    async with journalled(copy) as (dispatch, counter, _):
        assert await Asked(dispatch, "count", {}, named()).reply() == reply
        assert (await outcome(dispatch))["outcome"] == "done"
        assert counter.counted == 0


# --- what is wrong with the file ----------------------------------------------------------------


async def status(dispatch: Dispatch) -> dict[str, Any]:
    told: dict[str, Any] = (await ask(dispatch, "link.status"))["result"]["journal"]
    return told


Damage = Callable[[Path], object]


def damage_schema(path: Path) -> None:
    """SQLite's own sentence then quotes what is no text."""
    JournalFile(path).close()
    written = path.read_bytes()
    assert b"CREATE TABLE exchanges" in written
    path.write_bytes(written.replace(b"CREATE TABLE exchanges", b"CREATE TABL\xc2 exchanges"))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: path.write_bytes(b"no journal" * 1000), "file is not a database"),
        (JournalFile, "another server has it open"),
        (Path.mkdir, "unable to open database file"),
        (damage_schema, "it is damaged"),
    ],
)
def test_a_file_that_cannot_be_opened_is_told_and_memory_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Damage, problem: str
) -> None:
    path = tmp_path / "journal.sqlite"
    kept = damage(path)

    @on_loop
    async def test() -> None:
        async with journalled(path) as (dispatch, counter, _):
            for _ in range(2):
                assert (await Asked(dispatch, "count", {}, named()).reply())["result"] == 1
            assert counter.counted == 1
            sentence = f"the journal cannot be opened: {problem}"
            assert await status(dispatch) == {
                "kept": "in memory",
                "problem": sentence,
                "lost": 0,
            }
            assert caplog.messages[0] == (
                f"{sentence} ({path}); a repeated request is known as long as this server runs, "
                "and not after"
            )
            assert (await ask(dispatch, "link.history"))["result"] == []

    test()
    if isinstance(kept, JournalFile):
        kept.close()


@on_loop
async def test_what_waits_to_be_written_takes_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long results are left out, of exchanges that are still known, and of them alone."""
    monkeypatch.setattr(journal_module, "RETRY_TIME", 0.001)
    monkeypatch.setattr(journal_module, "MAX_UNWRITTEN_MEMORY", 100_000)
    path = tmp_path / "journal.sqlite"
    async with journalled(path) as (dispatch, counter, _):
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for number in range(5):
            await Asked(dispatch, "picture", {"size": 5000}, named(f"long {number}")).reply()
        await Asked(dispatch, "count", {}, named("short")).reply()
        told = [await outcome(dispatch, f"long {number}") for number in range(5)]
        assert [each["outcome"] for each in told] == ["done"] * 5
        assert ["reply" in each for each in told] == [True, True, False, False, False]
        repeat = await Asked(dispatch, "picture", {"size": 5000}, named("long 4")).reply()
        assert repeat["code"] == "unknown_outcome"
        repeat = await Asked(dispatch, "count", {}, named("short")).reply()
        assert repeat["result"] == counter.counted == 6
        other.execute("ROLLBACK")
        other.close()
        await ask(dispatch, "link.history")  # writes what waits
        await Asked(dispatch, "picture", {"size": 5000}, named("later")).reply()
        assert "reply" in await outcome(dispatch, "later")


@on_loop
async def test_a_file_that_cannot_be_written_is_told_once_and_what_waits_is_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "RETRY_TIME", 0.001)
    monkeypatch.setattr(journal_module, "MAX_UNWRITTEN", 5)
    path = tmp_path / "journal.sqlite"
    async with journalled(path) as (dispatch, counter, _):
        await Asked(dispatch, "count", {}, named("before")).reply()
        # Another program holds the file, which then cannot be written, and gives it free again.
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for number in range(10):
            await Asked(dispatch, "count", {}, named(str(number))).reply()
        until(lambda: any("cannot be written" in each for each in caplog.messages))
        told = await status(dispatch)
        assert told["kept"] == "in memory"
        assert told["problem"] == "the journal cannot be written: database is locked"
        for number in range(10):
            await Asked(dispatch, "count", {}, named(str(number))).reply()
        assert counter.counted == 11
        other.execute("ROLLBACK")
        other.close()
        until(lambda: any("written again" in each for each in caplog.messages))
        told = await status(dispatch)
        assert (told["kept"], told["problem"]) == ("in a file", None)
        assert told["lost"] >= 5
    assert [each.levelno for each in caplog.records if "journal" in each.name] == [
        logging.ERROR,
        logging.WARNING,
    ]
