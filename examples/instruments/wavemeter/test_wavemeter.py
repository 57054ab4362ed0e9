"""Tests of the wavemeter: a real server, HighFinesse's library simulated.

python -m pytest test_wavemeter.py
"""

import threading

import numpy as np
import pytest
import wavemeter_server
from wavemeter_server import Wavemeter, load_wlm_data
from wavemeter_simulation import SimulatedWlmData

from artiq_link import InstrumentError, Link, ServerFailed, serve_in_background

PATIENCE = 20.0
"""Seconds after which a test calls something hung."""


@pytest.fixture
def library():
    """The simulated library, to look into."""
    return SimulatedWlmData()


@pytest.fixture
def wavemeter(library):
    """A wavemeter that is read once when it is opened, and then when a test says so."""
    return Wavemeter(lambda: library, interval=3600)


@pytest.fixture
def link(wavemeter):
    """A client of a server on a free port."""
    with serve_in_background({"wavemeter": wavemeter}) as server:
        yield Link(port=server.port)


def test_the_newest_frequency_is_returned_in_hertz(link, wavemeter):
    first = link.call("frequency", channel=1)
    assert first == pytest.approx(384.2281e12)
    wavemeter.read_all()
    assert 1e6 < link.call("frequency", channel=1) - first < 1e7


def test_the_frequencies_are_shown_to_those_who_watch(link, library):
    with link.watch(timeout=20.0) as states:
        shown = (event["state"]["frequencies"] for event in states)
        frequencies = next(found for found in shown if found is not None)
    assert frequencies["1"] == link.call("frequency", channel=1)


def test_readings_are_arrays_and_none_comes_twice(link, wavemeter):
    link.call("readings", channel=2)
    wavemeter.read_all()
    wavemeter.read_all()
    found = link.call("readings", channel=2)
    assert found["count"] == 3
    assert found["frequency"].dtype == found["time"].dtype == np.float64
    assert found["frequency"].shape == found["time"].shape == (3,)
    assert np.all(np.diff(found["frequency"]) > 0)
    wavemeter.read_all()
    more = link.call("readings", channel=2, after=found["count"])
    assert (more["count"], len(more["frequency"])) == (4, 1)
    assert more["frequency"][0] > found["frequency"][-1]
    assert len(link.call("readings", channel=2, after=4)["frequency"]) == 0


def test_a_client_that_was_away_too_long_gets_what_is_kept(library, monkeypatch):
    monkeypatch.setattr(wavemeter_server, "KEPT", 10)
    wavemeter = Wavemeter(lambda: library, interval=3600)
    with serve_in_background({"wavemeter": wavemeter}) as server:
        link = Link(port=server.port)
        newest = link.call("frequency", channel=1)
        for _ in range(24):
            wavemeter.read_all()
        found = link.call("readings", channel=1, after=5)
    assert (found["count"], len(found["frequency"])) == (25, 10)
    assert found["frequency"][0] > newest


@pytest.mark.parametrize(
    ("signal", "sentence"),
    [
        (-3.0, "instrument_error: channel 3: the signal is too weak"),
        (-1.0, "instrument_error: channel 3: there is no signal"),
        (-99.0, "instrument_error: channel 3: error -99"),
        (float("nan"), "instrument_error: channel 3: error nan"),
    ],
)
def test_a_fault_is_told_and_old_readings_do_not_stand_for_new_ones(
    link, wavemeter, library, signal, sentence
):
    library.signals[3] = 351.7
    wavemeter.read_all()
    assert link.call("frequency", channel=3) == pytest.approx(351.7e12)
    library.signals[3] = signal
    wavemeter.read_all()
    with pytest.raises(ServerFailed) as failure:
        link.call("frequency", channel=3)
    assert str(failure.value) == sentence
    assert link.call("readings", channel=3)["count"] == 1


@pytest.mark.parametrize("channel", [0, 9])
def test_a_channel_that_there_is_not_is_refused(link, channel):
    with pytest.raises(ServerFailed, match="out_of_range: channel: "):
        link.call("frequency", channel=channel)


def test_readings_go_on_by_themselves_until_the_server_stops(library):
    enough = threading.Event()

    class Counting(SimulatedWlmData):
        def GetFrequencyNum(self, channel, _):  # noqa: N802
            signal = super().GetFrequencyNum(channel, _)
            if next(self.steps) > 100:
                enough.set()
            return signal

    wavemeter = Wavemeter(Counting, interval=0.001)
    with serve_in_background({"wavemeter": wavemeter}):
        assert enough.wait(PATIENCE)
    assert "wavemeter" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("error", [OSError, ValueError])
def test_a_library_that_breaks_down_is_told(error):
    broken = threading.Event()

    class Breaking(SimulatedWlmData):
        calls = 0

        def GetFrequencyNum(self, channel, _):  # noqa: N802
            self.calls += 1
            if self.calls > 8:
                broken.set()
                raise error("access violation reading 0x0")
            return super().GetFrequencyNum(channel, _)

    wavemeter = Wavemeter(Breaking, interval=0.001)
    with serve_in_background({"wavemeter": wavemeter}) as server:
        link = Link(port=server.port)
        assert broken.wait(PATIENCE)
        wavemeter._reader.join(PATIENCE)
        with pytest.raises(ServerFailed, match="readings have ended: access violation"):
            link.call("frequency", channel=1)


def test_without_highfinesses_program_it_does_not_open(library):
    library.programs = 0
    with pytest.raises(InstrumentError, match="HighFinesse's program does not run: start it"):
        Wavemeter(lambda: library).open_hardware()


def test_without_highfinesses_library_it_says_so():
    """None of the computers that run these tests has it."""
    with pytest.raises(InstrumentError, match=r"; is HighFinesse's program installed\?"):
        load_wlm_data()
