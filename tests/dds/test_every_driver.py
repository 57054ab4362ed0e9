"""What a DDS does on every driver: capabilities decide whether it is done or refused.

Results are compared to the last bit of the hardware's words, with what the hardware puts out and
with the driver's own quantisation.
"""

from __future__ import annotations

import contextlib

import pytest

from artiq_link.dds.dds import DDS
from artiq_link.dds.driver import Driver
from artiq_link.dds.types import TONE_PARAMETERS, Tone
from artiq_link.drivers import DRIVERS
from artiq_link.errors import ExchangeError, InstrumentError, InvalidParameter, OutOfRange
from tests.dds.sources import SOURCES
from tests.dds.test_stepping import TestTimer

FIRST = 0


@pytest.fixture(params=SOURCES)
def source(request):
    with SOURCES[request.param]() as source:
        yield source


@pytest.fixture
def dds(source):
    dds = opened(source)
    yield dds
    dds.close()


def opened(source):
    source.driver.now = lambda: 0.0  # what runs is at its start until it is ended
    dds = DDS(source.driver, timer=TestTimer())
    dds.open_hardware()
    return dds


def can_of(source):
    return source.driver.channels[FIRST]


def within(span, part):
    return span.lowest + part * (span.highest - span.lowest)


def some_tone(source, part=0.3):
    """A whole tone that the channel can make."""
    return {name: within(span, part) for name, span in can_of(source).parameters.items()}


def quantised(source, tone):
    return source.driver.quantise(FIRST, Tone(**tone))


def exactly(source, tone):
    """The tone to the last bit, or to the digits that the hardware answers with."""
    told = parts(tone)
    for name, slack in getattr(source, "slack", {}).items():
        if told[name] is not None:
            told[name] = pytest.approx(told[name], rel=slack)
    return told


def parts(tone):
    return {name: getattr(tone, name) for name in TONE_PARAMETERS}


def told_of(source, achieved):
    """What was told of the parameters that there are."""
    return Tone(**{name: achieved[name] for name in can_of(source).parameters})


def test_every_driver_of_the_list_is_here():
    assert {name.partition(",")[0] for name in SOURCES} >= DRIVERS.keys()


def test_opening_changes_nothing_and_adopts_what_can_be_read(source):
    before = opened(source)
    achieved = before.set(FIRST, **some_tone(source))
    before.close()
    changes, tones = source.changes(), [source.tone(n) for n in range(len(source.driver.channels))]
    dds = opened(source)
    state = dds.get(FIRST)
    assert source.changes() == changes
    assert [source.tone(number) for number in range(len(tones))] == tones
    for name in TONE_PARAMETERS:
        if name in can_of(source).reads:
            assert state[name] == exactly(source, told_of(source, achieved))[name]
        else:
            assert state.get(name) is None
    dds.close()
    assert source.changes() == changes
    assert [source.tone(number) for number in range(len(tones))] == tones


@pytest.mark.parametrize("part", [0.0, 0.123456789, 0.5, 1.0])
def test_what_is_set_is_what_comes_out_and_what_is_told(source, dds, part):
    asked = some_tone(source, part)
    achieved = told_of(source, dds.set(FIRST, **asked))
    assert parts(achieved) == exactly(source, quantised(source, asked))
    assert parts(achieved) == exactly(source, source.tone(FIRST))
    assert told_of(source, dds.get(FIRST)) == achieved
    assert dds.get(FIRST)["activity"] == "single_tone"
    again = {name: getattr(achieved, name) for name in asked}
    within_span = {
        name: min(max(value, can_of(source).parameters[name].lowest), highest)
        for name, value in again.items()
        for highest in [can_of(source).parameters[name].highest]
    }
    assert parts(told_of(source, dds.set(FIRST, **within_span))) == exactly(source, achieved)


