"""``link.metrics``: what a server tells of itself in numbers."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from artiq_link import Instrument, Link, command, serve_in_background, unknown
from artiq_link.errors import HardwareLost, InstrumentError
from artiq_link.exchanges.costs import MAX_CODES, MAX_NAMES, OTHERS
from artiq_link.exchanges.dispatch import Dispatch
from artiq_link.exchanges.journal import Journal
from artiq_link.exchanges.registry import Registry
from artiq_link.version import __version__
from tests.exchanges.asking import Laser, ask, busy, dispatching, on_loop


def families_of(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


async def metrics_of(dispatch: Dispatch) -> dict[str, Metric]:
    return families_of((await ask(dispatch, "link.metrics"))["result"])


def samples(family: Metric, name: str = "") -> dict[tuple[str, ...], float]:
    """The values by the labels' texts, of the samples of one name, or of all."""
    return {
        tuple(sample.labels.values()): sample.value
        for sample in family.samples
        if name in {"", sample.name}
    }


@on_loop
async def test_exchanges_are_counted_by_command_and_outcome() -> None:
    """Under the instrument's name, whether the request has it or not."""
    async with dispatching({"laser": Laser()}) as dispatch:
        for power in (1, 2, 3, "much"):
            await ask(dispatch, "set_power", power=power)
        await ask(dispatch, "laser.set_power", power=1)
        await ask(dispatch, "link.ping")
        await ask(dispatch, "qqq")
        told = await metrics_of(dispatch)
    assert samples(told["artiq_link_exchanges"]) == {
        ("laser", "set_power", "success"): 3,
        ("laser", "set_power", "out_of_range"): 1,
        ("laser", "set_power", "invalid_parameter"): 1,
        ("", "link.ping", "success"): 1,
        ("", OTHERS, "success"): 0,
        ("", OTHERS, "unknown_command"): 1,
    }


@on_loop
async def test_what_interact_has_in_its_text_is_counted_by_name() -> None:
    def interact(data: dict[str, Any]) -> Any:
        if data["command_id"] == "lasers_off":
            return "dark"
        return unknown(data)

    async with dispatching({"laser": Laser()}, interact) as dispatch:
        for name in ("lasers_off", "lasers_of", "qqq"):
            await ask(dispatch, name)
        told = await metrics_of(dispatch)
    assert samples(told["artiq_link_exchanges"]) == {
        ("", "lasers_off", "success"): 1,
        ("", OTHERS, "success"): 0,
        ("", OTHERS, "unknown_command"): 2,
    }


@on_loop
async def test_times_are_counted_since_the_start() -> None:
    """What was refused when it came has waited, and never ran."""
    async with dispatching({"laser": Laser()}) as dispatch:
        for _ in range(700):
            await ask(dispatch, "look")
        await ask(dispatch, "qqq")
        told = await metrics_of(dispatch)
    for name, none in (("artiq_link_queue_seconds", 1), ("artiq_link_command_seconds", 0)):
        counts = samples(told[name], f"{name}_count")
        assert counts == {("laser", "look"): 700, ("", OTHERS): none}
        buckets = samples(told[name], f"{name}_bucket")
        assert buckets["laser", "look", "+Inf"] == 700
        assert buckets["laser", "look", "100.0"] == 700
        assert samples(told[name], f"{name}_sum")["laser", "look"] > 0
        bounds = [bound for _, command_id, bound in buckets if command_id == "look"]
        assert bounds[:4] == ["0.0001", "0.00025", "0.0005", "0.001"]
        assert bounds[-3:] == ["50.0", "100.0", "+Inf"]
        assert len(bounds) == 20


@on_loop
async def test_what_an_instrument_does_is_told_while_it_does_it() -> None:
    laser = Laser()
    async with dispatching({"laser": laser, "other": Laser()}) as dispatch:
        await busy(dispatch, laser, "laser.wait")
        waiting = [ask(dispatch, "laser.set_power", power=1) for _ in range(3)]
        for each in waiting:
            each.send(None)  # submitted
        told = await metrics_of(dispatch)
        while not (seconds := samples(told["artiq_link_running_seconds"]))["laser",]:
            told = await metrics_of(dispatch)  # it is rounded
        for each in waiting:
            each.close()
    assert seconds["other",] == 0
    assert samples(told["artiq_link_busy"]) == {("laser",): 1, ("other",): 0}
    assert samples(told["artiq_link_waiting"]) == {("laser",): 3, ("other",): 0}
    assert samples(told["artiq_link_lost"]) == {("laser",): 0, ("other",): 0}


