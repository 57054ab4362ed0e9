"""A DDS is set again to what it was set to last: in one update, and within today's limits."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from artiq_link import DDS, Channel, Link, OutOfRange, SimulatedDriver
from artiq_link.drivers.simulated import Write
from tests.conftest import PATIENCE, until
from tests.programs import first_line, running


def opened(channels: list[Channel] | None = None) -> tuple[DDS, list[Write]]:
    """A DDS, and what its driver writes from now on."""
    writes: list[Write] = []
    dds = DDS(SimulatedDriver(record=writes.append), channels)
    dds.open_hardware()
    writes.clear()
    return dds, writes


def saved(dds: DDS) -> Any:
    """What the journal's file gives back."""
    return json.loads(json.dumps(dds.last_settings()))


def tones(dds: DDS) -> list[Any]:
    members = ("name", "frequency", "phase", "amplitude", "phase_mode", "output")
    return [[state[member] for member in members] for state in dds.get_all()]


def test_all_that_was_set_comes_back_in_one_update() -> None:
    first, _ = opened()
    first.set(0, 80e6, 0.25, 0.5, "absolute")
    first.set(1, 90e6, amplitude=1.0)
    first.output(1, False)
    second, writes = opened()
    second.restore(saved(first))
    assert tones(second) == tones(first)
    assert next(write.register for write in writes if write.channel == 1) == "output"
    assert len({write.cycle for write in writes if write.register == "tone"}) == 1


def test_what_was_achieved_beyond_a_limit_by_half_a_step_comes_back() -> None:
    channels = [Channel("ch0", max_frequency=123456789.1, max_amplitude=0.30001)]
    first, _ = opened(channels)
    first.set(0, 123456789.1, amplitude=0.30001)
    second, _ = opened(channels)
    second.restore(saved(first))
    assert tones(second) == tones(first)


def test_a_channel_beyond_todays_limits_is_left_and_named() -> None:
    first, _ = opened()
    first.set(0, 80e6, amplitude=1.0)
    first.set(1, 90e6, amplitude=0.25)
    second, _ = opened([Channel("ch0", max_amplitude=0.5), Channel("ch1")])
    with pytest.raises(OutOfRange) as info:
        second.restore(saved(first))
    sentences = str(info.value).split("; ")
    assert sentences[0].startswith("'ch0': amplitude: 1")
    assert sentences[1].startswith("'ch2': channel: there is no channel 'ch2'")
    assert [state["amplitude"] for state in second.get_all()] == [0.0, second.get(1)["amplitude"]]
    assert second.get(1)["frequency"] == first.get(1)["frequency"]


def test_a_ramp_comes_back_as_its_end_and_a_table_not_at_all() -> None:
    first, _ = opened()
    ramp = first.ramp(0, "frequency", 80e6, 90e6, 1.0)
    first.interact(
        {"command_id": "play", "channel": 1, "steps": [{"dwell": 1e-3, "frequency": 1e6}]}
    )
    second, _ = opened()
    with pytest.raises(OutOfRange, match=r"^'ch1': what it put out last is not known$"):
        second.restore(saved(first))
    assert second.get(0)["frequency"] == ramp["stop"]
    assert second.get(1)["frequency"] == 0.0


def kept(journal: str) -> float | None:
    """The frequency of the first channel that a running server's journal has for a later start."""
    with contextlib.closing(sqlite3.connect(journal)) as file:
        found = file.execute("SELECT settings FROM settings").fetchone()
    frequency: float | None = json.loads(found[0])[0]["frequency"] if found else None
    return frequency


@pytest.mark.parametrize("restore", [False, True])
def test_a_server_that_is_killed_is_started_again_as_it_was(tmp_path: Path, restore: bool) -> None:
    journal = str(tmp_path / "journal.sqlite")
    serve = (sys.executable, "-m", "artiq_link", "serve", "--simulation", "--port", "0")
    serve += ("--no-localhost-bind", "--bind", "127.0.0.1", "--journal", journal)
    with running(*serve) as process:
        link = Link(port=int(first_line(process).rpartition(":")[2]), timeout=PATIENCE)
        achieved = link.call("set", channel=0, frequency=80e6, amplitude=0.5)
        until(lambda: kept(journal) == achieved["frequency"])
        process.kill()
        process.wait(PATIENCE)
    with running(*serve, *(["--restore"] if restore else [])) as process:
        link = Link(port=int(first_line(process).rpartition(":")[2]), timeout=PATIENCE)
        frequency = achieved["frequency"] if restore else 0.0
        assert link.call("get", channel=0)["frequency"] == frequency
        told = link.call("link.status")["instruments"]["dds"].get("restored")
        assert told == ({"problem": None} if restore else None)
