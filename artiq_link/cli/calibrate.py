"""``artiq-link calibrate``: show a calibration from dBm to amplitude as a table, or plot it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..instrument.typed_text import read_text
from ..units import write_quantity
from .exit_codes import SUCCESS

if TYPE_CHECKING:
    from ..dds.calibration import Calibration

HELP = "show a calibration from dBm to amplitude"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    parser.epilog = "example: artiq-link calibrate cooling.csv --power -3dBm"
    parser.add_argument("file", help="the CSV file, with the header frequency,power")
    parser.add_argument(
        "--power", type=_power, help="show the amplitude that makes this power, such as -3dBm"
    )
    parser.add_argument("--plot", metavar="PICTURE", help="write a plot to this file as well")


def run(options: argparse.Namespace) -> int:
    """Print the table; returns the exit code. Raises ValueError where there is none."""
    from ..dds.calibration import Calibration
    from ..errors import OutOfRange

    try:
        calibration = Calibration.read(options.file)
    except OSError as error:
        raise ValueError(f"{options.file}: {error.strerror or error}") from None
    wanted = options.power
    print(f"{'frequency':>16}  {'full scale':>12}", end="")
    print(f"  amplitude for {write_quantity(wanted, 'dBm')}" if wanted is not None else "")
    for frequency, power in zip(calibration.frequencies, calibration.powers, strict=True):
        print(f"{write_quantity(frequency, 'Hz'):>16}  {power:>8.2f} dBm", end="")
        try:
            text = "" if wanted is None else f"  {calibration.amplitude(wanted, frequency):.4f}"
        except OutOfRange:
            text = "  more than full scale"
        print(text)
    if options.plot is not None:
        _plot(calibration, options.file, options.plot)
    return SUCCESS


def _plot(calibration: Calibration, title: str, path: str) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("--plot needs matplotlib: python -m pip install matplotlib") from None
    figure = Figure(layout="constrained")
    axes = figure.add_subplot(
        title=title, xlabel="frequency in MHz", ylabel="power at full scale in dBm"
    )
    axes.plot([frequency / 1e6 for frequency in calibration.frequencies], calibration.powers, "o-")
    axes.grid(visible=True)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:  # matplotlib's, for an ending that is no picture's
        raise ValueError(f"--plot: {path}: {error}") from None


def _power(text: str) -> float:
    try:
        return float(read_text(text, {"number"}, "dBm"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