@on_loop
async def test_a_lease_is_told_with_its_end_and_without_its_owner() -> None:
    async with dispatching({"laser": Laser(), "other": Laser()}) as dispatch:
        lease = (await ask(dispatch, "link.acquire", instrument="laser", owner="Eve", seconds=60))[
            "result"
        ]
        text = (await ask(dispatch, "link.metrics"))["result"]
    told = families_of(text)
    assert samples(told["artiq_link_lease_held"]) == {("laser",): 1, ("other",): 0}
    assert samples(told["artiq_link_lease_end_seconds"]) == {("laser",): lease["until"]}
    assert "Eve" not in text


class Pulled(Instrument):
    """Its cable can be pulled."""

    is_there = True

    def open_hardware(self) -> None:
        if not self.is_there:
            raise InstrumentError("nothing answers")

    @command
    def pull(self) -> None:
        """Pull it."""
        self.is_there = False
        raise HardwareLost("the cable was pulled")


@on_loop
async def test_lost_hardware_is_told() -> None:
    async with dispatching({"pulled": Pulled()}) as dispatch:
        assert samples((await metrics_of(dispatch))["artiq_link_lost"]) == {("pulled",): 0}
        await ask(dispatch, "pull")
        assert samples((await metrics_of(dispatch))["artiq_link_lost"]) == {("pulled",): 1}


