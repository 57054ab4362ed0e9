"""The options of programs that serve a DDS: which driver, where, and with what channels."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..dds.driver import Driver
from ..drivers import DRIVERS, SIMULATED, DriverEntry

if TYPE_CHECKING:
    from ..dds.dds import DDS


def add_driver_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser`, which has ``--simulation`` already, the options that choose a driver."""
    group = parser.add_argument_group("hardware")
    group.add_argument(
        "--driver", choices=sorted(DRIVERS), help="the make of the DDS; --simulation overrides it"
    )
    group.add_argument(
        "-d", "--device", help="where the DDS is attached; --simulation overrides it"
    )
    for name in option_names():
        owners = [owner for owner, entry in DRIVERS.items() if name in entry.options]
        what = DRIVERS[owners[0]].options[name].help
        group.add_argument(f"--{name}", help=f"with --driver {' or '.join(owners)}: {what}")
    group.add_argument(
        "--channels",
        metavar="FILE",
        help="a YAML file with the channels' names, limits, calibrations and set-points",
    )


def dds_with(parser: argparse.ArgumentParser, options: argparse.Namespace, driver: Driver) -> DDS:
    """A DDS of `driver` with the channels that the options give.

    Ends the program with a sentence where the file cannot be read, or does not fit the driver.
    """
    from ..dds.configuration import read_channels
    from ..dds.dds import DDS

    path = options.channels
    try:
        channels = None if path is None else read_channels(path)
    except OSError as error:
        parser.error(f"--channels: {path}: {error.strerror or error}")
    except ValueError as error:
        parser.error(f"--channels: {error}")
    try:
        return DDS(driver, channels)
    except ValueError as error:
        parser.error(f"--channels: {path}: {error}")


def chosen_driver(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Driver | None:
    """The driver that the options of `parser` ask for, not opened; None where they ask for none.

    Ends the program with a sentence where they do not fit together.
    """
    if options.simulation:
        # Put in front of whatever the command line is, for a trial without the hardware.
        return DRIVERS[SIMULATED].build()
    name, device = options.driver, options.device
    if name is None:
        alone = ["-d/--device"] if device is not None else []
        alone += [f"--{option}" for option in option_names() if getattr(options, option)]
        if alone:
            parser.error(f"{alone[0]} needs the --driver of that hardware{_known_hardware()}")
        return None
    entry = DRIVERS[name]
    if entry.device is None and device is not None:
        parser.error(f"--driver {name} has no hardware: leave -d/--device out")
    if entry.device is not None and device is None:
        example = f", such as {entry.example}" if entry.example else ""
        parser.error(f"--driver {name} needs -d/--device: {entry.device}{example}")
    try:
        return entry.build(device, **_given(parser, options, name, entry))
    except ValueError as error:
        parser.error(str(error))


def option_names() -> list[str]:
    """The drivers' own options, in the order of `DRIVERS`."""
    return list(dict.fromkeys(option for entry in DRIVERS.values() for option in entry.options))


def _given(
    parser: argparse.ArgumentParser, options: argparse.Namespace, name: str, entry: DriverEntry
) -> dict[str, Any]:
    """The driver's own options as they were given, and no other driver's."""
    given: dict[str, Any] = {}
    for option in option_names():
        text = getattr(options, option)
        if text is None:
            if option in entry.options and entry.options[option].required:
                parser.error(f"--driver {name} needs --{option}: {entry.options[option].help}")
        elif option not in entry.options:
            parser.error(f"--driver {name} has no --{option}: leave it out")
        else:
            try:
                given[option] = entry.options[option].convert(text)
            except ValueError:
                parser.error(f"--{option}: {text!r} is no number")
    return given


def _known_hardware() -> str:
    names = sorted(name for name, entry in DRIVERS.items() if entry.device is not None)
    return f": {', '.join(names)}" if names else "; there is none yet: give --simulation"
