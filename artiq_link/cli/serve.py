"""``artiq-link serve``: serve a DDS, or NDSP controllers."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from typing import Any

from ..drivers import DRIVERS, SIMULATED
from ..loggers import get_logger
from ..server.addresses import LAST_PORT
from ..server.options import add_server_options, listen_options
from .driver_options import add_driver_options, chosen_driver, dds_with, option_names
from .exit_codes import NO_CONNECTION, SUCCESS

logger = get_logger(__name__)


HELP = "serve a DDS, or NDSP controllers"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    add_server_options(parser)
    add_driver_options(parser)
    parser.add_argument(
        "--controller",
        action="append",
        default=[],
        type=controller_address,
        metavar="HOST:PORT[:TARGET]",
        help="serve the methods of this NDSP controller instead of a DDS; repeatable",
    )
    parser.add_argument(
        "--trust-controller",
        action="store_true",
        help="admit controllers that speak PYON v1 only; such a one can run code in this program",
    )
    parser.set_defaults(parser=parser)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes; returns the exit code."""
    from ..server.program import start_server

    listening = listen_options(options.parser, options)
    if options.controller:
        return _serve_controllers(options, listening)
    if options.trust_controller:
        options.parser.error("--trust-controller goes with --controller")
    driver = chosen_driver(options.parser, options)
    if driver is None:
        logger.warning("no hardware is configured: the DDS is simulated")
        driver = DRIVERS[SIMULATED].build()
    start_server({"dds": dds_with(options.parser, options, driver)}, **listening)
    return SUCCESS


_CONTROLLER = re.compile(r"(?:\[([^]]+)\]|([^][:]+)):([0-9]{1,5})(?::(\S+))?")


def controller_address(text: str) -> tuple[str, int, str | None]:
    """Host, port and target of ``HOST:PORT[:TARGET]``; raises ArgumentTypeError."""
    found = _CONTROLLER.fullmatch(text)
    if found is None or not 1 <= int(found[3]) <= LAST_PORT:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not HOST:PORT or HOST:PORT:TARGET (an IPv6 address is put in brackets)"
        )
    return found[1] or found[2], int(found[3]), found[4]


def _serve_controllers(options: argparse.Namespace, listening: dict[str, Any]) -> int:
    from ..bridges.ndsp_controller import NdspController
    from ..errors import InstrumentError
    from ..server.program import start_server

    for name in ("simulation", "driver", "device", "channels", *option_names()):
        if getattr(options, name):
            options.parser.error(f"--{name} does not go with --controller")
    instruments: dict[str, NdspController] = {}
    with contextlib.ExitStack() as opened:
        try:
            for host, port, target in options.controller:
                controller = NdspController(host, port, target, trusted=options.trust_controller)
                opened.callback(controller.close)
                # A command is written instrument.command: the name cannot have every sign.
                name = re.sub(r"\W|^(?=\d)", "_", controller.target)
                if name in instruments:
                    raise ValueError(
                        f"{instruments[name].address} and {controller.address} are both named "
                        f"{name!r}: serve one of them on another port"
                    )
                instruments[name] = controller
        except (InstrumentError, ImportError) as error:
            print(error, file=sys.stderr)
            return NO_CONNECTION
        start_server(instruments, **listening)
    return SUCCESS
