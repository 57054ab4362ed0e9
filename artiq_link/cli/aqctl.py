"""The controller that ARTIQ's controller manager starts: a DDS, by the options of controllers.

An entry of the device database starts it where the manager runs::

    "dds": {
        "type": "controller", "host": "192.168.1.20", "port": 65432, "target_name": "dds",
        "command": "aqctl_artiq_link -p {port} --bind {bind} --simulation",
    }

The options are those of ARTIQ's manual, "Developing a Network Device Support Package".
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..server.log_output import init_logging
from ..server.options import add_server_options, listen_options
from ..server.program import start_server
from .driver_options import add_driver_options, chosen_driver, dds_with
from .exit_codes import SUCCESS


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a DDS as the target ``dds`` until NDSP's ``terminate``, SIGTERM or Ctrl-C.

    Returns the exit code; `start_server` has others.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.ssl is not None:
        # To listen in plain instead would be worse than not to listen.
        parser.error(
            "--ssl does not work yet: leave it out, listen on localhost alone, and let other "
            "computers come through an SSH tunnel"
        )
    listening = listen_options(parser, options)
    driver = chosen_driver(parser, options)
    if driver is None:
        parser.error("You need to specify either --simulation or -d/--device")
    dds = dds_with(parser, options, driver)
    init_logging(options)
    start_server({"dds": dds}, **listening)
    return SUCCESS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aqctl_artiq_link", description="ARTIQ controller for a DDS of the link."
    )
    add_server_options(parser)
    add_driver_options(parser)
    parser.add_argument(
        "--ssl",
        nargs=3,
        metavar=("CERT", "KEY", "PEER"),
        help="refused, because it does not work yet: server's certificate and key, and the "
        "client's certificate to trust",
    )
    return parser