@pytest.mark.parametrize("parameter", TONE_PARAMETERS)
def test_each_parameter_is_set_alone_or_refused(source, dds, parameter):
    dds.set(FIRST, **some_tone(source))
    before, changes = source.tone(FIRST), source.changes()
    span = can_of(source).parameters.get(parameter)
    command = getattr(dds, f"set_{parameter}")
    if span is None:
        with pytest.raises(InstrumentError, match=f"^{parameter}: the channel has no {parameter}"):
            command(FIRST, 0.5)
        assert source.changes() == changes
        return
    value = within(span, 0.7)
    achieved = command(FIRST, value)[parameter]
    assert achieved == exactly(source, quantised(source, {parameter: value}))[parameter]
    after = source.tone(FIRST)
    assert achieved == exactly(source, after)[parameter]
    for other in can_of(source).parameters.keys() - {parameter}:
        assert getattr(after, other) == getattr(before, other)


@pytest.mark.parametrize("parameter", ["frequency", "amplitude", "power"])
@pytest.mark.parametrize("side", ["lowest", "highest"])
def test_beyond_the_limits_nothing_is_sent(source, dds, parameter, side):
    tone = some_tone(source)
    dds.set(FIRST, **tone)
    span, changes = can_of(source).parameters.get(parameter), source.changes()
    if span is None:
        return
    limit = getattr(span, side)
    beyond = limit + (1e-3 if side == "highest" else -1e-3) * (abs(limit) or 1.0)
    with pytest.raises(OutOfRange, match=f"^{parameter}: .* the channel's limit of "):
        getattr(dds, f"set_{parameter}")(FIRST, beyond)
    assert source.changes() == changes
    getattr(dds, f"set_{parameter}")(FIRST, limit)


def test_part_of_a_tone_needs_what_the_hardware_needs(source, dds):
    """Hardware that takes whole tones refuses a part of one that is not known."""
    can, changes = can_of(source), source.changes()
    unknown = [name for name in can.parameters if name not in can.reads and name != "frequency"]
    if can.whole_tones and unknown:
        with pytest.raises(InvalidParameter, match=r" takes whole tones only, and "):
            dds.set_frequency(FIRST, within(can.parameters["frequency"], 0.5))
        assert source.changes() == changes
    else:
        dds.set_frequency(FIRST, within(can.parameters["frequency"], 0.5))
        assert all(dds.get(FIRST)[name] is None for name in unknown)


def test_channels_are_set_together_or_it_is_refused(source, dds):
    if len(source.driver.channels) < 2:
        return
    asked = [{"channel": number, **some_tone(source, 0.25 * number)} for number in (1, 0)]
    changes = source.changes()
    data = {"command_id": "set_many", "settings": asked}
    if source.driver.simultaneous:
        told = dds.interact(data)
        assert [source.tone(1), source.tone(0)] == [told_of(source, each) for each in told]
    else:
        with pytest.raises(InstrumentError, match=r" at the same instant$"):
            dds.interact(data)
        assert source.changes() == changes


def test_an_output_switches_or_is_refused(source, dds):
    changes = source.changes()
    if not can_of(source).output:
        with pytest.raises(InstrumentError, match=r" has no output switch: "):
            dds.output(FIRST, False)
        assert source.changes() == changes
        return
    for on in (False, True):
        assert dds.output(FIRST, on) == {"output": on}
        assert dds.get(FIRST)["output"] is on


@pytest.mark.parametrize("mode", ["continuous", "absolute"])
def test_a_phase_mode_is_kept_or_refused(source, dds, mode):
    tone = some_tone(source)
    if mode in can_of(source).phase_modes:
        dds.set(FIRST, **tone, phase_mode=mode)
        assert dds.get(FIRST)["phase_mode"] == mode
    else:
        with pytest.raises(InstrumentError, match=f" has no {mode} phase$"):
            dds.set(FIRST, **tone, phase_mode=mode)


