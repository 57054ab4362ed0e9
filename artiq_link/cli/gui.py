"""``artiq-link gui``: open the desktop client."""

from __future__ import annotations

import argparse

from ..server.options import host_name

HELP = "open the desktop client"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    parser.add_argument(
        "--host", type=host_name, help="connect to this lab PC (default: that of the last time)"
    )
    parser.add_argument("--port", type=int, help="(default: that of the last time)")


def run(options: argparse.Namespace) -> int:
    """Show the window until it is closed; returns the exit code."""
    from ..qt_client import main as show

    return show(options.host, options.port)
