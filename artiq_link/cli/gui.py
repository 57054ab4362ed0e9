"""``artiq-link gui``: open the desktop client."""

from __future__ import annotations

import argparse

from .connection import add_address_options, host_of, port_of
from .credentials import add_credential_options, credentials_of

HELP = "open the desktop client"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    add_address_options(parser, "that of the last time", "that of the last time")
    add_credential_options(parser)


def run(options: argparse.Namespace) -> int:
    """Show the window until it is closed; returns the exit code."""
    from ..qt_client import main as show

    shown = credentials_of(options)
    return show(host_of(options), port_of(options), shown.ssl, shown.link)
