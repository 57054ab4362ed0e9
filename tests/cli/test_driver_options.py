"""``--driver``, ``--device`` and ``--channels``, alike in both programs that serve a DDS."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from artiq_link import SimulatedDriver, drivers
from artiq_link.cli import aqctl, program
from artiq_link.cli.driver_options import add_driver_options, chosen_driver, dds_with
from artiq_link.drivers import DRIVERS, SIMULATED, DriverEntry
from artiq_link.server.options import add_server_options
from tests.programs import ROOT

PROGRAMS: dict[str, Callable[[list[str]], int]] = {
    "aqctl_artiq_link": aqctl.main,
    "artiq-link serve": lambda arguments: program.main(["serve", *arguments]),
}

MODULE = """
from artiq_link.drivers.faults import Error
from artiq_link.drivers.simulated import SimulatedDriver
from artiq_link.transports import Protocol, transport_to

class LinedDriver(SimulatedDriver):
    def __init__(self, device):
        super().__init__()
        self.line = transport_to(device, Protocol())

class WiredDriver(SimulatedDriver):
    def __init__(self, device):
        super().__init__()
        self.fault = Error(f"no DDS on {device}")
"""


@pytest.fixture
def wired(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A driver that was added as docs/architecture.md says: a module and a line in the table."""
    (tmp_path / "wired.py").write_text(MODULE, "utf-8")
    monkeypatch.setattr(drivers, "__path__", [*drivers.__path__, str(tmp_path)])
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    line = re.search(r'`("wired": DriverEntry\(.*\),)`', page)
    assert line is not None
    table = eval(f"{{{line[1]}}}", {"DriverEntry": DriverEntry})
    monkeypatch.setitem(DRIVERS, "wired", table["wired"])
    monkeypatch.setitem(DRIVERS, "lined", DriverEntry("wired", "LinedDriver", device="the port"))


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.usefixtures("wired")
def test_a_driver_that_is_added_gets_its_device(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hardware that is not there is one sentence and exit code 1, and nothing is served."""
    with pytest.raises(SystemExit) as ended:
        PROGRAMS[name](["--driver", "wired", "-d", "COM3", "-p", "0"])
    assert ended.value.code == 1
    assert capsys.readouterr() == ("", "dds cannot be opened: no DDS on COM3\n")


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["-d", "COM3"],
            "-d/--device needs the --driver of that hardware: HARDWARE",
        ),
        (
            ["--spacing", "1"],
            "--spacing needs the --driver of that hardware: HARDWARE",
        ),
        (
            ["--driver", "scpi", "-d", "tcp:192.168.0.5"],
            "--driver scpi needs --profile: the generator's make, such as keysight_33500",
        ),
        (
            ["--driver", "scpi", "-d", "tcp:192.168.0.5", "--profile", "rigol"],
            "there is no profile 'rigol'; did you mean 'rigol_dg'?; the profiles are "
            "keysight_33500, rigol_dg, siglent_sdg, keysight_rf, srs_sg380, aim_tti, red_pitaya",
        ),
        (
            ["--driver", "scpi", "-d", "192.168.0.5", "--profile", "rigol_dg"],
            "'192.168.0.5' is no device: write tcp:192.168.0.5",
        ),
        (
            ["--driver", "windfreak_synthhd", "-d", "serial:COM3", "--spacing", "fine"],
            "--spacing: 'fine' is no number",
        ),
        (
            ["--driver", "windfreak_synthhd", "-d", "serial:COM3", "--profile", "rigol_dg"],
            "--driver windfreak_synthhd has no --profile: leave it out",
        ),
        (
            ["--driver", "windfreak_synthhd", "-d", "serial:COM3", "--spacing", "0.01"],
            "spacing: 0.01 Hz is outside 0.1 to 1000 Hz",
        ),
        (
            ["--driver", "lined", "-d", "COM3"],
            "'COM3' is no device: write serial:COM3",
        ),
        (["--driver", "wired"], "--driver wired needs -d/--device: the serial port"),
        (
            ["--driver", "ad9910"],
            "--driver ad9910 needs -d/--device: the chip's SPI port with its pins, such as "
            "spi:/dev/spidev0.0?io_update=24&reset=25&drctl=26",
        ),
        (
            [
                "--driver",
                "ad9910",
                "-d",
                "spi:/dev/spidev0.0?io_update=24&refclk=25e6&multiplier=3",
            ],
            "multiplier: 3 is no whole number from 12 to 127",
        ),
        (
            ["--driver", "simulated", "-d", "COM3"],
            "--driver simulated has no hardware: leave -d/--device out",
        ),
    ],
)
@pytest.mark.usefixtures("wired")
def test_options_that_do_not_fit_are_one_sentence_and_exit_code_2(
    name: str, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        PROGRAMS[name]([*arguments, "-p", "0"])
    assert ended.value.code == 2
    sentence = sentence.replace("HARDWARE", ", ".join(sorted(DRIVERS.keys() - {SIMULATED})))
    assert capsys.readouterr().err.splitlines()[-1] == f"{name}: error: {sentence}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--simulation"],
        ["--driver", "simulated"],
        ["--simulation", "--driver", "wired", "-d", "COM3"],
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("wired")
def test_simulation_overrides_the_hardware(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    add_server_options(parser)
    add_driver_options(parser)
    assert type(chosen_driver(parser, parser.parse_args(arguments))) is SimulatedDriver


CHANNELS = """\
channels:
  - name: cooling
    max_frequncy: 110MHz
"""


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (CHANNELS, ", line 3: a channel has no 'max_frequncy'; did you mean 'max_frequency'?"),
        (
            CHANNELS.replace("max_frequncy: 110", "max_frequency: 500"),
            ": channel 'cooling': the limits of its frequency must lie between the hardware's, 0 "
            "and 4e8 Hz",
        ),
        (None, ": No such file or directory"),
    ],
)
def test_channels_that_cannot_be_are_one_sentence(
    name: str,
    text: str | None,
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "channels.yaml"
    if text is not None:
        path.write_text(text, "utf-8")
    with pytest.raises(SystemExit) as ended:
        PROGRAMS[name](["--simulation", "-p", "0", "--channels", str(path)])
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"{name}: error: --channels: {path}{sentence}"


def test_the_channels_of_a_file_are_served(tmp_path: Path) -> None:
    path = tmp_path / "channels.yaml"
    path.write_text(CHANNELS.replace("frequncy", "frequency"), "utf-8")
    parser = argparse.ArgumentParser()
    add_server_options(parser)
    add_driver_options(parser)
    options = parser.parse_args(["--simulation", "--channels", str(path)])
    dds = dds_with(parser, options, SimulatedDriver())
    [state] = dds.get_all()
    assert (state["name"], state["limits"]["max_frequency"]) == ("cooling", 110e6)
