"""Calibrations: what their files hold, and what they say is wrong with one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.dds.calibration import Calibration
from artiq_link.errors import OutOfRange

COOLING = Calibration([(60e6, 10.0), (80e6, 12.0), (110e6, 9.0)])


@pytest.mark.parametrize(
    ("frequency", "power"),
    [(60e6, 10.0), (70e6, 11.0), (80e6, 12.0), (95e6, 10.5), (110e6, 9.0)],
)
def test_between_two_rows_the_power_is_on_the_line(frequency, power):
    assert COOLING.full_scale(frequency) == pytest.approx(power)


def test_decibels_are_those_of_a_voltage():
    assert COOLING.amplitude(12.0, 80e6) == 1.0
    assert COOLING.amplitude(12.0 - 20.0, 80e6) == pytest.approx(0.1)
    assert COOLING.power(0.5, 80e6) == pytest.approx(12.0 - 6.0206, abs=1e-4)
    assert COOLING.behind(10.0).amplitude(2.0, 80e6) == 1.0


@given(st.floats(-60, 9), st.floats(60e6, 110e6))
def test_there_and_back_is_the_same(power, frequency):
    amplitude = COOLING.amplitude(power, frequency)
    assert 0 < amplitude <= 1
    assert COOLING.power(amplitude, frequency) == pytest.approx(power, abs=1e-9)


def test_nothing_is_said_of_silence_and_of_other_frequencies():
    assert COOLING.power(0.0, 80e6) is None
    assert COOLING.power(1.0, 111e6) is None


@pytest.mark.parametrize(
    ("power", "frequency", "where", "sentence"),
    [
        (12.5, 80e6, "power", "12.5 dBm is above full scale, which is 12.00 dBm at 8e7 Hz"),
        (
            0.0,
            59e6,
            "frequency",
            "5.9e7 Hz is below the calibration's limit of 6e7 Hz",
        ),
        (
            0.0,
            111e6,
            "frequency",
            "1.11e8 Hz is above the calibration's limit of 1.1e8 Hz",
        ),
    ],
)
def test_what_cannot_be_made_is_refused(power, frequency, where, sentence):
    with pytest.raises(OutOfRange, match=f"^{where}: {re.escape(sentence)}$") as refused:
        COOLING.amplitude(power, frequency)
    assert refused.value.where == where


@pytest.mark.parametrize(
    "text",
    [
        "frequency,power\n60e6,10\n80e6,12\n110e6,9\n",
        "frequency, power\r\n60MHz, 10 dBm\r\n\r\n0.08 GHz,12dBm\r\n110000kHz,9",
        "\ufeffFrequency,Power\n6e7,10.0\n8e7,12.0\n1.1e8,9.0\n",
    ],
)
def test_a_file_is_read_as_people_write_it(tmp_path, text):
    path = tmp_path / "cooling.csv"
    path.write_bytes(text.encode())
    read = Calibration.read(path)
    assert (read.frequencies, read.powers) == (COOLING.frequencies, COOLING.powers)


HEADER = b"frequency,power\n"


@pytest.mark.parametrize(
    ("data", "line", "sentence"),
    [
        (b"", 1, "expected the header frequency,power, got ''"),
        (b"f,p\n1,2\n", 1, "expected the header frequency,power, got 'f,p'"),
        (HEADER, 1, "a calibration has at least two rows"),
        (HEADER + b"1,2\n", 2, "a calibration has at least two rows"),
        (HEADER + b"1,2\n\n2\n", 4, "expected a frequency and a power, got 1 values"),
        (HEADER + b"1,2\n2,\n", 3, "power is missing"),
        (
            HEADER + b"1,2\n2,high\n",
            3,
            "power: expected float such as -3dBm, got 'high'",
        ),
        (
            HEADER + b"1,2\n2,3MHz\n",
            3,
            "power: expected float such as -3dBm, got '3MHz'",
        ),
        (
            HEADER + b"1,nan\n2,3\n",
            2,
            "power: expected float such as -3dBm, got 'nan'",
        ),
        (HEADER + b"1,2\n2,\xff\n", 3, "power: expected float such as -3dBm, got '\ufffd'"),
        (
            HEADER + b"80MHz,2\n60MHz,3\n",
            3,
            "frequencies must rise from row to row, and 6e7 Hz comes after 8e7 Hz",
        ),
        (
            HEADER + b"1,2\n1,3\n",
            3,
            "frequencies must rise from row to row, and 1 Hz comes after 1 Hz",
        ),
        (HEADER + b'1,2\n2,"3\n', 3, "unexpected end of data"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path, data, line, sentence):
    path = tmp_path / "cooling.csv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"line \d+: .") as refused:
        Calibration.read(path)
    assert str(refused.value) == f"{path}, line {line}: {sentence}"


def test_a_file_that_never_ends_is_not_read_on():
    with pytest.raises(ValueError, match=r"^/dev/zero: more than 1048576 bytes"):
        Calibration.read("/dev/zero")
