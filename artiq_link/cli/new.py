"""``artiq-link new``: write the files of a new instrument into this folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..scaffold.files import DRIVERS, write_files
from .exit_codes import SUCCESS

HELP = "begin an instrument of your own: server, client, simulation, tests"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    parser.add_argument("name", metavar="NAME", help="the instrument's name, such as shutter")
    parser.add_argument(
        "--driver",
        choices=list(DRIVERS),
        default="none",
        help="what its hardware is reached by; none is code of your own (default: %(default)s)",
    )
    parser.set_defaults(parser=parser)


def run(options: argparse.Namespace) -> int:
    """Write the files and say what to do with them; returns the exit code."""
    try:
        written = write_files(Path(), options.name, options.driver)
    except ValueError as error:
        options.parser.error(str(error))
    except OSError as error:
        options.parser.error(f"{error.filename} cannot be written: {error.strerror}")
    print("written:", *written)
    name = options.name
    print(f"try it:  python {name}_server.py --simulation")
    print(f"         python {name}_client.py     (in another terminal)")
    print(f"         python -m pytest test_{name}.py")
    return SUCCESS
