"""What exchanges cost, as an observer counts it and `link.status` shows it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from artiq_link.errors import Busy
from artiq_link.exchanges.costs import MAX_NAMES, MAX_SAMPLES, OTHERS, SPAN, Costs
from artiq_link.exchanges.exchange import Exchange, Moment, by_moment
from artiq_link.exchanges.messages import Reply, Request
from tests.exchanges.asking import Laser, ask, busy, dispatching, on_loop

NOW = 1000.0


def ended(
    name: str,
    *,
    queue: float = 0.0,
    command: float | None = 0.0,
    end: float = NOW,
    is_failure: bool = False,
) -> Exchange:
    """An exchange that has come to its end; with None for `command`, without having started."""
    exchange = Exchange(Request(name, {}), arrived=end - (command or 0.0) - queue)
    exchange.started_at = None if command is None else end - command
    exchange.finished_at = end
    exchange.outcome = Reply(error=Busy("full")) if is_failure else Reply()
    return exchange


def costs_of(*exchanges: Exchange, now: float = NOW) -> dict[str, Any]:
    costs = Costs({"a", "b"}.__contains__, clock=lambda: now)
    for exchange in exchanges:
        costs.note(exchange, Moment.FINISHED)
    return costs.describe()


def test_the_percentiles_of_a_hundred_exchanges_are_times_of_theirs() -> None:
    """By nearest rank: the 50th and the 99th of those in order, whatever order they came in."""
    exchanges = [ended("a", queue=n, command=n / 1000) for n in range(100, 0, -1)]
    assert costs_of(*exchanges) == {
        "a": {
            "exchanges": 100,
            "failed": 0,
            "queue": {"p50": 50.0, "p99": 99.0},
            "command": {"p50": 0.05, "p99": 0.099},
            "all": {"p50": 50.05, "p99": 99.099},
        }
    }


def test_one_exchange_is_its_own_median() -> None:
    cost = costs_of(ended("a", queue=0.25, command=0.5))["a"]
    assert cost["queue"] == {"p50": 0.25, "p99": 0.25}
    assert cost["command"] == {"p50": 0.5, "p99": 0.5}
    assert cost["all"] == {"p50": 0.75, "p99": 0.75}


def test_each_command_has_its_own_costs() -> None:
    costs = costs_of(ended("b"), ended("a"), ended("b"))
    assert {name: cost["exchanges"] for name, cost in costs.items()} == {"b": 2, "a": 1}


def test_what_was_not_started_has_waited_all_its_time() -> None:
    """It has no time in the command, and is not counted there with a zero."""
    waited = ended("a", queue=3.0, command=None, is_failure=True)
    assert costs_of(waited)["a"] == {
        "exchanges": 1,
        "failed": 1,
        "queue": {"p50": 3.0, "p99": 3.0},
        "command": None,
        "all": {"p50": 3.0, "p99": 3.0},
    }
    assert costs_of(waited, ended("a", command=2.0))["a"]["command"] == {"p50": 2.0, "p99": 2.0}


def test_a_minute_is_looked_back_on() -> None:
    """What is older is forgotten, of a command and with the command."""
    old, new = ended("a", command=7.0, end=NOW), ended("a", command=1.0, end=NOW + 30)
    cost = costs_of(old, new, now=NOW + SPAN + 1)["a"]
    assert cost["exchanges"] == 1
    assert cost["all"] == {"p50": 1.0, "p99": 1.0}
    assert costs_of(old, new, now=NOW + SPAN)["a"]["exchanges"] == 2
    assert costs_of(old, new, now=NOW + 31 + SPAN) == {}


def test_all_are_counted_though_the_newest_are_timed() -> None:
    """However many there were, memory and the work of telling them are bounded."""
    old = [ended("a", command=9.0)] * MAX_SAMPLES
    new = [ended("a", command=1.0, is_failure=True)] * MAX_SAMPLES
    cost = costs_of(*old, *new)["a"]
    assert (cost["exchanges"], cost["failed"]) == (2 * MAX_SAMPLES, MAX_SAMPLES)
    assert cost["command"] == {"p50": 1.0, "p99": 1.0}


def test_names_that_no_command_has_count_as_one() -> None:
    """Clients cannot fill the memory with names."""
    costs = costs_of(*(ended(f"name{n}") for n in range(1000)), ended("a"))
    assert {name: cost["exchanges"] for name, cost in costs.items()} == {OTHERS: 1000, "a": 1}


def test_more_commands_than_are_kept_apart_count_as_one() -> None:
    names = [f"command{n}" for n in range(2 * MAX_NAMES)]
    costs = Costs(set(names).__contains__, clock=lambda: NOW)
    for name in names:
        costs.note(ended(name), Moment.FINISHED)
    assert len(costs.describe()) == MAX_NAMES + 1
    assert costs.describe()[OTHERS]["exchanges"] == MAX_NAMES


def test_an_exchange_is_counted_at_its_end_alone() -> None:
    note = Costs({"a"}.__contains__).note
    told = by_moment([note])
    assert {moment for moment in Moment if told[moment]} == {Moment.FINISHED, Moment.REFUSED}


@pytest.fixture
def restless_threads() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("restless_threads")
def test_none_is_lost_between_threads() -> None:
    """Workers and the event loop note at the same time, in any order, and somebody looks."""
    costs = Costs({"a"}.__contains__, clock=lambda: NOW)
    threads, count = 4, 2000
    go_on = threading.Barrier(threads)

    def note(number: int) -> None:
        go_on.wait()
        for n in range(count):
            costs.note(ended("a", end=NOW - (n + number) % 7), Moment.FINISHED)
            if n % 20 == 0:
                costs.describe()

    noting = [threading.Thread(target=note, args=(number,)) for number in range(threads)]
    for thread in noting:
        thread.start()
    for thread in noting:
        thread.join()
    assert costs.describe()["a"]["exchanges"] == threads * count


@on_loop
async def test_the_status_has_the_costs_of_what_was_asked() -> None:
    """By the names that were asked for."""
    async with dispatching({"laser": Laser()}) as dispatch:
        assert (await ask(dispatch, "link.status"))["result"]["costs"] == {}
        for power in (1, 2, 3, "much"):
            await ask(dispatch, "set_power", power=power)
        await ask(dispatch, "laser.set_power", power=1)
        await ask(dispatch, "fail")
        await ask(dispatch, "qqq")
        await ask(dispatch, "")
        costs = (await ask(dispatch, "link.status"))["result"]["costs"]
        ends = {name: (cost["exchanges"], cost["failed"]) for name, cost in costs.items()}
    assert ends == {
        "link.status": (1, 0),
        "set_power": (4, 2),
        "laser.set_power": (1, 0),
        "fail": (1, 1),
        OTHERS: (2, 2),
    }
    for kind in ("queue", "command", "all"):
        times = costs["set_power"][kind]
        assert 0 <= times["p50"] <= times["p99"] <= costs["set_power"]["all"]["p99"]
    assert costs[OTHERS]["command"] is None


@on_loop
async def test_what_runs_is_not_counted_yet() -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        running = await busy(dispatch, laser)
        assert (await ask(dispatch, "link.status"))["result"]["costs"] == {}
        laser.go_on.set()
        await running.reply()
        assert "wait" in (await ask(dispatch, "link.status"))["result"]["costs"]


@on_loop
async def test_a_new_dispatch_starts_anew() -> None:
    """As a restarted server does."""
    async with dispatching({"laser": Laser()}) as dispatch:
        await ask(dispatch, "look")
    async with dispatching({"laser": Laser()}) as dispatch:
        assert (await ask(dispatch, "link.status"))["result"]["costs"] == {}
