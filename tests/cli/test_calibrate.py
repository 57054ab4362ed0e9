"""``artiq-link calibrate``: a calibration as a table, and what is wrong with one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from artiq_link.cli.program import main


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "cooling.csv"
    path.write_text("frequency,power\n60MHz,10\n80MHz,12.345\n")
    return path


def run(*arguments: Any) -> int:
    return main(["calibrate", *map(str, arguments)])


def test_it_shows_the_table(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(path) == 0
    assert capsys.readouterr().out == (
        "       frequency    full scale\n"
        "          60 MHz     10.00 dBm\n"
        "          80 MHz     12.35 dBm\n"
    ).replace("12.35", f"{12.345:.2f}")


def test_it_shows_the_amplitude_for_a_power(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(path, "--power", "11dBm") == 0
    header, low, high = capsys.readouterr().out.splitlines()
    assert header.endswith("  amplitude for 11 dBm")
    assert low.endswith("  more than full scale")
    assert high.endswith("  0.8565")


def test_what_is_wrong_is_one_sentence(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("frequency,power\n60MHz,high\n")
    assert run(path) == 2
    assert capsys.readouterr().err == (
        f"{path}, line 2: power: expected float such as -3dBm, got 'high'\n"
    )
    path.unlink()
    assert run(path) == 2
    assert capsys.readouterr().err == f"{path}: No such file or directory\n"


def test_a_plot_needs_matplotlib(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert run(path, "--plot", path.with_suffix(".png")) == 2
    assert capsys.readouterr().err == (
        "--plot needs matplotlib: python -m pip install matplotlib\n"
    )