@on_loop
async def test_the_journal_is_told(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    registry = Registry({"laser": Laser()})
    journal = Journal(registry, path)
    async with dispatching({}, registry=registry, journal=journal) as dispatch:
        await ask(dispatch, "set_power", power=1)
        told = await metrics_of(dispatch)
        names = ("problem", "lost", "waiting", "bytes")
        values = [
            value
            for name in names
            for value in samples(told[f"artiq_link_journal_{name}"]).values()
        ]
        (info,) = told["artiq_link"].samples
    journal.close()
    assert values[:2] == [0, 0]
    assert values[2] in {0, 1}
    assert values[3] >= 4096
    assert info.labels == {"version": __version__, "boot": journal.boot}


@on_loop
async def test_without_a_file_the_journal_has_no_size() -> None:
    async with dispatching({"laser": Laser()}) as dispatch:
        told = await metrics_of(dispatch)
    assert "artiq_link_journal_bytes" not in told
    assert samples(told["artiq_link_journal_problem"]) == {(): 0}


@on_loop
async def test_a_journal_that_fails_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    registry = Registry({"laser": Laser()})
    journal = Journal(registry, tmp_path / "file" / "journal.sqlite")
    async with dispatching({}, registry=registry, journal=journal) as dispatch:
        told = await metrics_of(dispatch)
    assert samples(told["artiq_link_journal_problem"]) == {(): 1}
    assert "artiq_link_journal_bytes" not in told


def test_a_server_tells_its_connections_and_its_start() -> None:
    before = time.time()
    with serve_in_background({"laser": Laser()}) as server:
        with contextlib.ExitStack() as kept:
            for _ in range(3):
                link = kept.enter_context(Link("127.0.0.1", server.port))
                assert link.call("link.ping")
            told = families_of(link.call("link.metrics"))
    assert samples(told["artiq_link_connections"]) == {(): 3}
    assert before <= samples(told["artiq_link_start_time_seconds"])[()] <= time.time()


class Oven(Instrument):
    """It has a state, which a test sets."""

    state_units: ClassVar[Mapping[str, str]] = {"power": "W"}

    def __init__(self, state: Any) -> None:
        self.known = state
        self.readings = 0

    def state(self) -> Any:
        self.readings += 1
        if isinstance(self.known, Exception):
            raise self.known
        return self.known

    @command
    def set_power(self, power: float) -> None:
        """Set the power."""
        self.known = {**self.known, "power": power}


@on_loop
async def test_the_numbers_of_a_state_are_those_of_now() -> None:
    """Also for who looks for the first time."""
    async with dispatching({"oven": Oven({"power": 1.5, "door": {"open": True}})}) as dispatch:
        first = samples((await metrics_of(dispatch))["artiq_link_state"])
        await ask(dispatch, "set_power", power=2.5)
        second = samples((await metrics_of(dispatch))["artiq_link_state"])
    assert first == {("oven", "power", "W"): 1.5, ("oven", "door.open", ""): 1}
    assert second == {("oven", "power", "W"): 2.5, ("oven", "door.open", ""): 1}


@on_loop
async def test_nobody_reads_a_state_before_somebody_looks() -> None:
    oven = Oven({"power": 1.5})
    async with dispatching({"oven": oven}) as dispatch:
        await ask(dispatch, "set_power", power=2.5)
        assert oven.readings == 0
        await ask(dispatch, "link.metrics")
        assert oven.readings > 0


@on_loop
async def test_names_in_a_state_forge_no_number() -> None:
    hostile = 'x"} 1\nforged{a="'
    state = {hostile: {"a.b": 1}, "\x1b[2J": 2, "nothing": None, "text": "1"}
    async with dispatching({"oven": Oven(state)}) as dispatch:
        told = await metrics_of(dispatch)
    assert set(samples(told["artiq_link_state"]).values()) == {1, 2}
    assert "forged" not in told


@pytest.mark.parametrize(
    "state", [RuntimeError("no state today"), {"power": float("nan")}, {"power": object()}]
)
@on_loop
async def test_a_state_that_cannot_be_read_is_told(state: Any) -> None:
    async with dispatching({"oven": Oven(state), "laser": Laser()}) as dispatch:
        told = await metrics_of(dispatch)
    assert samples(told["artiq_link_state_problem"]) == {("oven",): 1, ("laser",): 0}
    assert samples(told["artiq_link_state"]) == {}


@on_loop
async def test_a_state_with_an_array_costs_its_other_numbers_nothing() -> None:
    state = {"trace": list(range(100_000)), "power": 1.5}
    async with dispatching({"oven": Oven(state)}) as dispatch:
        text = (await ask(dispatch, "link.metrics"))["result"]
    told = families_of(text)
    assert samples(told["artiq_link_state"])["oven", "power", "W"] == 1.5
    assert samples(told["artiq_link_state_cut"]) == {("oven",): 1}
    assert len(text) < 150_000


@on_loop
async def test_everything_has_a_sentence_and_only_known_labels() -> None:
    """What could grow without a bound, such as owners and addresses, is no label."""
    async with dispatching({"laser": Laser()}) as dispatch:
        told = await metrics_of(dispatch)
    for family in told.values():
        assert family.documentation.endswith(".")
        assert family.name.startswith("artiq_link")
        for sample in family.samples:
            known = {"instrument", "command", "outcome", "le", "path", "unit", "version", "boot"}
            assert sample.labels.keys() <= known


@on_loop
async def test_hostile_names_cost_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """However many names are asked for, and whatever they hold."""
    async with dispatching({"laser": Laser()}) as dispatch:
        few = (await ask(dispatch, "link.metrics"))["result"]
        for n in range(5000):
            await ask(dispatch, f'x{n}"}} 1\n# EOF\n\x1b[2J')
        many = (await ask(dispatch, "link.metrics"))["result"]
    assert (
        samples(families_of(many)["artiq_link_exchanges"])["", OTHERS, "unknown_command"] == 5000
    )
    assert len(many.splitlines()) <= len(few.splitlines()) + 2 * 45 + 10


def instrument_with(count: int) -> Instrument:
    """One with many commands."""

    def work(self: Any) -> None:
        """Work."""

    commands = {f"work{n}": command(work) for n in range(count)}
    made: Instrument = type("Many", (Instrument,), commands)()
    return made


@on_loop
async def test_a_lab_with_many_commands_has_bounded_metrics() -> None:
    async with dispatching({"many": instrument_with(200)}) as dispatch:
        for n in range(200):
            await ask(dispatch, f"work{n}")
        text = (await ask(dispatch, "link.metrics"))["result"]
    counts = samples(families_of(text)["artiq_link_exchanges"])
    assert sum(counts.values()) == 200
    assert counts["", OTHERS, "success"] == 200 - MAX_NAMES
    assert len(text) < 300_000


class Oddities(Instrument):
    """Its errors have a code each."""

    count = 0

    @command
    def fail(self) -> None:
        """Fail in a new way."""
        self.count += 1
        error = InstrumentError("odd")
        error.code = f'odd "{self.count}"\n'
        raise error


@on_loop
async def test_codes_without_end_count_as_one() -> None:
    async with dispatching({"odd": Oddities()}) as dispatch:
        for _ in range(3 * MAX_CODES):
            await ask(dispatch, "fail")
        counts = samples((await metrics_of(dispatch))["artiq_link_exchanges"])
    assert len(counts) == MAX_CODES + 2
    assert counts["odd", "fail", OTHERS] == 2 * MAX_CODES
    assert counts["odd", "fail", 'odd "1"\\n'] == 1


@on_loop
async def test_they_are_written_in_a_thread_of_their_own() -> None:
    """The event loop goes on meanwhile."""
    async with dispatching({"laser": Laser()}) as dispatch:
        await ask(dispatch, "link.metrics")
        assert "worker link.metrics" in {thread.name for thread in threading.enumerate()}
