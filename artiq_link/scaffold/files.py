"""The files of a new instrument: what stands in them, and how they come into a folder."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from ..transports import KINDS
from .names import check_name, class_name


class Driver(NamedTuple):
    """How an instrument's hardware is reached."""

    folder: str
    """The folder with the templates for it."""
    device: str = ""
    """A device string, in which the user has still to say where: it reaches nobody's device."""
    example: str = ""
    """A whole one."""


DRIVERS: Mapping[str, Driver] = {
    "none": Driver("none"),
    "serial": Driver("lines", "serial:PORT?baud=9600", KINDS["serial"].example),
    "tcp": Driver("lines", "tcp:ADDRESS:5025", KINDS["tcp"].example),
    "scpi": Driver("scpi", "tcp:ADDRESS:5025", KINDS["tcp"].example),
}
"""What the hardware may be reached by: code of one's own, text on a line, SCPI."""


def write_files(folder: Path, name: str, driver: str) -> list[str]:
    """Write the files of an instrument into a folder, and return their names.

    Raises ValueError where the name cannot be one or the folder has one of the files, OSError
    where it cannot be written to; nothing is written then.
    """
    texts = instrument_files(name, driver)
    taken = [file for file in texts if (folder / file).exists()]
    if taken:
        others = f", and {len(taken) - 1} more of its files" if len(taken) > 1 else ""
        raise ValueError(
            f"{taken[0]} is here already{others}: nothing is overwritten, so choose another name "
            "or another folder"
        )
    with contextlib.ExitStack() as undo:
        for file, text in texts.items():
            with (folder / file).open("x", encoding="utf-8") as written:
                undo.callback((folder / file).unlink)
                written.write(text)
        undo.pop_all()
    return list(texts)


def instrument_files(name: str, driver: str) -> dict[str, str]:
    """The texts of an instrument's files by their names; raises ValueError for the name."""
    templates = _gadget_files(DRIVERS[driver])
    check_name(name, templates.values())
    return {_renamed(file, name): _renamed(text, name) for file, text in templates.items()}


def _gadget_files(driver: Driver) -> dict[str, str]:
    """The files of the templates' own instrument, reached by a driver."""
    return {
        "gadget_server.py": _server(driver),
        "gadget_client.py": _client(),
        "gadget_simulation.py": _template(f"{driver.folder}/simulation"),
        "gadget_device_db.py": _template("device_db"),
        "gadget_experiment.py": _template("experiment"),
        "test_gadget.py": _tests(driver),
    }


def _template(path: str) -> str:
    return files(__package__).joinpath("templates", f"{path}.py-tpl").read_text(encoding="utf-8")


def _server(driver: Driver) -> str:
    """The project's server, in which an instrument stands in the place of the DDS."""
    _, start, rest = _template("server").partition("\n\ndef start_server(")
    edits = {
        '{"dds": dds}': '{"gadget": gadget}',
        "    # The DDS knows its commands itself, with their units and limits. Without a DDS, let "
        "the last\n"
        "    # line refuse what is left: return artiq_link.unknown(data)\n": (
            "    # The gizmo knows its commands itself, with their units and limits.\n"
        ),
        "    return dds.interact(data)\n": "    return gadget.interact(data)\n",
    }
    if driver.device:
        edits |= {
            '"DEVICE"': f'"{driver.device}"',
            "EXAMPLE": driver.example,
            "    # With real hardware, --simulation stays what it says:\n"
            "    #     if not options.simulation:\n"
            '    #         dds = DDS(YourDriver("COM3"))\n'
            "    start_server(": (
                "    with contextlib.ExitStack() as simulation:\n"
                "        if options.simulation:\n"
                "            device = simulation.enter_context(FakeTcp(SimulatedGadget()))\n"
                "            gadget = Gadget(device.device_string)\n"
                "        start_server("
            ),
        }
    else:
        edits["dds = DDS(YourDriver("] = "gadget = Gadget(YourHardware("
    return _edited(_template(f"{driver.folder}/instrument") + start + rest, edits)


def _tests(driver: Driver) -> str:
    """The tests: fixtures for what the hardware is reached by, and what is tested with them."""
    return _template("own_fixtures" if not driver.device else "line_fixtures") + _template("tests")


def _client() -> str:
    """The project's client, with requests for the instrument in the place of those for the DDS."""
    return _edited(
        _template("client"),
        {
            "`python client.py`": "`python gadget_client.py`",
            '{"command_id": "set_frequency", "channel": 0, "frequency": 80e6},  # Hz': (
                '{"command_id": "set_voltage", "voltage": 1.25},  # V'
            ),
            '{"command_id": "get", "channel": 0},': '{"command_id": "get_voltage"},',
        },
    )


def _edited(text: str, edits: Mapping[str, str]) -> str:
    """The text with passages replaced; raises ValueError where one is not there exactly once."""
    for passage, replacement in edits.items():
        if text.count(passage) != 1:
            raise ValueError(f"the template has this {text.count(passage)} times: {passage!r}")
        text = text.replace(passage, replacement)
    return text


def _renamed(text: str, name: str) -> str:
    """The text with the instrument's name in the place of the templates' own."""
    own = {
        "gadget": name,
        "Gadget": class_name(name),
        "GADGET": name.upper(),
        "gizmo": name.replace("_", " "),
    }
    return re.sub("|".join(own), lambda found: own[found[0]], text)
