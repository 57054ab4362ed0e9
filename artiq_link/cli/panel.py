"""``artiq-link panel``: open the server's panel in the web browser."""

from __future__ import annotations

import argparse
import sys
import webbrowser

from ..link_client import Link, ServerFailed
from .connection import add_connection_options, link_to, print_json
from .exit_codes import SUCCESS

HELP = "open the server's panel in the web browser"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    add_connection_options(parser)


def run(options: argparse.Namespace) -> int:
    """Print the panel's address and open it, where a server answers there."""
    link = link_to(options)
    try:
        link.call("link.ping")
    except ServerFailed as error:
        if error.code != "unauthorized":  # the panel asks for a token itself
            raise
    address = address_of(link, is_secure=options.ssl is not None)
    if options.json:
        print_json({"address": address})
    else:
        print(address, flush=True)
    if not webbrowser.open(address):
        print("there is no browser here: open the address in one", file=sys.stderr)
    return SUCCESS


def address_of(link: Link, *, is_secure: bool) -> str:
    """The panel's URL on the server of a link."""
    scheme = "https" if is_secure else "http"
    host = f"[{link.host}]" if ":" in link.host else link.host
    return f"{scheme}://{host}:{link.port}/"