@pytest.mark.parametrize("parameter", TONE_PARAMETERS)
def test_a_ramp_is_made_or_refused(source, dds, parameter):
    dds.set(FIRST, **some_tone(source))
    can, changes = can_of(source), source.changes()
    span = can.parameters.get(parameter)
    start, stop = (0.2, 0.6) if span is None else (within(span, 0.2), within(span, 0.6))
    ask = {
        "command_id": "ramp",
        "channel": FIRST,
        "parameter": parameter,
        "start": start,
        "stop": stop,
        "duration": 1e-4,
    }
    if parameter in can.ramps:
        achieved = dds.interact(ask)
        assert achieved["parameter"] == parameter
        assert achieved["stop"] == getattr(quantised(source, {parameter: stop}), parameter)
        assert dds.get(FIRST)["activity"] == "ramp"
        dds.stop(FIRST)
        assert dds.get(FIRST)["activity"] == "single_tone"
    else:
        with pytest.raises(InstrumentError, match=r" of its own: use (play, or )?software_ramp$"):
            dds.interact(ask)
        assert source.changes() == changes


@pytest.mark.parametrize("parameter", TONE_PARAMETERS)
def test_a_table_is_played_or_refused(source, dds, parameter):
    """One parameter changes: not all hardware can change several in one table."""
    dds.set(FIRST, **some_tone(source))
    can, changes = can_of(source), source.changes()
    if can.tables is not None and parameter not in can.tables.columns:
        return
    if can.tables is None:
        with pytest.raises(InstrumentError, match=r" has no tables on this channel$"):
            dds.interact({"command_id": "play", "channel": FIRST, "steps": [{"dwell": 1.0}]})
        assert source.changes() == changes
        return
    steps = [
        {
            "dwell": 1000 * max(can.tables.shortest, can.tables.step),
            **some_tone(source),
            parameter: within(can.parameters[parameter], part),
        }
        for part in (0.2, 0.6)
    ]
    played = dds.interact({"command_id": "play", "channel": FIRST, "steps": steps})["steps"]
    for step, asked in zip(played, steps, strict=True):
        dwell = asked.pop("dwell")
        assert step["dwell"] == pytest.approx(dwell, abs=can.tables.step)
        expected = quantised(source, asked)
        assert [step[name] for name in asked] == [getattr(expected, name) for name in asked]
    assert dds.get(FIRST)["activity"] == "table"
    dds.stop(FIRST)
    assert dds.get(FIRST)["activity"] == "single_tone"


@pytest.mark.parametrize("parameter", TONE_PARAMETERS)
def test_a_software_ramp_goes_wherever_the_parameter_can_be_set(source, dds, parameter):
    dds.set(FIRST, **some_tone(source))
    span = can_of(source).parameters.get(parameter)
    if span is None:
        with pytest.raises(InstrumentError, match=f"^start: the channel has no {parameter}"):
            dds.software_ramp(FIRST, parameter, 0.2, 0.6, 1.0)
        return
    start, stop = within(span, 0.2), within(span, 0.6)
    achieved = dds.software_ramp(FIRST, parameter, start, stop, 1.0, step_time=0.25)
    assert achieved["steps"] == 4
    assert achieved["stop"] == exactly(source, quantised(source, {parameter: stop}))[parameter]
    assert achieved["stop"] == exactly(source, source.tone(FIRST))[parameter]


def test_a_check_touches_nothing(source, dds):
    dds.set(FIRST, **some_tone(source))
    changes, state = source.changes(), dds.get_all()
    tone = some_tone(source, 0.7)
    dds.check({"command_id": "set", "channel": FIRST, **tone})
    for data in [
        {"command_id": "output", "channel": FIRST, "on": False},
        {"command_id": "play", "channel": FIRST, "steps": [{"dwell": 1e-3}]},
        {
            "command_id": "ramp",
            "channel": FIRST,
            "parameter": "frequency",
            "start": tone["frequency"],
            "stop": tone["frequency"] / 2,
            "duration": 1.0,
        },
    ]:
        with contextlib.suppress(ExchangeError):
            dds.check(data)
    assert (source.changes(), dds.get_all()) == (changes, state)


