"""Channels in YAML: what a file gives, and each mistake with its line."""

from __future__ import annotations

import pytest

from artiq_link.dds.channel import Channel, SetPoint
from artiq_link.dds.configuration import read_channels

WHOLE = """\
# The cooling lasers
channels:
  - name: cooling
    min_frequency: 60MHz
    max_frequency: 1.1e8
    calibration: cooling.csv
    attenuator: 3dB
    max_power: 5 dBm
    min_power: -60
    default: {frequency: 80MHz, power: -10dBm, output: off}
    safe: {output: off}
  - name: repump
    max_amplitude: 0.5
    safe:
      amplitude: 0
      phase: 0.25
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "cooling.csv").write_text("frequency,power\n60e6,10\n110e6,9\n")
    return tmp_path / "channels.yaml"


def test_a_file_has_all_that_channels_have(path):
    path.write_text(WHOLE)
    cooling, repump = read_channels(path)
    assert cooling.calibration is not None
    assert cooling == Channel(
        "cooling",
        min_frequency=60e6,
        max_frequency=110e6,
        calibration=cooling.calibration,
        attenuator=3.0,
        max_power=5.0,
        min_power=-60.0,
        default=SetPoint(frequency=80e6, power=-10.0, output=False),
        safe=SetPoint(output=False),
    )
    assert cooling.calibration.powers == [10.0, 9.0]
    assert repump == Channel("repump", max_amplitude=0.5, safe=SetPoint(phase=0.25, amplitude=0.0))


CH = "channels:\n  - name: a\n"


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("# nothing\n", None, "expected 'channels:' and a list, and the file is empty"),
        ("chanels:\n  - name: a\n", 1, "the file has no 'chanels'; did you mean 'channels'?"),
        ("- name: a\n", 1, "expected keys of the file, such as 'channels: ...'"),
        ("{}\n", 1, "expected 'channels:' and a list"),
        ("channels:\n", 1, "expected a list of channels, each with '- name: ...'"),
        ("channels:\n  - a\n", 2, "expected keys of a channel, such as 'name: ...'"),
        ("channels:\n  - max_frequency: 1\n", 2, "the channel has no name"),
        (CH + "  - name: a\n", 3, "there is a channel 'a' already"),
        (
            CH + "    max_frequncy: 80MHz\n",
            3,
            "a channel has no 'max_frequncy'; did you mean 'max_frequency'?",
        ),
        (CH + "    name: b\n", 3, "'name' is there twice"),
        (CH + "    [1]: b\n", 3, "a channel has no '?'"),
        (
            CH + "    max_frequency: 80 apples\n",
            3,
            "max_frequency: expected float such as 80MHz, got '80 apples'",
        ),
        (
            CH + "    max_frequency:\n",
            3,
            "max_frequency: expected float such as 80MHz, got ''",
        ),
        (CH + "    max_frequency: [1]\n", 3, "max_frequency: expected a number"),
        (CH + "    max_amplitude: .nan\n", 3, "max_amplitude: expected float, got '.nan'"),
        (
            CH + "    safe:\n      ouput: off\n",
            4,
            "a set-point has no 'ouput'; did you mean 'output'?",
        ),
        (
            CH + "    safe:\n      output: perhaps\n",
            4,
            "output: expected bool: on or off, got 'perhaps'",
        ),
        (CH + "\n    safe: off\n", 4, "expected keys of a set-point, such as 'frequency: ...'"),
        (CH + "    calibration: [\n", 4, "not YAML: while parsing a flow node, ..."),
        (CH + "\tname: b\n", 3, "not YAML: while scanning for the next token, ..."),
        ("[" * 20000, None, "nested too deep for a list of channels"),
        ("---\nchannels: []\n---\n", 3, "not YAML: expected a single document ..."),
        ("channels: &a [*a]\n", 1, "expected keys of a channel, such as 'name: ...'"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(path, text, line, sentence):
    path.write_text(text)
    with pytest.raises(ValueError, match=r"^/.*: .") as refused:
        read_channels(path)
    where = path if line is None else f"{path}, line {line}"
    said = str(refused.value)
    if sentence.endswith(" ..."):  # what PyYAML found, in words of its own
        said = said[: len(f"{where}: {sentence}") - 3] + "..."
    assert said == f"{where}: {sentence}"


def test_a_calibration_s_mistake_has_both_files(path):
    path.with_name("bad.csv").write_text("frequency,power\n1,2\n2,x\n")
    path.write_text(CH + "    calibration: bad.csv\n")
    with pytest.raises(ValueError, match=r"^/.*: .") as refused:
        read_channels(path)
    assert str(refused.value) == (
        f"{path}, line 3: calibration: {path.with_name('bad.csv')}, line 3: power: expected float "
        "such as -3dBm, got 'x'"
    )
    path.write_text(CH + "    calibration: none.csv\n")
    with pytest.raises(ValueError, match=r"line 3: calibration: /.*/none\.csv: No such file"):
        read_channels(path)


def test_what_is_no_text_is_refused(path):
    path.write_bytes(b"channels:\n\xff")
    with pytest.raises(ValueError, match=r"not UTF-8 text, at byte 10$"):
        read_channels(path)