def test_a_reset_leaves_nothing_coming_out_or_is_refused(source, dds):
    dds.set(FIRST, **some_tone(source))
    changes, state = source.changes(), dds.get_all()
    if type(source.driver).reset is Driver.reset:
        with pytest.raises(InstrumentError, match=r" cannot be reset$"):
            dds.reset()
        assert (source.changes(), dds.get_all()) == (changes, state)
    else:
        dds.reset()
        assert source.tone(FIRST).amplitude == 0.0 or dds.get(FIRST)["output"] is False


def test_stop_of_a_tone_holds_it(source, dds):
    achieved = dds.set(FIRST, **some_tone(source))
    changes = source.changes()
    assert dds.stop(FIRST) == achieved
    assert source.changes() == changes


class Broken:
    """A line of which one ask fails, before it is sent or behind its answer."""

    def __init__(self, ask, failing, *, is_heard):
        self._ask, self._left, self._is_heard = ask, failing, is_heard

    def __call__(self, *args, **kwargs):
        self._left -= 1
        if self._left:
            return self._ask(*args, **kwargs)
        if self._is_heard:
            self._ask(*args, **kwargs)
        raise InstrumentError("the line broke")


def acts(source):
    """What is begun and fails: of all that the channel can do."""
    can = can_of(source)
    parameter = "frequency"
    low, high = within(can.parameters[parameter], 0.2), within(can.parameters[parameter], 0.6)
    yield {"command_id": "set", **some_tone(source, 0.7)}
    if parameter in can.ramps:
        ramp = {"parameter": parameter, "start": low, "stop": high, "duration": 1e-4}
        yield {"command_id": "ramp", **ramp}
    if can.tables is not None:
        dwell = 10 * can.tables.shortest
        steps = [{"dwell": dwell, **some_tone(source, 0.3), parameter: low}, {"dwell": dwell}]
        yield {"command_id": "play", "steps": steps}


@pytest.mark.parametrize("is_heard", [True, False])
def test_wherever_it_fails_nothing_is_told_that_is_not_so(source, dds, monkeypatch, is_heard):
    """And a whole tone sets it right."""
    line = getattr(source.driver, "_line", None)
    if line is None:
        return  # a chip's port cannot tell that it fails
    tone = some_tone(source)
    for act in acts(source):
        for failing in range(1, 100):
            dds.set(FIRST, **tone)
            if can_of(source).output and not dds.get(FIRST)["output"]:
                dds.output(FIRST, True)
            with monkeypatch.context() as patch:
                patch.setattr(line, "query", Broken(line.query, failing, is_heard=is_heard))
                try:
                    dds.interact({"channel": FIRST, **act})
                except InstrumentError:
                    pass
                else:
                    break
            if dds.get(FIRST)["activity"] in {"single_tone", None}:
                made = exactly(source, source.tone(FIRST))
                for name, told in parts(told_of(source, dds.get(FIRST))).items():
                    assert told is None or made[name] == told, (act, failing)
        assert 1 < failing < 99
        achieved = told_of(source, dds.set(FIRST, **tone))
        assert parts(achieved) == exactly(source, source.tone(FIRST))


def test_it_can_be_made_safe(source, dds):
    can = can_of(source)
    dds.safe_state()
    if can.output:
        assert [state["output"] for state in dds.get_all()] == [False] * len(dds.get_all())
    elif "amplitude" in can.parameters:
        assert source.tone(FIRST).amplitude == 0.0
    else:
        assert source.tone(FIRST).power == can.parameters["power"].lowest


def test_it_describes_what_it_can_do(source, dds):
    described = dds.describe()["driver"]
    assert described["model"] == source.driver.model
    assert len(described["channels"]) == len(source.driver.channels)
    assert set(described["channels"][FIRST]["parameters"]) == set(can_of(source).parameters)
